// What a framework writes into its calls: Mesos' v1 JSON, in the part that this release runs.
import type { AgentId, TaskId } from "#protocol/ids.ts";
import type { FrameworkInfo } from "#protocol/scheduler.ts";
import type { Resource } from "#protocol/resource.ts";

export interface FrameworkRequest {
  readonly user: string;
  readonly name: string;
  /** Seconds that a framework may be disconnected before it is removed and its tasks are killed. The plane's default is 0. */
  readonly failover_timeout?: number;
  readonly roles?: FrameworkInfo["roles"];
  readonly principal?: string;
  readonly capabilities?: readonly { readonly type: string }[];
  readonly labels?: { readonly labels: readonly { readonly key: string; readonly value?: string }[] };
}

/** With `shell` false, `value` is the program and `arguments` its argv, [0] included. The default of `shell` is true. */
export interface CommandRequest {
  readonly value: string;
  readonly arguments?: readonly string[];
  readonly shell?: boolean;
  readonly user?: string;
  readonly environment?: { readonly variables: readonly { readonly name: string; readonly value: string }[] };
}

export interface TaskRequest {
  readonly name: string;
  readonly task_id: { readonly value: TaskId };
  readonly agent_id: { readonly value: AgentId };
  readonly resources: readonly Resource[];
  readonly command: CommandRequest;
}

export interface KillRequest {
  readonly taskId: TaskId;
  readonly agentId?: AgentId;
  /** Time between the polite and the hard signal, ns. The agent's default is 3 s. */
  readonly gracePeriodNs?: number;
}

export interface TaskToReconcile {
  readonly taskId: TaskId;
  readonly agentId?: AgentId;
}

/** A scalar resource of the default role; memory and disk are megabytes. */
export function scalar(name: string, value: number): Resource {
  return { name, type: "SCALAR", scalar: { value }, role: "*" };
}
