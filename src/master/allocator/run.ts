// One run: agents in random order, each to whoever's turn it is. First those whose guarantees are not met, then everybody.
//
// A run looks only at what may have something to give that it had not before: agents that changed, clients that may be offered
// something for the first time, agents that gave less than they had and whose taker may have more now. It comes to the same as one
// that looks at everything [AL20]; `test/master/allocator/` holds both against each other.
import { present } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import { isAllocatableTo, isSubrole, type Pool, reservationRole } from "#resources/pool.ts";
import { covers, type Quantities } from "#resources/quantities.ts";
import { add, isEmpty, NOTHING, quantities, type ResourceSet, select, subtract } from "#resources/resources.ts";
import {
  type Agent,
  type Allocator,
  book,
  type Client,
  countableOf,
  type Framework,
  type Leaf,
  rerankUpwards,
  type Role,
  setFree,
  topOf,
} from "./books.ts";
import { suits } from "./constraints.ts";
import { endFilters, nextEnd, refuses, refusesWhole } from "./filters.ts";
import { allowanceOf, hasAllowanceGrown, hasSurplusGrown, settle, within } from "./quota.ts";
import { addClient, addRole, type Scope, wantedBelow, within as below } from "./scope.ts";
import { drawSeed, shuffled } from "./shuffle.ts";

/** Resources of one agent, booked for a framework in one of its roles until they are recovered. */
export interface Allocation {
  readonly agentId: AgentId;
  readonly frameworkId: FrameworkId;
  readonly role: string;
  readonly resources: ResourceSet;
}

/** Clients that are looked at one by one; for more of them everybody is. */
const SINGLE_CLIENTS_MAX = 32;

interface Run {
  readonly a: Allocator;
  readonly now: Millis;
  readonly stage: "guarantees" | "everybody";
  readonly made: Allocation[];
  /** Top roles without growth drop out as the run goes on: an allowance never grows during it. */
  grown: { readonly surplus: boolean; readonly tops: readonly Role[] };
  /** The scope of agents without a reason of their own. */
  common: { readonly tops: readonly Role[]; readonly scope: Scope } | undefined;
}

/** Whether {@link run} has something to look at. */
export function isDue(a: Allocator, now: Millis): boolean {
  if (a.changed.size > 0 || a.fresh.size > 0) return true;
  const end = nextEnd(a);
  if (end !== undefined && end <= now) return true;
  return (
    a.heldBack.size > 0 && (hasSurplusGrown(a) || [...a.quotaRoles.values()].some((top) => hasAllowanceGrown(a, top)))
  );
}

/** Allocates what is free, and books it. Allocations of one framework stand together. */
export function run(a: Allocator, now: Millis): readonly Allocation[] {
  if (!isDue(a, now)) return [];
  endFilters(a, now, (agent, client) => {
    const reason = a.changed.get(agent);
    if (reason === undefined) a.changed.set(agent, new Set([client]));
    else if (reason !== "everybody") reason.add(client);
  });
  const grown = {
    surplus: hasSurplusGrown(a),
    tops: [...a.quotaRoles.values()].filter((top) => hasAllowanceGrown(a, top)),
  };
  const candidates = candidatesOf(a, grown.surplus || grown.tops.length > 0);
  const made: Allocation[] = [];
  for (const stage of ["guarantees", "everybody"] as const) {
    const seed = drawSeed(a.options.random);
    if (stage === "guarantees" && a.required.size === 0) continue;
    const stageRun: Run = { a, now, stage, made, grown, common: undefined };
    for (const agent of shuffled(candidates, seed)) lookAt(stageRun, agent);
  }
  a.changed.clear();
  a.fresh.clear();
  settle(a);
  return byFramework(made);
}

function candidatesOf(a: Allocator, hasGrown: boolean): readonly Agent[] {
  const agents = a.fresh.size > 0 ? a.agents.values() : new Set([...a.changed.keys(), ...(hasGrown ? a.heldBack : [])]);
  return [...agents].filter(({ isActive, free }) => isActive && !isEmpty(free));
}

function byFramework(made: readonly Allocation[]): readonly Allocation[] {
  const groups = new Map<FrameworkId, Allocation[]>();
  for (const one of made) {
    const group = groups.get(one.frameworkId);
    if (group === undefined) groups.set(one.frameworkId, [one]);
    else group.push(one);
  }
  return [...groups.values()].flat();
}

/** Gives what is free on an agent to those for whom it is looked at. */
function lookAt(run: Run, agent: Agent): void {
  const { a } = run;
  const scope = scopeOf(run, agent);
  if (scope === "nobody") return;
  // Not in the first stage: what it holds back from those who have no guarantee, it would not find again.
  if (scope === undefined && run.stage === "everybody") a.heldBack.delete(agent);
  const takers = new Set<Client>();
  const visit: Visit = { run, agent, takers, view: viewOf(run, agent) };
  // What is left when somebody has taken most of it may be for few: the walk begins anew, for those. Nobody before them could take
  // anything, and cannot now.
  for (let isOpen = true; isOpen;) {
    isOpen = visit.view.reach === undefined;
    if (walk(visit, a.root, scope, visit.view.reach) === "ended") break;
  }
  // Only now: the order is that from before the visit.
  for (const client of takers) rerankUpwards(a, client);
}

