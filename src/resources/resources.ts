// Resource algebra: what an agent has, what an offer holds, what a task takes. It decides sums, differences and whether
// one set fits into another; who gets what is the allocator's business.
//
// A `ResourceSet` is a value: no function changes its arguments. It holds nothing that is empty, so that two equal sets
// are equal pool by pool.
import type { Resource } from "#protocol/resource.ts";
import {
  addAmounts,
  amountsOf,
  type Amounts,
  containsAmounts,
  isNoAmount,
  listAmounts,
  NO_AMOUNTS,
  SCALAR_MAX,
  subtractAmounts,
  THOUSANDTHS,
  toThousandths,
} from "./amounts.ts";
import { isIndivisible, type Pool, poolOf, poolProblem, reservationRole } from "./pool.ts";
import { formatRanges } from "./ranges.ts";

/** What there is of one pool. */
export interface Held {
  readonly pool: Pool;
  /** Never empty. */
  readonly amounts: Amounts;
}

export interface ResourceSet {
  /** By the pool's key. */
  readonly pools: ReadonlyMap<string, Held>;
}

export const NOTHING: ResourceSet = { pools: new Map() };

/** Why a resource may not be used, or undefined when it may: its type names the one member it has, and that holds something. */
export function resourceProblem(resource: Resource): string | undefined {
  const { name, type } = resource;
  if (name === "") return "a resource needs a name";
  const members = { SCALAR: resource.scalar, RANGES: resource.ranges, SET: resource.set };
  for (const kind of ["SCALAR", "RANGES", "SET"] as const) {
    if (kind === type && members[kind] === undefined) return `'${name}' has type ${type} but no ${MEMBER[kind]}`;
    if (kind !== type && members[kind] !== undefined)
      return `'${name}' has type ${type} and may not have ${MEMBER[kind]}`;
  }
  if (resource.scalar !== undefined) {
    const { value } = resource.scalar;
    if (!Number.isFinite(value) || toThousandths(value) <= 0) return `'${name}' must be above 0 (at three decimals)`;
    if (value > SCALAR_MAX) return `'${name}' may be at most ${SCALAR_MAX}`;
  }
  if (resource.ranges !== undefined) {
    if (resource.ranges.range.length === 0) return `'${name}' has no range`;
    const wrong = resource.ranges.range.find(({ begin, end }) => begin > end);
    if (wrong !== undefined) return `'${name}' has a range that ends before it begins: ${formatRanges([wrong])}`;
  }
  if (resource.set !== undefined) {
    const items = resource.set.item;
    if (items.length === 0) return `'${name}' has no item`;
    if (new Set(items).size !== items.length) return `'${name}' has an item twice`;
  }
  return poolProblem(resource);
}
const MEMBER = { SCALAR: "scalar", RANGES: "ranges", SET: "set" } as const;

/** The sum of a list. For resources without a {@link resourceProblem}; what holds nothing adds nothing. */
export function fromResources(resources: readonly Resource[]): ResourceSet {
  const lists = new Map<string, { readonly pool: Pool; readonly list: Resource[] }>();
  for (const resource of resources) {
    const pool = poolOf(resource);
    const found = lists.get(pool.key);
    if (found === undefined) lists.set(pool.key, { pool, list: [resource] });
    else found.list.push(resource);
  }
  return setOf([...lists.values()].map(({ pool, list }) => ({ pool, amounts: amountsOf(list) })));
}

/** A set of pools that are all different; empty ones are left out. */
export function setOf(held: readonly Held[]): ResourceSet {
  const pools = new Map<string, Held>();
  for (const one of held) if (!isNoAmount(one.amounts)) pools.set(one.pool.key, one);
  return pools.size === 0 ? NOTHING : { pools };
}

/** One resource for each pool, name and kind, in Mesos' newer form: `reservations`, and no `role`. */
export function toResources(set: ResourceSet): Resource[] {
  return [...set.pools.values()].flatMap(({ pool, amounts }) =>
    listAmounts(amounts).map((amount) => ({
      ...amount,
      ...(pool.reservations.length === 0 ? {} : { reservations: [...pool.reservations] }),
      ...(pool.disk === undefined ? {} : { disk: pool.disk }),
      ...(pool.isRevocable ? { revocable: {} } : {}),
      ...(pool.isShared ? { shared: {} } : {}),
      ...(pool.providerId === undefined ? {} : { provider_id: { value: pool.providerId } }),
    })),
  );
}

/**
 * Mesos' older form, which clients without RESERVATION_REFINEMENT read: `role`, and `reservation` for a dynamic one. A stack of
 * several layers cannot be said in it; nobody without the capability is offered one.
 */
export function withRole({ reservations, ...resource }: Resource): Resource {
  const top = reservations?.at(-1);
  if (top === undefined) return { ...resource, role: "*" };
  const { type, role, principal, labels } = top;
  return { ...resource, role, ...(type === "STATIC" ? {} : { reservation: { principal, labels } }) };
}

