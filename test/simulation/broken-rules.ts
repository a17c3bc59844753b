// Rules of the log that can be switched off one at a time: the simulation must then find a violation, which is how we know
// that it sees. What a broken rule does is in replica-host.ts and candidate.ts.

export const BROKEN_RULES = {
  H1: "an accepted write raises the promise",
  H2: "a replica that lost its storage does not vote on under its old seat",
  H3: "a refused coordinator stops",
  rule4: "what an answer rests on is durable before the answer leaves",
  rule21: "a replica that lost its storage needs a new seat, also after it has caught up",
  nonce: "a new instance of a candidate does not go on under the old ballot",
  restore: "a storage that goes back in time begins another life",
  membership: "a vote goes by one membership, known to both sides",
  checksum: "a damaged record is not served",
  snapshot: "a snapshot counts only with all its chunks",
} as const;
export type BrokenRule = keyof typeof BROKEN_RULES;

export const isBrokenRule = (name: string): name is BrokenRule => Object.hasOwn(BROKEN_RULES, name);
