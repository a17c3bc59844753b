// The fence: which orders this agent obeys, and what each of them comes to. Pure: the shell checkpoints the records with one
// fsync and only then does the actions.
//
// An agent obeys exactly the (epoch, session) under which it is registered, in sequence without a gap. What an older leader
// or an older session still sends is void; what was seen is acknowledged again and not done again.
import { present, unreachable } from "#base/assert.ts";
import type { NumberedOrder, Order, PlaneMessage } from "#protocol/agent.ts";
import {
  type ContainerId,
  type Epoch,
  type ExecutorId,
  type FrameworkId,
  idProblem,
  type SessionId,
  type TaskId,
} from "#protocol/ids.ts";
import type { Resource } from "#protocol/resource.ts";
import type { ExecutorInfo, KillPolicy, TaskInfo } from "#protocol/task.ts";
import { type Pool, poolOf } from "#resources/pool.ts";
import {
  contains,
  fromResources,
  isEmpty,
  type ResourceSet,
  select,
  setOf,
  toResources,
} from "#resources/resources.ts";
import {
  type AgentState,
  apply,
  type CheckpointedTask,
  type JournalRecord,
  type TaskKey,
  taskKey,
} from "./checkpoint/state.ts";
import { isExecutorLive } from "./executors.ts";
import { failedOperationStatus, finishedOperationStatus } from "./operation-status.ts";
import { operate, type Operated } from "./resources/operate.ts";
import { describe, totalOf } from "./resources/total.ts";
import { hasEnded } from "./status-updates/stream.ts";
import { type LaunchRefusal, notLaunchedStatus, type Stamp } from "./task-status.ts";
import type { Place } from "./volumes/place.ts";

/** Between SIGTERM and SIGKILL unless the kill or the task says otherwise, ms. Source: Mesos command executor. */
export const KILL_GRACE_MS = 3_000;
/** The longest grace, ms: a timer takes no more than 2^31, and nobody waits a day for a kill. */
export const KILL_GRACE_MS_MAX = 24 * 3_600_000;

export type OrdersMessage = Extract<PlaneMessage, { readonly type: "orders" }>;
type LaunchOrder = Extract<Order, { readonly type: "launch" }>;

export type Action =
  | { readonly type: "launch"; readonly key: TaskKey; readonly task: CheckpointedTask }
  | { readonly type: "kill"; readonly key: TaskKey; readonly containerId: ContainerId; readonly graceMs: number }
  /** A kill of a task that this agent does not have: somebody must hear that it is not running. */
  | {
      readonly type: "report-unknown";
      readonly frameworkId: FrameworkId;
      readonly taskId: TaskId;
      readonly partitionAware: boolean;
    }
  /** An executor that the plane believes to be here is not, and will not come: it holds nothing. */
  | { readonly type: "report-exited"; readonly frameworkId: FrameworkId; readonly executorId: ExecutorId }
  /** A volume was destroyed: its content is to go, and "volume-removed" to be checkpointed when its place is free. */
  | { readonly type: "remove-volume"; readonly place: Place }
  | { readonly type: "complain"; readonly problem: string };

export type Plan =
  /** Of another epoch or session: not even acknowledged. */
  | { readonly type: "void"; readonly reason: string }
  /** All of it was seen, or it begins after a gap: nothing is done, and the plane is told how far we are. */
  | { readonly type: "nothing-new"; readonly gap: boolean }
  | {
      readonly type: "take";
      /** To be checkpointed together; each is one that the next agent could go on from. */
      readonly records: readonly (OrdersRecord | OperatedRecord)[];
      readonly actions: readonly Action[];
      /** There are updates to be sent. */
      readonly tells: boolean;
      /** There are more orders in the message, to be planned when the actions are done. */
      readonly more: boolean;
    };

/** What orders need besides the state. */
export interface OrderContext {
  readonly containerId: () => ContainerId;
  readonly stamp: () => Stamp;
  /** What the agent's flags give it. */
  readonly given: ResourceSet;
  /** Whether this agent runs executors that frameworks bring: what it declares as EXECUTORS. */
  readonly runsExecutors: boolean;
  /** Makes the empty directory of a new volume, durably, unless it is there; answers why not. One too many does no harm. */
  readonly makeVolume: (place: Place) => string | undefined;
}

