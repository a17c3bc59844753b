// Random ACCEPTs of several frameworks in random order, most of them wrong in some way: no turn may throw, the books agree after each, and
// each task and each operation of each call is answered once.
import fc from "fast-check";
import { expect, test } from "vitest";
import { present } from "#base/assert.ts";
import { AGENT_CAPABILITIES } from "#protocol/agent.ts";
import type { AgentId, OfferId, OperationUuid } from "#protocol/ids.ts";
import type { OperationStatus } from "#protocol/operation.ts";
import type { Resource } from "#protocol/resource.ts";
import type { Call, FrameworkInfo } from "#protocol/scheduler.ts";
import type { TaskInfo } from "#protocol/task.ts";
import { quantities, type ResourceSet } from "#resources/resources.ts";
import { disconnectStream } from "../../src/master/subscriptions.ts";
import type { MasterEffect } from "../../src/master/state.ts";
import { booksProblem } from "./books.ts";
import { Cluster, register, sent, task, type TestAgent, type TestFramework, uuidText } from "./cluster.ts";

const RUNS = 150;

const fixed = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const amountOf = fixed(0.001, 0.5, 1, 2, 3, 10, 100, 1_000, -1, 0, 1e308, 0.0004);
const layers = fixed<Resource["reservations"]>(
  undefined,
  [{ type: "DYNAMIC", role: "web", principal: "scheduler" }],
  [{ type: "DYNAMIC", role: "web" }],
  [{ type: "DYNAMIC", role: "ads", principal: "scheduler" }],
  [{ type: "STATIC", role: "web" }],
  [
    { type: "DYNAMIC", role: "web", principal: "scheduler" },
    { type: "DYNAMIC", role: "web/a", principal: "scheduler" },
  ],
);
const mount = { type: "MOUNT" as const, mount: { root: "/mnt" } };
const disk = fixed<Resource["disk"]>(
  undefined,
  { persistence: { id: "v" }, volume: { mode: "RW", container_path: "data" } },
  { persistence: { id: "w" }, volume: { mode: "RW", container_path: "data" } },
  { persistence: { id: "v" }, volume: { mode: "RW", container_path: "data" }, source: mount },
  { source: mount },
);
const scalarResource = fc
  .record({
    name: fixed("cpus", "mem", "disk", "disk", "gpus"),
    value: amountOf,
    reservations: layers,
    on: disk,
    odd: fc.nat(40),
  })
  .map(({ name, value, reservations, on, odd }): Resource => ({
    name,
    type: "SCALAR",
    scalar: { value },
    reservations,
    disk: name === "disk" ? on : undefined,
    revocable: odd === 0 ? {} : undefined,
    shared: odd === 1 ? {} : undefined,
    allocation_info: odd === 2 ? { role: "ads" } : undefined,
  }));
const range = fc.record({ begin: fc.nat(20), end: fc.nat(20) });
const portResource = fc
  .record({ range: fc.array(range, { maxLength: 3 }), reservations: layers })
  .map(({ range: of, reservations }): Resource => ({
    name: "ports",
    type: "RANGES",
    ranges: { range: of },
    reservations,
  }));
const setResource = fc
  .subarray(["a", "b", "c"])
  .map((item): Resource => ({ name: "zones", type: "SET", set: { item } }));