/** Both forms at once, as Mesos' endpoints show resources. */
export function inBothForms(resource: Resource): Resource {
  const { reservations } = resource;
  return { ...withRole(resource), ...(reservations === undefined ? {} : { reservations }) };
}

/** Scalars are added; ranges and sets are united, so that a port which is in both counts once. */
export function add(a: ResourceSet, b: ResourceSet): ResourceSet {
  if (b.pools.size === 0) return a;
  if (a.pools.size === 0) return b;
  const pools = new Map(a.pools);
  for (const [key, { pool, amounts }] of b.pools) {
    const held = pools.get(key);
    pools.set(key, held === undefined ? { pool, amounts } : { pool, amounts: addAmounts(held.amounts, amounts) });
  }
  return { pools };
}

/** Of many. */
export function sum(sets: Iterable<ResourceSet>): ResourceSet {
  let total = NOTHING;
  for (const set of sets) total = add(total, set);
  return total;
}

/**
 * What is left of `from`. Where less is there than is taken, nothing is left and nothing is owed: an agent that came back
 * smaller than its tasks has no negative offers. Callers for whom that is a bug ask {@link contains} first.
 */
export function subtract(from: ResourceSet, taken: ResourceSet): ResourceSet {
  if (taken.pools.size === 0) return from;
  const pools = new Map(from.pools);
  for (const [key, { amounts }] of taken.pools) {
    const held = pools.get(key);
    if (held === undefined) continue;
    const left = subtractAmounts(held.amounts, amounts);
    if (isNoAmount(left)) pools.delete(key);
    else pools.set(key, { pool: held.pool, amounts: left });
  }
  return pools.size === 0 ? NOTHING : { pools };
}

/** Whether all of `part` fits into `whole`. What is indivisible fits only whole. */
export function contains(whole: ResourceSet, part: ResourceSet): boolean {
  for (const [key, { pool, amounts }] of part.pools) {
    const held = whole.pools.get(key);
    if (held === undefined || !containsAmounts(held.amounts, amounts)) return false;
    if (isIndivisible(pool) && !containsAmounts(amounts, held.amounts)) return false;
  }
  return true;
}

export const equal = (a: ResourceSet, b: ResourceSet): boolean => contains(a, b) && contains(b, a);

export const isEmpty = ({ pools }: ResourceSet): boolean => pools.size === 0;

/** The pools that `wanted` says. */
export function select(set: ResourceSet, wanted: (pool: Pool) => boolean): ResourceSet {
  let isWhole = true;
  const pools = new Map<string, Held>();
  for (const [key, held] of set.pools) {
    if (wanted(held.pool)) pools.set(key, held);
    else isWhole = false;
  }
  return isWhole ? set : pools.size === 0 ? NOTHING : { pools };
}

export const unreserved = (set: ResourceSet): ResourceSet =>
  select(set, ({ reservations }) => reservations.length === 0);

/** By the role that each pool is reserved to; what is unreserved is not in it. */
export function reservedByRole(set: ResourceSet): ReadonlyMap<string, ResourceSet> {
  const roles = new Map<string, ResourceSet>();
  for (const { pool } of set.pools.values()) {
    const role = reservationRole(pool);
    if (role !== "*" && !roles.has(role))
      roles.set(
        role,
        select(set, (one) => reservationRole(one) === role),
      );
  }
  return roles;
}

/** Thousandths of each scalar, over all pools. */
export function quantities(set: ResourceSet): ReadonlyMap<string, number> {
  const only = set.pools.size === 1 ? set.pools.values().next().value : undefined;
  if (only !== undefined) return only.amounts.scalars;
  const totals = new Map<string, number>();
  for (const { amounts } of set.pools.values())
    for (const [name, value] of amounts.scalars) totals.set(name, (totals.get(name) ?? 0) + value);
  return totals;
}

/** The amount of one scalar in its own unit (CPUs, megabytes), over all pools; 0 when there is none. */
export function scalar(set: ResourceSet, name: string): number {
  let total = 0;
  for (const { amounts } of set.pools.values()) total += amounts.scalars.get(name) ?? 0;
  return total / THOUSANDTHS;
}

/** The resources object of Mesos' HTTP endpoints (endpoints §3.1): four scalars always, ranges and sets as text. */
export function resourcesObject(set: ResourceSet): Record<string, number | string> {
  const object: Record<string, number | string> = { cpus: 0, gpus: 0, mem: 0, disk: 0 };
  let total = NO_AMOUNTS;
  for (const { amounts } of set.pools.values()) total = addAmounts(total, amounts);
  for (const [name, value] of total.scalars) object[name] = value / THOUSANDTHS;
  for (const [name, ranges] of total.ranges) object[name] = formatRanges(ranges);
  for (const [name, items] of total.sets) object[name] = `{${[...items].join(", ")}}`;
  return object;
}
