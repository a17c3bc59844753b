// Between the master's books and the allocator's: what an agent has, and what of it is offered to, or held by, whom. Whoever changes
// one of them comes through here, so that the two never differ; the simulation compares them after each step.
import { assert } from "#base/assert.ts";
import { millis, type Millis } from "#base/time.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import type { FrameworkInfo } from "#protocol/scheduler.ts";
import { isTerminal } from "#protocol/task.ts";
import type { Quantity } from "#registrar/registry.ts";
import { toThousandths } from "#resources/amounts.ts";
import type { Quantities } from "#resources/quantities.ts";
import type { Conversion } from "#resources/conversion.ts";
import { isEmpty, type ResourceSet } from "#resources/resources.ts";
import * as allocator from "./allocator/hierarchical.ts";
import type { FrameworkDescription } from "./allocator/hierarchical.ts";
import type { AgentRecord, FrameworkRecord, Master } from "./state.ts";

/** Whose resources, and under which role they were allocated. */
export interface Allocated {
  readonly agentId: AgentId;
  readonly frameworkId: FrameworkId;
  readonly role: string;
  readonly resources: ResourceSet;
}

/** How long, and how firmly, a framework refuses what comes back. */
export interface Refusal {
  readonly until: Millis;
  readonly firmUntil: Millis;
}

/** Resources come back to the pool. */
export function recover(master: Master, from: Allocated, refusal?: Refusal): void {
  if (!isEmpty(from.resources) && master.allocated.has(from.agentId))
    allocator.recover(master.allocator, from, refusal);
}

/** Resources are held: a task or executor that an agent reports. */
export function hold(master: Master, by: Allocated): void {
  if (!isEmpty(by.resources)) allocator.allocate(master.allocator, by);
}

/** Allocated resources become others: reserved ones, a volume. False when they are not there; nothing is changed then. */
export function convertAllocated(
  master: Master,
  at: Omit<Allocated, "resources"> & { readonly conversion: Conversion },
): boolean {
  return allocator.convert(master.allocator, at);
}

/** An agent has registered: this is what it has. */
export function agentIsThere(master: Master, agent: AgentRecord): void {
  const { agentId, total, info } = agent;
  const { hostname, attributes, domain } = info;
  const region = domain?.fault_domain?.region.name;
  const zone = domain?.fault_domain?.zone.name;
  const isActive = agent.connection !== undefined;
  if (master.allocated.has(agentId)) {
    allocator.updateAgent(master.allocator, agentId, { hostname, total, attributes, region, zone });
    allocator.setAgentActive(master.allocator, agentId, isActive);
    return;
  }
  master.allocated.add(agentId);
  allocator.addAgent(master.allocator, { agentId, hostname, total, attributes, region, zone, isActive });
}

/** Its socket is gone: nothing is offered, and what its tasks hold stays held. */
export function agentIsAway(master: Master, agentId: AgentId): void {
  if (master.allocated.has(agentId)) allocator.setAgentActive(master.allocator, agentId, false);
}

/** It has left: what was held there counts for nobody any more. */
export function agentHasLeft(master: Master, agentId: AgentId): void {
  if (master.allocated.delete(agentId)) allocator.removeAgent(master.allocator, agentId);
}

/** The roles that a framework has: `roles` with MULTI_ROLE, else the one `role`. */
export const rolesOf = (info: FrameworkInfo): readonly string[] =>
  isMultiRole(info) ? info.roles : [info.role ?? "*"];

const has = (info: FrameworkInfo, capability: string): boolean =>
  info.capabilities.some(({ type }) => type === capability);

export const isMultiRole = (info: FrameworkInfo): boolean => has(info, "MULTI_ROLE");
export const isRefining = (info: FrameworkInfo): boolean => has(info, "RESERVATION_REFINEMENT");

