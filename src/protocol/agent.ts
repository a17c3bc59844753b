// What crosses the socket between an agent and its gateway: JSON text, one message a frame, both ways.
//
//   agent                              gateway
//   authenticate (client-first)   →
//                                 ←    authentication-step (server-first)
//   authentication-step (final)   →
//                                 ←    authenticated (server-final) | authentication-failed | authentication-error
//   register                      →
//                                 ←    registered | unavailable (keep trying) | refused (final)
//   updates, operation-updates,   →
//   acted, statistics, response,
//   unregister, executor-exited,
//   framework-message             ←    orders, acknowledge, acknowledge-operations, request, shutdown, executor-message
//
// Updates of both kinds are told until they are acknowledged. "statistics", "framework-message" and "executor-message" are best
// effort: whoever is short of room lets them fall.
//
// "failed" and "refused" are final; "error" and "unavailable" are retried with backoff (Mesos' rule for authentication).
// "shutdown" ends the agent's tasks and its id.
import * as v from "valibot";
import {
  agentIdText,
  clusterIdText,
  epochNumber,
  executorIdText,
  frameworkIdText,
  operationUuidText,
  sessionIdText,
  taskIdText,
} from "./ids.ts";
import { operationStatusSchema } from "./operation.ts";
import { attributeSchema, RESOURCES_MAX, resourceSchema } from "./resource.ts";
import { executorInfoSchema, killPolicy, taskInfoSchema, taskStatusSchema } from "./task.ts";

/** Longest frame either side takes, bytes. The platform's own bound is 1 MiB. */
export const FRAME_BYTES_MAX = 1024 * 1024;
/** Most updates, orders or tasks in one frame; more go into the next one. */
export const FRAME_ITEMS_MAX = 500;
/** Longest operation, letters of JSON: it must fit an order and, with its outcome, a report. Whoever makes orders asks before. */
export const OPERATION_LETTERS_MAX = 128 * 1024;
/** Longest list of an agent's resources, bytes of JSON: half a frame must be left for what else a registration says. */
export const TOTAL_BYTES_MAX = 192 * 1024;
/** Longest data of one message between scheduler and executor, letters of base64. */
export const MESSAGE_LETTERS_MAX = 256 * 1024;
/** The socket ping and its automatic answer: they wake no object. */
export const PING = "ping";
export const PONG = "pong";
/** How often an agent pings, ms. Source: Mesos agent_ping_timeout. */
export const PING_INTERVAL_MS = 15_000;
/** Silence after which either side gives the socket up, ms: five pings. Source: Mesos max_agent_ping_timeouts. */
export const SILENCE_MS = 75_000;
/** Longest silence that a plane may allow, ms. */
export const SILENCE_MS_MAX = 86_400_000;
/**
 * Time for the whole authentication exchange at an agent's first attempt, ms. Source: Mesos authentication_v0_timeout; with its older 5 s,
 * of ten thousand agents that come at once half would come again before their turn.
 */
export const AUTHENTICATION_TIMEOUT_MS = 15_000;
/** Path on the plane at which an agent opens its socket; the host key is the last part. */
export const AGENT_SOCKET_PATH = "/agent/socket";

export const MECHANISM = "SCRAM-SHA-256";

const shortText = v.pipe(v.string(), v.maxLength(1024));
const scramText = v.pipe(v.string(), v.maxLength(4096));
const placeName = v.pipe(v.string(), v.minLength(1), v.maxLength(255));

/** Where an agent is. The region's zones fail apart from each other. */
export const domainSchema = v.object({
  fault_domain: v.optional(v.object({ region: v.object({ name: placeName }), zone: v.object({ name: placeName }) })),
});
export type Domain = v.InferOutput<typeof domainSchema>;

/**
 * What an agent's release can do beyond command tasks, so that a task which needs more is refused and never run without it. OPERATIONS:
 * reservations, volumes and resizing. EXECUTORS: custom executors and task groups. The others are parts of a task.
 */
export const AGENT_CAPABILITIES = [
  "OPERATIONS",
  "EXECUTORS",
  "CONTAINERS",
  "CHECKS",
  "MAX_COMPLETION_TIME",
  "LIMITS",
  "FETCHER",
] as const;
export type AgentCapability = (typeof AGENT_CAPABILITIES)[number];

