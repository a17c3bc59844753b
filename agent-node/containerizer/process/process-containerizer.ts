// Runs each task as plain processes: its own cgroups, session, sandbox and user, watched by a supervisor (supervisor.ts)
// that needs no agent. This file decides the order of a container's life on this host; what it means for the task is the
// agent's business.
//
//   queued → launching → running → ended      a kill while queued or launching ends in "cancelled"
import { chownSync, closeSync, constants, fchownSync, type FSWatcher, mkdirSync, openSync, watch } from "node:fs";
import { join } from "node:path";
import type { ContainerId } from "#protocol/ids.ts";
import { errorCode, errorText } from "../../checkpoint/durable-file.ts";
import type { Paths } from "../../checkpoint/paths.ts";
import { isAlive } from "../../checkpoint/process-identity.ts";
import type { Log } from "../../log.ts";
import type { Containerizer, ContainerEvent, ContainerSpec, Outcome } from "../containerizer.ts";
import { Cgroups, memoryLimitMb, signalAll } from "./cgroups.ts";
import { Launcher } from "./launcher.ts";
import { listRunDirectories, RunDirectory } from "./run-directory.ts";
import { makeSandbox } from "./sandbox.ts";
import { commandProblem, installSupervisor, launchText, signalFlags, taskEnvironment } from "./supervisor.ts";
import { type HostUser, Users } from "./users.ts";

/** The safety net under fs.watch, and how often memory kills and vanished supervisors are looked for, ms. */
const POLL_MS = 1_000;
/** Between two looks at a container that was killed and is not gone yet, ms. */
const RETRY_MS = 100;
/** Time a supervisor has to claim its container before the launch counts as failed, ms. Generous: hosts swap. */
const CLAIM_MS_MAX = 30_000;

interface Container {
  readonly spec: ContainerSpec;
  readonly run: RunDirectory;
  phase: "queued" | "launching" | "running" | "ended";
  /** When SIGKILL is due, ms on the monotonic clock; undefined while nobody asked. */
  killDueAt: number | undefined;
  termSent: boolean;
  outOfMemory: boolean;
  spawnedAt: number;
  /** `gone`: the launcher that was told to start it has ended, and a claim that is missing now is ours to take. */
  launcher: "not-told" | "told" | "gone";
  /** Our descriptors of its output files, open until it has started. */
  readonly outputs: number[];
  watcher: FSWatcher | undefined;
  timer: NodeJS.Timeout | undefined;
}

export interface ProcessContainerizerOptions {
  readonly paths: Paths;
  readonly cgroupsRoot: string;
  readonly log: Log;
  readonly onEvent: (event: ContainerEvent) => void;
}

export class ProcessContainerizer implements Containerizer {
  readonly #paths: Paths;
  readonly #log: Log;
  readonly #onEvent: (event: ContainerEvent) => void;
  readonly #cgroups: Cgroups;
  readonly #users = new Users();
  readonly #signalFlags = signalFlags();
  readonly #isRoot = process.geteuid?.() === 0;
  readonly #containers = new Map<ContainerId, Container>();
  readonly #queue: Container[] = [];
  readonly #launcher = new Launcher({ onGone: () => this.#onLauncherGone() });
  #launching = false;
  readonly #poll: NodeJS.Timeout;

