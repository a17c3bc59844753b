import { expect, test } from "vitest";
import type { Millis } from "#base/time.ts";
import type { FrameworkId, TaskId } from "#protocol/ids.ts";
import type { TaskState, TaskStatus } from "#protocol/task.ts";
import { FRAME_BYTES_MAX, FRAME_ITEMS_MAX } from "#protocol/agent.ts";
import { type AgentState, apply, NEW_AGENT } from "../../agent-node/checkpoint/state.ts";
import { registerMessages } from "../../agent-node/register-messages.ts";
import { systemStatistics } from "../../agent-node/statistics.ts";
import { StatusUpdateManager } from "../../agent-node/status-updates/manager.ts";
import { acknowledge, EMPTY_STREAM, enqueue } from "../../agent-node/status-updates/stream.ts";
import { containerIdFrom } from "../../agent-node/task-status.ts";
import { FRAMEWORK, launch } from "./fake-plane.ts";
import { expectRetries } from "./retries.ts";

const status = (taskId: string, state: TaskState, uuid: string): TaskStatus => ({
  task_id: { value: taskId as TaskId },
  state,
  uuid,
});
const with2 = (updates: readonly TaskStatus[]): AgentState =>
  updates.reduce<AgentState>(
    (state, one) => apply(state, { type: "update", frameworkId: "f" as FrameworkId, status: one }),
    NEW_AGENT,
  );

test("[A11] only the head of a stream is sent: again after 10 s, doubling to 10 min", () => {
  const state = with2([status("t", "TASK_RUNNING", "1"), status("t", "TASK_FINISHED", "2")]);
  const manager = new StatusUpdateManager();
  const head = { frameworkId: "f", status: expect.objectContaining({ uuid: "1" }) as unknown, latest: "TASK_FINISHED" };
  expectRetries(manager, state, [head]);
});

test("[A11] the next update goes out at once when the head is acknowledged", () => {
  let state = with2([status("t", "TASK_RUNNING", "1"), status("t", "TASK_FINISHED", "2")]);
  const manager = new StatusUpdateManager();
  manager.takeDue(state, 0 as Millis);
  state = apply(state, { type: "acknowledged", frameworkId: "f" as FrameworkId, taskId: "t" as TaskId, uuid: "1" });
  expect(manager.takeDue(state, 1 as Millis)[0]?.[0]?.status.uuid).toBe("2");
});

test("[A21] all is said when every head went out since the last registration", () => {
  let state = with2([status("t", "TASK_RUNNING", "1"), status("t", "TASK_FINISHED", "2")]);
  const manager = new StatusUpdateManager();
  expect([manager.allSent(NEW_AGENT), manager.allSent(state)]).toEqual([true, false]);
  manager.takeDue(state, 0 as Millis);
  expect(manager.allSent(state)).toBe(true);
  state = apply(state, { type: "acknowledged", frameworkId: "f" as FrameworkId, taskId: "t" as TaskId, uuid: "1" });
  expect(manager.allSent(state)).toBe(false); // another head
  manager.takeDue(state, 1 as Millis);
  expect(manager.allSent(state)).toBe(true);
  manager.resendAll();
  expect(manager.allSent(state)).toBe(false);
});

test("[A11] updates go out in frames of bounded length", () => {
  const state = with2(Array.from({ length: FRAME_ITEMS_MAX + 1 }, (_, i) => status(`t${i}`, "TASK_RUNNING", `${i}`)));
  expect(new StatusUpdateManager().takeDue(state, 0 as Millis).map((frame) => frame.length)).toEqual([
    FRAME_ITEMS_MAX,
    1,
  ]);
});

test("[A11] a repeated uuid, and whatever follows the end, is not taken", () => {
  const running = status("t", "TASK_RUNNING", "1");
  let stream = enqueue(EMPTY_STREAM, running);
  expect(enqueue(stream, running)).toBe(stream);
  const verdict = acknowledge(stream, "1");
  if (verdict.type !== "next") throw new Error("next");
  expect(enqueue(verdict.stream, running)).toBe(verdict.stream);
  stream = enqueue(verdict.stream, status("t", "TASK_FAILED", "2"));
  expect(enqueue(stream, status("t", "TASK_RUNNING", "3"))).toBe(stream);
  expect(acknowledge(stream, "2").type).toBe("closed");
});

test("[A4] a registration fits its frames by number and by bytes", () => {
  const big = "x".repeat(120_000);
  let state = NEW_AGENT;
  for (let i = 0; i < 1200; i++) {
    const order = launch(`t${i}`, i % 100 === 0 ? big : "true");
    if (order.type !== "launch") throw new Error("a launch");
    const { framework, task } = order;
    state = apply(state, {
      type: "orders",
      sequence: i + 1,
      launches: [{ framework, task, containerId: containerIdFrom(`c${i}`) }],
      kills: [],
    });
  }
  const info = { hostname: "h", port: 0, resources: [], attributes: [] };
  const messages = registerMessages(state, info, systemStatistics());
  const tasks: string[] = [];
  messages.forEach((message, i) => {
    if (message.type !== "register") throw new Error("register");
    expect(JSON.stringify(message).length).toBeLessThan(FRAME_BYTES_MAX);
    expect(message.tasks.length).toBeLessThanOrEqual(FRAME_ITEMS_MAX);
    expect(message.more).toBe(i < messages.length - 1);
    tasks.push(...message.tasks.map(({ task }) => task.task_id.value));
  });
  expect(tasks).toEqual(Array.from({ length: 1200 }, (_, i) => `t${i}`));
  expect(registerMessages(NEW_AGENT, info, systemStatistics())).toHaveLength(1);
  expect(FRAMEWORK.id).toBe("framework-1");
});
