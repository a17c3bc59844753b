import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { millis } from "#base/time.ts";
import { type Entry, type Incarnation, type Position, position, type ReplicaId } from "#log/entry.ts";
import type { FrameworkId, HostKey, Principal } from "#protocol/ids.ts";
import { applyOperation, type AuditedOperation, type RegistryOperation } from "#registrar/operations.ts";
import {
  ADMITTED_AGENTS_MAX,
  CREDENTIALS_MAX,
  draftOf,
  emptyRegistry,
  type Quantity,
  type QuotaConfig,
  QUOTAS_MAX,
  REGISTERED_FRAMEWORKS_MAX,
  REMOVED_FRAMEWORKS_MAX,
  type Registry,
  type StoredVerifier,
  TABLE_NAMES,
  VERIFIERS_MAX,
  type Weight,
  WEIGHTS_MAX,
} from "#registrar/registry.ts";
import { applyEntry, createReplay, type Replayed } from "#registrar/replay.ts";
import { ModelRegistry } from "./model-registry.ts";
import { admit, agentId, info, operationsEntry, update } from "./sample.ts";

const at = (operation: RegistryOperation, when = 5_000): AuditedOperation => ({
  operation,
  audit: { who: "operator", when: millis(when), why: "a test" },
});
const described = (number: number, hostname = "host", strict = true) => ({
  agentId: agentId(number),
  info: info(hostname),
  hostKey: number.toString(16).padStart(32, "0") as HostKey,
  principal: "agents" as Principal,
  strict,
});
const applied = (registry: Registry, ...operations: readonly AuditedOperation[]) =>
  operations.map((operation) => {
    const outcome = applyOperation(registry, operation);
    return outcome.type === "refused" ? outcome.reason : outcome.type;
  });
const snapshotOf = (registry: Registry) => JSON.stringify(TABLE_NAMES.map((name) => [...registry[name].values()]));

/** Applies one entry wherever it stands. */
function replayed(registry: Registry, positioned: { readonly position: Position; readonly entry: Entry }): Replayed {
  const replay = createReplay(registry);
  replay.next = positioned.position;
  return applyEntry(replay, positioned);
}

/** Where an id can be, and what brings it there. */
const PLACES = {
  nowhere: [],
  admitted: [admit(1)],
  unreachable: [admit(1), at({ type: "mark-agent-unreachable", agentId: agentId(1) }, 2_000)],
  gone: [admit(1), at({ type: "mark-agent-gone", agentId: agentId(1) }, 2_000)],
} as const satisfies Record<string, readonly AuditedOperation[]>;
type Place = keyof typeof PLACES;

function placeOf(registry: Registry): Place {
  const places = (["admitted", "unreachable", "gone"] as const).filter((name) => registry[name].has(agentId(1)));
  if (places.length > 1) throw new Error(`in ${places.join(" and ")} at once`);
  return places[0] ?? "nowhere";
}

