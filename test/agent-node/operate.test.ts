// What operations make of an agent's resources, and what of that the next agent can go on from.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ResourceOperation } from "#protocol/agent.ts";
import { RESOURCES_MAX, type Resource } from "#protocol/resource.ts";
import { equal, fromResources, type ResourceSet, scalar, toResources } from "#resources/resources.ts";
import { type Holdings, operate } from "../../agent-node/resources/operate.ts";
import { convertedIn, fitProblem, totalOf, withTotal } from "../../agent-node/resources/total.ts";
import { fixed, free, reserved, volume } from "./made-resources.ts";

const GIVEN = [free("cpus", 4), fixed("cpus", 2), free("mem", 1000), free("disk", 500), fixed("disk", 100)];
const MOUNT = { source: { type: "MOUNT", mount: { root: "/mnt/ssd" } } } as const;

function holdings(over: Partial<Holdings> = {}): Holdings {
  const given = over.given ?? fromResources(GIVEN);
  return { given, total: given, isVolumeInUse: () => false, isBeingRemoved: () => false, ...over };
}

/** The total after operations that all must succeed. */
function after(operations: readonly ResourceOperation[], given = fromResources(GIVEN)): ResourceSet {
  let total = given;
  for (const operation of operations) {
    const done = operate(operation, holdings({ given, total }));
    if (done.type === "failed") throw new Error(done.message);
    const next = totalOf(given, done.converted);
    if (next === undefined) throw new Error("it fits");
    total = next;
  }
  return total;
}

const reserve = (...resources: Resource[]): ResourceOperation => ({ type: "RESERVE", resources });
const unreserve = (...resources: Resource[]): ResourceOperation => ({ type: "UNRESERVE", resources });
const create = (...volumes: Resource[]): ResourceOperation => ({ type: "CREATE", volumes });
const destroy = (...volumes: Resource[]): ResourceOperation => ({ type: "DESTROY", volumes });
const failure = (operation: ResourceOperation, over: Partial<Holdings> = {}): string => {
  const done = operate(operation, holdings(over));
  return done.type === "failed" ? done.message : "done";
};

describe("[A38] the total", () => {
  test("has what was made in the place of what it was made of", () => {
    const total = after([reserve(reserved("cpus", 1), reserved("disk", 200)), create(volume(150))]);
    const expected = [
      free("cpus", 3),
      fixed("cpus", 2),
      reserved("cpus", 1),
      free("mem", 1000),
      free("disk", 300),
      fixed("disk", 100),
      reserved("disk", 50),
      volume(150),
    ];
    expect(equal(total, fromResources(expected))).toBe(true);
  });

  test("is as before when all is undone, in whatever pieces", () => {
    const total = after([
      reserve(reserved("disk", 200), reserved("cpus", 1.5)),
      create(volume(150), volume(50, "logs")),
      { type: "SHRINK_VOLUME", volume: volume(150), subtractMb: 100 },
      { type: "GROW_VOLUME", volume: volume(50), addition: reserved("disk", 30) },
      unreserve(reserved("cpus", 0.5)),
      destroy(volume(80), volume(50, "logs")),
      unreserve(reserved("cpus", 1), reserved("disk", 200)),
    ]);
    expect(equal(total, fromResources(GIVEN))).toBe(true);
    expect(convertedIn(total).pools.size).toBe(0);
  });

  test("is reported instead of the flags' own, and the flags' own is, word for word, while nothing is converted", () => {
    const info = { hostname: "h", port: 1, resources: GIVEN, attributes: [] };
    expect(withTotal(info, [])).toBe(info);
    const { resources } = withTotal(info, [reserved("disk", 200)]);
    expect(equal(fromResources(resources), after([reserve(reserved("disk", 200))]))).toBe(true);
  });

  test("flags may give more or less next time, as long as they give what was converted", () => {
    const made = [reserved("disk", 200), volume(100)];
    expect(fitProblem([free("disk", 300)], made)).toBeUndefined();
    expect(fitProblem([free("disk", 299)], made)).toMatch(/does not give.*disk:200 \(role web\).*volume data/);
    expect(fitProblem([fixed("disk", 300)], made)).toMatch(/does not give/);
    expect(fitProblem([], [volume(10, "data", MOUNT)])).toMatch(/on \/mnt\/ssd/);
  });
});