  constructor({ paths, cgroupsRoot, log, onEvent }: ProcessContainerizerOptions) {
    this.#paths = paths;
    this.#log = log;
    this.#onEvent = onEvent;
    const { cgroups, missing } = Cgroups.detect(cgroupsRoot);
    this.#cgroups = cgroups;
    for (const sentence of missing) log.warn(`this host: ${sentence}`);
    if (!this.#isRoot) log.warn("this agent is not root: every task runs as the agent's own user");
    mkdirSync(paths.containers, { recursive: true, mode: 0o700 });
    installSupervisor(paths.supervisor);
    this.#launcher.open();
    this.#poll = setInterval(() => this.#pollAll(), POLL_MS);
    this.#poll.unref();
  }

  launch(spec: ContainerSpec): void {
    const container = this.#add(spec, "queued");
    this.#queue.push(container);
    void this.#launchQueued();
  }

  kill(containerId: ContainerId, graceMs: number): void {
    const container = this.#containers.get(containerId);
    if (container === undefined || container.phase === "ended") return;
    const dueAt = performance.now() + graceMs;
    container.killDueAt = Math.min(container.killDueAt ?? dueAt, dueAt);
    this.#look(container);
  }

  recover(specs: readonly ContainerSpec[], boot: "same-boot" | "other-boot"): void {
    const known = new Set<string>(specs.map(({ containerId }) => containerId));
    // A container is checkpointed before its directory is made, so that one nobody knows has ended and was acknowledged.
    for (const containerId of listRunDirectories(this.#paths.containers))
      if (!known.has(containerId)) this.remove(containerId);
    for (const spec of specs) {
      const container = this.#add(spec, "launching");
      const outcome = boot === "same-boot" ? this.#takeOver(container) : outcomeOfOtherBoot(container);
      if (outcome !== undefined) this.#end(container, outcome);
    }
  }

  remove(containerId: ContainerId): void {
    this.#containers.delete(containerId);
    new RunDirectory(this.#paths.containers, containerId).remove();
    this.#removeGroups(containerId, 50);
  }

  close(): void {
    clearInterval(this.#poll);
    // Outputs stay open to the agent's end: the number of one that the launcher has yet to open may not become another file's.
    for (const container of this.#containers.values()) stopWatching(container);
    this.#containers.clear();
    this.#queue.length = 0;
    this.#launcher.close();
  }

  #add(spec: ContainerSpec, phase: Container["phase"]): Container {
    const container: Container = {
      spec,
      run: new RunDirectory(this.#paths.containers, spec.containerId),
      phase,
      killDueAt: undefined,
      termSent: false,
      outOfMemory: false,
      spawnedAt: performance.now(),
      launcher: "not-told",
      outputs: [],
      watcher: undefined,
      timer: undefined,
    };
    this.#containers.set(spec.containerId, container);
    return container;
  }

  /** One at a time: a launch is a few ms of fork and file work, and the event loop has sockets to serve in between. */
  async #launchQueued(): Promise<void> {
    if (this.#launching) return;
    this.#launching = true;
    for (let container = this.#queue.shift(); container !== undefined; container = this.#queue.shift()) {
      container.phase = "launching";
      try {
        await this.#launchOne(container);
      } catch (error) {
        this.#end(container, { type: "launch-failed", message: launchAdvice(error, container.spec) });
      }
    }
    this.#launching = false;
  }

  async #launchOne(container: Container): Promise<void> {
    const { spec, run } = container;
    const { command } = spec;
    const problem = commandProblem(command);
    if (problem !== undefined || command === undefined) throw new Error(problem);
    const user = this.#isRoot && spec.user !== "" ? await this.#users.find(spec.user) : undefined;
    if (this.#isRoot && spec.user !== "" && user === undefined)
      throw new Error(`this host has no user '${spec.user}': create it, or let the framework or command name another`);
    if (container.killDueAt !== undefined) return this.#end(container, { type: "cancelled" });

    makeSandbox(spec.sandbox, spec.volumes, user);
    if (user !== undefined) this.#giveVolumes(container, user);
    const groups = this.#cgroups.create(spec.containerId, spec);
    run.create(
      launchText({
        runDirectory: run.path,
        sandbox: spec.sandbox,
        command,
        environment: taskEnvironment(command, spec),
        user: user === undefined ? undefined : { uid: `${user.uid}`, gid: `${user.gid}` },
        signalFlags: this.#signalFlags,
      }),
    );
    this.#watch(container);
    await this.#spawn(container, [run.path, groups.killFile ?? "", groups.procs ?? "", ...groups.join], user);
    this.#log.info({ container: spec.containerId, task: spec.taskId, framework: spec.frameworkId }, "launched");
  }

  /** To the task's user, unless another task is using them as its own. What is in them stays whose it is. */
  #giveVolumes({ spec }: Container, { uid, gid }: HostUser): void {
    const others = [...this.#containers.values()].filter(
      ({ spec: other, phase }) => other !== spec && (phase === "launching" || phase === "running"),
    );
    for (const { path } of spec.volumes)
      if (!others.some(({ spec: other }) => other.volumes.some((volume) => volume.path === path)))
        chownSync(path, uid, gid);
  }

  async #spawn(container: Container, args: readonly string[], user: HostUser | undefined): Promise<void> {
    const stdout = this.#openOutput(container, "stdout", user);
    const stderr = this.#openOutput(container, "stderr", user);
    container.spawnedAt = performance.now();
    await this.#launcher.start(this.#paths.supervisor, args, { stdout, stderr });
  }

  /**
   * Makes an output file. The launcher gets our descriptor, not the name: another task of the same user owns the sandbox too,
   * could have put a link to elsewhere under that name, and the launcher would open it as root.
   */
  #openOutput(container: Container, name: string, user: HostUser | undefined): number {
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = openSync(join(container.spec.sandbox, name), flags, 0o644);
    container.outputs.push(file);
    if (user !== undefined) fchownSync(file, user.uid, user.gid);
    return file;
  }

  /** What the launcher had read may never have started: the claim of a container that is still free is taken by us. */
  #onLauncherGone(): void {
    this.#log.warn("the launcher has ended; the next launch starts another");
    for (const container of this.#containers.values()) {
      if (container.phase !== "launching" || container.launcher !== "told") continue;
      container.launcher = "gone";
      this.#look(container);
    }
  }

  /** What a container of an earlier agent in this boot came to; undefined when it lives and is ours now. */
  #takeOver(container: Container): Outcome | undefined {
    const { run } = container;
    const claim = run.claimForAgent();
    if (claim.type !== "supervisor") return { type: "never-started" };
    this.#watch(container);
    this.#look(container);
    return undefined;
  }

  #watch(container: Container): void {
    try {
      container.watcher = watch(container.run.path, { persistent: false }, () => this.#look(container));
      container.watcher.on("error", () => container.watcher?.close());
    } catch (error) {
      // Too few inotify watches on this host: the poll finds it a second later.
      this.#log.debug({ error: errorText(error) }, "a container is polled, not watched");
    }
  }

  #pollAll(): void {
    for (const container of this.#containers.values()) {
      if (container.phase !== "launching" && container.phase !== "running") continue;
      if (
        container.phase === "running" &&
        !container.outOfMemory &&
        this.#cgroups.hadOutOfMemory(container.spec.containerId)
      ) {
        // The kernel killed one process; the rest would limp on without it (reference, host-isolation §2).
        container.outOfMemory = true;
        this.#cgroups.killAll(container.spec.containerId);
      }
      this.#look(container);
    }
  }

