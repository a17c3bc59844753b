// The allocator's books: agents with what is free on them, roles as a tree, and their clients: a framework in one of its roles. What is
// asked again and again (free sets, sums of roles, the cluster's total) is kept up to date with each change, and never counted anew.
//
// Whoever changes an amount comes through here, so that the sums are right by themselves: {@link book}, {@link unbook},
// {@link setTotal}, {@link setFree}.
import { assert } from "#base/assert.ts";
import type { Random } from "#base/random.ts";
import type { Millis } from "#base/time.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import type { Attribute } from "#protocol/resource.ts";
import { type Pool, reservationRole } from "#resources/pool.ts";
import { NO_QUANTITIES, type Quantities, tally } from "#resources/quantities.ts";
import {
  add,
  contains,
  type Held,
  isEmpty,
  NOTHING,
  quantities,
  type ResourceSet,
  select,
  setOf,
  subtract,
} from "#resources/resources.ts";
import type { Constraints } from "./constraints.ts";
import { list, rerank, unlist } from "./order.ts";

export interface AllocatorOptions {
  /** What must be there to be worth an offer: any one suffices. Without any, whatever is there suffices. */
  readonly minAllocatable: readonly Quantities[];
  /** Kinds that do not count for fair shares. */
  readonly fairSharingExcluded: readonly string[];
  readonly random: Random;
  /** Where the plane is. Without one, no agent is in another region. */
  readonly region: string | undefined;
}

/** What a framework can deal with. */
export interface FrameworkCapabilities {
  readonly gpuResources: boolean;
  readonly regionAware: boolean;
  readonly reservationRefinement: boolean;
  readonly revocable: boolean;
  readonly shared: boolean;
}

export interface Quota {
  /** A kind that is not named: nothing is held back. */
  readonly guarantees: Quantities;
  /** A kind that is not named: without end. At least the guarantee. */
  readonly limits: Quantities;
}

/** Whoever contends with its siblings for what is free. */
interface Contender {
  /** Among siblings: the last tie-break. */
  readonly name: string;
  weight: number;
  /** Thousandths of every scalar allocated to it, on whatever agent. */
  readonly held: Map<string, number>;
  /** Allocations so far. */
  turns: number;
  /** Its place goes by these: share and turns as they were when it was put there. */
  rankedShare: number;
  rankedTurns: number;
  /** Whether it is in its parent's `listed`. */
  isListed: boolean;
}

export interface Role extends Contender {
  readonly type: "role";
  /** The whole path; empty for the root. */
  readonly path: string;
  readonly parent: Role | undefined;
  /** By the whole path. */
  readonly children: Map<string, Role>;
  /** Its own frameworks, beside those of its children. */
  readonly leaf: Leaf;
  /** Those below which somebody may be offered something, in order once `order.ts` has seen to it. */
  readonly listed: (Role | Leaf)[];
  sortedFor: number;
  /** Reserved to it and below, on all agents, allocated or not, not revocable. */
  readonly reserved: Map<string, number>;
  /** Unreserved, not revocable, allocated to it and below. */
  readonly unreservedHeld: Map<string, number>;
  /** Of a role at the top only. */
  quota: QuotaAccount | undefined;
}

/** The frameworks of exactly one role. Among the role's children it is one more, of weight 1. Source: Mesos' virtual leaf `.`. */
export interface Leaf extends Contender {
  readonly type: "leaf";
  readonly parent: Role;
  /** Whoever is subscribed or holds something. */
  readonly clients: Map<FrameworkId, Client>;
  /** Those who may be offered something. */
  readonly listed: Client[];
  sortedFor: number;
  /** Clients among them with a minimum of their own. */
  ownMinimums: number;
}

