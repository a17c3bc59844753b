// Operations among an agent's orders: what is checkpointed of them, what a launch finds after them, and how often their end is told.
import { describe, expect, test } from "vitest";
import type { Millis } from "#base/time.ts";
import { FRAME_BYTES_MAX, type NumberedOrder, type Order, type ResourceOperation } from "#protocol/agent.ts";
import type { AgentId, Epoch, ExecutorId, FrameworkId, SessionId, TaskId } from "#protocol/ids.ts";
import type { Resource } from "#protocol/resource.ts";
import { equal, fromResources } from "#resources/resources.ts";
import {
  type AgentState,
  apply,
  type JournalRecord,
  journalRecordSchema,
  NEW_AGENT,
  snapshot,
  taskKey,
} from "../../agent-node/checkpoint/state.ts";
import { type OrderContext, type Plan, planOrders } from "../../agent-node/orders.ts";
import { registerMessages } from "../../agent-node/register-messages.ts";
import { systemStatistics } from "../../agent-node/statistics.ts";
import { OperationUpdateManager } from "../../agent-node/status-updates/manager.ts";
import { expectRetries } from "./retries.ts";
import { containerIdFrom, endStatus, type Stamp } from "../../agent-node/task-status.ts";
import type { Place } from "../../agent-node/volumes/place.ts";
import * as v from "valibot";
import { FRAMEWORK, kill, launch, operation, operationUuidOf } from "./fake-plane.ts";
import { free, reserved, volume } from "./made-resources.ts";

const EPOCH = 7 as Epoch;
const SESSION = "session" as SessionId;
const GIVEN = [free("cpus", 4), free("mem", 1000), free("disk", 500)];
const registered: JournalRecord = { type: "registered", agentId: "a" as AgentId, epoch: EPOCH, session: SESSION };
const REGISTERED: AgentState = apply(NEW_AGENT, registered);
const INFO = { hostname: "h", port: 1, resources: GIVEN, attributes: [] };

let stamps = 0;
const stamp = (): Stamp => ({
  agentId: "a" as AgentId,
  now: 0 as Millis,
  uuid: Buffer.from(String(++stamps).padStart(16, "u")).toString("base64"),
});

type Taken = Extract<Plan, { readonly type: "take" }>;
/** The plan of orders with the next numbers, and the state when it is checkpointed, as the journal's reader would make it. */
function take(
  state: AgentState,
  orders: readonly Order[],
  over: Partial<OrderContext> = {},
): { readonly plan: Taken; readonly state: AgentState } {
  const numbered: NumberedOrder[] = orders.map((order, i) => ({ sequence: state.sequence + i + 1, order }));
  const plan = planOrders(
    state,
    { type: "orders", epoch: EPOCH, session: SESSION, orders: numbered },
    {
      containerId: () => containerIdFrom(`c-${++stamps}`),
      stamp,
      given: fromResources(GIVEN),
      runsExecutors: false,
      makeVolume: () => undefined,
      ...over,
    },
  );
  if (plan.type !== "take") throw new Error(`a plan to take, not ${plan.type}`);
  const read = plan.records.map((record) => v.parse(journalRecordSchema, JSON.parse(JSON.stringify(record))));
  return { plan, state: read.reduce<AgentState>(apply, state) };
}
const after = (...orders: readonly Order[]): AgentState => take(REGISTERED, orders).state;
const outcome = (state: AgentState, n: number) => state.operations.get(operationUuidOf(n))?.status;
const totalOf = (state: AgentState): readonly Resource[] => {
  const [message] = registerMessages(state, INFO, systemStatistics());
  return message?.type === "register" ? message.info.resources : [];
};

const RESERVE = operation(1, { type: "RESERVE", resources: [reserved("disk", 200)] });
const CREATE = operation(2, { type: "CREATE", volumes: [volume(100)] });
const DESTROY = operation(3, { type: "DESTROY", volumes: [volume(100)] });
const inVolume = (taskId: string): Order =>
  launch(taskId, "true", { resources: [free("cpus", 0.1), free("mem", 32), volume(100)] });

