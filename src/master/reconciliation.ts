// What the master answers when a framework asks for a task's state: the table of tasks-offers-and-operators §8.3.
import type { Millis } from "#base/time.ts";
import type { AgentId, TaskId } from "#protocol/ids.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskState, TaskStatus } from "#protocol/task.ts";
import type { FrameworkRecord, Master, TaskRecord } from "./state.ts";
import { detailOf } from "./task-store.ts";
import { masterStatus, stateFor } from "./tasks.ts";

export interface Query {
  readonly taskId: TaskId;
  readonly agentId: AgentId | undefined;
}

/**
 * Answers each query, or with every task of the framework when there is none. As they stand when they are told [M74]: what has ended meanwhile
 * was told as ended.
 */
export function reconcile(master: Master, framework: FrameworkRecord, queries: readonly Query[], now: Millis): void {
  if (framework.status.state !== "connected") return;
  const { streamId } = framework.status;
  const events = updates(
    queries.length === 0 ? statesOf(master, framework, now) : answers(master, framework, queries, now),
  );
  master.effects.push({ type: "events", streamId, events, holds: Math.max(1, queries.length) });
}

function* updates(statuses: Iterable<TaskStatus>): Iterable<SchedulerEvent> {
  for (const status of statuses) yield { type: "UPDATE", update: { status } };
}

function* statesOf(master: Master, framework: FrameworkRecord, now: Millis): Iterable<TaskStatus> {
  for (const taskId of [...framework.tasks.keys()]) {
    const task = framework.tasks.get(taskId);
    if (task !== undefined && !master.transitions.has(task.agentId)) yield knownStatus(master, task, now);
  }
}

function* answers(
  master: Master,
  framework: FrameworkRecord,
  queries: readonly Query[],
  now: Millis,
): Iterable<TaskStatus> {
  for (const query of queries) {
    const status = answer(master, framework, query, now);
    if (status !== undefined) yield status;
  }
}

function answer(master: Master, framework: FrameworkRecord, query: Query, now: Millis): TaskStatus | undefined {
  const task = framework.tasks.get(query.taskId);
  if (task !== undefined) return master.transitions.has(task.agentId) ? undefined : knownStatus(master, task, now);
  const away = framework.unreachableTasks.get(query.taskId);
  const found = unknownState(master, away?.agentId ?? query.agentId);
  if (found === undefined) return undefined;
  const status = masterStatus(query.taskId, stateFor(framework, found.aware), now, {
    agentId: away?.agentId ?? query.agentId,
    reason: "REASON_RECONCILIATION",
    message: found.message,
  });
  return found.since === undefined ? status : { ...status, unreachable_time: { nanoseconds: found.since * 1e6 } };
}

/** The state of the last update that was passed on, and what it said of the task's health; not a newer one that the agent still holds back. */
function knownStatus(master: Master, task: TaskRecord, now: Millis): TaskStatus {
  const status = masterStatus(task.taskId, task.lastState ?? "TASK_STAGING", now, {
    agentId: task.agentId,
    reason: "REASON_RECONCILIATION",
    message: "Reconciliation: latest task state",
  });
  const last = detailOf(master, task).statuses.at(-1);
  if (last === undefined) return status;
  const { healthy, check_status, container_status } = last;
  return { ...status, healthy, check_status, container_status };
}

interface Unknown {
  readonly aware: TaskState;
  readonly message: string;
  readonly since?: Millis;
}

/** Rows 2 to 6. Undefined while an agent that may have the task is expected or in transition: the framework asks again later. */
function unknownState(master: Master, agentId: AgentId | undefined): Unknown | undefined {
  // [M36] Write-only: an agent that the registry does not know may still come and bring the task.
  const unknown: Unknown | undefined = master.settings.strict
    ? { aware: "TASK_UNKNOWN", message: "Reconciliation: the task is unknown" }
    : undefined;
  if (agentId === undefined) {
    return master.recovered.size > 0 || master.transitions.size > 0 ? undefined : unknown;
  }
  if (master.transitions.has(agentId)) return undefined;
  const agent = master.agents.get(agentId);
  if (agent !== undefined) {
    if (agent.session === undefined) return undefined;
    return { aware: "TASK_GONE", message: "Reconciliation: the task's agent does not have it" };
  }
  const { unreachable, gone } = master.registry;
  const away = unreachable.get(agentId);
  if (away !== undefined) {
    return { aware: "TASK_UNREACHABLE", message: "Reconciliation: the task's agent is unreachable", since: away.at };
  }
  if (gone.has(agentId)) {
    return { aware: "TASK_GONE_BY_OPERATOR", message: "Reconciliation: the task's agent was marked gone" };
  }
  return unknown;
}
