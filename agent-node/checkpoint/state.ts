// What an agent knows for certain: the fold of its journal. Decides what each record changes; the shell appends a record
// durably, then applies it, so that memory never runs ahead of disk.
//
// A task leaves the state when its terminal update is acknowledged. A stream can be there without a task: the answer to a
// kill of a task that this agent never had, or to a launch that was not done.
//
// What operations have made of the agent's resources is here as a whole after each of them, so that a record read twice changes
// nothing. It outlives the agent's id: volumes are the host's.
//
// An agent that the plane removes passes through `removal`: while it is set, tasks are ended and nothing else happens, also
// by an agent that was started anew in between. `shut-down` follows when they have ended, and leaves only the fence.
import * as v from "valibot";
import type { Brand } from "#base/brand.ts";
import { unreachable } from "#base/assert.ts";
import {
  type FrameworkSummary,
  frameworkSummarySchema,
  type OperationReport,
  operationReportSchema,
} from "#protocol/agent.ts";
import {
  type AgentId,
  agentIdText,
  type ClusterId,
  clusterIdText,
  type ContainerId,
  type Epoch,
  epochNumber,
  type FrameworkId,
  frameworkIdText,
  type OperationUuid,
  operationUuidText,
  type SessionId,
  sessionIdText,
  type TaskId,
  taskIdText,
} from "#protocol/ids.ts";
import { type Resource, resourceSchema } from "#protocol/resource.ts";
import { isTerminal, type TaskInfo, taskInfoSchema, type TaskState, taskStatusSchema } from "#protocol/task.ts";
import { acknowledge, EMPTY_STREAM, enqueue, enqueueAnswer, type UpdateStream } from "../status-updates/stream.ts";
import type { Place } from "../volumes/place.ts";

/** One task of one framework: task ids are unique within a framework only. */
export type TaskKey = Brand<string, "TaskKey">;
/** The separator cannot occur in an id. */
export const taskKey = (frameworkId: FrameworkId, taskId: TaskId): TaskKey => `${frameworkId}/${taskId}` as TaskKey;

const launchSchema = v.object({
  framework: frameworkSummarySchema,
  task: taskInfoSchema,
  containerId: v.pipe(
    v.string(),
    v.transform((text) => text as ContainerId),
  ),
});
const killSchema = v.object({ frameworkId: frameworkIdText, taskId: taskIdText, graceMs: v.number() });

const answerSchema = v.object({ frameworkId: frameworkIdText, status: taskStatusSchema });

const placeSchema = v.object({ path: v.string(), isMount: v.boolean() });

export const journalRecordSchema = v.variant("type", [
  v.object({
    type: v.literal("registered"),
    agentId: agentIdText,
    epoch: epochNumber,
    session: sessionIdText,
    /** Absent in journals of 0.1.0, and from planes of that time. */
    clusterId: v.optional(clusterIdText),
  }),
  v.object({
    type: v.literal("orders"),
    sequence: v.number(),
    launches: v.array(launchSchema),
    kills: v.array(killSchema),
    /** Last updates of tasks that were ordered and are not launched; absent when there are none. */
    answers: v.optional(v.array(answerSchema)),
  }),
  v.object({ type: v.literal("update"), frameworkId: frameworkIdText, status: taskStatusSchema }),
  v.object({ type: v.literal("acknowledged"), frameworkId: frameworkIdText, taskId: taskIdText, uuid: v.string() }),
  /**
   * The next order of the session, an operation, with how it ended. A kind of its own: a release that does not know it refuses the
   * journal instead of forgetting what was reserved.
   */
  v.object({
    type: v.literal("operated"),
    sequence: v.number(),
    report: operationReportSchema,
    /** All that operations have made; absent when this one changed nothing. */
    converted: v.optional(v.array(resourceSchema)),
    /** Of volumes that it destroyed; their content is still there. */
    removals: v.optional(v.array(placeSchema)),
  }),
  v.object({ type: v.literal("operation-acknowledged"), operationUuid: operationUuidText, uuid: v.string() }),
  /** The place of a destroyed volume is free. */
  v.object({ type: v.literal("volume-removed"), path: v.string() }),
  /** All of it at once: what the journal is rewritten from. */
  v.object({
    type: v.literal("operations"),
    converted: v.array(resourceSchema),
    removals: v.array(placeSchema),
    reports: v.array(operationReportSchema),
  }),
  /** The plane's word that ends this agent's id: from here on tasks are only ended. */
  v.object({ type: v.literal("shutting-down"), epoch: epochNumber, reason: v.string() }),
  /** Every task has ended: what is left is a new agent that still knows the highest epoch it has seen. */
  v.object({ type: v.literal("shut-down"), epochSeen: epochNumber }),
]);
export type JournalRecord = v.InferOutput<typeof journalRecordSchema>;

