// The log alone in workerd (bench/log/writer-worker.ts), in a process group of its own that a test can kill -9 at any moment.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePort, REPOSITORY } from "./workspace.ts";

export interface ReadEntry {
  readonly position: number;
  readonly entry: { readonly type: string; readonly data?: string };
}

export class WriterPlane {
  readonly #child: ChildProcess;
  readonly #origin: string;

  private constructor(child: ChildProcess, origin: string) {
    this.#child = child;
    this.#origin = origin;
  }

  static async start(directory: string): Promise<WriterPlane> {
    const port = await freePort();
    const host = join(REPOSITORY, "bench/log/writer-host.ts");
    const child = spawn(process.execPath, [host, directory, String(port)], {
      detached: true, // a group of its own: workerd dies in the same instant
      stdio: ["pipe", "pipe", "inherit"],
    });
    for await (const line of createInterface({ input: child.stdout })) if (line === "ready") break;
    if (child.exitCode !== null) throw new Error(`the writer's plane ended with ${child.exitCode}`);
    return new WriterPlane(child, `127.0.0.1:${port}`);
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`http://${this.#origin}${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  async connect(): Promise<WebSocket> {
    const socket = new WebSocket(`ws://${this.#origin}/append`);
    await once(socket, "open");
    return socket;
  }

  /** The whole log, as far as it is decided. */
  async readAll(): Promise<readonly ReadEntry[]> {
    const all: ReadEntry[] = [];
    for (let from = 1; ;) {
      const answer = await this.get<{ type: string; entries: readonly ReadEntry[]; decidedTo: number }>(
        `/read?from=${from}`,
      );
      if (answer.type !== "entries") throw new Error(`the log cannot be read: ${JSON.stringify(answer)}`);
      all.push(...answer.entries);
      if (answer.decidedTo <= from) return all;
      from = answer.decidedTo;
    }
  }

  async kill(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    const exited = once(this.#child, "exit");
    process.kill(-pid, "SIGKILL");
    await exited;
  }
}
