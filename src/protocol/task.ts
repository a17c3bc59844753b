// Tasks, executors and status updates as Mesos' v1 JSON has them.
import * as v from "valibot";
import { commandSchema } from "./command.ts";
import { containerSchema, containerStatusSchema } from "./container.ts";
import { checkSchema, checkStatusSchema, healthCheckSchema } from "./health-check.ts";
import { agentIdObject, executorIdObject, frameworkIdObject, taskIdObject } from "./ids.ts";
import { bool, bytes, list, map, numeric, optional, optionalName, text, uint32 } from "./json.ts";
import { labels } from "./labels.ts";
import { RESOURCES_MAX, resourceSchema } from "./resource.ts";
import { durationInfo, timeInfo } from "./time.ts";

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

/** Largest `data` of a task or an executor, bytes. */
export const DATA_BYTES_MAX = 512 * 1024;
/** Largest `data` of one status, bytes: an agent sends several in one frame. */
export const STATUS_DATA_BYTES_MAX = 64 * 1024;
/** Most tasks of one group. */
export const GROUP_TASKS_MAX = 256;
const PORTS_MAX = 1024;
const shortText = text(1024);

const killPolicySchema = v.object({ grace_period: optional(durationInfo) });
export type KillPolicy = v.InferOutput<typeof killPolicySchema>;
export const killPolicy = optional(killPolicySchema);

const VISIBILITIES = ["FRAMEWORK", "CLUSTER", "EXTERNAL"] as const;
export const discoverySchema = v.object({
  visibility: v.picklist(VISIBILITIES),
  name: optional(shortText),
  environment: optional(shortText),
  location: optional(shortText),
  version: optional(shortText),
  ports: optional(
    v.object({
      ports: list(
        v.object({
          number: uint32,
          name: optional(shortText),
          protocol: optional(shortText),
          visibility: optionalName(VISIBILITIES),
          labels: optional(labels),
        }),
        PORTS_MAX,
      ),
    }),
  ),
  labels: optional(labels),
});
/** What others may know of a task or executor in order to reach it. The plane shows it and does nothing with it. */
export type DiscoveryInfo = v.InferOutput<typeof discoverySchema>;

export const executorInfoSchema = v.object({
  type: optionalName(["DEFAULT", "CUSTOM"]),
  executor_id: executorIdObject,
  framework_id: optional(frameworkIdObject),
  command: optional(commandSchema),
  container: optional(containerSchema),
  resources: list(resourceSchema, RESOURCES_MAX),
  name: optional(shortText),
  source: optional(shortText),
  data: optional(bytes(DATA_BYTES_MAX)),
  discovery: optional(discoverySchema),
  shutdown_grace_period: optional(durationInfo),
  labels: optional(labels),
});
/** DEFAULT has no command and runs task groups; CUSTOM, also when `type` is absent, is the framework's own program. */
export type ExecutorInfo = v.InferOutput<typeof executorInfoSchema>;

/** A limit above what was asked for, by resource; "Infinity" is none. */
const limitValue = v.object({ value: v.union([numeric, v.literal("Infinity")]) });

export const taskInfoSchema = v.object({
  name: shortText,
  task_id: taskIdObject,
  agent_id: agentIdObject,
  resources: list(resourceSchema, RESOURCES_MAX),
  executor: optional(executorInfoSchema),
  command: optional(commandSchema),
  container: optional(containerSchema),
  health_check: optional(healthCheckSchema),
  check: optional(checkSchema),
  kill_policy: killPolicy,
  data: optional(bytes(DATA_BYTES_MAX)),
  labels: optional(labels),
  discovery: optional(discoverySchema),
  max_completion_time: optional(durationInfo),
  limits: map(limitValue, RESOURCES_MAX, 128),
});
export type TaskInfo = v.InferOutput<typeof taskInfoSchema>;

export const taskGroupSchema = v.object({ tasks: list(taskInfoSchema, GROUP_TASKS_MAX) });
/** Tasks that are launched together in one executor, or not at all. */
export type TaskGroupInfo = v.InferOutput<typeof taskGroupSchema>;

export const TASK_STATUS_SOURCES = ["SOURCE_MASTER", "SOURCE_AGENT", "SOURCE_EXECUTOR"] as const;
export const TASK_STATUS_REASONS = [
  "REASON_COMMAND_EXECUTOR_FAILED",
  "REASON_CONTAINER_LAUNCH_FAILED",
  "REASON_CONTAINER_LIMITATION",
  "REASON_CONTAINER_LIMITATION_DISK",
  "REASON_CONTAINER_LIMITATION_MEMORY",
  "REASON_CONTAINER_PREEMPTED",
  "REASON_CONTAINER_UPDATE_FAILED",
  "REASON_MAX_COMPLETION_TIME_REACHED",
  "REASON_EXECUTOR_REGISTRATION_TIMEOUT",
  "REASON_EXECUTOR_REREGISTRATION_TIMEOUT",
  "REASON_EXECUTOR_TERMINATED",
  "REASON_EXECUTOR_UNREGISTERED",
  "REASON_FRAMEWORK_REMOVED",
  "REASON_GC_ERROR",
  "REASON_INVALID_FRAMEWORKID",
  "REASON_INVALID_OFFERS",
  "REASON_IO_SWITCHBOARD_EXITED",
  "REASON_MASTER_DISCONNECTED",
  "REASON_RECONCILIATION",
  "REASON_RESOURCES_UNKNOWN",
  "REASON_AGENT_DISCONNECTED",
  "REASON_AGENT_DRAINING",
  "REASON_AGENT_REMOVED",
  "REASON_AGENT_REMOVED_BY_OPERATOR",
  "REASON_AGENT_REREGISTERED",
  "REASON_AGENT_RESTARTED",
  "REASON_AGENT_UNKNOWN",
  "REASON_TASK_KILLED_DURING_LAUNCH",
  "REASON_TASK_CHECK_STATUS_UPDATED",
  "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
  "REASON_TASK_GROUP_INVALID",
  "REASON_TASK_GROUP_UNAUTHORIZED",
  "REASON_TASK_INVALID",
  "REASON_TASK_UNAUTHORIZED",
  "REASON_TASK_UNKNOWN",
] as const;
export type TaskStatusReason = (typeof TASK_STATUS_REASONS)[number];

export const taskStatusSchema = v.object({
  task_id: taskIdObject,
  state: v.picklist(TASK_STATES),
  message: optional(text(4096)),
  source: optionalName(TASK_STATUS_SOURCES),
  reason: optionalName(TASK_STATUS_REASONS),
  data: optional(bytes(STATUS_DATA_BYTES_MAX)),
  agent_id: optional(agentIdObject),
  executor_id: optional(executorIdObject),
  timestamp: optional(numeric),
  uuid: optional(bytes(16)),
  healthy: optional(bool),
  check_status: optional(checkStatusSchema),
  labels: optional(labels),
  container_status: optional(containerStatusSchema),
  /** Made by the master only: when the task's agent was marked unreachable. */
  unreachable_time: optional(timeInfo),
  /** Of a task that was ended because it used too much: of what. */
  limitation: optional(v.object({ resources: list(resourceSchema, RESOURCES_MAX) })),
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