describe("[A36] an operation", () => {
  test("is checkpointed with its end, and with all that is converted by then", () => {
    const { plan, state } = take(REGISTERED, [RESERVE, CREATE]);
    expect(plan.records.map(({ type, sequence }) => [type, sequence])).toEqual([
      ["operated", 1],
      ["operated", 2],
    ]);
    expect(plan).toMatchObject({ actions: [], tells: true, more: false });
    expect(outcome(state, 1)).toMatchObject({
      state: "OPERATION_FINISHED",
      operation_id: { value: "operation-1" },
      agent_id: { value: "a" },
      converted_resources: [{ name: "disk", scalar: { value: 200 }, reservations: [{ role: "web" }] }],
    });
    expect(outcome(state, 1)?.uuid?.value).not.toBe(outcome(state, 2)?.uuid?.value);
    expect(equal(fromResources(state.converted), fromResources([reserved("disk", 100), volume(100)]))).toBe(true);
    // Read once more, as a journal that was rewritten meanwhile may be, it changes nothing.
    expect(plan.records.reduce<AgentState>(apply, state)).toEqual(state);
  });

  test("is done once, under whatever number, in whatever session", () => {
    const state = after(RESERVE);
    const next = apply(state, { ...registered, session: "next" as SessionId });
    for (const known of [state, { ...next, registration: state.registration }]) {
      const { plan, state: again } = take(known, [RESERVE]);
      expect(plan.actions).toEqual([{ type: "complain", problem: expect.stringMatching(/done already/) }]);
      expect(plan.records).toMatchObject([{ type: "orders", launches: [], kills: [] }]);
      expect(again.converted).toEqual(state.converted);
    }
  });

  test("that fails changes nothing and says why; those after it go on", () => {
    const { plan, state } = take(REGISTERED, [CREATE, RESERVE]);
    expect(outcome(state, 2)).toMatchObject({
      state: "OPERATION_FAILED",
      message: expect.stringMatching(/^CREATE: this agent does not have/),
      converted_resources: [],
    });
    expect(outcome(state, 1)).toMatchObject({ state: "OPERATION_FINISHED" });
    expect(plan.actions).toMatchObject([{ type: "complain" }]);
  });

  test("of which the directory cannot be made has failed", () => {
    const made: Place[] = [];
    const makeVolume = (place: Place): string => {
      made.push(place);
      return "the disk is full";
    };
    const { state } = take(REGISTERED, [RESERVE, CREATE], { makeVolume });
    expect(made).toEqual([{ path: "volumes/roles/web/data", isMount: false }]);
    expect(outcome(state, 2)).toMatchObject({ state: "OPERATION_FAILED", message: "the disk is full" });
    expect(equal(fromResources(state.converted), fromResources([reserved("disk", 200)]))).toBe(true);
  });

  test("on a volume that a task holds fails, until the task has ended", () => {
    const { state } = take(after(RESERVE, CREATE), [inVolume("t"), DESTROY]);
    expect(outcome(state, 3)).toMatchObject({
      state: "OPERATION_FAILED",
      message: expect.stringMatching(/task holds/),
    });
    const task = state.tasks.get(taskKey(FRAMEWORK.id, "t" as TaskId));
    if (task === undefined) throw new Error("a task");
    const status = endStatus(task, { type: "cancelled" }, stamp());
    const ended = apply(state, { type: "update", frameworkId: FRAMEWORK.id, status });
    expect(outcome(take(ended, [operation(4, { type: "DESTROY", volumes: [volume(100)] })]).state, 4)).toMatchObject({
      state: "OPERATION_FINISHED",
    });
  });
});

test("[A40] what follows a DESTROY is planned when its place is free, and nothing is made there before", () => {
  const before = after(RESERVE, CREATE);
  const again = operation(4, { type: "CREATE", volumes: [volume(100)] });
  const { plan, state } = take(before, [kill("unknown"), DESTROY, again]);
  expect(plan.more).toBe(true);
  expect(state.sequence).toBe(before.sequence + 2);
  const place = { path: "volumes/roles/web/data", isMount: false };
  expect(plan.actions).toMatchObject([{ type: "report-unknown" }, { type: "remove-volume", place }]);
  expect([...state.removals.values()]).toEqual([place]);
  // It is not free yet: a mount that is being emptied, or a disk that refuses.
  expect(outcome(take(state, [again]).state, 4)).toMatchObject({ state: "OPERATION_FAILED" });
  const freed = apply(state, { type: "volume-removed", path: place.path });
  expect(outcome(take(freed, [again]).state, 4)).toMatchObject({ state: "OPERATION_FINISHED" });
});

