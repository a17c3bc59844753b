// Sequences in which messages, sockets and registry outcomes cross: each once broke a rule.
import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { FrameworkId, Principal } from "#protocol/ids.ts";
import type { Call } from "#protocol/scheduler.ts";
import { onOutcome } from "../../src/master/outcomes.ts";
import { onSocketClosed } from "../../src/master/absence.ts";
import { tick } from "../../src/master/deadlines.ts";
import { excuseAbsence } from "../../src/master/frameworks.ts";
import { disconnectStream } from "../../src/master/subscriptions.ts";
import { TASK_LETTERS_MAX } from "../../src/master/task-checks.ts";
import { STATUSES_MAX } from "../../src/master/tasks.ts";
import { Cluster, register, report, sent, status0, task, uuidText } from "./cluster.ts";

const acknowledge = (agentId: string, taskId: string, uuid: string): Partial<Call> =>
  ({
    type: "ACKNOWLEDGE",
    acknowledge: { agent_id: { value: agentId }, task_id: { value: taskId }, uuid },
  }) as unknown as Partial<Call>;

test("[M1] [M2] a socket that closes while its admission commits leaves one id for its host", () => {
  const cluster = new Cluster();
  const socket = cluster.socket();
  const [admission] = cluster.say(socket, register({}));
  if (admission?.type !== "registry") throw new Error("no admission");
  onSocketClosed(cluster.master, socket, cluster.now);
  const again = cluster.say(cluster.socket(), register({}));
  expect(again).toEqual([]);
  expect(sent(cluster.commit(admission), "registered")).toMatchObject([{ agentId: "m-S0" }]);
  expect(cluster.registry.admitted.size).toBe(1);
});

test("[M1] an admission that nobody waits for any more counts all the same", () => {
  const cluster = new Cluster();
  const socket = cluster.socket();
  const [admission] = cluster.say(socket, register({}));
  if (admission?.type !== "registry") throw new Error("no admission");
  onSocketClosed(cluster.master, socket, cluster.now);
  cluster.commit(admission);
  expect(sent(cluster.say(cluster.socket(), register({})), "registered")).toMatchObject([{ agentId: "m-S0" }]);
});

test("[M1] a full Registrar sends nobody away for good", () => {
  const cluster = new Cluster();
  const [admission] = cluster.say(cluster.socket(), register({}));
  if (admission?.type !== "registry") throw new Error("no admission");
  const outcome = { type: "refused", reason: "registrar-full" } as const;
  onOutcome(cluster.master, admission.id, outcome, cluster.ids, cluster.now);
  expect(sent(cluster.settle(), "unavailable")).toHaveLength(1);
});

test("[M3] a socket that the books do not have is closed, so that its agent registers again", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  const effects = cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 1 });
  expect(effects).toMatchObject([{ type: "close-socket", to: agent.socket }]);
});

test("[M4] a report with a part missing is no evidence", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  cluster.update(agent, framework, "t", "TASK_RUNNING");
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  const last = register({ agentId: agent.agentId, lastSession: agent.session, part: 2 });
  expect(sent(cluster.say(cluster.socket(), last), "unavailable")).toHaveLength(1);
  expect(cluster.master.frameworks.get(framework.id)?.tasks.get("t" as never)?.latest).toBe("TASK_RUNNING");
});

test("[M4] a registration composed before the current session says nothing about its orders", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  const effects = cluster.say(agent.socket, register({ agentId: agent.agentId }));
  expect(effects.filter(({ type }) => type === "close-socket")).toHaveLength(1);
  expect(cluster.updates(framework)).toEqual([]);
});

test("[M5] the last word of an acknowledged task is no report of a later one under its id", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  const info = task("t", agent.agentId);
  cluster.launch(framework, [info]);
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 1 });
  const uuid = cluster.update(agent, framework, "t", "TASK_FINISHED");
  cluster.call(framework, acknowledge(agent.agentId, "t", uuid));
  cluster.launch(framework, [info]);
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  const old = report(framework, info, "TASK_FINISHED", [{ ...status0("t", "TASK_FINISHED"), uuid }]);
  const effects = cluster.say(
    cluster.socket(),
    register({ agentId: agent.agentId, lastSession: agent.session, tasks: [old] }),
  );
  expect(sent(effects, "acknowledge").flatMap(({ acknowledgements }) => acknowledgements)).toMatchObject([
    { taskId: "t", uuid },
  ]);
  expect(cluster.updates(framework).at(-1)).toMatchObject({ state: "TASK_LOST", reason: "REASON_AGENT_DISCONNECTED" });
});

test("[M9] the end of a removed framework's task completes it, also when it comes with a registration", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  const info = task("t", agent.agentId);
  cluster.launch(framework, [info]);
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 1 });
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  cluster.call(framework, { type: "TEARDOWN" });
  const end = report(framework, info, "TASK_FINISHED", [{ ...status0("t", "TASK_FINISHED"), uuid: uuidText(1) }]);
  const effects = cluster.say(
    cluster.socket(),
    register({ agentId: agent.agentId, lastSession: agent.session, tasks: [end] }),
  );
  expect(sent(effects, "acknowledge")).toHaveLength(1);
  expect(cluster.master.frameworks.size).toBe(0);
  expect(cluster.master.completedFrameworks).toHaveLength(1);
  expect(cluster.master.tasksByAgent.size).toBe(0);
});