export interface CheckpointedTask {
  readonly framework: FrameworkSummary;
  readonly task: TaskInfo;
  readonly containerId: ContainerId;
  /** Set once the task was told to end: it is told again when the agent restarts. */
  readonly killGraceMs: number | undefined;
}

export interface AgentState {
  readonly registration: Registration | undefined;
  /** The fence: highest epoch that was ever obeyed. It outlives the registration. */
  readonly epochSeen: Epoch;
  /** Set from the plane's word to shut down until all tasks have ended. */
  readonly removal: Removal | undefined;
  /** Highest order of the session that was acted upon. */
  readonly sequence: number;
  readonly tasks: ReadonlyMap<TaskKey, CheckpointedTask>;
  readonly streams: ReadonlyMap<TaskKey, UpdateStream>;
  /** What operations have made of the resources that the flags give: see resources/total.ts. */
  readonly converted: readonly Resource[];
  /** Those of which the outcome is not acknowledged. */
  readonly operations: ReadonlyMap<OperationUuid, OperationReport>;
  /** Of destroyed volumes, by path: what is there has to go before anything new comes there. */
  readonly removals: ReadonlyMap<string, Place>;
}
export interface Registration {
  readonly agentId: AgentId;
  readonly epoch: Epoch;
  readonly session: SessionId;
  /** The cluster that gave the id; undefined while only a plane of 0.1.0 was there to say. */
  readonly clusterId: ClusterId | undefined;
}
export interface Removal {
  readonly epoch: Epoch;
  readonly reason: string;
}

export const NEW_AGENT: AgentState = {
  registration: undefined,
  epochSeen: 0 as Epoch,
  removal: undefined,
  sequence: 0,
  tasks: new Map(),
  streams: new Map(),
  converted: [],
  operations: new Map(),
  removals: new Map(),
};

export function apply(state: AgentState, record: JournalRecord): AgentState {
  switch (record.type) {
    case "registered": {
      const { agentId, epoch, session } = record;
      // A plane that does not say it cannot make this agent forget which cluster gave the id.
      const known = state.registration?.agentId === agentId ? state.registration.clusterId : undefined;
      const registration = { agentId, epoch, session, clusterId: record.clusterId ?? known };
      return { ...state, registration, epochSeen: later(state.epochSeen, epoch), sequence: 0 };
    }
    case "orders":
      return onOrders(state, record);
    case "update": {
      const { frameworkId, status } = record;
      const key = taskKey(frameworkId, status.task_id.value);
      const streams = new Map(state.streams);
      streams.set(key, enqueue(streams.get(key) ?? EMPTY_STREAM, status));
      return { ...state, streams };
    }
    case "acknowledged": {
      const key = taskKey(record.frameworkId, record.taskId);
      const verdict = acknowledge(state.streams.get(key) ?? EMPTY_STREAM, record.uuid);
      if (verdict.type === "unexpected") return state;
      const streams = new Map(state.streams);
      if (verdict.type === "next") {
        streams.set(key, verdict.stream);
        return { ...state, streams };
      }
      const tasks = new Map(state.tasks);
      tasks.delete(key);
      if (verdict.stream === undefined) streams.delete(key);
      else streams.set(key, verdict.stream);
      return { ...state, tasks, streams };
    }
    case "operated": {
      const { sequence, report, converted = state.converted, removals = [] } = record;
      return {
        ...state,
        sequence,
        converted,
        operations: new Map(state.operations).set(report.operationUuid, report),
        removals: new Map([...state.removals, ...byPath(removals)]),
      };
    }
    case "operation-acknowledged": {
      if (state.operations.get(record.operationUuid)?.status.uuid?.value !== record.uuid) return state;
      const operations = new Map(state.operations);
      operations.delete(record.operationUuid);
      return { ...state, operations };
    }
    case "volume-removed": {
      const removals = new Map(state.removals);
      removals.delete(record.path);
      return { ...state, removals };
    }
    case "operations": {
      const { converted, removals, reports } = record;
      const operations = new Map(reports.map((report) => [report.operationUuid, report]));
      return { ...state, converted, operations, removals: new Map(byPath(removals)) };
    }
    case "shutting-down": {
      const { epoch, reason } = record;
      return { ...state, removal: { epoch, reason }, epochSeen: later(state.epochSeen, epoch) };
    }
    case "shut-down":
      return {
        ...NEW_AGENT,
        epochSeen: later(state.epochSeen, record.epochSeen),
        converted: state.converted,
        removals: state.removals,
      };
    default:
      return unreachable(record);
  }
}

