// ACCEPT with more than launches: operations on resources, task groups and executors, from the call to the last acknowledgement.
import { describe, expect, test } from "vitest";
import { AGENT_CAPABILITIES, type AgentMessage } from "#protocol/agent.ts";
import type { ExecutorId, OfferId, OperationUuid } from "#protocol/ids.ts";
import type { OperationState, OperationStatus } from "#protocol/operation.ts";
import type { Resource } from "#protocol/resource.ts";
import type { Call, FrameworkInfo, SchedulerEvent } from "#protocol/scheduler.ts";
import type { ExecutorInfo } from "#protocol/task.ts";
import { scalar, toResources } from "#resources/resources.ts";
import { usedBy, usedOn } from "../../src/master/usage.ts";
import { booksProblem } from "./books.ts";
import { Cluster, register, sent, task, type TestAgent, type TestFramework, uuidText } from "./cluster.ts";

const amount = (name: string, value: number, more: Partial<Resource> = {}): Resource => ({
  name,
  type: "SCALAR",
  scalar: { value },
  ...more,
});
const RESERVATIONS = [{ type: "DYNAMIC" as const, role: "web", principal: "scheduler" }];
const reserved = (name: string, value: number): Resource => amount(name, value, { reservations: RESERVATIONS });
const volume = (id: string, value: number): Resource => ({
  ...reserved("disk", value),
  disk: { persistence: { id, principal: "scheduler" }, volume: { mode: "RW", container_path: "data" } },
});
const HAS = [amount("cpus", 4), amount("mem", 1000), amount("disk", 500)];

const WEB: Partial<FrameworkInfo> = {
  roles: ["web"],
  capabilities: [{ type: "MULTI_ROLE" }, { type: "RESERVATION_REFINEMENT" }],
};

function registration(more: Partial<Extract<AgentMessage, { type: "register" }>> = {}, resources = HAS): AgentMessage {
  const capabilities = [...AGENT_CAPABILITIES];
  return register({ info: { hostname: "host", port: 5051, resources, attributes: [], capabilities }, ...more });
}

function modernAgent(cluster: Cluster, host = 1): TestAgent {
  const socket = cluster.socket();
  const [registered] = sent(cluster.commitAll(cluster.say(socket, registration(), host)), "registered");
  if (registered === undefined) throw new Error("not registered");
  return { socket, host, ...registered };
}

function stage() {
  const cluster = new Cluster();
  const agent = modernAgent(cluster);
  const framework = cluster.framework(WEB);
  return { cluster, agent, framework };
}

type Operation = NonNullable<Call["accept"]>["operations"][number];
const reserve = (resources: Resource[], id?: string) =>
  ({
    type: "RESERVE",
    id: id === undefined ? undefined : { value: id },
    reserve: { source: [], resources },
  }) as Operation;
const create = (volumes: Resource[], id?: string) =>
  ({ type: "CREATE", id: id === undefined ? undefined : { value: id }, create: { volumes } }) as Operation;
const launch = (...infos: ReturnType<typeof task>[]) =>
  ({ type: "LAUNCH", id: undefined, launch: { task_infos: infos } }) as Operation;

function accept(cluster: Cluster, framework: TestFramework, operations: readonly Operation[], refuseSeconds = 0) {
  const offer_ids = cluster.offers(framework).map(({ id }) => id);
  const call = {
    type: "ACCEPT",
    accept: { offer_ids, operations: [...operations], filters: { refuse_seconds: refuseSeconds } },
  };
  const before = cluster.effects.length;
  expect(cluster.call(framework, call as Partial<Call>).status).toBe(202);
  expect(booksProblem(cluster.master)).toBeUndefined();
  return cluster.effects.slice(before);
}

const ordersOf = (effects: Parameters<typeof sent>[0]) =>
  sent(effects, "orders").flatMap(({ orders }) => orders.map(({ order }) => order));
const operationNews = (events: readonly SchedulerEvent[]): OperationStatus[] =>
  events.flatMap((event) => (event.type === "UPDATE_OPERATION_STATUS" ? [event.update_operation_status.status] : []));
