// `/api/v1/scheduler`: calls as they are parsed, events as they are written (http-api-v1 §4–6). The wire's two forms, JSON and
// protobuf, are mesos-json.ts and mesos-binary.ts: both come to the objects that these schemas check.
import * as v from "valibot";
import { MESSAGE_LETTERS_MAX } from "./agent.ts";
import { fromBase64, toBase64 } from "#base/base64.ts";
import {
  agentIdObject,
  executorIdObject,
  frameworkIdObject,
  offerIdObject,
  taskIdObject,
  type AgentId,
  type ExecutorId,
  type FrameworkId,
  type MasterId,
  type OfferId,
} from "./ids.ts";
import {
  bool,
  bytes,
  list,
  map,
  nameOrUnknown,
  numeric,
  numericOrInfinite,
  optional,
  optionalName,
  text,
} from "./json.ts";
import { labels } from "./labels.ts";
import { offerConstraintsSchema } from "./offer-constraints.ts";
import {
  operationIdObject,
  operationSchema,
  resourceProviderIdObject,
  type Operation,
  type OperationStatus,
} from "./operation.ts";
import { RESOURCES_MAX, resourceSchema, type Attribute, type Resource } from "./resource.ts";
import { killPolicy, type TaskStatus } from "./task.ts";
import type { DurationInfo, TimeInfo } from "./time.ts";

/** Largest body of one call, bytes. */
export const CALL_BYTES_MAX = 4 * 1024 * 1024;
/** Largest `data` of a MESSAGE, bytes: in base64 it must fit a frame to the agent. */
const MESSAGE_BYTES_MAX = (MESSAGE_LETTERS_MAX / 4) * 3;
/** Most offers, tasks or operations that one call may name. */
export const CALL_ITEMS_MAX = 10_000;
/** Most roles of one framework. */
export const ROLES_MAX = 64;
/** Seconds between two HEARTBEAT events. Source: Mesos master/constants.hpp. */
export const HEARTBEAT_INTERVAL_SECONDS = 15;

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

export const FRAMEWORK_CAPABILITIES = [
  "REVOCABLE_RESOURCES",
  "TASK_KILLING_STATE",
  "GPU_RESOURCES",
  "SHARED_RESOURCES",
  "PARTITION_AWARE",
  "MULTI_ROLE",
  "RESERVATION_REFINEMENT",
  "REGION_AWARE",
] as const;
export type FrameworkCapability = (typeof FRAMEWORK_CAPABILITIES)[number];

const shortText = text(1024);
const roles = list(shortText, ROLES_MAX);

/** Amounts by resource name, e.g. `{cpus: {value: 1}}`. */
const quantities = v.object({ quantities: map(v.object({ value: numeric }), RESOURCES_MAX, 128) });
const offerFilters = v.object({
  min_allocatable_resources: optional(v.object({ quantities: list(quantities, ROLES_MAX) })),
});
/** What an offer must have at least: all amounts of one of the `quantities`. Without any, the plane's own minimum counts. */
export type OfferFilters = v.InferOutput<typeof offerFilters>;

export const frameworkInfoSchema = v.object({
  user: text(64),
  name: shortText,
  id: optional(v.object({ value: frameworkIdObject.entries.value })),
  /** Seconds. What no duration can be is told on the stream, not by a status. */
  failover_timeout: optional(numericOrInfinite),
  checkpoint: optional(bool),
  role: optional(shortText),
  roles,
  hostname: optional(shortText),
  principal: optional(shortText),
  webui_url: optional(shortText),
  capabilities: list(v.object({ type: nameOrUnknown(FRAMEWORK_CAPABILITIES) }), 64),
  labels: optional(labels),
  /** By role. */
  offer_filters: map(offerFilters, ROLES_MAX),
});
export type FrameworkInfo = v.InferOutput<typeof frameworkInfoSchema>;

/** `refuse_seconds` defaults to 5. */
const filters = optional(v.object({ refuse_seconds: optional(numericOrInfinite) }));
export type Filters = NonNullable<v.InferOutput<typeof filters>>;

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
/** By the name of its type: inferred, a call's type would be too long for the library's declarations. */
const operations: v.GenericSchema<unknown, Operation[]> = list(operationSchema, CALL_ITEMS_MAX);
const message = v.object({ agent_id: agentIdObject, executor_id: executorIdObject, data: bytes(MESSAGE_BYTES_MAX) });

