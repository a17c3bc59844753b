// What a leading master knows: agents, frameworks, offers and tasks of one epoch. The maps belong to this core and are changed
// in place; whoever changes a record that outlives the instance marks it, and the shell writes what is marked, in one
// transaction, before any effect leaves. Offers, filters and streams are not marked: they die with the instance.
import type { Millis } from "#base/time.ts";
import type {
  AgentInfo,
  FrameworkSummary,
  NumberedOrder,
  Order,
  PlaneMessage,
  SystemStatistics,
  TaskReport,
} from "#protocol/agent.ts";
import type {
  AgentId,
  Epoch,
  FrameworkId,
  HostKey,
  MasterId,
  OfferId,
  Principal,
  SessionId,
  StreamId,
  TaskId,
} from "#protocol/ids.ts";
import type { FrameworkInfo, MasterInfo, SchedulerEvent } from "#protocol/scheduler.ts";
import type { KillPolicy, TaskInfo, TaskState, TaskStatus } from "#protocol/task.ts";
import type { ResourceSet } from "#resources/resources.ts";
import type { RegistryOperation } from "#registrar/operations.ts";
import { newCounters, type Counters } from "./counters.ts";

/** One socket of one gateway. A gateway never uses a socket id twice. */
export interface Connection {
  readonly gateway: string;
  readonly socketId: string;
}

export const socketKey = ({ gateway, socketId }: Connection): string => `${gateway}/${socketId}`;

export interface AgentRecord {
  readonly agentId: AgentId;
  readonly hostKey: HostKey;
  readonly principal: Principal;
  info: AgentInfo;
  readonly registeredAt: Millis;
  reregisteredAt: Millis | undefined;
  /** Undefined while the agent is not connected. Orders wait meanwhile; a re-registration voids them. */
  connection: Connection | undefined;
  /** Undefined until the agent has registered under this epoch: it is "recovered" from the registry. */
  session: SessionId | undefined;
  /** Whether the agent has shown that it knows `session`: "registered" may be lost on its way. */
  confirmed: boolean;
  /** The last session that the agent surely knew. */
  sessionBefore: SessionId | undefined;
  nextSequence: number;
  /** Orders of this session that the agent has not yet said it acted upon, oldest first. Rows of their own. */
  orders: PendingOrder[];
  system: SystemStatistics | undefined;
}

export interface PendingOrder extends NumberedOrder {
  readonly sentAt: Millis;
}

/**
 * connected: a stream is open. disconnected: it broke; the deadline runs. recovered: known only from agents' reports.
 * removed: its tasks are told to end, and the record stays until the last of them has.
 */
export type FrameworkStatus =
  | { readonly state: "connected"; readonly streamId: StreamId }
  | { readonly state: "disconnected"; readonly deadline: Millis }
  | { readonly state: "recovered" }
  | { readonly state: "removed"; readonly at: Millis };

export interface FrameworkRecord {
  readonly id: FrameworkId;
  info: FrameworkInfo;
  principal: Principal | undefined;
  status: FrameworkStatus;
  registeredAt: Millis;
  reregisteredAt: Millis | undefined;
  readonly tasks: Map<TaskId, TaskRecord>;
  /** Newest last, at most {@link COMPLETED_TASKS_MAX}. */
  readonly completedTasks: TaskRecord[];
}

export interface TaskRecord {
  readonly frameworkId: FrameworkId;
  readonly agentId: AgentId;
  readonly info: TaskInfo;
  /** The newest state that the agent knows; resources follow it. */
  latest: TaskState;
  /** What was told to the framework, oldest first; neighbours of one state are one. */
  statuses: TaskStatus[];
  /** The update that waits for the framework's acknowledgement. */
  unacknowledged: TaskStatus | undefined;
  /** A kill that was asked for and must reach the agent in every later session while the task lives. */
  kill: { readonly policy: KillPolicy | undefined } | undefined;
  readonly launchedAt: Millis;
}