const id = agentId(1);
const ROWS: readonly (readonly [string, RegistryOperation, Record<Place, readonly [outcome: string, after: Place]>])[] =
  [
    [
      "admit-agent",
      { type: "admit-agent", ...described(1, "other") },
      {
        nowhere: ["changed", "admitted"],
        admitted: ["agent-already-admitted", "admitted"],
        unreachable: ["agent-unreachable", "unreachable"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "admit-agent, write-only",
      { type: "admit-agent", ...described(1, "other", false) },
      {
        nowhere: ["changed", "admitted"],
        admitted: ["unchanged", "admitted"],
        unreachable: ["changed", "admitted"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "readmit-agent as it was",
      { type: "readmit-agent", ...described(1) },
      {
        nowhere: ["agent-unknown", "nowhere"],
        admitted: ["unchanged", "admitted"],
        unreachable: ["agent-unreachable", "unreachable"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "readmit-agent under another description",
      { type: "readmit-agent", ...described(1, "other") },
      {
        nowhere: ["agent-unknown", "nowhere"],
        admitted: ["changed", "admitted"],
        unreachable: ["agent-unreachable", "unreachable"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "readmit-agent, write-only",
      { type: "readmit-agent", ...described(1, "host", false) },
      {
        nowhere: ["changed", "admitted"],
        admitted: ["unchanged", "admitted"],
        unreachable: ["changed", "admitted"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "update-agent",
      { type: "update-agent", agentId: id, info: info("other") },
      {
        nowhere: ["agent-unknown", "nowhere"],
        admitted: ["changed", "admitted"],
        unreachable: ["agent-unreachable", "unreachable"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "mark-agent-unreachable",
      { type: "mark-agent-unreachable", agentId: id },
      {
        nowhere: ["agent-unknown", "nowhere"],
        admitted: ["changed", "unreachable"],
        unreachable: ["agent-unreachable", "unreachable"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "mark-agent-reachable",
      { type: "mark-agent-reachable", ...described(1) },
      {
        nowhere: ["agent-unknown", "nowhere"],
        admitted: ["unchanged", "admitted"],
        unreachable: ["changed", "admitted"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "mark-agent-gone",
      { type: "mark-agent-gone", agentId: id },
      {
        nowhere: ["agent-unknown", "nowhere"],
        admitted: ["changed", "gone"],
        unreachable: ["changed", "gone"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "remove-agent",
      { type: "remove-agent", agentId: id, strict: true },
      {
        nowhere: ["agent-unknown", "nowhere"],
        admitted: ["changed", "nowhere"],
        unreachable: ["changed", "nowhere"],
        gone: ["agent-gone", "gone"],
      },
    ],
    [
      "remove-agent, write-only",
      { type: "remove-agent", agentId: id, strict: false },
      {
        nowhere: ["unchanged", "nowhere"],
        admitted: ["changed", "nowhere"],
        unreachable: ["changed", "nowhere"],
        gone: ["unchanged", "gone"],
      },
    ],
    [
      "prune of the unreachable",
      { type: "prune", unreachable: [id], gone: [] },
      {
        nowhere: ["unchanged", "nowhere"],
        admitted: ["unchanged", "admitted"],
        unreachable: ["changed", "nowhere"],
        gone: ["unchanged", "gone"],
      },
    ],
    [
      "prune of the gone",
      { type: "prune", unreachable: [], gone: [id] },
      {
        nowhere: ["unchanged", "nowhere"],
        admitted: ["unchanged", "admitted"],
        unreachable: ["unchanged", "unreachable"],
        gone: ["changed", "nowhere"],
      },
    ],
  ];
const CASES = ROWS.flatMap(([name, operation, row]) =>
  (Object.keys(PLACES) as Place[]).map((place) => ({
    name,
    operation,
    place,
    outcome: row[place][0],
    after: row[place][1],
  })),
);

describe("[R17] [R18] an operation and where its agent is", () => {
  test.each(CASES)("$name of an agent that is $place: $outcome", ({ operation, place, outcome, after }) => {
    const registry = emptyRegistry();
    applied(registry, admit(0), ...PLACES[place], admit(2));
    const before = snapshotOf(registry);
    expect(applied(registry, at(operation))).toEqual([outcome]);
    expect(placeOf(registry)).toBe(after);
    // [R1] A refusal, and what changes nothing, leave no trace; and nobody else is ever touched (H12).
    if (outcome !== "changed") expect(snapshotOf(registry)).toBe(before);
    expect([...registry.admitted.keys()].filter((other) => other !== id)).toEqual([agentId(0), agentId(2)]);
  });

  test("every operation on agents has its rows", () => {
    const types = new Set(ROWS.map(([, { type }]) => type));
    expect([...types].toSorted()).toEqual([
      "admit-agent",
      "mark-agent-gone",
      "mark-agent-reachable",
      "mark-agent-unreachable",
      "prune",
      "readmit-agent",
      "remove-agent",
      "update-agent",
    ]);
  });
});

describe("[R17] agents", () => {
  test("[R1] an operation is checked against the registry, not against a version that its caller holds (H9)", () => {
    const registry = emptyRegistry();
    expect(applied(registry, admit(1, info("first")), admit(1, info("second")))).toEqual([
      "changed",
      "agent-already-admitted",
    ]);
    expect(registry.admitted.get(id)?.info.hostname).toBe("first");
  });

  test("an unreachable agent comes back as old as it was, and as it describes itself now", () => {
    const registry = emptyRegistry();
    applied(registry, ...PLACES.unreachable);
    expect(registry.unreachable.get(id)).toMatchObject({ hostname: "host", admittedAt: 1_000, at: 2_000 });
    applied(registry, at({ type: "mark-agent-reachable", ...described(1, "moved") }));
    expect(registry.admitted.get(id)).toMatchObject({ info: info("moved"), admittedAt: 1_000 });
  });

  test("an update keeps the host that the id is bound to, whatever the operation claims", () => {
    const registry = emptyRegistry();
    applied(registry, admit(1));
    const bound = registry.admitted.get(id)?.hostKey;
    const thief = { ...described(1, "thief"), hostKey: "f".repeat(32) as HostKey };
    applied(registry, at({ type: "readmit-agent", ...thief }), at({ type: "mark-agent-reachable", ...thief }));
    expect(registry.admitted.get(id)).toMatchObject({ info: info("thief"), hostKey: bound });
  });

  test("no more agents than the registry may hold, new or coming back", () => {
    const registry = emptyRegistry();
    for (let number = 0; number < ADMITTED_AGENTS_MAX; number++) applyOperation(registry, admit(number));
    expect(registry.admitted.size).toBe(ADMITTED_AGENTS_MAX);
    const [away, other] = [ADMITTED_AGENTS_MAX, ADMITTED_AGENTS_MAX + 1];
    expect(
      applied(
        registry,
        admit(away),
        at({ type: "mark-agent-unreachable", agentId: agentId(1) }),
        admit(away),
        at({ type: "mark-agent-reachable", ...described(1) }),
        admit(other),
        at({ type: "remove-agent", agentId: agentId(2), strict: true }),
        at({ type: "mark-agent-reachable", ...described(1) }),
      ),
    ).toEqual(["registry-full", "changed", "changed", "registry-full", "registry-full", "changed", "changed"]);
    expect([registry.admitted.size, registry.unreachable.size]).toEqual([ADMITTED_AGENTS_MAX, 0]);
  });
});

const frameworkId = (number: number): FrameworkId => `m-${number}` as FrameworkId;
const disconnect = (number: number, deadline = 9_000): AuditedOperation =>
  at({
    type: "disconnect-framework",
    frameworkId: frameworkId(number),
    principal: "frameworks" as Principal,
    deadline: millis(deadline),
  });
const reconnect = (number: number) => at({ type: "reconnect-framework", frameworkId: frameworkId(number) });
const removeFramework = (number: number) => at({ type: "remove-framework", frameworkId: frameworkId(number) });

describe("[R19] frameworks", () => {
  test("a deadline is kept until the framework is back, and a removed one never is", () => {
    const registry = emptyRegistry();
    expect(applied(registry, reconnect(1), disconnect(1), disconnect(1), disconnect(1, 9_500))).toEqual([
      "unchanged",
      "changed",
      "unchanged",
      "changed",
    ]);
    expect(registry.disconnectedFrameworks.get(frameworkId(1))).toMatchObject({ deadline: 9_500 });
    expect(applied(registry, reconnect(1), disconnect(1), removeFramework(1), removeFramework(1))).toEqual([
      "changed",
      "changed",
      "changed",
      "unchanged",
    ]);
    expect(registry.disconnectedFrameworks.size).toBe(0);
    expect(applied(registry, reconnect(1), disconnect(1))).toEqual(["framework-removed", "framework-removed"]);
  });

  test("of more removed frameworks than are remembered the oldest is dropped, in a draft as in the registry", () => {
    const registry = emptyRegistry();
    for (let number = 0; number < REMOVED_FRAMEWORKS_MAX; number++) applyOperation(registry, removeFramework(number));
    // 0 is dropped, comes back as the newest, and pushes out 1: both are then removed for the first time again.
    const again = [removeFramework(-1), removeFramework(0), removeFramework(1), removeFramework(3)];
    const draft = draftOf(registry);
    const drafted = again.map((operation) => applyOperation(draft, operation).type);
    expect(applied(registry, ...again)).toEqual(drafted);
    expect(drafted).toEqual(["changed", "changed", "changed", "unchanged"]);
    expect(registry.removedFrameworks.size).toBe(REMOVED_FRAMEWORKS_MAX);
    expect(registry.removedFrameworks.first()).toBe(frameworkId(3));
  });
});

const registerFramework = (number: number, principal = "frameworks", failoverTimeoutMs = 60_000): AuditedOperation =>
  at({
    type: "register-framework",
    frameworkId: frameworkId(number),
    principal: principal as Principal,
    failoverTimeoutMs,
  });

describe("[R31] whose a framework is", () => {
  test("its id belongs to the principal that registered it first, also while it is away, until it is removed for ever", () => {
    const registry = emptyRegistry();
    expect(
      applied(
        registry,
        registerFramework(1),
        registerFramework(1, "mallory"),
        disconnect(1),
        registerFramework(1, "mallory"),
        reconnect(1),
        registerFramework(1, "mallory"),
        registerFramework(1),
        registerFramework(1, "frameworks", 0),
        removeFramework(1),
        registerFramework(1),
        registerFramework(1, "mallory"),
      ),
    ).toEqual([
      "changed",
      "framework-of-another",
      "changed",
      "framework-of-another",
      "changed",
      "framework-of-another",
      "unchanged",
      "changed",
      "changed",
      "framework-removed",
      "framework-removed",
    ]);
    expect(registry.registeredFrameworks.size).toBe(0);
  });

  test("a deadline that an earlier release noted says whose it is as well", () => {
    const registry = emptyRegistry();
    expect(applied(registry, disconnect(1), registerFramework(1, "mallory"), registerFramework(1))).toEqual([
      "changed",
      "framework-of-another",
      "changed",
    ]);
    expect(registry.disconnectedFrameworks.size).toBe(1);
  });

  test("no more of them than the registry may hold; one that is removed makes room", () => {
    const registry = emptyRegistry();
    for (let n = 0; n < REGISTERED_FRAMEWORKS_MAX; n++) applyOperation(registry, registerFramework(n));
    expect(
      applied(
        registry,
        registerFramework(-1),
        registerFramework(1, "frameworks", 7),
        removeFramework(1),
        registerFramework(-1),
      ),
    ).toEqual(["registry-full", "changed", "changed", "changed"]);
  });
});

const setWeights = (...infos: readonly Weight[]) => at({ type: "update-weights", infos });
const weight = (role: string, value: number): Weight => ({ role, weight: value });
const weightsIn = (registry: Registry) =>
  Object.fromEntries([...registry.weights].map(([role, one]) => [role, one.weight]));

describe("[R29] weights", () => {
  test("an update replaces those that it names and keeps the others; 1 is stored like any other", () => {
    const registry = emptyRegistry();
    expect(
      applied(
        registry,
        setWeights(),
        setWeights(weight("a", 2), weight("b", 0.5)),
        setWeights(weight("b", 1)),
        setWeights(weight("a", 2)),
      ),
    ).toEqual(["unchanged", "changed", "changed", "unchanged"]);
    expect(weightsIn(registry)).toEqual({ a: 2, b: 1 });
  });

  test("[R1] all or none: what does not fit changes nothing", () => {
    const registry = emptyRegistry();
    applied(registry, setWeights(...Array.from({ length: WEIGHTS_MAX }, (_, n) => weight(`r${n}`, 2))));
    expect(applied(registry, setWeights(weight("r1", 3), weight("another", 2)), setWeights(weight("r2", 3)))).toEqual([
      "registry-full",
      "changed",
    ]);
    expect(registry.weights.get("r1")).toEqual({ role: "r1", weight: 2 });
  });
});

const setQuota = (...configs: readonly QuotaConfig[]) => at({ type: "update-quota", configs });
const cpus = (value: number): readonly Quantity[] => [{ name: "cpus", value }];
const quota = (role: string, floor?: number, ceiling?: number): QuotaConfig => ({
  role,
  guarantees: floor === undefined ? [] : cpus(floor),
  limits: ceiling === undefined ? [] : cpus(ceiling),
});

describe("[R30] quota", () => {
  test("an update replaces the quota of each role that it names, and an empty one ends it", () => {
    const registry = emptyRegistry();
    expect(
      applied(
        registry,
        setQuota(quota("a", 1, 2), quota("b", undefined, 0)),
        setQuota(quota("a", 1, 2)),
        setQuota(quota("a", 1)),
        setQuota(quota("never")),
        setQuota(quota("b"), quota("c", 3)),
        setQuota(),
      ),
    ).toEqual(["changed", "unchanged", "changed", "unchanged", "changed", "unchanged"]);
    expect([...registry.quotas.values()]).toEqual([quota("a", 1), quota("c", 3)]);
  });

  test("[R1] all or none; what ends makes room for what begins with it", () => {
    const registry = emptyRegistry();
    applied(registry, setQuota(...Array.from({ length: QUOTAS_MAX }, (_, n) => quota(`r${n}`, 1))));
    const before = snapshotOf(registry);
    expect(applied(registry, setQuota(quota("r1", 7), quota("another", 1)))).toEqual(["registry-full"]);
    expect(snapshotOf(registry)).toBe(before);
    expect(applied(registry, setQuota(quota("r1"), quota("another", 1)))).toEqual(["changed"]);
    expect(registry.quotas.size).toBe(QUOTAS_MAX);
  });
});

const verifier = (name: string): StoredVerifier => ({
  salt: "c2FsdA==",
  iterations: 4_096,
  storedKey: name,
  serverKey: name,
});
const grant = (principal: string, key: string, role: "agent" | "operator" = "agent"): AuditedOperation =>
  at({ type: "set-credential", principal: principal as Principal, role, verifier: verifier(key) });
const revoke = (principal: string) => at({ type: "revoke-credential", principal: principal as Principal });

describe("[R20] credentials", () => {
  test("the verifier before stays valid while it is replaced, and only that one", () => {
    const registry = emptyRegistry();
    expect(applied(registry, grant("a", "1"), grant("a", "1"), grant("a", "2"), grant("a", "3"))).toEqual([
      "changed",
      "unchanged",
      "changed",
      "changed",
    ]);
    const keys = () => registry.credentials.get("a" as Principal)?.verifiers.map(({ storedKey }) => storedKey);
    expect(keys()).toEqual(["3", "2"]);
    expect(keys()).toHaveLength(VERIFIERS_MAX);
    // Back to the one before: it is the newest, and never there twice.
    expect(applied(registry, grant("a", "2"), grant("a", "2", "operator"))).toEqual(["changed", "changed"]);
    expect(keys()).toEqual(["2", "3"]);
    expect(registry.credentials.get("a" as Principal)?.role).toBe("operator");
    expect(applied(registry, revoke("a"), revoke("a"))).toEqual(["changed", "credential-unknown"]);
  });

  test("no more principals than the registry may hold; those that are there may still be changed", () => {
    const registry = emptyRegistry();
    for (let number = 0; number < CREDENTIALS_MAX; number++) applyOperation(registry, grant(`p${number}`, "1"));
    expect(applied(registry, grant("another", "1"), grant("p1", "2"))).toEqual(["registry-full", "changed"]);
  });
});

const number = fc.nat(3);
const hostname = fc.constantFrom("a", "b");
const strict = fc.boolean();
const audited = fc
  .tuple(
    fc.oneof(
      fc
        .tuple(fc.constantFrom("admit-agent" as const, "readmit-agent" as const), number, hostname, strict)
        .map(([type, n, host, isStrict]): RegistryOperation => ({ type, ...described(n, host, isStrict) })),
      fc
        .tuple(number, hostname)
        .map(([n, host]): RegistryOperation => ({ type: "update-agent", agentId: agentId(n), info: info(host) })),
      fc
        .tuple(number, strict)
        .map(([n, isStrict]): RegistryOperation => ({ type: "remove-agent", agentId: agentId(n), strict: isStrict })),
      number.map((n): RegistryOperation => ({ type: "mark-agent-unreachable", agentId: agentId(n) })),
      fc.tuple(number, hostname).map(([n, host]): RegistryOperation => {
        const { strict: _, ...agent } = described(n, host);
        return { type: "mark-agent-reachable", ...agent };
      }),
      number.map((n): RegistryOperation => ({ type: "mark-agent-gone", agentId: agentId(n) })),
      fc.tuple(fc.uniqueArray(number), fc.uniqueArray(number)).map(([away, gone]): RegistryOperation => ({
        type: "prune",
        unreachable: away.map(agentId),
        gone: gone.map(agentId),
      })),
      fc.tuple(number, fc.nat(1)).map(([n, deadline]) => disconnect(n, deadline).operation),
      number.map((n) => reconnect(n).operation),
      number.map((n) => removeFramework(n).operation),
      fc.tuple(number, number).map(([n, key]) => grant(`p${n}`, `k${key}`).operation),
      number.map((n) => revoke(`p${n}`).operation),
      fc
        .tuple(number, fc.constantFrom("frameworks", "mallory"), fc.nat(1))
        .map(([n, principal, timeout]) => registerFramework(n, principal, timeout).operation),
      fc
        .uniqueArray(fc.tuple(fc.constantFrom("a", "b", "c"), fc.integer({ min: 1, max: 2 })), {
          selector: ([role]) => role,
        })
        .map((infos) => setWeights(...infos.map(([role, value]) => weight(role, value))).operation),
      fc
        .uniqueArray(fc.tuple(fc.constantFrom("a", "b", "c"), fc.option(fc.nat(1)), fc.option(fc.nat(1))), {
          selector: ([role]) => role,
        })
        .map(
          (configs) =>
            setQuota(...configs.map(([role, floor, ceiling]) => quota(role, floor ?? undefined, ceiling ?? undefined)))
              .operation,
        ),
    ),
    fc.nat(100),
  )
  .map(([operation, when]) => at(operation, when));
const operations = fc.array(audited, { maxLength: 60, size: "max" });

describe("replaying", () => {
  test("[R17] [R18] [R19] [R20] [R29] [R30] [R31] it ends where a second, slow implementation ends, step by step", () => {
    fc.assert(
      fc.property(operations, (batch) => {
        const [registry, model] = [emptyRegistry(), new ModelRegistry()];
        for (const operation of batch) {
          const outcome = applyOperation(registry, operation);
          expect(outcome.type === "refused" ? outcome.reason : outcome.type).toBe(model.apply(operation));
          expect(TABLE_NAMES.map((name) => [...registry[name].values()])).toEqual(model.tables());
        }
      }),
      { numRuns: 300 },
    );
  });

  test("[R2] a draft ends where the registry itself ends, and leaves it alone", () => {
    fc.assert(
      fc.property(operations, operations, (before, batch) => {
        const [edited, below] = [emptyRegistry(), emptyRegistry()];
        for (const operation of before) for (const registry of [edited, below]) applyOperation(registry, operation);
        const untouched = snapshotOf(below);
        const draft = draftOf(below);
        for (const operation of batch) {
          expect(applyOperation(draft, operation)).toEqual(applyOperation(edited, operation));
          for (const name of TABLE_NAMES) {
            expect([draft[name].size, draft[name].first()]).toEqual([edited[name].size, edited[name].first()]);
          }
        }
        for (let n = 0; n <= 3; n++) {
          for (const name of ["admitted", "unreachable", "gone"] as const) {
            expect(draft[name].get(agentId(n))).toEqual(edited[name].get(agentId(n)));
          }
        }
        for (const name of ["weights", "quotas"] as const) {
          for (const role of ["a", "b", "c"]) expect(draft[name].get(role)).toEqual(edited[name].get(role));
        }
        expect(snapshotOf(below)).toBe(untouched);
      }),
    );
  });

  test("[R2] the accepted operations, replayed from the log, give the same registry", () => {
    fc.assert(
      fc.property(operations, (batch) => {
        const [live, read] = [emptyRegistry(), emptyRegistry()];
        const accepted = batch.filter((operation) => applyOperation(live, operation).type === "changed");
        const entry = operationsEntry(...accepted);
        expect(replayed(read, { position: position(2), entry })).toEqual({ type: "applied" });
        expect(snapshotOf(read)).toBe(snapshotOf(live));
      }),
    );
  });

  test("[R14] an entry with one refused operation is not applied at all", () => {
    const registry = emptyRegistry();
    const entry = operationsEntry(admit(1), admit(1));
    expect(replayed(registry, { position: position(7), entry })).toEqual({
      type: "stopped",
      reason: "cannot apply the log entry at 7: an operation in it is refused: agent-already-admitted",
    });
    expect(registry.admitted.size).toBe(0);
  });

  test("[R14] nop, membership and truncation entries change nothing: what is dropped was applied before", () => {
    const registry = emptyRegistry();
    const seats = [{ replica: "replica-1" as ReplicaId, incarnation: "life 1" as Incarnation }];
    const entries = [
      { type: "nop" },
      { type: "membership", membership: { seats } },
      { type: "truncate", to: position(2) },
    ] as const;
    for (const entry of entries)
      expect(replayed(registry, { position: position(3), entry })).toEqual({ type: "applied" });
    expect(registry).toEqual(emptyRegistry());
  });

  test("[R14] an entry of a type that this release does not know stops, and asks for an upgrade", () => {
    const registry = emptyRegistry();
    const entry = { type: "snapshot", of: "everything" } as unknown as Entry;
    expect(replayed(registry, { position: position(3), entry })).toEqual({
      type: "stopped",
      reason: "cannot apply the log entry at 3: it is of a type that this release does not know: upgrade",
    });
    expect(registry).toEqual(emptyRegistry());
  });

  test("[R1] an equal update keeps the very record, so that a snapshot and a reader share it", () => {
    const registry = emptyRegistry();
    applied(registry, admit(1));
    const before = registry.admitted.get(id);
    expect(applied(registry, update(1, info()))).toEqual(["unchanged"]);
    expect(registry.admitted.get(id)).toBe(before);
  });
});
