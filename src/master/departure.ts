// What follows when the registry has given an agent up: unreachable for now, gone for ever, or removed. All of it happens after
// the entry that says so was chosen [M22], and is the same whether this master asked for it or finds it in the log.
import type { Millis } from "#base/time.ts";
import type { AgentId } from "#protocol/ids.ts";
import { isTerminal, type TaskState, type TaskStatusReason } from "#protocol/task.ts";
import { agentHasLeft } from "./allocation.ts";
import { dropExecutor } from "./executors.ts";
import { rescindOffersOn } from "./offers.ts";
import { leaveOperations } from "./operations.ts";
import { reply } from "./sockets.ts";
import {
  isPartitionAware,
  REMOVED_AGENTS_MAX,
  setConnection,
  UNREACHABLE_TASKS_MAX,
  type AgentRecord,
  type Departure,
  type FrameworkRecord,
  type Master,
  type TaskRecord,
} from "./state.ts";
import { tell } from "./effects.ts";
import { markTask, removeTaskRecord } from "./task-records.ts";
import { completeTask, endTask, masterStatus, recordStatus } from "./tasks.ts";

/** [M25] The agent may come back: its tasks stay known, hold nothing, and are not ended by our word. */
export function onUnreachable(master: Master, agentId: AgentId, at: Millis, now: Millis): void {
  const agent = master.agents.get(agentId);
  if (agent === undefined) return;
  count(master, agent, "master/slave_removals/reason_unhealthy");
  master.counters["master/slave_unreachable_completed"]++;
  const message = "The agent was marked unreachable";
  for (const { framework, task } of tasksOf(master, agentId)) {
    // Nobody waits for its word any more; should it come back alive, it is told to end again.
    if (framework.status.state === "removed") completeTask(master, framework, task);
    else toUnreachable(master, framework, task, at, now, message);
  }
  leaveOperations(master, agent, "OPERATION_UNREACHABLE", message);
  leave(master, agent, "the agent was marked unreachable", now);
}

/** [M26] By an operator's word: the agent never comes back, and is told to end what it runs. */
export function onGone(master: Master, agentId: AgentId, now: Millis): void {
  const why = {
    reason: "REASON_AGENT_REMOVED_BY_OPERATOR",
    message: "The agent was marked gone by an operator",
  } as const;
  end(master, agentId, "TASK_GONE_BY_OPERATOR", why, now);
  const agent = master.agents.get(agentId);
  if (agent === undefined) return;
  count(master, agent, "master/slave_removals/reason_unregistered");
  leaveOperations(master, agent, "OPERATION_GONE_BY_OPERATOR", why.message);
  if (agent.connection !== undefined) shutDown(master, agent, "it was marked gone by an operator");
  leave(master, agent, "the agent was marked gone", now);
}

/** [M27] Its id is unknown from now on. In write-only mode nobody hears of an agent that did not come back. */
export function onRemoved(master: Master, agentId: AgentId, why: Departure, now: Millis): void {
  master.removed.add(agentId);
  for (const oldest of master.removed) {
    if (master.removed.size <= REMOVED_AGENTS_MAX) break;
    master.removed.delete(oldest);
  }
  const agent = master.agents.get(agentId);
  if (why === "recovery") {
    if (agent === undefined) return;
    count(master, agent, "master/slave_removals/reason_unhealthy");
    forget(master, agent, now);
    return;
  }
  end(master, agentId, "TASK_GONE", { reason: "REASON_AGENT_REMOVED", message: "The agent has left the cluster" }, now);
  if (agent === undefined) return;
  count(master, agent, "master/slave_removals/reason_unregistered");
  if (agent.connection !== undefined) shutDown(master, agent, "it asked to leave");
  leave(master, agent, "the agent has left the cluster", now);
}

export function shutDown(
  master: Master,
  { connection, agentId }: Pick<AgentRecord, "connection" | "agentId">,
  reason: string,
): void {
  if (connection === undefined) return;
  reply(master, connection, { type: "shutdown", agentId, epoch: master.epoch, reason });
}

function count(
  master: Master,
  agent: AgentRecord,
  reason: "master/slave_removals/reason_unhealthy" | "master/slave_removals/reason_unregistered",
): void {
  master.counters["master/slave_removals"]++;
  master.counters[reason]++;
  if (agent.session === undefined) master.counters["master/recovery_slave_removals"]++;
}

function tasksOf(
  master: Master,
  agentId: AgentId,
): readonly { readonly framework: FrameworkRecord; readonly task: TaskRecord }[] {
  return [...(master.tasksByAgent.get(agentId) ?? [])].flatMap((task) => {
    const framework = master.frameworks.get(task.frameworkId);
    return framework === undefined ? [] : [{ framework, task }];
  });
}

