import { afterEach, beforeEach, expect, test } from "vitest";
import type { Random } from "#base/random.ts";
import { millis } from "#base/time.ts";
import { asAgentId, asTaskId, Scheduler, type TaskStatus, type TaskToReconcile } from "#scheduler/index.ts";
import { IMPLICIT_MS_MAX, Reconciliation, TASKS_PER_CALL_MAX } from "../../src/scheduler/reconciliation.ts";
import { HttpPlane } from "./http-plane.ts";
import { ManualClock } from "./manual-clock.ts";

const random: Random = { next: () => 0.5 };
const bounds = { firstMs: 1000, maxMs: 8000 };
const START = millis(1_000_000);
const task = (id: string): TaskToReconcile => ({ taskId: asTaskId(id), agentId: asAgentId("agent-S0") });
const idsOf = (tasks: readonly TaskToReconcile[]): readonly string[] => tasks.map(({ taskId }) => taskId);

test("each round asks for those that nothing was heard of, with longer and longer pauses up to a bound", () => {
  const reconciliation = new Reconciliation([task("a"), task("b")], { now: START });
  const pauses: number[] = [];
  let now = START;
  for (let i = 0; i < 5; i++) {
    expect(reconciliation.round({ now, random, bounds }).map(idsOf)).toEqual([i === 0 ? ["a", "b"] : ["b"]]);
    pauses.push(reconciliation.nextAt - now);
    now = reconciliation.nextAt;
    reconciliation.strikeOut(asTaskId("a"));
  }
  expect(pauses).toEqual([1500, 2000, 3000, 5000, 5000]);
  expect(reconciliation.isOver(now)).toBe(false);
  reconciliation.strikeOut(asTaskId("b"));
  expect(reconciliation.isOver(now)).toBe(true);
});

test("nothing to ask is nothing to wait for", () => {
  expect(new Reconciliation([], { now: START }).isOver(START)).toBe(true);
});

test("many tasks are asked for in several calls", () => {
  const tasks = Array.from({ length: TASKS_PER_CALL_MAX * 2 + 1 }, (_, i) => task(`t${i}`));
  const round = new Reconciliation(tasks, { now: START }).round({ now: START, random, bounds });
  expect(round.map(({ length }) => length)).toEqual([TASKS_PER_CALL_MAX, TASKS_PER_CALL_MAX, 1]);
});

test("an implicit pass comes first, and is over with the answer for a task that nobody has", () => {
  const reconciliation = new Reconciliation([task("a")], { now: START, marker: asTaskId("nobody") });
  expect(reconciliation.round({ now: START, random, bounds }).map(idsOf)).toEqual([[], ["a"], ["nobody"]]);
  reconciliation.strikeOut(asTaskId("a"));
  expect(reconciliation.isOver(START)).toBe(false);
  reconciliation.strikeOut(asTaskId("nobody"));
  expect(reconciliation.isOver(START)).toBe(true);
});

test("an implicit pass that nobody ends is over when no agent can be expected any more", () => {
  const reconciliation = new Reconciliation([], { now: START, marker: asTaskId("nobody") });
  expect(reconciliation.isOver(millis(START + IMPLICIT_MS_MAX - 1))).toBe(false);
  expect(reconciliation.isOver(millis(START + IMPLICIT_MS_MAX))).toBe(true);
});

let plane: HttpPlane;
let clock: ManualClock;
let leaving: AbortController;
let running: Promise<void> | undefined;
beforeEach(async () => {
  plane = new HttpPlane();
  clock = new ManualClock();
  leaving = new AbortController();
  await plane.listen();
});
afterEach(async () => {
  leaving.abort();
  await running;
  plane.close();
});

const poll = (what: () => unknown) => expect.poll(what, { interval: 2 });

async function start(onUpdate?: (status: TaskStatus) => void | Promise<void>): Promise<Scheduler> {
  const framework = { user: "nobody", name: "test" };
  const scheduler = new Scheduler({ plane: plane.url, framework, clock, random, onUpdate });
  running = scheduler.run({ signal: leaving.signal });
  await poll(() => scheduler.client.isSubscribed).toBe(true);
  return scheduler;
}

const asked = (): readonly (readonly string[])[] =>
  plane.callsOf("RECONCILE").map(({ call }) => (call.reconcile?.tasks ?? []).map(({ task_id }) => task_id.value));

