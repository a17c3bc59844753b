// What a leading master knows: agents, frameworks, offers and tasks of one epoch. The maps belong to this core and are changed
// in place; whoever changes a record that outlives the instance marks it, and the shell writes what is marked, in one
// transaction, before any effect leaves. Offers, filters and streams are not marked: they die with the instance.
import { millis, type Millis } from "#base/time.ts";
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
  ClusterId,
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
import type { QuotaConfig, Registry, Weight } from "#registrar/registry.ts";
import { newCounters, type Counters } from "./counters.ts";
import { newPermits, type Permits } from "./permits.ts";
import type { QuotaChange } from "./quota.ts";
import type { MasterSettings } from "./settings.ts";

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
  system: SystemStatistics | undefined;
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
  /** When its agent was marked unreachable; undefined while the agent is there. */
  unreachableAt?: Millis | undefined;
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
    }
  /** Whoever asked under `requestId` hears this. */
  | { readonly type: "answer"; readonly requestId: number; readonly answer: CallAnswer }
  /** A gateway has been silent for too long: ask it what is alive. */
  | { readonly type: "ask-gateway"; readonly gateway: string }
  /** This master must not go on; the registry stays as it is, and whoever leads next begins a new epoch. */
  | { readonly type: "stop-leading"; readonly reason: string };

/** What a call comes to. */
export interface CallAnswer {
  readonly status: 200 | 202 | 400 | 403 | 404 | 409 | 501 | 503;
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
  tasks: readonly TaskReport[];
  readonly system: SystemStatistics;
  /** Whether this admits the agent to the registry. */
  readonly first: boolean;
  /** Whether the registry had it as unreachable: its frameworks were told so, by this master or an earlier one. */
  readonly wasUnreachable: boolean;
}

export interface PartialReport {
  readonly parts: number;
  readonly letters: number;
  readonly tasks: readonly TaskReport[];
}

/** What waits for the registry. */
export type PendingOperation =
  | PendingRegistration
  | { readonly type: "agent-unreachable"; readonly agentId: AgentId }
  | { readonly type: "agent-gone"; readonly agentId: AgentId; readonly requestId: number }
  | { readonly type: "agent-removed"; readonly agentId: AgentId; readonly why: Departure }
  | { readonly type: "framework-removed"; readonly frameworkId: FrameworkId; readonly requestIds: number[] }
  | {
      readonly type: "framework-registered";
      /** Not in the books before the registry has it. */
      readonly framework: FrameworkRecord;
      /** Waits for SUBSCRIBED; undefined when it has ended meanwhile. */
      streamId: StreamId | undefined;
    }
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
  readonly filters: Map<FrameworkId, Filter[]>;
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
  /** New frameworks that the registry does not have yet. */
  readonly subscriptions: Set<Extract<PendingOperation, { type: "framework-registered" }>>;
  /** The first of them is with the registry, the others wait for what comes of it. */
  readonly quotaChanges: (Asked & { readonly change: QuotaChange })[];
  readonly gateways: Map<string, GatewayRecord>;
  readonly unreachablePermits: Permits;
  readonly removalPermits: Permits;
  nextGc: Millis;
  /** Task reports of registrations that come in several frames, by socket. */
  readonly partialReports: Map<string, PartialReport>;
  /** The tasks in the books, by agent. */
  readonly tasksByAgent: Map<AgentId, Set<TaskRecord>>;
  readonly counters: Counters;
  nextAgent: number;
  nextFramework: number;
  nextOffer: number;
  nextOperation: number;
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
  /** `recoveredDeadline` or `recoveredOf`. */
  recovery: boolean;
  /** What happened to orders, in order: their rows follow. */
  readonly orders: OrderChange[];
  readonly agents: Set<AgentId>;
  readonly frameworks: Set<FrameworkId>;
  readonly tasks: Map<FrameworkId, Set<TaskId>>;
  readonly ended: Map<FrameworkId, Set<TaskId>>;
}

/** Source: Mesos MAX_REMOVED_SLAVES. */
export const REMOVED_AGENTS_MAX = 100_000;
/** Source: Mesos max_completed_frameworks. */
export const COMPLETED_FRAMEWORKS_MAX = 50;
/** Kept in memory and rows for each framework. Source: Mesos max_completed_tasks_per_framework is 1,000; see SPEC [M19]. */
export const COMPLETED_TASKS_MAX = 200;
/** Source: Mesos max_unreachable_tasks_per_framework. */
export const UNREACHABLE_TASKS_MAX = 1_000;

export function newMaster(start: {
  readonly masterId: MasterId;
  readonly epoch: Epoch;
  readonly clusterId: ClusterId;
  readonly settings: MasterSettings;
  readonly registry: Registry;
  readonly info: MasterInfo;
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
    filters: new Map(),
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
    subscriptions: new Set(),
    quotaChanges: [],
    gateways: new Map(),
    unreachablePermits: newPermits(),
    removalPermits: newPermits(),
    nextGc: millis(startedAt + settings.gcIntervalMs),
    partialReports: new Map(),
    tasksByAgent: new Map(),
    counters: newCounters(),
    nextAgent: 0,
    nextFramework: 0,
    nextOffer: 0,
    nextOperation: 0,
    allocationDue: false,
    effects: [],
    marked: {
      nextIds: false,
      recovery: false,
      orders: [],
      agents: new Set(),
      frameworks: new Set(),
      tasks: new Map(),
      ended: new Map(),
    },
  };
}

/** A task in the books, or an unreachable one, differs from its row. */
export function markTask(master: Master, frameworkId: FrameworkId, taskId: TaskId): void {
  mark(master.marked.tasks, frameworkId, taskId);
}

/** A task left the books, or the history: there is more to do than to replace its row. */
export function markEnded(master: Master, frameworkId: FrameworkId, taskId: TaskId): void {
  mark(master.marked.ended, frameworkId, taskId);
}

function mark(marked: Map<FrameworkId, Set<TaskId>>, frameworkId: FrameworkId, taskId: TaskId): void {
  const ofFramework = marked.get(frameworkId);
  if (ofFramework === undefined) marked.set(frameworkId, new Set([taskId]));
  else ofFramework.add(taskId);
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
  master.ordered.add(agent.agentId);
  master.marked.orders.push({ type: "given", agentId: agent.agentId, order: pending });
  master.marked.agents.add(agent.agentId);
  master.effects.push({
    type: "send",
    to: agent.connection,
    message: { type: "orders", epoch: master.epoch, session: agent.session, orders: [numbered] },
  });
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

/** Asks the registry for a change. What follows from its outcome is in {@link PendingOperation}. */
export function askRegistry(
  master: Master,
  pending: PendingOperation,
  operation: RegistryOperation,
  { who, why }: { readonly who: string; readonly why: string },
): void {
  const id = master.nextOperation++;
  master.operations.set(id, pending);
  master.effects.push({ type: "registry", id, operation, who, why });
}

/** Whoever asked under `requestId` hears what it comes to. */
export function answer(master: Master, requestId: number, given: CallAnswer): void {
  master.effects.push({ type: "answer", requestId, answer: given });
}
