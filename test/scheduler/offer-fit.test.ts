import fc from "fast-check";
import { expect, test } from "vitest";
import type { Resource } from "#protocol/resource.ts";
import { amountOf, cut, scalar, type Cut } from "#scheduler/index.ts";

const ports = (...range: readonly (readonly [number, number])[]): Resource => ({
  name: "ports",
  type: "RANGES",
  role: "*",
  ranges: { range: range.map(([begin, end]) => ({ begin, end })) },
});
const reserved = (name: string, value: number): Resource => ({ ...scalar(name, value), role: "prod" });

function parts(result: Cut): { readonly taken: readonly Resource[]; readonly left: readonly Resource[] } {
  if (result.type === "misfit") throw new Error(`misfit: ${result.name}`);
  return result;
}

test("what is wanted is cut out, and the rest is for the next task", () => {
  const first = parts(cut([scalar("cpus", 1), scalar("mem", 100)], { cpus: 0.3, mem: 60 }));
  expect(first.taken).toEqual([scalar("cpus", 0.3), scalar("mem", 60)]);
  expect(first.left).toEqual([scalar("cpus", 0.7), scalar("mem", 40)]);
  expect(cut(first.left, { cpus: 0.3, mem: 60 })).toEqual({ type: "misfit", name: "mem", offered: 40, wanted: 60 });
});

test("thousandths count: ten times 0.1 is 1", () => {
  let left: readonly Resource[] = [scalar("cpus", 1)];
  for (let i = 0; i < 10; i++) left = parts(cut(left, { cpus: 0.1 })).left;
  expect(left).toEqual([]);
});

test("a piece keeps what it was offered with, and reserved ones are taken first", () => {
  const offered = [
    { ...scalar("cpus", 2), allocation_info: { role: "prod" } },
    { ...reserved("cpus", 1), allocation_info: { role: "prod" } },
  ];
  const { taken, left } = parts(cut(offered, { cpus: 1.5 }));
  expect(taken).toEqual([
    { ...reserved("cpus", 1), allocation_info: { role: "prod" } },
    { ...scalar("cpus", 0.5), allocation_info: { role: "prod" } },
  ]);
  expect(left).toEqual([{ ...scalar("cpus", 1.5), allocation_info: { role: "prod" } }]);
});

test("volumes, revocable and shared resources are left alone", () => {
  const volume = { ...reserved("disk", 100), disk: { persistence: { id: "v" } } };
  const revocable = { ...scalar("cpus", 4), revocable: {} };
  const offered = [volume, revocable, scalar("disk", 10)];
  expect(amountOf(offered, "disk")).toBe(10);
  expect(cut(offered, { disk: 20 })).toMatchObject({ type: "misfit", offered: 10 });
  expect(cut(offered, { cpus: 1 })).toMatchObject({ type: "misfit", offered: 0 });
  expect(parts(cut(offered, { disk: 10 })).left).toEqual([volume, revocable]);
});

test("ports: so many, or exactly these", () => {
  const offered = [ports([31_000, 31_001], [31_005, 31_009])];
  const some = parts(cut(offered, { ports: 3 }));
  expect(some.taken).toEqual([ports([31_000, 31_001], [31_005, 31_005])]);
  expect(some.left).toEqual([ports([31_006, 31_009])]);
  const these = parts(cut(offered, { ports: [31_007, 31_000] }));
  expect(these.taken).toEqual([ports([31_007, 31_007], [31_000, 31_000])]);
  expect(these.left).toEqual([ports([31_001, 31_001], [31_005, 31_006], [31_008, 31_009])]);
  expect(cut(offered, { ports: [31_003] })).toEqual({ type: "misfit", name: "ports", offered: 7, wanted: 1 });
  expect(cut(offered, { ports: 8 })).toMatchObject({ type: "misfit", offered: 7, wanted: 8 });
});

test("items of a set", () => {
  const disks: Resource = { name: "disks", type: "SET", role: "*", set: { item: ["a", "b", "c"] } };
  const { taken, left } = parts(cut([disks], { disks: 2 }));
  expect([taken[0]?.set?.item, left[0]?.set?.item]).toEqual([["a", "b"], ["c"]]);
});

test("whatever is cut, taken and left are what was offered", () => {
  const amount = fc.integer({ min: 1, max: 20_000 }).map((thousandths) => thousandths / 1000);
  const resource = fc.oneof(
    fc.record({ name: fc.constantFrom("cpus", "mem"), value: amount }).map(({ name, value }) => scalar(name, value)),
    amount.map((value) => reserved("cpus", value)),
    fc
      .record({ begin: fc.integer({ min: 1, max: 50 }), size: fc.integer({ min: 1, max: 9 }) })
      .map(({ begin, size }) => ports([begin * 10, begin * 10 + size - 1])),
  );
  const wants = fc.record({ cpus: amount, mem: amount, ports: fc.integer({ min: 0, max: 12 }) });
  fc.assert(
    fc.property(fc.array(resource, { maxLength: 8 }), wants, (offered, wanted) => {
      const result = cut(offered, wanted);
      for (const name of ["cpus", "mem", "ports"] as const) {
        const has = amountOf(offered, name);
        if (result.type === "misfit") {
          if (result.name === name) expect(has).toBeLessThan(wanted[name]);
          continue;
        }
        expect(amountOf(result.taken, name)).toBeCloseTo(wanted[name], 9);
        expect(amountOf(result.left, name)).toBeCloseTo(has - wanted[name], 9);
      }
    }),
  );
});
