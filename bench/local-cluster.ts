// A cluster on a new state directory, started as a person would start it, for one benchmark.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { loadContext } from "../cli/context.ts";
import { parseLock, type Lock } from "../cli/start/lock.ts";
import type { Context } from "#protocol/credentials.ts";

const MESOFLARE = fileURLToPath(new URL("../dist/mesoflare.js", import.meta.url));
/** How often the resident set of a process is read, ms. */
const RSS_SAMPLE_MS = 100;

export class LocalCluster {
  readonly context: Context;
  readonly lock: Lock;
  /** From the start of the command to its line "ready", s. */
  readonly readySeconds: number;
  readonly #child: ChildProcess;
  readonly #directory: string;

  private constructor(child: ChildProcess, directory: string, readySeconds: number, context: Context, lock: Lock) {
    this.#child = child;
    this.#directory = directory;
    this.readySeconds = readySeconds;
    this.context = context;
    this.lock = lock;
  }

  static async start(): Promise<LocalCluster> {
    const directory = await mkdtemp(join(tmpdir(), "mesoflare-bench-"));
    const state = join(directory, "state");
    const startedAt = performance.now();
    const args = [MESOFLARE, "start", "--state", state, "--port", String(await freePort())];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(line);
      if (line.startsWith("ready in")) break;
    }
    const readySeconds = (performance.now() - startedAt) / 1000;
    child.stdout.resume();
    if (!lines.some((line) => line.includes("registered as")))
      throw new Error(`the cluster is not ready:\n${lines.join("\n")}`);
    const context = await loadContext({ named: join(state, "context.json"), environment: {} }, () => undefined);
    const lock = parseLock(await readFile(join(state, "lock.json"), "utf8"));
    if (lock === undefined) throw new Error("the cluster has no lock");
    return new LocalCluster(child, directory, readySeconds, context, lock);
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGINT");
    await exited;
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Samples the resident set of a process until `stop`, which returns the largest, MB. */
export function watchRss(pid: number): { readonly stop: () => number } {
  let largestKb = 0;
  const sample = async (): Promise<void> => {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    largestKb = Math.max(largestKb, Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0));
  };
  const timer = setInterval(() => void sample(), RSS_SAMPLE_MS);
  return {
    stop: () => {
      clearInterval(timer);
      return largestKb / 1024;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
