// `/api/v1/scheduler`: a framework, and the events that it gets (http-api-v1 §6). They are written as JSON or protobuf by mesos-json.ts and
// mesos-binary.ts. What a framework calls is in scheduler-calls.ts.
import * as v from "valibot";
import {
  frameworkIdObject,
  type AgentId,
  type ExecutorId,
  type FrameworkId,
  type MasterId,
  type OfferId,
} from "./ids.ts";
import { bool, list, map, nameOrUnknown, numeric, numericOrInfinite, optional, text } from "./json.ts";
import { labels } from "./labels.ts";
import type { OperationStatus } from "./operation.ts";
import { RESOURCES_MAX, type Attribute, type Resource } from "./resource.ts";
import type { TaskStatus } from "./task.ts";
import type { DurationInfo, TimeInfo } from "./time.ts";

/** Most roles of one framework. */
export const ROLES_MAX = 64;
/** Seconds between two HEARTBEAT events. Source: Mesos master/constants.hpp. */
export const HEARTBEAT_INTERVAL_SECONDS = 15;

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
export const roles = list(shortText, ROLES_MAX);

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
