// What outlives the object that leads, and what outlives the leader: everything that frameworks rely on is there again after a restart
// of the same candidate, without any agent registering again; and what must be, is there with another candidate, from the log alone.
import { env, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { present } from "#base/assert.ts";
import type { Offer } from "#protocol/scheduler.ts";
import { id, launch, master, restartMaster, scalar, task, TestAgent, TestFramework, type Plain } from "./framework.ts";
import { initialise, request } from "./plane.ts";

Object.assign(env, { MASTERS: "2" });

const AWARE = { capabilities: [{ type: "PARTITION_AWARE" }] };
const WEB = { roles: ["web", "ads"], capabilities: [{ type: "MULTI_ROLE" }, { type: "RESERVATION_REFINEMENT" }] };

const failover = async (to: string): Promise<void> => {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ to });
  const answer = await request("/mesoflare/masters/failover", { as: "operator", method: "POST", body, headers });
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
};
const markGone = (agentId: string) =>
  request("/api/v1", {
    as: "operator",
    method: "POST",
    body: JSON.stringify({ type: "MARK_AGENT_GONE", mark_agent_gone: { agent_id: id(agentId) } }),
    headers: { "content-type": "application/json" },
  });

interface FrameworkJson {
  readonly id: string;
  readonly executors?: readonly Plain[];
  readonly tasks: readonly Plain[];
  readonly completed_tasks: readonly Plain[];
}
const slave = async (agentId: string): Promise<Plain | undefined> => {
  const { slaves } = await (await request("/slaves", { as: "reader" })).json<{ slaves: readonly Plain[] }>();
  return slaves.find((one) => one["id"] === agentId);
};
const frameworks = async () =>
  (await request("/frameworks", { as: "reader" })).json<{
    readonly frameworks: readonly FrameworkJson[];
    readonly completed_frameworks: readonly FrameworkJson[];
  }>();
const frameworksInRegistry = async () => {
  const registry = await (
    await request("/mesoflare/registry", { as: "reader" })
  ).json<{ frameworks: Readonly<Record<string, readonly { readonly id: string }[]>> }>();
  return (list: string, frameworkId: string) => registry.frameworks[list]?.find((one) => one.id === frameworkId);
};
const amount = ({ resources }: Pick<Offer, "resources">, name: string, isReserved = false): number =>
  resources
    .filter((one) => one.name === name && (one.reservations ?? []).length > 0 === isReserved)
    .reduce((sum, one) => sum + (one.scalar?.value ?? 0), 0);

const offersTo = ({ events }: TestFramework): readonly Offer[] =>
  events.flatMap((event) => (event.type === "OFFERS" ? event.offers.offers : []));

let agent: TestAgent;
let hosts = 0;
beforeAll(initialise);
beforeEach(async () => {
  await request("/state", { as: "reader" });
  await failover("master-1");
  agent = await TestAgent.start(++hosts);
});
afterEach(async () => {
  agent.socket.close();
  await TestFramework.endAll();
});

/** Comes back with its id; the old stream is gone with the object that held it. */
const back = (framework: TestFramework, info: Plain = {}, more: Plain = {}) =>
  TestFramework.subscribe({ as: framework.as, info: { ...info, id: id(framework.id) }, more });

