// Executors that frameworks bring, as they follow from the tasks: one lives as long as a task of it has not ended.
import type { ExecutorReport } from "#protocol/agent.ts";
import type { ExecutorId, FrameworkId } from "#protocol/ids.ts";
import { isTerminal } from "#protocol/task.ts";
import { type AgentState, latestState } from "./checkpoint/state.ts";

/** Each once. */
export function liveExecutors(state: AgentState): ExecutorReport[] {
  const executors = new Map<string, ExecutorReport>();
  for (const [key, { framework, task }] of state.tasks) {
    const { executor } = task;
    if (executor === undefined || isTerminal(latestState(state, key))) continue;
    executors.set(`${framework.id}/${executor.executor_id.value}`, { framework, executor });
  }
  return [...executors.values()];
}

export const isExecutorLive = (state: AgentState, frameworkId: FrameworkId, executorId: ExecutorId): boolean =>
  liveExecutors(state).some(
    ({ framework, executor }) => framework.id === frameworkId && executor.executor_id.value === executorId,
  );
