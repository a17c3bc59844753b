// Child processes of a test: what they print, how they end, and that they end.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { expect } from "vitest";
import { built, onEnd } from "./workspace.ts";

/** Time for a command to exit after the test wants it gone, ms: longer than a launcher gives its agents. */
const LEAVE_MS = 20_000;

export class Command {
  readonly child: ChildProcess;
  readonly #exit: Promise<number>;
  stdout = "";
  stderr = "";

  constructor(
    file: string,
    args: readonly string[],
    { env, cwd }: { env?: Record<string, string | undefined>; cwd?: string } = {},
  ) {
    this.child = spawn(file, args, { env: { ...process.env, ...env }, cwd, stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    // As a shell shows it: 128 + signal.
    this.#exit = once(this.child, "close").then(
      ([code, signal]) => (code as number | null) ?? (signal === "SIGKILL" ? 137 : 143),
    );
    onEnd(() => this.leave());
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The exit code; on a test that hangs, what was printed so far is in the message. */
  exited(): Promise<number> {
    return this.#exit;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async prints(text: string | RegExp, timeout = 20_000): Promise<void> {
    const shown = (): string => this.stdout + this.stderr;
    await expect.poll(shown, { timeout, interval: 20 }).toMatch(text);
  }

  async leave(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.ended) return;
    this.child.kill(signal);
    const killing = setTimeout(() => this.child.kill("SIGKILL"), LEAVE_MS);
    await this.#exit;
    clearTimeout(killing);
  }
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `mesoflare …` as it was built, against the plane of this context. */
export function startMesoflare(context: string, ...args: readonly string[]): Command {
  return new Command(process.execPath, [built("mesoflare.js"), ...args], { env: { MESOFLARE_CONTEXT: context } });
}

export async function mesoflare(context: string, ...args: readonly string[]): Promise<Result> {
  const command = startMesoflare(context, ...args);
  const code = await command.exited();
  return { code, stdout: command.stdout, stderr: command.stderr };
}
