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
  answerStatus(taskId, { state: dropped(partitionAware), message: "This agent does not have the task" }, stamp);

/** Why a launch is not done. */
export type LaunchRefusal =
  /** The end of an older task of that id is not acknowledged yet. */
  | { readonly type: "older-not-acknowledged" }
  /** It wants reservations or volumes that are not there. */
  | { readonly type: "resources-unknown"; readonly missing: string }
  /** Another task of its group is not. */
  | { readonly type: "group-not-launched" }
  | { readonly type: "invalid"; readonly message: string };

/** The answer to a launch that is not done. */
export const notLaunchedStatus = (
  taskId: TaskId,
  partitionAware: boolean,
  why: LaunchRefusal,
  stamp: Stamp,
): TaskStatus => answerStatus(taskId, refusalVerdict(partitionAware, why), stamp);

function refusalVerdict(partitionAware: boolean, why: LaunchRefusal): Verdict {
  switch (why.type) {
    case "older-not-acknowledged":
      return {
        state: dropped(partitionAware),
        message: "The task was not launched: the last update of an older task of this id is not acknowledged yet",
      };
    case "resources-unknown":
      return {
        state: dropped(partitionAware),
        reason: "REASON_RESOURCES_UNKNOWN",
        message: `The task was not launched: this agent does not have ${why.missing}`,
      };
    case "group-not-launched":
      return {
        state: dropped(partitionAware),
        message: "The task was not launched: another task of its group was not",
      };
    case "invalid":
      return {
        state: "TASK_ERROR",
        reason: "REASON_TASK_INVALID",
        message: `The task was not launched: ${why.message}`,
      };
    default:
      return unreachable(why);
  }
}

const dropped = (partitionAware: boolean): TaskState => (partitionAware ? "TASK_DROPPED" : "TASK_LOST");

function answerStatus(taskId: TaskId, { state, message, reason }: Verdict, { agentId, now, uuid }: Stamp): TaskStatus {
  return {
    task_id: { value: taskId },
    state,
    message: message?.slice(0, MESSAGE_MAX),
    agent_id: agentId === undefined ? undefined : { value: agentId },
    timestamp: toSeconds(now),
    executor_id: undefined,
    source: "SOURCE_AGENT",
    reason,
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
