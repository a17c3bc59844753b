// Task records: how a task enters the books, what each update does to it, and how it leaves them.
// Rules: a terminal state never changes [M7]; resources go back at the transition of `latest`, once [M8]; the record stays
// until the framework has acknowledged the terminal update [M9].
import type { Millis } from "#base/time.ts";
import { toSeconds } from "#base/time.ts";
import type { Update } from "#protocol/agent.ts";
import type { AgentId, TaskId } from "#protocol/ids.ts";
import { DEFAULT_ROLE } from "#protocol/roles.ts";
import { isTerminal, type TaskInfo, type TaskState, type TaskStatus, type TaskStatusReason } from "#protocol/task.ts";
import { present } from "#base/assert.ts";
import type { CounterName } from "./counters.ts";
import { rolesOf } from "./allocation.ts";
import { resourceSet } from "./resource-sets.ts";
import {
  COMPLETED_FRAMEWORKS_MAX,
  isPartitionAware,
  type AgentRecord,
  type FrameworkRecord,
  type Master,
  type TaskRecord,
} from "./state.ts";
import { forgetWord, tell } from "./effects.ts";
import { addTaskRecord, constantState, markTask, removeTaskRecord, setLatestState } from "./task-records.ts";
import { detailOf, pastOf } from "./task-store.ts";

/** A task that is new in the books, launched now or told by its agent. */
export function addTask(
  master: Master,
  framework: FrameworkRecord,
  { agentId }: AgentRecord,
  info: TaskInfo,
  now: Millis,
): TaskRecord {
  const task: TaskRecord = {
    taskId: info.task_id.value,
    frameworkId: framework.id,
    agentId,
    role: info.resources[0]?.allocation_info?.role ?? rolesOf(framework.info)[0] ?? DEFAULT_ROLE,
    resources: resourceSet(info.resources),
    latest: "TASK_STAGING",
    lastState: undefined,
    unacknowledged: undefined,
    kill: undefined,
    beganAt: toSeconds(now),
    unreachableAt: undefined,
  };
  // Of two agents that have it, the one that is there counts.
  framework.unreachableTasks.delete(task.taskId);
  addTaskRecord(master, framework, task);
  markTask(master, task, { info, statuses: [] });
  return task;
}

/** Takes a newer state of a task. A task that has ended stays as it ended. */
export function setLatest(master: Master, task: TaskRecord, latest: TaskState): void {
  if (isTerminal(task.latest) || task.latest === latest) return;
  setLatestState(master, task, latest);
  markTask(master, task);
  if (isTerminal(latest)) countEnd(master, latest);
}

const END_COUNTER: Partial<Record<TaskState, CounterName>> = {
  TASK_FINISHED: "master/tasks_finished",
  TASK_FAILED: "master/tasks_failed",
  TASK_KILLED: "master/tasks_killed",
  TASK_LOST: "master/tasks_lost",
  TASK_DROPPED: "master/tasks_lost",
  TASK_GONE: "master/tasks_lost",
};

function countEnd(master: Master, state: TaskState): void {
  const counter = END_COUNTER[state];
  if (counter !== undefined) master.counters[counter]++;
}

/** Statuses kept of one task: an agent that alternates between two states must not fill the books. */
export const STATUSES_MAX = 16;

/** Letters of JSON that they may have together, but for the newest one: they must fit the task's row. */
export const STATUSES_LETTERS_MAX = 64 * 1024;

function newest(statuses: readonly TaskStatus[]): readonly TaskStatus[] {
  const kept: TaskStatus[] = [];
  let letters = 0;
  for (const status of statuses.toReversed()) {
    letters += JSON.stringify(status).length;
    if (kept.length > 0 && (kept.length >= STATUSES_MAX || letters > STATUSES_LETTERS_MAX)) break;
    kept.push(status);
  }
  return kept.toReversed();
}

/** Statuses of one state in a row are one, the newest, as Mesos keeps them. `data` is not part of our statuses. */
export function recordStatus(master: Master, task: TaskRecord, status: TaskStatus): void {
  const { info, statuses } = detailOf(master, task);
  const { uuid } = status;
  const state = constantState(status.state);
  if (uuid !== undefined && task.unacknowledged?.uuid !== uuid) {
    task.unacknowledged = { uuid, state };
    markTask(master, task);
    // What the agent says now is newer than what we said before, and it repeats it until somebody has it.
    const framework = master.frameworks.get(task.frameworkId);
    if (framework !== undefined) forgetWord(master, framework, task.taskId);
  }
  // Agents repeat what nobody acknowledges: no row for that.
  if (uuid !== undefined && statuses.at(-1)?.uuid === uuid) return;
  if (task.lastState === undefined) task.beganAt = status.timestamp ?? task.beganAt;
  task.lastState = state;
  const before = statuses.at(-1)?.state === state ? statuses.slice(0, -1) : statuses;
  markTask(master, task, { info, statuses: newest([...before, status]) });
}

