// `/api/v1` of the master: the calls as they are parsed (http-api-v1 §9). Of most only the type is read so far.
import * as v from "valibot";
import { agentIdObject } from "./ids.ts";
import { optional, optionalName } from "./json.ts";

export const OPERATOR_CALL_TYPES = [
  "UNKNOWN",
  "GET_HEALTH",
  "GET_FLAGS",
  "GET_VERSION",
  "GET_METRICS",
  "GET_LOGGING_LEVEL",
  "SET_LOGGING_LEVEL",
  "LIST_FILES",
  "READ_FILE",
  "GET_STATE",
  "GET_AGENTS",
  "GET_FRAMEWORKS",
  "GET_EXECUTORS",
  "GET_TASKS",
  "GET_ROLES",
  "GET_WEIGHTS",
  "UPDATE_WEIGHTS",
  "GET_MASTER",
  "SUBSCRIBE",
  "RESERVE_RESOURCES",
  "UNRESERVE_RESOURCES",
  "CREATE_VOLUMES",
  "DESTROY_VOLUMES",
  "GET_MAINTENANCE_STATUS",
  "GET_MAINTENANCE_SCHEDULE",
  "UPDATE_MAINTENANCE_SCHEDULE",
  "START_MAINTENANCE",
  "STOP_MAINTENANCE",
  "GET_QUOTA",
  "SET_QUOTA",
  "REMOVE_QUOTA",
  "TEARDOWN",
  "MARK_AGENT_GONE",
  "GET_OPERATIONS",
  "GROW_VOLUME",
  "SHRINK_VOLUME",
  "UPDATE_QUOTA",
  "DRAIN_AGENT",
  "DEACTIVATE_AGENT",
  "REACTIVATE_AGENT",
] as const;
export type OperatorCallType = (typeof OPERATOR_CALL_TYPES)[number];

export const operatorCallSchema = v.object({
  type: optionalName(OPERATOR_CALL_TYPES),
  mark_agent_gone: optional(v.object({ agent_id: agentIdObject })),
});
export type OperatorCall = v.InferOutput<typeof operatorCallSchema>;
