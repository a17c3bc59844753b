// [M71] The allocator has books of its own. This compares them with the master's, agent by agent.
import { add, contains, equal, quantities, sum, toResources, type ResourceSet } from "#resources/resources.ts";
import { isTerminal } from "#protocol/task.ts";
import { allocatedOn, capacity } from "../../src/master/allocator/hierarchical.ts";
import { offeredOn } from "../../src/master/offers.ts";
import type { Master } from "../../src/master/state.ts";

const text = (set: ResourceSet): string => JSON.stringify(toResources(set));

/** What is wrong with them; undefined when they agree. */
export function booksProblem(master: Master): string | undefined {
  const totals: ResourceSet[] = [];
  for (const agent of master.agents.values()) {
    const { agentId, session, total, executors } = agent;
    if (session === undefined) {
      if (master.allocated.has(agentId)) return `the allocator has ${agentId}, which has not registered`;
      continue;
    }
    if (!master.allocated.has(agentId)) return `the allocator does not have ${agentId}`;
    const tasks = [...(master.tasksByAgent.get(agentId) ?? [])].filter(({ latest }) => !isTerminal(latest));
    const held = sum([...tasks, ...executors.values()].map(({ resources }) => resources));
    const expected = add(offeredOn(master, agentId), held);
    const allocated = allocatedOn(master.allocator, agentId);
    if (!equal(expected, allocated))
      return `[25.1] of ${agentId} ${text(expected)} is offered and held, and ${text(allocated)} is allocated`;
    if (!contains(total, expected))
      return `[25.1] ${agentId} has ${text(total)}, and ${text(expected)} is offered and held`;
    totals.push(total);
  }
  for (const { agentId, id } of master.offers.values())
    if (master.agents.get(agentId)?.connection === undefined)
      return `[25.5] offer ${id} is of ${agentId}, which is not connected`;
  const [all, counted] = [quantities(sum(totals)), capacity(master.allocator)];
  for (const [name, amount] of all)
    if (counted.get(name) !== amount) return `agents have ${amount} ${name}, the allocator counts ${counted.get(name)}`;
  return undefined;
}