const NO_TOPS: readonly Role[] = [];

/** For whom an agent is looked at; undefined for everybody. */
function scopeOf(run: Run, agent: Agent): Scope | undefined | "nobody" {
  const { a } = run;
  const reason = a.changed.get(agent);
  if (reason === "everybody" || a.fresh.size > SINGLE_CLIENTS_MAX) return undefined;
  let tops = NO_TOPS;
  if (a.heldBack.has(agent)) {
    if (run.grown.surplus || run.grown.tops.length > 0) {
      const surplus = run.grown.surplus && hasSurplusGrown(a);
      const left = run.grown.tops.filter((top) => hasAllowanceGrown(a, top));
      const isSame = left.length === run.grown.tops.length;
      run.grown = { surplus, tops: isSame ? run.grown.tops : left };
    }
    if (run.grown.surplus) return undefined;
    if (run.grown.tops.length > 0) tops = run.grown.tops;
  }
  if (reason === undefined) {
    if (tops.length === 0 && a.fresh.size === 0) return "nobody";
    if (run.common?.tops !== tops) run.common = { tops, scope: scopeFor([...a.fresh], tops) };
    return run.common.scope;
  }
  if (reason.size > SINGLE_CLIENTS_MAX) return undefined;
  return scopeFor([...reason, ...a.fresh], tops);
}

function scopeFor(clients: readonly Client[], tops: readonly Role[]): Scope {
  const scope: Scope = new Map();
  for (const top of tops) addRole(scope, top);
  for (const client of clients) addClient(scope, client);
  return scope;
}

interface Visit {
  readonly run: Run;
  readonly agent: Agent;
  readonly takers: Set<Client>;
  /** Of what is free now. */
  view: View;
}

/** What an agent has free, seen from those who could have it. */
interface View {
  /** Roles that something of it is reserved to. */
  readonly reservedRoles: readonly string[];
  /** Not everybody can deal with everything of it. */
  readonly isPlain: boolean;
  /** What a role without reservations and quota is offered. */
  readonly common: Offer;
  /** When that is too little: the few who may be offered more. */
  readonly reach: Scope | undefined;
}

/** What all clients of a role are offered, as far as they can deal with it. */
interface Offer {
  readonly resources: ResourceSet;
  /** By the allocator's minimum. */
  readonly isEnough: boolean;
}

const TOO_LITTLE: Offer = { resources: NOTHING, isEnough: false };

const isUnreserved = ({ reservations }: Pool): boolean => reservations.length === 0;

const isForAll = ({ isRevocable, reservations }: Pool): boolean => !isRevocable && reservations.length < 2;

function viewOf({ a, stage }: Run, agent: Agent): View {
  const { free } = agent;
  const reserved = new Set<string>();
  let isPlain = true;
  for (const { pool } of free.pools.values()) {
    if (pool.reservations.length > 0) reserved.add(reservationRole(pool));
    if (!isForAll(pool)) isPlain = false;
  }
  const open = reserved.size === 0 ? free : select(free, isUnreserved);
  const given = within(open, allowanceOf(a, undefined));
  if (given !== open) a.heldBack.add(agent);
  const common = { resources: given, isEnough: isEnough(a, undefined, given) };
  const reservedRoles = [...reserved];
  if (stage === "guarantees") {
    const scope: Scope = new Map();
    for (const top of a.quotaRoles.values())
      if (top.quota !== undefined && top.quota.missing.size > 0) addRole(scope, top);
    return { reservedRoles, isPlain, common, reach: scope };
  }
  if (common.isEnough || (a.ownMinimums > 0 && !isEmpty(given)))
    return { reservedRoles, isPlain, common, reach: undefined };
  const reach: Scope = new Map();
  for (const path of reservedRoles) {
    const role = a.roles.get(path);
    if (role !== undefined) addRole(reach, role);
  }
  // Those whose guarantee is not met may have more than the rest.
  if (given !== open)
    for (const top of a.quotaRoles.values())
      if (top.quota !== undefined && top.quota.missing.size > 0) addRole(reach, top);
  return { reservedRoles, isPlain, common, reach };
}

