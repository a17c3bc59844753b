// The whole agent against a plane that obeys: real processes, real sockets, real cgroups.
import { afterEach, beforeEach, expect, test } from "vitest";
import { AgentHost, type AgentProcess } from "./agent-process.ts";
import { FakePlane, launch } from "./fake-plane.ts";

let plane: FakePlane;
let host: AgentHost;
let agent: AgentProcess;

beforeEach(async () => {
  plane = await FakePlane.start();
  host = new AgentHost();
});
afterEach(async (context) => {
  if (context.task.result?.state === "fail") process.stderr.write(agent?.output ?? "");
  await host.cleanUp();
  await plane.stop();
});

test("[A1] an agent registers and runs a task to its end", async () => {
  agent = host.start({ plane: plane.url });
  await plane.registered();
  plane.order(launch("hello", "echo hello; echo $MESOS_TASK_ID >&2"));
  const update = await plane.state("hello", "TASK_FINISHED");
  expect(plane.states("hello")).toEqual(["TASK_RUNNING", "TASK_FINISHED"]);
  expect(update.status.message).toBe("Command exited with status 0");
  expect(host.read("hello", "stdout")).toBe("hello\n");
  expect(host.read("hello", "stderr")).toBe("hello\n");
});
