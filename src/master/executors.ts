// Executors in the master's books: what they hold from the launch that starts them until their agent says that they have ended, and
// the words between them and their framework. What an executor is, only the agent knows.
import type { Millis } from "#base/time.ts";
import type { AgentMessage } from "#protocol/agent.ts";
import type { AgentId, ExecutorId, FrameworkId } from "#protocol/ids.ts";
import type { ExecutorInfo } from "#protocol/task.ts";
import { DEFAULT_ROLE } from "#protocol/roles.ts";
import { hold, recover } from "./allocation.ts";
import { resourceSet } from "./resource-sets.ts";
import { giveBack, take } from "./tally.ts";
import { reply } from "./sockets.ts";
import type { AgentRecord, ExecutorRecord, FrameworkRecord, Master } from "./state.ts";
import { give, tell } from "./effects.ts";

export type ExecutorReport = NonNullable<Extract<AgentMessage, { type: "register" }>["executors"]>[number];

const keyOf = (frameworkId: FrameworkId, executorId: ExecutorId): string => JSON.stringify([frameworkId, executorId]);

export const liveExecutor = (
  agent: AgentRecord,
  frameworkId: FrameworkId,
  executorId: ExecutorId,
): ExecutorRecord | undefined => agent.executors.get(keyOf(frameworkId, executorId));

/** Those of one framework on one agent, as an offer names them. */
export const executorsOf = (agent: AgentRecord, frameworkId: FrameworkId): readonly ExecutorRecord[] =>
  [...agent.executors.values()].filter((executor) => executor.frameworkId === frameworkId);

/** As an agent's record has it. */
export function executorEntry({
  frameworkId,
  info,
  role,
}: Pick<ExecutorRecord, "frameworkId" | "info" | "role">): readonly [key: string, executor: ExecutorRecord] {
  const executorId = info.executor_id.value;
  return [
    keyOf(frameworkId, executorId),
    { frameworkId, executorId, info, role, resources: resourceSet(info.resources) },
  ];
}

export function addExecutor(
  master: Master,
  agent: AgentRecord,
  executor: { readonly frameworkId: FrameworkId; readonly info: ExecutorInfo; readonly role: string },
): ExecutorRecord {
  const [key, record] = executorEntry(executor);
  agent.executors.set(key, record);
  const framework = master.frameworks.get(record.frameworkId);
  if (framework !== undefined) take(framework.used, record.resources);
  master.marked.agents.add(agent.agentId);
  return record;
}

/** It is not there any more: what it held is free. */
export function dropExecutor(master: Master, agent: AgentRecord, executor: ExecutorRecord): void {
  const { frameworkId, executorId, role, resources } = executor;
  if (!agent.executors.delete(keyOf(frameworkId, executorId))) return;
  const framework = master.frameworks.get(frameworkId);
  if (framework !== undefined) giveBack(framework.used, resources);
  master.marked.agents.add(agent.agentId);
  recover(master, { agentId: agent.agentId, frameworkId, role, resources });
}

/** The agent says that an executor has ended. Tasks that it had, the agent ends by updates of their own. */
export function onExecutorExited(
  master: Master,
  agent: AgentRecord,
  message: Extract<AgentMessage, { type: "executor-exited" }>,
): void {
  master.counters["master/messages_exited_executor"]++;
  const { frameworkId, executorId, status } = message;
  const executor = liveExecutor(agent, frameworkId, executorId);
  if (executor === undefined) return;
  dropExecutor(master, agent, executor);
  tellExit(master, agent.agentId, executor, status);
}

/** -1: how it ended is not known. */
function tellExit(master: Master, agentId: AgentId, executor: ExecutorRecord, status: number): void {
  const framework = master.frameworks.get(executor.frameworkId);
  if (framework === undefined) return;
  const failure = { agent_id: { value: agentId }, executor_id: { value: executor.executorId }, status };
  tell(master, framework, { type: "FAILURE", failure });
}

/** A registration's report: the agent has these executors, and no others. */
export function reconcileExecutors(master: Master, agent: AgentRecord, reports: readonly ExecutorReport[]): void {
  const reported = new Set(reports.map(({ framework, executor }) => keyOf(framework.id, executor.executor_id.value)));
  for (const [key, executor] of [...agent.executors]) {
    if (reported.has(key)) continue;
    dropExecutor(master, agent, executor);
    tellExit(master, agent.agentId, executor, -1);
  }
  for (const { framework, executor: info } of reports) {
    if (liveExecutor(agent, framework.id, info.executor_id.value) !== undefined) continue;
    const role = info.resources[0]?.allocation_info?.role ?? DEFAULT_ROLE;
    hold(master, { agentId: agent.agentId, ...addExecutor(master, agent, { frameworkId: framework.id, info, role }) });
  }
}

/** MESSAGE: best effort, as in Mesos. */
export function messageExecutor(
  master: Master,
  framework: FrameworkRecord,
  to: { readonly agentId: AgentId; readonly executorId: ExecutorId; readonly data: string },
): void {
  master.counters["master/messages_framework_to_executor"]++;
  const agent = master.agents.get(to.agentId);
  if (agent?.connection === undefined || agent.session === undefined) {
    master.counters["master/invalid_framework_to_executor_messages"]++;
    return;
  }
  if (liveExecutor(agent, framework.id, to.executorId) === undefined) {
    master.counters["master/invalid_framework_to_executor_messages"]++;
    return;
  }
  master.counters["master/valid_framework_to_executor_messages"]++;
  reply(master, agent.connection, {
    type: "executor-message",
    epoch: master.epoch,
    session: agent.session,
    frameworkId: framework.id,
    executorId: to.executorId,
    data: to.data,
  });
}

/** The other way. */
export function onFrameworkMessage(
  master: Master,
  agent: AgentRecord,
  message: Extract<AgentMessage, { type: "framework-message" }>,
): void {
  master.counters["master/messages_executor_to_framework"]++;
  const framework = master.frameworks.get(message.frameworkId);
  if (framework === undefined || liveExecutor(agent, message.frameworkId, message.executorId) === undefined) {
    master.counters["master/invalid_executor_to_framework_messages"]++;
    return;
  }
  master.counters["master/valid_executor_to_framework_messages"]++;
  const { executorId, data } = message;
  tell(master, framework, {
    type: "MESSAGE",
    message: { agent_id: { value: agent.agentId }, executor_id: { value: executorId }, data },
  });
}

/** SHUTDOWN: unknown ones are ignored. */
export function shutdownExecutor(
  master: Master,
  framework: FrameworkRecord,
  at: { readonly agentId: AgentId; readonly executorId: ExecutorId },
  now: Millis,
): void {
  const agent = master.agents.get(at.agentId);
  if (agent === undefined || liveExecutor(agent, framework.id, at.executorId) === undefined) return;
  give(master, agent, { type: "shutdown-executor", frameworkId: framework.id, executorId: at.executorId }, now);
}
