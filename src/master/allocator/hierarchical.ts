// Who is offered what: Mesos' hierarchical allocator. It decides allocations, and books them; what an offer is, when it ends and whom
// it is told are the master's. Rules in SPEC.md beside it, as [AL1] and so on.
//
// An allocator is changed in place. Its caller tells it what happens, and calls `run` at the end of a turn: nothing is looked at
// that has not changed. `books.ts` keeps the sums, `order.ts` fair shares, `quota.ts` limits and guarantees, `filters.ts` refusals.
import { assert } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import type { OfferConstraints } from "#protocol/offer-constraints.ts";
import type { Attribute } from "#protocol/resource.ts";
import { convert as convertSet, type Conversion } from "#resources/conversion.ts";
import { covers, NO_QUANTITIES, type Quantities, quantitiesOf, tally } from "#resources/quantities.ts";
import { add, contains, isEmpty, NOTHING, type ResourceSet, sum } from "#resources/resources.ts";
import {
  type Agent,
  type Allocator,
  type AllocatorOptions,
  book,
  bookedOf,
  type Client,
  clientAt,
  findClient,
  forgetTurns,
  type FrameworkCapabilities,
  holds,
  loneOf,
  makeRole,
  markChanged,
  pruneClient,
  pruneRole,
  type Quota,
  recountMissing,
  refreshFree,
  relist,
  rerankUpwards,
  roleAt,
  setFree,
  setTotal,
  unbook,
} from "./books.ts";
import { constraintsByRole } from "./constraints.ts";
import { addFilter, clearFiltersOf, clearFiltersOn, nextEnd } from "./filters.ts";
import { shareOf } from "./order.ts";

export type { Allocator, AllocatorOptions, FrameworkCapabilities, Quota } from "./books.ts";
export { constraintsProblem } from "./constraints.ts";
export { type Allocation, isDue, run } from "./run.ts";

/** Source: Mesos min_allocatable_resources, `cpus:0.01|mem:32`. */
export const MIN_ALLOCATABLE_DEFAULT: readonly Quantities[] = [quantitiesOf({ cpus: 0.01 }), quantitiesOf({ mem: 32 })];

export interface AgentDescription {
  readonly agentId: AgentId;
  readonly hostname: string;
  readonly total: ResourceSet;
  readonly attributes: readonly Attribute[];
  readonly region: string | undefined;
  readonly zone: string | undefined;
}

export interface FrameworkDescription {
  readonly frameworkId: FrameworkId;
  readonly roles: readonly string[];
  readonly suppressedRoles: ReadonlySet<string>;
  readonly capabilities: FrameworkCapabilities;
  /** Without a `constraintsProblem`. */
  readonly offerConstraints?: OfferConstraints | undefined;
  /** By role, in the place of the allocator's. */
  readonly minAllocatable?: ReadonlyMap<string, readonly Quantities[]> | undefined;
}

/** A framework in one of its roles, on one agent. */
export interface Holder {
  readonly agentId: AgentId;
  readonly frameworkId: FrameworkId;
  readonly role: string;
}

export function newAllocator(options: AllocatorOptions): Allocator {
  return {
    options,
    excluded: new Set(options.fairSharingExcluded),
    agents: new Map(),
    frameworks: new Map(),
    clients: new Map(),
    root: makeRole("", undefined, 1),
    roles: new Map(),
    weights: new Map(),
    quotaRoles: new Map(),
    total: new Map(),
    capacity: new Map(),
    sharesVersion: 0,
    required: new Map(),
    available: new Map(),
    settled: undefined,
    changed: new Map(),
    fresh: new Set(),
    heldBack: new Set(),
    ownMinimums: 0,
    ends: { heap: [], gone: 0 },
  };
}

