// The algebra against a slow, obvious model: every thousandth, port and item counted one by one.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Resource } from "#protocol/resource.ts";
import { type Amounts, isNoAmount } from "#resources/amounts.ts";
import {
  add,
  contains,
  equal,
  fromResources,
  isEmpty,
  NOTHING,
  resourceProblem,
  resourcesObject,
  type ResourceSet,
  scalar,
  subtract,
  sum,
  toResources,
} from "#resources/resources.ts";

interface Model {
  readonly scalars: Record<string, number>;
  readonly items: Set<string>;
}

function model(resources: readonly Resource[]): Model {
  const scalars: Record<string, number> = {};
  const items = new Set<string>();
  for (const { name: bare, role = "*", reservations, scalar: amount, ranges, set } of resources) {
    const name = `${reservations?.at(-1)?.role ?? role}:${bare}`;
    if (amount !== undefined) scalars[name] = (scalars[name] ?? 0) + Math.round(amount.value * 1000);
    for (const { begin, end } of ranges?.range ?? []) for (let i = begin; i <= end; i++) items.add(`${name}[${i}`);
    for (const item of set?.item ?? []) items.add(`${name}{${item}`);
  }
  return { scalars, items };
}

const view = (set: ResourceSet): Model => model(toResources(set));

const amount: fc.Arbitrary<Resource> = fc.oneof(
  fc.record({
    name: fc.constantFrom("cpus", "mem"),
    type: fc.constant("SCALAR" as const),
    scalar: fc.record({ value: fc.integer({ min: 1, max: 5000 }).map((thousandths) => thousandths / 1000) }),
  }),
  fc.record({
    name: fc.constantFrom("ports", "ids"),
    type: fc.constant("RANGES" as const),
    ranges: fc.record({
      range: fc.array(
        fc.tuple(fc.nat(40), fc.nat(8)).map(([begin, length]) => ({ begin, end: begin + length })),
        { minLength: 1, maxLength: 5 },
      ),
    }),
  }),
  fc.record({
    name: fc.constantFrom("disks", "cards"),
    type: fc.constant("SET" as const),
    set: fc.record({ item: fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { minLength: 1 }) }),
  }),
);
const resource = fc
  .tuple(amount, fc.constantFrom("*", "*", "web", "web/eu"))
  .map(([of, role]): Resource => ({ ...of, role }));
const resources = fc.array(resource, { maxLength: 6 });

function normal(set: ResourceSet): void {
  for (const [key, { pool, amounts }] of set.pools) {
    expect(pool.key).toBe(key);
    expect(isNoAmount(amounts)).toBe(false);
    normalAmounts(amounts);
  }
}

const normalAmounts = (amounts: Amounts): void => {
  for (const value of amounts.scalars.values()) expect(value).toBeGreaterThan(0);
  for (const ranges of amounts.ranges.values()) {
    expect(ranges.length).toBeGreaterThan(0);
    ranges.forEach(({ begin, end }, i) => {
      expect(begin).toBeLessThanOrEqual(end);
      const before = ranges[i - 1];
      if (before !== undefined) expect(begin).toBeGreaterThan(before.end + 1);
    });
  }
  for (const items of amounts.sets.values()) expect(items.size).toBeGreaterThan(0);
};

