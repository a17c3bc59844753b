// What runs tasks. The agent decides what to run and what to report; a containerizer decides how, and tells by events what
// became of it. Recovery has no answers of its own: it ends in the same events as a launch.
import type { ContainerId, FrameworkId } from "#protocol/ids.ts";
import type { CommandInfo } from "#protocol/command.ts";
import type { ExitStatus } from "#protocol/task.ts";

/** Everything that a task becomes on a host. */
export interface ContainerSpec {
  readonly containerId: ContainerId;
  readonly frameworkId: FrameworkId;
  readonly taskId: string;
  readonly command: CommandInfo | undefined;
  /** The host user to run as; empty means the agent's own. */
  readonly user: string;
  /** CPUs; 0 when the task has none. */
  readonly cpus: number;
  /** Megabytes; 0 when the task has none: then there is no limit. */
  readonly memMb: number;
  /** Absolute path; made by the containerizer, which also points `runs/latest` at it. */
  readonly sandbox: string;
  readonly agentId: string;
  /** Persistent volumes; the task finds each in its sandbox. */
  readonly volumes: readonly VolumeLink[];
}

export interface VolumeLink {
  /** Of the volume's directory on the host. */
  readonly path: string;
  /** Relative to the sandbox. */
  readonly containerPath: string;
}

export type Outcome =
  /** The main process ended; `memoryLimitMb` is set when the kernel killed in this container for lack of memory. */
  | { readonly type: "ended"; readonly status: ExitStatus; readonly memoryLimitMb: number | undefined }
  /** Nothing ever ran; `message` says what a person can do. */
  | { readonly type: "launch-failed"; readonly message: string }
  /** A kill came before anything ran. */
  | { readonly type: "cancelled" }
  /** Found at recovery: it was ordered, and the agent ended before anything ran. It will never run now. */
  | { readonly type: "never-started" }
  /** It ran, and how it ended is not known. */
  | { readonly type: "vanished"; readonly message: string };

export type ContainerEvent =
  | { readonly type: "started"; readonly containerId: ContainerId }
  /** Comes exactly once for each container, after every process of it is gone. */
  | { readonly type: "ended"; readonly containerId: ContainerId; readonly outcome: Outcome };

export interface Containerizer {
  /** Accepts a container; `started` or `ended` follows. Never throws for what a host lacks: that is an outcome. */
  launch(spec: ContainerSpec): void;
  /** Asks a container to end, and makes it after the grace, ms. A repeated kill may only shorten the grace. */
  kill(containerId: ContainerId, graceMs: number): void;
  /** Takes containers over that an earlier agent launched or meant to. With `other-boot` none of them can be alive. */
  recover(specs: readonly ContainerSpec[], boot: "same-boot" | "other-boot"): void;
  /** Forgets an ended container and what it left outside its sandbox. */
  remove(containerId: ContainerId): void;
  /** Stops watching. Containers go on. */
  close(): void;
}