const resource = fc.oneof({ weight: 5, arbitrary: scalarResource }, portResource, setResource);
const resources = fc.array(resource, { maxLength: 3 });
const plain = (name: string, value: number): Resource => ({ name, type: "SCALAR", scalar: { value } });
/** What is mostly there. */
const port = (begin: number, end: number): Resource => ({
  name: "ports",
  type: "RANGES",
  ranges: { range: [{ begin, end }] },
});
const good = fixed<Resource[]>(
  [plain("cpus", 0.5)],
  [plain("cpus", 0.1), plain("mem", 10)],
  [plain("cpus", 0.1), port(2, 3)],
  [port(3, 5), { name: "zones", type: "SET", set: { item: ["a"] } }],
);
const reservedDisk = (value: number): Resource => ({
  ...plain("disk", value),
  reservations: [{ type: "DYNAMIC", role: "web", principal: "scheduler" }],
});
const volume = (id: string, value: number): Resource => ({
  ...reservedDisk(value),
  disk: { persistence: { id }, volume: { mode: "RW", container_path: "data" } },
});
/** What an operation of that type may well be about. */
const FITTING: Readonly<Record<string, readonly Resource[]>> = {
  RESERVE: [reservedDisk(100), { ...plain("cpus", 0.5), reservations: reservedDisk(1).reservations }],
  UNRESERVE: [reservedDisk(50)],
  CREATE: [volume("v", 40)],
  DESTROY: [volume("v", 40)],
  GROW_VOLUME: [volume("v", 40), reservedDisk(10)],
  SHRINK_VOLUME: [volume("v", 50)],
};
const wanted = fc.oneof({ weight: 3, arbitrary: good }, resources);
const groupExecutor: Resource[] = [plain("cpus", 0.1), plain("mem", 32), plain("disk", 1)];

const someExecutor = fc.record({
  value: fc.oneof({ weight: 5, arbitrary: fixed("e", "f") }, fixed("../g")),
  resources: fc.oneof({ weight: 3, arbitrary: fixed(groupExecutor) }, wanted),
  type: fixed("DEFAULT", "CUSTOM", undefined),
});
const member = fc.record({
  taskId: fc.oneof({ weight: 9, arbitrary: fixed("a", "b", "c", "d", "e", "f", "g", "h") }, fixed("", "x/y")),
  resources: wanted,
  executor: fc.oneof({ weight: 3, arbitrary: fixed(undefined) }, someExecutor),
  elsewhere: fc.nat(20),
});
type Member = typeof member extends fc.Arbitrary<infer T> ? T : never;

const operation = fc.record({
  type: fixed(
    "LAUNCH",
    "LAUNCH",
    "LAUNCH_GROUP",
    "RESERVE",
    "RESERVE",
    "UNRESERVE",
    "CREATE",
    "CREATE",
    "DESTROY",
    "GROW_VOLUME",
    "SHRINK_VOLUME",
    "CREATE_DISK",
  ),
  id: fc.oneof({ weight: 5, arbitrary: fixed(undefined, "o1", "o2", "o3", "o4") }, fixed("a/b")),
  isFitting: fc.nat(3),
  members: fc.array(member, { maxLength: 3 }),
  executor: someExecutor,
  resources: wanted,
  value: amountOf,
});
type Drawn = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fixed("accept" as const),
      framework: fc.nat(2),
      /** Whose offers, and how many of them: also those of others, stale ones, and one twice. */
      of: fc.oneof(
        { weight: 4, arbitrary: fixed("own" as const) },
        fixed("all" as const, "twice" as const, "stale" as const),
      ),
      operations: fc.array(operation, { maxLength: 4 }),
      refuse: fixed(0, 0, undefined),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fixed("ends" as const), agent: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ type: fixed("acts" as const), agent: fc.nat(1), fails: fc.nat(4) }) },
  { weight: 2, arbitrary: fc.record({ type: fixed("passes" as const), ms: fixed(1_000, 6_000) }) },
  fc.record({ type: fixed("returns" as const), framework: fc.nat(2) }),
  fc.record({ type: fixed("kills" as const), framework: fc.nat(2), taskId: fixed("a", "b", "c", "d") }),
);

const WEB: Partial<FrameworkInfo> = {
  roles: ["web"],
  capabilities: [{ type: "MULTI_ROLE" }, { type: "RESERVATION_REFINEMENT" }, { type: "PARTITION_AWARE" }],
};
const HAS: Resource[] = [
  plain("cpus", 4),
  plain("mem", 1000),
  plain("disk", 500),
  { ...plain("disk", 100), disk: { source: mount } },
  { ...plain("cpus", 1), reservations: [{ type: "STATIC", role: "web" }] },
  { name: "ports", type: "RANGES", ranges: { range: [{ begin: 1, end: 9 }] } },
  { name: "zones", type: "SET", set: { item: ["a", "b"] } },
];

