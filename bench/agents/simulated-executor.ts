// A simulated executor has no process: it lives as long as one of its tasks.
import type { AgentMessage, ExecutorReport } from "#protocol/agent.ts";
import type { ExecutorId, FrameworkId, SessionId } from "#protocol/ids.ts";
import type { AgentState, CheckpointedTask } from "../../agent-node/checkpoint/state.ts";
import { isExecutorLive } from "../../agent-node/executors.ts";

/** What the plane hears after the end of a task that was the last of its executor; `state` has that end. */
export function exitAfter(
  state: AgentState,
  { framework, task }: CheckpointedTask,
  session: SessionId,
): AgentMessage | undefined {
  const executorId = task.executor?.executor_id.value;
  if (executorId === undefined || isExecutorLive(state, framework.id, executorId)) return undefined;
  return exitOf(framework.id, executorId, session);
}

/** What it hears when a registration is done of which the report had these: they may have ended before there was a session to say so. */
export const exitsSince = (
  reported: readonly ExecutorReport[],
  state: AgentState,
  session: SessionId,
): readonly AgentMessage[] =>
  reported
    .map(({ framework, executor }) => ({ frameworkId: framework.id, executorId: executor.executor_id.value }))
    .filter(({ frameworkId, executorId }) => !isExecutorLive(state, frameworkId, executorId))
    .map(({ frameworkId, executorId }) => exitOf(frameworkId, executorId, session));

export const exitOf = (frameworkId: FrameworkId, executorId: ExecutorId, session: SessionId): AgentMessage => ({
  type: "executor-exited",
  session,
  frameworkId,
  executorId,
  status: 0,
});
