// What is known of a task beside its record: its description and what its framework was told, in rows; and tasks that have ended, of which
// there are only rows. The core reads them, synchronously; what a turn has changed goes there when the turn is over, in one piece.
//
// Whoever decides asks `detailOf` and `pastOf`: they know what this turn has changed and nobody has saved yet. Views are made between
// turns and read the store itself, in pages.
import { assert, present } from "#base/assert.ts";
import type { AgentId, FrameworkId, TaskId } from "#protocol/ids.ts";
import type { TaskInfo, TaskState, TaskStatus } from "#protocol/task.ts";
import type { ResourceSet } from "#resources/resources.ts";
import type { Master, TaskRecord } from "./state.ts";

/** Completed tasks kept of one framework. Source: Mesos max_completed_tasks_per_framework. */
export const COMPLETED_TASKS_MAX = 1_000;

export interface TaskDetail {
  readonly info: TaskInfo;
  /** What was told to the framework, oldest first; neighbours of one state are one. */
  readonly statuses: readonly TaskStatus[];
}

export interface CompletedTask {
  readonly frameworkId: FrameworkId;
  readonly taskId: TaskId;
  readonly agentId: AgentId;
  /** How it ended; or what was known of it last, if its framework was removed before it had. */
  readonly state: TaskState;
  /** See {@link TaskRecord}. */
  readonly beganAt: number;
  readonly resources: ResourceSet;
  readonly detail: TaskDetail;
}

/** A completed task as views have it: `shown` is its detail, by task-text.ts. */
export interface ShownTask extends Omit<CompletedTask, "detail"> {
  /** Where it stands in the history: later ones are above it. */
  readonly place: number;
  readonly shown: string;
}

export interface PastKey {
  readonly place: number;
  readonly beganAt: number;
}

/** What a core and its views read. */
export interface TaskStore {
  /** Of a task in the books, or of an unreachable one. */
  detail(frameworkId: FrameworkId, taskId: TaskId): TaskDetail | undefined;
  /** The completed tasks that had this id, newest first. */
  past(frameworkId: FrameworkId, taskId: TaskId): readonly CompletedTask[];
  /** The details of these, rendered, in their order; undefined for those that are not in the books any more. */
  shown(frameworkId: FrameworkId, taskIds: readonly TaskId[]): readonly (string | undefined)[];
  /** The highest place in the history; 0 when it is empty. */
  lastPlace(): number;
  /** A framework's history from above `after` to `upTo`, oldest first. */
  shownPast(
    frameworkId: FrameworkId,
    page: { readonly after: number; readonly upTo: number; readonly limit: number },
  ): readonly ShownTask[];
  /** The first `limit` of the history by the time they began. */
  pastKeys(query: {
    readonly frameworkId: FrameworkId | undefined;
    readonly taskId: TaskId | undefined;
    readonly order: "asc" | "desc";
    readonly limit: number;
  }): readonly PastKey[];
  /** Those of these places that are still there, in their order. */
  shownAt(places: readonly number[]): readonly ShownTask[];
}

/** What a turn has changed. */
export interface TaskChanges {
  readonly tasks: readonly {
    readonly frameworkId: FrameworkId;
    readonly taskId: TaskId;
    /** Undefined: it is not in the books any more. */
    readonly record: TaskRecord | undefined;
    /** Undefined: as it is stored. */
    readonly detail: TaskDetail | undefined;
  }[];
  /** In the order of their ends. Of each framework the store keeps the newest {@link COMPLETED_TASKS_MAX}. */
  readonly completed: readonly CompletedTask[];
  /** Frameworks that are not remembered any more, nor anything of theirs. */
  readonly forgotten: readonly FrameworkId[];
}

export interface TaskStorage extends TaskStore {
  apply(changes: TaskChanges): void;
  /** The records of all tasks that are in the books or unreachable, for an instance that begins. */
  records(): Iterable<TaskRecord>;
  /** A new epoch begins: nothing of an older one may serve again. */
  clear(): void;
}

/** What is marked, for the store. */
export function taskChanges(master: Master): TaskChanges {
  const { tasks, completed, frameworks } = master.marked;
  return {
    tasks: [...tasks].flatMap(([frameworkId, details]) => {
      const framework = master.frameworks.get(frameworkId);
      return [...details].map(([taskId, detail]) => {
        const record = framework?.tasks.get(taskId) ?? framework?.unreachableTasks.get(taskId);
        return { frameworkId, taskId, record, detail };
      });
    }),
    completed,
    forgotten: [...frameworks].filter(
      (id) => !master.frameworks.has(id) && !master.completedFrameworks.some((framework) => framework.id === id),
    ),
  };
}

/** What the row of a task in the books, or of an unreachable one, says; with what this turn has changed. */
export function detailOf(master: Master, { frameworkId, taskId }: TaskRecord): TaskDetail {
  const detail = master.marked.tasks.get(frameworkId)?.get(taskId) ?? master.store.detail(frameworkId, taskId);
  return present(detail, "the detail of a task in the books");
}

/** The completed tasks that had this id, newest first; with those of this turn. */
export function pastOf(master: Master, frameworkId: FrameworkId, taskId: TaskId): readonly CompletedTask[] {
  const ofTurn = master.marked.completed.filter((task) => task.frameworkId === frameworkId && task.taskId === taskId);
  return [...ofTurn.toReversed(), ...master.store.past(frameworkId, taskId)];
}

/** Views read rows: they are made when a turn is over and saved. */
export function assertSaved({ marked }: Master): void {
  assert(marked.tasks.size === 0 && marked.completed.length === 0, "a view is made between turns");
}