export interface OfferRecord {
  readonly id: OfferId;
  readonly frameworkId: FrameworkId;
  readonly agentId: AgentId;
  readonly resources: ResourceSet;
}

/** Resources of an agent that a framework does not want to see before `until`. */
export interface Filter {
  readonly agentId: AgentId;
  readonly resources: ResourceSet;
  readonly until: Millis;
  /** Before this it holds whatever else becomes free: offers and declines must not chase each other. Not after `until`. */
  readonly firmUntil: Millis;
}

export type MasterEffect =
  | { readonly type: "send"; readonly to: Connection; readonly message: PlaneMessage }
  | { readonly type: "close-socket"; readonly to: Connection; readonly reason: string }
  | { readonly type: "event"; readonly streamId: StreamId; readonly event: SchedulerEvent }
  | { readonly type: "close-stream"; readonly streamId: StreamId }
  | {
      readonly type: "registry";
      readonly id: number;
      readonly operation: RegistryOperation;
      readonly who: string;
      readonly why: string;
    };

/** Sources of fresh ids; a test hands in a counter. */
export interface Ids {
  /** A random uuid in text form. */
  uuid(): string;
}

/** A registration whose registry operation is on its way. */
export interface PendingRegistration {
  /** Undefined when the socket was lost meanwhile: the outcome still counts, and nobody is told. */
  from: Connection | undefined;
  readonly hostKey: HostKey;
  readonly principal: Principal;
  readonly agentId: AgentId;
  readonly info: AgentInfo;
  tasks: readonly TaskReport[];
  readonly system: SystemStatistics;
  /** Whether this admits the agent to the registry. */
  readonly first: boolean;
}

export interface Master {
  readonly masterId: MasterId;
  readonly epoch: Epoch;
  info: MasterInfo;
  readonly startedAt: Millis;
  readonly electedAt: Millis;
  readonly agents: Map<AgentId, AgentRecord>;
  readonly agentByHost: Map<HostKey, AgentId>;
  /** Agents whose connection is that socket, by {@link socketKey}. */
  readonly agentBySocket: Map<string, AgentId>;
  readonly frameworks: Map<FrameworkId, FrameworkRecord>;
  /** Removed frameworks without live tasks, newest last, at most {@link COMPLETED_FRAMEWORKS_MAX}. */
  readonly completedFrameworks: FrameworkRecord[];
  readonly offers: Map<OfferId, OfferRecord>;
  readonly filters: Map<FrameworkId, Filter[]>;
  readonly registrations: Map<number, PendingRegistration>;
  /** Task reports of registrations that come in several frames, by socket. */
  readonly partialReports: Map<string, { readonly parts: number; readonly tasks: readonly TaskReport[] }>;
  /** The tasks in the books, by agent. */
  readonly tasksByAgent: Map<AgentId, Set<TaskRecord>>;
  readonly counters: Counters;
  nextAgent: number;
  nextFramework: number;
  nextOffer: number;
  nextRegistration: number;
  /** Something changed that may let an offer be made. */
  allocationDue: boolean;
  readonly effects: MasterEffect[];
  readonly marked: Marked;
}

export type OrderChange =
  | { readonly type: "given"; readonly agentId: AgentId; readonly order: PendingOrder }
  | { readonly type: "acted"; readonly agentId: AgentId; readonly sequence: number }
  | { readonly type: "voided"; readonly agentId: AgentId };

/** Keys of records that differ from their rows. */
export interface Marked {
  /** A counter that makes ids went on: the next instance must not give them again. */
  nextIds: boolean;
  /** What happened to orders, in order: their rows follow. */
  readonly orders: OrderChange[];
  readonly agents: Set<AgentId>;
  readonly frameworks: Set<FrameworkId>;
  readonly tasks: Map<FrameworkId, Set<TaskId>>;
}

