import { afterEach, beforeEach, expect, test } from "vitest";
import type { Random } from "#base/random.ts";
import {
  asFrameworkId,
  asTaskId,
  launch,
  mayHaveHappened,
  Scheduler,
  type Offer,
  type OtherEvent,
  type SchedulerOptions,
  type Subscribed,
  type SubscriptionEndedError,
  type TaskStatus,
} from "#scheduler/index.ts";
import { ACKNOWLEDGEMENTS_MAX } from "../../src/scheduler/scheduler.ts";
import { FRAMEWORK_ID, HttpPlane } from "./http-plane.ts";
import { ManualClock } from "./manual-clock.ts";

const HIGHEST: Random = { next: () => 0.999_999 };

let plane: HttpPlane;
let clock: ManualClock;
let leaving: AbortController;
let running: Promise<void>[];
beforeEach(async () => {
  plane = new HttpPlane();
  clock = new ManualClock();
  leaving = new AbortController();
  running = [];
  await plane.listen();
});
afterEach(async () => {
  leaving.abort();
  await Promise.allSettled(running);
  plane.close();
});

function start(options: Partial<SchedulerOptions> = {}): {
  readonly scheduler: Scheduler;
  readonly run: Promise<void>;
} {
  const scheduler = new Scheduler({
    plane: plane.url,
    credential: { principal: "p", secret: "s" },
    framework: { user: "nobody", name: "test", failover_timeout: 60 },
    clock,
    random: HIGHEST,
    ...options,
  });
  const run = scheduler.run({ signal: leaving.signal });
  running.push(run);
  return { scheduler, run };
}

/** What a handler was called with, and a way to keep it busy. */
function recorder<T>(): { readonly heard: T[]; hold(): () => void; readonly handler: (one: T) => Promise<void> } {
  const heard: T[] = [];
  let gate: Promise<void> = Promise.resolve();
  return {
    heard,
    hold() {
      let open: () => void = () => undefined;
      gate = new Promise((resolve) => (open = resolve));
      return open;
    },
    handler: async (one) => {
      heard.push(one);
      await gate;
    },
  };
}

/** A moment in which everything that can happen on loopback has happened. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));
const poll = (what: () => unknown) => expect.poll(what, { interval: 2 });

const subscribed = (scheduler: Scheduler) => poll(() => scheduler.client.isSubscribed).toBe(true);

/** Lets the pause before the next subscription pass: everything else that is waited for takes longer. */
async function passBackoff(): Promise<void> {
  await poll(() => clock.waits.some((ms) => ms <= 300)).toBe(true);
  clock.advance(300);
}

async function idOf(next: Promise<IteratorResult<Offer, void>>): Promise<string | undefined> {
  const { value } = await next;
  return value?.id.value;
}

test("offers are handed out one by one, the oldest first, and those that were rescinded not at all", async () => {
  const { scheduler } = start();
  await plane.hears("SUBSCRIBE");
  plane.offer("O1", "O2", "O3");
  plane.send({ type: "RESCIND", rescind: { offer_id: { value: "O2" } } });
  plane.offer("O4");
  const offers = scheduler.offers();
  expect(await idOf(offers.next())).toBe("O1");
  await settled();
  expect(await idOf(offers.next())).toBe("O3");
  expect(await idOf(offers.next())).toBe("O4");
  const waiting = idOf(offers.next());
  plane.offer("O5");
  expect(await waiting).toBe("O5");
});

test("no offer is handed out before onSubscribed has resolved, and updates do not wait for it", async () => {
  const told = recorder<Subscribed>();
  const ready = told.hold();
  const updates: string[] = [];
  const { scheduler } = start({
    onSubscribed: told.handler,
    onUpdate: ({ task_id }) => void updates.push(task_id.value),
  });
  plane.onSubscribed = () => {
    plane.offer("O1");
    plane.update("t", "TASK_RUNNING");
  };
  const first = idOf(scheduler.offers().next());
  await poll(() => updates).toEqual(["t"]);
  expect(await Promise.race([first, settled().then(() => "nothing yet")])).toBe("nothing yet");
  ready();
  expect(await first).toBe("O1");
  expect(told.heard).toMatchObject([{ frameworkId: FRAMEWORK_ID, resubscribed: false }]);
});

test("the offers of a subscription that broke are gone, and the next one has the same framework id", async () => {
  const told = recorder<Subscribed>();
  const { scheduler } = start({ onSubscribed: told.handler });
  await plane.hears("SUBSCRIBE");
  plane.offer("O1");
  await settled();
  plane.breakStream();
  await passBackoff();
  await plane.hears("SUBSCRIBE", 2);
  plane.offer("O2");
  expect(await idOf(scheduler.offers().next())).toBe("O2");
  expect(plane.callsOf("SUBSCRIBE")[1]?.call.subscribe?.framework_info.id?.value).toBe(FRAMEWORK_ID);
  expect(told.heard.map(({ resubscribed }) => resubscribed)).toEqual([false, true]);
});

