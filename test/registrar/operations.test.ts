import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Entry, type Incarnation, position, type ReplicaId } from "#log/entry.ts";
import { applyOperation, type AuditedOperation } from "#registrar/operations.ts";
import { DraftTable, emptyRegistry } from "#registrar/registry.ts";
import { applyEntry } from "#registrar/replay.ts";
import { admit, agentId, info, operationsEntry, update } from "./sample.ts";

describe("operations", () => {
  test("[R1] an agent is admitted once", () => {
    const { admitted } = emptyRegistry();
    expect(applyOperation(admitted, admit(1))).toEqual({ type: "changed" });
    const before = admitted.get(agentId(1));
    expect(applyOperation(admitted, admit(1, info("other")))).toEqual({
      type: "refused",
      reason: "agent-already-admitted",
    });
    expect(admitted.get(agentId(1))).toBe(before);
  });

  test("[R1] an operation finds its agent by id, wherever it stands, and leaves all others alone (H12)", () => {
    const { admitted } = emptyRegistry();
    for (const number of [1, 2, 3]) applyOperation(admitted, admit(number));
    const others = [admitted.get(agentId(1)), admitted.get(agentId(3))];
    applyOperation(admitted, update(2, info("other")));
    expect([admitted.get(agentId(1)), admitted.get(agentId(3))]).toEqual(others);
    expect(admitted.get(agentId(2))?.info.hostname).toBe("other");
  });

  test("[R1] an operation is checked against the registry, not against a version that its caller holds (H9)", () => {
    const { admitted } = emptyRegistry();
    const two = [admit(1, info("first")), admit(1, info("second"))];
    expect(two.map((operation) => applyOperation(admitted, operation).type)).toEqual(["changed", "refused"]);
    expect(admitted.get(agentId(1))?.info.hostname).toBe("first");
  });

  test("[R1] only an admitted agent is updated, and an equal update changes nothing", () => {
    const { admitted } = emptyRegistry();
    expect(applyOperation(admitted, update(1, info()))).toEqual({ type: "refused", reason: "agent-unknown" });
    expect(admitted.size).toBe(0);
    applyOperation(admitted, admit(1));
    const before = admitted.get(agentId(1));
    expect(applyOperation(admitted, update(1, info()))).toEqual({ type: "unchanged" });
    expect(admitted.get(agentId(1))).toBe(before);
    expect(applyOperation(admitted, update(1, info("other")))).toEqual({ type: "changed" });
    expect(admitted.get(agentId(1))).toEqual({ ...before, info: info("other") });
  });
});

const operations = fc.array(
  fc.oneof(
    fc.nat(5).map((number) => admit(number)),
    fc.tuple(fc.nat(5), fc.constantFrom("a", "b")).map(([number, host]) => update(number, info(host))),
  ),
  { maxLength: 30 },
);

describe("replaying", () => {
  test("[R2] a draft ends where the registry itself ends, and leaves it alone", () => {
    fc.assert(
      fc.property(operations, operations, (before, batch) => {
        const [edited, below] = [emptyRegistry().admitted, emptyRegistry().admitted];
        for (const operation of before) for (const table of [edited, below]) applyOperation(table, operation);
        const untouched = JSON.stringify([...below]);
        const draft = new DraftTable(below);
        for (const operation of batch) {
          expect(applyOperation(draft, operation)).toEqual(applyOperation(edited, operation));
        }
        for (let number = 0; number <= 5; number++)
          expect(draft.get(agentId(number))).toEqual(edited.get(agentId(number)));
        expect(JSON.stringify([...below])).toBe(untouched);
      }),
    );
  });

  test("[R2] the accepted operations, replayed from the log, give the same registry", () => {
    fc.assert(
      fc.property(operations, (batch) => {
        const [live, replayed] = [emptyRegistry(), emptyRegistry()];
        const accepted: AuditedOperation[] = [];
        for (const operation of batch)
          if (applyOperation(live.admitted, operation).type === "changed") accepted.push(operation);
        expect(applyEntry(replayed, { position: position(2), entry: operationsEntry(...accepted) })).toEqual({
          type: "applied",
        });
        expect(replayed).toEqual(live);
      }),
    );
  });

  test("[R14] an entry with one refused operation is not applied at all", () => {
    const registry = emptyRegistry();
    const entry = operationsEntry(admit(1), admit(1));
    expect(applyEntry(registry, { position: position(7), entry })).toEqual({
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
      expect(applyEntry(registry, { position: position(3), entry })).toEqual({ type: "applied" });
    expect(registry).toEqual(emptyRegistry());
  });

  test("[R14] an entry of a type that this release does not know stops, and asks for an upgrade", () => {
    const registry = emptyRegistry();
    const entry = { type: "snapshot", of: "everything" } as unknown as Entry;
    expect(applyEntry(registry, { position: position(3), entry })).toEqual({
      type: "stopped",
      reason: "cannot apply the log entry at 3: it is of a type that this release does not know: upgrade",
    });
    expect(registry).toEqual(emptyRegistry());
  });
});
