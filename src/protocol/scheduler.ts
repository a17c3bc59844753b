// `/api/v1/scheduler`: calls as they are parsed, events as they are written (http-api-v1 §4–6). JSON only so far.
import * as v from "valibot";
import { fromBase64, toBase64 } from "#base/base64.ts";
import {
  agentIdObject,
  frameworkIdObject,
  offerIdObject,
  taskIdObject,
  type AgentId,
  type ExecutorId,
  type FrameworkId,
  type MasterId,
  type OfferId,
} from "./ids.ts";
import { bool, list, numeric, optional, optionalName } from "./json.ts";
import type { Attribute, Resource } from "./resource.ts";
import { killPolicy, labels, taskInfoSchema, type TaskStatus } from "./task.ts";

/** Largest body of one call, bytes. */
export const CALL_BYTES_MAX = 4 * 1024 * 1024;
/** Most offers or tasks that one call may name. */
export const CALL_ITEMS_MAX = 10_000;
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

const text = v.pipe(v.string(), v.maxLength(1024));
export const frameworkInfoSchema = v.object({
  user: v.pipe(v.string(), v.maxLength(64)),
  name: text,
  id: optional(v.object({ value: frameworkIdObject.entries.value })),
  failover_timeout: optional(v.pipe(numeric, v.finite(), v.minValue(0))),
  checkpoint: optional(bool),
  role: optional(text),
  roles: list(text, 64),
  hostname: optional(text),
  principal: optional(text),
  webui_url: optional(text),
  capabilities: list(v.object({ type: optional(v.string()) }), 64),
  labels: optional(labels),
});
export type FrameworkInfo = v.InferOutput<typeof frameworkInfoSchema>;

const filters = optional(v.object({ refuse_seconds: optional(numeric) }));
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
const operation = v.object({
  type: v.picklist(OPERATION_TYPES),
  id: optional(v.object({ value: text })),
  launch: optional(v.object({ task_infos: list(taskInfoSchema, CALL_ITEMS_MAX) })),
});

/** 16 bytes in base64, brought into the one form that agents compare. */
const uuidBytes = v.pipe(
  v.string(),
  v.maxLength(64),
  v.transform(fromBase64),
  v.check((bytes) => bytes?.length === 16, "must be 16 bytes in base64"),
  v.transform((bytes) => toBase64(bytes ?? new Uint8Array(0))),
);

export const callSchema = v.object({
  type: optionalName(CALL_TYPES),
  framework_id: optional(frameworkIdObject),
  subscribe: optional(v.object({ framework_info: frameworkInfoSchema, suppressed_roles: list(text, 64) })),
  accept: optional(
    v.object({ offer_ids: list(offerIdObject, CALL_ITEMS_MAX), operations: list(operation, CALL_ITEMS_MAX), filters }),
  ),
  decline: optional(v.object({ offer_ids: list(offerIdObject, CALL_ITEMS_MAX), filters })),
  kill: optional(v.object({ task_id: taskIdObject, agent_id: optional(agentIdObject), kill_policy: killPolicy })),
  acknowledge: optional(v.object({ agent_id: agentIdObject, task_id: taskIdObject, uuid: uuidBytes })),
  reconcile: optional(
    v.object({ tasks: list(v.object({ task_id: taskIdObject, agent_id: optional(agentIdObject) }), CALL_ITEMS_MAX) }),
  ),
});
export type Call = v.InferOutput<typeof callSchema>;
export type Operation = v.InferOutput<typeof operation>;

export interface Offer {
  readonly id: { readonly value: OfferId };
  readonly framework_id: { readonly value: FrameworkId };
  readonly agent_id: { readonly value: AgentId };
  readonly hostname: string;
  readonly url: {
    readonly scheme: string;
    readonly address: { readonly hostname: string; readonly ip: string; readonly port: number };
    readonly path: string;
  };
  readonly resources: readonly Resource[];
  readonly attributes?: readonly Attribute[];
  readonly executor_ids?: readonly { readonly value: ExecutorId }[];
  readonly allocation_info?: { readonly role: string };
}

export interface MasterInfo {
  readonly id: MasterId;
  /** IPv4 address as a number in network byte order read as little-endian, as Mesos writes it. */
  readonly ip: number;
  readonly port: number;
  readonly pid: string;
  readonly hostname: string;
  readonly version: string;
  readonly address: { readonly hostname: string; readonly ip: string; readonly port: number };
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
  | { readonly type: "RESCIND"; readonly rescind: { readonly offer_id: { readonly value: OfferId } } }
  | { readonly type: "UPDATE"; readonly update: { readonly status: TaskStatus } }
  /** The agent is lost: unreachable, gone or removed. What became of tasks on it, reconciliation tells. */
  | { readonly type: "FAILURE"; readonly failure: { readonly agent_id: { readonly value: AgentId } } }
  | { readonly type: "ERROR"; readonly error: { readonly message: string } };
