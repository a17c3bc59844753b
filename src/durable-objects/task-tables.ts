// The task store on an object's SQLite. A task's row is written whole when it is new; afterwards what changes. `shown` is its part of the
// GET endpoints, rendered once for all who look. A row of the history is written once.
import type { AgentId, FrameworkId, TaskId } from "#protocol/ids.ts";
import type { TaskInfo, TaskState, TaskStatus } from "#protocol/task.ts";
import { resourceSetOf, resourcesText } from "../master/resource-sets.ts";
import type { TaskRecord } from "../master/state.ts";
import { constantState } from "../master/task-records.ts";
import {
  COMPLETED_TASKS_MAX,
  type CompletedTask,
  type PastKey,
  type ShownTask,
  type TaskChanges,
  type TaskDetail,
  type TaskStorage,
} from "../master/task-store.ts";
import { detailText } from "../master/task-text.ts";

/** Places of the oldest in a framework's history that are looked up at once: each end drops one of them. */
const OLDEST_READ = 100;

/** Tables of schema 3. */
export const TASK_TABLES = `CREATE TABLE IF NOT EXISTS tasks (framework TEXT, id TEXT, agent TEXT NOT NULL, resources TEXT NOT NULL,
      record TEXT NOT NULL, shown TEXT NOT NULL, statuses TEXT NOT NULL, info TEXT NOT NULL, PRIMARY KEY (framework, id));
    CREATE TABLE IF NOT EXISTS completed_tasks (place INTEGER PRIMARY KEY, framework TEXT NOT NULL, id TEXT NOT NULL, agent TEXT NOT NULL,
      resources TEXT NOT NULL, state TEXT NOT NULL, began REAL NOT NULL, shown TEXT NOT NULL, statuses TEXT NOT NULL, info TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS completed_by_id ON completed_tasks (framework, id);
    CREATE INDEX IF NOT EXISTS completed_by_time ON completed_tasks (began);`;

/** The part of a record that has no column of its own. Of these only the role never changes. */
type Changing = Pick<
  TaskRecord,
  "role" | "latest" | "lastState" | "unacknowledged" | "kill" | "beganAt" | "unreachableAt"
>;

type Columns = Readonly<Record<string, SqlStorageValue>>;
interface DetailRow extends Columns {
  readonly info: string;
  readonly statuses: string;
}
interface PastRow extends Columns {
  readonly place: number;
  readonly framework: FrameworkId;
  readonly id: TaskId;
  readonly agent: AgentId;
  readonly resources: string;
  readonly state: TaskState;
  readonly began: number;
}
const PAST = "place, framework, id, agent, resources, state, began";

