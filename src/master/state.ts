// What a leading master knows: agents, frameworks, offers and tasks of one epoch. The maps belong to this core and are changed
// in place; whoever changes a record that outlives the instance marks it, and the shell writes what is marked, in one
// transaction, before any effect leaves. Offers, filters and streams are not marked: they die with the instance.
// A hundred thousand tasks are here at once: what a decision seldom needs of one is in its row only (task-store.ts).
import type { Random } from "#base/random.ts";
import { millis, type Millis } from "#base/time.ts";
import type {
  AgentInfo,
  FrameworkSummary,
  NumberedOrder,
  PlaneMessage,
  ResourceOperation,
  SystemStatistics,
  TaskReport,
} from "#protocol/agent.ts";
import type {
  AgentId,
  ClusterId,
  Epoch,
  ExecutorId,
  FrameworkId,
  HostKey,
  MasterId,
  OfferId,
  OperationUuid,
  Principal,
  SessionId,
  StreamId,
  TaskId,
} from "#protocol/ids.ts";
import type { OfferConstraints } from "#protocol/offer-constraints.ts";
import type { OperationStatus } from "#protocol/operation.ts";
import type { FrameworkInfo, MasterInfo, SchedulerEvent } from "#protocol/scheduler.ts";
import type { ExecutorInfo, KillPolicy, TaskState, TaskStatus } from "#protocol/task.ts";
import type { ResourceSet } from "#resources/resources.ts";
import type { RegistryOperation } from "#registrar/operations.ts";
import type { QuotaConfig, Registry, Weight } from "#registrar/registry.ts";
import { newCounters, type Counters } from "./counters.ts";
import { newPermits, type Permits } from "./permits.ts";
import type { QuotaChange } from "./quota.ts";
import type { MasterSettings } from "./settings.ts";
import { newAllocator, type Allocator } from "./allocator/hierarchical.ts";
import type { ExecutorReport } from "./executors.ts";
import type { OperationReport } from "./operations.ts";
import type { SubscribeRequest } from "./subscriptions.ts";
import type { Tally } from "./tally.ts";
import type { CompletedTask, TaskDetail, TaskStore } from "./task-store.ts";

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
  /** When a disconnected agent is given up. A recovered one has the master's `recoveredDeadline`. */
  deadline: Millis | undefined;
  /** Undefined until the agent has registered under this epoch: it is "recovered" from the registry. */
  session: SessionId | undefined;
  /** Whether the agent has shown that it knows `session`: "registered" may be lost on its way. */
  confirmed: boolean;
  /** The last session that the agent surely knew. */
  sessionBefore: SessionId | undefined;
  nextSequence: number;
  /** Orders of this session that the agent has not yet said it acted upon, oldest first. Rows of their own. */
  orders: PendingOrder[];
  /** What it has, reserved as it is reserved now: operations change it, and each registration says it anew. */
  total: ResourceSet;
  /** Live ones, see executors.ts. */
  readonly executors: Map<string, ExecutorRecord>;
  /** Those whose last news nobody has acknowledged, see operations.ts. */
  readonly operations: Map<OperationUuid, OperationRecord>;
  system: SystemStatistics | undefined;
}

export interface ExecutorRecord {
  readonly frameworkId: FrameworkId;
  readonly executorId: ExecutorId;
  readonly info: ExecutorInfo;
  /** Under which its resources were allocated. */
  readonly role: string;
  readonly resources: ResourceSet;
}

export interface OperationRecord {
  /** By which the agent knows it. */
  readonly uuid: OperationUuid;
  readonly agentId: AgentId;
  /** Undefined for an operator's. */
  readonly frameworkId: FrameworkId | undefined;
  /** What the framework calls it; undefined when it wants no news. */
  readonly operationId: string | undefined;
  readonly operation: ResourceOperation;
  /** The last news that was passed on; undefined while it is pending. */
  status: OperationStatus | undefined;
}

export interface PendingOrder extends NumberedOrder {
  readonly sentAt: Millis;
}

/**
 * connected: a stream is open. disconnected: it broke; the deadline runs. recovered: known only from agents' reports; the deadline is what they know of its failover_timeout.
 * removed: its tasks are told to end, and the record stays until the last of them has.
 */