/** A framework in one role. */
export interface Client extends Contender {
  readonly type: "client";
  readonly frameworkId: FrameworkId;
  readonly parent: Leaf;
  readonly bookings: Map<Agent, Booking>;
  /** Of the framework's; when it is not subscribed, what it still holds waits to be recovered. */
  isSubscribed: boolean;
  isSuppressed: boolean;
  /** In the place of the allocator's. */
  minimum: readonly Quantities[] | undefined;
  constraints: Constraints | undefined;
  filterCount: number;
}

export interface Framework {
  readonly frameworkId: FrameworkId;
  capabilities: FrameworkCapabilities;
  isActive: boolean;
}

/** What one client has of one agent. */
export interface Booking {
  resources: ResourceSet;
  /** Shared volumes, by pool, with how many times it has each: they are not used up. Undefined for none: there is a booking for every few tasks. */
  shared: Map<string, { readonly held: Held; times: number }> | undefined;
}

export interface Agent {
  readonly agentId: AgentId;
  hostname: string;
  attributes: readonly Attribute[];
  region: string | undefined;
  zone: string | undefined;
  isActive: boolean;
  total: ResourceSet;
  /** What of the total is used up by whoever has it, and what is not. */
  lone: ResourceSet;
  shared: ResourceSet;
  hasGpus: boolean;
  readonly bookings: Map<Client, Booking>;
  /** The sum of the bookings, without what is shared. */
  allocated: ResourceSet;
  /** Without what is shared. Each change makes a new set: whoever has seen this one has seen all of it. */
  free: ResourceSet;
  /** What it adds to the allocator's `available`. */
  available: Quantities;
  readonly filters: Map<Client, Filter[]>;
}

/** A framework in one role does not want this of an agent. */
export interface Filter {
  readonly agent: Agent;
  readonly client: Client;
  readonly refused: ResourceSet;
  readonly until: Millis;
  /** Before this it holds whatever else becomes free. */
  readonly firmUntil: Millis;
  isGone: boolean;
  /** The agent's `free` that was last compared with it, and whether all of that is refused. */
  seen: ResourceSet | undefined;
  refusesAll: boolean;
}

export interface QuotaAccount extends Quota {
  /** What is missing to the guarantees; nothing that is not above 0. */
  missing: Quantities;
  /** {@link QuotaAccount} is settled after a run: what the role could have had more then. See `quota.ts`. */
  settled: Quantities | undefined;
}

/** Why an agent is looked at: for everybody, or for some clients. */
export type Reason = "everybody" | Set<Client>;

export interface Allocator {
  readonly options: AllocatorOptions;
  readonly excluded: ReadonlySet<string>;
  readonly agents: Map<AgentId, Agent>;
  readonly frameworks: Map<FrameworkId, Framework>;
  /** By framework and role; also of frameworks that are gone or not known yet and hold something. */
  readonly clients: Map<FrameworkId, Map<string, Client>>;
  readonly root: Role;
  readonly roles: Map<string, Role>;
  weights: ReadonlyMap<string, number>;
  /** Roles at the top with a quota. */
  readonly quotaRoles: Map<string, Role>;
  /** All scalars of all agents, and those that are not revocable. */
  readonly total: Map<string, number>;
  readonly capacity: Map<string, number>;
  /** Goes on with each change by which every share and every order is another. */
  sharesVersion: number;
  /** What all guarantees together miss. */
  readonly required: Map<string, number>;
  /** Unreserved, not revocable, and free, on active agents. */
  readonly available: Map<string, number>;
  /** As in {@link QuotaAccount}, for roles without a quota. */
  settled: Quantities | undefined;
  /** Agents that changed since the last run, for everybody or for those of whose filters one ended. */
  readonly changed: Map<Agent, Reason>;
  /** Clients that have not been looked at since they could be offered something. */
  readonly fresh: Set<Client>;
  /** Agents on which something was held back for a limit or a guarantee. */
  readonly heldBack: Set<Agent>;
  /** Clients with a minimum of their own. */
  ownMinimums: number;
  readonly ends: FilterEnds;
}

