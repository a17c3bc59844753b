// Random histories of a small cluster, told to the allocator and to the obvious one.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { present } from "#base/assert.ts";
import type { ResourceOperation } from "#protocol/agent.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import type { OfferConstraints } from "#protocol/offer-constraints.ts";
import type { Attribute, Resource } from "#protocol/resource.ts";
import { conversionOf } from "#resources/conversion.ts";
import { isIndivisible } from "#resources/pool.ts";
import { quantitiesOf } from "#resources/quantities.ts";
import { fromResources, isEmpty, type ResourceSet, setOf, toResources } from "#resources/resources.ts";
import { MIN_ALLOCATABLE_DEFAULT } from "../../../src/master/allocator/hierarchical.ts";
import { Both } from "./both.ts";

const AGENTS = 5;
const FRAMEWORKS = 5;
const ROLES = ["*", "web", "web/eu", "web/us", "batch", "batch/x"];
const agentId = (n: number): AgentId => `agent-${n}` as AgentId;
const frameworkId = (n: number): FrameworkId => `framework-${n}` as FrameworkId;

const scalar = (name: string, value: number, more: Partial<Resource> = {}): Resource => ({
  name,
  type: "SCALAR",
  scalar: { value },
  ...more,
});
const reservation = (...roles: string[]): Partial<Resource> => ({
  reservations: roles.map((role) => ({ type: "DYNAMIC", role })),
});

/** What an agent may have beside plain cpus and mem. */
const EXTRAS: readonly Resource[] = [
  scalar("cpus", 2, reservation("web")),
  scalar("mem", 64, reservation("web")),
  scalar("cpus", 1, reservation("web", "web/eu")),
  scalar("cpus", 3, { reservations: [{ type: "STATIC", role: "batch" }] }),
  scalar("disk", 50),
  scalar("disk", 40, { disk: { source: { type: "MOUNT", mount: { root: "/mnt" } } } }),
  scalar("disk", 20, reservation("web")),
  scalar("disk", 30, {
    ...reservation("batch"),
    disk: { persistence: { id: "v1" }, volume: { mode: "RW", container_path: "data" } },
  }),
  scalar("disk", 10, {
    ...reservation("web"),
    disk: { persistence: { id: "s1" }, volume: { mode: "RW", container_path: "data" } },
    shared: {},
  }),
  scalar("gpus", 1),
  scalar("cpus", 2, { revocable: {} }),
  { name: "ports", type: "RANGES", ranges: { range: [{ begin: 10, end: 19 }] } },
  { name: "ports", type: "RANGES", ranges: { range: [{ begin: 30, end: 34 }] }, ...reservation("web") },
];

const total = fc
  .record({
    cpus: fc.integer({ min: 0, max: 8 }),
    mem: fc.constantFrom(0, 16, 64, 256),
    extras: fc.subarray([...EXTRAS.keys()], { maxLength: 5 }),
  })
  .map(({ cpus, mem, extras }) =>
    fromResources([
      ...(cpus > 0 ? [scalar("cpus", cpus)] : []),
      ...(mem > 0 ? [scalar("mem", mem)] : []),
      ...extras.map((at) => present(EXTRAS[at], "extra")),
    ]),
  );

const attributes = fc
  .subarray(["rack-a", "rack-b", "ssd"])
  .map((names): Attribute[] => names.map((name) => ({ name, type: "TEXT", text: { value: name.slice(-1) } })));

const region = fc.constantFrom(undefined, "here", "there");

const agent = fc.record({
  total,
  attributes,
  region,
  isActive: fc.integer({ min: 0, max: 9 }).map((of) => of > 0),
});

const constraints = fc.constantFrom<(OfferConstraints | undefined)[]>(undefined, undefined, {
  role_constraints: {
    web: {
      groups: [
        {
          attribute_constraints: [
            {
              selector: { attribute_name: "ssd", pseudoattribute_type: undefined },
              predicate: { exists: {} },
            },
          ],
        },
        {
          attribute_constraints: [
            {
              selector: { attribute_name: "rack-a", pseudoattribute_type: undefined },
              predicate: { text_matches: { regex: "[ab]" } },
            },
          ],
        },
      ],
    },
  },
});

const framework = fc.record({
  roles: fc.subarray(ROLES, { minLength: 1, maxLength: 3 }),
  suppressed: fc.subarray(ROLES, { maxLength: 1 }),
  capabilities: fc.record({
    gpuResources: fc.boolean(),
    regionAware: fc.boolean(),
    reservationRefinement: fc.boolean(),
    revocable: fc.boolean(),
    shared: fc.boolean(),
  }),
  constraints,
  minimum: fc.constantFrom(
    undefined,
    undefined,
    undefined,
    [],
    [quantitiesOf({ cpus: 2 })],
    [quantitiesOf({ disk: 1 })],
  ),
});

