// A call is a conversation with the replicas: a generator that yields one round at a time and reads its verdict when it
// is resumed. The generator decides; whoever drives it (the RegistrarWorker, or the simulation on virtual time) only
// delivers messages and keeps the deadline of each round.
import type { Refused, Unavailable } from "./calls.ts";
import type { QuorumRound, Round, Verdict } from "./round.ts";

/** Time for one round, from its first message to its verdict, ms. The driver keeps it. */
export const ROUND_DEADLINE_MS = 2_000;

export type Conversation<Result> = Generator<Round, Result, void>;

/** The answer to a call, and work that may follow after the caller has it. */
export interface Concluded<Answer> {
  readonly answer: Answer;
  readonly background?: Conversation<void>;
}

export type Decided<Vote> = Extract<Verdict<Vote>, { type: "decided" }>;

/** Holds one round to its end. */
export function* hold<Vote>(round: QuorumRound<Vote>): Conversation<Decided<Vote> | Refused | Unavailable> {
  yield round;
  const { verdict } = round;
  if (verdict.type === "undecided") return { type: "unavailable", reason: "given up", reachable: 0, replicas: 0 };
  return verdict;
}