describe("[A36] what cannot be done fails, says why and changes nothing", () => {
  const withVolume = { total: after([reserve(reserved("disk", 200)), create(volume(100))]) };

  test.each<[string, ResourceOperation, RegExp]>([
    ["more than there is", reserve(reserved("disk", 501)), /does not have disk:501/],
    ["a static reservation taken off", unreserve(fixed("cpus", 2)), /only a dynamic reservation/],
    ["a static reservation made", reserve(fixed("cpus", 1)), /only a dynamic reservation/],
    ["what is not reserved", unreserve(reserved("cpus", 1)), /does not have cpus:1/],
    ["a volume without its reservation", create(volume(10)), /does not have disk:10/],
    ["a volume that is none", create(reserved("disk", 10)), /no persistent volume/],
    ["an amount of nothing", reserve(reserved("disk", 0)), /must be above 0/],
    ["a volume that is not there", destroy(volume(100)), /does not have/],
    [
      "a volume whose path leaves the sandbox",
      create(volume(1, "x", { volume: { mode: "RW", container_path: "../x" } })),
      /'\.\.'/,
    ],
    ["a volume whose id is a path", create(volume(1, "../x")), /disk\.persistence\.id/],
  ])("%s", (_, operation, why) => {
    expect(failure(operation)).toMatch(why);
    expect(failure(operation)).toMatch(new RegExp(`^${operation.type}: `));
  });

  test("a second volume of its role and id, also in one operation", () => {
    expect(failure(create(volume(50)), withVolume)).toMatch(/already/);
    expect(failure(create(volume(10, "a"), volume(20, "a")), withVolume)).toMatch(/twice/);
  });

  test("what is below a volume is neither reserved anew nor unreserved", () => {
    expect(failure(unreserve(volume(100)), withVolume)).toMatch(/persistent volume on it/);
    expect(failure(unreserve(reserved("disk", 150)), withVolume)).toMatch(/does not have disk:150/);
  });

  test("part of a volume is neither destroyed nor resized", () => {
    expect(failure(destroy(volume(40)), withVolume)).toMatch(/does not have/);
    expect(failure({ type: "SHRINK_VOLUME", volume: volume(100), subtractMb: 100 }, withVolume)).toMatch(/something/);
    expect(failure({ type: "SHRINK_VOLUME", volume: volume(40), subtractMb: 10 }, withVolume)).toMatch(/does not have/);
    const grow = { type: "GROW_VOLUME", volume: volume(100) } as const;
    expect(failure({ ...grow, addition: free("disk", 10) }, withVolume)).toMatch(/own disk and reservation/);
    expect(failure({ ...grow, addition: reserved("cpus", 1) }, withVolume)).toMatch(/own disk and reservation/);
    expect(failure({ ...grow, addition: reserved("disk", 101) }, withVolume)).toMatch(/does not have/);
  });

  test("a volume that a task holds is neither destroyed nor resized", () => {
    const held = { ...withVolume, isVolumeInUse: () => true };
    expect(failure(destroy(volume(100)), held)).toMatch(/a task holds volume data/);
    expect(failure({ type: "SHRINK_VOLUME", volume: volume(100), subtractMb: 10 }, held)).toMatch(/a task holds/);
    expect(failure({ type: "GROW_VOLUME", volume: volume(100), addition: reserved("disk", 1) }, held)).toMatch(/holds/);
  });

  test("a place where something is still being removed", () => {
    const busy = { ...withVolume, isBeingRemoved: () => true };
    expect(failure(create(volume(10, "new")), busy)).toMatch(/volumes\/roles\/web\/new.*still being removed/);
  });

  test("more different resources than a registration may have", () => {
    const layers = Array.from({ length: RESOURCES_MAX }, (_, i) => ({
      ...free("mem", 1),
      reservations: [{ type: "DYNAMIC" as const, role: `role-${i}` }],
    }));
    expect(failure(reserve(...layers))).toMatch(/at most 256 different/);
  });
});

test("[A36] a mount is made a volume as a whole, and does not shrink", () => {
  const given = fromResources([{ ...free("disk", 1000), disk: MOUNT }]);
  const whole = { ...reserved("disk", 1000), disk: MOUNT };
  const total = after([reserve(whole), create(volume(1000, "data", MOUNT))], given);
  expect(scalar(total, "disk")).toBe(1000);
  const shrink = { type: "SHRINK_VOLUME", volume: volume(1000, "data", MOUNT), subtractMb: 1 } as const;
  expect(failure(shrink, { given, total })).toMatch(/whole mount/);
  const done = operate(destroy(volume(1000, "data", MOUNT)), holdings({ given, total }));
  expect(done).toMatchObject({ type: "done", removed: [{ path: "/mnt/ssd", isMount: true }] });
});

test("[A38] whatever operations come: sums stay, and the next agent can start with what is checkpointed", () => {
  const names = fc.constantFrom("cpus", "disk", "mem");
  const amount = fc.integer({ min: 1, max: 400_000 }).map((thousandths) => thousandths / 1000);
  const id = fc.constantFrom("a", "b");
  const operations: fc.Arbitrary<ResourceOperation> = fc.oneof(
    fc.tuple(names, amount).map(([name, value]) => reserve(reserved(name, value))),
    fc.tuple(names, amount).map(([name, value]) => unreserve(reserved(name, value))),
    fc.tuple(amount, id).map(([value, which]) => create(volume(value, which))),
    fc.tuple(amount, id).map(([value, which]) => destroy(volume(value, which))),
    fc.tuple(amount, amount, id).map(([value, subtractMb, which]): ResourceOperation => {
      return { type: "SHRINK_VOLUME", volume: volume(value, which), subtractMb };
    }),
    fc.tuple(amount, amount, id).map(([value, more, which]): ResourceOperation => {
      return { type: "GROW_VOLUME", volume: volume(value, which), addition: reserved("disk", more) };
    }),
  );
  const given = fromResources(GIVEN);
  let done = 0;
  fc.assert(
    fc.property(fc.array(operations, { minLength: 1, maxLength: 12 }), (list) => {
      let total = given;
      for (const operation of list) {
        const operated = operate(operation, holdings({ total }));
        if (operated.type === "failed") continue;
        done++;
        const converted = toResources(operated.converted);
        expect(fitProblem(GIVEN, converted)).toBeUndefined();
        const next = totalOf(given, fromResources(converted));
        if (next === undefined) throw new Error("it fits");
        total = next;
        for (const name of ["cpus", "disk", "mem"]) expect(scalar(total, name)).toBeCloseTo(scalar(given, name), 9);
      }
    }),
  );
  expect(done).toBeGreaterThan(50);
});