class History {
  readonly cluster = new Cluster();
  readonly agents: readonly TestAgent[];
  readonly frameworks: TestFramework[];
  readonly #pending: {
    readonly agentId: string;
    readonly operationUuid: OperationUuid;
    readonly framework: TestFramework;
    readonly operationId: string | undefined;
  }[] = [];
  readonly #totals = new Map<AgentId, ResourceSet>();
  #uuids = 10_000;

  constructor() {
    this.agents = [1, 2].map((host) => {
      const socket = this.cluster.socket();
      const info = {
        hostname: "host",
        port: 5051,
        resources: HAS,
        attributes: [],
        capabilities: [...AGENT_CAPABILITIES],
      };
      const [registered] = sent(
        this.cluster.commitAll(this.cluster.say(socket, register({ info }), host)),
        "registered",
      );
      if (registered === undefined) throw new Error("not registered");
      return { socket, host, ...registered };
    });
    this.frameworks = [WEB, WEB, {}].map((info) => this.cluster.framework(info));
  }

  accept(
    framework: TestFramework,
    of: "own" | "all" | "twice" | "stale",
    drawn: readonly Drawn[],
    refuse: number | undefined,
  ): void {
    const { cluster } = this;
    const own = cluster.offers(framework);
    if (own.length === 0 && of !== "stale") return;
    // Of one agent: others are refused as a whole.
    const offers = own.filter(({ agent_id }) => agent_id.value === own[0]?.agent_id.value).map(({ id }) => id.value);
    const named: Record<typeof of, readonly OfferId[]> = {
      own: offers,
      all: [...cluster.master.offers.keys()],
      twice: [...offers, ...offers],
      stale: ["m-O0" as OfferId],
    };
    const agentId = own[0]?.agent_id.value ?? this.agents[0]?.agentId;
    const infoOf = ({ taskId, resources: its, executor: of_, elsewhere }: Member): TaskInfo =>
      task(taskId, (elsewhere === 0 ? "elsewhere" : agentId) as never, {
        resources: its,
        ...(of_ === undefined ? {} : { executor: executorOf(of_), command: undefined }),
      });
    const operations = drawn.map(({ type, id, isFitting, members, executor: its, resources: random, value }) => {
      const what = isFitting === 0 ? random : (FITTING[type] ?? random);
      const [volume = plain("disk", 1), addition = plain("disk", 1)] = what;
      return {
        type,
        id: id === undefined || (type.startsWith("LAUNCH") && isFitting > 0) ? undefined : { value: id },
        ...{
          LAUNCH: { launch: { task_infos: members.map(infoOf) } },
          LAUNCH_GROUP: {
            launch_group: {
              executor: executorOf(its),
              task_group: { tasks: members.map((one) => infoOf({ ...one, executor: undefined })) },
            },
          },
          RESERVE: { reserve: { resources: what, source: [] } },
          UNRESERVE: { unreserve: { resources: what } },
          CREATE: { create: { volumes: what } },
          DESTROY: { destroy: { volumes: what } },
          GROW_VOLUME: { grow_volume: { volume, addition } },
          SHRINK_VOLUME: { shrink_volume: { volume, subtract: { value: isFitting === 0 ? value : 10 } } },
          CREATE_DISK: { create_disk: { source: volume, target_type: "MOUNT" } },
        }[type],
      };
    });
    const record = cluster.master.frameworks.get(framework.id);
    const used = new Set([...(record?.tasks.keys() ?? []), ...(record?.unreachableTasks.keys() ?? [])]);
    const before = [...cluster.master.offers.values()].filter((offer) => offer.frameworkId !== framework.id);
    const accept = {
      offer_ids: named[of].map((value) => ({ value })),
      operations,
      filters: { refuse_seconds: refuse },
    };
    const at = cluster.effects.length;
    expect(cluster.call(framework, { type: "ACCEPT", accept } as unknown as Partial<Call>).status).toBe(202);
    const effects = cluster.effects.slice(at);
    this.#isAnswered(framework, operations as never, effects, used);
    // [25.2] [M12] What was offered to others still is.
    for (const offer of before) expect(cluster.master.offers.get(offer.id)).toBe(offer);
  }

  /** [25.4] Each task is ordered or told of, each operation with an id too, once. */
  #isAnswered(
    framework: TestFramework,
    operations: NonNullable<Call["accept"]>["operations"],
    effects: readonly MasterEffect[],
    used: ReadonlySet<string>,
  ): void {
    const orders = sent(effects, "orders").flatMap(({ orders: given }) => given.map(({ order }) => order));
    const ordered = orders.flatMap((order) =>
      order.type === "launch" ? [order.task] : order.type === "launch-group" ? order.tasks : [],
    );
    // [25.6] No id that was in use, also of a task that has ended and of which the end is not acknowledged.
    const ids = ordered.map(({ task_id }) => task_id.value);
    expect(new Set([...ids, ...used]).size).toBe(ids.length + used.size);
    const events = effects.flatMap((effect) =>
      effect.type === "event" && effect.streamId === framework.streamId ? [effect.event] : [],
    );
    const told = events.flatMap((event) => (event.type === "UPDATE" ? [event.update.status] : []));
    const asked = operations.flatMap(({ launch, launch_group: group }) => [
      ...(launch?.task_infos ?? []),
      ...(group?.task_group.tasks ?? []),
    ]);
    expect([...ordered, ...told].map(({ task_id }) => task_id.value).toSorted()).toEqual(
      asked.map(({ task_id }) => task_id.value).toSorted(),
    );
    const news: readonly OperationStatus[] = events.flatMap((event) =>
      event.type === "UPDATE_OPERATION_STATUS" ? [event.update_operation_status.status] : [],
    );
    const carried = orders.flatMap((order) => (order.type === "operation" ? [order] : []));
    for (const { operationUuid, operationId } of carried) {
      const agent = this.agents.find(({ agentId }) =>
        this.cluster.master.agents.get(agentId)?.operations.has(operationUuid),
      );
      if (agent !== undefined) this.#pending.push({ agentId: agent.agentId, operationUuid, framework, operationId });
    }
    const expected = operations.flatMap(({ type, id }) =>
      id === undefined || type.startsWith("LAUNCH") ? [] : [id.value],
    );
    const answered = [
      ...carried.flatMap(({ operationId }) => operationId ?? []),
      ...news.flatMap(({ operation_id }) => operation_id?.value ?? []),
    ];
    expect(answered.toSorted()).toEqual(expected.toSorted());
  }

  /** The oldest operation of the agent is told as done, or as failed; failed, the agent registers again with what it had. */
  acts(agent: TestAgent, isFailure: boolean): void {
    const at = this.#pending.findIndex(({ agentId }) => agentId === agent.agentId);
    const [pending] = at < 0 ? [] : this.#pending.splice(at, 1);
    if (pending === undefined || isFailure) return;
    const { operationUuid, framework, operationId } = pending;
    const uuid = uuidText(this.#uuids++);
    const status = {
      state: "OPERATION_FINISHED",
      uuid: { value: uuid },
      converted_resources: [],
    } as unknown as OperationStatus;
    const updates = [{ operationUuid, frameworkId: framework.id, operationId, status }];
    this.cluster.say(agent.socket, { type: "operation-updates", session: agent.session, updates }, agent.host);
    if (operationId === undefined) return;
    const acknowledge = { agent_id: { value: agent.agentId }, uuid, operation_id: { value: operationId } };
    const call = { type: "ACKNOWLEDGE_OPERATION_STATUS", acknowledge_operation_status: acknowledge };
    this.cluster.call(framework, call as unknown as Partial<Call>);
  }

  /** The first task of the agent ends, and then the first executor; the end is acknowledged. */
  ends(agent: TestAgent): void {
    const { cluster } = this;
    for (const [id, { tasks }] of cluster.master.frameworks) {
      const framework = this.frameworks.find((one) => one.id === id);
      const first = [...tasks.values()].find(({ agentId }) => agentId === agent.agentId);
      if (framework === undefined || first === undefined) continue;
      const uuid = cluster.update(agent, framework, first.taskId, "TASK_FINISHED");
      const acknowledge = { agent_id: { value: agent.agentId }, task_id: { value: first.taskId }, uuid };
      cluster.call(framework, { type: "ACKNOWLEDGE", acknowledge } as unknown as Partial<Call>);
      break;
    }
    const [one] = cluster.master.agents.get(agent.agentId)?.executors.values() ?? [];
    if (one === undefined) return;
    const { frameworkId, executorId } = one;
    cluster.say(
      agent.socket,
      { type: "executor-exited", session: agent.session, frameworkId, executorId, status: 0 },
      agent.host,
    );
  }

  /** Its stream breaks, and it is back on another. */
  returns(framework: TestFramework): void {
    const { cluster } = this;
    disconnectStream(cluster.master, framework.streamId, cluster.now);
    this.check();
    const info = present(cluster.master.frameworks.get(framework.id), "failover_timeout has not passed").info;
    this.frameworks[this.frameworks.indexOf(framework)] = cluster.framework(info);
  }

  /** After each step; `operations`: as many as were ordered in it. */
  check(operations = 0): void {
    const { master } = this.cluster;
    this.cluster.settle();
    expect(booksProblem(master)).toBeUndefined();
    for (const { agentId } of this.agents) {
      const { total } = present(master.agents.get(agentId), "the agent");
      // [25.18] Operations change what a resource is for, never how much there is; nothing else changes either.
      expect(Object.fromEntries(quantities(total))).toEqual({ cpus: 5_000, mem: 1_000_000, disk: 600_000 });
      if (operations === 0) expect(total).toEqual(this.#totals.get(agentId) ?? total);
      this.#totals.set(agentId, total);
    }
  }
}

function executorOf({ value, resources: its, type }: Drawn["executor"]): NonNullable<TaskInfo["executor"]> {
  return {
    type,
    executor_id: { value },
    command: type === "DEFAULT" ? undefined : { value: "true", arguments: [], uris: [] },
    resources: its,
  } as unknown as NonNullable<TaskInfo["executor"]>;
}

test("[M13] [M15] [M71] [25.1] [25.2] [25.3] [25.4] [25.5] [25.6] [25.18] whatever is accepted: one answer for each part, and the books agree", () => {
  const counts = { orders: 0, operations: 0 };
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 40 }), (steps) => {
      const history = new History();
      const { cluster, agents, frameworks } = history;
      for (const one of steps) {
        const [agent, framework] = [
          agents["agent" in one ? one.agent : 0],
          frameworks["framework" in one ? one.framework : 0],
        ];
        if (agent === undefined || framework === undefined) continue;
        const at = cluster.effects.length;
        if (one.type === "accept") history.accept(framework, one.of, one.operations, one.refuse);
        else if (one.type === "acts") history.acts(agent, one.fails === 0);
        else if (one.type === "ends") history.ends(agent);
        else if (one.type === "returns") history.returns(framework);
        else if (one.type === "passes") cluster.commitAll(cluster.pass(one.ms));
        else
          cluster.call(framework, {
            type: "KILL",
            kill: { task_id: { value: one.taskId } },
          } as unknown as Partial<Call>);
        const effects = cluster.effects.slice(at);
        const given = sent(effects, "orders").flatMap(({ orders }) => orders.map(({ order }) => order.type));
        history.check(given.filter((type) => type === "operation").length);
      }
      const orders = sent(cluster.effects, "orders").flatMap(({ orders: given }) => given);
      counts.orders += orders.length;
      counts.operations += orders.filter(({ order }) => order.type === "operation").length;
    }),
    { numRuns: RUNS },
  );
  // Wrong as most of it is, enough is done.
  expect(counts.orders).toBeGreaterThan(RUNS / 2);
  expect(counts.operations).toBeGreaterThan(RUNS / 5);
}, 60_000);