function toUnreachable(
  master: Master,
  framework: FrameworkRecord,
  task: TaskRecord,
  at: Millis,
  now: Millis,
  message: string,
): void {
  const { taskId, lastState } = task;
  removeTaskRecord(master, framework, task);
  task.unreachableAt = at;
  // An end that the framework was told of stays its end; it only waits to be acknowledged.
  if (lastState === undefined || !isTerminal(lastState)) {
    const status = {
      ...masterStatus(taskId, isPartitionAware(framework.info) ? "TASK_UNREACHABLE" : "TASK_LOST", now, {
        agentId: task.agentId,
        reason: "REASON_AGENT_REMOVED",
        message,
      }),
      unreachable_time: { nanoseconds: at * 1e6 },
    };
    if (status.state === "TASK_LOST") master.counters["master/tasks_lost"]++;
    recordStatus(master, task, status);
    tell(master, framework, { type: "UPDATE", update: { status } });
  }
  framework.unreachableTasks.set(taskId, task);
  markTask(master, task);
  for (const oldest of framework.unreachableTasks.values()) {
    if (framework.unreachableTasks.size <= UNREACHABLE_TASKS_MAX) break;
    framework.unreachableTasks.delete(oldest.taskId);
    markTask(master, oldest);
  }
}

/** Ends every task of the agent by our own word, those that were unreachable included. */
function end(
  master: Master,
  agentId: AgentId,
  aware: TaskState,
  why: { readonly reason: TaskStatusReason; readonly message: string },
  now: Millis,
): void {
  for (const { framework, task } of tasksOf(master, agentId)) {
    if (framework.status.state === "removed" || isTerminal(task.latest)) completeTask(master, framework, task);
    else endTask(master, framework, task, aware, now, why);
  }
  for (const framework of master.frameworks.values()) {
    for (const task of [...framework.unreachableTasks.values()]) {
      if (task.agentId === agentId) endUnreachable(master, framework, task, aware, now, why);
    }
  }
}

/** An unreachable task whose fate is known now. */
export function endUnreachable(
  master: Master,
  framework: FrameworkRecord,
  task: TaskRecord,
  aware: TaskState,
  now: Millis,
  why: { readonly reason: TaskStatusReason; readonly message: string },
): void {
  framework.unreachableTasks.delete(task.taskId);
  task.unreachableAt = undefined;
  if (isTerminal(task.latest)) completeTask(master, framework, task);
  else endTask(master, framework, task, aware, now, why);
}

/** Out of the books: offers, orders, socket; then every framework hears that the agent is lost. */
function leave(master: Master, agent: AgentRecord, reason: string, now: Millis): void {
  const { connection, agentId } = agent;
  forget(master, agent, now);
  if (connection !== undefined) master.effects.push({ type: "close-socket", to: connection, reason });
  for (const framework of master.frameworks.values()) {
    tell(master, framework, { type: "FAILURE", failure: { agent_id: { value: agentId } } });
  }
}

function forget(master: Master, agent: AgentRecord, now: Millis): void {
  const { agentId, hostKey } = agent;
  rescindOffersOn(master, agentId);
  for (const executor of [...agent.executors.values()]) dropExecutor(master, agent, executor);
  setConnection(master, agent, undefined, now);
  master.agents.delete(agentId);
  master.absent.delete(agentId);
  master.recovered.delete(agentId);
  master.overdue.delete(agentId);
  master.ordered.delete(agentId);
  master.transitions.delete(agentId);
  if (!master.registry.unreachable.has(agentId) && master.agentByHost.get(hostKey) === agentId) {
    master.agentByHost.delete(hostKey);
  }
  master.marked.orders.push({ type: "voided", agentId });
  master.marked.agents.add(agentId);
  agentHasLeft(master, agentId);
}

/** Brings the books in line with the registry, which may have decided without telling: whoever asked was lost in between. */
export function followRegistry(master: Master, now: Millis): void {
  const { registry } = master;
  for (const agentId of [...master.agents.keys()]) {
    if (registry.admitted.has(agentId)) continue;
    const away = registry.unreachable.get(agentId);
    if (away !== undefined) onUnreachable(master, agentId, away.at, now);
    else if (registry.gone.has(agentId)) onGone(master, agentId, now);
    else onRemoved(master, agentId, master.settings.strict ? "unregistered" : "recovery", now);
  }
  for (const framework of master.frameworks.values()) {
    for (const task of [...framework.unreachableTasks.values()]) {
      if (registry.gone.has(task.agentId)) {
        const why = {
          reason: "REASON_AGENT_REMOVED_BY_OPERATOR",
          message: "The agent was marked gone by an operator",
        } as const;
        endUnreachable(master, framework, task, "TASK_GONE_BY_OPERATOR", now, why);
      }
    }
  }
}
