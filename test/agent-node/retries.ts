// [A11] What nobody acknowledges is sent again, ever more rarely, and at once on a new connection: the same for updates of tasks and of operations.
import { expect } from "vitest";
import type { Millis } from "#base/time.ts";
import type { AgentState } from "../../agent-node/checkpoint/state.ts";
import type { UpdateManager } from "../../agent-node/status-updates/manager.ts";
import { RETRY_MS_MAX, RETRY_MS_MIN } from "../../agent-node/status-updates/stream.ts";

/** `frame`: the one that is sent each time. */
export function expectRetries<K, U>(manager: UpdateManager<K, U>, state: AgentState, frame: readonly unknown[]): void {
  let now = 0 as Millis;
  const waits: number[] = [];
  for (let i = 0; i < 9; i++) {
    expect(manager.takeDue(state, now)).toEqual([frame]);
    expect(manager.takeDue(state, now)).toEqual([]);
    const next = manager.nextDue(state) ?? now;
    expect(manager.takeDue(state, (next - 1) as Millis)).toEqual([]);
    waits.push(next - now);
    now = next;
  }
  expect(waits.slice(0, 3)).toEqual([RETRY_MS_MIN, 2 * RETRY_MS_MIN, 4 * RETRY_MS_MIN]);
  expect(waits.at(-1)).toBe(RETRY_MS_MAX);
  manager.resendAll();
  expect(manager.takeDue(state, now)).toHaveLength(1);
  expect((manager.nextDue(state) ?? 0) - now).toBe(RETRY_MS_MIN);
}
