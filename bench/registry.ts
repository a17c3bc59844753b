// `bench -- registry`: agents admitted one by one through a Registrar and three replicas in workerd, and how long a new candidate takes from
// standing to leading with nothing but the log.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { median } from "./log/load.ts";
import { freePorts } from "./log/ports.ts";
import { rounded, type Report } from "./report.ts";

const HOST = fileURLToPath(new URL("registry/registry-host.ts", import.meta.url));
const RUNS = 3;
const CONCURRENT = 256;
const SMALL = 10_000;
const LARGE = 50_000;
const RECOVERIES = 3;

interface Run {
  /** Of the first 10,000, and of all 50,000. */
  readonly perSecondSmall: number;
  readonly perSecondLarge: number;
  readonly p99Ms: number;
  readonly recoverSmallMs: number;
  readonly recoverLargeMs: number;
  readonly reads: number;
  readonly registryBytes: number;
}
interface Recovered {
  readonly ms: number;
  readonly agents: number;
  readonly registryBytes: number;
  readonly reads: number;
}

export async function registry(): Promise<Report> {
  const runs: Run[] = [];
  for (let run = 0; run < RUNS; run++) {
    runs.push(await measure());
    process.stderr.write(`run ${run + 1} of ${RUNS}\n`);
  }
  const of = (value: (run: Run) => number): number => rounded(median(runs.map(value)));
  return {
    bench: "registry",
    method:
      `agents of about 650 letters admitted one by one, ${CONCURRENT} in flight, by one object with a Registrar over three ReplicaDOs in one workerd, ` +
      "snapshots and truncation with their default thresholds; recover: a Registrar that has nothing but the log, from standing to leading " +
      `(election, replay, its leader entry), median of ${RECOVERIES} in each run; medians of ${RUNS} runs, each over a new log`,
    figures: [
      { name: "admits_per_s", value: of((run) => run.perSecondSmall), unit: "1/s to 10,000 agents", aim: 2_000 },
      { name: "admits_per_s_50k", value: of((run) => run.perSecondLarge), unit: "1/s to 50,000 agents", aim: 2_000 },
      { name: "admit_p99_ms", value: of((run) => run.p99Ms), unit: "ms, while 10,000 become 50,000" },
      { name: "registry_recover_10k_s", value: of((run) => run.recoverSmallMs / 1000), unit: "s" },
      { name: "registry_recover_50k_s", value: of((run) => run.recoverLargeMs / 1000), unit: "s", aim: 2 },
      { name: "registry_recover_50k_reads", value: of((run) => run.reads), unit: "reads of the log" },
      { name: "registry_bytes_50k", value: of((run) => run.registryBytes), unit: "bytes" },
    ],
  };
}

/** Over a connection of its own: one that is kept alive is closed by the other side while a long answer is waited for. */
async function getJson<T>(url: string): Promise<T> {
  const [response] = (await once(request(url, { agent: false }).end(), "response")) as [IncomingMessage];
  const body = await text(response);
  if (response.statusCode !== 200) throw new Error(`${url}: ${response.statusCode} ${body}`);
  return JSON.parse(body) as T;
}

async function measure(): Promise<Run> {
  const directory = await mkdtemp(join(tmpdir(), "mesoflare-bench-"));
  const [port] = await freePorts(1);
  const child = spawn(process.execPath, [HOST, directory, String(port)], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  try {
    for await (const line of createInterface({ input: child.stdout })) if (line === "ready") break;
    const get = <T>(path: string): Promise<T> => getJson(`http://127.0.0.1:${port}${path}`);
    const recover = async (agents: number): Promise<readonly Recovered[]> => {
      const all: Recovered[] = [];
      for (let time = 0; time < RECOVERIES; time++) all.push(await get<Recovered>("/recover"));
      for (const { agents: found } of all)
        if (found !== agents) throw new Error(`${found} agents of ${agents} recovered`);
      return all;
    };
    await get("/init");
    await get("/recover");
    const admit = (from: number, count: number) =>
      get<{ ms: number; p99Ms: number }>(`/admit?from=${from}&count=${count}&concurrent=${CONCURRENT}`);
    const small = await admit(0, SMALL);
    const recoveredSmall = await recover(SMALL);
    const large = await admit(SMALL, LARGE - SMALL);
    const recoveredLarge = await recover(LARGE);
    const msOf = (all: readonly Recovered[]): number => median(all.map(({ ms }) => ms));
    return {
      perSecondSmall: (SMALL * 1000) / small.ms,
      perSecondLarge: (LARGE * 1000) / (small.ms + large.ms),
      p99Ms: large.p99Ms,
      recoverSmallMs: msOf(recoveredSmall),
      recoverLargeMs: msOf(recoveredLarge),
      reads: median(recoveredLarge.map(({ reads }) => reads)),
      registryBytes: median(recoveredLarge.map(({ registryBytes }) => registryBytes)),
    };
  } finally {
    child.stdin.end();
    await exited;
    await rm(directory, { recursive: true, force: true });
  }
}
