import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { Principal, StreamId, TaskId } from "#protocol/ids.ts";
import type { Call } from "#protocol/scheduler.ts";
import type { TaskState } from "#protocol/task.ts";
import { onSocketClosed } from "../../src/master/absence.ts";
import { nextDeadline, tick } from "../../src/master/deadlines.ts";
import { excuseAbsence, RESUBSCRIBE_GRACE_MS } from "../../src/master/frameworks.ts";
import { fromResources, scalar } from "#resources/resources.ts";
import { DECLINE_MS_MIN, nextOfferWake, offeredOn } from "../../src/master/offers.ts";
import { disconnectStream } from "../../src/master/subscriptions.ts";
import { usedOn } from "../../src/master/usage.ts";
import { pastOf } from "../../src/master/task-store.ts";
import { Cluster, sent, task } from "./cluster.ts";

const PARTITION_AWARE = { capabilities: [{ type: "PARTITION_AWARE" as const }] };

function acknowledge(
  cluster: Cluster,
  framework: Parameters<Cluster["call"]>[0],
  agentId: string,
  taskId: string,
  uuid: string,
) {
  const call = { type: "ACKNOWLEDGE", acknowledge: { agent_id: { value: agentId }, task_id: { value: taskId }, uuid } };
  return cluster.call(framework, call as unknown as Partial<Call>);
}

test("[M7] [M8] [M9] resources are free when the task has ended; its record stays until the acknowledgement", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId, {}, 2)]);
  // The framework hears of RUNNING only, but the agent already knows the end.
  const running = cluster.update(agent, framework, "t", "TASK_RUNNING", "TASK_FINISHED");
  expect(scalar(usedOn(cluster.master, agent.agentId), "cpus")).toBe(0);
  expect(scalar(offeredOn(cluster.master, agent.agentId), "cpus")).toBe(2);
  acknowledge(cluster, framework, agent.agentId, "t", running);
  expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(1);
  const end = cluster.update(agent, framework, "t", "TASK_FINISHED");
  cluster.update(agent, framework, "t", "TASK_FAILED");
  expect(cluster.master.frameworks.get(framework.id)?.tasks.get("t" as never)?.latest).toBe("TASK_FINISHED");
  acknowledge(cluster, framework, agent.agentId, "t", "AAAAAAAAAAAAAAAAAAAAAA==");
  expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(1);
  expect(end).not.toBe(running);
});

test("[M9] the acknowledged end moves the task to the history and reaches the agent", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  const uuid = cluster.update(agent, framework, "t", "TASK_FINISHED");
  expect(acknowledge(cluster, framework, agent.agentId, "t", uuid).status).toBe(202);
  expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(0);
  expect(pastOf(cluster.master, framework.id, "t" as TaskId).map(({ state }) => state)).toEqual(["TASK_FINISHED"]);
  expect(sent(cluster.effects, "acknowledge").at(-1)?.acknowledgements).toEqual([
    { frameworkId: framework.id, taskId: "t", uuid },
  ]);
});

test("[M12] another framework's offers are not touched, neither by DECLINE nor by an invalid ACCEPT", () => {
  const cluster = new Cluster();
  cluster.agent();
  const owner = cluster.framework();
  const thief = cluster.framework();
  const ids = cluster.offers(owner).map((offer) => offer.id);
  expect(ids).toHaveLength(1);
  cluster.call(thief, { type: "DECLINE", decline: { offer_ids: ids, filters: undefined } });
  cluster.launch(
    thief,
    [task("t", "m-S0" as never)],
    ids.map((id) => id.value),
  );
  expect(cluster.offers(owner).map((offer) => offer.id)).toEqual(ids);
  expect(cluster.updates(thief)).toMatchObject([
    { state: "TASK_LOST", reason: "REASON_INVALID_OFFERS", source: "SOURCE_MASTER", uuid: undefined },
  ]);
});

