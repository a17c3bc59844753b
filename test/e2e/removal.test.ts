// Agents that must not go on, and agents that are lost, with real processes: what is gone, removed or unknown is told to end its tasks; what
// dies while no master leads is found by the next one, and every framework hears of it.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isAlive } from "./harness/alive.ts";
import { TestAgent } from "./harness/agent.ts";
import { mesoflare } from "./harness/command.ts";
import { TestFramework } from "./harness/framework.ts";
import { TestPlane } from "./harness/plane.ts";
import { temporaryDirectory } from "./harness/workspace.ts";

/** Exit code of an agent that the plane told to shut down. */
const REMOVED = 5;

const startAgent = (plane: TestPlane, hostname: string): Promise<TestAgent> =>
  TestAgent.start({ plane: plane.url, credential: plane.state.agentCredential, hostname });

/** A task that writes its pid and goes on for ever. */
async function endless(): Promise<{ readonly command: string; readonly pid: () => Promise<number> }> {
  const file = join(await temporaryDirectory(), "pid");
  return {
    command: `echo $$ > ${file}; while :; do sleep 0.2; done`,
    pid: async () => Number(await readFile(file, "utf8")),
  };
}

const agentsOf = async (plane: TestPlane): Promise<Record<string, string>> => {
  const { agents } = await plane.operator.get<{ agents: { id: string; state: string }[] }>("/mesoflare/agents");
  return Object.fromEntries(agents.map(({ id, state }) => [id, state]));
};

test("an agent that is marked gone ends its tasks and exits; its host may join as a new agent", async () => {
  const plane = await TestPlane.start();
  const agent = await startAgent(plane, "gone");
  const { id } = await agent.registered(plane.operator);
  const framework = new TestFramework(plane, { partitionAware: true });
  const { command, pid } = await endless();
  await framework.launch("t", command);
  const task = await pid();
  expect(isAlive(task)).toBe(true);
  const said = await mesoflare(plane.state.context, "agents", "gone", id);
  expect([said.code, said.stdout]).toEqual([0, `agent ${id} is gone\n`]);
  expect(await agent.command.exited()).toBe(REMOVED);
  expect(isAlive(task)).toBe(false);
  await framework.hears("t", "TASK_GONE_BY_OPERATOR");
  expect(framework.lost).toEqual([id]);
  expect(framework.statesOf("t")).not.toContain("TASK_KILLED");
  const since = Date.now();
  agent.startAgain();
  const again = await agent.registered(plane.operator, { since });
  expect(again.id).not.toBe(id);
  const listed = await mesoflare(plane.state.context, "agents");
  expect(listed.stdout).toMatch(new RegExp(`${id}\\s+gone\\s+gone`));
  const nobody = await mesoflare(plane.state.context, "agents", "gone", "nobody");
  expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining("no agent nobody in the registry")]);
});

test("an agent that the registry has forgotten meanwhile is told to shut down, and its task ends", async () => {
  const plane = await TestPlane.start({
    AGENT_PING_TIMEOUT: "1secs",
    MAX_AGENT_PING_TIMEOUTS: "2",
    REGISTRY_GC_INTERVAL: "1secs",
    REGISTRY_MAX_AGENT_AGE: "1secs",
  });
  const agent = await startAgent(plane, "rogue");
  const { id } = await agent.registered(plane.operator);
  const framework = new TestFramework(plane, { partitionAware: true });
  const { command, pid } = await endless();
  await framework.launch("t", command);
  const task = await pid();
  await agent.killHard();
  await framework.hears("t", "TASK_UNREACHABLE");
  await expect.poll(() => agentsOf(plane), { timeout: 20_000, interval: 100 }).toEqual({});
  expect(isAlive(task)).toBe(true); // nobody has told it anything
  agent.startAgain();
  expect(await agent.command.exited()).toBe(REMOVED);
  expect(isAlive(task)).toBe(false);
  expect(await agentsOf(plane)).toEqual({});
  expect(framework.lost).toEqual([id]);
});