/** Each resource as [name, layers of reservation, volume, amount], in that order. */
const lastOffered = (cluster: Cluster, framework: TestFramework) =>
  cluster
    .offers(framework)
    .flatMap(({ resources }) => resources)
    .map(
      ({ name, reservations = [], disk, scalar: of }) =>
        [name, reservations.length, disk?.persistence?.id ?? "", of?.value] as const,
    )
    .toSorted(([a, n], [b, m]) => (a === b ? n - m : a < b ? -1 : 1));

function tellOutcome(
  cluster: Cluster,
  agent: TestAgent,
  framework: TestFramework,
  operationUuid: OperationUuid,
  {
    operationId,
    state = "OPERATION_FINISHED",
    uuid = uuidText(7_000),
  }: { operationId?: string; state?: OperationState; uuid?: string } = {},
) {
  const status = {
    state,
    uuid: { value: uuid },
    converted_resources: [],
    message: "said by the agent",
  } as OperationStatus;
  const updates = [{ operationUuid, frameworkId: framework.id, operationId, status }];
  const effects = cluster.say(agent.socket, { type: "operation-updates", session: agent.session, updates }, agent.host);
  expect(booksProblem(cluster.master)).toBeUndefined();
  return effects;
}

describe("[M61] [M66] operations on resources", () => {
  test("are applied in order: what one makes, the next one uses, and orders go in the same order", () => {
    const { cluster, agent, framework } = stage();
    const withVolume = { resources: [reserved("cpus", 1), amount("mem", 10), volume("v", 200)] };
    const effects = accept(cluster, framework, [
      reserve([reserved("cpus", 1), reserved("disk", 300)]),
      create([volume("v", 200)]),
      launch(task("t", agent.agentId, withVolume)),
    ]);
    const orders = ordersOf(effects);
    expect(orders.map(({ type }) => type)).toEqual(["operation", "operation", "launch"]);
    expect(orders[0]).toMatchObject({ operation: { type: "RESERVE" }, frameworkId: framework.id });
    expect(orders[0]).not.toMatchObject({ operationUuid: (orders[1] as { operationUuid: string }).operationUuid });
    // What is left comes back as what it is now.
    expect(lastOffered(cluster, framework)).toEqual([
      ["cpus", 0, "", 3],
      ["disk", 0, "", 200],
      ["disk", 1, "", 100],
      ["mem", 0, "", 990],
    ]);
    const record = cluster.master.agents.get(agent.agentId);
    expect(toResources(record?.total ?? { pools: new Map() })).toHaveLength(6);
  });

  test("one that breaks a rule is left out and answered, the others go on", () => {
    const { cluster, framework } = stage();
    const before = cluster.events(framework).length;
    const effects = accept(cluster, framework, [
      reserve([reserved("cpus", 99)], "too-much"),
      create([volume("v", 1)], "nothing-reserved"),
      { type: "CREATE_DISK", id: { value: "provider" }, create_disk: {} } as unknown as Operation,
      reserve([reserved("disk", 10)], "good"),
    ]);
    const news = operationNews(cluster.events(framework).slice(before));
    expect(news.map(({ operation_id, state, uuid }) => [operation_id?.value, state, uuid])).toEqual([
      ["too-much", "OPERATION_ERROR", undefined],
      ["nothing-reserved", "OPERATION_ERROR", undefined],
      ["provider", "OPERATION_ERROR", undefined],
    ]);
    expect(ordersOf(effects)).toMatchObject([{ operationId: "good" }]);
  });

  test("a volume is destroyed once its task has ended, whoever still has to acknowledge that end", () => {
    const { cluster, agent, framework } = stage();
    const withVolume = { resources: [amount("cpus", 1), amount("mem", 10), volume("v", 200)] };
    accept(cluster, framework, [
      reserve([reserved("disk", 200)]),
      create([volume("v", 200)]),
      launch(task("t", agent.agentId, withVolume)),
    ]);
    cluster.update(agent, framework, "t", "TASK_FINISHED");
    const effects = accept(cluster, framework, [{ type: "DESTROY", destroy: { volumes: [volume("v", 200)] } }]);
    expect(ordersOf(effects)).toMatchObject([{ type: "operation", operation: { type: "DESTROY" } }]);
  });

  test("an id that is in use is refused", () => {
    const { cluster, framework } = stage();
    accept(cluster, framework, [reserve([reserved("cpus", 1)], "a")]);
    accept(cluster, framework, [reserve([reserved("cpus", 1)], "a")]);
    expect(operationNews(cluster.events(framework))).toMatchObject([
      { state: "OPERATION_ERROR", message: expect.stringContaining("in use") as string },
    ]);
  });

  test("[25.3] offers that do not stand: each part is answered once, nothing is done, no other offer is lost", () => {
    const { cluster, agent, framework } = stage();
    const other = cluster.framework({ role: "ads" });
    modernAgent(cluster, 2);
    const foreign = cluster.offers(other)[0]?.id ?? { value: "" as OfferId };
    expect(foreign.value).not.toBe("");
    const own = cluster.offers(framework).map(({ id }) => id);
    const operations = [
      reserve([reserved("cpus", 1)], "op"),
      launch(task("a", agent.agentId), task("b", agent.agentId)),
    ];
    const before = cluster.effects.length;
    cluster.call(framework, {
      type: "ACCEPT",
      accept: { offer_ids: [...own, foreign], operations, filters: { refuse_seconds: 100 } },
    });
    expect(ordersOf(cluster.effects.slice(before))).toEqual([]);
    expect(cluster.updates(framework).map(({ state, reason }) => [state, reason])).toEqual([
      ["TASK_LOST", "REASON_INVALID_OFFERS"],
      ["TASK_LOST", "REASON_INVALID_OFFERS"],
    ]);
    expect(operationNews(cluster.events(framework))).toMatchObject([{ state: "OPERATION_ERROR" }]);
    expect(cluster.master.offers.has(foreign.value)).toBe(true);
    // It may refuse nothing by a call that was refused: the same is offered again at once.
    expect(cluster.offers(framework)).toHaveLength(own.length);
    expect(booksProblem(cluster.master)).toBeUndefined();
  });
});

