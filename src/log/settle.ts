// After a choice: tell the members that it is one, and push what it lacks to each that turns out to have fallen behind.
// Nobody waits for this but a change of the membership, which the next voters must have learned before they vote.
import { compareBallots } from "./ballot.ts";
import type { SettleAnswer, SettleCall } from "./calls.ts";
import { catchUp, lacks } from "./catch-up.ts";
import type { Conversation } from "./conversation.ts";
import { type Electorate, quorumOf, type ReplicaId, replicasOf, seatOf } from "./entry.ts";
import { SETTLE_PAGES_MAX } from "./limits.ts";
import type { LearnMessage, Standing } from "./messages.ts";
import { GatherRound } from "./round.ts";

export function* settle(call: SettleCall): Conversation<SettleAnswer> {
  const { clusterId, ballot, electorate, through } = call;
  const replicas = replicasOf(electorate.membership);
  const notices = yield* notify(call, replicas);
  const unseated: ReplicaId[] = [];
  const behind: ReplicaId[] = [];
  let isUndecided = false;
  let hasMoved = false;
  for (const replica of replicas) {
    const standing = notices.standingOf(replica);
    if (standing === undefined) continue;
    if (isUnseated(electorate, replica, standing)) {
      unseated.push(replica);
      continue;
    }
    // A replica that promised a higher ballot has another leader, who sees to it.
    if (!lacks(standing, through) || compareBallots(standing.promised, ballot) > 0) continue;
    const lag = { clusterId, electorate, replica, standing, through, pagesMax: SETTLE_PAGES_MAX };
    const reached = yield* catchUp(lag);
    if (!reached.isDone) behind.push(replica);
    if (reached.isUndecided) isUndecided = true;
    if (reached.hasMoved) hasMoved = true;
  }
  return { type: "settled", unseated, behind, hasMoved, isUndecided };
}

/** Whether the storage that answers as `replica` is another one than the seat was given to. */
export function isUnseated(electorate: Electorate, replica: ReplicaId, { incarnation }: Standing): boolean {
  return seatOf(electorate.membership, replica)?.incarnation !== incarnation;
}

/** Makes the members of a membership that was just chosen learn it, as far as they can be reached. */
export function* spread(call: SettleCall, next: Electorate): Conversation<void> {
  const { clusterId, electorate, through } = call;
  const everybody = new Set([...replicasOf(next.membership), ...replicasOf(electorate.membership)]);
  const notices = yield* notify(call, [...everybody], next);
  for (const replica of replicasOf(next.membership)) {
    const standing = notices.standingOf(replica);
    if (standing === undefined || !lacks(standing, through) || isUnseated(next, replica, standing)) continue;
    const lag = { clusterId, electorate: next, replica, standing, through, pagesMax: SETTLE_PAGES_MAX };
    yield* catchUp({ ...lag, others: [...everybody] });
  }
}

/** The commit notice to each of `replicas`. With `next`, the round is over once a quorum of it has learned. */
function* notify(
  { clusterId, ballot, through }: SettleCall,
  replicas: readonly ReplicaId[],
  next?: Electorate,
): Conversation<GatherRound> {
  const message: LearnMessage = { type: "learn", clusterId, ballot, through };
  const round = new GatherRound(
    replicas.map((to) => ({ to, message })),
    (heard) => {
      if (next === undefined) return false;
      const { membership } = next;
      const hasLearned = (replica: ReplicaId): boolean => (heard.standingOf(replica)?.missingFrom ?? 0) > through;
      return replicasOf(membership).filter(hasLearned).length >= quorumOf(membership);
    },
  );
  yield round;
  return round;
}
