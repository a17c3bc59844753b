import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { position } from "#log/entry.ts";
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

  test("[R14] nop and membership entries change nothing, a truncation stops", () => {
    const registry = emptyRegistry();
    expect(applyEntry(registry, { position: position(2), entry: { type: "nop" } })).toEqual({ type: "applied" });
    const truncate = { type: "truncate", to: position(2) } as const;
    expect(applyEntry(registry, { position: position(3), entry: truncate })).toMatchObject({ type: "stopped" });
    expect(registry).toEqual(emptyRegistry());
  });
});
