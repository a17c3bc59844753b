// Tasks, commands and status updates as Mesos' v1 JSON has them, in the part that this release runs.
import * as v from "valibot";
import { agentIdObject, containerIdObject, executorIdObject, taskIdObject } from "./ids.ts";
import { bool, list, numeric, optional, optionalName } from "./json.ts";
import { RESOURCES_MAX, resourceSchema } from "./resource.ts";

export const TASK_STATES = [
  "TASK_STAGING",
  "TASK_STARTING",
  "TASK_RUNNING",
  "TASK_KILLING",
  "TASK_FINISHED",
  "TASK_FAILED",
  "TASK_KILLED",
  "TASK_ERROR",
  "TASK_LOST",
  "TASK_DROPPED",
  "TASK_UNREACHABLE",
  "TASK_GONE",
  "TASK_GONE_BY_OPERATOR",
  "TASK_UNKNOWN",
] as const;
export type TaskState = (typeof TASK_STATES)[number];

const TERMINAL: ReadonlySet<TaskState> = new Set([
  "TASK_FINISHED",
  "TASK_FAILED",
  "TASK_KILLED",
  "TASK_ERROR",
  "TASK_LOST",
  "TASK_DROPPED",
  "TASK_GONE",
  "TASK_GONE_BY_OPERATOR",
]);
export const isTerminal = (state: TaskState): boolean => TERMINAL.has(state);

/** Bounds of a task description. A task that breaks one is refused; it never reaches an agent. */
export const COMMAND_BYTES_MAX = 128 * 1024;
export const ENVIRONMENT_VARIABLES_MAX = 1024;
export const LABELS_MAX = 256;

const shortText = v.pipe(v.string(), v.maxLength(1024));

export const labels = v.object({ labels: list(v.object({ key: shortText, value: optional(shortText) }), LABELS_MAX) });

export const commandSchema = v.object({
  value: optional(v.pipe(v.string(), v.maxLength(COMMAND_BYTES_MAX))),
  arguments: list(v.pipe(v.string(), v.maxLength(COMMAND_BYTES_MAX)), 4096),
  shell: optional(bool),
  user: optional(v.pipe(v.string(), v.maxLength(64))),
  environment: optional(
    v.object({
      variables: list(
        v.object({
          name: v.pipe(v.string(), v.maxLength(1024)),
          value: optional(v.pipe(v.string(), v.maxLength(COMMAND_BYTES_MAX))),
        }),
        ENVIRONMENT_VARIABLES_MAX,
      ),
    }),
  ),
  uris: list(v.unknown(), 256),
});
/** `shell` defaults to true: `value` is a shell line. With false, `value` is the program and `arguments` its argv, [0] included. */
export type CommandInfo = v.InferOutput<typeof commandSchema>;

const killPolicySchema = v.object({ grace_period: optional(v.object({ nanoseconds: numeric })) });
export type KillPolicy = v.InferOutput<typeof killPolicySchema>;
export const killPolicy = optional(killPolicySchema);

export const taskInfoSchema = v.object({
  name: v.pipe(v.string(), v.maxLength(1024)),
  task_id: taskIdObject,
  agent_id: agentIdObject,
  resources: list(resourceSchema, RESOURCES_MAX),
  command: optional(commandSchema),
  labels: optional(labels),
  kill_policy: killPolicy,
  // What a later release runs. It is read so that a task which asks for it is refused, never run without it.
  executor: optional(v.unknown()),
  container: optional(v.unknown()),
  health_check: optional(v.unknown()),
  check: optional(v.unknown()),
  max_completion_time: optional(v.unknown()),
  limits: optional(v.unknown()),
  data: optional(v.unknown()),
  discovery: optional(v.unknown()),
});
export type TaskInfo = v.InferOutput<typeof taskInfoSchema>;

export const TASK_STATUS_SOURCES = ["SOURCE_MASTER", "SOURCE_AGENT", "SOURCE_EXECUTOR"] as const;
export const TASK_STATUS_REASONS = [
  "REASON_AGENT_DISCONNECTED",
  "REASON_AGENT_REMOVED",
  "REASON_AGENT_REMOVED_BY_OPERATOR",
  "REASON_AGENT_REREGISTERED",
  "REASON_AGENT_RESTARTED",
  "REASON_COMMAND_EXECUTOR_FAILED",
  "REASON_CONTAINER_LAUNCH_FAILED",
  "REASON_CONTAINER_LIMITATION_MEMORY",
  "REASON_FRAMEWORK_REMOVED",
  "REASON_INVALID_OFFERS",
  "REASON_RECONCILIATION",
  "REASON_TASK_INVALID",
  "REASON_TASK_KILLED_DURING_LAUNCH",
] as const;
export type TaskStatusReason = (typeof TASK_STATUS_REASONS)[number];

export const taskStatusSchema = v.object({
  task_id: taskIdObject,
  state: v.picklist(TASK_STATES),
  message: optional(v.pipe(v.string(), v.maxLength(4096))),
  agent_id: optional(agentIdObject),
  timestamp: optional(numeric),
  executor_id: optional(executorIdObject),
  source: optionalName(TASK_STATUS_SOURCES),
  reason: optionalName(TASK_STATUS_REASONS),
  uuid: optional(v.pipe(v.string(), v.maxLength(24))),
  container_status: optional(v.object({ container_id: optional(containerIdObject) })),
  /** Made by the master only: when the task's agent was marked unreachable. */
  unreachable_time: optional(v.object({ nanoseconds: numeric })),
});
/** `uuid` is base64 of 16 bytes, absent on updates that the master made and that nobody acknowledges; `timestamp` is in seconds. */
export type TaskStatus = v.InferOutput<typeof taskStatusSchema>;

/** How a command ended, in the words that Mesos' command executor puts into the last update's message. */
export type ExitStatus =
  | { readonly type: "exited"; readonly code: number }
  | { readonly type: "signaled"; readonly signal: number };

export function exitMessage(status: ExitStatus): string {
  return status.type === "exited"
    ? `Command exited with status ${status.code}`
    : `Command terminated with signal ${status.signal}`;
}

/** Reads {@link exitMessage} back; undefined when the message says something else. */
export function parseExitMessage(message: string | undefined): ExitStatus | undefined {
  const match = /^Command (?:exited with status (\d{1,3})|terminated with signal (\d{1,2}))$/.exec(message ?? "");
  if (match === null) return undefined;
  return match[1] === undefined
    ? { type: "signaled", signal: Number(match[2]) }
    : { type: "exited", code: Number(match[1]) };
}
