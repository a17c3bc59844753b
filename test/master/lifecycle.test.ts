// An agent's way out of the books and back: absent, unreachable, gone, removed, pruned.
import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { AgentId, SessionId } from "#protocol/ids.ts";
import type { TaskState } from "#protocol/task.ts";
import { GATEWAY_ANSWER_MS, onGatewayHeard, onGatewayLive, onSocketClosed } from "../../src/master/absence.ts";
import { nextDeadline } from "../../src/master/deadlines.ts";
import { adoptRegistry } from "../../src/master/registration.ts";
import { onNotCommitted } from "../../src/master/outcomes.ts";
import { markAgentGone } from "../../src/master/operator.ts";
import { DEFAULT_SETTINGS } from "../../src/master/settings.ts";
import type { MasterEffect } from "../../src/master/state.ts";
import { Cluster, register, report, sent, status0, task, type TestAgent, type TestFramework } from "./cluster.ts";

const { silenceMs, reregisterTimeoutMs, gcIntervalMs, maxAgentAgeMs } = DEFAULT_SETTINGS;
const AWARE = { capabilities: [{ type: "PARTITION_AWARE" as const }] };

const operations = (effects: readonly MasterEffect[]): string[] =>
  effects.flatMap((effect) => (effect.type === "registry" ? [effect.operation.type] : []));
const failures = (cluster: Cluster, framework: TestFramework): string[] =>
  cluster.events(framework).flatMap((event) => (event.type === "FAILURE" ? [event.failure.agent_id.value] : []));
const states = (cluster: Cluster, framework: TestFramework): TaskState[] =>
  cluster.updates(framework).map(({ state }) => state);

/** Registers `agent` again, from a fresh socket, and lets the registry decide. */
function comeBack(
  cluster: Cluster,
  agent: TestAgent,
  tasks = [] as Parameters<typeof report>[1][],
  framework?: TestFramework,
) {
  const reports =
    framework === undefined
      ? []
      : tasks.map((info) =>
          report(framework, info, "TASK_RUNNING", [
            { ...status0(info.task_id.value, "TASK_RUNNING"), uuid: "AAAAAAAAAAAAAAAAAAAAAA==" },
          ]),
        );
  const message = register({ agentId: agent.agentId, lastSession: agent.session, tasks: reports });
  return cluster.commitAll(cluster.say(cluster.socket(), message, agent.host));
}

/** An agent with one running task of `framework`, lost and marked unreachable. */
function unreachable(cluster: Cluster, agent: TestAgent): MasterEffect[] {
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  return cluster.commitAll(cluster.pass(silenceMs));
}

test.each([
  [AWARE, "TASK_UNREACHABLE"],
  [{}, "TASK_LOST"],
] as const)("[M22] [M25] unreachable: the registry first, then RESCIND, UPDATE and FAILURE (%j)", (info, told) => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(info);
  cluster.launch(framework, [task("t", agent.agentId)]);
  cluster.update(agent, framework, "t", "TASK_RUNNING");
  const other = cluster.framework();
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  expect(nextDeadline(cluster.master, cluster.now)).toBe(cluster.now + silenceMs);
  expect(operations(cluster.pass(silenceMs - 1))).toEqual([]);
  const asked = cluster.pass(1);
  expect(operations(asked)).toEqual(["mark-agent-unreachable"]);
  expect(states(cluster, framework)).toEqual(["TASK_RUNNING"]);
  expect(failures(cluster, framework)).toEqual([]);
  cluster.commitAll(asked);
  expect(states(cluster, framework)).toEqual(["TASK_RUNNING", told]);
  expect(cluster.updates(framework).at(-1)).toMatchObject({
    reason: "REASON_AGENT_REMOVED",
    unreachable_time: { nanoseconds: cluster.now * 1e6 },
  });
  expect([failures(cluster, framework), failures(cluster, other)]).toEqual([[agent.agentId], [agent.agentId]]);
  expect(cluster.master.agents.has(agent.agentId)).toBe(false);
  expect(cluster.registry.unreachable.has(agent.agentId)).toBe(true);
});

