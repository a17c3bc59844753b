// What a framework asked for is done, whatever dies in between, and what it held is free when it is free, and not before.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Offer } from "#scheduler/index.ts";
import { amountOf } from "#scheduler/index.ts";
import { isAlive } from "./harness/alive.ts";
import { TestAgent } from "./harness/agent.ts";
import { AskingFramework } from "./harness/asking-framework.ts";
import { startCluster } from "./harness/cluster.ts";
import { TestPlane } from "./harness/plane.ts";
import { temporaryDirectory } from "./harness/workspace.ts";

/** A task that writes its pid, and ends only when it is killed the hard way. */
async function stubborn(): Promise<{ readonly command: string; readonly pid: () => Promise<number> }> {
  const file = join(await temporaryDirectory(), "pid");
  return {
    command: `trap '' TERM; echo $$ > ${file}; while :; do sleep 0.2; done`,
    pid: async () => Number(await readFile(file, "utf8")),
  };
}

const offersTo = ({ events }: AskingFramework): readonly Offer[] =>
  events.flatMap((event) => (event.type === "OFFERS" ? event.offers.offers : []));
const usedCpus = async (plane: TestPlane): Promise<number> => {
  const { slaves } = await plane.operator.get<{ slaves: { used_resources: { cpus: number } }[] }>("/slaves");
  return slaves[0]?.used_resources.cpus ?? Number.NaN;
};

test("[M8] [M16] TEARDOWN: what a task holds is free when its processes are gone, and no sooner (T7)", async () => {
  const { plane, agent } = await startCluster();
  const { id } = await agent.registered(plane.operator);
  const first = new AskingFramework(plane, { isAware: true });
  const { command, pid } = await stubborn();
  await first.launch([{ taskId: "t", agentId: id, command }]);
  const process = await pid();
  const second = new AskingFramework(plane, { isAware: true });
  await first.client.teardown();
  // Answered, and the process is still there: it does not hear SIGTERM.
  const cpus = (offer: Offer): number => amountOf(offer.resources, "cpus");
  let sawItHeld = false;
  for (const until = Date.now() + 20_000; Date.now() < until;) {
    const wasAlive = isAlive(process);
    if (wasAlive && (await usedCpus(plane)) > 0) sawItHeld = true;
    const isFree = (await usedCpus(plane)) === 0 || offersTo(second).some((offer) => cpus(offer) === 8);
    if (isFree) {
      expect(isAlive(process)).toBe(false);
      break;
    }
    await sleep(20);
  }
  expect(sawItHeld).toBe(true);
  expect(await usedCpus(plane)).toBe(0);
  await expect.poll(() => offersTo(second).some((offer) => cpus(offer) === 8), { timeout: 10_000 }).toBe(true);
  const { completed_frameworks } = await plane.operator.get<{ completed_frameworks: { id: string }[] }>("/frameworks");
  expect(completed_frameworks.map((one) => one.id)).toEqual([first.client.frameworkId]);
});

test("[M14] [M25] a kill is remembered while its agent is away and the plane dies, and done when both are back", async () => {
  const plane = await TestPlane.start({ AGENT_PING_TIMEOUT: "1secs", MAX_AGENT_PING_TIMEOUTS: "2" });
  const agent = await TestAgent.start({ plane: plane.url, credential: plane.state.agentCredential });
  const { id } = await agent.registered(plane.operator);
  const framework = new AskingFramework(plane, { isAware: true });
  const { command, pid } = await stubborn();
  await framework.launch([{ taskId: "t", agentId: id, command }]);
  const process = await pid();
  await agent.killHard();
  await framework.hears("t", "TASK_UNREACHABLE");
  await framework.client.kill({ taskId: "t" as never, gracePeriodNs: 0 });
  await plane.killHard();
  expect(isAlive(process)).toBe(true);
  await plane.boot();
  agent.startAgain();
  await framework.hears("t", "TASK_KILLED");
  expect(isAlive(process)).toBe(false);
});