test("[M13] each task of an ACCEPT gets one answer", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(PARTITION_AWARE);
  const [offer] = cluster.offers(framework);
  const { agentId } = agent;
  cluster.launch(framework, [
    task("good", agentId),
    task("good", agentId),
    task("../up", agentId),
    task("huge", agentId, {}, 5),
    task("docker", agentId, { container: { type: "DOCKER", volumes: [], network_infos: [] } }),
    task("elsewhere", "other" as never),
    task("nothing", agentId, { command: undefined }),
    task("empty", agentId, { resources: [] }),
  ]);
  expect(cluster.updates(framework).map(({ task_id, state, reason }) => [task_id.value, state, reason])).toEqual(
    ["good", "../up", "huge", "docker", "elsewhere", "nothing", "empty"].map((id) => [
      id,
      "TASK_ERROR",
      "REASON_TASK_INVALID",
    ]),
  );
  expect(sent(cluster.effects, "orders").flatMap(({ orders }) => orders)).toHaveLength(1);
  cluster.launch(framework, [task("late", agentId)], [offer?.id.value ?? ""]);
  expect(cluster.updates(framework).at(-1)).toMatchObject({ state: "TASK_DROPPED", reason: "REASON_INVALID_OFFERS" });
});

test("[M15] used and offered never exceed the total", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const [a, b] = [cluster.framework(), cluster.framework()];
  const total = scalar(fromResources(cluster.master.agents.get(agent.agentId)?.info.resources ?? []), "cpus");
  for (let round = 0; round < 4; round++) {
    for (const framework of [a, b]) {
      if (cluster.offers(framework).length > 0) cluster.launch(framework, [task(`t${round}`, agent.agentId, {}, 0.7)]);
      const sum =
        scalar(usedOn(cluster.master, agent.agentId), "cpus") +
        scalar(offeredOn(cluster.master, agent.agentId), "cpus");
      expect(sum).toBeLessThanOrEqual(total);
    }
  }
});

test("[M16] a torn-down framework's tasks hold their resources until the agent says that they ended", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  expect(cluster.call(framework, { type: "TEARDOWN" }).status).toBe(202);
  expect(sent(cluster.effects, "orders").at(-1)?.orders).toMatchObject([{ order: { type: "shutdown-framework" } }]);
  expect(scalar(usedOn(cluster.master, agent.agentId), "cpus")).toBe(0.5);
  cluster.update(agent, framework, "t", "TASK_KILLED");
  expect(scalar(usedOn(cluster.master, agent.agentId), "cpus")).toBe(0);
  expect(sent(cluster.effects, "acknowledge")).toHaveLength(1);
  expect(cluster.master.completedFrameworks).toHaveLength(1);
  expect(cluster.subscribe({ id: { value: framework.id } })).toMatchObject({
    type: "refused",
    message: "Framework has been removed",
  });
  expect(cluster.call(framework, { type: "TEARDOWN" }).status).toBe(400);
});

test("[M17] a new subscription ousts the old stream", () => {
  const cluster = new Cluster();
  const framework = cluster.framework();
  const newer = cluster.subscribe({ id: { value: framework.id } });
  expect(newer.type).toBe("subscribed");
  expect(cluster.events(framework).at(-1)).toEqual({ type: "ERROR", error: { message: "Framework failed over" } });
  expect(cluster.effects).toContainEqual({ type: "close-stream", streamId: framework.streamId });
  expect(cluster.call(framework, { type: "TEARDOWN" })).toMatchObject({ status: 400 });
});

test("[M17] checks in their order: unknown, wrong principal, not subscribed, no stream id, wrong stream id, 501", () => {
  const cluster = new Cluster();
  const framework = cluster.framework();
  const reconcile: Partial<Call> = { type: "RECONCILE", reconcile: { tasks: [] } };
  expect(cluster.call({ ...framework, id: "x" as never }, reconcile).status).toBe(400);
  expect(cluster.call(framework, reconcile, { principal: "other" as Principal }).status).toBe(400);
  expect(cluster.call(framework, reconcile, { streamId: undefined }).status).toBe(400);
  expect(cluster.call(framework, reconcile, { streamId: "wrong" as StreamId }).status).toBe(400);
  expect(cluster.call(framework, reconcile).status).toBe(202);
  expect(cluster.call(framework, { type: "UNKNOWN" }).status).toBe(501);
  disconnectStream(cluster.master, framework.streamId, cluster.now);
  expect(cluster.call(framework, reconcile).status).toBe(403);
});

