// A registration's report, and what the books make of it. The agent is right about its tasks; only its report is evidence
// that a launch never happened [M4] [M5].
import { present } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { TaskReport } from "#protocol/agent.ts";
import type { FrameworkId, TaskId } from "#protocol/ids.ts";
import { isTerminal, type TaskInfo, type TaskState } from "#protocol/task.ts";
import { hold } from "./allocation.ts";
import { recoverFramework, restoreOwner } from "./frameworks.ts";
import { endUnreachable } from "./departure.ts";
import { acknowledge } from "./sockets.ts";
import type { AgentRecord, FrameworkRecord, Master, PendingRegistration, TaskRecord } from "./state.ts";
import { give, tell } from "./effects.ts";
import { addTaskRecord, markTask } from "./task-records.ts";
import { pastOf } from "./task-store.ts";
import { addTask, completeTask, endTask, masterStatus, recordStatus, setLatest } from "./tasks.ts";

export const launchKey = (frameworkId: string, taskId: string): string => `${frameworkId}\n${taskId}`;

/** Brings the books in line with what the agent has. The agent is right about its tasks. */
export function reconcileReport(
  master: Master,
  agent: AgentRecord,
  { report: { tasks: reports }, wasUnreachable }: Pick<PendingRegistration, "report" | "wasUnreachable">,
  neverActed: ReadonlySet<string>,
  now: Millis,
): void {
  // The agent may report the last word of a task that the framework has acknowledged: that is no report of a later task
  // under the same id.
  const fresh = reports.filter((report) => !forgetAcknowledged(master, agent, report));
  const reported = new Set(fresh.map(({ framework, task }) => launchKey(framework.id, task.task_id.value)));
  for (const task of [...(master.tasksByAgent.get(agent.agentId) ?? [])]) {
    const framework = present(master.frameworks.get(task.frameworkId), "framework of a task in the books");
    const key = launchKey(framework.id, task.taskId);
    if (reported.has(key) || isTerminal(task.latest)) continue;
    if (neverActed.has(key)) {
      endTask(master, framework, task, "TASK_DROPPED", now, {
        reason: "REASON_AGENT_DISCONNECTED",
        message: "The agent registered again without having received this launch",
      });
    } else {
      endTask(master, framework, task, "TASK_GONE", now, {
        reason: "REASON_RECONCILIATION",
        message: "The agent registered again and does not have this task",
      });
    }
  }
  // What was unreachable with this agent and is not reported is gone; what is reported comes back below.
  for (const framework of master.frameworks.values()) {
    for (const task of [...framework.unreachableTasks.values()]) {
      if (task.agentId !== agent.agentId || reported.has(launchKey(framework.id, task.taskId))) continue;
      endUnreachable(master, framework, task, "TASK_GONE", now, {
        reason: "REASON_RECONCILIATION",
        message: "The agent came back without this task",
      });
    }
  }
  const removed = new Set<FrameworkRecord>();
  for (const report of fresh) {
    const framework = adoptReport(master, agent, report, wasUnreachable, now);
    if (framework.status.state === "removed" && framework.tasks.size > 0) removed.add(framework);
  }
  for (const framework of removed) give(master, agent, { type: "shutdown-framework", frameworkId: framework.id }, now);
}

/** Acknowledges again what the history shows as acknowledged, and says whether the report was that. */
function forgetAcknowledged(master: Master, agent: AgentRecord, report: TaskReport): boolean {
  if (!isTerminal(report.latest)) return false;
  const framework = findFramework(master, report.framework.id);
  const uuids = new Set(report.statuses.flatMap(({ uuid }) => uuid ?? []));
  const known = pastOf(master, report.framework.id, report.task.task_id.value).some(
    ({ agentId, detail: { statuses } }) =>
      agentId === agent.agentId && statuses.some(({ uuid }) => uuid !== undefined && uuids.has(uuid)),
  );
  const nobodyWaits = framework !== undefined && !master.frameworks.has(framework.id);
  if (!known && !nobodyWaits) return false;
  acknowledgeAll(master, agent, report);
  return true;
}