export type FrameworkStatus =
  | { readonly state: "connected"; readonly streamId: StreamId }
  | { readonly state: "disconnected"; readonly deadline: Millis }
  | { readonly state: "recovered"; readonly deadline?: Millis }
  | { readonly state: "removed"; readonly at: Millis };

export interface FrameworkRecord {
  readonly id: FrameworkId;
  info: FrameworkInfo;
  principal: Principal | undefined;
  status: FrameworkStatus;
  registeredAt: Millis;
  reregisteredAt: Millis | undefined;
  readonly tasks: Map<TaskId, TaskRecord>;
  /** Tasks of agents that are unreachable, oldest first, at most {@link UNREACHABLE_TASKS_MAX}. They hold nothing, and may come back. */
  readonly unreachableTasks: Map<TaskId, TaskRecord>;
  /** What its tasks in the books and its executors hold. */
  readonly used: Tally;
  /** Roles under which it wants no offers now. */
  suppressedRoles: ReadonlySet<string>;
  offerConstraints: OfferConstraints | undefined;
  /** The newest word of the master's own on each task while nobody listened, oldest first, at most `UNDELIVERED_MAX`. Rows of their own. */
  readonly undelivered: Map<TaskId, TaskStatus>;
}

/** A task in the books, or an unreachable one: what decisions are made by. Everything else is its {@link TaskDetail}. */
export interface TaskRecord {
  readonly taskId: TaskId;
  readonly frameworkId: FrameworkId;
  readonly agentId: AgentId;
  /** Under which its resources were allocated. */
  readonly role: string;
  /** One object with all that ask for the same, see resource-sets.ts. */
  readonly resources: ResourceSet;
  /** The newest state that the agent knows; resources follow it. */
  latest: TaskState;
  /** The state that was last told to the framework. */
  lastState: TaskState | undefined;
  /** The update that waits for the framework's acknowledgement. */
  unacknowledged: { readonly uuid: string; readonly state: TaskState } | undefined;
  /** A kill that was asked for and must reach the agent in every later session while the task lives. */
  kill: { readonly policy: KillPolicy | undefined } | undefined;
  /** By its first status, s; by its launch before that. Lists of tasks are in this order. */
  beganAt: number;
  /** When its agent was marked unreachable; undefined while the agent is there. */
  unreachableAt: Millis | undefined;
}

export interface OfferRecord {
  readonly id: OfferId;
  readonly frameworkId: FrameworkId;
  readonly agentId: AgentId;
  readonly role: string;
  readonly resources: ResourceSet;
  readonly madeAt: Millis;
}

export type MasterEffect =
  | { readonly type: "send"; readonly to: Connection; readonly message: PlaneMessage }
  | { readonly type: "close-socket"; readonly to: Connection; readonly reason: string }
  | { readonly type: "event"; readonly streamId: StreamId; readonly event: SchedulerEvent }
  /** More than may wait for a reader at once: each is made when there is room for it, from what the books say then [M74]. */
  | {
      readonly type: "events";
      readonly streamId: StreamId;
      readonly events: Iterable<SchedulerEvent>;
      /** What waits in memory until they are told: the questions that are answered. */
      readonly holds: number;
    }
  | { readonly type: "close-stream"; readonly streamId: StreamId }
  | {
      readonly type: "registry";
      readonly id: number;
      readonly operation: RegistryOperation;
      readonly who: string;
      readonly why: string;
    }
  /** Whoever asked under `requestId` hears this. */
  | { readonly type: "answer"; readonly requestId: number; readonly answer: CallAnswer }
  /** A gateway has been silent for too long: ask it what is alive. */
  | { readonly type: "ask-gateway"; readonly gateway: string }
  /** This master must not go on; the registry stays as it is, and whoever leads next begins a new epoch. */
  | { readonly type: "stop-leading"; readonly reason: string };

/** What a call comes to. */
export interface CallAnswer {
  readonly status: 200 | 202 | 400 | 403 | 404 | 409 | 429 | 501 | 503;
  /** Plain text; empty for 200 and 202. */
  readonly text: string;
}

/** Which operator asked, and under which request he waits for the answer. */
export interface Asked {
  readonly by: Principal | "operator";
  readonly requestId: number;
}

