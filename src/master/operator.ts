// What an operator asks of the master beyond looking: so far MARK_AGENT_GONE (http-api-v1 §9.2, tasks-offers-and-operators §12).
import type { AgentId, Principal } from "#protocol/ids.ts";
import { askRegistry, type CallAnswer, type Master } from "./state.ts";

/** Undefined: an `answer` effect under `requestId` follows, once the registry has decided. */
export function markAgentGone(
  master: Master,
  agentId: AgentId,
  { by, requestId }: { readonly by: Principal | "operator"; readonly requestId: number },
): CallAnswer | undefined {
  const { registry } = master;
  if (registry.gone.has(agentId)) return { status: 200, text: "" };
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