describe("[A43] a launch that wants what is not there", () => {
  test.each<[string, readonly Order[], RegExp]>([
    ["a volume", [RESERVE], /volume data/],
    ["a reservation", [], /role web/],
  ])("%s", (_, orders, missing) => {
    const state = orders.length === 0 ? REGISTERED : after(...orders);
    const { plan } = take(state, [inVolume("t")]);
    expect(plan.records).toMatchObject([
      {
        launches: [],
        answers: [
          {
            status: {
              state: "TASK_DROPPED",
              reason: "REASON_RESOURCES_UNKNOWN",
              message: expect.stringMatching(missing),
            },
          },
        ],
      },
    ]);
    expect(plan.tells).toBe(true);
  });

  test("and one that wants what an operation before it made is done", () => {
    const { plan } = take(REGISTERED, [RESERVE, CREATE, inVolume("t")]);
    expect(plan.actions).toMatchObject([{ type: "launch" }]);
    expect(plan.records.map(({ type }) => type)).toEqual(["operated", "operated", "orders"]);
  });
});

describe("[A44] executors", () => {
  const executor = { executor_id: { value: "e" as ExecutorId }, resources: [free("cpus", 0.1)] };
  const taskOf = (id: string) => {
    const order = launch(id, "true");
    if (order.type !== "launch") throw new Error("a launch");
    return order.task;
  };
  const group = (...tasks: string[]): Order => ({
    type: "launch-group",
    framework: FRAMEWORK,
    executor: { ...executor, type: "DEFAULT" },
    tasks: tasks.map(taskOf),
  });
  const shutdown = (frameworkId: FrameworkId): Order => ({
    type: "shutdown-executor",
    frameworkId,
    executorId: "e" as ExecutorId,
  });

  test("are not run by an agent that cannot: each task is answered, and says so", () => {
    const custom = launch("own", "true", { executor });
    const { plan, state } = take(REGISTERED, [group("t1", "t2"), custom, shutdown(FRAMEWORK.id)]);
    const answers = plan.records.flatMap((record) => (record.type === "orders" ? (record.answers ?? []) : []));
    expect(answers.map(({ status }) => [status.task_id.value, status.state, status.reason])).toEqual(
      ["t1", "t2", "own"].map((id) => [id, "TASK_ERROR", "REASON_TASK_INVALID"]),
    );
    expect(answers[0]?.status.message).toMatch(/runs no executors/);
    expect(state.tasks.size).toBe(0);
    // What the plane believes to hold something here does not.
    const exited = { type: "report-exited", frameworkId: FRAMEWORK.id, executorId: "e" };
    expect(plan.actions.filter(({ type }) => type !== "complain")).toEqual([exited, exited, exited]);
  });

  test("of an agent that runs them are reported while they live, once each, and end by order", () => {
    const { plan, state } = take(REGISTERED, [group("t1", "t2")], { runsExecutors: true });
    expect(plan.actions.map(({ type }) => type)).toEqual(["launch", "launch"]);
    const [message] = registerMessages(state, INFO, systemStatistics());
    expect(message).toMatchObject({ executors: [{ framework: { id: FRAMEWORK.id }, executor }] });
    expect(take(state, [shutdown("other" as FrameworkId)], { runsExecutors: true }).plan.actions).toEqual([
      { type: "report-exited", frameworkId: "other", executorId: "e" },
    ]);
    const ended = take(state, [shutdown(FRAMEWORK.id)], { runsExecutors: true });
    expect(ended.plan.actions.map(({ type }) => type)).toEqual(["kill", "kill"]);
    let last = ended.state;
    for (const task of last.tasks.values())
      last = apply(last, {
        type: "update",
        frameworkId: FRAMEWORK.id,
        status: endStatus(task, { type: "cancelled" }, stamp()),
      });
    expect(registerMessages(last, INFO, systemStatistics())[0]).not.toHaveProperty("executors");
  });

  test("a group is launched whole or not at all", () => {
    const state = take(REGISTERED, [launch("t2", "true")]).state;
    const { plan } = take(state, [group("t1", "t2")], { runsExecutors: true });
    expect(plan.records).toMatchObject([
      { launches: [], answers: [{ status: { task_id: { value: "t1" }, state: "TASK_DROPPED" } }] },
    ]);
  });
});

