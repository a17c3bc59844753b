// What an agent, an operator, a permit and the registry may want of one agent at the same time, and what a new master makes of
// frameworks that nobody has told it of. Each once ended a leader, an agent's place, or somebody's tasks.
import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { FrameworkId, Principal, SessionId, StreamId } from "#protocol/ids.ts";
import { excuseAgents, onSocketClosed } from "../../src/master/absence.ts";
import { nextDeadline } from "../../src/master/deadlines.ts";
import { RESUBSCRIBE_GRACE_MS } from "../../src/master/frameworks.ts";
import { markAgentGone } from "../../src/master/operator.ts";
import { adoptRegistry } from "../../src/master/registration.ts";
import { DEFAULT_SETTINGS, type MasterSettings } from "../../src/master/settings.ts";
import { Cluster, register, report, sent, task, type TestAgent } from "./cluster.ts";

const { silenceMs, reregisterTimeoutMs, gcIntervalMs } = DEFAULT_SETTINGS;
const HOUR_MS = 3_600_000;
const ONE_AN_HOUR = { permits: 1, perMs: HOUR_MS };

/** A registration that says another port: the registry is asked before it is answered. */
function changed(agent: TestAgent, lastSession: SessionId = agent.session) {
  const message = register({ agentId: agent.agentId, lastSession });
  if (message.type !== "register") throw new Error("no registration");
  return { ...message, info: { ...message.info, port: 5999 } };
}

function failover(before: Cluster, settings: Partial<MasterSettings> = {}): Cluster {
  const after = new Cluster(settings, { registry: before.registry, masterId: "n" });
  after.now = before.now;
  after.master.recoveredDeadline = millis(after.now + reregisterTimeoutMs);
  adoptRegistry(after.master, after.now);
  return after;
}

test("[M35] an operator marks an agent gone while it waits for a permit, and the permit comes first", () => {
  const cluster = new Cluster({ unreachableRateLimit: ONE_AN_HOUR });
  const [first, second] = [cluster.agent(1), cluster.agent(2)];
  for (const { socket } of [first, second]) onSocketClosed(cluster.master, socket, cluster.now);
  cluster.commitAll(cluster.pass(silenceMs));
  cluster.now = millis(cluster.now + HOUR_MS);
  expect(markAgentGone(cluster.master, second.agentId, { by: "operator", requestId: 1 })).toBeUndefined();
  const asked = cluster.settle();
  cluster.commitAll([...asked, ...cluster.pass(1)]);
  expect(cluster.registry.gone.has(second.agentId)).toBe(true);
});

test("[M22] an agent whose changed description the registry is asked about is not given up meanwhile", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  cluster.now = millis(cluster.now + silenceMs - 1);
  const asked = cluster.say(cluster.socket(), changed(agent), agent.host);
  const effects = cluster.commitAll([...asked, ...cluster.pass(100)]);
  expect(sent(effects, "registered")).toHaveLength(1);
  expect(cluster.registry.unreachable.size).toBe(0);
});

test("[M10] a copy does not join the pending registration of the original", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  const socket = cluster.socket();
  const asked = cluster.say(socket, changed(agent), agent.host);
  onSocketClosed(cluster.master, socket, cluster.now);
  const copy = cluster.say(cluster.socket(), changed(agent, "older" as SessionId), agent.host);
  expect(sent(cluster.commitAll([...asked, ...copy]), "registered")).toEqual([]);
  expect(sent(copy, "unavailable")).toHaveLength(1);
});

test("[M10] an agent that names its session has shown that it knows it: an older copy has no chance any more", () => {
  const cluster = new Cluster();
  const first = cluster.agent();
  const registerAgain = (lastSession: SessionId) =>
    cluster.say(cluster.socket(), register({ agentId: first.agentId, lastSession }), first.host);
  cluster.say(first.socket, { type: "acted", session: first.session, sequence: 0 });
  const [second] = sent(registerAgain(first.session), "registered");
  if (second === undefined) throw new Error("not registered");
  // Its `acted` is lost, and it comes again; then the word of that is lost.
  expect(sent(registerAgain(second.session), "registered")).toHaveLength(1);
  expect(sent(registerAgain(first.session), "unavailable")).toHaveLength(1);
  expect(sent(registerAgain(second.session), "registered")).toHaveLength(1);
});