test("write-only: the same agent is taken in again, with its task", async () => {
  const plane = await TestPlane.start({
    REGISTRY: "write-only",
    AGENT_PING_TIMEOUT: "1secs",
    MAX_AGENT_PING_TIMEOUTS: "2",
    REGISTRY_GC_INTERVAL: "1secs",
    REGISTRY_MAX_AGENT_AGE: "1secs",
  });
  const agent = await startAgent(plane, "rogue");
  const { id } = await agent.registered(plane.operator);
  const framework = new TestFramework(plane, { partitionAware: true });
  const { command, pid } = await endless();
  await framework.launch("t", command);
  await agent.killHard();
  await expect.poll(() => agentsOf(plane), { timeout: 20_000, interval: 100 }).toEqual({});
  const since = Date.now();
  agent.startAgain();
  expect((await agent.registered(plane.operator, { since })).id).toBe(id);
  await framework.hears("t", "TASK_RUNNING");
  expect(isAlive(await pid())).toBe(true);
});

test("dual failure: an agent dies while no master leads; the next master finds out, and tells every framework", async () => {
  const plane = await TestPlane.start({ AGENT_REREGISTER_TIMEOUT: "5secs" });
  const [dead, alive] = [await startAgent(plane, "dead"), await startAgent(plane, "alive")];
  const { id } = await dead.registered(plane.operator);
  const survivor = await alive.registered(plane.operator);
  const frameworks = [
    { framework: new TestFramework(plane, { partitionAware: true }), away: "TASK_UNREACHABLE" },
    { framework: new TestFramework(plane, { partitionAware: false }), away: "TASK_LOST" },
  ] as const;
  const { command, pid } = await endless();
  const [{ framework: aware }] = frameworks;
  await aware.launch("t", command);
  const task = await pid();
  const onDead = aware.statuses.at(-1)?.agent_id?.value === id;
  const [victim, victimId] = onDead ? [dead, id] : [alive, survivor.id];
  const [other, otherId] = onDead ? [alive, survivor.id] : [dead, id];

  await plane.killHard();
  await victim.killHard();
  await plane.forgetMasters();
  const since = Date.now();
  await plane.boot();
  await other.registered(plane.operator, { since, timeout: 30_000 });
  await expect
    .poll(() => agentsOf(plane), { timeout: 20_000, interval: 100 })
    .toMatchObject({ [victimId]: "unreachable", [otherId]: "active" });
  for (const { framework, away } of frameworks) {
    await expect.poll(() => framework.lost, { timeout: 20_000, interval: 50 }).toEqual([victimId]);
    await framework.client.reconcile([{ taskId: "t" as never, agentId: victimId }]);
    await framework.hears("t", away);
    expect(framework.statuses.at(-1)).toMatchObject({
      reason: "REASON_RECONCILIATION",
      unreachable_time: expect.anything() as object,
    });
  }
  expect(await plane.log()).toContain('"fresh":true');
  // It was not dead after all: its task runs on, and the framework hears of it again.
  expect(isAlive(task)).toBe(true);
  victim.startAgain();
  await aware.hears("t", "TASK_RUNNING");
});

test("more agents missing after a failover than the limit allows: the master stops, the registry is as it was, and the next epoch waits anew", async () => {
  const plane = await TestPlane.start({ AGENT_REREGISTER_TIMEOUT: "2secs", RECOVERY_AGENT_REMOVAL_LIMIT: "40%" });
  const agents = [await startAgent(plane, "one"), await startAgent(plane, "two")];
  for (const agent of agents) await agent.registered(plane.operator);
  await plane.killHard();
  for (const agent of agents) await agent.killHard();
  await plane.forgetMasters();
  await plane.boot();
  await expect
    .poll(async () => (await agentsOf(plane).catch(() => undefined)) && (await plane.log()), {
      timeout: 20_000,
      interval: 200,
    })
    .toContain("2 of 2 agents of the registry did not come back");
  await expect
    .poll(async () => (await plane.log()).match(/"fresh":true/g)?.length, { timeout: 20_000, interval: 200 })
    .toBeGreaterThan(2);
  const since = Date.now();
  for (const agent of agents) agent.startAgain();
  for (const agent of agents) await agent.registered(plane.operator, { since, timeout: 30_000 });
  expect(Object.values(await agentsOf(plane))).toEqual(["active", "active"]);
});