const quota = fc.option(
  fc
    .record({
      cpus: fc.integer({ min: 0, max: 6 }),
      mem: fc.integer({ min: 0, max: 200 }),
      kinds: fc.subarray(["cpus", "mem"]),
      limited: fc.subarray(["cpus", "mem", "disk"]),
      beyond: fc.integer({ min: 0, max: 4 }),
    })
    .map(({ cpus, mem, kinds, limited, beyond }) => {
      const most: Readonly<Record<string, number>> = { cpus, mem, disk: 30 };
      const guarantees = quantitiesOf(Object.fromEntries(kinds.map((kind) => [kind, most[kind] ?? 0])));
      const limits = quantitiesOf(Object.fromEntries(limited.map((kind) => [kind, (most[kind] ?? 0) + beyond])));
      return { guarantees: new Map([...guarantees].filter(([, value]) => value > 0)), limits };
    }),
  { nil: undefined },
);

const n = fc.nat(1000);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant("agent" as const), n, agent }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("remove-agent" as const), n }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("agent-active" as const), n, isActive: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("framework" as const), n, framework }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("remove-framework" as const), n }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("framework-active" as const), n, isActive: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constantFrom("suppress" as const, "revive" as const, "revive" as const),
      n,
      roles: fc.subarray(ROLES, { maxLength: 1 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant("weights" as const),
      weights: fc.array(fc.tuple(fc.constantFrom(...ROLES), fc.constantFrom(0.5, 2, 3.5))),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant("quota" as const), role: fc.constantFrom("*", "web", "batch"), quota }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant("allocate" as const), n, m: n, role: fc.constantFrom(...ROLES), of: n }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("decline" as const),
      n,
      ms: fc.constantFrom(0, 1_000, 3_000, 5_000),
      firmMs: fc.constantFrom(0, 1_000),
    }),
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant("end" as const), n, part: n }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant("operation" as const), n, m: n, isFree: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant("time" as const), ms: fc.constantFrom(1, 500, 1_000, 2_500) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Some of what is there: whole pools of what is indivisible, a unit of anything else. */
function someOf(set: ResourceSet, at: number): ResourceSet {
  const all = [...set.pools.values()];
  const held = all[at % Math.max(1, all.length)];
  if (held === undefined) return set;
  if (isIndivisible(held.pool) || at % 3 === 0) return setOf([held]);
  const [name] = held.amounts.scalars.keys();
  return name === undefined
    ? setOf([held])
    : setOf([{ ...held, amounts: { scalars: new Map([[name, 1_000]]), ranges: new Map(), sets: new Map() } }]);
}

/** An operation that may be possible on this. */
function operationOn(set: ResourceSet, at: number): ResourceOperation | undefined {
  const resources = toResources(set).filter(({ revocable }) => revocable === undefined);
  const one = resources[at % Math.max(1, resources.length)];
  if (one === undefined) return undefined;
  const roles = (one.reservations ?? []).map(({ role }) => role ?? "");
  if (one.disk?.persistence !== undefined) return { type: "DESTROY", volumes: [one] };
  if (one.name === "disk" && roles.length > 0) {
    const disk = {
      persistence: { id: `made-${at % 3}` },
      volume: { mode: "RW" as const, container_path: "x" },
      source: one.disk?.source,
    };
    return { type: "CREATE", volumes: [{ ...one, disk, ...(at % 2 === 0 ? { shared: {} } : {}) }] };
  }
  if (roles.length > 0 && at % 2 === 0) return { type: "UNRESERVE", resources: [one] };
  if (one.disk !== undefined || roles.length > 1) return undefined;
  const next = roles[0] === undefined ? (at % 3 === 0 ? "batch" : "web") : `${roles[0]}/x`;
  return {
    type: "RESERVE",
    resources: [{ ...one, reservations: [...(one.reservations ?? []), { type: "DYNAMIC", role: next }] }],
  };
}