describe("resource algebra against a count one by one", () => {
  test("a list and its set hold the same", () => {
    fc.assert(
      fc.property(resources, (list) => {
        const set = fromResources(list);
        normal(set);
        expect(view(set)).toEqual(model(list));
        expect(equal(set, fromResources(toResources(set)))).toBe(true);
        expect(isEmpty(set)).toBe(list.length === 0);
      }),
    );
  });

  test("add, sum, subtract and contains", () => {
    fc.assert(
      fc.property(resources, resources, (first, second) => {
        const [a, b] = [fromResources(first), fromResources(second)];
        const [whole, left] = [add(a, b), subtract(a, b)];
        normal(whole);
        normal(left);
        expect(view(whole)).toEqual(model([...first, ...second]));
        expect(equal(whole, sum([a, b]))).toBe(true);
        const [ma, mb] = [model(first), model(second)];
        const scalars = Object.entries(ma.scalars)
          .map(([name, value]) => [name, value - (mb.scalars[name] ?? 0)] as const)
          .filter(([, value]) => value > 0);
        expect(view(left)).toEqual({
          scalars: Object.fromEntries(scalars),
          items: new Set([...ma.items].filter((item) => !mb.items.has(item))),
        });
        const fits =
          Object.entries(mb.scalars).every(([name, value]) => value <= (ma.scalars[name] ?? 0)) &&
          [...mb.items].every((item) => ma.items.has(item));
        expect(contains(a, b)).toBe(fits);
        expect(contains(whole, a)).toBe(true);
        expect(isEmpty(subtract(a, a))).toBe(true);
        if (fits) expect(equal(add(left, b), a)).toBe(true);
      }),
    );
  });

  test("arguments are not changed", () => {
    fc.assert(
      fc.property(resources, resources, (first, second) => {
        const [a, b] = [fromResources(first), fromResources(second)];
        const before = [view(a), view(b)];
        add(a, b);
        subtract(a, b);
        expect([view(a), view(b)]).toEqual(before);
      }),
    );
  });
});

test("a tenth ten times is one CPU", () => {
  const tenth = fromResources([{ name: "cpus", type: "SCALAR", scalar: { value: 0.1 } }]);
  const ten = sum(Array.from({ length: 10 }, () => tenth));
  expect(scalar(ten, "cpus")).toBe(1);
  expect(isEmpty(subtract(ten, fromResources([{ name: "cpus", type: "SCALAR", scalar: { value: 1 } }])))).toBe(true);
  expect(scalar(NOTHING, "cpus")).toBe(0);
});

test("the resources object shows four scalars always, ranges and sets as text", () => {
  const set = fromResources([
    { name: "cpus", type: "SCALAR", scalar: { value: 1.5 } },
    {
      name: "ports",
      type: "RANGES",
      ranges: {
        range: [
          { begin: 5, end: 9 },
          { begin: 1, end: 2 },
        ],
      },
    },
    { name: "cards", type: "SET", set: { item: ["a", "b"] } },
  ]);
  expect(resourcesObject(set)).toEqual({ cpus: 1.5, gpus: 0, mem: 0, disk: 0, ports: "[1-2, 5-9]", cards: "{a, b}" });
});

test.each<[string, Resource, RegExp | undefined]>([
  ["a CPU", { name: "cpus", type: "SCALAR", scalar: { value: 1 } }, undefined],
  ["ports", { name: "ports", type: "RANGES", ranges: { range: [{ begin: 1, end: 1 }] } }, undefined],
  ["nothing", { name: "cpus", type: "SCALAR", scalar: { value: 0 } }, /above 0/],
  ["less than a thousandth", { name: "cpus", type: "SCALAR", scalar: { value: 0.0004 } }, /above 0/],
  ["less than nothing", { name: "cpus", type: "SCALAR", scalar: { value: -1 } }, /above 0/],
  ["not a number", { name: "cpus", type: "SCALAR", scalar: { value: Number.NaN } }, /above 0/],
  ["far too much", { name: "cpus", type: "SCALAR", scalar: { value: 1e300 } }, /at most/],
  ["no member", { name: "cpus", type: "SCALAR" }, /no scalar/],
  ["two members", { name: "cpus", type: "SCALAR", scalar: { value: 1 }, set: { item: ["a"] } }, /may not have set/],
  ["another member", { name: "cpus", type: "RANGES", scalar: { value: 1 } }, /may not have scalar/],
  ["backwards", { name: "ports", type: "RANGES", ranges: { range: [{ begin: 2, end: 1 }] } }, /ends before/],
  ["no range", { name: "ports", type: "RANGES", ranges: { range: [] } }, /no range/],
  ["an item twice", { name: "cards", type: "SET", set: { item: ["a", "a"] } }, /twice/],
  ["no name", { name: "", type: "SCALAR", scalar: { value: 1 } }, /needs a name/],
])("validation: %s", (_, value, problem) => {
  if (problem === undefined) expect(resourceProblem(value)).toBeUndefined();
  else expect(resourceProblem(value)).toMatch(problem);
});
