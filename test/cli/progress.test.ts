import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { AgentId, OfferId } from "#protocol/ids.ts";
import type { Offer, SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskState, TaskStatus } from "#protocol/task.ts";
import { scalar } from "#scheduler/index.ts";
import {
  EXPLAIN_AFTER_MS,
  initialProgress,
  RECONCILE_AGAIN_MS,
  STOP_MS_MAX,
  step,
  type Effect,
  type Input,
  type Progress,
} from "../../cli/run/progress.ts";

const START = millis(1_000_000);
const wanted = { cpus: 1, memMb: 100 };
const offer = (id: string, agent: string, cpus: number): Offer =>
  ({
    id: { value: id as OfferId },
    agent_id: { value: agent as AgentId },
    hostname: agent,
    resources: [scalar("cpus", cpus), scalar("mem", 1000)],
  }) as unknown as Offer;
const offers = (...list: Offer[]): Input => ({ type: "event", event: { type: "OFFERS", offers: { offers: list } } });
const update = (state: TaskState, more: Partial<TaskStatus> = {}): Input => ({
  type: "event",
  event: { type: "UPDATE", update: { status: { task_id: { value: "t" }, state, uuid: "u", ...more } as TaskStatus } },
});
const subscribed: Input = {
  type: "event",
  event: { type: "SUBSCRIBED", subscribed: { framework_id: { value: "f" } } } as unknown as SchedulerEvent,
};

function play(inputs: readonly (readonly [Input, number])[], options: { detach?: boolean; agentId?: string } = {}) {
  let progress: Progress = initialProgress(
    { ...wanted, agentId: options.agentId as AgentId },
    { detach: options.detach ?? false, now: START },
  );
  let effects: readonly Effect[] = [];
  for (const [input, after] of inputs) [progress, effects] = step(progress, input, millis(START + after));
  return { progress, effects, types: effects.map(({ type }) => type) };
}

test("the first offer that fits is taken, the others are declined", () => {
  const { effects } = play([[offers(offer("O1", "a", 0.5), offer("O2", "b", 2), offer("O3", "c", 2)), 0]]);
  expect(effects).toMatchObject([
    { type: "launch", offer: { id: { value: "O2" } } },
    { type: "decline", offerIds: ["O1", "O3"] },
  ]);
});

test("with --agent only that agent's offer is taken", () => {
  expect(play([[offers(offer("O1", "a", 2)), 0]], { agentId: "b" }).types).toEqual(["decline"]);
  expect(play([[offers(offer("O1", "a", 2), offer("O2", "b", 2)), 0]], { agentId: "b" }).types).toEqual([
    "launch",
    "decline",
  ]);
});

test("waiting is explained once, with what was offered", () => {
  const { effects } = play([
    [offers(offer("O1", "a", 0.5)), 0],
    [{ type: "tick" }, EXPLAIN_AFTER_MS],
  ]);
  expect(effects).toEqual([{ type: "say", text: "still waiting, nothing fits: a offers 0.5 of 1 cpus" }]);
  expect(
    play([
      [{ type: "tick" }, EXPLAIN_AFTER_MS],
      [{ type: "tick" }, EXPLAIN_AFTER_MS + 1000],
    ]).types,
  ).toEqual([]);
});

test("a second offer is declined after the launch, and nothing is launched twice", () => {
  const launch = [offers(offer("O1", "a", 2)), 0] as const;
  expect(play([launch, [offers(offer("O2", "b", 2)), 1]]).types).toEqual(["decline"]);
});

test("a launch on a withdrawn offer is repeated, any other loss ends the run", () => {
  const launch = [offers(offer("O1", "a", 2)), 0] as const;
  const dropped = [update("TASK_DROPPED", { reason: "REASON_INVALID_OFFERS", uuid: undefined }), 1] as const;
  expect(play([launch, dropped, [offers(offer("O2", "b", 2)), 2]]).types).toEqual(["launch"]);
  const lost = play([launch, [update("TASK_DROPPED", { reason: "REASON_AGENT_REMOVED", uuid: undefined }), 1]]);
  expect(lost.progress.current).toMatchObject({ phase: "over", ending: { exitCode: 125 } });
});

