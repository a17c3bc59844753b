// One local agent as a child process: started, restarted when it dies, and stopped with or without its tasks.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "#base/backoff.ts";
import { builtFile } from "./package-files.ts";
import { isPortFree } from "./plane-process.ts";
import { end, identify, type ProcessIdentity } from "./processes.ts";

/** Pause before an agent that died is started again, ms. */
const RESTART_BOUNDS = { firstMs: 500, maxMs: 15_000 };
/** An agent that lived this long starts over with the shortest pause, ms. */
const HEALTHY_AFTER_MS = 30_000;
/** Time for an agent to kill its tasks and report, ms, before it is killed itself. */
export const STOP_MS_MAX = 10_000;

/** Exit codes after which another try would end the same way: configuration, credential, or the plane's refusal. Source: `mesoflare-agent --help`. */
const FINAL_CODES: ReadonlySet<number> = new Set([2, 3, 4]);

export interface AgentOptions {
  readonly name: string;
  readonly plane: string;
  readonly credential: string;
  readonly workDirectory: string;
  readonly log: string;
  readonly port: number;
  /** In Mesos' flag form, `cpus:1;mem:1024`; absent, the agent finds out itself. */
  readonly resources?: string;
}

export interface AgentObserver {
  readonly started: (identity: ProcessIdentity) => Promise<void>;
  readonly say: (text: string) => void;
}

interface Spawned {
  readonly exited: Promise<[code: number | null, signal: string | null]>;
}

/** As in the first line of the agent's program: a small young generation, which keeps its memory some 10 MB lower. */
const AGENT_NODE_FLAGS = ["--max-semi-space-size=2"];

export class AgentProcess {
  readonly name: string;
  readonly #options: AgentOptions;
  readonly #observer: AgentObserver;
  readonly #stopping = new AbortController();
  #identity: ProcessIdentity | undefined;
  #spawning: Promise<Spawned> | undefined;

  constructor(options: AgentOptions, observer: AgentObserver) {
    this.name = options.name;
    this.#options = options;
    this.#observer = observer;
  }

  /** Keeps the agent running until {@link stop}. */
  async supervise(): Promise<void> {
    for (let attempt = 0; !this.#stopping.signal.aborted; attempt++) {
      const startedAt = Date.now();
      this.#spawning = this.#spawn();
      const { exited } = await this.#spawning;
      const [code, signal] = await exited;
      this.#identity = undefined;
      if (this.#stopping.signal.aborted) return;
      if (code !== null && FINAL_CODES.has(code)) {
        this.#observer.say(`${this.name} exited with code ${code} and is not started again; see ${this.#options.log}`);
        return;
      }
      if (Date.now() - startedAt > HEALTHY_AFTER_MS) attempt = 0;
      const waitMs = backoffMs({ next: Math.random }, attempt, RESTART_BOUNDS);
      const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
      this.#observer.say(
        `${this.name} ${how} (see ${this.#options.log}); starting it again in ${(waitMs / 1000).toFixed(1)} s`,
      );
      await sleep(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    }
  }

  /** SIGUSR1: the agent kills its tasks, reports, and exits. SIGTERM: it exits and the tasks run on. False when it had to be killed. */
  async stop(signal: "SIGUSR1" | "SIGTERM"): Promise<boolean> {
    this.#stopping.abort();
    await this.#spawning;
    return this.#identity === undefined || end(this.#identity, signal, STOP_MS_MAX);
  }

  async #spawn(): Promise<Spawned> {
    const { name, plane, credential, workDirectory, log, resources } = this.#options;
    await mkdir(workDirectory, { recursive: true, mode: 0o700 });
    // Another agent on this machine may have the port; nothing but a person looks for it there.
    const port = (await isPortFree(this.#options.port)) ? this.#options.port : 0;
    const flags = { plane, credential, "work-dir": workDirectory, port: String(port), hostname: name, resources };
    const given = Object.entries(flags).flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag}`, value]));
    const output = openSync(log, "a", 0o600);
    // Detached: a session of its own, so that Ctrl-C in the terminal reaches the launcher alone.
    const child = spawn(process.execPath, [...AGENT_NODE_FLAGS, builtFile("mesoflare-agent.js"), ...given], {
      detached: true,
      stdio: ["ignore", output, output],
    });
    closeSync(output);
    const exited = once(child, "exit") as Promise<[number | null, string | null]>; // at once: it may exit while we look at it
    await once(child, "spawn");
    this.#identity = child.pid === undefined ? undefined : await identify(child.pid);
    if (this.#identity !== undefined) await this.#observer.started(this.#identity);
    return { exited };
  }
}