test("[M33] who waits for a permit of one kind holds nobody up, and makes no alarm ring before there is one", () => {
  const before = new Cluster();
  [1, 2, 3].map((host) => before.agent(host));
  const after = failover(before, { strict: false, removalRateLimit: ONE_AN_HOUR });
  const fresh = after.agent(9);
  after.commitAll(after.pass(reregisterTimeoutMs));
  onSocketClosed(after.master, fresh.socket, after.now);
  after.commitAll(after.pass(silenceMs));
  expect(after.registry.unreachable.has(fresh.agentId)).toBe(true);
  expect(after.master.overdue.size).toBe(2);
  expect(nextDeadline(after.master, after.now)).toBeGreaterThan(after.now);
  expect(after.master.counters["master/slave_unreachable_scheduled"]).toBe(1);
});

test("[M23] an agent that waits for a permit has the fair time as well when the plane was away", () => {
  const cluster = new Cluster({ unreachableRateLimit: ONE_AN_HOUR });
  const agents = [cluster.agent(1), cluster.agent(2)];
  for (const { socket } of agents) onSocketClosed(cluster.master, socket, cluster.now);
  cluster.commitAll(cluster.pass(silenceMs));
  cluster.now = millis(cluster.now + HOUR_MS);
  excuseAgents(cluster.master, cluster.now, { wasAway: true });
  cluster.commitAll(cluster.pass(reregisterTimeoutMs - 1));
  expect(cluster.registry.admitted.size).toBe(1);
  cluster.commitAll(cluster.pass(1));
  expect(cluster.registry.admitted.size).toBe(0);
});

test("[M29] a framework that was connected when its master fell has the time that its agents know of", () => {
  const before = new Cluster();
  const agent = before.agent();
  const framework = before.framework({ failover_timeout: 3600 });
  const after = failover(before);
  const brought = report(framework, task("t", agent.agentId), "TASK_RUNNING");
  const tasks = [{ ...brought, framework: { ...brought.framework, failoverTimeoutMs: HOUR_MS } }];
  const message = register({ agentId: agent.agentId, lastSession: agent.session, tasks });
  after.commitAll(after.say(after.socket(), message, agent.host));
  expect(after.master.frameworks.get(framework.id)).toMatchObject({
    info: { failover_timeout: 3600 },
    status: { state: "recovered", deadline: after.now + HOUR_MS },
  });
  after.commitAll(after.pass(HOUR_MS));
  expect(after.registry.removedFrameworks.has(framework.id)).toBe(true);
});

test("[M29] a deadline that was noted holds also when no agent brings a task of the framework", () => {
  const before = new Cluster();
  const id = "m-0001" as FrameworkId;
  before.registry.disconnectedFrameworks.set(id, {
    state: "disconnected",
    frameworkId: id,
    principal: undefined,
    deadline: millis(before.now + 1),
  });
  const after = failover(before);
  after.commitAll(after.pass(RESUBSCRIBE_GRACE_MS - 1));
  expect(after.registry.removedFrameworks.has(id)).toBe(false);
  after.commitAll(after.pass(gcIntervalMs));
  expect(after.registry.removedFrameworks.has(id)).toBe(true);
  expect(after.registry.disconnectedFrameworks.size).toBe(0);
});

test("[M38] who takes a framework's id after a failover loses it when the agents say whose it is", () => {
  const before = new Cluster();
  const agent = before.agent();
  const framework = before.framework();
  // The release before did not register it.
  before.registry.registeredFrameworks.clear();
  const after = failover(before);
  const stranger = "stranger" as StreamId;
  after.subscribe({ id: { value: framework.id } }, stranger, { principal: "mallory" as Principal });
  const brought = report(framework, task("t", agent.agentId), "TASK_RUNNING");
  const tasks = [{ ...brought, framework: { ...brought.framework, principal: "scheduler" } }];
  const message = register({ agentId: agent.agentId, lastSession: agent.session, tasks });
  const effects = after.commitAll(after.say(after.socket(), message, agent.host));
  expect(effects).toContainEqual({ type: "close-stream", streamId: stranger });
  expect(after.subscribe({ id: { value: framework.id } }).type).toBe("subscribed");
});