const later = (a: Epoch, b: Epoch): Epoch => (a > b ? a : b);

const byPath = (places: readonly Place[]): readonly (readonly [string, Place])[] =>
  places.map((place) => [place.path, place]);

function onOrders(state: AgentState, record: Extract<JournalRecord, { readonly type: "orders" }>): AgentState {
  const tasks = new Map(state.tasks);
  for (const { framework, task, containerId } of record.launches)
    tasks.set(taskKey(framework.id, task.task_id.value), { framework, task, containerId, killGraceMs: undefined });
  for (const { frameworkId, taskId, graceMs } of record.kills) {
    const task = tasks.get(taskKey(frameworkId, taskId));
    // A repeated kill may only shorten the grace (reference §9.3).
    if (task !== undefined)
      tasks.set(taskKey(frameworkId, taskId), { ...task, killGraceMs: Math.min(graceMs, task.killGraceMs ?? graceMs) });
  }
  const streams = new Map(state.streams);
  for (const { frameworkId, status } of record.answers ?? []) {
    const key = taskKey(frameworkId, status.task_id.value);
    streams.set(key, enqueueAnswer(streams.get(key) ?? EMPTY_STREAM, status));
  }
  return { ...state, sequence: record.sequence, tasks, streams };
}

/** The shortest journal that folds to `state`: what compaction writes. */
export function snapshot(state: AgentState): JournalRecord[] {
  const tasks = [...state.tasks.values()];
  const { registration, epochSeen, removal, converted, removals, operations } = state;
  const isOperated = converted.length + removals.size + operations.size > 0;
  return [
    // First, because it clears what is before it: the fence of an earlier life, when the registration does not say it.
    ...(epochSeen === (registration?.epoch ?? 0) ? [] : [{ type: "shut-down" as const, epochSeen }]),
    ...(registration === undefined ? [] : [{ type: "registered" as const, ...registration }]),
    {
      type: "orders",
      sequence: state.sequence,
      launches: tasks.map(({ framework, task, containerId }) => ({ framework, task, containerId })),
      kills: tasks.flatMap(({ framework, task, killGraceMs }) =>
        killGraceMs === undefined
          ? []
          : [{ frameworkId: framework.id, taskId: task.task_id.value, graceMs: killGraceMs }],
      ),
    },
    ...(isOperated
      ? [
          {
            type: "operations" as const,
            converted: [...converted],
            removals: [...removals.values()],
            reports: [...operations.values()],
          },
        ]
      : []),
    ...[...state.streams].flatMap(([key, stream]) =>
      snapshotStream(key.slice(0, key.indexOf("/")) as FrameworkId, stream, state.sequence),
    ),
    ...(removal === undefined ? [] : [{ type: "shutting-down" as const, ...removal }]),
  ];
}

function snapshotStream(
  frameworkId: FrameworkId,
  { acknowledged, pending }: UpdateStream,
  sequence: number,
): JournalRecord[] {
  const records: JournalRecord[] = [];
  if (acknowledged !== undefined) {
    records.push({ type: "update", frameworkId, status: acknowledged });
    const { task_id, uuid = "" } = acknowledged;
    records.push({ type: "acknowledged", frameworkId, taskId: task_id.value, uuid });
  }
  const end = pending.findIndex(({ state }) => isTerminal(state));
  const [updates, answers] = end === -1 ? [pending, []] : [pending.slice(0, end + 1), pending.slice(end + 1)];
  for (const status of updates) records.push({ type: "update", frameworkId, status });
  if (answers.length > 0) {
    const inOrder = answers.map((status) => ({ frameworkId, status }));
    records.push({ type: "orders", sequence, launches: [], kills: [], answers: inOrder });
  }
  return records;
}

/** A task's newest state, acknowledged or not. */
export function latestState(state: AgentState, key: TaskKey): TaskState {
  const stream = state.streams.get(key);
  return (stream?.pending.at(-1) ?? stream?.acknowledged)?.state ?? "TASK_STAGING";
}