test.each([
  [AWARE, ["TASK_RUNNING", "TASK_UNREACHABLE", "TASK_RUNNING"]],
  [{}, ["TASK_RUNNING", "TASK_LOST", "TASK_RUNNING"]],
] as const)(
  "[M25] an agent that comes back keeps its id and its tasks, and the framework hears their real state (%j)",
  (info, told) => {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const framework = cluster.framework(info);
    const running = task("t", agent.agentId);
    cluster.launch(framework, [running]);
    cluster.update(agent, framework, "t", "TASK_RUNNING");
    unreachable(cluster, agent);
    expect(sent(comeBack(cluster, agent, [running], framework), "registered")).toMatchObject([
      { agentId: agent.agentId },
    ]);
    expect(states(cluster, framework)).toEqual(told);
    expect(cluster.updates(framework).at(-1)?.reason).toBe("REASON_AGENT_REREGISTERED");
    expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(1);
    expect(cluster.registry.unreachable.size).toBe(0);
  },
);

test("[M25] what an agent does not bring back is gone", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(AWARE);
  cluster.launch(framework, [task("t", agent.agentId)]);
  cluster.update(agent, framework, "t", "TASK_RUNNING");
  unreachable(cluster, agent);
  comeBack(cluster, agent);
  expect(states(cluster, framework).at(-1)).toBe("TASK_GONE");
  expect(cluster.master.frameworks.get(framework.id)?.unreachableTasks.size).toBe(0);
});

test("[M25] a kill of a task on an unreachable agent is remembered, and ordered when the agent comes back", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(AWARE);
  const running = task("t", agent.agentId);
  cluster.launch(framework, [running]);
  unreachable(cluster, agent);
  const kill = (agentId: string | undefined) => {
    const agent_id = agentId === undefined ? undefined : { value: agentId as AgentId };
    cluster.call(framework, { type: "KILL", kill: { task_id: running.task_id, agent_id, kill_policy: undefined } });
    expect(states(cluster, framework).at(-1)).toBe("TASK_UNREACHABLE");
  };
  const remembered = () =>
    cluster.master.frameworks.get(framework.id)?.unreachableTasks.get(running.task_id.value)?.kill;
  // Not of a task that is said to be elsewhere.
  kill("another");
  expect(remembered()).toBeUndefined();
  kill(undefined);
  const orders = sent(comeBack(cluster, agent, [running], framework), "orders").flatMap((message) => message.orders);
  expect(orders.map(({ order }) => order.type)).toEqual(["kill"]);
});

test("[M25] the id of a task whose agent is unreachable is taken", () => {
  const cluster = new Cluster();
  const agent = cluster.agent(1);
  const framework = cluster.framework(AWARE);
  cluster.launch(framework, [task("t", agent.agentId)]);
  unreachable(cluster, agent);
  const other = cluster.agent(2);
  cluster.launch(framework, [task("t", other.agentId)]);
  expect(cluster.updates(framework).at(-1)).toMatchObject({ state: "TASK_ERROR", reason: "REASON_TASK_INVALID" });
});

test("[M22] an agent that registers while it waits for its end is spared", () => {
  const cluster = new Cluster({ unreachableRateLimit: { permits: 1, perMs: 60_000 } });
  const [first, second] = [cluster.agent(1), cluster.agent(2)];
  for (const { socket } of [first, second]) onSocketClosed(cluster.master, socket, cluster.now);
  expect(operations(cluster.pass(silenceMs))).toEqual(["mark-agent-unreachable"]);
  expect(cluster.master.overdue.size).toBe(1);
  expect(sent(comeBack(cluster, second), "registered")).toHaveLength(1);
  expect(operations(cluster.pass(60_000))).toEqual([]);
  expect(cluster.master.counters["master/slave_unreachable_canceled"]).toBe(1);
});

test("[M33] permits: so many transitions in each period, and the next one when it begins anew", () => {
  const cluster = new Cluster({ unreachableRateLimit: { permits: 2, perMs: 60_000 } });
  const agents = [1, 2, 3, 4, 5].map((host) => cluster.agent(host));
  onGatewayLive(cluster.master, "gateway-1", [], cluster.now);
  expect(agents).toHaveLength(5);
  expect(operations(cluster.pass(reregisterTimeoutMs))).toHaveLength(2);
  expect(nextDeadline(cluster.master, cluster.now)).toBe(cluster.now + 60_000);
  expect(operations(cluster.pass(59_999))).toHaveLength(0);
  expect(operations(cluster.pass(1))).toHaveLength(2);
  expect(operations(cluster.pass(60_000))).toHaveLength(1);
});

