// The fence: which orders this agent obeys, and what each of them comes to. Pure: the shell checkpoints `record` with one
// fsync and only then does the actions.
//
// An agent obeys exactly the (epoch, session) under which it is registered, in sequence without a gap. What an older leader
// or an older session still sends is void; what was seen is acknowledged again and not done again.
import { unreachable } from "#base/assert.ts";
import type { NumberedOrder, PlaneMessage } from "#protocol/agent.ts";
import { type ContainerId, type FrameworkId, idProblem, type TaskId } from "#protocol/ids.ts";
import type { KillPolicy } from "#protocol/task.ts";
import {
  type AgentState,
  apply,
  type CheckpointedTask,
  type JournalRecord,
  type TaskKey,
  taskKey,
} from "./checkpoint/state.ts";
import { hasEnded } from "./status-updates/stream.ts";
import { notLaunchedStatus, type Stamp } from "./task-status.ts";

/** Between SIGTERM and SIGKILL unless the kill or the task says otherwise, ms. Source: Mesos command executor. */
export const KILL_GRACE_MS = 3_000;
/** The longest grace, ms: a timer takes no more than 2^31, and nobody waits a day for a kill. */
export const KILL_GRACE_MS_MAX = 24 * 3_600_000;

export type OrdersMessage = Extract<PlaneMessage, { readonly type: "orders" }>;

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
  | { readonly type: "complain"; readonly problem: string };

export type Plan =
  /** Of another epoch or session: not even acknowledged. */
  | { readonly type: "void"; readonly reason: string }
  /** All of it was seen, or it begins after a gap: nothing is done, and the plane is told how far we are. */
  | { readonly type: "nothing-new"; readonly gap: boolean }
  | {
      readonly type: "take";
      readonly record: Extract<JournalRecord, { readonly type: "orders" }>;
      readonly actions: readonly Action[];
    };

/** What is new with each order that needs it. */
export interface Fresh {
  readonly containerId: () => ContainerId;
  readonly stamp: () => Stamp;
}

export function planOrders(state: AgentState, message: OrdersMessage, fresh: Fresh): Plan {
  const { registration } = state;
  if (registration === undefined || message.epoch !== registration.epoch || message.session !== registration.session)
    return { type: "void", reason: `orders of epoch ${message.epoch}, session ${message.session}` };
  const taken = inSequence(state.sequence, message.orders);
  const last = taken.at(-1);
  if (last === undefined)
    return { type: "nothing-new", gap: message.orders.some(({ sequence }) => sequence > state.sequence) };

  let next = state;
  const record: OrdersRecord = { type: "orders", sequence: last.sequence, launches: [], kills: [] };
  const answers: Answers = [];
  const actions: Action[] = [];
  for (const numbered of taken) {
    const step = planOne(next, numbered, fresh);
    record.launches.push(...step.launches);
    record.kills.push(...step.kills);
    answers.push(...step.answers);
    actions.push(...step.actions);
    // The next order of the batch sees what this one did: a kill may follow its launch.
    const { launches, kills } = step;
    next = apply(next, { type: "orders", sequence: numbered.sequence, launches, kills, answers: step.answers });
  }
  return { type: "take", record: answers.length === 0 ? record : { ...record, answers }, actions };
}

/** The orders directly after `highest`, in order; those seen before are skipped, and whatever follows a gap is left. */
function inSequence(highest: number, orders: readonly NumberedOrder[]): NumberedOrder[] {
  const taken: NumberedOrder[] = [];
  for (const numbered of orders.toSorted((a, b) => a.sequence - b.sequence))
    if (numbered.sequence === highest + taken.length + 1) taken.push(numbered);
  return taken;
}

type OrdersRecord = Extract<JournalRecord, { readonly type: "orders" }>;
type Answers = NonNullable<OrdersRecord["answers"]>;
interface Planned {
  readonly launches: OrdersRecord["launches"];
  readonly kills: OrdersRecord["kills"];
  readonly answers: Answers;
  readonly actions: readonly Action[];
}
const NOTHING: Planned = { launches: [], kills: [], answers: [], actions: [] };
const complain = (problem: string): Planned => ({ ...NOTHING, actions: [{ type: "complain", problem }] });

function planOne(state: AgentState, { order }: NumberedOrder, fresh: Fresh): Planned {
  switch (order.type) {
    case "launch": {
      const { framework, task } = order;
      // Ids become directories here, whatever the plane has checked already.
      const problem = idProblem(framework.id) ?? idProblem(task.task_id.value) ?? idProblem(task.agent_id.value);
      if (problem !== undefined) return complain(`a launch cannot be taken: ${problem}`);
      const key = taskKey(framework.id, task.task_id.value);
      const stream = state.streams.get(key);
      // What would be started now could tell nothing behind a last update, and that one's acknowledgement would forget it.
      if (stream !== undefined && hasEnded(stream)) {
        const status = notLaunchedStatus(task.task_id.value, framework.partitionAware, fresh.stamp());
        return {
          ...complain(
            `task ${key} has ended here, which is not acknowledged yet: its new launch is reported as ${status.state}`,
          ),
          answers: [{ frameworkId: framework.id, status }],
        };
      }
      if (state.tasks.has(key)) return complain(`task ${key} is already here and is not started again`);
      const launch = { framework, task, containerId: fresh.containerId() };
      return {
        ...NOTHING,
        launches: [launch],
        actions: [{ type: "launch", key, task: { ...launch, killGraceMs: undefined } }],
      };
    }
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
    case "shutdown-framework": {
      const planned = [...state.tasks.values()]
        .filter(({ framework }) => framework.id === order.frameworkId)
        .map((task) => planKill(state, task, graceMs(task.task.kill_policy)));
      return {
        ...NOTHING,
        kills: planned.flatMap(({ kills }) => kills),
        actions: planned.flatMap(({ actions }) => actions),
      };
    }
    case "operation":
    case "launch-group":
    case "shutdown-executor":
      return complain(`'${order.type}' is an order that this agent does not say it knows`);
    default:
      return unreachable(order);
  }
}

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