export function addAgent(a: Allocator, described: AgentDescription & { readonly isActive: boolean }): void {
  const { agentId, hostname, attributes, region, zone, isActive } = described;
  assert(!a.agents.has(agentId), "an agent is added once");
  const agent: Agent = {
    agentId,
    hostname,
    attributes,
    region,
    zone,
    isActive,
    total: NOTHING,
    lone: NOTHING,
    shared: NOTHING,
    hasGpus: false,
    bookings: new Map(),
    allocated: NOTHING,
    free: NOTHING,
    available: NO_QUANTITIES,
    filters: new Map(),
  };
  a.agents.set(agentId, agent);
  setTotal(a, agent, described.total);
  markChanged(a, agent);
}

/** What is not named stays. Other attributes end the refusals on the agent: they may have been about those [AL16]. */
export function updateAgent(a: Allocator, agentId: AgentId, change: Partial<Omit<AgentDescription, "agentId">>): void {
  const agent = agentAt(a, agentId);
  const { total, attributes } = change;
  if (attributes !== undefined && JSON.stringify(attributes) !== JSON.stringify(agent.attributes)) {
    clearFiltersOn(a, agent);
    agent.attributes = attributes;
  }
  if (change.hostname !== undefined) agent.hostname = change.hostname;
  if ("region" in change) agent.region = change.region;
  if ("zone" in change) agent.zone = change.zone;
  if (total !== undefined) setTotal(a, agent, total);
  markChanged(a, agent);
}

/** Of an inactive agent nothing is offered; what is allocated stays so. */
export function setAgentActive(a: Allocator, agentId: AgentId, isActive: boolean): void {
  const agent = agentAt(a, agentId);
  if (agent.isActive === isActive) return;
  agent.isActive = isActive;
  setFree(a, agent, agent.free);
  if (isActive) markChanged(a, agent);
}

/** Forgets the agent with its allocations and refusals. What is recovered of it later comes too late, and does nothing. */
export function removeAgent(a: Allocator, agentId: AgentId): void {
  const agent = agentAt(a, agentId);
  clearFiltersOn(a, agent);
  for (const [client, booking] of [...agent.bookings]) {
    const { shared } = booking;
    for (const { held, times } of [...(shared?.values() ?? [])])
      for (let time = 0; time < times; time++) unbook(a, agent, client, { pools: new Map([[held.pool.key, held]]) });
    if (!isEmpty(booking.resources)) unbook(a, agent, client, booking.resources);
    rerankUpwards(a, client);
    pruneClient(a, client);
  }
  agent.isActive = false;
  setTotal(a, agent, NOTHING);
  a.agents.delete(agentId);
  a.changed.delete(agent);
  a.heldBack.delete(agent);
}

/** What the framework holds may be booked before it is known itself. */
export function addFramework(a: Allocator, described: FrameworkDescription & { readonly isActive: boolean }): void {
  const { frameworkId, capabilities, isActive } = described;
  assert(!a.frameworks.has(frameworkId), "a framework is added once");
  a.frameworks.set(frameworkId, { frameworkId, capabilities, isActive });
  describe(a, described);
}

/** What it holds in roles that it gave up stays booked until it is recovered. Roles that are not suppressed any more are revived. */
export function updateFramework(a: Allocator, described: FrameworkDescription): void {
  const framework = a.frameworks.get(described.frameworkId);
  assert(framework !== undefined, "only a framework that is there is updated");
  framework.capabilities = described.capabilities;
  describe(a, described);
}

function describe(a: Allocator, described: FrameworkDescription): void {
  const { frameworkId, roles, suppressedRoles, minAllocatable, offerConstraints } = described;
  const constraints = constraintsByRole(offerConstraints);
  const wanted = new Set(roles);
  for (const client of clientsOf(a, frameworkId))
    if (client.isSubscribed && !wanted.has(client.parent.parent.path)) unsubscribe(a, client);
  for (const role of wanted) {
    const client = clientAt(a, frameworkId, role);
    client.isSubscribed = true;
    client.constraints = constraints.get(role);
    setMinimum(a, client, minAllocatable?.get(role));
    setSuppressed(a, client, suppressedRoles.has(role));
    // It may be offered what it was not before, for any of the reasons above.
    if (client.isListed) a.fresh.add(client);
  }
}