test("reconcile resolves when an update has come for each task, and asks only for the rest again", async () => {
  const heard: string[] = [];
  const scheduler = await start(({ task_id, state }) => void heard.push(`${task_id.value} ${state}`));
  const done = scheduler.reconcile([task("a"), task("b")], { bounds });
  await plane.hears("RECONCILE");
  expect(plane.received.at(-1)?.call.reconcile?.tasks[0]).toEqual({
    task_id: { value: "a" },
    agent_id: { value: "agent-S0" },
  });
  plane.reconciled("a", "TASK_RUNNING");
  await poll(() => heard).toEqual(["a TASK_RUNNING"]);
  clock.advance(1500);
  await plane.hears("RECONCILE", 2);
  // Any update will do: what is true now is known, though it is no answer.
  plane.update("b", "TASK_FINISHED");
  expect(await done).toEqual({ unanswered: [] });
  expect(asked()).toEqual([["a", "b"], ["b"]]);
  expect(heard).toEqual(["a TASK_RUNNING", "b TASK_FINISHED"]);
});

test("an update counts once its handler has resolved", async () => {
  let finish: () => void = () => undefined;
  const working = new Promise<void>((resolve) => (finish = resolve));
  let isDone = false;
  const scheduler = await start(() => working);
  const done = scheduler.reconcile([task("a")], { bounds }).then(() => (isDone = true));
  await plane.hears("RECONCILE");
  plane.reconciled("a", "TASK_RUNNING");
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(isDone).toBe(false);
  finish();
  await done;
});

test("after another subscription the rest is asked for at once", async () => {
  const scheduler = await start();
  const done = scheduler.reconcile([task("a")], { bounds: { firstMs: 50_000, maxMs: 60_000 } });
  await plane.hears("RECONCILE");
  plane.breakStream();
  await poll(() => clock.waits.some((ms) => ms <= 200)).toBe(true);
  clock.advance(200);
  await plane.hears("RECONCILE", 2);
  plane.reconciled("a", "TASK_GONE");
  await done;
});

test("a call that fails is made again in the next round", async () => {
  const scheduler = await start();
  plane.answer = ({ type }) => (type === "RECONCILE" ? { status: 503 } : undefined);
  const done = scheduler.reconcile([task("a")], { bounds });
  await plane.hears("RECONCILE");
  plane.answer = () => undefined;
  await poll(() => clock.waits.includes(1500)).toBe(true);
  clock.advance(1500);
  await plane.hears("RECONCILE", 2);
  plane.reconciled("a", "TASK_GONE");
  await done;
});

test("one reconciliation at a time", async () => {
  const scheduler = await start();
  const first = scheduler.reconcile([task("a")], { bounds });
  const second = scheduler.reconcile([task("b")], { bounds });
  await plane.hears("RECONCILE");
  plane.reconciled("a", "TASK_RUNNING");
  await first;
  await plane.hears("RECONCILE", 2);
  plane.reconciled("b", "TASK_RUNNING");
  await second;
  expect(asked()).toEqual([["a"], ["b"]]);
});

test("a signal ends it with what is still open", async () => {
  const scheduler = await start();
  const enough = new AbortController();
  const done = scheduler.reconcile([task("a"), task("b")], { bounds, signal: enough.signal });
  await plane.hears("RECONCILE");
  plane.reconciled("a", "TASK_RUNNING");
  await new Promise((resolve) => setTimeout(resolve, 30));
  enough.abort();
  expect(await done).toEqual({ unanswered: [task("b")] });
});

test("an implicit pass reports once what the framework does not know, and keeps its marker to itself", async () => {
  const heard: string[] = [];
  const unknown: string[] = [];
  const scheduler = await start(({ task_id }) => void heard.push(task_id.value));
  const mine = new Set(["a", "launched-since"]);
  const done = scheduler.reconcile([task("a")], {
    bounds,
    implicit: { knows: (id) => mine.has(id), onUnknown: ({ task_id }) => void unknown.push(task_id.value) },
  });
  await plane.hears("RECONCILE", 3);
  const marker = asked()[2]?.[0] ?? "";
  expect(asked()).toEqual([[], ["a"], [marker]]);
  for (const id of ["orphan", "launched-since", "orphan", "a"]) plane.reconciled(id, "TASK_RUNNING");
  plane.update("no-answer", "TASK_RUNNING");
  plane.reconciled(marker, "TASK_UNKNOWN");
  await done;
  expect(unknown).toEqual(["orphan"]);
  expect(heard).toEqual(["orphan", "launched-since", "orphan", "a", "no-answer"]);
});