test("after a resubscription the task is reconciled, again while no answer comes, and a kill is repeated", () => {
  const begun = [
    [offers(offer("O1", "a", 2)), 0],
    [{ type: "stop", cause: { type: "timeout" } }, 1],
    [subscribed, 2],
  ] as const;
  expect(play(begun).types).toEqual(["reconcile", "kill"]);
  expect(play([...begun, [{ type: "tick" }, 2 + RECONCILE_AGAIN_MS]]).types).toEqual(["reconcile", "kill"]);
  expect(play([...begun, [update("TASK_RUNNING"), 3], [{ type: "tick" }, 3 + RECONCILE_AGAIN_MS]]).types).toEqual([]);
});

test("the last update is acknowledged before the framework goes", () => {
  const { types } = play([
    [offers(offer("O1", "a", 2)), 0],
    [update("TASK_FINISHED"), 1],
  ]);
  expect(types).toEqual(["acknowledge", "state", "leave"]);
});

test("an update of the master has no uuid and is not acknowledged", () => {
  expect(
    play([
      [offers(offer("O1", "a", 2)), 0],
      [update("TASK_RUNNING", { uuid: undefined }), 1],
    ]).types,
  ).toEqual(["state"]);
});

test.each([
  ["TASK_FINISHED", "Command exited with status 0", 0],
  ["TASK_FAILED", "Command exited with status 3", 3],
  ["TASK_FAILED", "Command terminated with signal 11", 139],
  ["TASK_FAILED", "no such file", 125],
  ["TASK_KILLED", "Command terminated with signal 15", 143],
  ["TASK_ERROR", "too much memory", 125],
  ["TASK_GONE", undefined, 125],
] as const)("%s with '%s' exits with %i", (state, message, exitCode) => {
  const { progress } = play([
    [offers(offer("O1", "a", 2)), 0],
    [update(state, { message }), 1],
  ]);
  expect(progress.current).toMatchObject({ phase: "over", ending: { exitCode } });
});

test("a stop while waiting ends at once; one after the launch kills", () => {
  const stop: Input = { type: "stop", cause: { type: "signal", signal: 2 } };
  expect(play([[stop, 0]]).progress.current).toMatchObject({ phase: "over", ending: { exitCode: 130 } });
  expect(
    play([
      [offers(offer("O1", "a", 2)), 0],
      [stop, 1],
    ]).types,
  ).toEqual(["kill"]);
  expect(
    play([
      [offers(offer("O1", "a", 2)), 0],
      [stop, 1],
      [stop, 2],
    ]).types,
  ).toEqual([]);
});

test("a task that ends by itself before the kill reaches it keeps its own code", () => {
  const stop: Input = { type: "stop", cause: { type: "signal", signal: 2 } };
  const ended = play([
    [offers(offer("O1", "a", 2)), 0],
    [stop, 1],
    [update("TASK_FINISHED", { message: "Command exited with status 0" }), 2],
  ]);
  expect(ended.progress.current).toMatchObject({ ending: { exitCode: 0 } });
});

test("an end that nobody confirms is not waited for without end, and says so", () => {
  const stop: Input = { type: "stop", cause: { type: "timeout" } };
  const launched = [[offers(offer("O1", "a", 2)), 0] as const, [stop, 1000] as const];
  expect(play([...launched, [{ type: "tick" }, 1000 + STOP_MS_MAX - 1]]).types).toEqual([]);
  const { progress, types } = play([...launched, [{ type: "tick" }, 1000 + STOP_MS_MAX]]);
  expect(types).toEqual(["leave"]);
  expect(progress.current).toMatchObject({
    phase: "over",
    ending: { exitCode: 124, message: expect.stringContaining("not confirmed") },
  });
});

test("waiting for a plane that does not answer is told as that, also when the time is over", () => {
  const away: Input = { type: "interrupted", reason: "connect ECONNREFUSED" };
  const told = play([
    [away, 0],
    [{ type: "tick" }, EXPLAIN_AFTER_MS],
  ]).effects;
  expect(told).toMatchObject([{ type: "say", text: expect.stringContaining("ECONNREFUSED") }]);
  const late = play([
    [away, 0],
    [{ type: "stop", cause: { type: "timeout" } }, 5000],
  ]);
  expect(late.progress.current).toMatchObject({
    ending: { exitCode: 124, message: expect.stringContaining("ECONNREFUSED") },
  });
  const back = play([
    [away, 0],
    [subscribed, 10],
    [{ type: "tick" }, EXPLAIN_AFTER_MS],
  ]).effects;
  expect(back).toMatchObject([{ type: "say", text: expect.stringContaining("no agent has offered") }]);
});