test("[M35] while the registry decides nothing is said about the agent, and nothing else begins with it", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(AWARE);
  cluster.launch(framework, [task("t", agent.agentId)]);
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  const asked = cluster.pass(silenceMs).find((effect) => effect.type === "registry");
  if (asked === undefined) throw new Error("nothing asked");
  cluster.call(framework, { type: "RECONCILE", reconcile: { tasks: [] } });
  cluster.call(framework, {
    type: "RECONCILE",
    reconcile: { tasks: [{ task_id: task("u", agent.agentId).task_id, agent_id: { value: agent.agentId } }] },
  });
  expect(states(cluster, framework)).toEqual([]);
  expect(
    sent(
      cluster.say(cluster.socket(), register({ agentId: agent.agentId, lastSession: agent.session })),
      "unavailable",
    ),
  ).toHaveLength(1);
  expect(markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 99 })?.status).toBe(503);
  expect(operations(cluster.pass(silenceMs))).toEqual([]);
  cluster.commit(asked);
  expect(states(cluster, framework)).toEqual(["TASK_UNREACHABLE"]);
});

test("[M35] a transition whose answer was lost begins again, unless the registry shows that it was done", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(AWARE);
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  const asked = cluster.pass(silenceMs).find((effect) => effect.type === "registry");
  if (asked === undefined) throw new Error("nothing asked");
  onNotCommitted(cluster.master, [asked.id], "no quorum");
  expect(failures(cluster, framework)).toEqual([]);
  // It was chosen after all: whoever leads next finds it in the log.
  cluster.registry.admitted.delete(agent.agentId);
  cluster.registry.unreachable.set(agent.agentId, {
    agentId: agent.agentId,
    hostname: "host",
    hostKey: cluster.master.agents.get(agent.agentId)?.hostKey ?? ("" as never),
    principal: "agent" as never,
    admittedAt: cluster.now,
    at: cluster.now,
  });
  adoptRegistry(cluster.master, cluster.now);
  cluster.settle();
  expect(failures(cluster, framework)).toEqual([agent.agentId]);
  expect(operations(cluster.pass(reregisterTimeoutMs))).toEqual([]);
});

test("[M23] a gateway that began anew, or lost more than a fifth and more than two in one sweep, costs nobody the short time", () => {
  const cluster = new Cluster();
  const agents = Array.from({ length: 10 }, (_, host) => cluster.agent(host + 1));
  const close = (agent: TestAgent | undefined) =>
    agent !== undefined && onSocketClosed(cluster.master, agent.socket, cluster.now);
  close(agents[0]);
  close(agents[1]);
  expect(nextDeadline(cluster.master, cluster.now)).toBe(cluster.now + silenceMs);
  close(agents[2]); // three of ten
  expect(operations(cluster.pass(silenceMs))).toEqual([]);
  onGatewayLive(cluster.master, "gateway-1", [], cluster.now);
  expect(operations(cluster.pass(reregisterTimeoutMs - silenceMs - 1))).toEqual([]);
  expect(operations(cluster.pass(1))).toHaveLength(3);
  expect(operations(cluster.pass(silenceMs))).toHaveLength(7);
});

test("[M23] of a large gateway, three agents are three agents", () => {
  const cluster = new Cluster();
  const agents = Array.from({ length: 20 }, (_, host) => cluster.agent(host + 1));
  for (const { socket } of agents.slice(0, 3)) onSocketClosed(cluster.master, socket, cluster.now);
  onGatewayHeard(cluster.master, "gateway-1", cluster.now);
  expect(operations(cluster.pass(silenceMs))).toHaveLength(3);
});

test("[M23] a socket that was silent has used its time already", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const silentSince = millis(cluster.now - silenceMs);
  onSocketClosed(cluster.master, agent.socket, cluster.now, { type: "socket", silentSince });
  expect(operations(cluster.pass(0))).toEqual(["mark-agent-unreachable"]);
});

test("[M24] an agent that dies together with its gateway is found", () => {
  const cluster = new Cluster();
  cluster.agent();
  expect(nextDeadline(cluster.master, cluster.now)).toBe(cluster.now + reregisterTimeoutMs);
  expect(cluster.pass(reregisterTimeoutMs)).toEqual([{ type: "ask-gateway", gateway: "gateway-1" }]);
  cluster.pass(GATEWAY_ANSWER_MS);
  expect(operations(cluster.pass(reregisterTimeoutMs))).toEqual(["mark-agent-unreachable"]);
});

