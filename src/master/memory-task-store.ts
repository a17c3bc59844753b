// A task store in memory, for tests and the simulation. Rows are text, as they are in SQLite: nobody shares an object with the core.
import type { FrameworkId, TaskId } from "#protocol/ids.ts";
import { resourceSetOf, resourcesText } from "./resource-sets.ts";
import {
  COMPLETED_TASKS_MAX,
  type CompletedTask,
  type PastKey,
  type ShownTask,
  type TaskChanges,
  type TaskDetail,
  type TaskStorage,
} from "./task-store.ts";
import { detailText } from "./task-text.ts";
import type { TaskRecord } from "./state.ts";

interface Row {
  readonly record: string;
  readonly detail: string;
}

interface PastRow {
  readonly place: number;
  readonly frameworkId: FrameworkId;
  readonly taskId: TaskId;
  readonly beganAt: number;
  readonly text: string;
}

const withText = (value: TaskRecord | CompletedTask): string =>
  JSON.stringify({ ...value, resources: resourcesText(value.resources) });
type Stored<T> = Omit<T, "resources"> & { readonly resources: string };
function parsedRecord(text: string): TaskRecord {
  const stored = JSON.parse(text) as Stored<TaskRecord>;
  return { ...stored, resources: resourceSetOf(stored.resources) };
}
function parsedTask(text: string): CompletedTask {
  const stored = JSON.parse(text) as Stored<CompletedTask>;
  return { ...stored, resources: resourceSetOf(stored.resources) };
}

export class MemoryTaskStore implements TaskStorage {
  readonly #tasks = new Map<FrameworkId, Map<TaskId, Row>>();
  #past: PastRow[] = [];
  #place = 0;

  detail(frameworkId: FrameworkId, taskId: TaskId): TaskDetail | undefined {
    const row = this.#tasks.get(frameworkId)?.get(taskId);
    return row === undefined ? undefined : (JSON.parse(row.detail) as TaskDetail);
  }

  past(frameworkId: FrameworkId, taskId: TaskId): readonly CompletedTask[] {
    return this.#past
      .filter((row) => row.frameworkId === frameworkId && row.taskId === taskId)
      .map(({ text }) => parsedTask(text))
      .toReversed();
  }

  shown(frameworkId: FrameworkId, taskIds: readonly TaskId[]): readonly (string | undefined)[] {
    return taskIds.map((taskId) => {
      const detail = this.detail(frameworkId, taskId);
      return detail === undefined ? undefined : detailText(detail);
    });
  }

  lastPlace(): number {
    return this.#past.at(-1)?.place ?? 0;
  }

  shownPast(
    frameworkId: FrameworkId,
    { after, upTo, limit }: { readonly after: number; readonly upTo: number; readonly limit: number },
  ): readonly ShownTask[] {
    return this.#past
      .filter((row) => row.frameworkId === frameworkId && row.place > after && row.place <= upTo)
      .slice(0, limit)
      .map(shownOf);
  }

  pastKeys({ frameworkId, taskId, order, limit }: Parameters<TaskStorage["pastKeys"]>[0]): readonly PastKey[] {
    const sign = order === "asc" ? 1 : -1;
    return this.#past
      .filter(
        (row) =>
          (frameworkId === undefined || row.frameworkId === frameworkId) &&
          (taskId === undefined || row.taskId === taskId),
      )
      .toSorted((a, b) => sign * (a.beganAt - b.beganAt || a.place - b.place))
      .slice(0, limit)
      .map(({ place, beganAt }) => ({ place, beganAt }));
  }

  shownAt(places: readonly number[]): readonly ShownTask[] {
    return places.flatMap((place) => this.#past.filter((row) => row.place === place).map(shownOf));
  }

  apply({ tasks, completed, forgotten }: TaskChanges): void {
    for (const { frameworkId, taskId, record, detail } of tasks) {
      const rows = this.#tasks.get(frameworkId) ?? new Map<TaskId, Row>();
      this.#tasks.set(frameworkId, rows);
      const stored = detail === undefined ? rows.get(taskId)?.detail : JSON.stringify(detail);
      if (record === undefined) rows.delete(taskId);
      else if (stored !== undefined) rows.set(taskId, { record: withText(record), detail: stored });
    }
    for (const task of completed) {
      const { frameworkId, taskId, beganAt } = task;
      this.#past.push({ place: ++this.#place, frameworkId, taskId, beganAt, text: withText(task) });
    }
    for (const frameworkId of new Set(completed.map((task) => task.frameworkId))) {
      const places = this.#past.filter((row) => row.frameworkId === frameworkId).map(({ place }) => place);
      const oldest = places.at(-COMPLETED_TASKS_MAX) ?? 0;
      this.#past = this.#past.filter((row) => row.frameworkId !== frameworkId || row.place >= oldest);
    }
    for (const frameworkId of forgotten) {
      this.#tasks.delete(frameworkId);
      this.#past = this.#past.filter((row) => row.frameworkId !== frameworkId);
    }
  }

  *records(): Iterable<TaskRecord> {
    for (const rows of this.#tasks.values()) for (const { record } of rows.values()) yield parsedRecord(record);
  }

  clear(): void {
    this.#tasks.clear();
    this.#past = [];
  }
}

function shownOf({ place, text }: PastRow): ShownTask {
  const { detail, ...task } = parsedTask(text);
  return { ...task, place, shown: detailText(detail) };
}