/** Whether words of that epoch and session are for the registration that there is. */
export const isCurrent = (
  { registration }: AgentState,
  { epoch, session }: { readonly epoch: Epoch; readonly session: SessionId },
): boolean => registration !== undefined && registration.epoch === epoch && registration.session === session;

export function planOrders(state: AgentState, message: OrdersMessage, context: OrderContext): Plan {
  if (!isCurrent(state, message))
    return { type: "void", reason: `orders of epoch ${message.epoch}, session ${message.session}` };
  const taken = inSequence(state.sequence, message.orders);
  if (taken.length === 0)
    return { type: "nothing-new", gap: message.orders.some(({ sequence }) => sequence > state.sequence) };

  let next = state;
  const records: (OrdersRecord | OperatedRecord)[] = [];
  const actions: Action[] = [];
  for (const numbered of taken) {
    const planned = planOne(next, numbered, context);
    const record = recordOf(numbered.sequence, planned);
    const last = records.at(-1);
    if (last?.type === "orders" && record.type === "orders") records[records.length - 1] = joined(last, record);
    else records.push(record);
    actions.push(...planned.actions);
    // The next order of the batch sees what this one did: a kill may follow its launch.
    next = apply(next, record);
    // What follows may need the place that a destroyed volume leaves.
    if (planned.actions.some(({ type }) => type === "remove-volume")) break;
  }
  const tells = records.some((record) => record.type === "operated" || record.answers !== undefined);
  return { type: "take", records, actions, tells, more: next.sequence < (taken.at(-1)?.sequence ?? 0) };
}

/** The orders directly after `highest`, in order; those seen before are skipped, and whatever follows a gap is left. */
function inSequence(highest: number, orders: readonly NumberedOrder[]): NumberedOrder[] {
  const taken: NumberedOrder[] = [];
  for (const numbered of orders.toSorted((a, b) => a.sequence - b.sequence))
    if (numbered.sequence === highest + taken.length + 1) taken.push(numbered);
  return taken;
}

type OrdersRecord = Extract<JournalRecord, { readonly type: "orders" }>;
type OperatedRecord = Extract<JournalRecord, { readonly type: "operated" }>;
interface Planned {
  readonly launches: OrdersRecord["launches"];
  readonly kills: OrdersRecord["kills"];
  readonly answers: NonNullable<OrdersRecord["answers"]>;
  /** Set for an operation, which has a record of its own. */
  readonly operated: Omit<OperatedRecord, "type" | "sequence"> | undefined;
  readonly actions: readonly Action[];
}
const NOTHING: Planned = { launches: [], kills: [], answers: [], operated: undefined, actions: [] };
const complain = (problem: string): Planned => ({ ...NOTHING, actions: [{ type: "complain", problem }] });

function recordOf(sequence: number, { launches, kills, answers, operated }: Planned): OrdersRecord | OperatedRecord {
  if (operated !== undefined) return { type: "operated", sequence, ...operated };
  return { type: "orders", sequence, launches, kills, ...(answers.length === 0 ? {} : { answers }) };
}

function joined(first: OrdersRecord, { sequence, launches, kills, answers = [] }: OrdersRecord): OrdersRecord {
  const all = [...(first.answers ?? []), ...answers];
  return {
    type: "orders",
    sequence,
    launches: [...first.launches, ...launches],
    kills: [...first.kills, ...kills],
    ...(all.length === 0 ? {} : { answers: all }),
  };
}

function planOne(state: AgentState, { order }: NumberedOrder, context: OrderContext): Planned {
  switch (order.type) {
    case "launch":
      return withExecutor(state, order.framework.id, order.task.executor, planLaunch(state, order, context));
    case "kill": {
      const { frameworkId, taskId } = order;
      const problem = idProblem(frameworkId) ?? idProblem(taskId);
      if (problem !== undefined) return complain(`a kill cannot be taken: ${problem}`);
      const task = state.tasks.get(taskKey(frameworkId, taskId));
      if (task !== undefined) return planKill(state, task, graceMs(order.killPolicy ?? task.task.kill_policy));
      if (state.streams.has(taskKey(frameworkId, taskId))) return NOTHING; // its last update is on its way already
      return {
        ...NOTHING,
        actions: [
          { type: "report-unknown", frameworkId, taskId, partitionAware: isPartitionAware(state, frameworkId) },
        ],
      };
    }
    case "shutdown-framework":
      return planKills(state, ({ framework }) => framework.id === order.frameworkId);
    case "operation":
      return planOperation(state, order, context);
    case "launch-group":
      return withExecutor(state, order.framework.id, order.executor, planGroup(state, order, context));
    case "shutdown-executor": {
      const { frameworkId, executorId } = order;
      if (!isExecutorLive(state, frameworkId, executorId))
        return { ...NOTHING, actions: [{ type: "report-exited", frameworkId, executorId }] };
      return planKills(
        state,
        ({ framework, task }) => framework.id === frameworkId && task.executor?.executor_id.value === executorId,
      );
    }
    default:
      return unreachable(order);
  }
}

