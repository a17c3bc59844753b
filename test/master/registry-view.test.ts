import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import { registryPieces } from "../../src/master/views.ts";
import { emptyRegistry } from "#registrar/registry.ts";
import { applyOperation, type RegistryOperation } from "#registrar/operations.ts";
import type { Master } from "../../src/master/state.ts";
import { admit, agentId } from "../registrar/sample.ts";

const shown = (master: Master) => JSON.parse([...registryPieces(master)].join("")) as Record<string, unknown>;

test("the registry endpoint lists the unreachable and the gone as Mesos 1.x does, with nanoseconds", () => {
  const registry = emptyRegistry();
  const at = (operation: RegistryOperation) => ({ operation, audit: { ...admit(1).audit, when: millis(5_000) } });
  for (const operation of [
    admit(1),
    admit(2),
    admit(3),
    at({ type: "mark-agent-unreachable", agentId: agentId(2) }),
    at({ type: "mark-agent-gone", agentId: agentId(3) }),
  ]) {
    applyOperation(registry, operation);
  }
  const view = shown({ info: {}, registry } as Master);
  expect(view).toMatchObject({ slaves: { slaves: [{ info: { id: { value: agentId(1) } } }] } });
  expect(view["unreachable"]).toEqual({
    slaves: [{ id: { value: agentId(2) }, timestamp: { nanoseconds: 5_000_000_000 } }],
  });
  expect(view["gone"]).toEqual({
    slaves: [{ id: { value: agentId(3) }, timestamp: { nanoseconds: 5_000_000_000 } }],
  });
  expect(JSON.stringify(view)).not.toContain("0".repeat(31));
  const empty = shown({ info: {}, registry: emptyRegistry() } as Master);
  expect(empty).toMatchObject({ slaves: { slaves: [] }, gone: { slaves: [] } });
});