export const agentInfoSchema = v.object({
  hostname: v.pipe(v.string(), v.minLength(1), v.maxLength(255)),
  /** Port of the agent's own loopback API. */
  port: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535)),
  resources: v.pipe(v.array(resourceSchema), v.maxLength(RESOURCES_MAX)),
  attributes: v.pipe(v.array(attributeSchema), v.maxLength(RESOURCES_MAX)),
  /** {@link AGENT_CAPABILITIES}; a later agent may have others. Absent: none. */
  capabilities: v.optional(v.pipe(v.array(v.pipe(v.string(), v.maxLength(64))), v.maxLength(64))),
  domain: v.optional(domainSchema),
});
export type AgentInfo = v.InferOutput<typeof agentInfoSchema>;

/** What of a framework an agent must know to run its tasks. */
export const frameworkSummarySchema = v.object({
  id: frameworkIdText,
  name: shortText,
  user: v.pipe(v.string(), v.maxLength(64)),
  partitionAware: v.boolean(),
  /** Whose framework it is: after a failover nobody else may take its id. */
  principal: v.optional(shortText),
  /** After a failover the framework has this long to come back. */
  failoverTimeoutMs: v.optional(v.pipe(v.number(), v.minValue(0))),
});
export type FrameworkSummary = v.InferOutput<typeof frameworkSummarySchema>;

const resources = v.pipe(v.array(resourceSchema), v.maxLength(RESOURCES_MAX));

export const resourceOperationSchema = v.pipe(
  v.variant("type", [
    v.object({ type: v.literal("RESERVE"), resources }),
    v.object({ type: v.literal("UNRESERVE"), resources }),
    v.object({ type: v.literal("CREATE"), volumes: resources }),
    v.object({ type: v.literal("DESTROY"), volumes: resources }),
    v.object({ type: v.literal("GROW_VOLUME"), volume: resourceSchema, addition: resourceSchema }),
    v.object({ type: v.literal("SHRINK_VOLUME"), volume: resourceSchema, subtractMb: v.number() }),
  ]),
  v.check(
    (operation) => JSON.stringify(operation).length <= OPERATION_LETTERS_MAX,
    `an operation may have at most ${OPERATION_LETTERS_MAX} letters of JSON`,
  ),
);
/** The part of an offer operation that changes an agent's resources; launches change none. `subtractMb`: megabytes. */
export type ResourceOperation = v.InferOutput<typeof resourceOperationSchema>;

const operationEntries = {
  operationUuid: operationUuidText,
  /** Absent for an operator's. */
  frameworkId: v.optional(frameworkIdText),
  /** What the framework calls it; absent when it wants no news. */
  operationId: v.optional(shortText),
};

const orderSchema = v.variant("type", [
  v.object({ type: v.literal("launch"), framework: frameworkSummarySchema, task: taskInfoSchema }),
  v.object({ type: v.literal("kill"), frameworkId: frameworkIdText, taskId: taskIdText, killPolicy }),
  v.object({ type: v.literal("shutdown-framework"), frameworkId: frameworkIdText }),
  v.object({ type: v.literal("operation"), ...operationEntries, operation: resourceOperationSchema }),
  /** All of the tasks or none, in one executor. */
  v.object({
    type: v.literal("launch-group"),
    framework: frameworkSummarySchema,
    executor: executorInfoSchema,
    tasks: v.pipe(v.array(taskInfoSchema), v.maxLength(FRAME_ITEMS_MAX)),
  }),
  v.object({ type: v.literal("shutdown-executor"), frameworkId: frameworkIdText, executorId: executorIdText }),
]);
/** Asked of an agent once. The agent checkpoints its sequence before it acts, and drops a sequence it has seen. */
export type Order = v.InferOutput<typeof orderSchema>;

const sequence = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const numberedOrder = v.object({ sequence, order: orderSchema });
export type NumberedOrder = v.InferOutput<typeof numberedOrder>;

export const systemStatisticsSchema = v.object({
  cpus_total: v.number(),
  load_1min: v.number(),
  load_5min: v.number(),
  load_15min: v.number(),
  mem_total_bytes: v.number(),
  mem_free_bytes: v.number(),
});
/** The host's own figures, summed over agents as `system/*`. */
export type SystemStatistics = v.InferOutput<typeof systemStatisticsSchema>;

/** A task as an agent reports it when it registers: `latest` is the newest state there, `status` the update still to be acknowledged. */
const taskReport = v.object({
  framework: frameworkSummarySchema,
  task: taskInfoSchema,
  latest: taskStatusSchema.entries.state,
  statuses: v.pipe(v.array(taskStatusSchema), v.maxLength(16)),
});
export type TaskReport = v.InferOutput<typeof taskReport>;