/** A framework that is not active is offered nothing. Its refusals end, and it has had no turn. */
export function setFrameworkActive(a: Allocator, frameworkId: FrameworkId, isActive: boolean): void {
  const framework = a.frameworks.get(frameworkId);
  assert(framework !== undefined, "only a framework that is there is activated");
  if (framework.isActive === isActive) return;
  framework.isActive = isActive;
  for (const client of clientsOf(a, frameworkId)) {
    if (!isActive) {
      clearFiltersOf(a, client);
      forgetTurns(a, client);
    }
    if (relist(a, client)) a.fresh.add(client);
  }
}

/** What it holds stays booked until it is recovered: its tasks have not ended yet. */
export function removeFramework(a: Allocator, frameworkId: FrameworkId): void {
  assert(a.frameworks.delete(frameworkId), "only a framework that is there is removed");
  for (const client of clientsOf(a, frameworkId)) {
    forgetTurns(a, client);
    if (client.isSubscribed) unsubscribe(a, client);
  }
}

/** No roles: all of them. A role that is not the framework's is left out. */
export function suppress(a: Allocator, frameworkId: FrameworkId, roles: readonly string[]): void {
  for (const client of subscribedIn(a, frameworkId, roles)) setSuppressed(a, client, true);
}

/** As {@link suppress}. Ends the refusals of those roles, too. */
export function revive(a: Allocator, frameworkId: FrameworkId, roles: readonly string[]): void {
  for (const client of subscribedIn(a, frameworkId, roles)) {
    if (client.filterCount > 0 && client.isListed) a.fresh.add(client);
    clearFiltersOf(a, client);
    setSuppressed(a, client, false);
  }
}

/** Of all roles that have one; others have 1. They are counted with from the next allocation on, which they do not bring about. */
export function setWeights(a: Allocator, weights: ReadonlyMap<string, number>): void {
  a.weights = new Map(weights);
  for (const role of a.roles.values()) role.weight = weights.get(role.path) ?? 1;
  a.sharesVersion += 1;
}

/** Of a role at the top; it counts for all below it. Guarantees are at most the limits. */
export function setQuota(a: Allocator, path: string, quota: Quota | undefined): void {
  assert(!path.includes("/"), "[AL17] only a role at the top has a quota");
  const role = roleAt(a, path);
  if (role.quota !== undefined) tally(a.required, role.quota.missing, -1);
  role.quota = undefined;
  a.quotaRoles.delete(path);
  if (quota !== undefined) {
    const { guarantees, limits } = quota;
    for (const [name, limit] of limits)
      assert((guarantees.get(name) ?? 0) <= limit, "[AL17] a guarantee is at most the limit");
    role.quota = { guarantees, limits, missing: NO_QUANTITIES, settled: undefined };
    a.quotaRoles.set(path, role);
    recountMissing(a, role);
  }
  for (const agent of a.heldBack) markChanged(a, agent);
  a.heldBack.clear();
  pruneRole(a, role);
}

/** Books what somebody holds and did not get by a run: tasks that an agent reports, of frameworks that may not be known yet. */
export function allocate(a: Allocator, at: Holder & { readonly resources: ResourceSet }): void {
  if (isEmpty(at.resources)) return;
  const agent = agentAt(a, at.agentId);
  const client = clientAt(a, at.frameworkId, at.role);
  book(a, agent, client, at.resources, 1);
  refreshFree(a, agent);
  rerankUpwards(a, client);
}

/**
 * Takes back what somebody held. `filter` says that it does not want it again: until `firmUntil` nothing of this agent in this role,
 * until `until`, which is not before that, nothing that it has seen with this. An agent that is not there (any more) is nobody's.
 */