test("[M24] a gateway that answers keeps its agents", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  cluster.pass(reregisterTimeoutMs);
  onGatewayHeard(cluster.master, "gateway-1", cluster.now);
  cluster.pass(GATEWAY_ANSWER_MS);
  expect(cluster.master.agents.get(agent.agentId)?.connection).toBeDefined();
});

test("[M37] a call of a dead gateway behind one of its successor counts for nothing", () => {
  const cluster = new Cluster();
  expect(onGatewayHeard(cluster.master, "gateway-1", cluster.now, 1)).toBe(true);
  expect(onGatewayHeard(cluster.master, "gateway-1", cluster.now, 2)).toBe(true);
  cluster.pass(1_000);
  expect(onGatewayHeard(cluster.master, "gateway-1", cluster.now, 1)).toBe(false);
  expect(cluster.master.gateways.get("gateway-1")?.heardAt).toBe(cluster.now - 1_000);
  expect(onGatewayHeard(cluster.master, "gateway-1", cluster.now, 2)).toBe(true);
  // One of the release before, which does not say.
  expect(onGatewayHeard(cluster.master, "gateway-1", cluster.now)).toBe(true);
});

test.each([
  [AWARE, "TASK_GONE_BY_OPERATOR"],
  [{}, "TASK_LOST"],
] as const)(
  "[M26] gone: 200 after the registry has it; tasks end, the agent is told to shut down (%j)",
  (info, told) => {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const framework = cluster.framework(info);
    cluster.launch(framework, [task("t", agent.agentId)]);
    cluster.update(agent, framework, "t", "TASK_RUNNING");
    expect(markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 5 })).toBeUndefined();
    const asked = cluster.settle();
    expect(states(cluster, framework)).toEqual(["TASK_RUNNING"]);
    const effects = cluster.commitAll(asked);
    expect(effects).toContainEqual({ type: "answer", requestId: 5, answer: { status: 200, text: "" } });
    expect(sent(effects, "shutdown")).toMatchObject([{ agentId: agent.agentId, epoch: 7 }]);
    expect(states(cluster, framework).at(-1)).toBe(told);
    expect(cluster.updates(framework).at(-1)?.reason).toBe("REASON_AGENT_REMOVED_BY_OPERATOR");
    expect(failures(cluster, framework)).toEqual([agent.agentId]);
    expect(markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 6 })).toEqual({
      status: 200,
      text: "",
    });
    expect(markAgentGone(cluster.master, "nobody" as AgentId, { by: "operator", requestId: 7 })?.status).toBe(404);
    // What it still says is not forwarded.
    cluster.update(agent, framework, "t", "TASK_FINISHED");
    expect(states(cluster, framework).at(-1)).toBe(told);
  },
);

test("[M10] what knows an older session waits while the agent is away, and comes back once the agent is given up", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(AWARE);
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 0 });
  cluster.launch(framework, [task("t", agent.agentId)]);
  cluster.update(agent, framework, "t", "TASK_RUNNING");
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  // Said before the present session, and late; or by a copy of the agent's disk. It knows nothing of what was launched since.
  const older = register({ agentId: agent.agentId, lastSession: "older" as SessionId });
  const late = cluster.say(cluster.socket(), older);
  expect(sent(late, "unavailable")).toHaveLength(1);
  expect(states(cluster, framework)).toEqual(["TASK_RUNNING"]);
  cluster.commitAll(cluster.pass(silenceMs));
  expect(states(cluster, framework).at(-1)).toBe("TASK_UNREACHABLE");
  expect(sent(cluster.commitAll(cluster.say(cluster.socket(), older)), "registered")).toHaveLength(1);
});

test("[M26] a host whose agent is gone joins as a new agent", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 1 });
  cluster.commitAll();
  const again = cluster.commitAll(cluster.say(cluster.socket(), register({}), agent.host));
  expect(sent(again, "registered")).toMatchObject([{ agentId: "m-S1" }]);
});

test("[M2] a host whose unreachable agent was marked gone joins as a new agent", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  unreachable(cluster, agent);
  markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 1 });
  cluster.commitAll();
  // Its agent has shut down and forgotten its id: it must not be taken for the one that is gone, again and again.
  const again = cluster.commitAll(cluster.say(cluster.socket(), register({}), agent.host));
  expect(sent(again, "registered")).toMatchObject([{ agentId: "m-S1" }]);
});

