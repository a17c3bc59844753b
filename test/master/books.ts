// [M71] The allocator has books of its own. This compares them with the master's, agent by agent.
import { add, contains, equal, quantities, sum, toResources, type ResourceSet } from "#resources/resources.ts";
import { isTerminal } from "#protocol/task.ts";
import { allocatedOn, capacity } from "../../src/master/allocator/hierarchical.ts";
import { offeredOn } from "../../src/master/offers.ts";
import type { Master } from "../../src/master/state.ts";

const text = (set: ResourceSet): string => JSON.stringify(toResources(set));

/** Ports and items that a set has, over all its pools. */
function countable({ pools }: ResourceSet): number {
  let count = 0;
  for (const { amounts } of pools.values()) {
    for (const ranges of amounts.ranges.values()) for (const { begin, end } of ranges) count += end - begin + 1;
    for (const items of amounts.sets.values()) count += items.size;
  }
  return count;
}

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
    // Sums unite ports and items: of what is in two of them nothing would be seen.
    const offers = [...(master.offersByAgent.get(agentId) ?? [])];
    const parts = [...offers, ...tasks, ...executors.values()].map(({ resources }) => resources);
    if (parts.reduce((count, part) => count + countable(part), 0) !== countable(expected))
      return `[25.2] of ${agentId} a port or an item is offered or held twice`;
    totals.push(total);
  }
  for (const { agentId, frameworkId, id } of master.offers.values()) {
    if (master.agents.get(agentId)?.connection === undefined)
      return `[25.5] offer ${id} is of ${agentId}, which is not connected`;
    if (master.frameworks.get(frameworkId)?.status.state !== "connected")
      return `[25.5] offer ${id} is made to ${frameworkId}, which is not connected`;
  }
  const [all, counted] = [quantities(sum(totals)), capacity(master.allocator)];
  for (const [name, amount] of all)
    if (counted.get(name) !== amount) return `agents have ${amount} ${name}, the allocator counts ${counted.get(name)}`;
  return undefined;
}