const update = v.object({
  frameworkId: frameworkIdText,
  status: taskStatusSchema,
  latest: taskStatusSchema.entries.state,
});
/** One status update: `status` is the head of the task's stream, `latest` the task's newest state, which frees resources. */
export type Update = v.InferOutput<typeof update>;

const operationUpdate = v.object({ ...operationEntries, status: operationStatusSchema });
/** How an operation ended: `status` has a uuid. */
export type OperationUpdate = v.InferOutput<typeof operationUpdate>;

export const operationReportSchema = v.object({
  ...operationEntries,
  operation: resourceOperationSchema,
  status: operationStatusSchema,
});
/** An operation of which the outcome is not acknowledged yet. */
export type OperationReport = v.InferOutput<typeof operationReportSchema>;

const executorReport = v.object({ framework: frameworkSummarySchema, executor: executorInfoSchema });
/** A living executor. */
export type ExecutorReport = v.InferOutput<typeof executorReport>;

const messageEntries = {
  frameworkId: frameworkIdText,
  executorId: executorIdText,
  /** base64 */
  data: v.pipe(v.string(), v.maxLength(MESSAGE_LETTERS_MAX)),
};

export const agentMessageSchema = v.variant("type", [
  v.object({
    type: v.literal("authenticate"),
    protocolVersion: v.pipe(v.number(), v.integer(), v.minValue(1)),
    agentVersion: shortText,
    mechanism: shortText,
    clientFirst: scramText,
    /** Highest epoch this agent has obeyed: a plane that knows only a lower one looks for its leader first. */
    epochSeen: epochNumber,
  }),
  v.object({ type: v.literal("authentication-step"), clientFinal: scramText }),
  v.object({
    type: v.literal("register"),
    /** Absent for an agent that was never admitted. */
    agentId: v.optional(agentIdText),
    /** The last session it was given; an older one than the master's last is a clone of this agent. */
    lastSession: v.optional(sessionIdText),
    /** The cluster that gave the id: another one must neither take the agent in nor end its tasks. */
    clusterId: v.optional(clusterIdText),
    /** `resources` is the total as it is now, after all operations. */
    info: agentInfoSchema,
    tasks: v.pipe(v.array(taskReport), v.maxLength(FRAME_ITEMS_MAX)),
    /** In the first part; what does not fit there is in the next ones, before the tasks. */
    operations: v.optional(v.pipe(v.array(operationReportSchema), v.maxLength(FRAME_ITEMS_MAX))),
    executors: v.optional(v.pipe(v.array(executorReport), v.maxLength(FRAME_ITEMS_MAX))),
    /** 1, 2, 3… of the frames that one registration takes: a missing one is noticed. */
    part: v.pipe(v.number(), v.integer(), v.minValue(1)),
    /** More frames with the rest follow. */
    more: v.boolean(),
    system: systemStatisticsSchema,
  }),
  v.object({
    type: v.literal("acted"),
    session: sessionIdText,
    /** Highest order that is checkpointed and acted upon. */
    sequence: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  }),
  v.object({
    type: v.literal("updates"),
    session: sessionIdText,
    updates: v.pipe(v.array(update), v.maxLength(FRAME_ITEMS_MAX)),
  }),
  /** Told again until acknowledged: after 10 s, doubling to 10 min, and after each registration. */
  v.object({
    type: v.literal("operation-updates"),
    session: sessionIdText,
    updates: v.pipe(v.array(operationUpdate), v.maxLength(FRAME_ITEMS_MAX)),
  }),
  v.object({
    type: v.literal("executor-exited"),
    session: sessionIdText,
    frameworkId: frameworkIdText,
    executorId: executorIdText,
    /** As of waitpid: the exit code in bits 8 to 15, the signal in the low 7 bits; -1 when unknown. */
    status: v.pipe(v.number(), v.safeInteger()),
  }),
  v.object({ type: v.literal("framework-message"), session: sessionIdText, ...messageEntries }),
  v.object({ type: v.literal("statistics"), system: systemStatisticsSchema }),
  /** The agent leaves for good: its id ends, and its tasks with it. Answered by `shutdown` once the registry has it. */
  v.object({ type: v.literal("unregister"), session: sessionIdText }),
  v.object({
    type: v.literal("response"),
    requestId: v.pipe(v.string(), v.maxLength(64)),
    status: v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(599)),
    headers: v.record(v.string(), v.string()),
    /** base64 */
    body: v.string(),
  }),
]);
export type AgentMessage = v.InferOutput<typeof agentMessageSchema>;

