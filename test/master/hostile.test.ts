// Registrations of agents that are not what they say, or say too much. Who may register at all is the gateway's question; here every
// sender is an authenticated agent.
import { expect, test } from "vitest";
import type { AgentId, ExecutorId, OperationUuid, SessionId } from "#protocol/ids.ts";
import { REPORT_LETTERS_MAX, REPORTED_TASKS_MAX } from "../../src/master/registration.ts";
import { onOutcome } from "../../src/master/outcomes.ts";
import { Cluster, register, report, sent, task } from "./cluster.ts";

test("[M10] a registration that was recorded and is played again from elsewhere does not oust the agent", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const recorded = register({ agentId: agent.agentId, lastSession: undefined });
  cluster.say(agent.socket, { type: "acted", session: agent.session, sequence: 0 });
  const effects = cluster.say(cluster.socket(), recorded, agent.host);
  expect(sent(effects, "unavailable")[0]?.reason).toContain("another live socket");
  expect(cluster.master.agents.get(agent.agentId)?.connection).toEqual(agent.socket);
});

test("[M2] a recorded registration from another host is refused", () => {
  const cluster = new Cluster();
  const agent = cluster.agent(1);
  const recorded = register({ agentId: agent.agentId, lastSession: agent.session });
  expect(sent(cluster.say(cluster.socket(), recorded, 2), "refused")[0]?.reason).toContain("another host");
  expect(cluster.master.agents.get(agent.agentId)?.session).toBe(agent.session);
});

test("[M4] parts of a registration that come out of order, or without the first, are no report", () => {
  const cluster = new Cluster();
  const socket = cluster.socket();
  for (const part of [2, 3]) {
    expect(sent(cluster.say(socket, register({ part, more: false })), "unavailable")).toHaveLength(1);
  }
  cluster.say(socket, register({ part: 1, more: true }));
  expect(sent(cluster.say(socket, register({ part: 3, more: false })), "unavailable")).toHaveLength(1);
  expect(cluster.master.partialReports.size).toBe(0);
  expect(cluster.registry.admitted.size).toBe(0);
});

test("[M4] a registration of more tasks, or more letters, than a host can have is refused, and nothing of it is kept", () => {
  const cluster = new Cluster();
  const framework = cluster.framework();
  const many = Array.from({ length: 500 }, (_, i) => report(framework, task(`t${i}`, "a" as AgentId), "TASK_RUNNING"));
  const socket = cluster.socket();
  let refused = 0;
  for (let part = 1; part <= REPORTED_TASKS_MAX / many.length + 1; part++) {
    refused = sent(cluster.say(socket, register({ tasks: many, part, more: true })), "unavailable").length;
  }
  expect(refused).toBe(1);
  expect(cluster.master.partialReports.size).toBe(0);
  const name = "x".repeat(900_000);
  const { framework: summary, ...large } = report(framework, { ...task("t", "a" as AgentId), name }, "TASK_RUNNING");
  const executor = { executor_id: { value: "e" as ExecutorId }, resources: [], name };
  const operation = { operationUuid: "AAAAAAAAAAAAAAAAAAAAAA==" as OperationUuid, operationId: name };
  for (const parts of [
    { tasks: [{ framework: summary, ...large }] },
    { executors: [{ framework: summary, executor }] },
    { operations: [operation] },
  ]) {
    const other = cluster.socket();
    refused = 0;
    for (let part = 1; part <= REPORT_LETTERS_MAX / 900_000 + 1 && refused === 0; part++) {
      const message = register({ ...(parts as object), part, more: true });
      refused = sent(cluster.say(other, message, 2), "unavailable").length;
    }
    expect(refused).toBe(1);
    expect(cluster.master.partialReports.size).toBe(0);
  }
});

test("[M1] ten thousand new hosts of one principal: what the registry has no room for is told to come again, the rest is admitted", () => {
  const cluster = new Cluster();
  const room = 6_000;
  let admitted = 0;
  let later = 0;
  const asked = Array.from({ length: 10_000 }, (_, i) => cluster.say(cluster.socket(), register({}), i + 1)).flat();
  for (const effect of asked) {
    if (effect.type !== "registry") continue;
    if (admitted < room) {
      admitted += sent(cluster.commit(effect), "registered").length;
      continue;
    }
    onOutcome(cluster.master, effect.id, { type: "refused", reason: "registrar-full" }, cluster.ids, cluster.now);
    later += sent(cluster.settle(), "unavailable").length;
  }
  expect([admitted, later, cluster.registry.admitted.size]).toEqual([room, 10_000 - room, room]);
  expect(cluster.master.operations.size + cluster.master.registrationByHost.size).toBe(0);
});

test("[M3] orders of an older session are not confirmed by a newer one", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  cluster.say(agent.socket, { type: "acted", session: "older" as SessionId, sequence: 99 });
  expect(cluster.master.agents.get(agent.agentId)?.orders).toHaveLength(1);
});

test.each([-1, Number.NaN, 1e308])("an agent whose resources are %d is refused, and changes nothing", (value) => {
  const cluster = new Cluster();
  const message = register({});
  if (message.type !== "register") throw new Error("no registration");
  const resources = [{ ...message.info.resources[0], scalar: { value } }] as typeof message.info.resources;
  const effects = cluster.say(cluster.socket(), { ...message, info: { ...message.info, resources } });
  expect(sent(effects, "refused")).toHaveLength(1);
  expect(effects.some(({ type }) => type === "registry")).toBe(false);
});

test("an agent whose resources changed is updated in the registry first, then registered", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const message = register({ agentId: agent.agentId, lastSession: agent.session });
  if (message.type !== "register") throw new Error("no registration");
  const fewer = { ...message, info: { ...message.info, resources: message.info.resources.slice(0, 1) } };
  const asked = cluster.say(agent.socket, fewer);
  expect(sent(asked, "registered")).toEqual([]);
  expect(asked).toMatchObject([{ type: "registry", operation: { type: "update-agent" } }]);
  expect(sent(cluster.commitAll(asked), "registered")).toHaveLength(1);
  expect(cluster.registry.admitted.get(agent.agentId)?.info.resources).toHaveLength(1);
});