/** Source: Mesos max_completed_frameworks. */
export const COMPLETED_FRAMEWORKS_MAX = 50;
/** Kept in memory and rows for each framework. Source: Mesos max_completed_tasks_per_framework is 1,000; see SPEC [M19]. */
export const COMPLETED_TASKS_MAX = 200;

export function newMaster(start: {
  readonly masterId: MasterId;
  readonly epoch: Epoch;
  readonly info: MasterInfo;
  readonly startedAt: Millis;
  readonly electedAt: Millis;
}): Master {
  return {
    ...start,
    agents: new Map(),
    agentByHost: new Map(),
    agentBySocket: new Map(),
    frameworks: new Map(),
    completedFrameworks: [],
    offers: new Map(),
    filters: new Map(),
    registrations: new Map(),
    partialReports: new Map(),
    tasksByAgent: new Map(),
    counters: newCounters(),
    nextAgent: 0,
    nextFramework: 0,
    nextOffer: 0,
    nextRegistration: 0,
    allocationDue: false,
    effects: [],
    marked: { nextIds: false, orders: [], agents: new Set(), frameworks: new Set(), tasks: new Map() },
  };
}

export function markTask(master: Master, frameworkId: FrameworkId, taskId: TaskId): void {
  const marked = master.marked.tasks.get(frameworkId);
  if (marked === undefined) master.marked.tasks.set(frameworkId, new Set([taskId]));
  else marked.add(taskId);
}

export const isPartitionAware = (info: FrameworkInfo): boolean =>
  info.capabilities.some((capability) => capability.type === "PARTITION_AWARE");

export function summaryOf(framework: FrameworkRecord): FrameworkSummary {
  return {
    id: framework.id,
    name: framework.info.name,
    user: framework.info.user,
    partitionAware: isPartitionAware(framework.info),
    principal: framework.principal,
  };
}

/** Binds an agent to a socket, or to none; the rows and the look-up follow. */
export function setConnection(master: Master, agent: AgentRecord, connection: Connection | undefined): void {
  if (agent.connection !== undefined) master.agentBySocket.delete(socketKey(agent.connection));
  agent.connection = connection;
  if (connection !== undefined) master.agentBySocket.set(socketKey(connection), agent.agentId);
  master.marked.agents.add(agent.agentId);
}

/** Enters a task into the books. {@link removeTaskRecord} is its opposite; nobody else touches the two maps. */
export function addTaskRecord(master: Master, framework: FrameworkRecord, task: TaskRecord): void {
  framework.tasks.set(task.info.task_id.value, task);
  const ofAgent = master.tasksByAgent.get(task.agentId) ?? new Set();
  ofAgent.add(task);
  master.tasksByAgent.set(task.agentId, ofAgent);
}

export function removeTaskRecord(master: Master, framework: FrameworkRecord, task: TaskRecord): void {
  framework.tasks.delete(task.info.task_id.value);
  const ofAgent = master.tasksByAgent.get(task.agentId);
  ofAgent?.delete(task);
  if (ofAgent?.size === 0) master.tasksByAgent.delete(task.agentId);
}

/** Tells the framework, if a stream is open; the event is lost otherwise, as the caller must know. */
export function tell(master: Master, framework: FrameworkRecord, event: SchedulerEvent): void {
  if (framework.status.state === "connected") {
    master.effects.push({ type: "event", streamId: framework.status.streamId, event });
  }
}

/** Numbers an order within the agent's session, keeps it until the agent has acted, and sends it if the agent is there. */
export function give(master: Master, agent: AgentRecord, order: Order, now: Millis): void {
  if (agent.session === undefined || agent.connection === undefined) return;
  const numbered = { sequence: agent.nextSequence++, order };
  const pending = { ...numbered, sentAt: now };
  agent.orders.push(pending);
  master.marked.orders.push({ type: "given", agentId: agent.agentId, order: pending });
  master.marked.agents.add(agent.agentId);
  master.effects.push({
    type: "send",
    to: agent.connection,
    message: { type: "orders", epoch: master.epoch, session: agent.session, orders: [numbered] },
  });
}
