// What tasks and executors hold, for views and metrics. Offers are in offers.ts.
import type { AgentId } from "#protocol/ids.ts";
import { add, NOTHING, type ResourceSet, sum } from "#resources/resources.ts";
import type { FrameworkRecord, Master } from "./state.ts";
import { total } from "./tally.ts";

/** What an agent's tasks and executors hold. A task that has ended holds nothing. */
export function usedOn(master: Master, agentId: AgentId): ResourceSet {
  const tasks = master.usedByAgent.get(agentId);
  const executors = master.agents.get(agentId)?.executors.values() ?? [];
  return add(tasks === undefined ? NOTHING : total(tasks), sum([...executors].map(({ resources }) => resources)));
}

/** The same of a framework, over all agents. */
export const usedBy = (framework: FrameworkRecord): ResourceSet => total(framework.used);