function happen(both: Both, given: Step): void {
  const { obvious } = both;
  const agents = obvious.agents.map((one) => one.agentId);
  switch (given.type) {
    case "agent": {
      const id = agentId(given.n % AGENTS);
      const zone = undefined;
      if (!agents.includes(id)) both.addAgent({ agentId: id, hostname: id, zone, ...given.agent });
      else if (given.n % 3 === 0)
        both.updateAgent(id, { attributes: given.agent.attributes, region: given.agent.region });
      else both.updateAgent(id, { total: given.agent.total });
      return;
    }
    case "remove-agent":
    case "agent-active": {
      const id = agents[given.n % Math.max(1, agents.length)];
      if (id === undefined) return;
      if (given.type === "remove-agent") both.removeAgent(id);
      else both.setAgentActive(id, given.isActive);
      return;
    }
    case "framework": {
      const id = frameworkId(given.n % FRAMEWORKS);
      const { roles, suppressed, capabilities, minimum } = given.framework;
      const described = {
        frameworkId: id,
        roles,
        suppressedRoles: new Set(suppressed.filter((role) => roles.includes(role))),
        capabilities,
        offerConstraints: given.framework.constraints,
        minAllocatable: minimum === undefined ? undefined : new Map(roles.slice(0, 1).map((role) => [role, minimum])),
      };
      if (obvious.framework(id) === undefined) both.addFramework({ ...described, isActive: given.n % 7 !== 0 });
      else both.updateFramework(described);
      return;
    }
    case "remove-framework":
    case "framework-active":
    case "suppress":
    case "revive": {
      const id = obvious.frameworks[given.n % Math.max(1, obvious.frameworks.length)]?.frameworkId;
      if (id === undefined) return;
      if (given.type === "remove-framework") both.removeFramework(id);
      else if (given.type === "framework-active") both.setFrameworkActive(id, given.isActive);
      else if (given.type === "suppress") both.suppress(id, given.roles);
      else both.revive(id, given.roles);
      return;
    }
    case "weights":
      both.setWeights(new Map(given.weights));
      return;
    case "quota":
      both.setQuota(given.role, given.quota);
      return;
    case "allocate": {
      const id = agents[given.n % Math.max(1, agents.length)];
      if (id === undefined) return;
      const resources = someOf(obvious.free(id), given.of);
      if (isEmpty(resources)) return;
      both.allocate({ agentId: id, frameworkId: frameworkId(given.m % FRAMEWORKS), role: given.role, resources });
      return;
    }
    case "decline":
    case "end": {
      const booking = obvious.bookings[given.n % Math.max(1, obvious.bookings.length)];
      if (booking === undefined) return;
      if (given.type === "end") both.recover({ ...booking, resources: someOf(booking.resources, given.part) });
      else both.recover(booking, given.ms === 0 ? undefined : given);
      return;
    }
    case "operation": {
      const booking = given.isFree ? undefined : obvious.bookings[given.n % Math.max(1, obvious.bookings.length)];
      const id = booking?.agentId ?? agents[given.n % Math.max(1, agents.length)];
      if (id === undefined) return;
      const operation = operationOn(booking?.resources ?? obvious.free(id), given.m);
      if (operation === undefined) return;
      both.convert(booking ?? { agentId: id }, conversionOf(operation));
      return;
    }
    case "time":
      both.now = (both.now + given.ms) as typeof both.now;
  }
}

/** So many frameworks of one role that those who are looked at are few of their siblings. */
const CROWD = 30;

function crowd(both: Both): void {
  const capabilities = {
    gpuResources: true,
    regionAware: true,
    reservationRefinement: true,
    revocable: true,
    shared: true,
  };
  for (let n = FRAMEWORKS; n < FRAMEWORKS + CROWD; n++)
    both.addFramework({
      frameworkId: frameworkId(n),
      roles: ["web"],
      suppressedRoles: new Set(n % 6 === 0 ? ["web"] : []),
      capabilities,
      isActive: true,
    });
}

const options = fc.record({
  minAllocatable: fc.constantFrom(
    MIN_ALLOCATABLE_DEFAULT,
    MIN_ALLOCATABLE_DEFAULT,
    [],
    [quantitiesOf({ cpus: 1, mem: 10 })],
  ),
  fairSharingExcluded: fc.constantFrom([], ["cpus"]),
  region: fc.constantFrom(undefined, "here"),
});

test("[AL20] [AL21] whatever happens, a run comes to what one that looks at everything comes to, and keeps the invariants", () => {
  let allocations = 0;
  fc.assert(
    fc.property(
      options,
      fc.nat(),
      fc.integer({ min: 0, max: 4 }).map((of) => of === 4),
      fc.array(fc.record({ step, isRun: fc.integer({ min: 0, max: 3 }).map((of) => of > 0) }), {
        minLength: 10,
        maxLength: 60,
        size: "max",
      }),
      (given, seed, isCrowded, history) => {
        const both = new Both(given, seed);
        if (isCrowded) crowd(both);
        for (const { step: next, isRun } of history) {
          happen(both, next);
          if (isRun) allocations += both.run().length;
          else both.check();
        }
        allocations += both.run().length;
      },
    ),
    { numRuns: Number(process.env["ALLOCATOR_HISTORIES"] ?? 200) },
  );
  expect(allocations).toBeGreaterThan(500);
}, 3_600_000);
