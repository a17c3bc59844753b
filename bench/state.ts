// `bench -- state`: the longest view of all, of a plane with many agents and tasks, and what other calls wait while somebody reads it.
//
// Ten thousand sockets need `ulimit -n 20000` or more, here and in the plane, which inherits it.
import { SimulatedAgents, type Counts } from "./agents/simulated-agents.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { present } from "#base/assert.ts";
import { BenchPlane } from "./bench-plane.ts";
import { percentile, rounded, type Report } from "./report.ts";
import { Caller, type Read } from "./state/caller.ts";

const AGENTS = 10_000;
const TASKS_EACH = 10;
const GATEWAYS = 10;
const INSTALLED_PER_S = 400;
const MS_MAX = 300_000;
const RUNS = 9;
/** For the compilers, before anything is measured. */
const WARM_RUNS = 2;
/** Readers of one view at the same time. */
const TOGETHER = 4;
/** Watched before anybody reads; again until what comes after the registrations is over. */
const IDLE_MS = 2_000;
const CALM_MS = 50;
const IDLE_WATCHES_MAX = 30;

interface Run {
  readonly read: Read;
  readonly stallMs: number;
}

export async function state({ agents: count = AGENTS }: { readonly agents?: number }): Promise<Report> {
  const plane = await BenchPlane.start({ gateways: GATEWAYS });
  const credential = await plane.agentCredential();
  const agents = new SimulatedAgents({ plane: plane.url, credential, count, tasksEach: TASKS_EACH });
  const prober = new Caller();
  const readers = Array.from({ length: TOGETHER }, () => new Caller());
  const [reader] = readers;
  try {
    agents.start({ spreadMs: (count / INSTALLED_PER_S) * 1_000 });
    await agents.untilAllRegistered({ msMax: MS_MAX, onSecond: tell });
    // A call that the master answers itself, in no time.
    const short = `${plane.url}/redirect`;
    const measured = async <T>(read: () => Promise<T>): Promise<{ readonly read: T; readonly stallMs: number }> => {
      const [result, latencies] = await prober.probe(short, read);
      return { read: result, stallMs: Math.max(...latencies) };
    };
    const runsOf = async (path: string): Promise<readonly Run[]> => {
      const runs: Run[] = [];
      for (let run = 0; run < WARM_RUNS + RUNS; run++) {
        runs.push(await measured(() => present(reader, "a reader").read(`${plane.url}${path}`)));
        process.stderr.write(`${path}: ${JSON.stringify(runs.at(-1))}\n`);
      }
      return runs.slice(WARM_RUNS);
    };
    let idle = await measured(() => sleep(IDLE_MS));
    for (let watch = 1; idle.stallMs > CALM_MS && watch < IDLE_WATCHES_MAX; watch++)
      idle = await measured(() => sleep(IDLE_MS));
    const whole = await runsOf("/state");
    const slaves = await runsOf("/slaves");
    const together = await measured(() => Promise.all(readers.map((one) => one.read(`${plane.url}/state`))));
    const of = (runs: readonly Run[], value: (run: Run) => number): number => rounded(percentile(runs.map(value), 0.5));
    return {
      bench: "state",
      method:
        `${count} simulated agents with ${TASKS_EACH} running tasks each on real sockets; /state and /slaves read to their ends over loopback, not parsed, ` +
        `medians of ${RUNS}; meanwhile another process makes a short call that the master answers (/redirect), one after the other: stall is its longest, ` +
        `idle: with nobody reading; ${TOGETHER} readers: of /state at once, until the last has it; RSS is the largest of workerd`,
      figures: [
        { name: "state_s", value: of(whole, ({ read }) => read.ms / 1000), unit: "s", aim: 1 },
        { name: "state_first_byte_ms", value: of(whole, ({ read }) => read.firstByteMs), unit: "ms" },
        { name: "state_mb", value: of(whole, ({ read }) => read.bytes / 1e6), unit: "MB" },
        { name: "stall_ms_max", value: of(whole, ({ stallMs }) => stallMs), unit: "ms", aim: 50 },
        { name: "slaves_s", value: of(slaves, ({ read }) => read.ms / 1000), unit: "s" },
        { name: "slaves_stall_ms_max", value: of(slaves, ({ stallMs }) => stallMs), unit: "ms", aim: 50 },
        { name: "state_4_readers_s", value: rounded(Math.max(...together.read.map(({ ms }) => ms)) / 1000), unit: "s" },
        { name: "stall_4_readers_ms_max", value: rounded(together.stallMs), unit: "ms", aim: 50 },
        { name: "idle_ms_max", value: rounded(idle.stallMs), unit: "ms" },
        { name: "plane_rss_mb", value: rounded(plane.largestRssMb()), unit: "MB" },
      ],
    };
  } finally {
    for (const caller of [prober, ...readers]) caller.stop();
    agents.stop();
    await plane.stop();
  }
}

const tell = ({ connected, registered }: Counts, ms: number): void =>
  void process.stderr.write(`${(ms / 1000).toFixed(0)} s: ${connected} connected, ${registered} registered\n`);
