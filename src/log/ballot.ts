import type { Brand } from "#base/brand.ts";

/** One master candidate, e.g. `master-1`. */
export type CandidateId = Brand<string, "CandidateId">;

/**
 * A ballot belongs to one instance of one candidate: the nonce is drawn when the instance starts, so that two instances
 * of the same object, or an old instance's call that is still in flight, never share one. Stored before its first message.
 */
export interface Ballot {
  readonly counter: number;
  readonly candidate: CandidateId;
  readonly nonce: string;
}

/** Below every ballot that anyone sends. */
export const NO_BALLOT: Ballot = { counter: 0, candidate: "" as CandidateId, nonce: "" };

/** Negative when `a` is below `b`, 0 when they are the same ballot. */
export function compareBallots(a: Ballot, b: Ballot): number {
  if (a.counter !== b.counter) return a.counter - b.counter;
  if (a.candidate !== b.candidate) return a.candidate < b.candidate ? -1 : 1;
  if (a.nonce !== b.nonce) return a.nonce < b.nonce ? -1 : 1;
  return 0;
}