/** When filters end, soonest first: a heap. Filters that went before their end are left in it until there are too many. */
export interface FilterEnds {
  readonly heap: { readonly at: Millis; readonly filter: Filter }[];
  gone: number;
}

/** Counts against a quota, and towards the headroom that guarantees need. */
export const isCountable = ({ reservations, isRevocable }: Pool): boolean => reservations.length === 0 && !isRevocable;

const isLone = ({ isShared }: Pool): boolean => !isShared;

/** What is used up by whoever has it. */
export const loneOf = (set: ResourceSet): ResourceSet => select(set, isLone);

export const countableOf = (set: ResourceSet): ResourceSet => select(set, isCountable);

const contender = (name: string, weight: number) => ({
  name,
  weight,
  held: new Map<string, number>(),
  turns: 0,
  rankedShare: 0,
  rankedTurns: 0,
  isListed: false,
});

export function makeRole(path: string, parent: Role | undefined, weight: number): Role {
  const role: Omit<Role, "leaf"> & { leaf?: Leaf } = {
    ...contender(path, weight),
    type: "role",
    path,
    parent,
    children: new Map(),
    listed: [],
    sortedFor: -1,
    reserved: new Map(),
    unreservedHeld: new Map(),
    quota: undefined,
  };
  const made = role as Role;
  role.leaf = {
    ...contender(`${path}/.`, 1),
    type: "leaf",
    parent: made,
    clients: new Map(),
    listed: [],
    sortedFor: -1,
    ownMinimums: 0,
  };
  return made;
}

/** The role at `path`, made if need be with those above it. */
export function roleAt(a: Allocator, path: string): Role {
  const found = a.roles.get(path);
  if (found !== undefined) return found;
  const slash = path.lastIndexOf("/");
  const parent = slash < 0 ? a.root : roleAt(a, path.slice(0, slash));
  const role = makeRole(path, parent, a.weights.get(path) ?? 1);
  parent.children.set(path, role);
  a.roles.set(path, role);
  return role;
}

/** Forgets a role, and those above it, of which nothing is known any more. */
export function pruneRole(a: Allocator, role: Role): void {
  for (let at: Role = role; at.parent !== undefined; at = at.parent) {
    const isNeeded = at.children.size > 0 || at.leaf.clients.size > 0 || at.reserved.size > 0 || at.quota !== undefined;
    if (isNeeded) return;
    at.parent.children.delete(at.path);
    a.roles.delete(at.path);
  }
}

/** The role at the top, whose quota counts for all below it. */
export function topOf(role: Role): Role {
  let top = role;
  while (top.parent?.parent !== undefined) top = top.parent;
  return top;
}

export const findClient = (a: Allocator, frameworkId: FrameworkId, role: string): Client | undefined =>
  a.clients.get(frameworkId)?.get(role);

export function clientAt(a: Allocator, frameworkId: FrameworkId, path: string): Client {
  const found = findClient(a, frameworkId, path);
  if (found !== undefined) return found;
  const { leaf } = roleAt(a, path);
  const client: Client = {
    ...contender(frameworkId, 1),
    type: "client",
    frameworkId,
    parent: leaf,
    bookings: new Map(),
    isSubscribed: false,
    isSuppressed: false,
    minimum: undefined,
    constraints: undefined,
    filterCount: 0,
  };
  leaf.clients.set(frameworkId, client);
  const roles = a.clients.get(frameworkId);
  if (roles === undefined) a.clients.set(frameworkId, new Map([[path, client]]));
  else roles.set(path, client);
  return client;
}

/** Forgets a client that is nobody's any more. */
export function pruneClient(a: Allocator, client: Client): void {
  if (client.isSubscribed || client.bookings.size > 0) return;
  forgetTurns(a, client);
  const role = client.parent.parent;
  client.parent.clients.delete(client.frameworkId);
  const roles = a.clients.get(client.frameworkId);
  roles?.delete(role.path);
  if (roles?.size === 0) a.clients.delete(client.frameworkId);
  a.fresh.delete(client);
  pruneRole(a, role);
}