const NO_EXECUTORS = "this agent runs no executors of frameworks";

/** When nothing was launched that would start it, and it does not live, somebody must hear of it. */
function withExecutor(
  state: AgentState,
  frameworkId: FrameworkId,
  executor: ExecutorInfo | undefined,
  planned: Planned,
): Planned {
  const executorId = executor?.executor_id.value;
  if (executorId === undefined || planned.launches.length > 0 || isExecutorLive(state, frameworkId, executorId))
    return planned;
  return { ...planned, actions: [...planned.actions, { type: "report-exited", frameworkId, executorId }] };
}

/** All of its tasks, or none. */
function planGroup(
  state: AgentState,
  { framework, executor, tasks }: Extract<Order, { readonly type: "launch-group" }>,
  context: OrderContext,
): Planned {
  const launches = tasks.map((task) => ({ framework, task: { ...task, executor } }));
  const planned = launches.map((launch) => ({ launch, own: planLaunch(state, launch, context) }));
  const isWhole = planned.every(({ own }) => own.launches.length > 0);
  return together(
    planned.map(({ launch, own }) =>
      isWhole || own.launches.length === 0 ? own : planLaunch(state, launch, context, { type: "group-not-launched" }),
    ),
  );
}

/** `refusal`: why it is not to be launched in any case. */
function planLaunch(
  state: AgentState,
  { framework, task }: Pick<LaunchOrder, "framework" | "task">,
  context: OrderContext,
  refusal?: LaunchRefusal,
): Planned {
  const taskId = task.task_id.value;
  // Ids become directories here, whatever the plane has checked already.
  const problem = idProblem(framework.id) ?? idProblem(taskId) ?? idProblem(task.agent_id.value);
  if (problem !== undefined) return complain(`a launch cannot be taken: ${problem}`);
  const key = taskKey(framework.id, taskId);
  const answered = (why: LaunchRefusal): Planned => {
    const status = notLaunchedStatus(task.task_id.value, framework.partitionAware, why, context.stamp());
    const told = `task ${key} is not launched, which is reported as ${status.state}: ${status.message}`;
    return { ...complain(told), answers: [{ frameworkId: framework.id, status }] };
  };
  const stream = state.streams.get(key);
  // What would be started now could tell nothing behind a last update, and that one's acknowledgement would forget it.
  if (stream !== undefined && hasEnded(stream)) return answered({ type: "older-not-acknowledged" });
  if (state.tasks.has(key)) return complain(`task ${key} is already here and is not started again`);
  if (task.executor !== undefined && !context.runsExecutors)
    return answered({ type: "invalid", message: NO_EXECUTORS });
  if (refusal !== undefined) return answered(refusal);
  const missing = missingFor(state, task, context);
  if (missing !== undefined) return answered({ type: "resources-unknown", missing });
  const launch = { framework, task, containerId: context.containerId() };
  return {
    ...NOTHING,
    launches: [launch],
    actions: [{ type: "launch", key, task: { ...launch, killGraceMs: undefined } }],
  };
}

/** The reservations and volumes that a task wants and this agent does not have: an operation before it failed, or never came. */
function missingFor(state: AgentState, task: TaskInfo, { given }: OrderContext): string | undefined {
  const isOwned = (pool: Pool): boolean => pool.reservations.length > 0 || pool.disk !== undefined;
  const wanted = select(fromResources(heldBy(task)), isOwned);
  if (isEmpty(wanted)) return undefined;
  const total = totalNow(state, given);
  const missing = setOf([...wanted.pools.values()].filter((held) => !contains(total, setOf([held]))));
  return isEmpty(missing) ? undefined : describe(missing);
}

