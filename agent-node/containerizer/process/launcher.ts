// Starts supervisors from a small shell process instead of from the agent: a fork copies the page tables of the process
// that asks for it, and the agent's are large (host-isolation §3). The launcher reads one command line at a time from its
// standard input and forgets what it started: a supervisor belongs to nobody, so that it outlives launcher and agent.
//
// Its working directory is the agent's /proc/<pid>/fd: an output is named there by the number of the agent's descriptor, so
// that it is the file the agent opened, whatever has its name by now, and nothing at all once the agent is gone. A path with
// the pid in it would then be whatever process has the pid.
import { spawn, type ChildProcess } from "node:child_process";
import { quote, SAFE_PATH } from "./supervisor.ts";

// The inner list ends at once and takes the supervisor's parent with it: nothing is left for the loop to wait for.
const LOOP = `while IFS= read -r line; do eval "$line"; done`;

export interface LauncherOptions {
  /** The launcher has ended, and with it perhaps a start that it had read. */
  readonly onGone: () => void;
}

/** Numbers of open descriptors of this process. */
export interface LaunchOutput {
  readonly stdout: number;
  readonly stderr: number;
}

export class Launcher {
  readonly #onGone: () => void;
  #child: ChildProcess | undefined;
  #closed = false;

  constructor({ onGone }: LauncherOptions) {
    this.#onGone = onGone;
  }

  /** Starts it before the agent has grown. */
  open(): void {
    const child: ChildProcess = spawn("/bin/sh", ["-c", LOOP], {
      cwd: `/proc/${process.pid}/fd`,
      // Of its own session: a Ctrl-C meant for the agent must not end a start half-way.
      detached: true,
      env: { PATH: SAFE_PATH },
      stdio: ["pipe", "ignore", "ignore"],
    });
    const gone = (): void => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (!this.#closed) this.#onGone();
    };
    child.once("error", gone);
    child.once("exit", gone);
    child.stdin?.on("error", gone); // missing when there was no descriptor left for it
    child.unref();
    this.#child = child;
  }

  /**
   * Starts `script` with `args`, its output appended to two files that this process has open and keeps open until the script
   * runs. Resolves when the launcher has the order; whether the supervisor runs shows in its claim. Throws when a word cannot
   * be passed on in one line.
   */
  async start(script: string, args: readonly string[], { stdout, stderr }: LaunchOutput): Promise<void> {
    const words = ["/bin/sh", script, ...args];
    // A shell's `read` ends at the one and forgets the other: what follows would be another command.
    if (words.some((word) => /[\n\0]/.test(word))) throw new Error("a path with a line break cannot be launched");
    const command = words.map(quote).join(" ");
    // Outputs are opened in the working directory, then it is left: it is gone with the agent, the supervisor is not.
    const line = `( { cd / && exec setsid ${command}; } </dev/null >>${stdout} 2>>${stderr} & )\n`;
    if (this.#child === undefined) this.open();
    const stdin = this.#child?.stdin;
    if (stdin === undefined || stdin === null) throw new Error("this host starts no processes: see its process limits");
    await new Promise<void>((resolve, reject) => {
      stdin.write(line, (error) => (error === null || error === undefined ? resolve() : reject(error)));
    });
  }

  close(): void {
    this.#closed = true;
    this.#child?.stdin?.end();
    this.#child = undefined;
  }
}
