// `/api/v1` of the master: the calls as they are parsed (http-api-v1 §9). Of most only the type is read so far.
import * as v from "valibot";
import { agentIdObject } from "./ids.ts";
import { bool, list, numeric, optional, optionalName, pairs } from "./json.ts";

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

/** Most roles that one call may name, and kinds of resources of one role: more than the registry takes, so that its words are heard. */
const ROLES_MAX = 20_000;
const KINDS_MAX = 100;

const scalar = v.object({ value: numeric });
/** A map name → scalar of Mesos' JSON, as a list: names are chosen by people. */
const quantities = v.pipe(
  pairs(scalar, KINDS_MAX),
  v.transform((all) => all.map(([name, { value }]) => ({ name, value }))),
);

const quotaConfig = v.object({ role: v.string(), guarantees: quantities, limits: quantities });

const IRRELEVANT = ["reservation", "reservations", "disk", "revocable", "shared", "provider_id", "allocation_info"];
/** A scalar without anything else to it: what a quota holds back is of no reservation, disk or agent. */
const guaranteeResource = v.pipe(
  v.looseObject({
    name: v.string(),
    type: v.picklist(["SCALAR", "RANGES", "SET"]),
    scalar: optional(scalar),
    role: optional(v.literal("*")),
  }),
  v.check(({ type, scalar: amount }) => type === "SCALAR" && amount !== undefined, "a guarantee is of scalars only"),
  v.check(
    (resource) => IRRELEVANT.every((member) => resource[member] === undefined || resource[member] === null),
    "a guarantee says a name and an amount only",
  ),
  v.transform(({ name, scalar: amount }) => ({ name, value: amount?.value ?? 0 })),
);

/** Of SET_QUOTA and of POST /quota. */
export const quotaRequestSchema = v.object({
  force: optional(bool),
  role: optional(v.string()),
  guarantee: list(guaranteeResource, KINDS_MAX),
});

/** A WeightInfo without a role has the empty one, which is none. */
const weightInfo = v.object({ role: v.nullish(v.string(), ""), weight: numeric });
/** Of PUT /weights, an array and nothing else. */
export const weightInfosSchema = v.pipe(v.array(weightInfo), v.maxLength(ROLES_MAX, `at most ${ROLES_MAX} items`));

export const operatorCallSchema = v.object({
  type: optionalName(OPERATOR_CALL_TYPES),
  mark_agent_gone: optional(v.object({ agent_id: agentIdObject })),
  update_quota: optional(v.object({ force: optional(bool), quota_configs: list(quotaConfig, ROLES_MAX) })),
  set_quota: optional(v.object({ quota_request: quotaRequestSchema })),
  remove_quota: optional(v.object({ role: v.string() })),
  update_weights: optional(v.object({ weight_infos: list(weightInfo, ROLES_MAX) })),
});
export type OperatorCall = v.InferOutput<typeof operatorCallSchema>;