function findFramework(master: Master, id: FrameworkId): FrameworkRecord | undefined {
  return master.frameworks.get(id) ?? master.completedFrameworks.find((framework) => framework.id === id);
}

/** Takes a reported task into the books and returns its framework. */
function adoptReport(
  master: Master,
  agent: AgentRecord,
  report: TaskReport,
  wasUnreachable: boolean,
  now: Millis,
): FrameworkRecord {
  const { task: info, latest, statuses } = report;
  const taskId = info.task_id.value;
  const framework = findFramework(master, report.framework.id) ?? recoverFramework(master, report.framework, now);
  restoreOwner(master, framework, report.framework);
  if (!master.frameworks.has(framework.id)) {
    // Its task is alive after all: the framework is being removed again until the task has ended.
    master.completedFrameworks.splice(master.completedFrameworks.indexOf(framework), 1);
    master.frameworks.set(framework.id, framework);
    master.marked.frameworks.add(framework.id);
  }
  const isBack = takeBack(master, framework, agent, taskId) || wasUnreachable;
  const task = framework.tasks.get(taskId) ?? addReported(master, framework, agent, info, now);
  if (task.agentId !== agent.agentId) return framework;
  setLatest(master, task, latest);
  // Only the head: the agent holds the rest back until this one is acknowledged.
  const [head] = statuses;
  if (isBack) tellReal(master, framework, task, head?.state ?? latest, now);
  if (head !== undefined) recordStatus(master, task, { ...head, agent_id: { value: agent.agentId } });
  if (framework.status.state === "removed") {
    if (isTerminal(latest)) {
      acknowledgeAll(master, agent, report);
      completeTask(master, framework, task);
    }
    return framework;
  }
  if (task.kill !== undefined && !isTerminal(latest)) orderKill(master, agent, task, now);
  return framework;
}

/** Puts a task that was unreachable into the books again, and says whether it was. */
function takeBack(master: Master, framework: FrameworkRecord, agent: AgentRecord, taskId: TaskId): boolean {
  const task = framework.unreachableTasks.get(taskId);
  if (task?.agentId !== agent.agentId) return false;
  framework.unreachableTasks.delete(taskId);
  task.unreachableAt = undefined;
  addTaskRecord(master, framework, task);
  if (!isTerminal(task.latest)) hold(master, task);
  markTask(master, task);
  return true;
}

/** The agent has it, so that it holds what it holds. */
function addReported(
  master: Master,
  framework: FrameworkRecord,
  agent: AgentRecord,
  info: TaskInfo,
  now: Millis,
): TaskRecord {
  const task = addTask(master, framework, agent, info, now);
  hold(master, task);
  return task;
}

/** [M25] The framework was told that the task is unreachable, and hears its real state; an end the agent will say itself. */
function tellReal(master: Master, framework: FrameworkRecord, task: TaskRecord, state: TaskState, now: Millis): void {
  if (framework.status.state === "removed" || isTerminal(state)) return;
  const status = masterStatus(task.taskId, state, now, {
    agentId: task.agentId,
    reason: "REASON_AGENT_REREGISTERED",
    message: "The agent that was unreachable has come back",
  });
  recordStatus(master, task, status);
  tell(master, framework, { type: "UPDATE", update: { status } });
}

function acknowledgeAll(master: Master, agent: AgentRecord, { framework, task, statuses }: TaskReport): void {
  const uuids = statuses.flatMap(({ uuid }) => uuid ?? []);
  acknowledge(master, agent, { frameworkId: framework.id, taskId: task.task_id.value }, uuids);
}

export function orderKill(master: Master, agent: AgentRecord, task: TaskRecord, now: Millis): void {
  give(
    master,
    agent,
    { type: "kill", frameworkId: task.frameworkId, taskId: task.taskId, killPolicy: task.kill?.policy },
    now,
  );
}
