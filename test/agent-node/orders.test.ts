// The fence against any mixture of what may arrive.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { NumberedOrder, Order } from "#protocol/agent.ts";
import type { Millis } from "#base/time.ts";
import type { AgentId, Epoch, SessionId, TaskId } from "#protocol/ids.ts";
import { NOTHING } from "#resources/resources.ts";
import { type AgentState, apply, NEW_AGENT, taskKey } from "../../agent-node/checkpoint/state.ts";
import { graceMs, KILL_GRACE_MS, KILL_GRACE_MS_MAX, type OrdersMessage, planOrders } from "../../agent-node/orders.ts";
import { containerIdFrom, endStatus, unknownTaskStatus } from "../../agent-node/task-status.ts";
import { FRAMEWORK, kill, launch } from "./fake-plane.ts";

const EPOCH = 7 as Epoch;
const SESSION = "session" as SessionId;
const REGISTERED: AgentState = apply(NEW_AGENT, {
  type: "registered",
  agentId: "a" as AgentId,
  epoch: EPOCH,
  session: SESSION,
});

const message = (orders: readonly NumberedOrder[], over: Partial<OrdersMessage> = {}): OrdersMessage => ({
  type: "orders",
  epoch: EPOCH,
  session: SESSION,
  orders: [...orders],
  ...over,
});
let containers = 0;
let uuids = 0;
const plan = (state: AgentState, orders: OrdersMessage) =>
  planOrders(state, orders, {
    containerId: () => containerIdFrom(`c-${containers++}`),
    stamp: () => ({ agentId: "a" as AgentId, now: 0 as Millis, uuid: `answer-${uuids++}` }),
    given: NOTHING,
    runsExecutors: false,
    makeVolume: () => undefined,
  });
function take(state: AgentState, orders: readonly NumberedOrder[]): AgentState {
  const planned = plan(state, message(orders));
  if (planned.type !== "take") throw new Error("taken");
  return planned.records.reduce<AgentState>(apply, state);
}
const numbered = (sequence: number, order: Order): NumberedOrder => ({ sequence, order });

test("[A2] only exactly the registered epoch and session is obeyed", () => {
  const orders = [numbered(1, launch("t", "true"))];
  expect(plan(REGISTERED, message(orders)).type).toBe("take");
  expect(plan(NEW_AGENT, message(orders)).type).toBe("void");
  for (const epoch of [0, 6, 8]) expect(plan(REGISTERED, message(orders, { epoch: epoch as Epoch })).type).toBe("void");
  expect(plan(REGISTERED, message(orders, { session: "older" as SessionId })).type).toBe("void");
});

test("[A3] whatever is repeated, lost or mixed up: each order once, in order, without a gap", () => {
  const sequences = fc.array(fc.array(fc.integer({ min: 1, max: 8 }), { maxLength: 6 }), { maxLength: 20 });
  fc.assert(
    fc.property(sequences, (frames) => {
      let state = REGISTERED;
      const launched: string[] = [];
      const arrived = new Set<number>();
      let highest = 0; // the obvious implementation
      for (const frame of frames) {
        const planned = plan(
          state,
          message(frame.map((sequence) => numbered(sequence, launch(`t${sequence}`, "true")))),
        );
        arrived.clear();
        for (const sequence of frame) arrived.add(sequence);
        while (arrived.has(highest + 1)) highest++;
        if (planned.type !== "take") continue;
        for (const action of planned.actions) if (action.type === "launch") launched.push(action.key);
        state = planned.records.reduce<AgentState>(apply, state);
      }
      expect(state.sequence).toBe(highest);
      expect(launched).toEqual(Array.from({ length: highest }, (_, i) => taskKey(FRAMEWORK.id, `t${i + 1}` as TaskId)));
    }),
  );
});

test("[A3] a gap is told apart from a repetition", () => {
  const taken = plan(REGISTERED, message([numbered(1, kill("x"))]));
  if (taken.type !== "take") throw new Error("taken");
  const state = taken.records.reduce<AgentState>(apply, REGISTERED);
  expect(plan(state, message([numbered(1, kill("x"))]))).toEqual({ type: "nothing-new", gap: false });
  expect(plan(state, message([numbered(3, kill("x"))]))).toEqual({ type: "nothing-new", gap: true });
});

test("[A5] a task that is here is not launched again, under whatever number", () => {
  const first = plan(REGISTERED, message([numbered(1, launch("t", "true")), numbered(2, launch("t", "true"))]));
  if (first.type !== "take") throw new Error("taken");
  expect(first.records).toMatchObject([{ type: "orders", sequence: 2, launches: [{ task: { name: "t" } }] }]);
  expect(first.actions.map(({ type }) => type)).toEqual(["launch", "complain"]);
});