describe("[M68] news of an operation", () => {
  test("with an id: told, told again, until the framework acknowledges; its acknowledgement reaches the agent", () => {
    const { cluster, agent, framework } = stage();
    const [order] = ordersOf(accept(cluster, framework, [reserve([reserved("cpus", 1)], "a")]));
    if (order?.type !== "operation") throw new Error("no order");
    const { operationUuid } = order;
    for (const times of [1, 2]) {
      expect(
        sent(tellOutcome(cluster, agent, framework, operationUuid, { operationId: "a" }), "acknowledge-operations"),
      ).toEqual([]);
      expect(operationNews(cluster.events(framework))).toHaveLength(times);
    }
    expect(operationNews(cluster.events(framework))[0]).toMatchObject({
      state: "OPERATION_FINISHED",
      operation_id: { value: "a" },
      agent_id: { value: agent.agentId },
      uuid: { value: uuidText(7_000) },
    });
    const acknowledge = (uuid: string) => {
      const before = cluster.effects.length;
      const acknowledge_operation_status = { agent_id: { value: agent.agentId }, uuid, operation_id: { value: "a" } };
      const call = { type: "ACKNOWLEDGE_OPERATION_STATUS", acknowledge_operation_status } as unknown as Partial<Call>;
      expect(cluster.call(framework, call).status).toBe(202);
      return sent(cluster.effects.slice(before), "acknowledge-operations");
    };
    expect(acknowledge(uuidText(1))).toEqual([]);
    expect(acknowledge(uuidText(7_000))).toMatchObject([
      { acknowledgements: [{ operationUuid, uuid: uuidText(7_000) }] },
    ]);
    expect(acknowledge(uuidText(7_000))).toEqual([]);
    expect(cluster.master.agents.get(agent.agentId)?.operations.size).toBe(0);
  });

  test("without an id, or of a framework that is removed, is acknowledged by the master", () => {
    const { cluster, agent, framework } = stage();
    const orders = ordersOf(
      accept(cluster, framework, [reserve([reserved("cpus", 1)]), reserve([reserved("mem", 1)], "b")]),
    );
    const [first, second] = orders.flatMap((order) => (order.type === "operation" ? [order] : []));
    if (first === undefined || second === undefined) throw new Error("no orders");
    const silent = tellOutcome(cluster, agent, framework, first.operationUuid);
    expect(sent(silent, "acknowledge-operations")).toHaveLength(1);
    expect(operationNews(cluster.events(framework))).toEqual([]);
    cluster.call(framework, { type: "TEARDOWN" });
    const orphan = tellOutcome(cluster, agent, framework, second.operationUuid, { operationId: "b" });
    expect(sent(orphan, "acknowledge-operations")).toHaveLength(1);
  });

  test("that failed at the agent: its socket ends, and what it says when it registers again is what it has", () => {
    const { cluster, agent, framework } = stage();
    const [order] = ordersOf(accept(cluster, framework, [reserve([reserved("disk", 100)], "a")]));
    if (order?.type !== "operation") throw new Error("no order");
    const { operationUuid } = order;
    const failed = { operationId: "a", state: "OPERATION_FAILED" as const };
    const effects = tellOutcome(cluster, agent, framework, operationUuid, failed);
    expect(effects).toContainEqual(expect.objectContaining({ type: "close-socket", to: agent.socket }));
    expect(operationNews(cluster.events(framework))).toMatchObject([{ state: "OPERATION_FAILED" }]);
    const status = {
      state: "OPERATION_FAILED",
      uuid: { value: uuidText(7_000) },
      converted_resources: [],
    } as OperationStatus;
    const operations = [
      { operationUuid, frameworkId: framework.id, operationId: "a", operation: order.operation, status },
    ];
    const again = registration({ agentId: agent.agentId, lastSession: agent.session, operations });
    cluster.commitAll(cluster.say(cluster.socket(), again, agent.host));
    expect(booksProblem(cluster.master)).toBeUndefined();
    expect(lastOffered(cluster, framework).filter(([, layers]) => layers > 0)).toEqual([]);
  });

  test("that the agent never acted upon is DROPPED, and the books are as the agent says", () => {
    const { cluster, agent, framework } = stage();
    const [order] = ordersOf(
      accept(cluster, framework, [reserve([reserved("disk", 100)], "a"), launch(task("t", agent.agentId))]),
    );
    expect(order?.type).toBe("operation");
    const again = registration({ agentId: agent.agentId, lastSession: agent.session });
    cluster.commitAll(cluster.say(cluster.socket(), again, agent.host));
    expect(operationNews(cluster.events(framework))).toMatchObject([
      { state: "OPERATION_DROPPED", operation_id: { value: "a" } },
    ]);
    expect(cluster.updates(framework).at(-1)).toMatchObject({ state: "TASK_LOST" });
    expect(booksProblem(cluster.master)).toBeUndefined();
    expect(lastOffered(cluster, framework)).toEqual([
      ["cpus", 0, "", 4],
      ["disk", 0, "", 500],
      ["mem", 0, "", 1000],
    ]);
  });

  test("RECONCILE_OPERATIONS: pending, finished, unknown; of an agent that is away, by what the registry says of it", () => {
    const { cluster, agent, framework } = stage();
    const orders = ordersOf(
      accept(cluster, framework, [reserve([reserved("cpus", 1)], "done"), reserve([reserved("mem", 1)], "open")]),
    );
    const [first] = orders;
    if (first?.type !== "operation") throw new Error("no order");
    tellOutcome(cluster, agent, framework, first.operationUuid, { operationId: "done" });
    const ask = (operations: readonly object[]) => {
      const before = cluster.events(framework).length;
      cluster.call(framework, {
        type: "RECONCILE_OPERATIONS",
        reconcile_operations: { operations },
      } as unknown as Partial<Call>);
      return operationNews(cluster.events(framework).slice(before)).map(({ operation_id, state, uuid }) => [
        operation_id?.value,
        state,
        uuid,
      ]);
    };
    expect(ask([])).toEqual([
      ["done", "OPERATION_FINISHED", undefined],
      ["open", "OPERATION_PENDING", undefined],
    ]);
    const on = (id: string, agentId?: string) => ({
      operation_id: { value: id },
      ...(agentId === undefined ? {} : { agent_id: { value: agentId } }),
    });
    expect(ask([on("open"), on("never", agent.agentId), on("never", "nobody")])).toEqual([
      ["open", "OPERATION_PENDING", undefined],
      ["never", "OPERATION_UNKNOWN", undefined],
      ["never", "OPERATION_UNKNOWN", undefined],
    ]);
  });
});

