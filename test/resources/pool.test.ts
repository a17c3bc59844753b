// Whose resources are: reservations, volumes and mounts, and the two forms in which clients say it.
import { describe, expect, test } from "vitest";
import type { Resource } from "#protocol/resource.ts";
import { isAllocatableTo, poolOf } from "#resources/pool.ts";
import {
  add,
  contains,
  equal,
  fromResources,
  inBothForms,
  isEmpty,
  reservedByRole,
  resourceProblem,
  scalar,
  subtract,
  toResources,
  unreserved,
  withRole,
} from "#resources/resources.ts";

const cpus = (value: number, more: Partial<Resource> = {}): Resource => ({
  name: "cpus",
  type: "SCALAR",
  scalar: { value },
  ...more,
});
const disk = (value: number, more: Partial<Resource> = {}): Resource => ({ ...cpus(value, more), name: "disk" });
const dynamic = (role: string) => ({ type: "DYNAMIC" as const, role });
const volume = (id: string, value: number, path = "data"): Resource =>
  disk(value, {
    reservations: [dynamic("web")],
    disk: { persistence: { id }, volume: { mode: "RW", container_path: path } },
  });

test("what is reserved to different roles never adds up", () => {
  const set = fromResources([cpus(1), cpus(2, { role: "web" }), cpus(4, { role: "web", reservation: {} })]);
  expect(set.pools.size).toBe(3);
  expect(scalar(set, "cpus")).toBe(7);
  expect(contains(set, fromResources([cpus(3)]))).toBe(false);
  expect(contains(set, fromResources([cpus(2, { role: "web" })]))).toBe(true);
  expect(scalar(unreserved(set), "cpus")).toBe(1);
  expect(scalar(reservedByRole(set).get("web") ?? fromResources([]), "cpus")).toBe(6);
});

test("both forms of a reservation are one pool, and each is read back", () => {
  const older = cpus(1, { role: "web", reservation: { principal: "ops" } });
  const newer = cpus(1, { reservations: [{ type: "DYNAMIC", role: "web", principal: "ops" }] });
  expect(poolOf(older).key).toBe(poolOf(newer).key);
  const [canonical] = toResources(fromResources([older]));
  expect(canonical).toMatchObject(newer);
  expect(canonical).not.toHaveProperty("role");
  expect(withRole(newer)).toMatchObject({ role: "web", reservation: { principal: "ops" } });
  expect(withRole(newer)).not.toHaveProperty("reservations");
  expect(withRole(cpus(1))).toMatchObject({ role: "*" });
  expect(withRole(cpus(1, { reservations: [{ type: "STATIC", role: "web" }] }))).not.toHaveProperty("reservation");
  expect(inBothForms(newer)).toMatchObject({ role: "web", reservations: newer.reservations });
});

test("labels make a pool, their order does not", () => {
  const label = (key: string) => ({ key, value: "1" });
  const labelled = (keys: readonly string[]) =>
    poolOf(cpus(1, { reservations: [{ ...dynamic("web"), labels: { labels: keys.map(label) } }] })).key;
  expect(labelled(["a", "b"])).toBe(labelled(["b", "a"]));
  expect(labelled(["a"])).not.toBe(labelled(["b"]));
});

test("a role may have what is free, its own, and what is reserved to a role above it", () => {
  const pool = poolOf(cpus(1, { role: "web" }));
  expect(["web", "web/eu", "web/eu/1"].every((role) => isAllocatableTo(pool, role))).toBe(true);
  expect(["*", "we", "website", "ads"].some((role) => isAllocatableTo(pool, role))).toBe(false);
  expect(isAllocatableTo(poolOf(cpus(1)), "ads")).toBe(true);
});

describe("volumes and mounts", () => {
  test("are taken whole", () => {
    const set = fromResources([volume("v1", 100), disk(50, { role: "web", reservation: {} })]);
    expect(contains(set, fromResources([volume("v1", 100)]))).toBe(true);
    expect(contains(set, fromResources([volume("v1", 40)]))).toBe(false);
    const mount = disk(100, { disk: { source: { type: "MOUNT", mount: { root: "/mnt/a" } } } });
    expect(contains(fromResources([mount]), fromResources([{ ...mount, scalar: { value: 99 } }]))).toBe(false);
    const path = disk(100, { disk: { source: { type: "PATH", path: { root: "/data" } } } });
    expect(contains(fromResources([path]), fromResources([{ ...path, scalar: { value: 99 } }]))).toBe(true);
  });

  test("are each a pool of its own", () => {
    const [a, b] = [fromResources([volume("v1", 10)]), fromResources([volume("v2", 10)])];
    expect(isEmpty(subtract(a, b))).toBe(false);
    expect(equal(subtract(add(a, b), b), a)).toBe(true);
  });
});

test.each<[string, Resource, RegExp]>([
  ["two forms at once", cpus(1, { role: "web", reservation: {}, reservations: [dynamic("web")] }), /both/],
  ["another role", cpus(1, { role: "ads", reservations: [dynamic("web")] }), /not that of its last/],
  ["a reservation to nobody", cpus(1, { reservation: {} }), /no role/],
  ["a reservation to everybody", cpus(1, { reservations: [dynamic("*")] }), /without a role/],
  ["a refinement to another branch", cpus(1, { reservations: [dynamic("web"), dynamic("ads/x")] }), /not below/],
  ["a static layer above", cpus(1, { reservations: [dynamic("web"), { type: "STATIC", role: "web/a" }] }), /static/],
  ["a CPU with a disk", cpus(1, { disk: { source: { type: "PATH" } } }), /may not have 'disk'/],
  ["a raw disk", disk(1, { disk: { source: { type: "RAW" } } }), /resource provider/],
  ["a volume that nobody reserved", { ...volume("v", 1), reservations: [] }, /needs a reservation/],
  ["a volume without an id", disk(1, { disk: { volume: { mode: "RW", container_path: "x" } } }), /persistence/],
  ["a volume id with a slash", volume("../x", 1), /may not contain/],
  ["a volume outside of the sandbox", volume("v", 1, "a/../../x"), /'\.\.'/],
  ["a volume at the root", volume("v", 1, "/x"), /relative/],
  [
    "a volume on the host",
    {
      ...volume("v", 1),
      disk: { persistence: { id: "v" }, volume: { mode: "RW", container_path: "x", host_path: "/" } },
    },
    /host_path/,
  ],
  ["shared CPUs", cpus(1, { shared: {} }), /may not be shared/],
])("ownership: %s is refused", (_, resource, problem) => {
  expect(resourceProblem(resource)).toMatch(problem);
});
