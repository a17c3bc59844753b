// A call is a conversation with the replicas: a generator that yields one round at a time and reads its verdict when it
// is resumed. The generator decides; whoever drives it (the RegistrarWorker, or the simulation on virtual time) only
// delivers messages and keeps the deadline of each round.
import { assert } from "#base/assert.ts";
import type { Refused, Unavailable } from "./calls.ts";
import type { NoQuorum, QuorumRound, Round, Verdict } from "./round.ts";

/** Time for one round, from its first message to its verdict, ms; as long again for one that is getting pages. The driver keeps it. */
export const ROUND_DEADLINE_MS = 2_000;
/** A message without an answer is sent again after this long, and once more after as long again, ms. */
export const RESEND_MS = 650;

assert(2 * RESEND_MS < ROUND_DEADLINE_MS, "a round repeats itself before it gives up");

export type Conversation<Result> = Generator<Round, Result, void>;

export type Decided<Vote> = Extract<Verdict<Vote>, { type: "decided" }>;

/** Holds one round to its end. */
export function* hold<Vote>(round: QuorumRound<Vote>): Conversation<Decided<Vote> | Refused | NoQuorum> {
  yield round;
  const { verdict } = round;
  assert(verdict.type !== "undecided", "a driver holds a round to its end");
  return verdict;
}

/** What a caller is told of a round that found no quorum. */
export const unavailable = ({ reason, reachable, replicas }: NoQuorum): Unavailable => ({
  type: "unavailable",
  reason,
  reachable,
  replicas,
});