function planOperation(
  state: AgentState,
  { operationUuid, frameworkId, operationId, operation }: Extract<Order, { readonly type: "operation" }>,
  { given, makeVolume, stamp }: OrderContext,
): Planned {
  if (state.operations.has(operationUuid))
    return complain(`operation ${operationUuid} has been done already and is not done again`);
  const operated = withVolumes(
    operate(operation, {
      given,
      total: totalNow(state, given),
      isVolumeInUse: (poolKey) => isHeld(state, poolKey),
      isBeingRemoved: ({ path }) => state.removals.has(path),
    }),
    makeVolume,
  );
  const report = { operationUuid, frameworkId, operationId, operation };
  const about = { operationId, stamp: stamp() };
  if (operated.type === "failed") {
    const { message } = operated;
    const status = failedOperationStatus(message, about);
    return { ...complain(`operation ${operationUuid}: ${message}`), operated: { report: { ...report, status } } };
  }
  const { converted, conversion, removed } = operated;
  const status = finishedOperationStatus(toResources(conversion.converted), about);
  return {
    ...NOTHING,
    operated: {
      report: { ...report, status },
      converted: toResources(converted),
      ...(removed.length === 0 ? {} : { removals: [...removed] }),
    },
    actions: removed.map((place) => ({ type: "remove-volume", place })),
  };
}

/** Directories come before the checkpoint: what cannot be made has failed, and one that nobody knows of does no harm. */
function withVolumes(operated: Operated, makeVolume: OrderContext["makeVolume"]): Operated {
  if (operated.type === "failed") return operated;
  const problem = operated.made.map(makeVolume).find((why) => why !== undefined);
  return problem === undefined ? operated : { type: "failed", message: problem };
}

/** An agent whose flags do not give what it has converted does not start. */
const totalNow = ({ converted }: AgentState, given: ResourceSet): ResourceSet =>
  present(totalOf(given, fromResources(converted)), "resources that fit the flags");

function isHeld({ tasks, streams }: AgentState, poolKey: string): boolean {
  for (const [key, { task }] of tasks) {
    const stream = streams.get(key);
    const isAlive = stream === undefined || !hasEnded(stream);
    if (isAlive && heldBy(task).some((resource) => poolOf(resource).key === poolKey)) return true;
  }
  return false;
}

/** Its own, and its executor's. */
const heldBy = ({ resources, executor }: TaskInfo): readonly Resource[] => [
  ...resources,
  ...(executor?.resources ?? []),
];

function planKills(state: AgentState, isMeant: (task: CheckpointedTask) => boolean): Planned {
  const tasks = [...state.tasks.values()].filter(isMeant);
  return together(tasks.map((task) => planKill(state, task, graceMs(task.task.kill_policy))));
}

const together = (planned: readonly Planned[]): Planned => ({
  ...NOTHING,
  launches: planned.flatMap(({ launches }) => launches),
  kills: planned.flatMap(({ kills }) => kills),
  answers: planned.flatMap(({ answers }) => answers),
  actions: planned.flatMap(({ actions }) => actions),
});

function planKill(state: AgentState, task: CheckpointedTask, grace: number): Planned {
  const { framework, containerId } = task;
  const taskId = task.task.task_id.value;
  const key = taskKey(framework.id, taskId);
  const stream = state.streams.get(key);
  if (stream !== undefined && hasEnded(stream)) return NOTHING;
  return {
    ...NOTHING,
    kills: [{ frameworkId: framework.id, taskId, graceMs: grace }],
    actions: [{ type: "kill", key, containerId, graceMs: grace }],
  };
}

export function graceMs(policy: KillPolicy | undefined): number {
  const nanoseconds = policy?.grace_period?.nanoseconds;
  if (nanoseconds === undefined) return KILL_GRACE_MS;
  return Math.min(KILL_GRACE_MS_MAX, Math.max(0, Number(nanoseconds) / 1e6));
}

/** Known only while some other task of the framework is here; else the older word (TASK_LOST) is the safe one. */
function isPartitionAware(state: AgentState, frameworkId: FrameworkId): boolean {
  for (const { framework } of state.tasks.values()) if (framework.id === frameworkId) return framework.partitionAware;
  return false;
}