/** "again": what is free is for fewer now, and the walk is to begin anew for those. */
function walk(
  visit: Visit,
  branch: Role,
  scope: Scope | undefined,
  reach: Scope | undefined,
): "ended" | "going-on" | "again" {
  const { run, agent } = visit;
  const [scopeBelow, reachBelow] = [below(scope, branch), below(reach, branch)];
  for (const one of wantedBelow(run.a, branch, scope, reach)) {
    if (one.type === "role") {
      const outcome = walk(visit, one, scopeBelow, reachBelow);
      if (outcome !== "going-on") return outcome;
    } else if (one.type === "leaf") {
      const isOpen = visit.view.reach === undefined;
      offerTo(visit, one, scopeBelow, reachBelow);
      if (isEmpty(agent.free)) return "ended";
      if (isOpen && visit.view.reach !== undefined) return "again";
    }
  }
  return branch.parent === undefined ? "ended" : "going-on";
}

function offerTo(visit: Visit, leaf: Leaf, scope: Scope | undefined, reach: Scope | undefined): void {
  const { run, agent } = visit;
  const { a, now } = run;
  let offer = offerFor(visit, leaf.parent);
  for (const client of wantedBelow(a, leaf, scope, reach)) {
    if (!offer.isEnough && (leaf.ownMinimums === 0 || isEmpty(offer.resources))) return;
    if (client.type !== "client" || (!offer.isEnough && client.minimum === undefined)) continue;
    const framework = present(a.frameworks.get(client.frameworkId), "the framework of a listed client");
    if (!mayHave(a, framework, client, agent)) continue;
    const filters = agent.filters.get(client);
    if (filters !== undefined && refusesWhole(filters, agent, now)) continue;
    const resources = visit.view.isPlain
      ? offer.resources
      : select(offer.resources, (pool) => canDealWith(framework, pool));
    if ((resources !== offer.resources || client.minimum !== undefined) && !isEnough(a, client.minimum, resources))
      continue;
    const shared = sharedFor(framework, leaf.parent.path, agent);
    const whole = isEmpty(shared) ? resources : add(resources, shared);
    if (filters !== undefined && refuses(filters, whole)) continue;
    setFree(a, agent, subtract(agent.free, resources));
    book(a, agent, client, whole, 1);
    visit.takers.add(client);
    run.made.push({
      agentId: agent.agentId,
      frameworkId: client.frameworkId,
      role: leaf.parent.path,
      resources: whole,
    });
    visit.view = viewOf(run, agent);
    offer = offerFor(visit, leaf.parent);
  }
}

/** What a role may have of what is free: reserved to it or above it, unreserved as far as limits and guarantees let it. */
function offerFor({ run, agent, view }: Visit, role: Role): Offer {
  const { a, stage } = run;
  const top = a.quotaRoles.size === 0 ? undefined : topOf(role);
  const quota = top?.quota;
  const hasReservations = view.reservedRoles.some((path) => path === role.path || isSubrole(role.path, path));
  if (!hasReservations && quota === undefined) return view.common;
  const available = hasReservations
    ? select(agent.free, (pool) => isAllocatableTo(pool, role.path))
    : select(agent.free, isUnreserved);
  const resources = within(available, allowanceOf(a, quota === undefined ? undefined : top));
  if (resources !== available) a.heldBack.add(agent);
  // In the first stage only who comes nearer to a guarantee is given anything; the rest comes along, so that an offer can be used.
  if (stage === "guarantees" && !sharesOne(quota?.missing, quantities(countableOf(resources)))) return TOO_LITTLE;
  return { resources, isEnough: isEnough(a, undefined, resources) };
}

const sharesOne = (missing: Quantities | undefined, given: Quantities): boolean =>
  missing !== undefined && [...missing.keys()].some((name) => given.has(name));

/** Whether it is worth an offer. What is shared does not count: it is always there. */
function isEnough(a: Allocator, own: readonly Quantities[] | undefined, resources: ResourceSet): boolean {
  if (isEmpty(resources)) return false;
  const minimums = own ?? a.options.minAllocatable;
  if (minimums.length === 0) return true;
  const there = quantities(resources);
  return minimums.some((minimum) => covers(there, minimum));
}

function mayHave({ options }: Allocator, { capabilities }: Framework, { constraints }: Client, agent: Agent): boolean {
  if (agent.hasGpus && !capabilities.gpuResources) return false;
  const isElsewhere = options.region !== undefined && agent.region !== undefined && agent.region !== options.region;
  if (isElsewhere && !capabilities.regionAware) return false;
  return constraints === undefined || suits(constraints, agent);
}

const canDealWith = ({ capabilities }: Framework, pool: Pool): boolean =>
  (!pool.isRevocable || capabilities.revocable) &&
  (pool.reservations.length < 2 || capabilities.reservationRefinement) &&
  (!pool.isShared || capabilities.shared);

/** Shared volumes come along with every offer to those whose they are. */
function sharedFor(framework: Framework, role: string, { shared }: Agent): ResourceSet {
  return isEmpty(shared)
    ? shared
    : select(shared, (pool) => isAllocatableTo(pool, role) && canDealWith(framework, pool));
}
