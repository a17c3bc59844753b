// `mesoflare start`: one cluster per directory, everything gone at the end, the same agent the next time.
import { createServer } from "node:net";
import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseLock, leftoversOf, type Lock } from "../../cli/start/lock.ts";
import { isAlive } from "../../cli/start/processes.ts";
import { Command, mesoflare } from "./harness/command.ts";
import { built, freePort, onEnd, temporaryDirectory } from "./harness/workspace.ts";

const launch = (...args: readonly string[]): Command =>
  new Command(process.execPath, [built("mesoflare.js"), "start", ...args]);

async function lockOf(state: string): Promise<Lock> {
  const lock = parseLock(await readFile(join(state, "lock.json"), "utf8"));
  if (lock === undefined) throw new Error("no lock");
  return lock;
}
const registeredId = (output: string): string | undefined => /registered as (\S+)/.exec(output)?.[1];

test("ready within 5 s; Ctrl-C leaves no process; the next start has the same agent id", async () => {
  const state = join(await temporaryDirectory(), "state");
  const flags = ["--state", state, "--port", String(await freePort())];
  const first = launch(...flags);
  await first.prints(/ready in [0-4]\.\d s/);
  const lock = await lockOf(state);
  expect(leftoversOf(lock).length).toBe(3);
  for (const secret of ["context.json", "agent.json"])
    expect((await stat(join(state, secret))).mode & 0o777).toBe(0o600);
  const task = await mesoflare(join(state, "context.json"), "run", "--name", "t", "--detach", "--", "sleep", "300");
  expect(task.code).toBe(0);
  await first.leave("SIGINT");
  expect(await first.exited()).toBe(0);
  for (const identity of leftoversOf(lock)) expect(await isAlive(identity)).toBe(false);
  expect(existsSync(join(state, "lock.json"))).toBe(false);

  const second = launch(...flags);
  await second.prints(/ready in/);
  expect(registeredId(second.stdout)).toBe(registeredId(first.stdout));
  const { tasks } = JSON.parse((await mesoflare(join(state, "context.json"), "tasks", "--all", "--json")).stdout) as {
    tasks: { state: string }[];
  };
  expect(tasks.map((one) => one.state)).toEqual(["TASK_KILLED"]); // reported before the plane went
});

test("a second start on a live directory names the pid and exits 1; the first is not disturbed", async () => {
  const state = join(await temporaryDirectory(), "state");
  const first = launch("--state", state, "--port", String(await freePort()), "--agents", "0");
  await first.prints("ready in");
  const second = launch("--state", state, "--port", String(await freePort()));
  expect(await second.exited()).toBe(1);
  expect(second.stderr).toContain(`pid ${first.pid}`);
  expect(first.ended).toBe(false);
});

test("a taken port is named, exit 1, and nothing is left behind", async () => {
  const parent = await temporaryDirectory();
  const port = await freePort();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  onEnd(() => new Promise((resolve) => server.close(resolve)));
  const command = launch("--state", join(parent, "state"), "--port", String(port));
  expect(await command.exited()).toBe(1);
  expect(command.stderr).toContain(`port ${port}`);
  expect(await readdir(parent)).toEqual([]);
});

test("another --replicas than the directory has is refused", async () => {
  const state = join(await temporaryDirectory(), "state");
  const port = String(await freePort());
  const first = launch("--state", state, "--port", port, "--agents", "0", "--replicas", "3");
  await first.prints("ready in");
  await first.leave("SIGINT");
  const second = launch("--state", state, "--port", port, "--replicas", "5");
  expect(await second.exited()).toBe(1);
  expect(second.stderr).toContain("3 replicas, not 5");
});

test("after kill -9 of the launcher the next start ends what was left and goes on", async () => {
  const state = join(await temporaryDirectory(), "state");
  const flags = ["--state", state, "--port", String(await freePort())];
  const first = launch(...flags);
  await first.prints("ready in");
  const lock = await lockOf(state);
  await first.leave("SIGKILL");
  const second = launch(...flags);
  await second.prints("ready in");
  expect(registeredId(second.stdout)).toBe(registeredId(first.stdout));
  for (const identity of leftoversOf(lock)) expect(await isAlive(identity)).toBe(false);
});

test("when workerd dies the launcher stops the agents and exits 1", async () => {
  const state = join(await temporaryDirectory(), "state");
  const command = launch("--state", state, "--port", String(await freePort()));
  await command.prints("ready in");
  const lock = await lockOf(state);
  process.kill(lock.workerd?.pid ?? 0, "SIGKILL");
  expect(await command.exited()).toBe(1);
  expect(command.stdout).toContain("the plane died");
  for (const identity of leftoversOf(lock)) expect(await isAlive(identity)).toBe(false);
});

test("an agent that dies is started again", async () => {
  const state = join(await temporaryDirectory(), "state");
  const command = launch("--state", state, "--port", String(await freePort()), "--agents", "2");
  await command.prints("ready in");
  const before = await lockOf(state);
  process.kill(before.agents["agent-2"]?.pid ?? 0, "SIGKILL");
  await command.prints("agent-2 was ended by SIGKILL");
  await expect
    .poll(async () => (await lockOf(state)).agents["agent-2"]?.pid, { timeout: 5000 })
    .not.toBe(before.agents["agent-2"]?.pid);
});
