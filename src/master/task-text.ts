// A task's object in Mesos' GET endpoints (endpoints.md §3.3) as JSON text. /state shows a hundred thousand of them: what a task's row
// says is rendered when the row is written, and not parsed to be shown.
import type { AgentId, FrameworkId, TaskId } from "#protocol/ids.ts";
import { DEFAULT_ROLE } from "#protocol/roles.ts";
import type { TaskState } from "#protocol/task.ts";
import type { ResourceSet } from "#resources/resources.ts";
import { resourcesObjectText } from "./resource-sets.ts";
import type { TaskDetail } from "./task-store.ts";

/** The members that come from the detail, without braces. Rows keep it: whoever changes it renders them anew, in a new schema. */
export function detailText({ info, statuses }: TaskDetail): string {
  const members = {
    name: info.name,
    // Empty for a command task, as in Mesos.
    executor_id: info.executor?.executor_id.value ?? "",
    role: info.resources[0]?.allocation_info?.role ?? DEFAULT_ROLE,
    statuses: statuses.map(({ state, timestamp, container_status }) => ({
      state,
      timestamp: timestamp ?? 0,
      container_status,
    })),
    labels: info.labels?.labels,
    user: info.command?.user,
  };
  return JSON.stringify(members).slice(1, -1);
}

/** `shown`: its {@link detailText}. `frame`: see {@link frameOf}. */
export function taskText(
  frame: string,
  task: {
    readonly taskId: TaskId;
    readonly agentId: AgentId;
    readonly state: TaskState;
    readonly resources: ResourceSet;
  },
  shown: string,
): string {
  const { taskId, agentId, state, resources } = task;
  return `{"id":${JSON.stringify(taskId)},"slave_id":${JSON.stringify(agentId)},"state":"${state}","resources":${resourcesObjectText(resources)},${frame},${shown}}`;
}

/** What all tasks of a framework have in common. */
export const frameOf = (frameworkId: FrameworkId): string => `"framework_id":${JSON.stringify(frameworkId)}`;
