// Every socket of a fleet is lost in one moment, as at each deploy: it is routine, and nothing comes of it.
import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { expect, test } from "vitest";
import { credentialSchema } from "#protocol/credentials.ts";
import type { TaskId } from "#protocol/ids.ts";
import { launch, SchedulerClient, scalar } from "#scheduler/index.ts";
import { SimulatedAgents } from "../../bench/agents/simulated-agents.ts";
import { TestPlane } from "./harness/plane.ts";
import { onEnd } from "./harness/workspace.ts";

const AGENTS = 2_000;
const MS_MAX = 120_000;

async function fleet(plane: TestPlane, tasksEach: number): Promise<SimulatedAgents> {
  const credential = v.parse(credentialSchema, JSON.parse(await readFile(plane.state.agentCredential, "utf8")));
  const agents = new SimulatedAgents({ plane: plane.url, credential, count: AGENTS, tasksEach });
  onEnd(async () => agents.stop());
  return agents;
}

const ids = (agents: SimulatedAgents) => agents.agents.map(({ state }) => state.registration?.agentId);

test(
  "after a storm every agent has its own id again, and a task that was launched is launched once",
  { timeout: 300_000 },
  async () => {
    const plane = await TestPlane.start({ GATEWAYS: "4" });
    const agents = await fleet(plane, 1);
    agents.start();
    await agents.untilAllRegistered({ msMax: MS_MAX });
    const before = ids(agents);
    expect(new Set(before).size).toBe(AGENTS);

    // One task on each agent, and the storm right behind the launches: some orders are on their way.
    const { principal, secret } = await plane.state.prepareCredentials(plane.url);
    const client = new SchedulerClient({ plane: plane.url, credential: { principal, secret } });
    const framework = { user: "nobody", name: "storm", capabilities: [{ type: "PARTITION_AWARE" }] };
    const ended = new AbortController();
    onEnd(async () => ended.abort());
    const states = new Map<string, string>();
    const [launched, settled] = [new Set<string>(), Promise.withResolvers<void>()];
    const events = (async () => {
      for await (const event of client.subscribe(framework, { signal: ended.signal })) {
        if (event.type === "OFFERS") {
          for (const offer of event.offers.offers) {
            const taskId = `storm-${offer.agent_id.value}`;
            if (launched.has(taskId)) continue;
            launched.add(taskId);
            const resources = [scalar("cpus", 0.1), scalar("mem", 32)];
            const command = { shell: false, value: "true", arguments: ["true"] };
            const task = {
              name: taskId,
              task_id: { value: taskId as TaskId },
              agent_id: offer.agent_id,
              resources,
              command,
            };
            void client.accept([offer.id.value], [launch([task])], 3600).catch(() => launched.delete(taskId));
          }
        }
        if (event.type === "UPDATE") {
          states.set(event.update.status.task_id.value, event.update.status.state);
          await client.acknowledge(event.update.status).catch(() => undefined);
        }
        if (states.size === AGENTS) settled.resolve();
      }
    })().catch(() => undefined);

    await agents.until(({ launches }) => launches > AGENTS / 4, { msMax: MS_MAX });
    const { registrations } = agents.counts;
    agents.dropAll();
    await agents.until((now) => now.registered === AGENTS && now.registrations >= registrations + AGENTS, {
      msMax: MS_MAX,
    });
    await settled.promise;
    ended.abort();
    await events;

    expect(ids(agents)).toEqual(before);
    const { changedIds, duplicateLaunches, launches, stopped } = agents.counts;
    expect({ changedIds, duplicateLaunches, stopped }).toEqual({ changedIds: 0, duplicateLaunches: 0, stopped: 0 });
    const metrics = await plane.operator.get<Record<string, number>>("/metrics/snapshot");
    expect([metrics["master/slave_unreachable_scheduled"], metrics["master/slaves_active"]]).toEqual([0, AGENTS]);
    // What did not arrive is told as dropped, and only that: everything else runs.
    const running = [...states.values()].filter((state) => state === "TASK_RUNNING").length;
    expect(running).toBe(launches);
    expect([...states.values()].filter((state) => state !== "TASK_RUNNING" && state !== "TASK_DROPPED")).toEqual([]);
  },
);