const executor = (id: string, cpus: number, type: "DEFAULT" | "CUSTOM" = "DEFAULT"): ExecutorInfo => ({
  type,
  executor_id: { value: id as ExecutorId },
  resources: [amount("cpus", cpus), amount("mem", 32), amount("disk", 10)],
  ...(type === "CUSTOM" ? { command: { value: "./executor", arguments: [], uris: [] } } : {}),
});
const group = (of: ExecutorInfo, ...tasks: ReturnType<typeof task>[]) =>
  ({
    type: "LAUNCH_GROUP",
    id: undefined,
    launch_group: { executor: of, task_group: { tasks } },
  }) as unknown as Operation;
/** A task of a group names no command of its own here. */
const grouped = (id: string, agent: TestAgent, cpus = 0.5) => task(id, agent.agentId, {}, cpus);

describe("[M65] [M67] executors", () => {
  test("a group is one order; its executor is counted once, also with the next group", () => {
    const { cluster, agent, framework } = stage();
    const effects = accept(cluster, framework, [group(executor("e", 1), grouped("a", agent), grouped("b", agent))]);
    expect(ordersOf(effects)).toMatchObject([
      {
        type: "launch-group",
        executor: { framework_id: { value: framework.id } },
        tasks: [{ name: "a" }, { name: "b" }],
      },
    ]);
    expect(scalar(usedOn(cluster.master, agent.agentId), "cpus")).toBe(2);
    accept(cluster, framework, [group(executor("e", 1), grouped("c", agent))]);
    expect(scalar(usedOn(cluster.master, agent.agentId), "cpus")).toBe(2.5);
    const record = cluster.master.frameworks.get(framework.id);
    expect(record === undefined ? 0 : scalar(usedBy(record), "cpus")).toBe(2.5);
    expect(cluster.offers(framework)[0]?.executor_ids).toEqual([{ value: "e" }]);
  });

  test("of a group one bad task refuses all of them, and nothing is held", () => {
    const { cluster, agent, framework } = stage();
    const effects = accept(cluster, framework, [
      group(executor("e", 1), grouped("a", agent), grouped("b", agent, 100)),
    ]);
    expect(ordersOf(effects)).toEqual([]);
    expect(cluster.updates(framework).map(({ task_id, state, reason }) => [task_id.value, state, reason])).toEqual([
      ["a", "TASK_ERROR", "REASON_TASK_GROUP_INVALID"],
      ["b", "TASK_ERROR", "REASON_TASK_GROUP_INVALID"],
    ]);
    expect(cluster.master.agents.get(agent.agentId)?.executors.size).toBe(0);
  });

  test("holds its resources until its agent says that it has ended; its framework hears FAILURE with its id", () => {
    const { cluster, agent, framework } = stage();
    accept(cluster, framework, [
      launch(task("t", agent.agentId, { executor: executor("x", 1, "CUSTOM"), command: undefined })),
    ]);
    expect(scalar(usedOn(cluster.master, agent.agentId), "cpus")).toBe(1.5);
    cluster.update(agent, framework, "t", "TASK_FINISHED");
    expect(scalar(usedOn(cluster.master, agent.agentId), "cpus")).toBe(1);
    const exited = {
      type: "executor-exited",
      session: agent.session,
      frameworkId: framework.id,
      executorId: "x" as ExecutorId,
      status: 256,
    } as const;
    for (const times of [1, 2]) {
      cluster.say(agent.socket, exited, agent.host);
      const failures = cluster.events(framework).flatMap((event) => (event.type === "FAILURE" ? [event.failure] : []));
      expect([times, failures]).toEqual([
        times,
        [{ agent_id: { value: agent.agentId }, executor_id: { value: "x" }, status: 256 }],
      ]);
    }
    expect(scalar(usedOn(cluster.master, agent.agentId), "cpus")).toBe(0);
    expect(booksProblem(cluster.master)).toBeUndefined();
  });

  test("one that its agent registers without has ended; one that it brings is held", () => {
    const { cluster, agent, framework } = stage();
    accept(cluster, framework, [group(executor("e", 1), grouped("a", agent))]);
    const summary = { id: framework.id, name: "test", user: "root", partitionAware: false };
    const other = { ...executor("other", 2), framework_id: { value: framework.id } };
    const brought = registration({
      agentId: agent.agentId,
      lastSession: agent.session,
      executors: [{ framework: summary, executor: other }],
    });
    cluster.commitAll(cluster.say(cluster.socket(), brought, agent.host));
    expect([...(cluster.master.agents.get(agent.agentId)?.executors.values() ?? [])]).toMatchObject([
      { executorId: "other" },
    ]);
    expect(scalar(usedOn(cluster.master, agent.agentId), "cpus")).toBe(2);
    expect(cluster.events(framework)).toContainEqual({
      type: "FAILURE",
      failure: { agent_id: { value: agent.agentId }, executor_id: { value: "e" }, status: -1 },
    });
    expect(booksProblem(cluster.master)).toBeUndefined();
  });

  test("MESSAGE both ways, and SHUTDOWN; of executors that are not there nothing is passed on", () => {
    const { cluster, agent, framework } = stage();
    accept(cluster, framework, [group(executor("e", 1), grouped("a", agent))]);
    const say = (call: object) => {
      const before = cluster.effects.length;
      expect(cluster.call(framework, call as Partial<Call>).status).toBe(202);
      return cluster.effects.slice(before);
    };
    const to = (id: string) => ({ agent_id: { value: agent.agentId }, executor_id: { value: id } });
    const message = (id: string) => ({ type: "MESSAGE", message: { ...to(id), data: "aGk=" } });
    expect(sent(say(message("e")), "executor-message")).toMatchObject([{ executorId: "e", data: "aGk=" }]);
    expect(sent(say(message("nobody")), "executor-message")).toEqual([]);
    const word = {
      type: "framework-message",
      session: agent.session,
      frameworkId: framework.id,
      data: "eW8=",
    } as const;
    for (const id of ["e", "nobody"]) cluster.say(agent.socket, { ...word, executorId: id as ExecutorId }, agent.host);
    const heard = cluster.events(framework).flatMap((event) => (event.type === "MESSAGE" ? [event.message] : []));
    expect(heard).toEqual([{ ...to("e"), data: "eW8=" }]);
    const shutdown = (id: string) => ({ type: "SHUTDOWN", shutdown: to(id) });
    expect(ordersOf(say(shutdown("e")))).toMatchObject([{ type: "shutdown-executor", executorId: "e" }]);
    expect(ordersOf(say(shutdown("nobody")))).toEqual([]);
  });

  test("[M64] what the agent's release does not run is refused", () => {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const framework = cluster.framework(WEB);
    accept(cluster, framework, [
      group({ ...executor("e", 0.1), resources: [amount("cpus", 0.1), amount("mem", 32)] }, grouped("a", agent)),
      reserve([reserved("cpus", 1)], "r"),
    ]);
    expect(cluster.updates(framework)).toMatchObject([{ state: "TASK_ERROR", reason: "REASON_TASK_GROUP_INVALID" }]);
    expect(operationNews(cluster.events(framework))).toMatchObject([{ state: "OPERATION_ERROR" }]);
  });
});
