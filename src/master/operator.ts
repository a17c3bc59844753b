// What an operator asks of the master beyond looking: MARK_AGENT_GONE, quotas and weights (http-api-v1 §9.2, tasks-offers-and-operators
// §12, §14, §15). Answered when the registry has it.
import type { AgentId } from "#protocol/ids.ts";
import { isStrictSubrole } from "#protocol/roles.ts";
import { quantities, sum } from "#resources/resources.ts";
import type { QuotaConfig, Weight } from "#registrar/registry.ts";
import type { Outcome } from "#registrar/registrar.ts";
import { followShares, rolesOf } from "./allocation.ts";
import { removeOffer } from "./offers.ts";
import { type Amounts, planQuota, type QuotaChange } from "./quota.ts";
import { consumedBy } from "./role-views.ts";
import { clip } from "./sockets.ts";
import type { Asked, CallAnswer, Master, PendingOperation } from "./state.ts";
import { answer, askRegistry } from "./effects.ts";
import { weightsProblem } from "./weights.ts";

/** Changes of quotas that may wait for each other; one takes the time of one write to the log. */
const QUOTA_CHANGES_MAX = 100;

const DONE: CallAnswer = { status: 200, text: "" };

/** Undefined: an `answer` effect under `requestId` follows, once the registry has decided. */
export function markAgentGone(master: Master, agentId: AgentId, { by, requestId }: Asked): CallAnswer | undefined {
  const { registry } = master;
  if (registry.gone.has(agentId)) return DONE;
  if (!registry.admitted.has(agentId) && !registry.unreachable.has(agentId)) {
    return { status: 404, text: "Agent not found in the registry" };
  }
  if (master.transitions.has(agentId) || master.registrationByAgent.has(agentId)) {
    return { status: 503, text: `Agent ${agentId} is in transition: try again` };
  }
  master.transitions.set(agentId, "marking-gone");
  const asked = { who: by, why: "MARK_AGENT_GONE" };
  askRegistry(master, { type: "agent-gone", agentId, requestId }, { type: "mark-agent-gone", agentId }, asked);
  return undefined;
}

/**
 * [M55] One after the other: whether all guarantees together fit, and whether a role has a quota already, depends on those before. The answer
 * follows as an `answer` effect, unless too many wait.
 */
export function updateQuota(master: Master, change: QuotaChange, asked: Asked): CallAnswer | undefined {
  if (master.quotaChanges.length >= QUOTA_CHANGES_MAX) {
    return { status: 503, text: `${QUOTA_CHANGES_MAX} changes of quotas wait already: try again` };
  }
  master.quotaChanges.push({ ...asked, change });
  if (master.quotaChanges.length === 1) askNextQuota(master);
  return undefined;
}

function askNextQuota(master: Master): void {
  for (let next = master.quotaChanges[0]; next !== undefined; next = master.quotaChanges[0]) {
    const planned = planQuota(next.change, {
      quotas: master.registry.quotas,
      capacity: capacityOf(master),
      consumed: (role) => consumedBy(master, role),
    });
    if (planned.type === "planned") {
      const { configs } = planned;
      const why = WHY[next.change.type] + ("force" in next.change && next.change.force ? ", by force" : "");
      const operation = { type: "update-quota", configs } as const;
      return askRegistry(master, { type: "quota-updated", configs }, operation, { who: next.by, why });
    }
    master.quotaChanges.shift();
    answer(master, next.requestId, planned.answer);
  }
}

const WHY = { update: "UPDATE_QUOTA", set: "SET_QUOTA", remove: "REMOVE_QUOTA" } as const;

/** Agents that have registered with this master, also while their sockets are lost: they are believed to come back. */
function capacityOf(master: Master): Amounts {
  const registered = [...master.agents.values()].filter(({ session }) => session !== undefined);
  return quantities(sum(registered.map(({ total }) => total)));
}

type Pending<Type extends PendingOperation["type"]> = Extract<PendingOperation, { type: Type }>;

export function onQuotaOutcome(master: Master, { configs }: Pending<"quota-updated">, outcome: Outcome): void {
  const asked = master.quotaChanges.shift();
  if (outcome.type === "committed") onQuotaChanged(master, configs);
  if (asked !== undefined) answer(master, asked.requestId, outcomeAnswer(outcome));
  askNextQuota(master);
}

/** What became of the first of them the log will tell; the others were never asked of the registry. */
export function dropQuotaChanges(master: Master, unknown: CallAnswer, reason: string): void {
  const [first, ...others] = master.quotaChanges.splice(0);
  if (first !== undefined) answer(master, first.requestId, unknown);
  for (const { requestId } of others)
    answer(master, requestId, { status: 503, text: `it was not done: ${clip(reason)}` });
}

/** [M56] */
export function updateWeights(master: Master, infos: readonly Weight[], asked: Asked): CallAnswer | undefined {
  const problem = weightsProblem(infos);
  if (problem !== undefined) return { status: 400, text: problem };
  const pending = { type: "weights-updated", infos, requestId: asked.requestId } as const;
  askRegistry(master, pending, { type: "update-weights", infos }, { who: asked.by, why: "UPDATE_WEIGHTS" });
  return undefined;
}

export function onWeightsOutcome(
  master: Master,
  { infos, requestId }: Pending<"weights-updated">,
  outcome: Outcome,
): void {
  if (outcome.type === "committed") onWeightsChanged(master, infos);
  answer(master, requestId, outcomeAnswer(outcome));
}

function outcomeAnswer(outcome: Outcome): CallAnswer {
  if (outcome.type === "committed") return DONE;
  switch (outcome.reason) {
    case "registry-full":
    case "operation-too-large":
    case "operation-invalid":
      return { status: 400, text: `The registry refused: ${outcome.reason}` };
    default:
      return { status: 503, text: `The registry refused: ${outcome.reason}` };
  }
}

/**
 * The registry has other quotas now. What is offered was shared out under the old ones: offers of these roles end, and with a guarantee those
 * of all others, which it may have to be held back from. No task ends for a quota.
 */
export function onQuotaChanged(master: Master, configs: readonly QuotaConfig[]): void {
  const isForAll = configs.some(({ guarantees }) => guarantees.length > 0);
  onSharesChanged(master, (role) => isForAll || configs.some((config) => isWithin(role, config.role)));
}

/** Of a role that nobody has, nothing is offered by its weight. */
export function onWeightsChanged(master: Master, infos: readonly Weight[]): void {
  const isMeant = (role: string): boolean => infos.some((info) => isWithin(role, info.role));
  const isKnown = [...master.frameworks.values()].some(
    ({ status, info }) => status.state !== "removed" && rolesOf(info).some(isMeant),
  );
  onSharesChanged(master, () => isKnown);
}

const isWithin = (role: string, of: string): boolean => role === of || isStrictSubrole(role, of);

/** The allocator goes by other weights or quotas: what was offered to the roles named is taken back, and offered anew. */
function onSharesChanged(master: Master, isTakenBack: (role: string) => boolean): void {
  for (const offer of [...master.offers.values()])
    if (isTakenBack(offer.role)) removeOffer(master, offer, { rescind: true });
  followShares(master);
}