/** One update of an agent: the books first, then the framework. */
export function onUpdate(
  master: Master,
  agentId: AgentId,
  update: Update,
): "forwarded" | "acknowledged-before" | "unknown-framework" | "framework-removed" | "foreign-task" {
  const framework = master.frameworks.get(update.frameworkId);
  if (framework === undefined) {
    const removed = master.completedFrameworks.some(({ id }) => id === update.frameworkId);
    return removed ? "framework-removed" : "unknown-framework";
  }
  const task = framework.tasks.get(update.status.task_id.value);
  // An agent speaks for its own tasks only, and only as itself.
  if (task !== undefined && task.agentId !== agentId) return "foreign-task";
  const status: TaskStatus = { ...update.status, agent_id: { value: agentId } };
  if (wasAcknowledged(master, agentId, update, task)) return "acknowledged-before";
  if (task !== undefined) {
    setLatest(master, task, update.latest);
    recordStatus(master, task, status);
  }
  if (framework.status.state === "removed") {
    // Nobody is left to acknowledge: the master does, and forgets the task with its terminal update.
    if (task !== undefined && isTerminal(status.state)) completeTask(master, framework, task);
    return "framework-removed";
  }
  tell(master, framework, { type: "UPDATE", update: { status } });
  return "forwarded";
}

/**
 * [M75] An agent goes on to the next update when this one was acknowledged, so that one which was is of the past: a copy that was late on its way,
 * or its acknowledgement was lost.
 */
function wasAcknowledged(
  master: Master,
  agentId: AgentId,
  { frameworkId, status: { task_id, uuid } }: Update,
  task: TaskRecord | undefined,
): boolean {
  if (uuid === undefined || task?.unacknowledged?.uuid === uuid) return false;
  const has = (statuses: readonly TaskStatus[]): boolean => statuses.some((one) => one.uuid === uuid);
  if (task !== undefined) return has(detailOf(master, task).statuses);
  return pastOf(master, frameworkId, task_id.value).some(
    (past) => past.agentId === agentId && has(past.detail.statuses),
  );
}

/** The framework has the update `uuid`. If that was the task's end, its record moves to the history. */
export function onAcknowledged(master: Master, framework: FrameworkRecord, taskId: TaskId, uuid: string): void {
  const task = framework.tasks.get(taskId);
  if (task === undefined || task.unacknowledged?.uuid !== uuid) return;
  const { state } = task.unacknowledged;
  task.unacknowledged = undefined;
  markTask(master, task);
  if (isTerminal(state)) completeTask(master, framework, task);
}

/** Moves a task that has ended from the books to the history. */
export function completeTask(master: Master, framework: FrameworkRecord, task: TaskRecord): void {
  const { taskId, frameworkId, agentId, latest: state, beganAt, resources } = task;
  const detail = detailOf(master, task);
  removeTaskRecord(master, framework, task);
  markTask(master, task);
  master.marked.completed.push({ frameworkId, taskId, agentId, state, beganAt, resources, detail });
  if (framework.status.state === "removed" && framework.tasks.size === 0) retire(master, framework);
}

/** A removed framework without live tasks becomes history. */
export function retire(master: Master, framework: FrameworkRecord): void {
  if (!master.frameworks.delete(framework.id)) return;
  master.completedFrameworks.push(framework);
  master.marked.frameworks.add(framework.id);
  while (master.completedFrameworks.length > COMPLETED_FRAMEWORKS_MAX) {
    const oldest = present(master.completedFrameworks.shift(), "oldest completed framework");
    master.marked.frameworks.add(oldest.id);
  }
}

/** A status that the master makes itself: no uuid, sent once, not acknowledged. */
export function masterStatus(
  taskId: TaskId,
  state: TaskState,
  now: Millis,
  more: { readonly agentId?: AgentId | undefined; readonly reason: TaskStatusReason; readonly message: string },
): TaskStatus {
  return {
    task_id: { value: taskId },
    state,
    message: more.message,
    ...(more.agentId === undefined ? {} : { agent_id: { value: more.agentId } }),
    timestamp: toSeconds(now),
    executor_id: undefined,
    source: "SOURCE_MASTER",
    reason: more.reason,
    uuid: undefined,
    container_status: undefined,
  };
}

/** `aware` for frameworks with PARTITION_AWARE, TASK_LOST for the others. */
export function stateFor(framework: FrameworkRecord, aware: TaskState): TaskState {
  return isPartitionAware(framework.info) ? aware : "TASK_LOST";
}

/** Ends a task by the master's own word, tells the framework, and moves it to the history: no acknowledgement will come. */
export function endTask(
  master: Master,
  framework: FrameworkRecord,
  task: TaskRecord,
  aware: TaskState,
  now: Millis,
  why: { readonly reason: TaskStatusReason; readonly message: string },
): void {
  const status = masterStatus(task.taskId, stateFor(framework, aware), now, {
    agentId: task.agentId,
    ...why,
  });
  setLatest(master, task, status.state);
  recordStatus(master, task, status);
  tell(master, framework, { type: "UPDATE", update: { status } });
  completeTask(master, framework, task);
}