export const planeMessageSchema = v.variant("type", [
  v.object({ type: v.literal("authentication-step"), serverFirst: scramText }),
  v.object({ type: v.literal("authenticated"), serverFinal: scramText }),
  v.object({ type: v.literal("authentication-failed"), reason: shortText }),
  v.object({ type: v.literal("authentication-error"), reason: shortText }),
  v.object({
    type: v.literal("registered"),
    agentId: agentIdText,
    epoch: epochNumber,
    session: sessionIdText,
    clusterId: v.optional(clusterIdText),
    /** How long a socket may be silent, ms; the agent pings five times in it. Source: Mesos total_ping_timeout_seconds. */
    silenceMs: v.optional(v.pipe(v.number(), v.integer(), v.minValue(100), v.maxValue(SILENCE_MS_MAX))),
  }),
  /** Not now: no quorum, or no leader. Keep tasks and updates and send `register` again after a pause. */
  v.object({ type: v.literal("unavailable"), reason: shortText }),
  /** Never: this agent does not belong here as it is. */
  v.object({ type: v.literal("refused"), reason: shortText }),
  /**
   * The agent was removed, marked gone, or is unknown to the registry, and a quorum confirmed that: end all tasks, forget the id, exit.
   * To be obeyed only for one's own id, and from an epoch that is not below the highest one seen.
   */
  v.object({ type: v.literal("shutdown"), agentId: agentIdText, epoch: epochNumber, reason: shortText }),
  v.object({
    type: v.literal("orders"),
    epoch: epochNumber,
    session: sessionIdText,
    orders: v.pipe(v.array(numberedOrder), v.maxLength(FRAME_ITEMS_MAX)),
  }),
  /** The framework has the update: the agent may forget it. */
  v.object({
    type: v.literal("acknowledge"),
    epoch: epochNumber,
    session: sessionIdText,
    acknowledgements: v.pipe(
      v.array(
        v.object({ frameworkId: frameworkIdText, taskId: taskIdText, uuid: v.pipe(v.string(), v.maxLength(24)) }),
      ),
      v.maxLength(FRAME_ITEMS_MAX),
    ),
  }),
  /** Whoever wants to know of the operations knows how they ended: the agent may forget them. */
  v.object({
    type: v.literal("acknowledge-operations"),
    epoch: epochNumber,
    session: sessionIdText,
    acknowledgements: v.pipe(
      v.array(v.object({ operationUuid: operationUuidText, uuid: v.pipe(v.string(), v.maxLength(24)) })),
      v.maxLength(FRAME_ITEMS_MAX),
    ),
  }),
  v.object({ type: v.literal("executor-message"), epoch: epochNumber, session: sessionIdText, ...messageEntries }),
  /** A GET of the agent's own HTTP API, tunnelled: answered by `response`. */
  v.object({
    type: v.literal("request"),
    requestId: v.pipe(v.string(), v.maxLength(64)),
    /** Path and query, e.g. `/files/read?path=…`. */
    path: v.pipe(v.string(), v.startsWith("/"), v.maxLength(8192)),
    range: v.optional(v.pipe(v.string(), v.maxLength(128))),
  }),
]);
export type PlaneMessage = v.InferOutput<typeof planeMessageSchema>;

export type Parsed<T> =
  | { readonly type: "parsed"; readonly value: T }
  | { readonly type: "refused"; readonly reason: string };

/** Parses one frame; anything that is not exactly one known message is refused with a reason, and nothing throws. */
export function parseFrame<const S extends v.GenericSchema>(schema: S, frame: string): Parsed<v.InferOutput<S>> {
  if (frame.length > FRAME_BYTES_MAX)
    return { type: "refused", reason: `a frame may have at most ${FRAME_BYTES_MAX} bytes` };
  let json: unknown;
  try {
    json = JSON.parse(frame);
  } catch {
    return { type: "refused", reason: "a frame is one JSON object" };
  }
  const result = v.safeParse(schema, json, { abortEarly: true });
  if (result.success) return { type: "parsed", value: result.output };
  const issue = result.issues[0];
  return { type: "refused", reason: `${v.getDotPath(issue) ?? "message"}: ${issue.message}` };
}
