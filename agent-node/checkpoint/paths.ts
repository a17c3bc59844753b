// Where everything is under an agent's work directory. In the spirit of Mesos (reference §10.1): `meta` is the agent's own,
// sandboxes live in a parallel tree `slaves/…` that task users may enter.
//
//   lock                     who runs on this directory
//   host-key                 32 hex digits, made once
//   meta/boot-id             the boot in which the checkpoint was written
//   meta/agent.journal       registration, orders, updates, acknowledgements (journal.ts)
//   meta/supervisor.sh       the script of containerizer/process
//   meta/containers/<id>/    pid, started, child, exit of one container (containerizer/process/run-directory.ts)
//   slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>/   a sandbox; runs/latest names the newest
import { join } from "node:path";
import type { AgentId, ContainerId, ExecutorId, FrameworkId } from "#protocol/ids.ts";

export interface Paths {
  readonly workDir: string;
  readonly lock: string;
  readonly hostKey: string;
  readonly meta: string;
  readonly bootId: string;
  readonly journal: string;
  readonly supervisor: string;
  readonly containers: string;
  readonly sandboxes: string;
}

export function pathsOf(workDir: string): Paths {
  const meta = join(workDir, "meta");
  return {
    workDir,
    lock: join(workDir, "lock"),
    hostKey: join(workDir, "host-key"),
    meta,
    bootId: join(meta, "boot-id"),
    journal: join(meta, "agent.journal"),
    supervisor: join(meta, "supervisor.sh"),
    containers: join(meta, "containers"),
    sandboxes: join(workDir, "slaves"),
  };
}

export interface SandboxName {
  readonly agentId: AgentId;
  readonly frameworkId: FrameworkId;
  readonly executorId: ExecutorId;
}

/** The directory that holds the runs of one executor. The ids were checked with `idProblem`: none is a path of its own. */
export function runsPath(paths: Paths, { agentId, frameworkId, executorId }: SandboxName): string {
  return join(paths.sandboxes, agentId, "frameworks", frameworkId, "executors", executorId, "runs");
}

export function sandboxPath(paths: Paths, name: SandboxName, containerId: ContainerId): string {
  return join(runsPath(paths, name), containerId);
}