test("[M18] a broken stream starts the failover timeout; with the default of 0 the tasks end at once", () => {
  const cluster = new Cluster();
  const patient = cluster.framework({ failover_timeout: 60 });
  disconnectStream(cluster.master, patient.streamId, cluster.now);
  expect(nextDeadline(cluster.master, cluster.now)).toBe(cluster.now + 60_000);
  tick(cluster.master, millis(cluster.now + 59_999));
  expect(cluster.master.frameworks.has(patient.id)).toBe(true);
  tick(cluster.master, millis(cluster.now + 60_000));
  cluster.commitAll();
  expect(cluster.master.frameworks.has(patient.id)).toBe(false);
  const hasty = cluster.framework({ failover_timeout: undefined });
  disconnectStream(cluster.master, hasty.streamId, cluster.now);
  cluster.commitAll();
  expect(cluster.master.frameworks.has(hasty.id)).toBe(false);
});

test("[M18] [25.14] a framework that is back before its deadline loses nothing, however late in it", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework({ failover_timeout: 60 });
  cluster.launch(framework, [task("t", agent.agentId)]);
  disconnectStream(cluster.master, framework.streamId, cluster.now);
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 1 });
  cluster.commitAll(cluster.pass(59_999));
  const back = cluster.framework({ failover_timeout: 60, id: { value: framework.id } });
  cluster.commitAll(cluster.pass(120_000));
  expect(cluster.master.frameworks.get(framework.id)?.status).toEqual({ state: "connected", streamId: back.streamId });
  expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(1);
  const orders = sent(cluster.effects, "orders").flatMap((message) => message.orders);
  expect(orders.map(({ order }) => order.type)).toEqual(["launch"]);
});

test("[M18] [M57] who is refused does not stop the deadline (T17); while the registry removes the framework nobody is taken for it", () => {
  const cluster = new Cluster();
  const framework = cluster.framework({ failover_timeout: 60 });
  disconnectStream(cluster.master, framework.streamId, cluster.now);
  cluster.pass(59_999);
  const id = { value: framework.id };
  const stranger = cluster.subscribe({ id }, undefined, { principal: "other" as Principal });
  const wrong = cluster.subscribe({ id, failover_timeout: -1 });
  expect([stranger.type, wrong.type]).toEqual(["refused", "refused"]);
  const removal = cluster.pass(1);
  expect(removal).toMatchObject([
    { type: "registry", operation: { type: "remove-framework", frameworkId: framework.id } },
  ]);
  expect(cluster.subscribe({ id })).toMatchObject({ type: "refused", message: "Framework is being removed" });
  cluster.commitAll(removal);
  expect(cluster.subscribe({ id })).toMatchObject({ type: "refused", message: "Framework has been removed" });
});

test("[M18] a restart of the plane counts against nobody", () => {
  const cluster = new Cluster();
  const framework = cluster.framework({ failover_timeout: undefined });
  excuseAbsence(cluster.master, cluster.now, { wasAway: false });
  expect(cluster.master.frameworks.get(framework.id)?.status).toEqual({
    state: "disconnected",
    deadline: cluster.now + RESUBSCRIBE_GRACE_MS,
  });
});

test("[M20] declined resources are offered again after the refusal, not before", () => {
  const cluster = new Cluster();
  cluster.agent();
  const framework = cluster.framework();
  const ids = cluster.offers(framework).map((offer) => offer.id);
  cluster.call(framework, { type: "DECLINE", decline: { offer_ids: ids, filters: { refuse_seconds: 5 } } });
  expect(cluster.offers(framework)).toEqual([]);
  cluster.now = millis(cluster.now + 4_999);
  tick(cluster.master, cluster.now);
  cluster.settle();
  expect(cluster.offers(framework)).toEqual([]);
  cluster.now = millis(cluster.now + 1);
  tick(cluster.master, cluster.now);
  cluster.settle();
  expect(cluster.offers(framework)).toHaveLength(1);
});