export function recover(
  a: Allocator,
  at: Holder & { readonly resources: ResourceSet },
  filter?: { readonly until: Millis; readonly firmUntil: Millis },
): void {
  const agent = a.agents.get(at.agentId);
  if (agent === undefined || isEmpty(at.resources)) return;
  const client = findClient(a, at.frameworkId, at.role);
  assert(client !== undefined, "[AL4] only who holds something gives it back");
  unbook(a, agent, client, at.resources);
  refreshFree(a, agent);
  rerankUpwards(a, client);
  markChanged(a, agent);
  if (filter !== undefined && client.isSubscribed && a.frameworks.get(at.frameworkId)?.isActive === true)
    addFilter(a, agent, client, at.resources, filter);
  pruneClient(a, client);
}

/**
 * Applies an operation to what a framework holds, or to what is free. The agent has the result from then on, and so has who held it.
 * False, and nothing changed, when what is consumed is not there, or is a shared volume that somebody else has as well.
 */
export function convert(
  a: Allocator,
  at: {
    readonly agentId: AgentId;
    readonly frameworkId?: FrameworkId;
    readonly role?: string;
    readonly conversion: Conversion;
  },
): boolean {
  const agent = a.agents.get(at.agentId);
  if (agent === undefined) return false;
  const { consumed, converted } = at.conversion;
  const total = convertSet(agent.total, at.conversion);
  if (total === undefined) return false;
  let uses = 0;
  for (const { shared } of agent.bookings.values())
    for (const key of consumed.pools.keys()) uses += shared?.get(key)?.times ?? 0;
  if (at.frameworkId === undefined || at.role === undefined) {
    if (uses > 0 || !contains(agent.free, loneOf(consumed))) return false;
    setTotal(a, agent, total);
    markChanged(a, agent);
    return true;
  }
  const client = findClient(a, at.frameworkId, at.role);
  const booking = client === undefined ? undefined : agent.bookings.get(client);
  if (client === undefined || booking === undefined || !holds(booking, consumed) || uses > 1) return false;
  unbook(a, agent, client, consumed);
  book(a, agent, client, converted, 0);
  setTotal(a, agent, total);
  rerankUpwards(a, client);
  // A volume that is shared now is there for everybody, also for who refused the rest of the agent without it.
  markChanged(a, agent);
  return true;
}

/** When a refusal next ends, or is no longer firm: {@link isDue} then says yes without any other change. Never before `now`. */
export function nextWake(a: Allocator, now: Millis): Millis | undefined {
  const end = nextEnd(a);
  return end !== undefined && end < now ? now : end;
}

/** What could be offered of an agent, shared volumes among it; also of one that is not active. */
export const free = (a: Allocator, agentId: AgentId): ResourceSet => {
  const agent = agentAt(a, agentId);
  return add(agent.free, agent.shared);
};

/** What is offered and used on an agent; shared volumes once. */
export const allocatedOn = (a: Allocator, agentId: AgentId): ResourceSet => {
  const agent = agentAt(a, agentId);
  const shared = new Map(
    [...agent.bookings.values()].flatMap((booking) =>
      [...(booking.shared ?? [])].map(([key, { held }]) => [key, held]),
    ),
  );
  return shared.size === 0 ? agent.allocated : add(agent.allocated, { pools: shared });
};

/** What a framework holds, in offers and in use, by role; shared volumes once on each agent. */
export const allocatedTo = (a: Allocator, frameworkId: FrameworkId): ReadonlyMap<string, ResourceSet> =>
  new Map(
    clientsOf(a, frameworkId)
      .filter(({ bookings }) => bookings.size > 0)
      .map((client) => [client.parent.parent.path, heldBy(client)]),
  );

/** What frameworks hold in exactly this role. */
export const allocatedIn = (a: Allocator, role: string): ResourceSet =>
  sum([...(a.roles.get(role)?.leaf.clients.values() ?? [])].map(heldBy));