export class TaskTables implements TaskStorage {
  readonly #sql: SqlStorage;
  /** Of the frameworks whose tasks have ended lately: how long their history is, and where its oldest are. */
  readonly #histories = new Map<FrameworkId, { length: number; oldest: readonly number[] }>();
  /** Never one that was used before, even if the newest row is gone: whoever reads the history in pages goes by it. */
  #nextPlace: number | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  #rows<Row extends Columns>(query: string, ...bindings: readonly SqlStorageValue[]): Row[] {
    return this.#sql.exec<Row>(query, ...bindings).toArray();
  }

  detail(frameworkId: FrameworkId, taskId: TaskId): TaskDetail | undefined {
    const query = "SELECT info, statuses FROM tasks WHERE framework = ? AND id = ?";
    const [row] = this.#rows<DetailRow>(query, frameworkId, taskId);
    return row === undefined ? undefined : detailOf(row);
  }

  past(frameworkId: FrameworkId, taskId: TaskId): readonly CompletedTask[] {
    const query = `SELECT ${PAST}, info, statuses FROM completed_tasks WHERE framework = ? AND id = ? ORDER BY place DESC`;
    return this.#rows<PastRow & DetailRow>(query, frameworkId, taskId).map((row) => ({
      ...pastOf(row),
      detail: detailOf(row),
    }));
  }

  shown(frameworkId: FrameworkId, taskIds: readonly TaskId[]): readonly (string | undefined)[] {
    const found: (string | undefined)[] = taskIds.map(() => undefined);
    // CROSS JOIN is SQLite's word for "in this order": the other way round it reads all tasks for each of these.
    const query = `SELECT at, shown FROM (SELECT key AS at, value AS wanted FROM json_each(?))
      CROSS JOIN tasks ON framework = ? AND id = wanted`;
    const rows = this.#sql.exec<{ at: number; shown: string }>(query, JSON.stringify(taskIds), frameworkId);
    for (const { at, shown } of rows) found[at] = shown;
    return found;
  }

  lastPlace(): number {
    return this.#rows<{ place: number | null }>("SELECT MAX(place) AS place FROM completed_tasks")[0]?.place ?? 0;
  }

  shownPast(
    frameworkId: FrameworkId,
    { after, upTo, limit }: { readonly after: number; readonly upTo: number; readonly limit: number },
  ): readonly ShownTask[] {
    // The places first, by the index alone.
    const query = `SELECT ${PAST}, shown FROM completed_tasks WHERE place IN (
      SELECT place FROM completed_tasks WHERE framework = ? AND place > ? AND place <= ? ORDER BY place LIMIT ?) ORDER BY place`;
    return this.#rows<PastRow & { shown: string }>(query, frameworkId, after, upTo, limit).map(shownOf);
  }

  pastKeys({ frameworkId, taskId, order, limit }: Parameters<TaskStorage["pastKeys"]>[0]): readonly PastKey[] {
    const wanted = [
      ...(frameworkId === undefined ? [] : [["framework = ?", frameworkId] as const]),
      ...(taskId === undefined ? [] : [["id = ?", taskId] as const]),
    ];
    const where = wanted.length === 0 ? "" : `WHERE ${wanted.map(([condition]) => condition).join(" AND ")}`;
    const by = order === "asc" ? "began, place" : "began DESC, place DESC";
    const query = `SELECT place, began FROM completed_tasks ${where} ORDER BY ${by} LIMIT ?`;
    const rows = this.#rows<{ place: number; began: number }>(query, ...wanted.map(([, value]) => value), limit);
    return rows.map(({ place, began }) => ({ place, beganAt: began }));
  }

  shownAt(places: readonly number[]): readonly ShownTask[] {
    const query = `SELECT ${PAST}, shown FROM (SELECT key AS at, value AS wanted FROM json_each(?))
      CROSS JOIN completed_tasks ON place = wanted ORDER BY at`;
    return this.#rows<PastRow & { shown: string }>(query, JSON.stringify(places)).map(shownOf);
  }

  apply({ tasks, completed, forgotten }: TaskChanges): void {
    for (const { frameworkId, taskId, record, detail } of tasks) {
      if (record === undefined) this.#sql.exec("DELETE FROM tasks WHERE framework = ? AND id = ?", frameworkId, taskId);
      else if (detail === undefined) {
        const query = "UPDATE tasks SET record = ? WHERE framework = ? AND id = ?";
        this.#sql.exec(query, recordText(record), frameworkId, taskId);
      } else this.#save(record, detail);
    }
    for (const task of completed) this.#complete(task);
    for (const id of forgotten) {
      for (const table of ["tasks", "completed_tasks"]) this.#sql.exec(`DELETE FROM ${table} WHERE framework = ?`, id);
      this.#histories.delete(id);
    }
  }

  #save(record: TaskRecord, detail: TaskDetail): void {
    // Not REPLACE: what is changed in its place costs no entry of the index.
    this.#sql.exec(
      `INSERT INTO tasks (framework, id, agent, resources, record, shown, statuses, info) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (framework, id) DO UPDATE SET agent = excluded.agent, resources = excluded.resources,
          record = excluded.record, shown = excluded.shown, statuses = excluded.statuses, info = excluded.info`,
      record.frameworkId,
      record.taskId,
      record.agentId,
      resourcesText(record.resources),
      recordText(record),
      ...detailColumns(detail),
    );
  }

  #complete({ frameworkId, taskId, agentId, resources, state, beganAt, detail }: CompletedTask): void {
    this.#nextPlace ??= this.lastPlace() + 1;
    this.#sql.exec(
      `INSERT INTO completed_tasks (${PAST}, shown, statuses, info) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      this.#nextPlace++,
      frameworkId,
      taskId,
      agentId,
      resourcesText(resources),
      state,
      beganAt,
      ...detailColumns(detail),
    );
    this.#dropOldest(frameworkId);
  }

  #dropOldest(frameworkId: FrameworkId): void {
    const known = this.#histories.get(frameworkId);
    const history = known ?? { length: this.#length(frameworkId), oldest: [] };
    if (known === undefined) this.#histories.set(frameworkId, history);
    else history.length += 1;
    for (; history.length > COMPLETED_TASKS_MAX; history.length -= 1) {
      if (history.oldest.length === 0) {
        const query = "SELECT place FROM completed_tasks WHERE framework = ? ORDER BY place LIMIT ?";
        const rows = this.#rows<{ place: number }>(query, frameworkId, OLDEST_READ);
        history.oldest = rows.map(({ place }) => place);
      }
      const [place = 0, ...rest] = history.oldest;
      history.oldest = rest;
      this.#sql.exec("DELETE FROM completed_tasks WHERE place = ?", place);
    }
  }

  #length(frameworkId: FrameworkId): number {
    const query = "SELECT COUNT(*) AS length FROM completed_tasks WHERE framework = ?";
    return this.#rows<{ length: number }>(query, frameworkId)[0]?.length ?? 0;
  }

  *records(): Iterable<TaskRecord> {
    // Each row brings its ids as texts of their own: all tasks of a framework, and of an agent, keep one.
    const ids = new Map<string, string>();
    const same = <Text extends string>(id: Text): Text => {
      const known = ids.get(id);
      if (known === undefined) ids.set(id, id);
      return (known ?? id) as Text;
    };
    const query = "SELECT framework, id, agent, resources, record FROM tasks";
    for (const row of this.#sql.exec<{
      framework: FrameworkId;
      id: TaskId;
      agent: AgentId;
      resources: string;
      record: string;
    }>(query)) {
      const changing = JSON.parse(row.record) as Changing;
      const { role, latest, lastState, unacknowledged, kill, beganAt, unreachableAt } = changing;
      yield {
        taskId: row.id,
        frameworkId: same(row.framework),
        agentId: same(row.agent),
        role: same(role),
        resources: resourceSetOf(row.resources),
        latest: constantState(latest),
        lastState: lastState === undefined ? undefined : constantState(lastState),
        unacknowledged,
        kill,
        beganAt,
        unreachableAt,
      };
    }
  }

  clear(): void {
    this.#sql.exec("DELETE FROM tasks");
    this.#sql.exec("DELETE FROM completed_tasks");
    this.#histories.clear();
  }
}

function recordText({ role, latest, lastState, unacknowledged, kill, beganAt, unreachableAt }: TaskRecord): string {
  return JSON.stringify({ role, latest, lastState, unacknowledged, kill, beganAt, unreachableAt } satisfies Changing);
}

const detailOf = ({ info, statuses }: DetailRow): TaskDetail => ({
  info: JSON.parse(info) as TaskInfo,
  statuses: JSON.parse(statuses) as TaskStatus[],
});

const detailColumns = (detail: TaskDetail): readonly [shown: string, statuses: string, info: string] => [
  detailText(detail),
  JSON.stringify(detail.statuses),
  JSON.stringify(detail.info),
];

const pastOf = ({ framework, id, agent, resources, state, began }: PastRow): Omit<CompletedTask, "detail"> => ({
  frameworkId: framework,
  taskId: id,
  agentId: agent,
  resources: resourceSetOf(resources),
  state,
  beganAt: began,
});

const shownOf = (row: PastRow & { readonly shown: string }): ShownTask => ({
  ...pastOf(row),
  place: row.place,
  shown: row.shown,
});
