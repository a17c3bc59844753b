// Admission needs two of three replicas: one may be down; with two down nobody is told "registered", and it goes on by
// itself when they return.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { TestAgent } from "./harness/agent.ts";
import { FaultyPlane } from "./harness/faulty-plane.ts";

const startAgent = (plane: FaultyPlane, hostname: string): Promise<TestAgent> =>
  TestAgent.start({ plane: plane.url, credential: plane.state.agentCredential, hostname });

test("with one replica down, agents are admitted", async () => {
  const plane = await FaultyPlane.start();
  await plane.breakReplica(1);
  const agent = await startAgent(plane, "one-down");
  await agent.registered(plane.operator);
});

test("with two replicas down nothing is acknowledged and the plane answers 503; when they return, admission completes by itself", async () => {
  const plane = await FaultyPlane.start();
  const first = await startAgent(plane, "admitted-before");
  await first.registered(plane.operator);
  await plane.breakReplica(1);
  await plane.breakReplica(2);
  const late = await startAgent(plane, "admitted-after");

  const status = async (path: string): Promise<number> => (await plane.operator.fetch(path)).status;
  await expect.poll(() => status("/slaves"), { timeout: 20_000, interval: 200 }).toBe(503);
  const metrics = (await (await plane.operator.fetch("/metrics/snapshot")).json()) as Record<string, number>;
  expect(metrics["master/elected"]).toBe(0);
  expect(late.command.stdout + late.command.stderr).not.toMatch(/"?registered as/);
  await sleep(1500); // long enough for an agent that would give up
  expect(late.command.ended).toBe(false);
  expect(first.command.ended).toBe(false);

  await plane.mendReplica(1);
  await plane.mendReplica(2);
  await late.registered(plane.operator, { timeout: 45_000 });
  await first.registered(plane.operator, { timeout: 45_000 });
});