const heldBy = ({ bookings }: Client): ResourceSet => sum([...bookings.values()].map(bookedOf));

/** Scalars of all agents that last, active or not: what guarantees can be given out of. */
export const capacity = (a: Allocator): Quantities => a.capacity;

export interface RoleView {
  readonly role: string;
  readonly weight: number;
  readonly quota: Quota | undefined;
  /** Subscribed to exactly this role, or holding something in it. */
  readonly frameworks: readonly FrameworkId[];
  /** Offered and in use, in this role and below: everything, and what of it counts against the quota (unreserved, not revocable). */
  readonly held: Quantities;
  readonly unreservedHeld: Quantities;
  /** Reserved to this role and below, allocated or not. */
  readonly reserved: Quantities;
  /** What counts against its quota: reservations, and what it holds beside them. Offers are in it. */
  readonly consumed: Quantities;
  /** Its dominant share, by its weight. */
  readonly share: number;
  /** Refusals of exactly this role's frameworks. */
  readonly filters: number;
}

/** Also of a role of which nothing is known. */
export function roleView(a: Allocator, path: string): RoleView {
  const role = a.roles.get(path) ?? makeRole(path, undefined, a.weights.get(path) ?? 1);
  const clients = [...role.leaf.clients.values()];
  const consumed = new Map(role.reserved);
  tally(consumed, role.unreservedHeld, 1);
  return {
    role: path,
    weight: role.weight,
    quota: role.quota === undefined ? undefined : { guarantees: role.quota.guarantees, limits: role.quota.limits },
    frameworks: clients.map(({ frameworkId }) => frameworkId),
    held: role.held,
    unreservedHeld: role.unreservedHeld,
    reserved: role.reserved,
    consumed,
    share: shareOf(a, role),
    filters: clients.reduce((total, { filterCount }) => total + filterCount, 0),
  };
}

/** Roles with frameworks, reservations, a quota or a weight, and those above them. */
export const knownRoles = (a: Allocator): readonly string[] => [...new Set([...a.roles.keys(), ...a.weights.keys()])];

/** Whether quotas with these guarantees together could all be met by the agents that are there. */
export function canGuarantee(a: Allocator, guarantees: Iterable<Quantities>): boolean {
  const total = new Map<string, number>();
  for (const one of guarantees) tally(total, one, 1);
  return covers(a.capacity, total);
}

function agentAt(a: Allocator, agentId: AgentId): Agent {
  const agent = a.agents.get(agentId);
  assert(agent !== undefined, "only an agent that was added is spoken of");
  return agent;
}

const clientsOf = (a: Allocator, frameworkId: FrameworkId): readonly Client[] => [
  ...(a.clients.get(frameworkId)?.values() ?? []),
];

const subscribedIn = (a: Allocator, frameworkId: FrameworkId, roles: readonly string[]): readonly Client[] =>
  clientsOf(a, frameworkId).filter(
    ({ isSubscribed, parent }) => isSubscribed && (roles.length === 0 || roles.includes(parent.parent.path)),
  );

function setMinimum(a: Allocator, client: Client, minimum: readonly Quantities[] | undefined): void {
  const change = Number(minimum !== undefined) - Number(client.minimum !== undefined);
  client.parent.ownMinimums += change;
  a.ownMinimums += change;
  client.minimum = minimum;
}

/** Whoever is not suppressed any more has refused nothing. */
function setSuppressed(a: Allocator, client: Client, isSuppressed: boolean): void {
  if (client.isSuppressed && !isSuppressed) clearFiltersOf(a, client);
  client.isSuppressed = isSuppressed;
  if (relist(a, client)) a.fresh.add(client);
}

function unsubscribe(a: Allocator, client: Client): void {
  client.isSubscribed = false;
  client.isSuppressed = false;
  client.constraints = undefined;
  setMinimum(a, client, undefined);
  clearFiltersOf(a, client);
  relist(a, client);
  pruneClient(a, client);
}
