// What operations do to resources. A conversion moves; it never makes or loses anything.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { present } from "#base/assert.ts";
import type { ResourceOperation } from "#protocol/agent.ts";
import type { Resource } from "#protocol/resource.ts";
import { type Conversion, conversionOf, convert, volumeKeys } from "#resources/conversion.ts";
import { equal, fromResources, quantities, scalar, sum, unreserved } from "#resources/resources.ts";

const scalarOf = (name: string, value: number, more: Partial<Resource> = {}): Resource => ({
  name,
  type: "SCALAR",
  scalar: { value },
  ...more,
});
const layer = (role: string) => ({ type: "DYNAMIC" as const, role, principal: "ops" });
const reserved = (name: string, value: number, ...roles: string[]) =>
  scalarOf(name, value, { reservations: roles.map(layer) });
const volume = (value: number): Resource => ({
  ...reserved("disk", value, "web"),
  disk: { persistence: { id: "v1", principal: "ops" }, volume: { mode: "RW", container_path: "data" } },
});

const agent = fromResources([
  scalarOf("cpus", 4),
  scalarOf("disk", 100),
  { name: "ports", type: "RANGES", ranges: { range: [{ begin: 1, end: 9 }] } },
]);

/** The agent after some operations that must succeed. */
const done = (operations: readonly ResourceOperation[]) => present(after(operations), "what the operations made");

function after(operations: readonly ResourceOperation[]) {
  let set = agent;
  for (const operation of operations) {
    const next = convert(set, conversionOf(operation));
    if (next === undefined) return undefined;
    set = next;
  }
  return set;
}

const RESERVE = {
  type: "RESERVE",
  resources: [reserved("cpus", 1, "web"), reserved("disk", 60, "web")],
} satisfies ResourceOperation;
const CREATE = { type: "CREATE", volumes: [volume(50)] } satisfies ResourceOperation;

test("reserve, create, refine, and all the way back", () => {
  const set = done([RESERVE, CREATE]);
  expect(scalar(unreserved(set), "cpus")).toBe(3);
  expect([...volumeKeys(set)]).toEqual(['["web","v1"]']);
  const refined = { type: "RESERVE", resources: [reserved("cpus", 0.5, "web", "web/eu")] } satisfies ResourceOperation;
  const back = done([
    RESERVE,
    CREATE,
    refined,
    { type: "UNRESERVE", resources: refined.resources },
    { type: "DESTROY", volumes: CREATE.volumes },
    { type: "UNRESERVE", resources: RESERVE.resources },
  ]);
  expect(equal(back, agent)).toBe(true);
});

test("a volume grows out of the disk beside it, and shrinks back into it", () => {
  const growth = {
    type: "GROW_VOLUME",
    volume: volume(50),
    addition: reserved("disk", 10, "web"),
  } satisfies ResourceOperation;
  const grown = done([RESERVE, CREATE, growth]);
  expect(equal(grown, done([RESERVE, { type: "CREATE", volumes: [volume(60)] }]))).toBe(true);
  const shrunk = convert(grown, conversionOf({ type: "SHRINK_VOLUME", volume: volume(60), subtractMb: 10 }));
  expect(equal(present(shrunk, "the shrunk volume"), done([RESERVE, CREATE]))).toBe(true);
});

test("what is not there cannot be converted", () => {
  expect(after([CREATE])).toBeUndefined();
  expect(after([RESERVE, { type: "RESERVE", resources: [reserved("cpus", 3.5, "web")] }])).toBeUndefined();
  expect(after([RESERVE, CREATE, { type: "UNRESERVE", resources: RESERVE.resources }])).toBeUndefined();
  expect(after([RESERVE, CREATE, { type: "DESTROY", volumes: [volume(40)] }])).toBeUndefined();
});

test("nothing is made and nothing is lost", () => {
  const amount = fc.integer({ min: 1, max: 100_000 }).map((thousandths) => thousandths / 1000);
  const conversion: fc.Arbitrary<Conversion> = fc.oneof(
    amount.map((value) => conversionOf({ type: "RESERVE", resources: [reserved("cpus", value, "web")] })),
    amount.map((value) => conversionOf({ type: "UNRESERVE", resources: [reserved("cpus", value, "a", "a/b")] })),
    amount.map((value) => conversionOf({ type: "CREATE", volumes: [volume(value)] })),
    amount.map((value) => conversionOf({ type: "DESTROY", volumes: [volume(value)] })),
    fc
      .tuple(amount, amount)
      .map(([value, more]) =>
        conversionOf({ type: "GROW_VOLUME", volume: volume(value), addition: reserved("disk", more, "web") }),
      ),
    fc
      .tuple(amount, amount)
      .map(([value, less]) => conversionOf({ type: "SHRINK_VOLUME", volume: volume(value + less), subtractMb: less })),
  );
  fc.assert(
    fc.property(conversion, ({ consumed, converted }) => {
      expect(Object.fromEntries(quantities(sum([converted])))).toEqual(Object.fromEntries(quantities(consumed)));
    }),
  );
});