/** The client, its leaf, its role, and the roles above it, without the root. */
export function* upwards(client: Client): Generator<Client | Leaf | Role> {
  yield client;
  yield client.parent;
  for (let role = client.parent.parent; role.parent !== undefined; role = role.parent) yield role;
}

/** Its allocations so far do not count any more for whose turn it is. */
export function forgetTurns(a: Allocator, client: Client): void {
  const { turns } = client;
  if (turns === 0) return;
  for (const one of upwards(client)) one.turns -= turns;
  rerankUpwards(a, client);
}

/** Whether it may be offered anything at all decides whether it is listed. Says whether it was listed just now. */
export function relist(a: Allocator, client: Client): boolean {
  const isWanted =
    client.isSubscribed && !client.isSuppressed && a.frameworks.get(client.frameworkId)?.isActive === true;
  if (isWanted === client.isListed) return false;
  if (isWanted) list(client);
  else unlist(client);
  return isWanted;
}

/** Enters what a client has of an agent. `free` is the caller's. */
export function book(a: Allocator, agent: Agent, client: Client, resources: ResourceSet, turns: 0 | 1): void {
  let booking = agent.bookings.get(client);
  if (booking === undefined) {
    booking = { resources: NOTHING, shared: undefined };
    agent.bookings.set(client, booking);
    client.bookings.set(agent, booking);
  }
  const lone = loneOf(resources);
  booking.resources = add(booking.resources, lone);
  agent.allocated = add(agent.allocated, lone);
  let counted = lone;
  if (lone !== resources) {
    for (const [key, held] of resources.pools) {
      if (!held.pool.isShared) continue;
      const known = booking.shared?.get(key);
      if (known !== undefined) known.times += 1;
      else {
        booking.shared ??= new Map();
        booking.shared.set(key, { held, times: 1 });
        counted = add(counted, setOf([held]));
      }
    }
  }
  count(a, client, counted, 1, turns);
}

/** The opposite of {@link book}. Nobody gives back what it does not have. */
export function unbook(a: Allocator, agent: Agent, client: Client, resources: ResourceSet): void {
  const booking = agent.bookings.get(client);
  assert(booking !== undefined && holds(booking, resources), "[AL4] only what is allocated comes back");
  const lone = loneOf(resources);
  booking.resources = subtract(booking.resources, lone);
  agent.allocated = subtract(agent.allocated, lone);
  let counted = lone;
  if (lone !== resources) {
    for (const [key, held] of resources.pools) {
      const known = held.pool.isShared ? booking.shared?.get(key) : undefined;
      if (known === undefined) continue;
      known.times -= 1;
      if (known.times > 0) continue;
      booking.shared?.delete(key);
      if (booking.shared?.size === 0) booking.shared = undefined;
      counted = add(counted, setOf([held]));
    }
  }
  if (isEmpty(booking.resources) && booking.shared === undefined) {
    agent.bookings.delete(client);
    client.bookings.delete(agent);
  }
  count(a, client, counted, -1, 0);
}

/** Whether a booking has all of this. */
export function holds(booking: Booking, resources: ResourceSet): boolean {
  if (!contains(booking.resources, loneOf(resources))) return false;
  for (const [key, { pool }] of resources.pools) if (pool.isShared && booking.shared?.has(key) !== true) return false;
  return true;
}

/** A booking as one set: what is shared is in it once. */
export const bookedOf = ({ resources, shared }: Booking): ResourceSet =>
  shared === undefined ? resources : add(resources, setOf([...shared.values()].map(({ held }) => held)));

