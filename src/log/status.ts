// Looking at the replicas, with or without a quorum: what an operator sees before and after the bootstrap.
import type { LogStatus, ReplicaReport } from "./calls.ts";
import type { Concluded, Conversation } from "./conversation.ts";
import { quorumOf, type ReplicaId } from "./entry.ts";
import { describeAnswer, GatherRound } from "./round.ts";

/** How each replica stands. The cluster id is the one that a quorum of `replicas` has. */
export function* status(replicas: readonly ReplicaId[]): Conversation<Concluded<LogStatus>> {
  const round = new GatherRound(replicas.map((to) => ({ to, message: { type: "status" } })));
  yield round;
  const reports = replicas.map((id): ReplicaReport => {
    const heard = round.heardFrom(id);
    if (heard.type === "unreachable") return { id, status: "unreachable", reason: heard.reason };
    if (heard.answer.type !== "status") return { id, status: "unreachable", reason: describeAnswer(heard.answer) };
    const { status: current, clusterId, begin, end, promised } = heard.answer.standing;
    return { id, status: current, clusterId, begin, end, promised };
  });
  const clusterId = reports
    .map((report) => report.clusterId)
    .find(
      (id) => id !== undefined && reports.filter((other) => other.clusterId === id).length >= quorumOf({ replicas }),
    );
  return { answer: clusterId === undefined ? { replicas: reports } : { replicas: reports, clusterId } };
}