test("a framework id that was given is a known framework from the first subscription on", async () => {
  const told = recorder<Subscribed>();
  start({ frameworkId: asFrameworkId(FRAMEWORK_ID), onSubscribed: told.handler });
  await poll(() => told.heard).toMatchObject([{ resubscribed: true }]);
  expect(plane.received[0]?.call.framework_id?.value).toBe(FRAMEWORK_ID);
});

test("of subscriptions that come while onSubscribed is at work, only the last is told", async () => {
  const told = recorder<Subscribed>();
  const ready = told.hold();
  start({ onSubscribed: told.handler, bounds: { firstMs: 100, maxMs: 100 } });
  for (const times of [1, 2, 3]) {
    await plane.hears("SUBSCRIBE", times);
    await settled();
    if (times < 3) {
      plane.breakStream();
      await passBackoff();
    }
  }
  expect(told.heard).toHaveLength(1);
  ready();
  await poll(() => told.heard.length).toBe(2);
});

test("updates are handled one after the other, and each is acknowledged when its handler has resolved", async () => {
  const updates = recorder<TaskStatus>();
  const ready = updates.hold();
  start({ onUpdate: updates.handler });
  await plane.hears("SUBSCRIBE");
  plane.update("a", "TASK_RUNNING");
  plane.update("b", "TASK_RUNNING");
  await settled();
  expect(updates.heard.map(({ task_id }) => task_id.value)).toEqual(["a"]);
  expect(plane.callsOf("ACKNOWLEDGE")).toHaveLength(0);
  ready();
  await plane.hears("ACKNOWLEDGE", 2);
  expect(plane.callsOf("ACKNOWLEDGE")[0]?.call.acknowledge).toMatchObject({
    task_id: { value: "a" },
    agent_id: { value: "agent-S0" },
    uuid: updates.heard[0]?.uuid,
  });
});

test("with explicit acknowledgement nothing is acknowledged by itself", async () => {
  const updates = recorder<TaskStatus>();
  const { scheduler } = start({ onUpdate: updates.handler, acknowledgement: "explicit" });
  await plane.hears("SUBSCRIBE");
  plane.update("a", "TASK_RUNNING");
  await poll(() => updates.heard.length).toBe(1);
  await settled();
  expect(plane.callsOf("ACKNOWLEDGE")).toHaveLength(0);
  await Promise.all(updates.heard.map((status) => scheduler.client.acknowledge(status)));
  expect(plane.callsOf("ACKNOWLEDGE")).toHaveLength(1);
});

test("acknowledgements that the plane does not take in hold the next update back", async () => {
  const updates = recorder<TaskStatus>();
  let release: () => void = () => undefined;
  const held = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
  plane.answer = ({ type }) => (type === "ACKNOWLEDGE" ? held : undefined);
  start({ onUpdate: updates.handler });
  await plane.hears("SUBSCRIBE");
  for (let i = 0; i < ACKNOWLEDGEMENTS_MAX + 10; i++) plane.update(`task-${i}`, "TASK_RUNNING");
  await poll(() => updates.heard.length).toBe(ACKNOWLEDGEMENTS_MAX + 1);
  await settled();
  expect(updates.heard).toHaveLength(ACKNOWLEDGEMENTS_MAX + 1);
  release();
  await plane.hears("ACKNOWLEDGE", ACKNOWLEDGEMENTS_MAX + 10);
});

test("an acknowledgement that is refused disturbs nobody: the agent repeats its update", async () => {
  const updates = recorder<TaskStatus>();
  plane.answer = ({ type }) => (type === "ACKNOWLEDGE" ? { status: 503, text: "no quorum" } : undefined);
  start({ onUpdate: updates.handler });
  await plane.hears("SUBSCRIBE");
  plane.update("a", "TASK_RUNNING");
  plane.update("a", "TASK_RUNNING");
  await poll(() => updates.heard.length).toBe(2);
});

