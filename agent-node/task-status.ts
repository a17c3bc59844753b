// What the agent says about a task: which state, reason and message each thing that happens to a container comes to.
import { unreachable } from "#base/assert.ts";
import { type Millis, toSeconds } from "#base/time.ts";
import type { AgentId, ContainerId, ExecutorId, TaskId } from "#protocol/ids.ts";
import { exitMessage, type TaskState, type TaskStatus, type TaskStatusReason } from "#protocol/task.ts";
import type { CheckpointedTask } from "./checkpoint/state.ts";
import type { Outcome } from "./containerizer/containerizer.ts";

/** Longest message in a status, characters: the wire's own bound. */
const MESSAGE_MAX = 4096;

/** What is new with every status. */
export interface Stamp {
  readonly agentId: AgentId | undefined;
  readonly now: Millis;
  /** base64 of 16 random bytes. */
  readonly uuid: string;
}

interface Verdict {
  readonly state: TaskState;
  readonly message?: string;
  readonly reason?: TaskStatusReason;
}

export const runningStatus = (task: CheckpointedTask, stamp: Stamp): TaskStatus =>
  statusOf(task, { state: "TASK_RUNNING" }, stamp);

export function endStatus(task: CheckpointedTask, outcome: Outcome, stamp: Stamp): TaskStatus {
  return statusOf(task, endVerdict(task, outcome), stamp);
}

function endVerdict({ framework, killGraceMs }: CheckpointedTask, outcome: Outcome): Verdict {
  const killed = killGraceMs !== undefined;
  switch (outcome.type) {
    case "ended": {
      const { status, memoryLimitMb } = outcome;
      // Asked to end, it ended: whatever its exit status says about how willingly.
      if (killed) return { state: "TASK_KILLED", message: exitMessage(status) };
      if (memoryLimitMb !== undefined)
        return {
          state: "TASK_FAILED",
          reason: "REASON_CONTAINER_LIMITATION_MEMORY",
          message: `Memory limit exceeded: the task may use ${memoryLimitMb} MB, give it more 'mem' (${exitMessage(status)})`,
        };
      if (status.type === "exited" && status.code === 0)
        return { state: "TASK_FINISHED", message: exitMessage(status) };
      return { state: "TASK_FAILED", message: exitMessage(status), reason: "REASON_COMMAND_EXECUTOR_FAILED" };
    }
    case "launch-failed":
      return { state: "TASK_FAILED", reason: "REASON_CONTAINER_LAUNCH_FAILED", message: outcome.message };
    case "cancelled":
      return { state: "TASK_KILLED", reason: "REASON_TASK_KILLED_DURING_LAUNCH", message: "Killed before it started" };
    case "never-started":
      if (killed)
        return {
          state: "TASK_KILLED",
          reason: "REASON_TASK_KILLED_DURING_LAUNCH",
          message: "Killed before it started",
        };
      return {
        state: framework.partitionAware ? "TASK_DROPPED" : "TASK_LOST",
        reason: "REASON_AGENT_RESTARTED",
        message: "The agent was restarted before the task started",
      };
    case "vanished":
      return { state: killed ? "TASK_KILLED" : "TASK_FAILED", message: outcome.message };
    default:
      return unreachable(outcome);
  }
}

/** The answer to a kill of a task that this agent does not have. */
export const unknownTaskStatus = (taskId: TaskId, partitionAware: boolean, stamp: Stamp): TaskStatus =>
  answerStatus(taskId, partitionAware, "This agent does not have the task", stamp);

/** The answer to a launch that is not done, because the end of an older task of that id is not acknowledged yet. */
export const notLaunchedStatus = (taskId: TaskId, partitionAware: boolean, stamp: Stamp): TaskStatus =>
  answerStatus(
    taskId,
    partitionAware,
    "The task was not launched: the last update of an older task of this id is not acknowledged yet",
    stamp,
  );

function answerStatus(
  taskId: TaskId,
  partitionAware: boolean,
  message: string,
  { agentId, now, uuid }: Stamp,
): TaskStatus {
  return {
    task_id: { value: taskId },
    state: partitionAware ? "TASK_DROPPED" : "TASK_LOST",
    message,
    agent_id: agentId === undefined ? undefined : { value: agentId },
    timestamp: toSeconds(now),
    executor_id: undefined,
    source: "SOURCE_AGENT",
    reason: undefined,
    uuid,
    container_status: undefined,
  };
}

function statusOf(
  { task, containerId }: CheckpointedTask,
  { state, message, reason }: Verdict,
  { agentId, now, uuid }: Stamp,
): TaskStatus {
  return {
    task_id: task.task_id,
    state,
    message: message?.slice(0, MESSAGE_MAX),
    agent_id: agentId === undefined ? task.agent_id : { value: agentId },
    timestamp: toSeconds(now),
    executor_id: { value: executorIdOf(task.task_id.value) },
    source: "SOURCE_EXECUTOR",
    reason,
    uuid,
    container_status: { container_id: { value: containerId } },
  };
}

/** A command task's executor has the task's id (reference §5). */
export const executorIdOf = (taskId: TaskId): ExecutorId => taskId as string as ExecutorId;

/** The id of a container as directories and cgroups have it. */
export const containerIdFrom = (uuid: string): ContainerId => uuid as ContainerId;