describe("[A37] how an operation ended", () => {
  const state = after(RESERVE);
  const uuid = outcome(state, 1)?.uuid?.value ?? "";

  test("is told at once, again after 10 s, doubling to 10 min, and at once after a registration", () => {
    const manager = new OperationUpdateManager();
    const told = { operationUuid: operationUuidOf(1), frameworkId: FRAMEWORK.id, operationId: "operation-1" };
    expectRetries(manager, state, [expect.objectContaining(told)]);
  });

  test("is told and reported until its own uuid is acknowledged", () => {
    const acknowledged = (by: string): AgentState =>
      apply(state, { type: "operation-acknowledged", operationUuid: operationUuidOf(1), uuid: by });
    expect(acknowledged("another")).toBe(state);
    const done = acknowledged(uuid);
    expect(done.operations.size).toBe(0);
    expect(done.converted).toEqual(state.converted);
    expect(new OperationUpdateManager().nextDue(done)).toBeUndefined();
    const reported = (of: AgentState) => registerMessages(of, INFO, systemStatistics())[0];
    expect(reported(state)).toMatchObject({
      operations: [
        { operationUuid: operationUuidOf(1), operation: { type: "RESERVE" }, status: { uuid: { value: uuid } } },
      ],
    });
    expect(reported(done)).not.toHaveProperty("operations");
  });

  test("goes in as many frames as it needs", () => {
    const labels = Array.from({ length: 100 }, (_, i) => ({ key: `key-${i}`, value: "x".repeat(900) }));
    const large = (n: number): ResourceOperation => ({
      type: "RESERVE",
      resources: [
        { ...free("mem", 1), reservations: [{ type: "DYNAMIC", role: "web", labels: { labels } }] },
        reserved("cpus", n / 1000),
      ],
    });
    let many = REGISTERED;
    for (let n = 1; n <= 12; n++) many = take(many, [operation(n, large(n))]).state;
    const messages = registerMessages(many, INFO, systemStatistics());
    expect(messages.length).toBeGreaterThan(1);
    for (const message of [...messages, ...new OperationUpdateManager().takeDue(many, 0 as Millis)])
      expect(Buffer.byteLength(JSON.stringify(message))).toBeLessThan(FRAME_BYTES_MAX);
    const reported = messages.flatMap((message) => (message.type === "register" ? (message.operations ?? []) : []));
    expect(reported.map(({ operationUuid }) => operationUuid)).toEqual([...many.operations.keys()]);
  });
});

describe("[A38] what operations have made", () => {
  const state = take(after(RESERVE, CREATE), [DESTROY]).state;

  test("survives compaction, with what is still to be removed", () => {
    for (const one of [state, after(RESERVE, CREATE), after(RESERVE)])
      expect(snapshot(one).reduce<AgentState>(apply, NEW_AGENT)).toEqual(one);
  });

  test("outlives the agent's id; how operations ended does not", () => {
    const forgotten = apply(state, { type: "shut-down", epochSeen: EPOCH });
    expect(forgotten).toEqual({ ...NEW_AGENT, epochSeen: EPOCH, converted: state.converted, removals: state.removals });
    expect(snapshot(forgotten).reduce<AgentState>(apply, NEW_AGENT)).toEqual(forgotten);
    const expected = [free("cpus", 4), free("mem", 1000), free("disk", 300), reserved("disk", 200)];
    expect(equal(fromResources(totalOf(forgotten)), fromResources(expected))).toBe(true);
  });
});