test("news of operations is acknowledged as well, and other events are passed on, known or not", async () => {
  const events = recorder<OtherEvent>();
  start({ onEvent: events.handler });
  await plane.hears("SUBSCRIBE");
  const status = {
    operation_id: { value: "op" },
    state: "OPERATION_FINISHED",
    agent_id: { value: "agent-S0" },
    uuid: { value: btoa("0123456789abcdef") },
  };
  plane.send(
    { type: "UPDATE_OPERATION_STATUS", update_operation_status: { status } },
    { type: "FAILURE", failure: { agent_id: { value: "agent-S0" } } },
    { type: "SOMETHING_NEW", something_new: {} },
  );
  await plane.hears("ACKNOWLEDGE_OPERATION_STATUS");
  expect(plane.received.at(-1)?.call.acknowledge_operation_status).toMatchObject({
    operation_id: { value: "op" },
    uuid: btoa("0123456789abcdef"),
  });
  await poll(() => events.heard.map(({ type }) => type)).toEqual([
    "UPDATE_OPERATION_STATUS",
    "FAILURE",
    "SOMETHING_NEW",
  ]);
});

test.each(["onSubscribed", "onUpdate"] as const)("what %s throws ends the run and the offers", async (handler) => {
  const bug = new Error("a bug of the framework");
  const { scheduler, run } = start({
    [handler]: () => {
      throw bug;
    },
  });
  plane.onSubscribed = () => plane.update("a", "TASK_RUNNING");
  await expect(run).rejects.toBe(bug);
  await expect(scheduler.offers().next()).rejects.toBe(bug);
  expect(plane.callsOf("ACKNOWLEDGE")).toHaveLength(0);
});

test.each([
  ["Framework has been removed", "removed"],
  ["Framework failed over", "failed-over"],
  ["Framework is not authorized", "refused"],
] as const)("an ERROR event is final: %s", async (message, end) => {
  const { scheduler, run } = start();
  const offer = scheduler.offers().next();
  await plane.hears("SUBSCRIBE");
  plane.send({ type: "ERROR", error: { message } });
  await expect(run).rejects.toMatchObject({ name: "SubscriptionEndedError", end, text: message });
  await expect(offer).rejects.toMatchObject({ end } satisfies Partial<SubscriptionEndedError>);
  expect(plane.subscriptions).toBe(1);
});

test("an answer that will not change ends the run", async () => {
  plane.answer = () => ({ status: 401, text: "unknown principal" });
  await expect(start().run).rejects.toMatchObject({ name: "CallRefusedError", status: 401 });
});

test("503 is tried again after pauses that grow up to a bound, and a stream that lives begins anew", async () => {
  const waits: number[] = [];
  plane.answer = () => ({ status: 503, text: "no quorum" });
  start({ bounds: { firstMs: 100, maxMs: 300 }, onInterruption: ({ waitMs }) => void waits.push(Math.ceil(waitMs)) });
  for (const times of [1, 2, 3, 4]) {
    await poll(() => waits.length).toBe(times);
    if (times === 4) plane.answer = () => undefined;
    await passBackoff();
  }
  await poll(() => plane.subscriptions).toBe(1);
  // It breaks at once: no reason to be more hopeful than before.
  plane.breakStream();
  await poll(() => waits.length).toBe(5);
  await passBackoff();
  await poll(() => plane.subscriptions).toBe(2);
  plane.send({ type: "HEARTBEAT" });
  await settled();
  plane.breakStream();
  await poll(() => waits.length).toBe(6);
  expect(waits).toEqual([100, 200, 300, 300, 300, 100]);
});

test("a plane that says how long it wants to be left alone is left alone for so long", async () => {
  const waits: number[] = [];
  plane.answer = () => ({ status: 429, headers: { "Retry-After": "7" } });
  start({ onInterruption: ({ waitMs }) => void waits.push(waitMs) });
  await poll(() => waits).toEqual([7000]);
});

test("silence of five heartbeats is a dead stream", async () => {
  start();
  await plane.hears("SUBSCRIBE");
  await poll(() => clock.waits).toEqual([75_000]);
  clock.advance(75_000);
  await passBackoff();
  await plane.hears("SUBSCRIBE", 2);
});

test("a launch without answer ends the subscription, so that it cannot come true in the next one", async () => {
  const { scheduler } = start();
  plane.onSubscribed = () => plane.offer(`O${plane.subscriptions}`);
  plane.answer = ({ type }) => (type === "ACCEPT" ? "none" : undefined);
  const offers = scheduler.offers();
  const { value: offer } = await offers.next();
  const failed = scheduler.accept(offer === undefined ? [] : [offer], [launch([])]).catch((error: unknown) => error);
  expect(mayHaveHappened(await failed)).toBe(true);
  await expect(scheduler.client.revive()).rejects.toMatchObject({ name: "StreamBrokenError" });
  await passBackoff();
  await plane.hears("SUBSCRIBE", 2);
  plane.answer = () => undefined;
  expect(await idOf(offers.next())).toBe("O2");
  await scheduler.client.revive();
  expect(plane.callsOf("REVIVE").map(({ streamId }) => streamId)).toEqual(["stream-2"]);
});

