// Resource algebra: what an agent has, what an offer holds, what a task takes. It decides sums, differences and whether
// one amount fits into another; who gets what is the allocator's business. Roles are not looked at yet: everything is `*`.
//
// A `ResourceSet` is a value: no function changes its arguments. It holds nothing that is empty, so that two equal amounts
// are equal field by field.
import type { Resource } from "#protocol/resource.ts";
import { coalesce, containsRanges, formatRanges, type Range, subtractRanges } from "./ranges.ts";

/** Scalars are compared at three decimals, as in Mesos since 1.0: kept as whole thousandths, 0.1 + 0.2 is 0.3. */
const THOUSANDTHS = 1000;
/** Largest scalar, in its own unit: its thousandths, and sums over a million agents, stay exact. */
export const SCALAR_MAX = 2 ** 33;

export interface ResourceSet {
  /** In thousandths of a CPU or of a megabyte, above 0. */
  readonly scalars: ReadonlyMap<string, number>;
  /** In the form of `coalesce`, never an empty list. */
  readonly ranges: ReadonlyMap<string, readonly Range[]>;
  /** Never an empty set. */
  readonly sets: ReadonlyMap<string, ReadonlySet<string>>;
}

export const NOTHING: ResourceSet = { scalars: new Map(), ranges: new Map(), sets: new Map() };

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
  return undefined;
}
const MEMBER = { SCALAR: "scalar", RANGES: "ranges", SET: "set" } as const;

const toThousandths = (value: number): number => Math.round(value * THOUSANDTHS);

/** The sum of a list. For resources without a {@link resourceProblem}; what holds nothing adds nothing. */
export function fromResources(resources: readonly Resource[]): ResourceSet {
  const scalars = new Map<string, number>();
  const ranges = new Map<string, readonly Range[]>();
  const sets = new Map<string, Set<string>>();
  for (const { name, scalar: amount, ranges: spans, set } of resources) {
    const thousandths = amount === undefined ? 0 : toThousandths(amount.value);
    if (thousandths > 0) scalars.set(name, (scalars.get(name) ?? 0) + thousandths);
    const joined = coalesce([...(ranges.get(name) ?? []), ...(spans?.range ?? [])]);
    if (joined.length > 0) ranges.set(name, joined);
    const items = new Set([...(sets.get(name) ?? []), ...(set?.item ?? [])]);
    if (items.size > 0) sets.set(name, items);
  }
  return { scalars, ranges, sets };
}

/** One resource a name and kind, with role `*`, as Mesos' JSON has them. */
export function toResources({ scalars, ranges, sets }: ResourceSet): Resource[] {
  return [
    ...[...scalars].map(([name, value]): Resource => ({
      name,
      type: "SCALAR",
      scalar: { value: value / THOUSANDTHS },
      role: "*",
    })),
    ...[...ranges].map(([name, range]): Resource => ({
      name,
      type: "RANGES",
      ranges: { range: [...range] },
      role: "*",
    })),
    ...[...sets].map(([name, items]): Resource => ({ name, type: "SET", set: { item: [...items] }, role: "*" })),
  ];
}

/** Scalars are added; ranges and sets are united, so that a port which is in both counts once. */
export function add(a: ResourceSet, b: ResourceSet): ResourceSet {
  return {
    scalars: merge(a.scalars, b.scalars, (x, y) => x + y),
    ranges: merge(a.ranges, b.ranges, (x, y) => coalesce([...x, ...y])),
    sets: merge(a.sets, b.sets, (x, y) => new Set([...x, ...y])),
  };
}

/** Of many. */
export function sum(amounts: Iterable<ResourceSet>): ResourceSet {
  let total = NOTHING;
  for (const amount of amounts) total = add(total, amount);
  return total;
}

/**
 * What is left of `from`. Where less is there than is taken, nothing is left and nothing is owed: an agent that came back
 * smaller than its tasks has no negative offers. Callers for whom that is a bug ask {@link contains} first.
 */
export function subtract(from: ResourceSet, taken: ResourceSet): ResourceSet {
  return {
    scalars: reduce(from.scalars, taken.scalars, (x, y) => (x > y ? x - y : undefined)),
    ranges: reduce(from.ranges, taken.ranges, (x, y) => nonEmpty(subtractRanges(x, y))),
    sets: reduce(from.sets, taken.sets, (x, y) => {
      const left = new Set([...x].filter((item) => !y.has(item)));
      return left.size > 0 ? left : undefined;
    }),
  };
}

/** Whether all of `part` fits into `whole`. */
export function contains(whole: ResourceSet, part: ResourceSet): boolean {
  for (const [name, value] of part.scalars) if (value > (whole.scalars.get(name) ?? 0)) return false;
  for (const [name, ranges] of part.ranges) if (!containsRanges(whole.ranges.get(name) ?? [], ranges)) return false;
  for (const [name, items] of part.sets) {
    const held = whole.sets.get(name);
    if (held === undefined || [...items].some((item) => !held.has(item))) return false;
  }
  return true;
}

export const equal = (a: ResourceSet, b: ResourceSet): boolean => contains(a, b) && contains(b, a);

export const isEmpty = ({ scalars, ranges, sets }: ResourceSet): boolean =>
  scalars.size === 0 && ranges.size === 0 && sets.size === 0;

/** The amount of one scalar in its own unit (CPUs, megabytes); 0 when there is none. */
export const scalar = (set: ResourceSet, name: string): number => (set.scalars.get(name) ?? 0) / THOUSANDTHS;

/** The resources object of Mesos' HTTP endpoints (endpoints §3.1): four scalars always, ranges and sets as text. */
export function resourcesObject(set: ResourceSet): Record<string, number | string> {
  const object: Record<string, number | string> = { cpus: 0, gpus: 0, mem: 0, disk: 0 };
  for (const [name, value] of set.scalars) object[name] = value / THOUSANDTHS;
  for (const [name, ranges] of set.ranges) object[name] = formatRanges(ranges);
  for (const [name, items] of set.sets) object[name] = `{${[...items].join(", ")}}`;
  return object;
}

function merge<T>(
  a: ReadonlyMap<string, T>,
  b: ReadonlyMap<string, T>,
  join: (x: T, y: T) => T,
): ReadonlyMap<string, T> {
  if (b.size === 0) return a;
  const merged = new Map(a);
  for (const [name, value] of b) {
    const held = merged.get(name);
    merged.set(name, held === undefined ? value : join(held, value));
  }
  return merged;
}

function reduce<T>(
  from: ReadonlyMap<string, T>,
  taken: ReadonlyMap<string, T>,
  remove: (x: T, y: T) => T | undefined,
): ReadonlyMap<string, T> {
  if (taken.size === 0) return from;
  const left = new Map<string, T>();
  for (const [name, value] of from) {
    const gone = taken.get(name);
    const rest = gone === undefined ? value : remove(value, gone);
    if (rest !== undefined) left.set(name, rest);
  }
  return left;
}

const nonEmpty = (ranges: readonly Range[]): readonly Range[] | undefined => (ranges.length > 0 ? ranges : undefined);
