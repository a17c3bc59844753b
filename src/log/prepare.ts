// Preparing a change of the membership: looks whether the set that it leads to can decide, and brings the replica that is
// to take a seat up to date. It writes nothing to the log: the leader does, when this has said that it may.
import type { MembershipChange, PrepareAnswer, PrepareCall } from "./calls.ts";
import { catchUp } from "./catch-up.ts";
import type { Conversation } from "./conversation.ts";
import { type Membership, position, quorumOf, type ReplicaId, replicasOf, seatOf } from "./entry.ts";
import { PREPARE_PAGES_MAX, REPLICAS_MAX, SEATED_LAG_MAX } from "./limits.ts";
import type { Standing } from "./messages.ts";
import { describeAnswer, GatherRound } from "./round.ts";

export function* prepare({ clusterId, electorate, change }: PrepareCall): Conversation<PrepareAnswer> {
  const problem = changeProblem(electorate.membership, change);
  if (problem !== undefined) return refuse(problem);
  const newcomer = newcomerOf(change);

  const everybody = new Set([...replicasOf(electorate.membership), ...(newcomer === undefined ? [] : [newcomer])]);
  const asked = new GatherRound(
    [...everybody].map((to) =>
      to === newcomer
        ? { to, message: { type: "enlist", clusterId, replicaId: newcomer } }
        : { to, message: { type: "status" } },
    ),
  );
  yield asked;
  const standings = new Map<ReplicaId, Standing>();
  for (const replica of everybody) {
    const heard = asked.heardFrom(replica);
    if (replica === newcomer && (heard.type !== "answer" || heard.answer.type !== "enlisted")) {
      const why = heard.type === "answer" ? describeAnswer(heard.answer) : heard.reason;
      return refuse(`${newcomer} cannot take a seat: ${why}`);
    }
    if (heard.type === "answer" && heard.answer.standing.clusterId === clusterId) {
      standings.set(replica, heard.answer.standing);
    }
  }
  if (standings.size === 0) return refuse("no member of the log answers");
  const end = Math.max(...[...standings.values()].map((standing) => standing.end));

  let membership = withoutNewcomer(electorate.membership, change);
  if (newcomer !== undefined) {
    const standing = standings.get(newcomer);
    if (standing === undefined) return refuse(`${newcomer} belongs to another cluster`);
    const lag = { clusterId, electorate, replica: newcomer, standing, through: position(end) };
    const { standing: reached, hasMoved } = yield* catchUp({ ...lag, pagesMax: PREPARE_PAGES_MAX });
    const { missingFrom, incarnation } = reached;
    if (missingFrom + SEATED_LAG_MAX <= end) {
      if (hasMoved) return { type: "preparing", missingFrom, end: position(end) };
      return refuse(`${newcomer} cannot be brought up to date: it stays at ${missingFrom - 1} of ${end}`);
    }
    standings.set(newcomer, reached);
    membership = withSeat(membership, change, { replica: newcomer, incarnation });
  }
  const ready = replicasOf(membership).filter((replica) => {
    const standing = standings.get(replica);
    if (standing === undefined || standing.missingFrom + SEATED_LAG_MAX <= end) return false;
    return replica === newcomer || standing.status === "voting";
  });
  if (ready.length >= quorumOf(membership)) return { type: "prepared", membership };
  const able = [...standings].map(([replica, { status, missingFrom }]) => `${replica} ${status} to ${missingFrom - 1}`);
  return refuse(
    `${replicasOf(membership).join(", ")} could not decide without the others: of the replicas, ${able.join(", ")} answer and the log ends at ${end}. Bring its members back first`,
  );
}

const refuse = (reason: string): PrepareAnswer => ({ type: "refused-change", reason });

const newcomerOf = (change: MembershipChange): ReplicaId | undefined => {
  if (change.type === "remove") return undefined;
  return change.type === "add" ? change.replica : change.by;
};

/** Why a change makes no sense whatever the replicas say, or undefined. */
export function changeProblem(membership: Membership, change: MembershipChange): string | undefined {
  const isMember = (replica: ReplicaId): boolean => seatOf(membership, replica) !== undefined;
  const { type, replica } = change;
  if (type === "add") {
    if (isMember(replica)) return `${replica} is a member already`;
    return membership.seats.length < REPLICAS_MAX ? undefined : `a membership has at most ${REPLICAS_MAX} replicas`;
  }
  if (!isMember(replica)) return `${replica} is no member: the members are ${replicasOf(membership).join(", ")}`;
  if (type === "replace") {
    return change.by !== replica && isMember(change.by) ? `${change.by} is a member already` : undefined;
  }
  return membership.seats.length > 1 ? undefined : `${replica} is the last member: a log without replicas is lost`;
}

const withoutNewcomer = ({ seats }: Membership, change: MembershipChange): Membership => ({
  seats: change.type === "add" ? seats : seats.filter(({ replica }) => replica !== change.replica),
});

const withSeat = ({ seats }: Membership, change: MembershipChange, seat: Membership["seats"][number]): Membership => ({
  seats: change.type === "remove" ? seats : [...seats, seat],
});
