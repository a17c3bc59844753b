// Amounts of one kind of ownership: what is there, whosever it is. Sums, differences and whether one fits into another; the
// set that knows reservations and volumes is `resources.ts`.
//
// `Amounts` is a value: no function changes its arguments. It holds nothing that is empty, so that two equal amounts
// are equal field by field.
import type { Resource } from "#protocol/resource.ts";
import { coalesce, containsRanges, type Range, subtractRanges } from "./ranges.ts";

/** Scalars are compared at three decimals, as in Mesos since 1.0: kept as whole thousandths, 0.1 + 0.2 is 0.3. */
export const THOUSANDTHS = 1000;
/** Largest scalar, in its own unit: its thousandths, and sums over a million agents, stay exact. */
export const SCALAR_MAX = 2 ** 33;

export interface Amounts {
  /** In thousandths of a CPU or of a megabyte, above 0. */
  readonly scalars: ReadonlyMap<string, number>;
  /** In the form of `coalesce`, never an empty list. */
  readonly ranges: ReadonlyMap<string, readonly Range[]>;
  /** Never an empty set. */
  readonly sets: ReadonlyMap<string, ReadonlySet<string>>;
}

/** One for all: most sets have no ranges and no sets, and there are some for each agent and task. */
const NONE: ReadonlyMap<string, never> = new Map<string, never>();
export const NO_AMOUNTS: Amounts = { scalars: NONE, ranges: NONE, sets: NONE };

export const toThousandths = (value: number): number => Math.round(value * THOUSANDTHS);

/** The sum of a list. For resources without a {@link resourceProblem}; what holds nothing adds nothing. */
export function amountsOf(resources: readonly Resource[]): Amounts {
  const scalars = new Map<string, number>();
  const spans = new Map<string, Range[]>();
  const sets = new Map<string, Set<string>>();
  for (const { name, scalar: amount, ranges: more, set } of resources) {
    const thousandths = amount === undefined ? 0 : toThousandths(amount.value);
    if (thousandths > 0) scalars.set(name, (scalars.get(name) ?? 0) + thousandths);
    // Joined once, at the end: a list of many small ones must not cost its square.
    if (more !== undefined) gather(spans, name, () => []).push(...more.range);
    if (set !== undefined && set.item.length > 0) {
      const items = gather(sets, name, () => new Set<string>());
      for (const item of set.item) items.add(item);
    }
  }
  const ranges = new Map<string, readonly Range[]>();
  for (const [name, all] of spans) {
    const joined = coalesce(all);
    if (joined.length > 0) ranges.set(name, joined);
  }
  return { scalars: orNone(scalars), ranges: orNone(ranges), sets: orNone(sets) };
}

function gather<T>(byName: Map<string, T>, name: string, make: () => T): T {
  const known = byName.get(name);
  if (known !== undefined) return known;
  const made = make();
  byName.set(name, made);
  return made;
}

const orNone = <T>(map: ReadonlyMap<string, T>): ReadonlyMap<string, T> => (map.size === 0 ? NONE : map);

/** The part of a resource that says how much: one for each name and kind. */
export type Amount = Pick<Resource, "name" | "type" | "scalar" | "ranges" | "set">;

export function listAmounts({ scalars, ranges, sets }: Amounts): readonly Amount[] {
  return [
    ...[...scalars].map(([name, value]): Amount => ({ name, type: "SCALAR", scalar: { value: value / THOUSANDTHS } })),
    ...[...ranges].map(([name, range]): Amount => ({ name, type: "RANGES", ranges: { range: [...range] } })),
    ...[...sets].map(([name, items]): Amount => ({ name, type: "SET", set: { item: [...items] } })),
  ];
}

/** Scalars are added; ranges and sets are united, so that a port which is in both counts once. */
export function addAmounts(a: Amounts, b: Amounts): Amounts {
  return {
    scalars: merge(a.scalars, b.scalars, (x, y) => x + y),
    ranges: merge(a.ranges, b.ranges, (x, y) => coalesce([...x, ...y])),
    sets: merge(a.sets, b.sets, (x, y) => new Set([...x, ...y])),
  };
}

/** What is left of `from`. Where less is there than is taken, nothing is left and nothing is owed. */
export function subtractAmounts(from: Amounts, taken: Amounts): Amounts {
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
export function containsAmounts(whole: Amounts, part: Amounts): boolean {
  for (const [name, value] of part.scalars) if (value > (whole.scalars.get(name) ?? 0)) return false;
  for (const [name, ranges] of part.ranges) if (!containsRanges(whole.ranges.get(name) ?? [], ranges)) return false;
  for (const [name, items] of part.sets) {
    const held = whole.sets.get(name);
    if (held === undefined || [...items].some((item) => !held.has(item))) return false;
  }
  return true;
}

export const isNoAmount = ({ scalars, ranges, sets }: Amounts): boolean =>
  scalars.size === 0 && ranges.size === 0 && sets.size === 0;

function merge<T>(
  a: ReadonlyMap<string, T>,
  b: ReadonlyMap<string, T>,
  join: (x: T, y: T) => T,
): ReadonlyMap<string, T> {
  if (b.size === 0) return a;
  if (a.size === 0) return b;
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
  return orNone(left);
}

const nonEmpty = (ranges: readonly Range[]): readonly Range[] | undefined => (ranges.length > 0 ? ranges : undefined);