/** Sources of fresh ids; a test hands in a counter. */
export interface Ids {
  /** A random uuid in text form. */
  uuid(): string;
  /** One of 16 random bytes, in base64. */
  operationUuid(): OperationUuid;
}

/** A registration whose registry operation is on its way. */
export interface PendingRegistration {
  readonly type: "registration";
  /** Undefined when the socket was lost meanwhile: the outcome still counts, and nobody is told. */
  from: Connection | undefined;
  readonly hostKey: HostKey;
  readonly principal: Principal;
  readonly agentId: AgentId;
  /** What it said of itself: whoever says the same is the same, and may go on where its socket broke. */
  readonly claimed: { readonly agentId: AgentId | undefined; readonly lastSession: SessionId | undefined };
  readonly info: AgentInfo;
  report: AgentReport;
  readonly system: SystemStatistics;
  /** Whether this admits the agent to the registry. */
  readonly first: boolean;
  /** Whether the registry had it as unreachable: its frameworks were told so, by this master or an earlier one. */
  readonly wasUnreachable: boolean;
}

/** What an agent has, as it says when it registers. */
export interface AgentReport {
  readonly tasks: readonly TaskReport[];
  readonly executors: readonly ExecutorReport[];
  readonly operations: readonly OperationReport[];
}

export interface PartialReport extends AgentReport {
  readonly parts: number;
  readonly letters: number;
}

/** A subscription that waits until the registry says to whom the framework's id belongs. */
export interface PendingSubscription {
  readonly type: "framework-registered";
  readonly frameworkId: FrameworkId;
  request: SubscribeRequest;
  /** Undefined when its client has gone away meanwhile. */
  streamId: StreamId | undefined;
}

/** What waits for the registry. */
export type PendingOperation =
  | PendingRegistration
  | PendingSubscription
  | { readonly type: "agent-unreachable"; readonly agentId: AgentId }
  | { readonly type: "agent-gone"; readonly agentId: AgentId; readonly requestId: number }
  | { readonly type: "agent-removed"; readonly agentId: AgentId; readonly why: Departure }
  | { readonly type: "framework-removed"; readonly frameworkId: FrameworkId; readonly requestIds: number[] }
  | { readonly type: "quota-updated"; readonly configs: readonly QuotaConfig[] }
  | { readonly type: "weights-updated"; readonly infos: readonly Weight[]; readonly requestId: number }
  /** Nothing follows from its outcome. */
  | { readonly type: "noted" };

/** unregistered: the agent left by itself. recovery: write-only mode, it did not come back after a failover; nobody is told. */
export type Departure = "unregistered" | "recovery";

/** While the registry decides on an agent, nothing is said about it and nothing else begins with it. */
export type Transition = "marking-unreachable" | "marking-gone" | "removing";

/** What is known of a gateway. */
export interface GatewayRecord {
  /** The highest that was heard of; 0 before that. */
  incarnation: number;
  heardAt: Millis;
  /** Asked since, because it was silent. */
  asked: boolean;
  /** Those of the last sweep are more than one agent's fault, and have the longer time. */
  isMassLoss: boolean;
  /** Agents lost within the last sweep, oldest first. */
  losses: { readonly agentId: AgentId; readonly at: Millis }[];
  /** Agents whose connection is there. */
  sockets: number;
}