test("[M9] of a reported RUNNING and FINISHED the first waits for its acknowledgement", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  const info = task("t", agent.agentId);
  cluster.launch(framework, [info]);
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  const statuses = [
    { ...status0("t", "TASK_RUNNING"), uuid: uuidText(1) },
    { ...status0("t", "TASK_FINISHED"), uuid: uuidText(2) },
  ];
  const tasks = [report(framework, info, "TASK_FINISHED", statuses)];
  cluster.say(cluster.socket(), register({ agentId: agent.agentId, lastSession: agent.session, tasks }));
  cluster.call(framework, acknowledge(agent.agentId, "t", uuidText(1)));
  expect(cluster.master.frameworks.get(framework.id)?.tasks.get("t" as never)?.latest).toBe("TASK_FINISHED");
});

test("[M10] a copy with only the host key does not displace a live agent", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 0 });
  expect(sent(cluster.say(cluster.socket(), register({})), "unavailable")).toHaveLength(1);
});

test("[M3] an agent speaks for its own tasks only", () => {
  const cluster = new Cluster();
  const [owner, stranger] = [cluster.agent(1), cluster.agent(2)];
  const framework = cluster.framework();
  const offer = cluster.offers(framework).find(({ agent_id }) => agent_id.value === owner.agentId);
  cluster.launch(framework, [task("t", owner.agentId)], [offer?.id.value ?? ""]);
  cluster.update(stranger, framework, "t", "TASK_FINISHED");
  expect(cluster.updates(framework)).toEqual([]);
  expect(cluster.master.frameworks.get(framework.id)?.tasks.get("t" as never)?.latest).toBe("TASK_STAGING");
});

test("[M16] an id that this master would make itself is not for the taking", () => {
  const cluster = new Cluster();
  expect(cluster.subscribe({ id: { value: "m-0007" as FrameworkId } })).toMatchObject({ type: "refused" });
  expect(cluster.subscribe({ id: { value: "earlier-0007" as FrameworkId } })).toMatchObject({ type: "subscribed" });
});

test("[M17] a framework known only from agents goes back to its own principal", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = { id: "old-0000" as FrameworkId, streamId: "none" as never };
  const owned = report(framework, task("t", agent.agentId), "TASK_RUNNING");
  const tasks = [{ ...owned, framework: { ...owned.framework, principal: "somebody" } }];
  cluster.say(agent.socket, register({ agentId: agent.agentId, lastSession: agent.session, tasks }));
  expect(cluster.master.frameworks.get(framework.id)?.principal).toBe("somebody" as Principal);
  expect(cluster.subscribe({ id: { value: framework.id } })).toMatchObject({ type: "refused" });
});

test("[M18] a deadline that passed while the plane was away does not count", () => {
  const cluster = new Cluster();
  const framework = cluster.framework({ failover_timeout: 60 });
  disconnectStream(cluster.master, framework.streamId, cluster.now);
  const back = millis(cluster.now + 120_000);
  excuseAbsence(cluster.master, back, { wasAway: false });
  tick(cluster.master, back);
  expect(cluster.master.frameworks.has(framework.id)).toBe(true);
});

test("[M19] what an agent or a framework says is bounded in the books", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [
    task("huge", agent.agentId, { data: "x".repeat(TASK_LETTERS_MAX) }),
    task("t", agent.agentId),
  ]);
  expect(cluster.updates(framework)).toMatchObject([{ task_id: { value: "huge" }, state: "TASK_ERROR" }]);
  for (let i = 0; i < 50; i++) cluster.update(agent, framework, "t", i % 2 === 0 ? "TASK_RUNNING" : "TASK_STARTING");
  expect(cluster.store.detail(framework.id, "t" as never)?.statuses).toHaveLength(STATUSES_MAX);
});

test("[M12] a foreign offer id in an ACCEPT of this instance meets nothing", () => {
  const cluster = new Cluster();
  cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", "m-S0" as never)], ["m-O999"]);
  expect(cluster.updates(framework)).toMatchObject([{ reason: "REASON_INVALID_OFFERS" }]);
});

test("an agent with a clock that is off moves none of the master's deadlines", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework({ failover_timeout: 60 });
  cluster.launch(framework, [task("t", agent.agentId)]);
  const status = { ...status0("t", "TASK_RUNNING"), uuid: uuidText(1), timestamp: -1e12 };
  const updates = [{ frameworkId: framework.id, status, latest: "TASK_RUNNING" as const }];
  cluster.say(agent.socket, { type: "updates", session: agent.session, updates });
  expect(cluster.updates(framework)).toMatchObject([{ state: "TASK_RUNNING", timestamp: -1e12 }]);
  disconnectStream(cluster.master, framework.streamId, cluster.now);
  tick(cluster.master, millis(cluster.now + 59_999));
  expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(1);
});
