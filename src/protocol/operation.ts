// What ACCEPT does with the resources of its offers, and the news of it.
import * as v from "valibot";
import { agentIdObject } from "./ids.ts";
import { bytes, list, nameOrUnknown, numeric, optional, text } from "./json.ts";
import { RESOURCES_MAX, resourceSchema } from "./resource.ts";
import { executorInfoSchema, taskGroupSchema, taskInfoSchema } from "./task.ts";

/** Most tasks that one operation may launch. */
export const LAUNCHED_TASKS_MAX = 10_000;
const ID_LETTERS_MAX = 1024;

export const OPERATION_TYPES = [
  "LAUNCH",
  "LAUNCH_GROUP",
  "RESERVE",
  "UNRESERVE",
  "CREATE",
  "DESTROY",
  "GROW_VOLUME",
  "SHRINK_VOLUME",
  "CREATE_DISK",
  "DESTROY_DISK",
] as const;
export type OperationType = (typeof OPERATION_TYPES)[number];

const resources = list(resourceSchema, RESOURCES_MAX);
export const operationIdObject = v.object({ value: text(ID_LETTERS_MAX) });
export const resourceProviderIdObject = v.object({ value: text(ID_LETTERS_MAX) });

export const operationSchema = v.object({
  /** UNKNOWN: a type of a later Mesos, or none at all. Such an operation does nothing. */
  type: nameOrUnknown(OPERATION_TYPES),
  /** Set by a framework that wants news of the operation. */
  id: optional(operationIdObject),
  launch: optional(v.object({ task_infos: list(taskInfoSchema, LAUNCHED_TASKS_MAX) })),
  launch_group: optional(v.object({ executor: executorInfoSchema, task_group: taskGroupSchema })),
  reserve: optional(v.object({ resources, source: resources })),
  unreserve: optional(v.object({ resources })),
  create: optional(v.object({ volumes: resources })),
  destroy: optional(v.object({ volumes: resources })),
  grow_volume: optional(v.object({ volume: resourceSchema, addition: resourceSchema })),
  shrink_volume: optional(v.object({ volume: resourceSchema, subtract: v.object({ value: numeric }) })),
  create_disk: optional(
    v.object({
      source: resourceSchema,
      target_type: v.picklist(["UNKNOWN", "PATH", "MOUNT", "BLOCK", "RAW"]),
      target_profile: optional(text(ID_LETTERS_MAX)),
    }),
  ),
  destroy_disk: optional(v.object({ source: resourceSchema })),
});
/** The member that is named after the type holds what it needs. */
export type Operation = v.InferOutput<typeof operationSchema>;

export const OPERATION_STATES = [
  "OPERATION_UNSUPPORTED",
  "OPERATION_PENDING",
  "OPERATION_FINISHED",
  "OPERATION_FAILED",
  "OPERATION_ERROR",
  "OPERATION_DROPPED",
  "OPERATION_UNREACHABLE",
  "OPERATION_GONE_BY_OPERATOR",
  "OPERATION_RECOVERING",
  "OPERATION_UNKNOWN",
] as const;
export type OperationState = (typeof OPERATION_STATES)[number];

const TERMINAL: ReadonlySet<OperationState> = new Set([
  "OPERATION_FINISHED",
  "OPERATION_FAILED",
  "OPERATION_ERROR",
  "OPERATION_DROPPED",
  "OPERATION_GONE_BY_OPERATOR",
]);
export const isTerminalOperation = (state: OperationState): boolean => TERMINAL.has(state);

export const operationStatusSchema = v.object({
  operation_id: optional(operationIdObject),
  state: v.picklist(OPERATION_STATES),
  message: optional(text(4096)),
  converted_resources: list(resourceSchema, RESOURCES_MAX),
  /** 16 bytes in base64. Absent on news that nobody acknowledges. */
  uuid: optional(v.object({ value: bytes(16) })),
  agent_id: optional(agentIdObject),
  resource_provider_id: optional(resourceProviderIdObject),
});
export type OperationStatus = v.InferOutput<typeof operationStatusSchema>;