test("a launch that was refused leaves the subscription alone", async () => {
  const { scheduler } = start();
  plane.onSubscribed = () => plane.offer("O1");
  plane.answer = ({ type }) => (type === "ACCEPT" ? { status: 429 } : undefined);
  const { value: offer } = await scheduler.offers().next();
  const failed = scheduler.accept(offer === undefined ? [] : [offer], [launch([])]).catch((error: unknown) => error);
  expect(mayHaveHappened(await failed)).toBe(false);
  await settled();
  expect(scheduler.client.isSubscribed).toBe(true);
});

test("updateFramework is for the later subscriptions as well", async () => {
  const { scheduler } = start();
  await subscribed(scheduler);
  await scheduler.updateFramework({ user: "nobody", name: "other" }, { suppressedRoles: ["dev"] });
  expect(plane.received.at(-1)?.call.update_framework).toMatchObject({
    framework_info: { name: "other", id: { value: FRAMEWORK_ID } },
    suppressed_roles: ["dev"],
  });
  plane.breakStream();
  await passBackoff();
  await plane.hears("SUBSCRIBE", 2);
  expect(plane.received.at(-1)?.call.subscribe).toMatchObject({
    framework_info: { name: "other" },
    suppressed_roles: ["dev"],
  });
});

test("teardown waits for what is being acknowledged, repeats itself while the plane is away, and ends the run", async () => {
  let refusals = 2;
  let acknowledged = false;
  plane.answer = async ({ type }) => {
    if (type === "ACKNOWLEDGE") {
      await settled();
      acknowledged = true;
    }
    if (type !== "TEARDOWN") return undefined;
    expect(acknowledged).toBe(true);
    return refusals-- > 0 ? { status: 503 } : undefined;
  };
  const { scheduler, run } = start();
  await subscribed(scheduler);
  plane.update("a", "TASK_FINISHED");
  await plane.hears("ACKNOWLEDGE");
  const done = scheduler.teardown();
  for (const times of [1, 2]) {
    await plane.hears("TEARDOWN", times);
    await poll(() => clock.waits.includes(500)).toBe(true);
    clock.advance(500);
  }
  await done;
  await run;
  expect(plane.callsOf("TEARDOWN")).toHaveLength(3);
  expect((await scheduler.offers().next()).done).toBe(true);
});

test("a teardown whose answer was lost is done when the plane no longer knows the framework", async () => {
  const { scheduler, run } = start();
  await subscribed(scheduler);
  plane.answer = ({ type }) => {
    if (type !== "TEARDOWN") return undefined;
    plane.breakStream();
    plane.onSubscribed = () => plane.send({ type: "ERROR", error: { message: "Framework has been removed" } });
    return "none";
  };
  const done = scheduler.teardown();
  await plane.hears("TEARDOWN");
  await passBackoff();
  await done;
  await run;
});

test("teardown gives up with its signal, and the run ends all the same", async () => {
  plane.answer = ({ type }) => (type === "TEARDOWN" ? { status: 503, text: "no quorum" } : undefined);
  const { scheduler, run } = start();
  await subscribed(scheduler);
  await expect(scheduler.teardown({ signal: AbortSignal.abort() })).rejects.toMatchObject({ status: 503 });
  await run;
});

test("close ends the run and leaves the framework", async () => {
  const { scheduler, run } = start();
  await plane.hears("SUBSCRIBE");
  await scheduler.close();
  await run;
  expect(plane.callsOf("TEARDOWN")).toHaveLength(0);
});

test("the signal ends the run, the offers and a reconciliation", async () => {
  const { scheduler, run } = start();
  await plane.hears("SUBSCRIBE");
  const offer = scheduler.offers().next();
  const reconciled = scheduler.reconcile([{ taskId: asTaskId("t") }]);
  await plane.hears("RECONCILE");
  leaving.abort();
  await run;
  expect((await offer).done).toBe(true);
  expect(await reconciled).toEqual({ unanswered: [{ taskId: "t" }] });
});

test("a loop over offers can be left by a signal of its own", async () => {
  const { scheduler } = start();
  const enough = new AbortController();
  const offer = scheduler.offers({ signal: enough.signal }).next();
  await plane.hears("SUBSCRIBE");
  await expect.poll(() => scheduler.client.isSubscribed).toBe(true);
  enough.abort();
  expect((await offer).done).toBe(true);
  expect(scheduler.client.isSubscribed).toBe(true);
});
