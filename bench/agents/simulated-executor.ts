// A simulated executor has no process: it lives as long as one of its tasks.
import type { AgentMessage } from "#protocol/agent.ts";
import type { SessionId } from "#protocol/ids.ts";
import type { AgentState, CheckpointedTask } from "../../agent-node/checkpoint/state.ts";
import { liveExecutors } from "../../agent-node/register-messages.ts";

/** What the plane hears after the end of a task that was the last of its executor; `state` has that end. */
export function exitAfter(
  state: AgentState,
  { framework, task }: CheckpointedTask,
  session: SessionId,
): AgentMessage | undefined {
  const executorId = task.executor?.executor_id.value;
  if (executorId === undefined) return undefined;
  const isAlive = liveExecutors(state).some(
    (live) => live.framework.id === framework.id && live.executor.executor_id.value === executorId,
  );
  return isAlive ? undefined : { type: "executor-exited", session, frameworkId: framework.id, executorId, status: 0 };
}
