// `bench -- failover`: a master that knows nothing but the log takes over a fleet. The plane's processes are killed with kill -9, the
// masters' storage is removed, and the plane starts again: a new epoch begins, and every agent brings its tasks back.
//
// Ten thousand sockets need `ulimit -n 20000` or more, here and in the plane, which inherits it.
import { readFileSync } from "node:fs";
import { SimulatedAgents, type Counts } from "./agents/simulated-agents.ts";
import { BenchPlane } from "./bench-plane.ts";
import { coreFailoverSeconds } from "./failover/core.ts";
import { percentile, rounded, type Figure, type Report } from "./report.ts";

const SIZES = [
  { agents: 1_000, name: "1k" },
  { agents: 5_000, name: "5k" },
  { agents: 10_000, name: "10k", aim: 15 },
] as const;
const TASKS_EACH = 10;
const GATEWAYS = 10;
const CORE_AGENTS = 40_000;
const CORE_RUNS = 3;
/** Agents that are installed in a second before the failover: what is measured comes after. */
const INSTALLED_PER_S = 400;
const MS_MAX = 300_000;
/** Descriptors beside the sockets. */
const DESCRIPTORS_SPARE = 500;

export async function failover({ agents }: { readonly agents?: number }): Promise<Report> {
  const sizes = SIZES.filter((size) => agents === undefined || size.agents === agents);
  if (sizes.length === 0) throw new Error(`--agents is one of ${SIZES.map((size) => size.agents).join(", ")}`);
  const descriptors = Math.max(...sizes.map((size) => size.agents)) + DESCRIPTORS_SPARE;
  if (descriptorsMax() < descriptors)
    throw new Error(`too few descriptors for that many sockets: ulimit -n ${descriptors}`);
  const figures: Figure[] = [];
  let largestRssMb = 0;
  for (const { name, agents: count, ...aim } of sizes) {
    const result = await failOver(count);
    largestRssMb = Math.max(largestRssMb, result.planeRssMb);
    figures.push({ name: `failover_${name}_s`, value: rounded(result.seconds), unit: "s", ...aim });
    figures.push({ name: `failover_${name}_cpu_s`, value: rounded(result.planeCpuSeconds), unit: "s of CPU" });
  }
  if (agents === undefined) {
    const runs = Array.from({ length: CORE_RUNS }, () => coreFailoverSeconds(CORE_AGENTS, TASKS_EACH));
    // The peer published 19 s for as many agents and tasks.
    const peer = { name: "Mesos 1.5", value: 19, measured: "published with its release, other hardware" };
    figures.push({ name: "core_failover_40k_s", value: rounded(percentile(runs, 0.5)), unit: "s", aim: 10, peer });
  }
  figures.push({ name: "plane_rss_mb", value: rounded(largestRssMb), unit: "MB", aim: 400 });
  return {
    bench: "failover",
    method:
      `simulated agents with ${TASKS_EACH} running tasks each and ${GATEWAYS} gateways, on real sockets, authentication included; kill -9 of the plane's processes, ` +
      "removal of the masters' storage, and a new start: from listening again until all agents are registered in the new epoch, their own pauses included; " +
      `cpu: of workerd in that time; RSS is the largest of workerd; core: ${CORE_AGENTS} agents in the master's core alone, without sockets and rows, median of ${CORE_RUNS}`,
    figures,
  };
}

interface Result {
  readonly seconds: number;
  readonly planeCpuSeconds: number;
  readonly planeRssMb: number;
}

async function failOver(count: number): Promise<Result> {
  const plane = await BenchPlane.start({ gateways: GATEWAYS });
  const credential = await plane.agentCredential();
  const agents = new SimulatedAgents({ plane: plane.url, credential, count, tasksEach: TASKS_EACH });
  try {
    agents.start({ spreadMs: (count / INSTALLED_PER_S) * 1_000 });
    await agents.untilAllRegistered({ msMax: MS_MAX, onSecond: tell(`${count} install`) });
    const epochs = new Map(agents.agents.map((agent) => [agent, agent.state.epochSeen]));
    await plane.killHard();
    await plane.forgetMasters();
    await plane.boot();
    const startedAt = performance.now();
    const isDone = ({ registered }: Counts): boolean =>
      registered === count && agents.agents.every((agent) => agent.state.epochSeen > (epochs.get(agent) ?? 0));
    await agents.until(isDone, { msMax: MS_MAX, onSecond: tell(`${count} failover`) });
    const seconds = (performance.now() - startedAt) / 1000;
    const { changedIds, duplicateLaunches, stopped } = agents.counts;
    if (changedIds + duplicateLaunches + stopped > 0)
      throw new Error(`not a failover: ${JSON.stringify({ changedIds, duplicateLaunches, stopped })}`);
    const planeCpuSeconds = cpuSeconds(plane.workerdPid);
    process.stderr.write(
      `${count}: ${seconds.toFixed(1)} s, workerd ${planeCpuSeconds.toFixed(1)} s of CPU, this process ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB; ${JSON.stringify(agents.worstTroubles())}\n`,
    );
    return { seconds, planeCpuSeconds, planeRssMb: plane.largestRssMb() };
  } finally {
    agents.stop();
    await plane.stop();
  }
}

const tell =
  (what: string) =>
  ({ connected, registered }: Counts, ms: number): void =>
    void process.stderr.write(
      `${what}, ${(ms / 1000).toFixed(0)} s: ${connected} connected, ${registered} registered\n`,
    );

/** The soft limit of open files: Node raises its own to the hard one when it starts. */
function descriptorsMax(): number {
  return Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 0);
}

/** User and system time of a process so far. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const TICKS_PER_SECOND = 100;
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
