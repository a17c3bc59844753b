// `/api/v1/scheduler`: calls as they are parsed (http-api-v1 §4 and §5). The wire's two forms, JSON and protobuf, are mesos-json.ts and
// mesos-binary.ts: both come to the objects that these schemas check.
import * as v from "valibot";
import { fromBase64, toBase64 } from "#base/base64.ts";
import { agentIdObject, executorIdObject, frameworkIdObject, offerIdObject, taskIdObject } from "./ids.ts";
import { bytes, list, numericOrInfinite, optional, optionalName } from "./json.ts";
import { offerConstraintsSchema } from "./offer-constraints.ts";
import { operationIdObject, operationSchema, resourceProviderIdObject } from "./operation.ts";
import { RESOURCES_MAX, resourceSchema } from "./resource.ts";
import { frameworkInfoSchema, roles } from "./scheduler.ts";
import { DATA_BYTES_MAX, killPolicy } from "./task.ts";

/** Largest body of one call, bytes. */
export const CALL_BYTES_MAX = 4 * 1024 * 1024;
/** Most offers, tasks or operations that one call may name. */
export const CALL_ITEMS_MAX = 10_000;

export const CALL_TYPES = [
  "SUBSCRIBE",
  "TEARDOWN",
  "ACCEPT",
  "DECLINE",
  "REVIVE",
  "KILL",
  "SHUTDOWN",
  "ACKNOWLEDGE",
  "RECONCILE",
  "MESSAGE",
  "REQUEST",
  "SUPPRESS",
  "ACCEPT_INVERSE_OFFERS",
  "DECLINE_INVERSE_OFFERS",
  "ACKNOWLEDGE_OPERATION_STATUS",
  "RECONCILE_OPERATIONS",
  "UPDATE_FRAMEWORK",
  "UNKNOWN",
] as const;
export type CallType = (typeof CALL_TYPES)[number];

/** `refuse_seconds` defaults to 5. */
const filters = optional(v.object({ refuse_seconds: optional(numericOrInfinite) }));

/** 16 bytes in base64, brought into the one form that agents compare. */
const uuidBytes = v.pipe(
  v.string(),
  v.maxLength(64),
  v.transform(fromBase64),
  v.check((bytes) => bytes?.length === 16, "must be 16 bytes in base64"),
  v.transform((bytes) => toBase64(bytes ?? new Uint8Array(0))),
);

const subscription = {
  framework_info: frameworkInfoSchema,
  suppressed_roles: roles,
  offer_constraints: optional(offerConstraintsSchema),
};
const offerIds = list(offerIdObject, CALL_ITEMS_MAX);
const message = v.object({ agent_id: agentIdObject, executor_id: executorIdObject, data: bytes(DATA_BYTES_MAX) });

export const callSchema = v.object({
  framework_id: optional(frameworkIdObject),
  type: optionalName(CALL_TYPES),
  subscribe: optional(v.object(subscription)),
  accept: optional(v.object({ offer_ids: offerIds, operations: list(operationSchema, CALL_ITEMS_MAX), filters })),
  decline: optional(v.object({ offer_ids: offerIds, filters })),
  accept_inverse_offers: optional(v.object({ inverse_offer_ids: offerIds, filters })),
  decline_inverse_offers: optional(v.object({ inverse_offer_ids: offerIds, filters })),
  revive: optional(v.object({ roles })),
  kill: optional(v.object({ task_id: taskIdObject, agent_id: optional(agentIdObject), kill_policy: killPolicy })),
  shutdown: optional(v.object({ executor_id: executorIdObject, agent_id: agentIdObject })),
  acknowledge: optional(v.object({ agent_id: agentIdObject, task_id: taskIdObject, uuid: uuidBytes })),
  acknowledge_operation_status: optional(
    v.object({
      agent_id: optional(agentIdObject),
      resource_provider_id: optional(resourceProviderIdObject),
      uuid: uuidBytes,
      operation_id: operationIdObject,
    }),
  ),
  reconcile: optional(
    v.object({ tasks: list(v.object({ task_id: taskIdObject, agent_id: optional(agentIdObject) }), CALL_ITEMS_MAX) }),
  ),
  reconcile_operations: optional(
    v.object({
      operations: list(
        v.object({
          operation_id: operationIdObject,
          agent_id: optional(agentIdObject),
          resource_provider_id: optional(resourceProviderIdObject),
        }),
        CALL_ITEMS_MAX,
      ),
    }),
  ),
  message: optional(message),
  request: optional(
    v.object({
      requests: list(
        v.object({ agent_id: optional(agentIdObject), resources: list(resourceSchema, RESOURCES_MAX) }),
        CALL_ITEMS_MAX,
      ),
    }),
  ),
  suppress: optional(v.object({ roles })),
  update_framework: optional(v.object(subscription)),
});
export type Call = v.InferOutput<typeof callSchema>;
