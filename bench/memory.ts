// `bench -- memory`: what agents and tasks hold of the heap of a master's isolate, and how much it is at most while somebody reads /state.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { freePorts } from "./log/ports.ts";
import { Inspector } from "./memory/inspector.ts";
import { percentile, rounded, type Figure, type Report } from "./report.ts";

const HOST = fileURLToPath(new URL("memory/memory-host.ts", import.meta.url));
const AGENTS = 10_000;
const TASKS_EACH = 10;
const TASKS = AGENTS * TASKS_EACH;
/** What the isolate may have, MB: with more, garbage is left until there is that much. An object has 128. */
const HEAP_MB_MAX = 64;
const READS = 5;
const SAMPLE_MS = 2;

class Isolate {
  readonly #url: string;
  readonly #inspector: Inspector;

  constructor(port: number, inspector: Inspector) {
    this.#url = `http://127.0.0.1:${port}`;
    this.#inspector = inspector;
  }

  async ask(path: string): Promise<number> {
    const response = await fetch(`${this.#url}${path}`);
    const { byteLength } = await response.arrayBuffer();
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return byteLength;
  }

  async liveBytes(): Promise<number> {
    await this.ask("/collect");
    return this.#inspector.usedBytes();
  }

  /** The largest heap that was seen while `path` was read. */
  async peakBytes(path: string): Promise<number> {
    const reading = new AbortController();
    const read = this.ask(path).finally(() => reading.abort());
    let peak = 0;
    while (!reading.signal.aborted) {
      peak = Math.max(peak, await this.#inspector.usedBytes());
      await sleep(SAMPLE_MS);
    }
    await read;
    return peak;
  }
}

export async function memory(): Promise<Report> {
  const empty = await withIsolate((isolate) => isolate.liveBytes());
  const agents = await withIsolate(async (isolate) => {
    await isolate.ask(`/register?agents=${AGENTS}&tasks=0`);
    return isolate.liveBytes();
  });
  const figures = await withIsolate(async (isolate): Promise<Figure[]> => {
    await isolate.ask(`/register?agents=${AGENTS}&tasks=${TASKS_EACH}`);
    const live = await isolate.liveBytes();
    const peaks: number[] = [];
    for (let read = 0; read < READS; read++) peaks.push(await isolate.peakBytes("/state"));
    process.stderr.write(`peaks: ${peaks.map((bytes) => (bytes / 1e6).toFixed(1)).join(", ")} MB\n`);
    const left = await isolate.liveBytes();
    return [
      { name: "heap_bytes_agent", value: rounded((agents - empty) / AGENTS), unit: "bytes" },
      { name: "heap_bytes_task", value: rounded((live - agents) / TASKS), unit: "bytes" },
      { name: "heap_live_mb_100k", value: rounded(live / 1e6), unit: "MB" },
      { name: "heap_mb_100k", value: rounded(percentile(peaks, 1) / 1e6), unit: "MB", aim: 64 },
      { name: "heap_left_mb", value: rounded((left - live) / 1e6), unit: "MB after the readers" },
    ];
  });
  return {
    bench: "memory",
    method:
      `the heap of an isolate of workerd with nothing in it but a master's core and its task tables, by its inspector; ${AGENTS} agents that register with ${TASKS_EACH} running tasks each of ` +
      `10 frameworks, ids are uuids, as many agents without tasks, and none: after a collection. heap_mb_100k: the largest in ${READS} reads of /state, of samples ${SAMPLE_MS} ms ` +
      `apart, garbage included, in a heap that may have ${HEAP_MB_MAX} MiB`,
    figures,
  };
}

async function withIsolate<T>(run: (isolate: Isolate) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "mesoflare-bench-"));
  const [port = 0, inspectorPort = 0] = await freePorts(2);
  const child = spawn(process.execPath, [HOST, directory, String(port), String(inspectorPort)], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, MINIFLARE_WORKERD_V8_FLAGS: `--expose-gc --max-heap-size=${HEAP_MB_MAX}` },
  });
  const exited = once(child, "exit");
  try {
    for await (const line of createInterface({ input: child.stdout })) if (line === "ready") break;
    await fetch(`http://127.0.0.1:${port}/collect`);
    const inspector = await Inspector.open(inspectorPort, "core:user:");
    const result = await run(new Isolate(port, inspector));
    inspector.close();
    return result;
  } finally {
    child.stdin.end();
    await exited;
    await rm(directory, { recursive: true, force: true });
  }
}
