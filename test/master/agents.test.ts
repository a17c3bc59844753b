import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { SessionId } from "#protocol/ids.ts";
import { STALE_ORDER_MS } from "../../src/master/agents.ts";
import { onNotCommitted } from "../../src/master/outcomes.ts";
import { onGatewayLive, onSocketClosed } from "../../src/master/absence.ts";
import { tick } from "../../src/master/deadlines.ts";
import { Cluster, register, report, sent, task } from "./cluster.ts";

const PARTITION_AWARE = { capabilities: [{ type: "PARTITION_AWARE" as const }] };

test("[M1] an agent hears 'registered' only after its admission is committed", () => {
  const cluster = new Cluster();
  const effects = cluster.say(cluster.socket(), register({}));
  expect(effects.map((effect) => effect.type)).toEqual(["registry"]);
  const [admission] = effects;
  if (admission?.type !== "registry") throw new Error("no admission");
  expect(admission.operation).toMatchObject({ type: "admit-agent", agentId: "m-S0" });
  expect(sent(cluster.commit(admission), "registered")).toMatchObject([{ agentId: "m-S0", epoch: 7 }]);
});

test("[M1] an admission that was not acknowledged is answered 'unavailable', and the next try asks again", () => {
  const cluster = new Cluster();
  const socket = cluster.socket();
  const [admission] = cluster.say(socket, register({}));
  if (admission?.type !== "registry") throw new Error("no admission");
  onNotCommitted(cluster.master, [admission.id], "no quorum");
  expect(sent(cluster.settle(), "unavailable")).toEqual([{ type: "unavailable", reason: "no quorum" }]);
  expect(cluster.say(socket, register({})).map((effect) => effect.type)).toEqual(["registry"]);
});

test("[M2] a host that registers again without its id continues its id", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  const effects = cluster.say(cluster.socket(), register({}));
  expect(sent(effects, "registered")).toMatchObject([{ agentId: agent.agentId }]);
});

test("[M2] an id of another host is refused", () => {
  const cluster = new Cluster();
  const agent = cluster.agent(1);
  const foreign = cluster.say(cluster.socket(), register({ agentId: agent.agentId }), 2);
  expect(sent(foreign, "refused")[0]?.reason).toContain("belongs to another host");
});

test("[M3] a status update from an older session changes nothing", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  cluster.update({ ...agent, session: "older" as SessionId }, framework, "t", "TASK_RUNNING");
  expect(cluster.updates(framework)).toEqual([]);
  expect(cluster.master.counters["master/invalid_status_updates"]).toBe(1);
});

test.each([
  [{}, "TASK_LOST", "TASK_LOST"],
  [PARTITION_AWARE, "TASK_DROPPED", "TASK_GONE"],
])("[M4] only the report of a new registration says what never happened (%j)", (info, dropped, gone) => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework(info);
  cluster.launch(framework, [task("acted", agent.agentId), task("never", agent.agentId)]);
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 1 });
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  expect(cluster.updates(framework)).toEqual([]);
  cluster.say(cluster.socket(), register({ agentId: agent.agentId, lastSession: agent.session }));
  expect(cluster.updates(framework).map(({ task_id, state }) => [task_id.value, state])).toEqual([
    ["acted", gone],
    ["never", dropped],
  ]);
});

test("[M4] a launch that the agent reports goes on, though its confirmation was lost", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  const info = task("t", agent.agentId);
  cluster.launch(framework, [info]);
  const effects = cluster.say(
    cluster.socket(),
    register({ agentId: agent.agentId, lastSession: agent.session, tasks: [report(framework, info, "TASK_RUNNING")] }),
  );
  expect(sent(effects, "registered")).toHaveLength(1);
  expect(sent(effects, "orders")).toEqual([]);
  expect(cluster.master.frameworks.get(framework.id)?.tasks.get(info.task_id.value)?.latest).toBe("TASK_RUNNING");
});

test("[M5] what an agent reports of an unknown framework is kept under its id", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = { id: "old-0000" as never, streamId: "none" as never };
  cluster.say(
    agent.socket,
    register({
      agentId: agent.agentId,
      lastSession: agent.session,
      tasks: [report(framework, task("t", agent.agentId), "TASK_RUNNING")],
    }),
  );
  const recovered = cluster.master.frameworks.get(framework.id);
  expect(recovered?.status).toEqual({ state: "recovered" });
  const back = cluster.subscribe({ id: { value: framework.id } });
  expect(back.type).toBe("subscribed");
  expect(recovered?.tasks.size).toBe(1);
});

