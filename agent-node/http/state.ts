// The agent's /state in Mesos' shape (endpoints §5), in the part that this release has something to say about.
import type { Millis } from "#base/time.ts";
import { toSeconds } from "#base/time.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { AgentId } from "#protocol/ids.ts";
import { isTerminal, type TaskState, type TaskStatus } from "#protocol/task.ts";
import { MESOFLARE_VERSION } from "#protocol/version.ts";
import {
  fromResources,
  inBothForms,
  reservedByRole,
  resourcesObject,
  type ResourceSet,
  sum,
  toResources,
  unreserved,
} from "#resources/resources.ts";
import { attributesObject } from "#resources/text.ts";
import { type AgentState, type CheckpointedTask, latestState } from "../checkpoint/state.ts";
import { executorIdOf } from "../task-status.ts";

/** A task as /state shows it. */
export interface TaskView {
  readonly task: CheckpointedTask;
  readonly state: TaskState;
  readonly statuses: readonly TaskStatus[];
  readonly directory: string;
}

/** What this agent does, by Mesos' names. */
const CAPABILITIES = [
  "MULTI_ROLE",
  "HIERARCHICAL_ROLE",
  "RESERVATION_REFINEMENT",
  "RESIZE_VOLUME",
  "AGENT_OPERATION_FEEDBACK",
] as const;

export interface StateView {
  readonly state: AgentState;
  /** With all the resources that there are now. */
  readonly info: AgentInfo;
  readonly startedAt: Millis;
  /** Forgotten ones, newest last: a bounded memory, not a record. */
  readonly completed: readonly TaskView[];
  readonly directoryOf: (task: CheckpointedTask) => string;
}

export function stateObject({ state, info, startedAt, completed, directoryOf }: StateView): unknown {
  const agentId = state.registration?.agentId;
  const live = [...state.tasks].map(([key, task]): TaskView => {
    const stream = state.streams.get(key);
    const statuses = [...(stream?.acknowledged === undefined ? [] : [stream.acknowledged]), ...(stream?.pending ?? [])];
    return { task, state: latestState(state, key), statuses, directory: directoryOf(task) };
  });
  const ended = [...completed, ...live.filter((view) => isTerminal(view.state))];
  const running = live.filter((view) => !isTerminal(view.state));
  const total = fromResources(info.resources);
  const used = sum(running.map(({ task }) => fromResources(task.task.resources)));
  const runningIds = new Set(running.map(({ task }) => task.framework.id));
  return {
    version: MESOFLARE_VERSION,
    id: agentId ?? "",
    pid: `slave(1)@127.0.0.1:${info.port}`,
    hostname: info.hostname,
    start_time: toSeconds(startedAt),
    resources: resourcesObject(total),
    reserved_resources: byRole(total, resourcesObject),
    unreserved_resources: resourcesObject(unreserved(total)),
    reserved_resources_full: byRole(total, full),
    unreserved_resources_full: full(unreserved(total)),
    reserved_resources_allocated: byRole(used, resourcesObject),
    unreserved_resources_allocated: resourcesObject(unreserved(used)),
    attributes: attributesObject(info.attributes),
    capabilities: CAPABILITIES,
    ...(info.domain === undefined ? {} : { domain: info.domain }),
    frameworks: frameworks([...runningIds], running, ended, agentId),
    completed_frameworks: frameworks(
      [...new Set(ended.map(({ task }) => task.framework.id))].filter((id) => !runningIds.has(id)),
      [],
      ended,
      agentId,
    ),
  };
}

const full = (resources: ResourceSet): unknown[] => toResources(resources).map(inBothForms);

const byRole = (resources: ResourceSet, show: (reserved: ResourceSet) => unknown): Record<string, unknown> =>
  Object.fromEntries([...reservedByRole(resources)].map(([role, reserved]) => [role, show(reserved)]));

function frameworks(
  ids: readonly string[],
  running: readonly TaskView[],
  ended: readonly TaskView[],
  agentId: AgentId | undefined,
): unknown[] {
  return ids.map((id) => {
    const of = (views: readonly TaskView[]): TaskView[] => views.filter(({ task }) => task.framework.id === id);
    const [now, before] = [of(running), of(ended)];
    const framework = (now[0] ?? before[0])?.task.framework;
    return {
      id,
      name: framework?.name ?? "",
      user: framework?.user ?? "",
      role: "*",
      executors: now.map((view) => executor(view, agentId)),
      completed_executors: before.map((view) => executor(view, agentId)),
    };
  });
}

function executor(view: TaskView, agentId: AgentId | undefined): unknown {
  const { task, containerId } = view.task;
  const shown = taskObject(view, agentId);
  const terminal = isTerminal(view.state);
  return {
    id: executorIdOf(task.task_id.value),
    name: task.name,
    source: task.task_id.value,
    container: containerId,
    directory: view.directory,
    resources: resourcesObject(fromResources(task.resources)),
    tasks: terminal || view.state === "TASK_STAGING" ? [] : [shown],
    queued_tasks: view.state === "TASK_STAGING" ? [shown] : [],
    completed_tasks: terminal ? [shown] : [],
  };
}

function taskObject({ task: { task, framework }, state, statuses }: TaskView, agentId: AgentId | undefined): unknown {
  return {
    id: task.task_id.value,
    name: task.name,
    framework_id: framework.id,
    executor_id: "",
    slave_id: agentId ?? task.agent_id.value,
    state,
    resources: resourcesObject(fromResources(task.resources)),
    role: "*",
    statuses: statuses.map(({ state: name, timestamp, container_status }) => ({
      state: name,
      timestamp,
      container_status,
    })),
    labels: task.labels?.labels ?? [],
  };
}