test("[M26] an unreachable agent that is marked gone: its tasks are gone by the operator", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(AWARE);
  cluster.launch(framework, [task("t", agent.agentId)]);
  unreachable(cluster, agent);
  markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 1 });
  cluster.commitAll();
  expect(states(cluster, framework)).toEqual(["TASK_UNREACHABLE", "TASK_GONE_BY_OPERATOR"]);
});

test("[M27] [M31] gone, removed or unknown: told to shut down, by the registry's refusal and not before", () => {
  const cluster = new Cluster();
  const gone = cluster.agent(1);
  markAgentGone(cluster.master, gone.agentId, { by: "operator", requestId: 1 });
  cluster.commitAll();
  const left = cluster.agent(2);
  const leaving = cluster.commitAll(cluster.say(left.socket, { type: "unregister", session: left.session }, left.host));
  expect(sent(leaving, "shutdown")).toMatchObject([{ agentId: left.agentId }]);
  const stranger = { ...left, agentId: "m-S99" as AgentId, host: 3 };
  for (const agent of [gone, left, stranger]) {
    const socket = cluster.socket();
    const asked = cluster.say(socket, register({ agentId: agent.agentId, lastSession: agent.session }), agent.host);
    expect(operations(asked)).toEqual(["readmit-agent"]);
    expect(sent(asked, "shutdown")).toEqual([]);
    expect(sent(cluster.commitAll(asked), "shutdown")).toMatchObject([{ agentId: agent.agentId, epoch: 7 }]);
  }
  expect([...cluster.registry.admitted.keys()]).toEqual([]);
});

test("[M30] an agent of another cluster is refused, and keeps its tasks", () => {
  const cluster = new Cluster();
  const message = register({ agentId: "theirs" as AgentId, clusterId: "another" as never });
  const effects = cluster.commitAll(cluster.say(cluster.socket(), message));
  expect(sent(effects, "shutdown")).toEqual([]);
  expect(sent(effects, "refused")[0]?.reason).toContain("another");
});

test("[M30] an agent that says another hostname is refused with what to do", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  const message = register({ agentId: agent.agentId, lastSession: agent.session });
  if (message.type !== "register") throw new Error("no registration");
  const renamed = { ...message, info: { ...message.info, hostname: "elsewhere" } };
  expect(sent(cluster.say(cluster.socket(), renamed), "refused")[0]?.reason).toContain("--hostname=host");
});

test.each(["", "..", "a/b", "x".repeat(300)])(
  "[M30] the forged id '%s' is refused, and asks nothing of the registry",
  (id) => {
    const cluster = new Cluster();
    const effects = cluster.say(cluster.socket(), register({ agentId: id as AgentId }));
    expect(operations(effects)).toEqual([]);
    expect(sent(effects, "refused")).toHaveLength(1);
  },
);

test("[M34] the lists are pruned by count and by age, in one operation; a pruned agent is unknown", () => {
  const cluster = new Cluster({ maxAgentCount: 1 });
  const [first, second] = [cluster.agent(1), cluster.agent(2)];
  unreachable(cluster, first);
  unreachable(cluster, second);
  const pruning = cluster.pass(gcIntervalMs);
  expect(pruning).toMatchObject([
    { type: "registry", operation: { type: "prune", unreachable: [first.agentId], gone: [] } },
  ]);
  cluster.commitAll(pruning);
  expect([...cluster.registry.unreachable.keys()]).toEqual([second.agentId]);
  expect(sent(comeBack(cluster, first), "shutdown")).toHaveLength(1);
  expect(sent(comeBack(cluster, second), "registered")).toHaveLength(1);
  const third = cluster.agent(3);
  markAgentGone(cluster.master, third.agentId, { by: "operator", requestId: 1 });
  cluster.commitAll();
  cluster.commitAll(cluster.pass(maxAgentAgeMs + 1));
  expect(cluster.registry.gone.size).toBe(0);
});

/** A master that has just begun an epoch on the registry of an earlier one. */
function failover(before: Cluster, settings = {}): Cluster {
  const after = new Cluster(settings, { registry: before.registry, masterId: "n" });
  after.now = before.now;
  after.master.recoveredOf = before.registry.admitted.size;
  after.master.recoveredDeadline = millis(after.now + reregisterTimeoutMs);
  adoptRegistry(after.master, after.now);
  return after;
}

