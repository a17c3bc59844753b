// kill -9 of the plane, and of the agent, while a task runs: the task runs on, its result arrives, nobody is removed.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startCluster } from "./harness/cluster.ts";
import { temporaryDirectory } from "./harness/workspace.ts";

/** A task that ends when the test says so. */
async function gatedTask(): Promise<{ readonly command: string; readonly open: () => Promise<void> }> {
  const gate = join(await temporaryDirectory(), "gate");
  return {
    command: `echo begun; while [ ! -e ${gate} ]; do sleep 0.1; done; echo done; exit 7`,
    open: () => writeFile(gate, ""),
  };
}
const flags = ["--name", "long", "--cpus", "0.1", "--mem", "32"];

test("kill -9 of the plane: the agent comes back with the task, the registry is what it was", async () => {
  const { plane, agent, start } = await startCluster();
  const before = await agent.registered(plane.operator);
  const { command, open } = await gatedTask();
  const task = start("run", ...flags, "--", "sh", "-c", command);
  await task.prints("begun");
  await plane.killHard();
  const since = Date.now();
  await plane.boot();
  const after = await agent.registered(plane.operator, { timeout: 30_000, since });
  expect(after.id).toBe(before.id);
  await open();
  expect(await task.exited()).toBe(7);
  expect(task.stdout).toBe("begun\ndone\n");
});

test("kill -9 of the plane: a result from the time without it is reported", async () => {
  const { plane, agent, start } = await startCluster();
  const { command, open } = await gatedTask();
  const task = start("run", ...flags, "--", "sh", "-c", command);
  await task.prints("begun");
  await plane.killHard();
  await open();
  await new Promise((resolve) => setTimeout(resolve, 1500)); // the task ends while nobody listens
  const since = Date.now();
  await plane.boot();
  await agent.registered(plane.operator, { timeout: 30_000, since });
  expect(await task.exited()).toBe(7);
});

test("kill -9 of the agent: the task runs on, and the next agent reports its result", async () => {
  const { plane, agent, start } = await startCluster();
  const before = await agent.registered(plane.operator);
  const { command, open } = await gatedTask();
  const task = start("run", ...flags, "--", "sh", "-c", command);
  await task.prints("begun");
  await agent.killHard();
  await open();
  await new Promise((resolve) => setTimeout(resolve, 1500)); // the task ends while no agent looks
  const since = Date.now();
  agent.startAgain();
  const after = await agent.registered(plane.operator, { timeout: 30_000, since });
  expect(after.id).toBe(before.id);
  expect(await task.exited()).toBe(7);
  expect(task.stdout).toBe("begun\ndone\n");
});
