// Whether an offer has what a task wants, and which pieces of it the task takes. A task must name the pieces as they were
// offered, with their role and reservation: so they are cut out of the offer, not made anew.
//
// Taken are resources that anybody may use or that are reserved to the framework, the reserved ones first: nobody else could
// have them. Left alone are persistent volumes, whole disks, and revocable or shared resources, which a framework takes on
// purpose, piece by piece.
import type { Resource } from "#protocol/resource.ts";

/**
 * By name, what a task wants: of a scalar how much (mem and disk in megabytes), of a set how many items, of ranges how many
 * numbers, or exactly which: `{ cpus: 0.5, mem: 64, ports: [8080] }`.
 */
export type Wants = Readonly<Record<string, number | readonly number[]>>;

export type Cut =
  | { readonly type: "cut"; readonly taken: readonly Resource[]; readonly left: readonly Resource[] }
  /** What is missing first. */
  | { readonly type: "misfit"; readonly name: string; readonly offered: number; readonly wanted: number };

/** Cuts what is wanted out of an offer's resources; `left` is for the next task on the same offer. */
export function cut(offered: readonly Resource[], wants: Wants): Cut {
  let left = offered;
  const taken: Resource[] = [];
  for (const [name, want] of Object.entries(wants)) {
    const result = cutOne(left, name, want);
    if (result.type === "misfit") return result;
    left = result.left;
    taken.push(...result.taken);
  }
  return { type: "cut", taken, left };
}

/** How much of this the offer has for {@link cut}: the sum of scalars, the number of ports or of items. */
export function amountOf(resources: readonly Resource[], name: string): number {
  const thousandths = resources
    .filter((resource) => resource.name === name && isPlain(resource))
    .reduce((sum, resource) => sum + toThousandths(sizeOf(resource)), 0);
  return thousandths / 1000;
}

/** Scalars are compared at three decimals, as in Mesos, so that 0.1 + 0.2 is 0.3. */
const toThousandths = (value: number): number => Math.round(value * 1000);

const isPlain = (resource: Resource): boolean =>
  !("disk" in resource || "revocable" in resource || "shared" in resource);

const isReserved = (resource: Resource): boolean =>
  "reservations" in resource || (resource.role !== undefined && resource.role !== "*");

function sizeOf({ scalar, ranges, set }: Resource): number {
  if (scalar !== undefined) return scalar.value;
  if (ranges !== undefined) return ranges.range.reduce((sum, { begin, end }) => sum + end - begin + 1, 0);
  return set?.item.length ?? 0;
}

type Want = Wants[string];

const isNothing = (want: Want): boolean => (typeof want === "number" ? toThousandths(want) <= 0 : want.length === 0);

function cutOne(offered: readonly Resource[], name: string, want: Want): Cut {
  let missing = want;
  const taken: Resource[] = [];
  const left: Resource[] = [];
  for (const resource of offered.toSorted((a, b) => Number(isReserved(b)) - Number(isReserved(a)))) {
    if (resource.name !== name || !isPlain(resource) || isNothing(missing)) {
      left.push(resource);
      continue;
    }
    const parts = split(resource, missing);
    if (parts.taken !== undefined) taken.push(parts.taken);
    if (parts.left !== undefined) left.push(parts.left);
    missing = parts.missing;
  }
  if (isNothing(missing)) return { type: "cut", taken, left };
  return {
    type: "misfit",
    name,
    offered: amountOf(offered, name),
    wanted: typeof want === "number" ? want : want.length,
  };
}

interface Parts<T> {
  readonly taken: T | undefined;
  readonly left: T | undefined;
  readonly missing: Want;
}

function split(resource: Resource, want: Want): Parts<Resource> {
  switch (resource.type) {
    case "SCALAR": {
      const { taken, left, missing } = splitScalar(resource.scalar?.value ?? 0, want);
      const withValue = (value: number | undefined): Resource | undefined =>
        value === undefined ? undefined : { ...resource, scalar: { value } };
      return { taken: withValue(taken), left: withValue(left), missing };
    }
    case "RANGES": {
      const { taken = [], left = [], missing } = splitRanges(resource.ranges?.range ?? [], want);
      const withRanges = (range: readonly Range[]): Resource | undefined =>
        range.length === 0 ? undefined : { ...resource, ranges: { range: [...range] } };
      return { taken: withRanges(taken), left: withRanges(left), missing };
    }
    default: {
      const { taken = [], left = [], missing } = splitSet(resource.set?.item ?? [], want);
      const withItems = (item: readonly string[]): Resource | undefined =>
        item.length === 0 ? undefined : { ...resource, set: { item: [...item] } };
      return { taken: withItems(taken), left: withItems(left), missing };
    }
  }
}

function splitScalar(value: number, want: Want): Parts<number> {
  if (typeof want !== "number") return { taken: undefined, left: value, missing: want };
  const [has, wanted] = [toThousandths(value), toThousandths(want)];
  const takes = Math.min(has, wanted);
  const amount = (thousandths: number): number | undefined => (thousandths === 0 ? undefined : thousandths / 1000);
  return { taken: amount(takes), left: amount(has - takes), missing: (wanted - takes) / 1000 };
}

type Range = NonNullable<Resource["ranges"]>["range"][number];

const range = (begin: number, end: number): readonly Range[] => (begin > end ? [] : [{ begin, end }]);

function splitRanges(ranges: readonly Range[], want: Want): Parts<readonly Range[]> {
  return typeof want === "number" ? takeFirst(ranges, want) : takeThese(ranges, want);
}

function takeFirst(ranges: readonly Range[], count: number): Parts<readonly Range[]> {
  let missing = count;
  const taken: Range[] = [];
  const left: Range[] = [];
  for (const { begin, end } of ranges) {
    const next = Math.min(begin + missing, end + 1);
    taken.push(...range(begin, next - 1));
    left.push(...range(next, end));
    missing -= next - begin;
  }
  return { taken, left, missing };
}

function takeThese(ranges: readonly Range[], numbers: readonly number[]): Parts<readonly Range[]> {
  let left = ranges;
  const taken: Range[] = [];
  const missing: number[] = [];
  for (const one of numbers) {
    if (!left.some(({ begin, end }) => begin <= one && one <= end)) missing.push(one);
    else taken.push({ begin: one, end: one });
    left = left.flatMap(({ begin, end }) =>
      begin <= one && one <= end ? [...range(begin, one - 1), ...range(one + 1, end)] : [{ begin, end }],
    );
  }
  return { taken, left, missing };
}

function splitSet(items: readonly string[], want: Want): Parts<readonly string[]> {
  if (typeof want !== "number") return { taken: undefined, left: items, missing: want };
  const taken = items.slice(0, want);
  return { taken, left: items.slice(taken.length), missing: want - taken.length };
}