  /** Looks at what is on disk and does what follows from it. Safe to call at any time, any number of times. */
  #look(container: Container): void {
    if (container.phase !== "launching" && container.phase !== "running") return;
    try {
      const outcome = this.#outcome(container);
      if (outcome !== undefined) return this.#end(container, outcome);
      if (container.phase === "launching" && container.run.started) {
        container.phase = "running";
        closeOutputs(container);
        this.#onEvent({ type: "started", containerId: container.spec.containerId });
      }
      if (container.phase === "running" && container.killDueAt !== undefined) this.#proceedKilling(container);
    } catch (error) {
      this.#log.error(
        { container: container.spec.containerId, error: errorText(error) },
        "a container cannot be looked at",
      );
    }
  }

  #outcome(container: Container): Outcome | undefined {
    const { run, spec } = container;
    const claim = run.claim();
    // The claim is read before the exit: a supervisor that is dead in the first look has written its last.
    const alive = claim.type === "supervisor" && isAlive(claim.process);
    const status = run.exit;
    if (status !== undefined && !run.started) return { type: "launch-failed", message: startAdvice(spec) };
    if (status !== undefined) {
      const outOfMemory = container.outOfMemory || this.#cgroups.hadOutOfMemory(spec.containerId);
      return { type: "ended", status, memoryLimitMb: outOfMemory ? memoryLimitMb(spec.memMb) : undefined };
    }
    switch (claim.type) {
      case "agent":
        return { type: "never-started" };
      case "nobody": {
        // Nobody was told to start it: a claim taken now would fail a launch that is just being prepared.
        if (container.launcher === "not-told") return undefined;
        const late = performance.now() - container.spawnedAt > CLAIM_MS_MAX;
        if (container.launcher === "told" && !late) return undefined;
        // Only queued or launching containers come here; nobody else may start it once the claim is ours.
        if (container.phase === "launching" && run.claimForAgent().type === "supervisor") return undefined;
        return { type: "launch-failed", message: startAdvice(spec) };
      }
      case "supervisor":
        if (alive) return undefined;
        return { type: "vanished", message: "The task's supervisor was killed: how the command ended is not known" };
    }
  }

  #proceedKilling(container: Container): void {
    const { containerId } = container.spec;
    if (!container.termSent) {
      container.termSent = true;
      this.#signal(container, "SIGTERM");
    }
    const now = performance.now();
    const dueAt = container.killDueAt ?? now;
    if (now >= dueAt) {
      this.#log.debug({ container: containerId }, "killing after the grace");
      this.#signal(container, "SIGKILL");
    }
    clearTimeout(container.timer);
    container.timer = setTimeout(() => this.#look(container), now >= dueAt ? RETRY_MS : dueAt - now);
  }

  #signal(container: Container, signal: "SIGTERM" | "SIGKILL"): void {
    const { containerId } = container.spec;
    if (this.#cgroups.groups(containerId).procs !== undefined) {
      if (signal === "SIGKILL") this.#cgroups.killAll(containerId);
      else signalAll(this.#cgroups.processes(containerId), signal);
      return;
    }
    const child = container.run.child;
    // A negative pid is the process group; before `setsid` ran there is only the process.
    if (child !== undefined) signalAll([-child, child], signal);
  }

  #end(container: Container, outcome: Outcome): void {
    if (container.phase === "ended") return;
    container.phase = "ended";
    stopWatching(container);
    closeOutputs(container);
    const { containerId } = container.spec;
    try {
      this.#cgroups.killAll(containerId);
    } catch (error) {
      this.#log.warn({ container: containerId, error: errorText(error) }, "its group cannot be killed");
    }
    this.#removeGroups(containerId, 50);
    this.#log.info({ container: containerId, task: container.spec.taskId, outcome }, "ended");
    this.#onEvent({ type: "ended", containerId, outcome });
  }

  #removeGroups(containerId: ContainerId, attemptsLeft: number): void {
    try {
      if (this.#cgroups.remove(containerId)) return;
      if (attemptsLeft === 0) return this.#log.warn({ container: containerId }, "its cgroup is busy and stays");
      this.#cgroups.killAll(containerId);
      setTimeout(() => this.#removeGroups(containerId, attemptsLeft - 1), RETRY_MS).unref();
    } catch (error) {
      this.#log.warn({ container: containerId, error: errorText(error) }, "its cgroup cannot be removed");
    }
  }
}