test("[M6] orders are numbered without gaps and forgotten when the agent has acted", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("a", agent.agentId), task("b", agent.agentId)]);
  expect(sent(cluster.effects, "orders").flatMap(({ orders }) => orders.map(({ sequence }) => sequence))).toEqual([
    1, 2,
  ]);
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 1 });
  expect(cluster.master.agents.get(agent.agentId)?.orders.map(({ sequence }) => sequence)).toEqual([2]);
});

test("[M6] an order that nobody acts upon closes the socket", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  cluster.launch(cluster.framework(), [task("a", agent.agentId)]);
  tick(cluster.master, millis(cluster.now + STALE_ORDER_MS - 1));
  expect(cluster.settle().filter((effect) => effect.type === "close-socket")).toEqual([]);
  tick(cluster.master, millis(cluster.now + STALE_ORDER_MS));
  expect(cluster.settle().filter((effect) => effect.type === "close-socket")).toHaveLength(1);
});

test("[M10] a newer socket wins with the last session, and waits with an older one", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 0 });
  const clone = cluster.say(cluster.socket(), register({ agentId: agent.agentId, lastSession: "older" as SessionId }));
  expect(sent(clone, "unavailable")).toHaveLength(1);
  const newer = cluster.say(cluster.socket(), register({ agentId: agent.agentId, lastSession: agent.session }));
  expect(sent(newer, "registered")).toHaveLength(1);
  expect(newer.filter((effect) => effect.type === "close-socket")).toMatchObject([{ to: agent.socket }]);
});

test("[M10] an agent that never heard of its last session comes back with the one before", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 0 });
  const lost = cluster.say(cluster.socket(), register({ agentId: agent.agentId, lastSession: agent.session }));
  const [unheard] = sent(lost, "registered");
  const socket = cluster.socket();
  const back = cluster.say(socket, register({ agentId: agent.agentId, lastSession: agent.session }));
  const [heard] = sent(back, "registered");
  expect(heard?.session).not.toBe(unheard?.session);
  cluster.say(socket, { type: "acted", session: heard?.session ?? agent.session, sequence: 0 });
  const clone = cluster.say(cluster.socket(), register({ agentId: agent.agentId, lastSession: agent.session }));
  expect(sent(clone, "unavailable")).toHaveLength(1);
});

test("[M11] a socket that is gone ends offers, not tasks", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  cluster.update(agent, framework, "t", "TASK_RUNNING");
  const [offer] = cluster.offers(framework);
  onGatewayLive(cluster.master, "gateway-1", [], cluster.now);
  cluster.settle();
  expect(cluster.events(framework)).toContainEqual({ type: "RESCIND", rescind: { offer_id: offer?.id } });
  expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(1);
  expect(cluster.offers(framework)).toEqual([]);
});

test("[M14] a kill while the agent is away is ordered when it is back", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  const info = task("t", agent.agentId);
  cluster.launch(framework, [info]);
  cluster.update(agent, framework, "t", "TASK_RUNNING");
  onSocketClosed(cluster.master, agent.socket, cluster.now);
  cluster.call(framework, {
    type: "KILL",
    kill: { task_id: info.task_id, agent_id: undefined, kill_policy: undefined },
  });
  const effects = cluster.say(
    cluster.socket(),
    register({ agentId: agent.agentId, lastSession: agent.session, tasks: [report(framework, info, "TASK_RUNNING")] }),
  );
  expect(sent(effects, "orders").flatMap(({ orders }) => orders)).toMatchObject([
    { sequence: 1, order: { type: "kill", taskId: "t" } },
  ]);
});

test("hostile: resources that are none, and too many tasks, are refused", () => {
  const cluster = new Cluster();
  const info = {
    hostname: "h",
    port: 1,
    attributes: [],
    resources: [
      {
        name: "cpus",
        type: "SCALAR" as const,
        scalar: { value: -1 },
        ranges: undefined,
        set: undefined,
        role: undefined,
        allocation_info: undefined,
      },
    ],
  };
  expect(sent(cluster.say(cluster.socket(), register({ info })), "refused")).toHaveLength(1);
  const socket = cluster.socket();
  const framework = { id: "f" as never, streamId: "s" as never };
  const many = Array.from({ length: 500 }, (_, i) => report(framework, task(`t${i}`, "a" as never), "TASK_RUNNING"));
  for (let part = 1; part <= 20; part++) cluster.say(socket, register({ tasks: many, part, more: true }), 5);
  expect(sent(cluster.say(socket, register({ tasks: many, part: 21 }), 5), "unavailable")).toHaveLength(1);
  expect(cluster.master.agents.size).toBe(0);
});