describe("a restart of the leader", () => {
  test("[M62] its own last word on a task, said while the framework was away, is told at the next SUBSCRIBED, once", async () => {
    const first = await TestFramework.subscribe({ info: AWARE });
    const offer = await first.offerOf(agent.agentId);
    await first.accept([offer.id.value], [launch(task("t", agent.agentId))]);
    await agent.order();
    agent.update(first.id, "t", "TASK_RUNNING", 1);
    await first.next("UPDATE");
    await restartMaster();
    expect((await markGone(agent.agentId)).status).toBe(200);
    await runInDurableObject(master(), (_, { storage }) => {
      const rows = storage.sql.exec<{ task: string; value: string }>("SELECT task, value FROM undelivered").toArray();
      expect(rows.map(({ task: of, value }) => [of, (JSON.parse(value) as { state: string }).state])).toEqual([
        ["t", "TASK_GONE_BY_OPERATOR"],
      ]);
    });
    await restartMaster();
    const second = await back(first, AWARE);
    expect((await second.next("UPDATE")).update.status).toMatchObject({
      task_id: id("t"),
      state: "TASK_GONE_BY_OPERATOR",
      source: "SOURCE_MASTER",
    });
    const third = await back(first, AWARE);
    await third.call({ type: "RECONCILE", reconcile: { tasks: [{ task_id: id("other") }] } });
    expect((await third.next("UPDATE")).update.status.task_id).toEqual(id("other"));
  });

  test("agents' executors, operations, reservations and kills are there; what is offered afterwards is what is left", async () => {
    const first = await TestFramework.subscribe({ info: WEB });
    const offer = await first.offerOf(agent.agentId);
    const role = offer.allocation_info?.role ?? "";
    const reservations = [{ type: "DYNAMIC", role, principal: "scheduler" }];
    const executor = {
      executor_id: id("e"),
      command: { value: "true" },
      resources: [scalar("cpus", 0.25), scalar("mem", 100)],
    };
    const operations = [
      { type: "RESERVE", id: id("o"), reserve: { resources: [scalar("cpus", 0.5, { reservations })] } },
      launch(task("t", agent.agentId, { command: undefined, executor }), task("killed", agent.agentId)),
    ];
    expect((await first.accept([offer.id.value], operations)).status).toBe(202);
    expect(await agent.order()).toMatchObject({ type: "operation", operationId: "o" });
    expect(await agent.order()).toMatchObject({ type: "launch", task: { task_id: id("t") } });
    expect(await agent.order()).toMatchObject({ type: "launch", task: { task_id: id("killed") } });
    agent.update(first.id, "killed", "TASK_RUNNING", 1);
    await first.next("UPDATE");
    // The agent does not act upon it before the restart.
    expect((await first.call({ type: "KILL", kill: { task_id: id("killed") } })).status).toBe(202);
    const { sequence } = present((await agent.socket.next("orders")).orders[0], "an order");
    const { offered_resources: _, offered_resources_full: __, ...before } = (await slave(agent.agentId)) ?? {};
    expect(before).toMatchObject({
      used_resources: { cpus: 1.25, mem: 228 },
      reserved_resources: { [role]: { cpus: 0.5 } },
    });

    await restartMaster();
    expect(await slave(agent.agentId)).toMatchObject(before);
    const shown = (await frameworks()).frameworks.find((one) => one.id === first.id);
    expect(shown).toMatchObject({ executors: [{ executor_id: "e", slave_id: agent.agentId }] });
    expect(shown?.tasks.map((one) => one["id"]).toSorted()).toEqual(["killed", "t"]);
    const second = await back(first, WEB);
    await second.call({
      type: "RECONCILE_OPERATIONS",
      reconcile_operations: { operations: [{ operation_id: id("o") }] },
    });
    expect((await second.next("UPDATE_OPERATION_STATUS")).update_operation_status.status).toMatchObject({
      operation_id: id("o"),
      state: "OPERATION_PENDING",
    });
    // 2 CPUs less 1.25 in use: 0.5 of them reserved, the rest for whoever comes.
    const sumOf = (isReserved: boolean): number =>
      offersTo(second).reduce((sum, one) => sum + amount(one, "cpus", isReserved), 0);
    while (sumOf(true) + sumOf(false) < 0.75) await second.offerOf(agent.agentId);
    expect([sumOf(true), sumOf(false)]).toEqual([0.5, 0.25]);
    const left = offersTo(second);
    expect(left.reduce((sum, one) => sum + amount(one, "mem"), 0)).toBe(772);

    // The order that was on its way is not given again in this session, and the next one is the next.
    agent.socket.send({ type: "acted", session: agent.session as never, sequence });
    const free = left.find((one) => amount(one, "cpus") === 0.25) as Offer;
    const small = { resources: [scalar("cpus", 0.1), scalar("mem", 10)] };
    await second.accept([free.id.value], [launch(task("next", agent.agentId, small))]);
    const { orders } = await agent.socket.next("orders");
    expect(orders).toMatchObject([
      { sequence: sequence + 1, order: { type: "launch", task: { task_id: id("next") } } },
    ]);
  });

  test("[M14] a kill is ordered again when the agent comes back with the task", async () => {
    const framework = await TestFramework.subscribe();
    const offer = await framework.offerOf(agent.agentId);
    const info = task("t", agent.agentId);
    await framework.accept([offer.id.value], [launch(info)]);
    await agent.order();
    agent.update(framework.id, "t", "TASK_RUNNING", 1);
    await framework.next("UPDATE");
    agent.socket.close();
    await framework.next("RESCIND");
    const policy = { grace_period: { nanoseconds: 1e9 } };
    await framework.call({ type: "KILL", kill: { task_id: id("t"), kill_policy: policy } });
    await restartMaster();
    const status = { task_id: id("t"), state: "TASK_RUNNING", agent_id: id(agent.agentId), timestamp: 1 };
    const report = {
      framework: { id: framework.id, name: "test", user: "nobody", partitionAware: false },
      task: info,
      latest: "TASK_RUNNING",
      statuses: [status],
    };
    await agent.again({ tasks: [report] as never });
    expect(await agent.order()).toMatchObject({
      type: "kill",
      frameworkId: framework.id,
      taskId: "t",
      killPolicy: { grace_period: { nanoseconds: 1e9 } },
    });
  });

  test("[M70] suppressed roles outlive the instance: they are read back, and written again", async () => {
    const framework = await TestFramework.subscribe({ info: WEB, more: { suppressed_roles: ["ads"] } });
    const stored = () =>
      runInDurableObject(master(), (_, { storage }) => {
        const query = "SELECT value FROM frameworks WHERE id = ?";
        const { value } = storage.sql.exec<{ value: string }>(query, framework.id).one();
        return JSON.parse(value) as { status: { state: string }; suppressedRoles: readonly string[] };
      });
    expect(await stored()).toMatchObject({ status: { state: "connected" }, suppressedRoles: ["ads"] });
    await restartMaster();
    await frameworks();
    expect(await stored()).toMatchObject({ status: { state: "disconnected" }, suppressedRoles: ["ads"] });
  });

  test("[M19] histories: completed frameworks and tasks are shown as before, and no id comes back", async () => {
    const framework = await TestFramework.subscribe();
    const offer = await framework.offerOf(agent.agentId);
    await framework.accept([offer.id.value], [launch(task("t", agent.agentId))]);
    await agent.order();
    agent.update(framework.id, "t", "TASK_FINISHED", 1);
    const { status } = (await framework.next("UPDATE")).update;
    const acknowledge = { agent_id: id(agent.agentId), task_id: id("t"), uuid: status.uuid };
    await framework.call({ type: "ACKNOWLEDGE", acknowledge });
    expect((await framework.call({ type: "TEARDOWN" })).status).toBe(202);
    const completed = async () => (await frameworks()).completed_frameworks.find((one) => one.id === framework.id);
    const before = await completed();
    expect(before).toMatchObject({ completed_tasks: [{ id: "t", state: "TASK_FINISHED" }] });
    await restartMaster();
    expect(await completed()).toEqual(before);
    const again = await TestFramework.open({ info: { id: id(framework.id) } });
    expect((await again.next("ERROR")).error.message).toBe("Framework has been removed");
  });
});

