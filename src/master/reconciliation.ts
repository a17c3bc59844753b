// What the master answers when a framework asks for a task's state: the table of tasks-offers-and-operators §8.3.
import type { Millis } from "#base/time.ts";
import type { AgentId, TaskId } from "#protocol/ids.ts";
import type { TaskState, TaskStatus } from "#protocol/task.ts";
import { tell, type FrameworkRecord, type Master, type TaskRecord } from "./state.ts";
import { masterStatus, stateFor } from "./tasks.ts";

export interface Query {
  readonly taskId: TaskId;
  readonly agentId: AgentId | undefined;
}

/** Answers each query, or every task of the framework when there is none. */
export function reconcile(master: Master, framework: FrameworkRecord, queries: readonly Query[], now: Millis): void {
  const answers =
    queries.length === 0
      ? [...framework.tasks.values()].map((task) => knownStatus(task, now))
      : queries.map((query) => answer(master, framework, query, now));
  for (const status of answers)
    if (status !== undefined) tell(master, framework, { type: "UPDATE", update: { status } });
}

function answer(master: Master, framework: FrameworkRecord, query: Query, now: Millis): TaskStatus | undefined {
  const task = framework.tasks.get(query.taskId);
  if (task !== undefined) return knownStatus(task, now);
  const aware = unknownState(master, query.agentId);
  if (aware === undefined) return undefined;
  return masterStatus(query.taskId, stateFor(framework, aware), now, {
    agentId: query.agentId,
    reason: "REASON_RECONCILIATION",
    message: "Reconciliation: the task is unknown",
  });
}

/** The state of the last update that was passed on, not a newer one that the agent still holds back. */
function knownStatus(task: TaskRecord, now: Millis): TaskStatus {
  const last = task.statuses.at(-1);
  return masterStatus(task.info.task_id.value, last?.state ?? "TASK_STAGING", now, {
    agentId: task.agentId,
    reason: "REASON_RECONCILIATION",
    message: "Reconciliation: latest task state",
  });
}

/** Undefined while an agent that may have the task is still expected: the framework asks again later. */
function unknownState(master: Master, agentId: AgentId | undefined): TaskState | undefined {
  if (agentId === undefined) {
    const expected = [...master.agents.values()].some((agent) => agent.session === undefined);
    return expected ? undefined : "TASK_UNKNOWN";
  }
  const agent = master.agents.get(agentId);
  if (agent === undefined) return "TASK_UNKNOWN";
  return agent.session === undefined ? undefined : "TASK_GONE";
}