test("[M20] a decline of 0 s is not answered with the same offer at once", () => {
  const cluster = new Cluster();
  cluster.agent();
  const framework = cluster.framework();
  const ids = cluster.offers(framework).map((offer) => offer.id);
  cluster.call(framework, { type: "DECLINE", decline: { offer_ids: ids, filters: { refuse_seconds: 0 } } });
  expect(cluster.offers(framework)).toEqual([]);
  cluster.now = millis(cluster.now + DECLINE_MS_MIN);
  tick(cluster.master, cluster.now);
  cluster.settle();
  expect(cluster.offers(framework)).toHaveLength(1);
});

test("[M20] more than was refused is offered again, a second after the decline", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  const ids = cluster.offers(framework).map((offer) => offer.id);
  cluster.call(framework, { type: "DECLINE", decline: { offer_ids: ids, filters: { refuse_seconds: 1000 } } });
  cluster.update(agent, framework, "t", "TASK_FINISHED");
  expect(cluster.offers(framework)).toEqual([]);
  expect(nextOfferWake(cluster.master, cluster.now)).toBe(cluster.now + DECLINE_MS_MIN);
  cluster.now = millis(cluster.now + DECLINE_MS_MIN);
  tick(cluster.master, cluster.now);
  cluster.settle();
  expect(cluster.offers(framework)).toHaveLength(1);
});

test("[M21] reconciliation answers by the table", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(PARTITION_AWARE);
  cluster.launch(framework, [task("known", agent.agentId)]);
  const before = cluster.updates(framework).length;
  const ask = (taskId: string, agentId?: string) => ({
    task_id: { value: taskId },
    agent_id: agentId === undefined ? undefined : { value: agentId },
  });
  const call = {
    type: "RECONCILE",
    reconcile: { tasks: [ask("known"), ask("gone", agent.agentId), ask("unknown"), ask("lost", "nowhere")] },
  };
  cluster.call(framework, call as unknown as Partial<Call>);
  expect(
    cluster
      .updates(framework)
      .slice(before)
      .map(({ state, reason, uuid }) => [state, reason, uuid]),
  ).toEqual(
    ["TASK_STAGING", "TASK_GONE", "TASK_UNKNOWN", "TASK_UNKNOWN"].map((state) => [
      state,
      "REASON_RECONCILIATION",
      undefined,
    ]),
  );
});

test("[M21] silence while an agent of the registry has not registered", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  const record = cluster.master.agents.get(agent.agentId);
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  if (record !== undefined) record.session = undefined;
  const tasks = [{ task_id: { value: "t" }, agent_id: { value: agent.agentId } }];
  cluster.call(framework, { type: "RECONCILE", reconcile: { tasks } } as unknown as Partial<Call>);
  expect(cluster.updates(framework)).toEqual([]);
});

test("[M75] an update that was acknowledged is not told again, whether its task lives or has ended; the agent is acknowledged again", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  const acknowledge = (uuid: string) =>
    cluster.call(framework, {
      type: "ACKNOWLEDGE",
      acknowledge: { agent_id: { value: agent.agentId }, task_id: { value: "t" as TaskId }, uuid },
    });
  const late = (state: TaskState, uuid: string) => {
    const [told, before] = [cluster.updates(framework).length, cluster.effects.length];
    cluster.update(agent, framework, "t", state, state, uuid);
    const acknowledged = sent(cluster.effects.slice(before), "acknowledge").flatMap((one) => one.acknowledgements);
    return [cluster.updates(framework).length - told, acknowledged.map((one) => one.uuid)];
  };
  const running = cluster.update(agent, framework, "t", "TASK_RUNNING");
  // Repeated because nobody has acknowledged it: the framework hears it again.
  expect(late("TASK_RUNNING", running)).toEqual([1, []]);
  acknowledge(running);
  expect(late("TASK_RUNNING", running)).toEqual([0, [running]]);
  const finished = cluster.update(agent, framework, "t", "TASK_FINISHED");
  expect(late("TASK_RUNNING", running)).toEqual([0, [running]]);
  expect(cluster.master.frameworks.get(framework.id)?.tasks.get("t" as TaskId)?.unacknowledged?.uuid).toBe(finished);
  acknowledge(finished);
  expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(0);
  expect(late("TASK_RUNNING", running)).toEqual([0, [running]]);
  expect(late("TASK_FINISHED", finished)).toEqual([0, [finished]]);
});
