// Which framework is offered an agent's free resources. First form: every framework has one role of weight 1, so fair share is
// DRF among frameworks; each agent's free resources go whole to the framework with the lowest dominant share that does not
// refuse them. Roles, quota and reservations are not here yet.
import type { Millis } from "#base/time.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import { add, contains, isEmpty, scalar, type ResourceSet } from "#resources/resources.ts";
import type { Filter } from "../state.ts";

/** An agent is offered when it has this much cpus or this much mem free. Source: Mesos min_allocatable_resources. */
export const ALLOCATABLE_CPUS_MIN = 0.01;
export const ALLOCATABLE_MEM_MB_MIN = 32;

export interface Candidate {
  readonly frameworkId: FrameworkId;
  /** Used and offered, over all agents. */
  readonly allocated: ResourceSet;
  readonly filters: readonly Filter[];
}

export interface FreeAgent {
  readonly agentId: AgentId;
  readonly free: ResourceSet;
}

export interface Allocation {
  readonly frameworkId: FrameworkId;
  readonly agentId: AgentId;
  readonly resources: ResourceSet;
}

const SHARED_KINDS = ["cpus", "mem", "disk"] as const;

export const isAllocatable = (free: ResourceSet): boolean =>
  scalar(free, "cpus") >= ALLOCATABLE_CPUS_MIN || scalar(free, "mem") >= ALLOCATABLE_MEM_MB_MIN;

/** The largest part that a framework holds of any one kind of the cluster's resources, 0 to 1. */
export function dominantShare(allocated: ResourceSet, total: ResourceSet): number {
  let share = 0;
  for (const kind of SHARED_KINDS) {
    const all = scalar(total, kind);
    if (all > 0) share = Math.max(share, scalar(allocated, kind) / all);
  }
  return share;
}

/** Decides the offers to make now: the agents in the order given, each to the poorest framework that takes it. */
export function allocate(
  agents: readonly FreeAgent[],
  frameworks: readonly Candidate[],
  total: ResourceSet,
  now: Millis,
): readonly Allocation[] {
  if (frameworks.length === 0) return [];
  const allocations: Allocation[] = [];
  const order = frameworks.map((candidate) => ({
    candidate,
    allocated: candidate.allocated,
    share: dominantShare(candidate.allocated, total),
  }));
  for (const { agentId, free } of agents) {
    if (isEmpty(free) || !isAllocatable(free)) continue;
    order.sort((a, b) => a.share - b.share || (a.candidate.frameworkId < b.candidate.frameworkId ? -1 : 1));
    const taker = order.find(({ candidate }) => !isFiltered(candidate.filters, agentId, free, now));
    if (taker === undefined) continue;
    taker.allocated = add(taker.allocated, free);
    taker.share = dominantShare(taker.allocated, total);
    allocations.push({ frameworkId: taker.candidate.frameworkId, agentId, resources: free });
  }
  return allocations;
}

/** Once it is no longer firm, a filter holds back only what it has seen: with more free, the agent is offered again. */
function isFiltered(filters: readonly Filter[], agentId: AgentId, free: ResourceSet, now: Millis): boolean {
  return filters.some(
    (filter) =>
      filter.agentId === agentId && filter.until > now && (filter.firmUntil > now || contains(filter.resources, free)),
  );
}
