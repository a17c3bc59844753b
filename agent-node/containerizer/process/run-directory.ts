// The directory through which a container's supervisor and whatever agent is there talk; neither needs the other alive.
//
//   launch   how to start the task: shell text, written by the agent, readable by nobody else (it holds the environment)
//   pid      `<pid> <start time>` of the supervisor, or `agent`. Made by link(2), so that exactly one of a supervisor that
//            was just forked and a recovering agent gets it: whoever does decides whether the task runs.
//   started  the task has joined its groups and is being executed
//   child    pid of the task's main process, leader of its own session and process group
//   exit     `exited <code>` or `signaled <number>`, made by rename
import { existsSync, linkSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerId } from "#protocol/ids.ts";
import type { ExitStatus } from "#protocol/task.ts";
import { errorCode, readIfThere } from "../../checkpoint/durable-file.ts";
import { parseIdentity, type ProcessIdentity } from "../../checkpoint/process-identity.ts";

export type Claim =
  | { readonly type: "nobody" }
  /** A recovering agent took it: nothing runs, and nothing will. */
  | { readonly type: "agent" }
  | { readonly type: "supervisor"; readonly process: ProcessIdentity };

const AGENT_CLAIM = "agent\n";
const NO_PROCESS: ProcessIdentity = { pid: 0, startTime: "" };

export class RunDirectory {
  readonly path: string;

  constructor(containers: string, containerId: ContainerId) {
    this.path = join(containers, containerId);
  }

  create(launchText: string): void {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    writeFileSync(join(this.path, "launch"), launchText, { mode: 0o600 });
  }

  claim(): Claim {
    const text = readIfThere(join(this.path, "pid"));
    if (text === undefined) return { type: "nobody" };
    if (text === AGENT_CLAIM) return { type: "agent" };
    // What nobody can read was not written by an agent: something may have run, so it is not called unstarted.
    return { type: "supervisor", process: parseIdentity(text) ?? NO_PROCESS };
  }

  /** Takes the claim for the agent, unless somebody has it; answers who has it then. */
  claimForAgent(): Claim {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    const mine = join(this.path, "pid.agent");
    writeFileSync(mine, AGENT_CLAIM);
    try {
      linkSync(mine, join(this.path, "pid"));
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error;
    }
    return this.claim();
  }

  get started(): boolean {
    return existsSync(join(this.path, "started"));
  }

  get child(): number | undefined {
    const pid = Number(readIfThere(join(this.path, "child")));
    return Number.isSafeInteger(pid) && pid > 1 ? pid : undefined;
  }

  get exit(): ExitStatus | undefined {
    const match = /^(exited|signaled) (\d{1,3})\s*$/.exec(readIfThere(join(this.path, "exit")) ?? "");
    if (match === null) return undefined;
    return match[1] === "exited"
      ? { type: "exited", code: Number(match[2]) }
      : { type: "signaled", signal: Number(match[2]) };
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The containers that have a run directory. */
export function listRunDirectories(containers: string): ContainerId[] {
  return existsSync(containers) ? (readdirSync(containers) as ContainerId[]) : [];
}