export const callSchema = v.object({
  framework_id: optional(frameworkIdObject),
  type: optionalName(CALL_TYPES),
  subscribe: optional(v.object(subscription)),
  accept: optional(v.object({ offer_ids: offerIds, operations, filters })),
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

interface Address {
  readonly hostname: string;
  readonly ip: string;
  readonly port: number;
}
/** Where an agent's own API is. */
export interface AgentUrl {
  readonly scheme: string;
  readonly address: Address;
  readonly path: string;
}
/** Where a machine is, for frameworks that are REGION_AWARE. */
export interface DomainInfo {
  readonly fault_domain?: { readonly region: { readonly name: string }; readonly zone: { readonly name: string } };
}
/** From when, and for how long, a machine is to be maintained; without duration, for ever. */
export interface Unavailability {
  readonly start: TimeInfo;
  readonly duration?: DurationInfo;
}

export interface Offer {
  readonly id: { readonly value: OfferId };
  readonly framework_id: { readonly value: FrameworkId };
  readonly agent_id: { readonly value: AgentId };
  readonly hostname: string;
  readonly url: AgentUrl;
  readonly domain?: DomainInfo;
  readonly resources: readonly Resource[];
  readonly attributes?: readonly Attribute[];
  readonly executor_ids?: readonly { readonly value: ExecutorId }[];
  readonly unavailability?: Unavailability;
  readonly allocation_info?: { readonly role: string };
}

/** Asks a framework to give back what it has on an agent before the agent is maintained. */
export interface InverseOffer {
  readonly id: { readonly value: OfferId };
  readonly url?: AgentUrl;
  readonly framework_id: { readonly value: FrameworkId };
  readonly agent_id?: { readonly value: AgentId };
  readonly unavailability: Unavailability;
  readonly resources?: readonly Resource[];
}

export interface MasterInfo {
  readonly id: MasterId;
  /** IPv4 address as a number in network byte order read as little-endian, as Mesos writes it. */
  readonly ip: number;
  readonly port: number;
  readonly pid: string;
  readonly hostname: string;
  readonly version: string;
  readonly address: Address;
  readonly domain?: DomainInfo;
  readonly capabilities: readonly { readonly type: string }[];
}

export type SchedulerEvent =
  | {
      readonly type: "SUBSCRIBED";
      readonly subscribed: {
        readonly framework_id: { readonly value: FrameworkId };
        readonly heartbeat_interval_seconds: number;
        readonly master_info: MasterInfo;
      };
    }
  | { readonly type: "HEARTBEAT" }
  | { readonly type: "OFFERS"; readonly offers: { readonly offers: readonly Offer[] } }
  | { readonly type: "INVERSE_OFFERS"; readonly inverse_offers: { readonly inverse_offers: readonly InverseOffer[] } }
  | { readonly type: "RESCIND"; readonly rescind: { readonly offer_id: { readonly value: OfferId } } }
  | {
      readonly type: "RESCIND_INVERSE_OFFER";
      readonly rescind_inverse_offer: { readonly inverse_offer_id: { readonly value: OfferId } };
    }
  | { readonly type: "UPDATE"; readonly update: { readonly status: TaskStatus } }
  | {
      readonly type: "UPDATE_OPERATION_STATUS";
      readonly update_operation_status: { readonly status: OperationStatus };
    }
  /** What an executor sends to its framework: base64. */
  | {
      readonly type: "MESSAGE";
      readonly message: {
        readonly agent_id: { readonly value: AgentId };
        readonly executor_id: { readonly value: ExecutorId };
        readonly data: string;
      };
    }
  /**
   * With an executor's id: it has ended, `status` as waitpid gives it, -1 if that is unknown. Without: the agent is lost, unreachable, gone
   * or removed; what became of tasks on it, reconciliation tells.
   */
  | {
      readonly type: "FAILURE";
      readonly failure: {
        readonly agent_id: { readonly value: AgentId };
        readonly executor_id?: { readonly value: ExecutorId };
        readonly status?: number;
      };
    }
  | { readonly type: "ERROR"; readonly error: { readonly message: string } };