function count(a: Allocator, client: Client, resources: ResourceSet, sign: 1 | -1, turns: 0 | 1): void {
  const all = quantities(resources);
  const countable = countableOf(resources);
  const ofQuota = countable === resources ? all : quantities(countable);
  for (const one of upwards(client)) {
    tally(one.held, all, sign);
    one.turns += turns;
    if (one.type === "role") tally(one.unreservedHeld, ofQuota, sign);
  }
  if (ofQuota.size > 0) recountMissing(a, topOf(client.parent.parent));
}

/** After a change of what a role at the top consumes, or of its quota. */
export function recountMissing(a: Allocator, top: Role): void {
  const { quota } = top;
  if (quota === undefined) return;
  tally(a.required, quota.missing, -1);
  const missing = new Map<string, number>();
  for (const [name, guarantee] of quota.guarantees) {
    const short = guarantee - consumedOf(top, name);
    if (short > 0) missing.set(name, short);
  }
  quota.missing = missing;
  tally(a.required, missing, 1);
}

/** What counts against a quota: reservations, whoever has them, and what is allocated beside them. */
export const consumedOf = ({ reserved, unreservedHeld }: Role, name: string): number =>
  (reserved.get(name) ?? 0) + (unreservedHeld.get(name) ?? 0);

/** What an agent has from now on, and the sums that follow. */
export function setTotal(a: Allocator, agent: Agent, total: ResourceSet): void {
  const before = quantities(agent.total);
  const after = quantities(total);
  if (!isSame(before, after)) {
    tally(a.total, before, -1);
    tally(a.total, after, 1);
    a.sharesVersion += 1;
  }
  const lasting = ({ isRevocable }: Pool): boolean => !isRevocable;
  tally(a.capacity, quantities(select(agent.total, lasting)), -1);
  tally(a.capacity, quantities(select(total, lasting)), 1);
  countReservations(a, total, 1);
  countReservations(a, agent.total, -1);
  agent.total = total;
  agent.lone = loneOf(total);
  agent.shared = agent.lone === total ? NOTHING : select(total, ({ isShared }) => isShared);
  agent.hasGpus = (after.get("gpus") ?? 0) > 0;
  refreshFree(a, agent);
}

const isSame = (a: Quantities, b: Quantities): boolean =>
  a.size === b.size && [...a].every(([name, value]) => b.get(name) === value);

function countReservations(a: Allocator, total: ResourceSet, sign: 1 | -1): void {
  for (const held of total.pools.values()) {
    const { pool, amounts } = held;
    if (pool.reservations.length === 0 || pool.isRevocable || amounts.scalars.size === 0) continue;
    const reserved = roleAt(a, reservationRole(pool));
    for (let role = reserved; role.parent !== undefined; role = role.parent)
      tally(role.reserved, amounts.scalars, sign);
    recountMissing(a, topOf(reserved));
    if (sign < 0) pruneRole(a, reserved);
  }
}

/**
 * [AL3] An agent that has less than is allocated on it has nothing free at all: which of its pools is overdrawn says little, a task
 * holds what it was given under whatever name. Revocable resources shrink by themselves, and each by itself.
 */
export function refreshFree(a: Allocator, agent: Agent): void {
  const lasting = select(agent.allocated, ({ isRevocable }) => !isRevocable);
  setFree(a, agent, contains(agent.lone, lasting) ? subtract(agent.lone, agent.allocated) : NOTHING);
}

export function setFree(a: Allocator, agent: Agent, free: ResourceSet): void {
  agent.free = free;
  tally(a.available, agent.available, -1);
  agent.available = agent.isActive ? quantities(countableOf(free)) : NO_QUANTITIES;
  tally(a.available, agent.available, 1);
}

/** An agent must be looked at for everybody. */
export const markChanged = (a: Allocator, agent: Agent): unknown => a.changed.set(agent, "everybody");

/** Puts a client and all above it into their places. */
export function rerankUpwards(a: Allocator, client: Client): void {
  for (const one of upwards(client)) rerank(a, one);
}