export interface Master {
  readonly masterId: MasterId;
  readonly epoch: Epoch;
  readonly clusterId: ClusterId;
  readonly settings: MasterSettings;
  /** The Registrar's own, as far as it is committed. Only read here. */
  readonly registry: Registry;
  info: MasterInfo;
  readonly startedAt: Millis;
  readonly electedAt: Millis;
  /** When agents of the registry that have not registered under this epoch are given up. */
  recoveredDeadline: Millis;
  /** Agents in the registry when this epoch began; undefined once the missing ones have been counted. */
  recoveredOf: number | undefined;
  /** Admitted agents. */
  readonly agents: Map<AgentId, AgentRecord>;
  /** Of admitted and unreachable agents. */
  readonly agentByHost: Map<HostKey, AgentId>;
  /** Agents whose connection is that socket, by {@link socketKey}. */
  readonly agentBySocket: Map<string, AgentId>;
  readonly frameworks: Map<FrameworkId, FrameworkRecord>;
  /** Removed frameworks without live tasks, newest last, at most {@link COMPLETED_FRAMEWORKS_MAX}. */
  readonly completedFrameworks: FrameworkRecord[];
  readonly offers: Map<OfferId, OfferRecord>;
  readonly offersByAgent: Map<AgentId, Set<OfferRecord>>;
  readonly offersByFramework: Map<FrameworkId, Set<OfferRecord>>;
  /** What is free, and whose turn it is: see allocation.ts, through which everybody goes. */
  readonly allocator: Allocator;
  /** Agents and frameworks that the allocator knows. */
  readonly allocated: Set<AgentId | FrameworkId>;
  /** Roles with a quota, as the allocator has them. */
  readonly quotaRoles: Set<string>;
  /** Subscriptions that wait for the registry. */
  readonly subscriptions: Map<FrameworkId, PendingSubscription>;
  readonly operations: Map<number, PendingOperation>;
  readonly registrationByHost: Map<HostKey, PendingRegistration>;
  readonly registrationByAgent: Map<AgentId, PendingRegistration>;
  /** Of those whose socket is still there, by {@link socketKey}. */
  readonly registrationBySocket: Map<string, PendingRegistration>;
  readonly transitions: Map<AgentId, Transition>;
  /** Agents that were here under this epoch and are not connected now. */
  readonly absent: Set<AgentId>;
  /** Agents of the registry that have not registered under this epoch. */
  readonly recovered: Set<AgentId>;
  /** Agents with orders that they have not acted upon. */
  readonly ordered: Set<AgentId>;
  /** Absent agents whose deadline has passed and that wait for a permit. */
  readonly overdue: Set<AgentId>;
  /** Agents that this master removed, oldest first: in write-only mode the only thing that keeps them out. */
  readonly removed: Set<AgentId>;
  /** Frameworks whose removal the registry decides on. */
  readonly removals: Map<FrameworkId, Extract<PendingOperation, { type: "framework-removed" }>>;
  /** The first of them is with the registry, the others wait for what comes of it. */
  readonly quotaChanges: (Asked & { readonly change: QuotaChange })[];
  readonly gateways: Map<string, GatewayRecord>;
  readonly unreachablePermits: Permits;
  readonly removalPermits: Permits;
  nextGc: Millis;
  /** Task reports of registrations that come in several frames, by socket. */
  readonly partialReports: Map<string, PartialReport>;
  /** The tasks in the books, by agent, and what they hold there. */
  readonly tasksByAgent: Map<AgentId, Set<TaskRecord>>;
  readonly usedByAgent: Map<AgentId, Tally>;
  /** The rows of tasks. */
  readonly store: TaskStore;
  readonly counters: Counters;
  nextAgent: number;
  nextFramework: number;
  nextOffer: number;
  nextOperation: number;
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
  /** `recoveredDeadline` or `recoveredOf`. */
  recovery: boolean;
  /** What happened to orders, in order: their rows follow. */
  readonly orders: OrderChange[];
  readonly agents: Set<AgentId>;
  readonly frameworks: Set<FrameworkId>;
  /** In the books, unreachable, or neither any more; with their detail where that differs, too. */
  readonly tasks: Map<FrameworkId, Map<TaskId, TaskDetail | undefined>>;
  /** Tasks that became history, in the order of their ends. */
  readonly completed: CompletedTask[];
  /** Words that wait for a framework, and those that wait no more. */
  readonly undelivered: { readonly frameworkId: FrameworkId; readonly taskId: TaskId }[];
}

/** Source: Mesos MAX_REMOVED_SLAVES. */
export const REMOVED_AGENTS_MAX = 100_000;
/** Source: Mesos max_completed_frameworks. */
export const COMPLETED_FRAMEWORKS_MAX = 50;
/** Source: Mesos max_unreachable_tasks_per_framework. */
export const UNREACHABLE_TASKS_MAX = 1_000;

