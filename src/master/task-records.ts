// The records of tasks in the books: their maps, what they hold of agents, and the marks by which their rows follow.
import { present } from "#base/assert.ts";
import { isTerminal, TASK_STATES, type TaskState } from "#protocol/task.ts";
import { recover } from "./allocation.ts";
import type { FrameworkRecord, Master, TaskRecord } from "./state.ts";
import { giveBack, newTally, take } from "./tally.ts";
import type { TaskDetail } from "./task-store.ts";

/** A task's record differs from its row, or has left the books; with `detail`, that does as well. */
export function markTask(
  { marked }: Master,
  { frameworkId, taskId }: Pick<TaskRecord, "frameworkId" | "taskId">,
  detail?: TaskDetail,
): void {
  let ofFramework = marked.tasks.get(frameworkId);
  if (ofFramework === undefined) marked.tasks.set(frameworkId, (ofFramework = new Map()));
  ofFramework.set(taskId, detail ?? ofFramework.get(taskId));
}

/** Enters a task into the books. {@link removeTaskRecord} is its opposite; nobody else touches the maps and the sums. */
export function addTaskRecord(master: Master, framework: FrameworkRecord, task: TaskRecord): void {
  framework.tasks.set(task.taskId, task);
  const ofAgent = master.tasksByAgent.get(task.agentId) ?? new Set();
  ofAgent.add(task);
  master.tasksByAgent.set(task.agentId, ofAgent);
  if (isTerminal(task.latest)) return;
  let used = master.usedByAgent.get(task.agentId);
  if (used === undefined) master.usedByAgent.set(task.agentId, (used = newTally()));
  take(used, task.resources);
  take(framework.used, task.resources);
}

/** Does nothing with a task that is not in the books. */
export function removeTaskRecord(master: Master, framework: FrameworkRecord, task: TaskRecord): void {
  const ofAgent = master.tasksByAgent.get(task.agentId);
  if (ofAgent?.delete(task) !== true) return;
  framework.tasks.delete(task.taskId);
  if (!isTerminal(task.latest)) giveUpResources(master, framework, task);
  if (ofAgent.size > 0) return;
  master.tasksByAgent.delete(task.agentId);
  master.usedByAgent.delete(task.agentId);
}

const constants = new Map<string, TaskState>(TASK_STATES.map((state) => [state, state]));

/** What comes off a wire, or out of a row, is a text of its own each time; a hundred thousand records keep one. */
export const constantState = (state: TaskState): TaskState => constants.get(state) ?? state;

/** [M8] The state that resources follow. Of a task in the books they are free once it is terminal. */
export function setLatestState(master: Master, task: TaskRecord, latest: TaskState): void {
  const isHeld = !isTerminal(task.latest) && master.tasksByAgent.get(task.agentId)?.has(task) === true;
  if (isHeld && isTerminal(latest)) {
    const framework = present(master.frameworks.get(task.frameworkId), "framework of a task in the books");
    giveUpResources(master, framework, task);
  }
  task.latest = constantState(latest);
}

function giveUpResources(master: Master, framework: FrameworkRecord, task: TaskRecord): void {
  giveBack(present(master.usedByAgent.get(task.agentId), "what an agent's tasks hold"), task.resources);
  giveBack(framework.used, task.resources);
  recover(master, task);
}