describe("a failover to another candidate", () => {
  test("[M28] [M29] a framework that was torn down stays so (T2): its id is refused, and tasks that an agent brings are told to end", async () => {
    const framework = await TestFramework.subscribe();
    const offer = await framework.offerOf(agent.agentId);
    const info = task("t", agent.agentId);
    await framework.accept([offer.id.value], [launch(info)]);
    await agent.order();
    expect((await framework.call({ type: "TEARDOWN" })).status).toBe(202);
    await failover("master-2");
    expect((await frameworksInRegistry())("removed", framework.id)).toBeDefined();
    const refused = await TestFramework.open({ info: { id: id(framework.id) } });
    expect((await refused.next("ERROR")).error.message).toBe("Framework has been removed");
    const report = {
      framework: { id: framework.id, name: "test", user: "nobody", partitionAware: false },
      task: info,
      latest: "TASK_RUNNING",
      statuses: [],
    };
    await agent.again({ tasks: [report] as never });
    expect(await agent.order()).toMatchObject({ type: "shutdown-framework", frameworkId: framework.id });
    const again = await TestFramework.open({ info: { id: id(framework.id) } });
    expect((await again.next("ERROR")).error.message).toBe("Framework has been removed");
  });

  test("[M29] a failover deadline that runs is the same with the next master (T1), and ends when the framework is back", async () => {
    const framework = await TestFramework.subscribe({ info: { failover_timeout: 1234 } });
    expect((await frameworksInRegistry())("registered", framework.id)).toMatchObject({ failover_timeout: 1234 });
    await framework.leave();
    // What is written to its stream shows that nobody reads it.
    const other = await TestFramework.subscribe({ as: "operator" });
    await other.call({ type: "REVIVE" });
    const noted = async () => (await frameworksInRegistry())("disconnected", framework.id);
    for (let tries = 0; (await noted()) === undefined; tries++) {
      expect(tries).toBeLessThan(100);
      await framework.call({ type: "RECONCILE", reconcile: { tasks: [{ task_id: id("x") }] } });
      await scheduler.wait(20);
    }
    const before = await noted();
    await failover("master-2");
    expect(await noted()).toEqual(before);
    await failover("master-1");
    expect(await noted()).toEqual(before);
    const again = await back(framework, { failover_timeout: 1234 });
    expect(again.id).toBe(framework.id);
    expect(await noted()).toBeUndefined();
  });

  test("[M18] [M28] a deadline that passes removes the framework for every master", async () => {
    const framework = await TestFramework.subscribe({ info: { failover_timeout: 0.2 } });
    await framework.leave();
    const removed = async () => (await frameworksInRegistry())("removed", framework.id);
    for (let tries = 0; (await removed()) === undefined; tries++) {
      expect(tries).toBeLessThan(100);
      await framework.call({ type: "RECONCILE", reconcile: { tasks: [{ task_id: id("x") }] } });
      await scheduler.wait(50);
    }
    await failover("master-2");
    const again = await TestFramework.open({ info: { id: id(framework.id) } });
    expect((await again.next("ERROR")).error.message).toBe("Framework has been removed");
  });
});
