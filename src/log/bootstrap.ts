// Making a cluster, once. `mesoflare init` calls the bootstrap; nothing else ever does, least of all
// the finding that everybody is empty: a wrong namespace looks the same (H8).
//
// Two phases, so that an interrupted bootstrap can be told from a replica that lost its storage: nobody votes before
// everybody has started, hence EMPTY beside VOTING is always a loss and is refused.
import type { BootstrapAnswer, BootstrapCall } from "./calls.ts";
import type { Conversation } from "./conversation.ts";
import type { ClusterId, Membership, ReplicaId } from "./entry.ts";
import type { ReplicaMessage, Standing } from "./messages.ts";
import { describeAnswer, GatherRound } from "./round.ts";

/** Names every replica of the set. All of them must answer: there is no quorum before there is a cluster. */
export function* bootstrap(
  { clusterId }: BootstrapCall,
  replicas: readonly ReplicaId[],
): Conversation<BootstrapAnswer> {
  const found = yield* askAll(replicas, () => ({ type: "status" }));
  if (found.type !== "all") return found.answer;
  const problem = bootstrapProblem(found.standings, clusterId);
  if (problem !== undefined) return { type: "refused-bootstrap", reason: problem };

  const seats = [...found.standings].map(([replica, { incarnation }]) => ({ replica, incarnation }));
  const membership: Membership = { seats };
  const standings = [...found.standings.values()];
  if (standings.every(({ status }) => status === "empty" || status === "starting")) {
    const started = yield* askAll(replicas, (replicaId) => ({
      type: "bootstrap-start",
      clusterId,
      replicaId,
      membership,
    }));
    if (started.type !== "all") return started.answer;
  }
  const voting = yield* askAll(replicas, () => ({ type: "bootstrap-vote", clusterId }));
  if (voting.type !== "all") return voting.answer;
  const [first] = voting.standings.values();
  return { type: "bootstrapped", membership: first?.electorate?.membership ?? membership };
}

/** Why these replicas may not be bootstrapped under this id, or undefined when they may. */
function bootstrapProblem(standings: ReadonlyMap<ReplicaId, Standing>, clusterId: ClusterId): string | undefined {
  const statuses = new Set([...standings.values()].map(({ status }) => status));
  for (const [replica, standing] of standings) {
    if (standing.clusterId !== undefined && standing.clusterId !== clusterId) {
      return `${replica} belongs to cluster ${standing.clusterId}`;
    }
    if (standing.status === "recovering") return `${replica} is recovering: it held a log before`;
    if (standing.status === "empty" && standing.end > 0) return `${replica} is not empty`;
    if (standing.status === "empty" && statuses.has("voting")) {
      return `${replica} is empty although others vote: it has lost its storage and must be recovered, not bootstrapped`;
    }
  }
  return undefined;
}

type AskedAll =
  | { readonly type: "all"; readonly standings: ReadonlyMap<ReplicaId, Standing> }
  | { readonly type: "not-all"; readonly answer: BootstrapAnswer };

/** One question to every replica; "all" only when each of them did what it was asked. */
function* askAll(
  replicas: readonly ReplicaId[],
  messageTo: (replica: ReplicaId) => ReplicaMessage,
): Conversation<AskedAll> {
  const round = new GatherRound(replicas.map((to) => ({ to, message: messageTo(to) })));
  yield round;
  const standings = new Map<ReplicaId, Standing>();
  const silent: string[] = [];
  const unwilling: string[] = [];
  for (const replica of replicas) {
    const heard = round.heardFrom(replica);
    if (heard.type === "unreachable") silent.push(`${replica}: ${heard.reason}`);
    else if (heard.answer.type === "status" || heard.answer.type === "bootstrapped") {
      standings.set(replica, heard.answer.standing);
    } else unwilling.push(`${replica}: ${describeAnswer(heard.answer)}`);
  }
  if (unwilling.length > 0) {
    return { type: "not-all", answer: { type: "refused-bootstrap", reason: unwilling.join(", ") } };
  }
  if (silent.length > 0) {
    const reachable = replicas.length - silent.length;
    const reason = `${reachable} of ${replicas.length} replicas answered, all needed: ${silent.join(", ")}`;
    return { type: "not-all", answer: { type: "unavailable", reason, reachable, replicas: replicas.length } };
  }
  return { type: "all", standings };
}