test("dual failure: an agent died while nobody led; FAILURE after the timeout, and reconciliation says the state", () => {
  const before = new Cluster();
  const [dead, alive] = [before.agent(1), before.agent(2)];
  const after = failover(before);
  const aware = after.framework(AWARE);
  const old = after.framework();
  comeBack(after, alive);
  const query = (framework: TestFramework) =>
    after.call(framework, {
      type: "RECONCILE",
      reconcile: { tasks: [{ task_id: task("t", dead.agentId).task_id, agent_id: { value: dead.agentId } }] },
    });
  query(aware);
  expect(states(after, aware)).toEqual([]);
  expect(operations(after.pass(reregisterTimeoutMs - 1))).toEqual([]);
  const asked = after.pass(1);
  expect(operations(asked)).toEqual(["mark-agent-unreachable"]);
  expect(failures(after, aware)).toEqual([]);
  after.commitAll(asked);
  expect([failures(after, aware), failures(after, old)]).toEqual([[dead.agentId], [dead.agentId]]);
  query(aware);
  query(old);
  expect(states(after, aware)).toEqual(["TASK_UNREACHABLE"]);
  expect(states(after, old)).toEqual(["TASK_LOST"]);
  expect(after.updates(old)[0]?.unreachable_time).toEqual({ nanoseconds: after.now * 1e6 });
  expect(after.master.counters["master/recovery_slave_removals"]).toBe(1);
});

test("[M32] more missing than the limit allows: the master stops, and the registry is as it was", () => {
  const before = new Cluster();
  const agents = [1, 2, 3, 4].map((host) => before.agent(host));
  const after = failover(before, { recoveryRemovalLimit: 0.5 });
  comeBack(after, agents[0] as TestAgent);
  const effects = after.pass(reregisterTimeoutMs);
  expect(operations(effects)).toEqual([]);
  expect(effects).toContainEqual({ type: "stop-leading", reason: expect.stringContaining("3 of 4 agents") as string });
  expect([...before.registry.admitted.keys()]).toHaveLength(4);
});

test("[M32] half of them missing is not more than half, and an empty registry misses nobody", () => {
  const before = new Cluster();
  const agents = [1, 2].map((host) => before.agent(host));
  const after = failover(before, { recoveryRemovalLimit: 0.5 });
  comeBack(after, agents[0] as TestAgent);
  expect(operations(after.pass(reregisterTimeoutMs))).toEqual(["mark-agent-unreachable"]);
  expect(failover(new Cluster(), { recoveryRemovalLimit: 0 }).pass(reregisterTimeoutMs)).toEqual([]);
});

test("[M28] a framework that was torn down never comes back, not with the next master either", () => {
  const before = new Cluster();
  const framework = before.framework(AWARE);
  expect(before.call(framework, { type: "TEARDOWN" })).toEqual({ status: 202, text: "" });
  const after = failover(before);
  expect(after.subscribe({ id: { value: framework.id } })).toMatchObject({
    type: "refused",
    message: "Framework has been removed",
  });
});

test("[M29] an agent that brings tasks of a removed framework is told to end them", () => {
  const before = new Cluster();
  const agent = before.agent();
  const framework = before.framework();
  before.call(framework, { type: "TEARDOWN" });
  const after = failover(before);
  const effects = comeBack(after, agent, [task("t", agent.agentId)], framework);
  expect(sent(effects, "orders").flatMap(({ orders }) => orders.map(({ order }) => order.type))).toEqual([
    "shutdown-framework",
  ]);
});

test("[M29] a failover deadline holds with the next master, but not before anybody could subscribe to it", () => {
  const before = new Cluster();
  const agent = before.agent();
  const framework = before.framework({ failover_timeout: 3600 });
  before.master.effects.length = 0;
  const deadline = before.now + 3_600_000;
  before.registry.disconnectedFrameworks.set(framework.id, {
    state: "disconnected",
    frameworkId: framework.id,
    principal: "scheduler" as never,
    deadline: millis(deadline),
  });
  const after = failover(before);
  comeBack(after, agent, [task("t", agent.agentId)], framework);
  expect(after.master.frameworks.get(framework.id)?.status).toEqual({ state: "disconnected", deadline });
  expect(operations(after.pass(3_600_000))).toContain("remove-framework");
});