function describe({ id, info, suppressedRoles, offerConstraints }: FrameworkRecord): FrameworkDescription {
  return {
    frameworkId: id,
    roles: rolesOf(info),
    suppressedRoles,
    capabilities: {
      gpuResources: has(info, "GPU_RESOURCES"),
      regionAware: has(info, "REGION_AWARE"),
      reservationRefinement: isRefining(info),
      revocable: has(info, "REVOCABLE_RESOURCES"),
      shared: has(info, "SHARED_RESOURCES"),
    },
    offerConstraints,
    minAllocatable: new Map(
      Object.entries(info.offer_filters ?? {}).flatMap(([role, { min_allocatable_resources: least }]) =>
        least === undefined ? [] : [[role, least.quantities.map(({ quantities }) => amountsOf(quantities))]],
      ),
    ),
  };
}

const amountsOf = (named: Readonly<Record<string, { readonly value: number }>> | undefined): Quantities =>
  new Map(Object.entries(named ?? {}).map(([name, { value }]) => [name, toThousandths(value)]));

/** A framework is there, or says anew what it is. */
export function frameworkIs(master: Master, framework: FrameworkRecord): void {
  const isActive = framework.status.state === "connected";
  if (master.allocated.has(framework.id)) {
    allocator.updateFramework(master.allocator, describe(framework));
    allocator.setFrameworkActive(master.allocator, framework.id, isActive);
    return;
  }
  master.allocated.add(framework.id);
  allocator.addFramework(master.allocator, { ...describe(framework), isActive });
}

/** Its stream is gone: no offers, and its refusals are forgotten. */
export function frameworkIsAway(master: Master, frameworkId: FrameworkId): void {
  if (master.allocated.has(frameworkId)) allocator.setFrameworkActive(master.allocator, frameworkId, false);
}

/** It is removed. What its tasks hold, they hold until they have ended. */
export function frameworkHasLeft(master: Master, frameworkId: FrameworkId): void {
  if (master.allocated.delete(frameworkId)) allocator.removeFramework(master.allocator, frameworkId);
}

/** Weights and quotas as the registry has them. */
export function followShares(master: Master): void {
  const { weights, quotas } = master.registry;
  allocator.setWeights(master.allocator, new Map([...weights.values()].map(({ role, weight }) => [role, weight])));
  for (const role of master.quotaRoles) if (!quotas.has(role)) allocator.setQuota(master.allocator, role, undefined);
  master.quotaRoles.clear();
  for (const { role, guarantees, limits } of quotas.values()) {
    master.quotaRoles.add(role);
    const quota = { guarantees: thousandthsOf(guarantees), limits: thousandthsOf(limits) };
    allocator.setQuota(master.allocator, role, quota);
  }
}

const thousandthsOf = (amounts: readonly Quantity[]): Quantities =>
  new Map(amounts.map(({ name, value }) => [name, toThousandths(value)]));

/** Builds the allocator's books from the master's, after those were read back from rows. */
export function rebuildAllocation(master: Master): void {
  assert(master.allocated.size === 0, "the allocator is empty before it is built");
  followShares(master);
  for (const framework of master.frameworks.values()) {
    if (framework.status.state !== "removed") frameworkIs(master, framework);
  }
  for (const agent of master.agents.values()) {
    if (agent.session === undefined) continue;
    agentIsThere(master, agent);
    for (const executor of agent.executors.values()) hold(master, { agentId: agent.agentId, ...executor });
    for (const task of master.tasksByAgent.get(agent.agentId) ?? []) if (!isTerminal(task.latest)) hold(master, task);
  }
}

/**
 * After a failover with quotas, whoever comes first must not take what is guaranteed to others whose agents are not back: nothing is
 * offered before most agents are here, or have had the time. Until when, if it is so. Source: Mesos' allocator recovery: 80 % or 10 min.
 */
export function allocationHeldUntil(master: Master, now: Millis): Millis | undefined {
  const { recoveredOf, recovered, quotaRoles, electedAt } = master;
  if (quotaRoles.size === 0 || recoveredOf === undefined || recoveredOf === 0) return undefined;
  const until = millis(electedAt + ALLOCATOR_RECOVERY_MS);
  return recovered.size * ALLOCATOR_RECOVERY_PARTS > recoveredOf && now < until ? until : undefined;
}
/** Of so many agents one may be missing. */
const ALLOCATOR_RECOVERY_PARTS = 5;
const ALLOCATOR_RECOVERY_MS = millis(600_000);
