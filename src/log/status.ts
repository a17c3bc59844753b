// Looking at the replicas, with or without a quorum: what an operator sees before and after the bootstrap.
import type { LogStatus, ReplicaReport, StatusCall } from "./calls.ts";
import type { Conversation } from "./conversation.ts";
import { type ClusterId, type Electorate, type ReplicaId, replicasOf } from "./entry.ts";
import { describeAnswer, GatherRound, type Heard } from "./round.ts";

/** How each replica stands: those that the caller can name, and the members of the newest membership that they know. */
export function* status(seeds: readonly ReplicaId[], { known, also = [] }: StatusCall = {}): Conversation<LogStatus> {
  const { heard, electorate } = yield* lookAround([...seeds, ...also], known);
  const members = electorate === undefined ? seeds : replicasOf(electorate.membership);
  const replicas = [...heard].map(([id, one]): ReplicaReport => reportOf(id, members.includes(id), one));
  const clusterId = replicas
    .filter(({ member }) => member)
    .map((report) => report.clusterId)
    .find((id) => {
      const holders = replicas.filter((other) => other.member && other.clusterId === id).length;
      return id !== undefined && holders >= Math.floor(members.length / 2) + 1;
    });
  return { replicas, clusterId, electorate };
}

/** Asks the replicas that are known, and those that they know, until nothing newer comes up; of one cluster, if it is named. */
export function* lookAround(
  names: readonly ReplicaId[],
  known: Electorate | undefined,
  clusterId?: ClusterId,
): Conversation<{ readonly heard: ReadonlyMap<ReplicaId, Heard>; readonly electorate: Electorate | undefined }> {
  const heard = new Map<ReplicaId, Heard>();
  let electorate = known;
  let unasked = new Set([...names, ...(known === undefined ? [] : replicasOf(known.membership))]);
  while (unasked.size > 0) {
    const round = new GatherRound([...unasked].map((to) => ({ to, message: { type: "status" } })));
    yield round;
    for (const replica of unasked) heard.set(replica, round.heardFrom(replica));
    electorate = newestElectorate(heard.values(), electorate, clusterId);
    const members = electorate === undefined ? [] : replicasOf(electorate.membership);
    unasked = new Set(members.filter((replica) => !heard.has(replica)));
  }
  return { heard, electorate };
}

function reportOf(id: ReplicaId, member: boolean, heard: Heard): ReplicaReport {
  if (heard.type === "unreachable") return { id, member, status: "unreachable", reason: heard.reason };
  if (heard.answer.type !== "status") {
    return { id, member, status: "unreachable", reason: describeAnswer(heard.answer) };
  }
  const { standing, silentMs } = heard.answer;
  const { status: current, clusterId, incarnation, begin, end, missingFrom, promised } = standing;
  return { id, member, status: current, clusterId, incarnation, begin, end, missingFrom, promised, silentMs };
}

/** The membership of the highest position that is known or that any answer carries. */
function newestElectorate(
  heard: Iterable<Heard>,
  known: Electorate | undefined,
  clusterId: ClusterId | undefined,
): Electorate | undefined {
  let newest = known;
  for (const one of heard) {
    if (one.type !== "answer") continue;
    const { electorate, clusterId: theirs } = one.answer.standing;
    if (clusterId !== undefined && theirs !== clusterId) continue;
    if (electorate !== undefined && (newest === undefined || electorate.position > newest.position))
      newest = electorate;
  }
  return newest;
}