test("[A5] until its last update is acknowledged; then its id may be used anew", () => {
  const first = plan(REGISTERED, message([numbered(1, launch("t", "true"))]));
  if (first.type !== "take") throw new Error("taken");
  let state = first.records.reduce<AgentState>(apply, REGISTERED);
  const task = state.tasks.get(taskKey(FRAMEWORK.id, "t" as TaskId));
  if (task === undefined) throw new Error("a task");
  const status = endStatus(task, { type: "cancelled" }, { agentId: "a" as AgentId, now: 0 as Millis, uuid: "u" });
  state = apply(state, { type: "update", frameworkId: FRAMEWORK.id, status });
  expect(plan(state, message([numbered(2, launch("t", "true"))]))).toMatchObject({ actions: [{ type: "complain" }] });
  state = apply(state, { type: "acknowledged", frameworkId: FRAMEWORK.id, taskId: "t" as TaskId, uuid: "u" });
  expect(plan(state, message([numbered(2, launch("t", "true"))]))).toMatchObject({ actions: [{ type: "launch" }] });
});

test("[A29] a new launch of an id whose end is not acknowledged is answered behind that end, and starts nothing", () => {
  const key = taskKey(FRAMEWORK.id, "t" as TaskId);
  const acknowledged = (state: AgentState, uuid: string): AgentState =>
    apply(state, { type: "acknowledged", frameworkId: FRAMEWORK.id, taskId: "t" as TaskId, uuid });
  for (const [partitionAware, lost] of [
    [true, "TASK_DROPPED"],
    [false, "TASK_LOST"],
  ] as const) {
    const order = launch("t", "true");
    if (order.type !== "launch") throw new Error("a launch");
    const again: Order = { ...order, framework: { ...order.framework, partitionAware } };
    let state = take(REGISTERED, [numbered(1, again)]);
    const task = state.tasks.get(key);
    if (task === undefined) throw new Error("a task");
    const status = endStatus(task, { type: "cancelled" }, { agentId: "a" as AgentId, now: 0 as Millis, uuid: "end" });
    state = apply(state, { type: "update", frameworkId: FRAMEWORK.id, status });
    const planned = plan(state, message([numbered(2, again), numbered(3, kill("t")), numbered(4, again)]));
    expect(planned).toMatchObject({
      type: "take",
      records: [
        { sequence: 4, launches: [], kills: [], answers: [{ status: { state: lost } }, { status: { state: lost } }] },
      ],
      actions: [{ type: "complain" }, { type: "complain" }],
    });
    if (planned.type !== "take") throw new Error("taken");
    const uuidsOf = (of: AgentState) => of.streams.get(key)?.pending.map(({ uuid }) => uuid);
    const answers = planned.records.flatMap((record) => (record.type === "orders" ? (record.answers ?? []) : []));
    const [first = "", second = ""] = answers.map((one) => one.status.uuid ?? "");
    state = planned.records.reduce<AgentState>(apply, state);
    expect(uuidsOf(state)).toEqual(["end", first, second]);
    state = acknowledged(state, "end");
    expect([state.tasks.size, uuidsOf(state)]).toEqual([0, [first, second]]); // the old task is forgotten
    state = acknowledged(acknowledged(state, first), second);
    expect([state.tasks.size, state.streams.size]).toEqual([0, 0]);
    expect(take(state, [numbered(5, again)]).tasks.size).toBe(1);
  }
});

test("[A29] nor is a task started whose id a kill was answered for: that answer's acknowledgement would forget it", () => {
  const status = unknownTaskStatus("t" as TaskId, true, { agentId: "a" as AgentId, now: 0 as Millis, uuid: "unknown" });
  const state = apply(REGISTERED, { type: "update", frameworkId: FRAMEWORK.id, status });
  expect(plan(state, message([numbered(1, launch("t", "true"))]))).toMatchObject({
    records: [{ launches: [], answers: [{ status: { state: "TASK_DROPPED" } }] }],
    actions: [{ type: "complain" }],
  });
});

test("[A18] an id that is a path is never taken as a directory", () => {
  for (const id of ["../../etc", "a/b", "..", "", "a\0b"]) {
    const planned = plan(REGISTERED, message([numbered(1, launch(id, "true"))]));
    expect(planned).toMatchObject({ type: "take", records: [{ launches: [] }], actions: [{ type: "complain" }] });
  }
});

test("[A9] the grace comes from the kill, else from the task, else it is 3 s; absurd ones are bounded", () => {
  expect(graceMs(undefined)).toBe(KILL_GRACE_MS);
  expect(graceMs({ grace_period: { nanoseconds: 5e8 } })).toBe(500);
  expect(graceMs({ grace_period: { nanoseconds: -1 } })).toBe(0);
  expect(graceMs({ grace_period: { nanoseconds: 1e300 } })).toBe(KILL_GRACE_MS_MAX);
});