function closeOutputs(container: Container): void {
  for (const file of container.outputs.splice(0)) closeSync(file);
}

function stopWatching(container: Container): void {
  container.watcher?.close();
  container.watcher = undefined;
  clearTimeout(container.timer);
}

function outcomeOfOtherBoot({ run }: Container): Outcome {
  const status = run.exit;
  if (status !== undefined) return { type: "ended", status, memoryLimitMb: undefined };
  // Without `exit` even a task that had not started yet is not called so: unsynced files of the old boot may be gone.
  return { type: "vanished", message: "The host was restarted: the task did not survive it" };
}

function launchAdvice(error: unknown, { sandbox }: ContainerSpec): string {
  switch (errorCode(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return `The disk of the agent is full: free space under its work directory (${errorText(error)})`;
    case "EACCES":
    case "EPERM":
    case "EROFS":
    case "ENOTDIR":
      return `The sandbox ${sandbox} cannot be written: check the agent's work directory and its owner (${errorText(error)})`;
    case "EMFILE":
    case "ENFILE":
    case "EAGAIN":
    case "ENOMEM":
      return `The host has no room for another process: raise its limits or run fewer tasks (${errorText(error)})`;
    default:
      return `The task cannot be launched: ${errorText(error)}`;
  }
}

const startAdvice = ({ sandbox }: ContainerSpec): string =>
  `The task's process could not be set up: see ${sandbox}/stderr for what the host lacks`;