export function newMaster(start: {
  readonly masterId: MasterId;
  readonly epoch: Epoch;
  readonly clusterId: ClusterId;
  readonly settings: MasterSettings;
  readonly registry: Registry;
  readonly info: MasterInfo;
  readonly store: TaskStore;
  /** Shuffles agents, so that none is always offered first. */
  readonly random: Random;
  /** When this instance began. */
  readonly startedAt: Millis;
  /** When the epoch began. */
  readonly electedAt: Millis;
}): Master {
  const { settings, startedAt, electedAt } = start;
  return {
    ...start,
    recoveredDeadline: millis(electedAt + settings.reregisterTimeoutMs),
    recoveredOf: undefined,
    agents: new Map(),
    agentByHost: new Map(),
    agentBySocket: new Map(),
    frameworks: new Map(),
    completedFrameworks: [],
    offers: new Map(),
    offersByAgent: new Map(),
    offersByFramework: new Map(),
    allocator: newAllocator({
      minAllocatable: settings.minAllocatable,
      fairSharingExcluded: settings.fairSharingExcluded,
      random: start.random,
      region: settings.region,
    }),
    allocated: new Set(),
    quotaRoles: new Set(),
    subscriptions: new Map(),
    operations: new Map(),
    registrationByHost: new Map(),
    registrationByAgent: new Map(),
    registrationBySocket: new Map(),
    transitions: new Map(),
    absent: new Set(),
    recovered: new Set(),
    ordered: new Set(),
    overdue: new Set(),
    removed: new Set(),
    removals: new Map(),
    quotaChanges: [],
    gateways: new Map(),
    unreachablePermits: newPermits(),
    removalPermits: newPermits(),
    nextGc: millis(startedAt + settings.gcIntervalMs),
    partialReports: new Map(),
    tasksByAgent: new Map(),
    usedByAgent: new Map(),
    counters: newCounters(),
    nextAgent: 0,
    nextFramework: 0,
    nextOffer: 0,
    nextOperation: 0,
    effects: [],
    marked: {
      nextIds: false,
      recovery: false,
      orders: [],
      agents: new Set(),
      frameworks: new Set(),
      tasks: new Map(),
      completed: [],
      undelivered: [],
    },
  };
}

/** Everything that is marked has been saved. */
export function clearMarks({ marked }: Master): void {
  marked.agents.clear();
  marked.orders.length = 0;
  marked.frameworks.clear();
  marked.tasks.clear();
  marked.completed.length = 0;
  marked.undelivered.length = 0;
  marked.nextIds = false;
  marked.recovery = false;
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
    failoverTimeoutMs: (framework.info.failover_timeout ?? 0) * 1000,
  };
}

export function gatewayRecord(master: Master, name: string, now: Millis): GatewayRecord {
  let gateway = master.gateways.get(name);
  if (gateway === undefined) {
    gateway = { incarnation: 0, heardAt: now, asked: false, isMassLoss: false, losses: [], sockets: 0 };
    master.gateways.set(name, gateway);
  }
  return gateway;
}

/** Binds an agent to a socket, or to none; the rows and the look-ups follow. */
export function setConnection(
  master: Master,
  agent: AgentRecord,
  connection: Connection | undefined,
  now: Millis,
): void {
  if (agent.connection !== undefined) {
    master.agentBySocket.delete(socketKey(agent.connection));
    const gateway = master.gateways.get(agent.connection.gateway);
    if (gateway !== undefined) gateway.sockets -= 1;
  }
  agent.connection = connection;
  if (connection === undefined) (agent.session === undefined ? master.recovered : master.absent).add(agent.agentId);
  else {
    master.agentBySocket.set(socketKey(connection), agent.agentId);
    gatewayRecord(master, connection.gateway, now).sockets += 1;
    master.absent.delete(agent.agentId);
    master.recovered.delete(agent.agentId);
    agent.deadline = undefined;
  }
  master.marked.agents.add(agent.agentId);
}

/** Binds a pending registration to the socket that waits for its outcome, or to none. */
export function setWaiting(master: Master, pending: PendingRegistration, from: Connection | undefined): void {
  if (pending.from !== undefined) master.registrationBySocket.delete(socketKey(pending.from));
  pending.from = from;
  if (from !== undefined) master.registrationBySocket.set(socketKey(from), pending);
}

/** Takes a registration off the list: its outcome is there. */
export function endWaiting(master: Master, pending: PendingRegistration): Connection | undefined {
  const { from } = pending;
  setWaiting(master, pending, undefined);
  master.registrationByHost.delete(pending.hostKey);
  master.registrationByAgent.delete(pending.agentId);
  return from;
}
