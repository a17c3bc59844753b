import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { AgentId, OfferId } from "#protocol/ids.ts";
import type { TaskState, TaskStatus } from "#protocol/task.ts";
import { scalar, type Offer } from "#scheduler/index.ts";
import {
  EXPLAIN_AFTER_MS,
  initialProgress,
  KILL_AGAIN_MS,
  STOP_MS_MAX,
  step,
  type Effect,
  type Input,
  type Progress,
} from "../../cli/run/progress.ts";

const START = millis(1_000_000);
const wanted = { cpus: 1, memMb: 100 };
const offer = (id: string, agent: string, cpus: number): Input => ({
  type: "offer",
  offer: {
    id: { value: id as OfferId },
    agent_id: { value: agent as AgentId },
    hostname: agent,
    resources: [scalar("cpus", cpus), scalar("mem", 1000)],
  } as unknown as Offer,
});
const update = (state: TaskState, more: Partial<TaskStatus> = {}): Input => ({
  type: "update",
  status: { task_id: { value: "t" }, state, uuid: "u", ...more } as TaskStatus,
});
const subscribed: Input = { type: "subscribed" };
const stopped: Input = { type: "stop", cause: { type: "timeout" } };

function play(inputs: readonly (readonly [Input, number])[], options: { detach?: boolean; agentId?: string } = {}) {
  let progress: Progress = initialProgress(
    { ...wanted, agentId: options.agentId as AgentId },
    { detach: options.detach ?? false, now: START },
  );
  let effects: readonly Effect[] = [];
  for (const [input, after] of inputs) [progress, effects] = step(progress, input, millis(START + after));
  return { progress, effects, types: effects.map(({ type }) => type) };
}

test("the first offer that fits is taken, with the task's resources cut out of it; the others are declined", () => {
  expect(play([[offer("O1", "a", 0.5), 0]]).types).toEqual(["decline"]);
  const { effects } = play([
    [offer("O1", "a", 0.5), 0],
    [offer("O2", "b", 2), 0],
  ]);
  expect(effects).toMatchObject([
    { type: "launch", offer: { id: { value: "O2" } }, resources: [scalar("cpus", 1), scalar("mem", 100)] },
  ]);
});

test("with --agent only that agent's offer is taken", () => {
  expect(play([[offer("O1", "a", 2), 0]], { agentId: "b" }).types).toEqual(["decline"]);
  expect(play([[offer("O2", "b", 2), 0]], { agentId: "b" }).types).toEqual(["launch"]);
});

test("waiting is explained once, with what was offered", () => {
  const { effects } = play([
    [offer("O1", "a", 0.5), 0],
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
  const launch = [offer("O1", "a", 2), 0] as const;
  expect(play([launch, [offer("O2", "b", 2), 1]]).types).toEqual(["decline"]);
});

test("a launch on a withdrawn offer is repeated, any other loss ends the run", () => {
  const launch = [offer("O1", "a", 2), 0] as const;
  const dropped = [update("TASK_DROPPED", { reason: "REASON_INVALID_OFFERS", uuid: undefined }), 1] as const;
  expect(play([launch, dropped, [offer("O2", "b", 2), 2]]).types).toEqual(["launch"]);
  const lost = play([launch, [update("TASK_DROPPED", { reason: "REASON_AGENT_REMOVED", uuid: undefined }), 1]]);
  expect(lost.progress.current).toMatchObject({ phase: "over", ending: { exitCode: 125 } });
});

test("a launch that was refused for now is repeated, unless the end was asked for", () => {
  const launch = [offer("O1", "a", 2), 0] as const;
  const refused = [{ type: "not-launched" }, 2] as const;
  expect(play([launch, refused, [offer("O2", "b", 2), 3]]).types).toEqual(["launch"]);
  const over = play([launch, [stopped, 1], refused]);
  expect(over.progress.current).toMatchObject({ phase: "over", ending: { exitCode: 124 } });
});

test("after a resubscription the task is reconciled, and a kill is repeated", () => {
  const launch = [offer("O1", "a", 2), 0] as const;
  expect(play([[subscribed, 0]]).types).toEqual([]);
  expect(play([launch, [subscribed, 1]]).types).toEqual(["reconcile"]);
  expect(play([launch, [stopped, 1], [subscribed, 2]]).types).toEqual(["reconcile", "kill"]);
});

test("a kill is repeated while the task does not end", () => {
  const begun = [[offer("O1", "a", 2), 0] as const, [stopped, 1] as const];
  expect(play([...begun, [{ type: "tick" }, KILL_AGAIN_MS]]).types).toEqual([]);
  expect(play([...begun, [{ type: "tick" }, 1 + KILL_AGAIN_MS]]).types).toEqual(["kill"]);
  const again = [{ type: "tick" }, 1 + KILL_AGAIN_MS] as const;
  expect(play([...begun, again, [{ type: "tick" }, 2 + KILL_AGAIN_MS]]).types).toEqual([]);
});

test("the last update is told before the framework goes, and the plane's own counts as well", () => {
  const launch = [offer("O1", "a", 2), 0] as const;
  expect(play([launch, [update("TASK_FINISHED"), 1]]).types).toEqual(["state", "leave"]);
  expect(play([launch, [update("TASK_RUNNING", { uuid: undefined }), 1]]).types).toEqual(["state"]);
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
    [offer("O1", "a", 2), 0],
    [update(state, { message }), 1],
  ]);
  expect(progress.current).toMatchObject({ phase: "over", ending: { exitCode } });
});

test("a stop while waiting ends at once; one after the launch kills", () => {
  const stop: Input = { type: "stop", cause: { type: "signal", signal: 2 } };
  expect(play([[stop, 0]]).progress.current).toMatchObject({ phase: "over", ending: { exitCode: 130 } });
  expect(
    play([
      [offer("O1", "a", 2), 0],
      [stop, 1],
    ]).types,
  ).toEqual(["kill"]);
  expect(
    play([
      [offer("O1", "a", 2), 0],
      [stop, 1],
      [stop, 2],
    ]).types,
  ).toEqual([]);
});

test("a task that ends by itself before the kill reaches it keeps its own code", () => {
  const stop: Input = { type: "stop", cause: { type: "signal", signal: 2 } };
  const ended = play([
    [offer("O1", "a", 2), 0],
    [stop, 1],
    [update("TASK_FINISHED", { message: "Command exited with status 0" }), 2],
  ]);
  expect(ended.progress.current).toMatchObject({ ending: { exitCode: 0 } });
});

test("an end that nobody confirms is not waited for without end, and says so", () => {
  const stop: Input = { type: "stop", cause: { type: "timeout" } };
  const launched = [[offer("O1", "a", 2), 0] as const, [stop, 1000] as const];
  expect(play([...launched, [{ type: "tick" }, 1000 + STOP_MS_MAX - 1]]).types).toEqual(["kill"]);
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
