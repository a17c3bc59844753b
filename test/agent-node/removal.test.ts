// An agent that leaves its cluster, told to or by itself: real processes and real tasks, and kill -9 in between.
import { cpSync, existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { AgentId, ClusterId, Epoch } from "#protocol/ids.ts";
import { decodeLines } from "../../agent-node/checkpoint/lines.ts";
import { isAlive, identify, type ProcessIdentity } from "../../agent-node/checkpoint/process-identity.ts";
import { type AgentProcess, HAS_CGROUPS } from "./agent-process.ts";
import { eventually, launch } from "./fake-plane.ts";
import { host, onFreshHosts, plane } from "./fresh-host.ts";

onFreshHosts();
let agent: AgentProcess;

async function started(): Promise<void> {
  agent = host.start({ plane: plane.url });
  await plane.registered();
}

/** Starts a task that ignores SIGTERM, with a child in a session of its own where that can be found again. */
async function stubborn(taskId: string, graceMs = 300): Promise<readonly ProcessIdentity[]> {
  const grace = { kill_policy: { grace_period: { nanoseconds: graceMs * 1e6 } } };
  const child = HAS_CGROUPS ? "setsid sleep 600 & echo $!; " : "";
  plane.order(launch(taskId, `trap '' TERM; ${child}echo $$; while :; do sleep 0.02; done`, grace));
  await plane.state(taskId, "TASK_RUNNING");
  const pids = await eventually("its pids", () => {
    const lines = host.read(taskId, "stdout")?.trim().split("\n") ?? [];
    return lines.length === (HAS_CGROUPS ? 2 : 1) ? lines.map(Number) : undefined;
  });
  return pids.map((pid) => {
    const process = identify(pid);
    if (process === undefined) throw new Error(`process ${pid} of ${taskId} is not there`);
    return process;
  });
}

const records = (): string[] => {
  const lines = decodeLines(readFileSync(host.journal));
  return lines.type === "read" ? lines.records.map((record) => (record as { readonly type: string }).type) : [];
};
const checkpointed = (type: string): Promise<boolean> => eventually(type, () => records().includes(type) || undefined);

/** Nobody registers as this agent any more: the next one on the host is new, and only the host key is the old one. */
async function expectNewAgent(): Promise<void> {
  const [registrations, path] = [plane.registrations.length, plane.paths[0]];
  plane.agentId = "agent-S1" as AgentId;
  agent = host.start({ plane: plane.url });
  const next = await plane.registered(registrations + 1);
  expect([next.agentId, next.lastSession, next.clusterId, next.tasks]).toEqual([undefined, undefined, undefined, []]);
  expect(plane.paths.at(-1)).toBe(path);
  const hello = plane.received.findLast(({ type }) => type === "authenticate");
  expect(hello).toMatchObject({ epochSeen: plane.epoch });
  await eventually("the new registration", () => records().includes("registered") || undefined);
}

test("[A33] a removed agent ends its tasks, tells nobody, forgets its id, and exits with code 5", async () => {
  plane.clusterId = "cluster-1" as ClusterId;
  await started();
  const processes = await stubborn("task", 600_000);
  const sandbox = host.sandbox("task");
  const updates = plane.updates.length;
  plane.epoch = 9 as Epoch; // the leader may be a newer one than the registration's
  const askedAt = performance.now();
  plane.shutdown();
  expect(await agent.exited()).toBe(5);
  expect(performance.now() - askedAt).toBeLessThan(15_000); // 5 s of grace, not the task's 10 min
  expect(agent.output).toMatch(/marked gone/);
  for (const process of processes) expect(isAlive(process)).toBe(false);
  expect(plane.updates).toHaveLength(updates);
  expect(existsSync(sandbox)).toBe(true);
  await expectNewAgent();
});

test("[A33] an agent without tasks is removed at once, also when it only asks to register again", async () => {
  await started();
  plane.onRegister = ({ agentId }) =>
    agentId === undefined
      ? undefined
      : { type: "shutdown", agentId, epoch: plane.epoch, reason: "the registry does not know this agent" };
  plane.disconnect();
  expect(await agent.exited()).toBe(5);
  await expectNewAgent();
});

test("[A33] killed with -9 in the middle, the next agent goes on ending its tasks: it neither connects nor adopts them", async () => {
  await started();
  const processes = await stubborn("task", 600_000);
  const [sockets, updates] = [plane.sockets, plane.updates.length];
  plane.shutdown();
  await checkpointed("shutting-down");
  await agent.kill("SIGKILL");
  // Twice: an agent that goes on with it may be killed as well.
  agent = host.start({ plane: plane.url });
  await eventually("the second agent", () => agent.output.includes("agent started") || undefined);
  await agent.kill("SIGKILL");
  expect(processes.every(isAlive)).toBe(true);
  agent = host.start({ plane: plane.url });
  expect(await agent.exited()).toBe(5);
  for (const process of processes) expect(isAlive(process)).toBe(false);
  expect(plane.sockets).toBe(sockets);
  expect(plane.updates).toHaveLength(updates);
  await expectNewAgent();
});

test("[A33] killed with -9 before the word was durable, the agent is told again and ends then", async () => {
  await started();
  const processes = await stubborn("task");
  await agent.kill("SIGKILL");
  plane.onRegister = ({ agentId }) =>
    agentId === undefined ? undefined : { type: "shutdown", agentId, epoch: plane.epoch, reason: "gone" };
  agent = host.start({ plane: plane.url });
  expect(await agent.exited()).toBe(5);
  for (const process of processes) expect(isAlive(process)).toBe(false);
  await expectNewAgent();
});

test("[A33] SIGTERM in the middle stops this process; the next one finishes", async () => {
  await started();
  const processes = await stubborn("task", 600_000);
  plane.shutdown();
  await checkpointed("shutting-down");
  expect(await agent.kill("SIGTERM")).toBe(0);
  agent = host.start({ plane: plane.url });
  expect(await agent.exited()).toBe(5);
  for (const process of processes) expect(isAlive(process)).toBe(false);
});

test("[A33] run directories that a crash after the last step left are cleared by the next agent", async () => {
  await started();
  await stubborn("task");
  const containers = join(host.path, "meta", "containers");
  cpSync(containers, join(host.path, "left"), { recursive: true });
  plane.shutdown();
  expect(await agent.exited()).toBe(5);
  expect(readdirSync(containers)).toEqual([]);
  renameSync(join(host.path, "left"), containers);
  await expectNewAgent();
  expect(readdirSync(containers)).toEqual([]);
});

test("[A32] a word that is for another agent, of an old epoch, or unreadable ends no task and no id", async () => {
  await started();
  const processes = await stubborn("task");
  const wrong: readonly (() => void)[] = [
    () => plane.shutdown({ agentId: "agent-S1" as AgentId }),
    () => plane.shutdown({ epoch: 6 as Epoch }),
    () => plane.shutdown({ reason: "x".repeat(10_000) }),
    () => plane.sendText('{"type":"shutdown","agentId":"agent-S0","epoch":"7","reason":""}'),
    () => plane.sendText('{"type":"shutdown"}'),
  ];
  for (const [i, say] of wrong.entries()) {
    say();
    const registration = await plane.registered(i + 2);
    expect(registration.agentId).toBe("agent-S0");
    expect(registration.tasks.map(({ latest }) => latest)).toEqual(["TASK_RUNNING"]);
  }
  expect(records()).not.toContain("shutting-down");
  expect(processes.every(isAlive)).toBe(true);
});

test("[A32] a plane that has not shown that it knows the secret ends nothing", async () => {
  await started();
  const processes = await stubborn("task");
  const [registrations, sockets] = [plane.registrations.length, plane.sockets];
  const word = { type: "shutdown", agentId: plane.agentId, epoch: 99 as Epoch, reason: "forged" } as const;
  plane.authenticationAnswer = word; // in place of server-first
  plane.disconnect();
  await eventually("two attempts", () => plane.sockets >= sockets + 2 || undefined);
  plane.authenticationAnswer = undefined;
  plane.forgesSignature = true;
  await eventually("two more", () => plane.sockets >= sockets + 4 || undefined);
  plane.forgesSignature = false;
  const registration = await plane.registered(registrations + 1);
  expect(registration.tasks.map(({ latest }) => latest)).toEqual(["TASK_RUNNING"]);
  expect(processes.every(isAlive)).toBe(true);
  // Nor has the forged epoch become the fence.
  expect(plane.received.findLast(({ type }) => type === "authenticate")).toMatchObject({ epochSeen: 7 });
});

test("[A35] SIGUSR2 ends all tasks, waits for their updates, unregisters, and exits with code 0", async () => {
  await started();
  plane.order(launch("one", "sleep 600"), launch("two", "sleep 600"));
  await Promise.all(["one", "two"].map((task) => plane.state(task, "TASK_RUNNING")));
  expect(await agent.kill("SIGUSR2")).toBe(0);
  expect([plane.states("one").at(-1), plane.states("two").at(-1)]).toEqual(["TASK_KILLED", "TASK_KILLED"]);
  const [last] = plane.received.slice(-1);
  expect(last).toEqual({ type: "unregister", session: "session-1" });
  await expectNewAgent();
});

test("[A35] it asks again in the next session when the connection breaks before the answer", async () => {
  plane.unregisters = false;
  await started();
  const exited = agent.kill("SIGUSR2");
  await eventually("the question", () => plane.received.some(({ type }) => type === "unregister") || undefined);
  plane.unregisters = true;
  plane.disconnect();
  expect(await exited).toBe(0);
  expect(plane.received.filter(({ type }) => type === "unregister")).toEqual([
    { type: "unregister", session: "session-1" },
    { type: "unregister", session: "session-2" },
  ]);
});

test("[A35] without an answer it says that the id is still registered, and exits with code 6", async () => {
  plane.unregisters = false;
  await started();
  plane.order(launch("one", "sleep 600"));
  await plane.state("one", "TASK_RUNNING");
  expect(await agent.kill("SIGUSR2")).toBe(6);
  expect(agent.output).toMatch(/still registered/);
  expect(plane.states("one").at(-1)).toBe("TASK_KILLED");
  agent = host.start({ plane: plane.url });
  expect((await plane.registered(2)).agentId).toBe("agent-S0");
});

test("[A35] an agent that was never registered has nothing to unregister", async () => {
  agent = host.start({ plane: "http://127.0.0.1:9" });
  await eventually("the first attempt", () => agent.output.includes("cannot be reached") || undefined);
  expect(await agent.kill("SIGUSR2")).toBe(0);
});

test("[A34] the cluster of a registration is remembered and said; another cluster refuses the agent, and its tasks run on", async () => {
  plane.clusterId = "cluster-1" as ClusterId;
  await started();
  const processes = await stubborn("task");
  await agent.kill("SIGKILL");
  plane.onRegister = ({ clusterId }) => ({ type: "refused", reason: `an agent of cluster ${clusterId}` });
  agent = host.start({ plane: plane.url });
  expect(await agent.exited()).toBe(4);
  expect(agent.output).toMatch(/an agent of cluster cluster-1/);
  expect(processes.every(isAlive)).toBe(true);
  plane.onRegister = () => undefined;
  agent = host.start({ plane: plane.url });
  expect((await plane.registered(2)).tasks).toHaveLength(1);
});
