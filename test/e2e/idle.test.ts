// What idle agents cost: 500 of them ping for two minutes on workerd, and the objects count what they are woken by and what they
// write. A ping is answered by the runtime: it wakes nobody, and writes no row.
import { setTimeout as sleep } from "node:timers/promises";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { credentialSchema } from "#protocol/credentials.ts";
import * as v from "valibot";
import { SimulatedAgents } from "../../bench/agents/simulated-agents.ts";
import { idleHour } from "../agent/idle-hour.ts";
import { HostedPlane } from "./harness/hosted-plane.ts";
import { onEnd } from "./harness/workspace.ts";

const AGENTS = 500;
const MS = 120_000;
type Counts = Readonly<Record<string, number>>;

async function counts(
  plane: HostedPlane,
): Promise<{ readonly gateway: Counts; readonly master: Counts; readonly replica: Counts }> {
  const [gateway, master, replica] = await Promise.all([
    plane.ask("GATEWAY", "gateway-1", "/counts"),
    plane.ask("MASTER", "master-1", "/counts"),
    plane.ask("REPLICA", "replica-1", "/counts"),
  ]);
  return { gateway: gateway as Counts, master: master as Counts, replica: replica as Counts };
}

const since = (before: Counts, after: Counts, name: string): number => (after[name] ?? 0) - (before[name] ?? 0);

test(
  "500 idle agents, two minutes: as many wake-ups and rows as the virtual hour has, and none for a ping",
  { timeout: 240_000 },
  async () => {
    const plane = await HostedPlane.start("counting-worker.js", {
      AGENT_PING_TIMEOUT: "5secs",
      MAX_AGENT_PING_TIMEOUTS: "3",
    });
    const credential = v.parse(credentialSchema, JSON.parse(await readFile(plane.state.agentCredential, "utf8")));
    const agents = new SimulatedAgents({ plane: plane.url, credential, count: AGENTS, tasksEach: 0 });
    onEnd(() => {
      agents.stop();
      return Promise.resolve();
    });
    agents.start();
    await agents.until(({ registered }) => registered === AGENTS, { msMax: 60_000 });
    await sleep(3_000); // the registrations' own work is done
    const before = await counts(plane);
    const registrations = agents.counts.registrations;
    await sleep(MS);
    const after = await counts(plane);
    expect(agents.counts.registered).toBe(AGENTS);
    expect(agents.counts.registrations).toBe(registrations); // nobody was cut off: the pings were heard
    const { gateway, master } = idleHour(AGENTS);
    const share = MS / 3_600_000;
    // One more or one less, by where the two minutes begin.
    const agrees = (counted: number, inAnHour: number): void => {
      expect(counted).toBeGreaterThanOrEqual(Math.floor(inAnHour * share) - 1);
      expect(counted).toBeLessThanOrEqual(Math.ceil(inAnHour * share) + 1);
    };
    agrees(since(before.gateway, after.gateway, "alarm"), gateway.alarms);
    agrees(since(before.gateway, after.gateway, "alarmsSet"), gateway.rows);
    agrees(since(before.master, after.master, "checkIn"), master.checkIns);
    agrees(since(before.master, after.master, "alarm"), master.alarms);
    expect(since(before.gateway, after.gateway, "webSocketMessage")).toBe(0);
    expect(since(before.gateway, after.gateway, "rowsWritten")).toBe(0);
    expect(since(before.master, after.master, "rowsWritten")).toBe(0);
    expect(since(before.master, after.master, "fromGateway")).toBe(0);
    expect(since(before.replica, after.replica, "rowsWritten")).toBe(0);
  },
);
