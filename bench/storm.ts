// `bench -- storm`: what every deploy of a Worker does to a fleet. Agents register, all of their sockets are lost in one moment, and
// they come back by themselves: with the ids they had, without a second launch of anything, and nobody is removed.
import { SimulatedAgents, type Counts } from "./agents/simulated-agents.ts";
import { BenchPlane } from "./bench-plane.ts";
import { percentile, rounded, type Report } from "./report.ts";

const AGENTS = 2_000;
const TASKS_EACH = 5;
const GATEWAYS = 4;
/** A registration or a storm that takes longer is broken, ms. */
const MS_MAX = 180_000;

export async function storm(): Promise<Report> {
  const plane = await BenchPlane.start({ gateways: GATEWAYS });
  const credential = await plane.agentCredential();
  const agents = new SimulatedAgents({ plane: plane.url, credential, count: AGENTS, tasksEach: TASKS_EACH });
  try {
    const registerSeconds = await seconds(agents, () => agents.start());
    const ids = agents.agents.map(({ state }) => state.registration?.agentId);
    agents.forgetLatencies();
    const stormSeconds = await seconds(agents, () => agents.dropAll());
    const { changedIds, duplicateLaunches } = agents.counts;
    const others = agents.agents.filter(({ state }, i) => state.registration?.agentId !== ids[i]).length;
    if (changedIds + others > 0) throw new Error(`${changedIds + others} agents were given another id`);
    if (duplicateLaunches > 0) throw new Error(`${duplicateLaunches} tasks were launched twice`);
    const sinceOpen = agents.latencies.map(({ sinceOpenMs }) => sinceOpenMs);
    return {
      bench: "storm",
      method:
        `${AGENTS} simulated agents with ${TASKS_EACH} running tasks each, ${GATEWAYS} gateways, real sockets, authentication included: from their start until all are ` +
        "registered, then all sockets end in one moment, until all are registered again, each with its own id; storm_register_ms: from opening a socket to registered; RSS is the largest of workerd",
      figures: [
        { name: "register_2k_s", value: rounded(registerSeconds), unit: "s" },
        { name: "storm_2k_s", value: rounded(stormSeconds), unit: "s" },
        { name: "storm_register_ms_p50", value: rounded(percentile(sinceOpen, 0.5)), unit: "ms" },
        { name: "storm_register_ms_p99", value: rounded(percentile(sinceOpen, 0.99)), unit: "ms" },
        { name: "plane_rss_mb", value: rounded(plane.largestRssMb()), unit: "MB" },
      ],
    };
  } finally {
    agents.stop();
    await plane.stop();
  }
}

/** From `begin` until every agent is registered by a registration that came after it. */
async function seconds(agents: SimulatedAgents, begin: () => void): Promise<number> {
  const before = agents.counts.registrations;
  const startedAt = performance.now();
  begin();
  const isDone = ({ registered, registrations }: Counts): boolean =>
    registered === AGENTS && registrations >= before + AGENTS;
  await agents.until(isDone, { msMax: MS_MAX, onSecond: tell });
  return (performance.now() - startedAt) / 1000;
}

const tell = ({ connected, registered }: Counts, ms: number): void =>
  void process.stderr.write(`${(ms / 1000).toFixed(0)} s: ${connected} connected, ${registered} registered\n`);
