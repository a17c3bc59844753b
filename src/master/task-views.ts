// Tasks as the operators' GET endpoints show them: lists that may be long. What is listed, and in which state, is taken down at once; the
// details are read while the text is made, between other turns [M53]. A task that has ended meanwhile is shown by its completed row.
import { grouped } from "#base/grouped.ts";
import type { FrameworkId, TaskId } from "#protocol/ids.ts";
import type { TaskState } from "#protocol/task.ts";
import { list, paged, type Pieces } from "./json-pieces.ts";
import type { FrameworkRecord, Master, TaskRecord } from "./state.ts";
import { assertSaved, type PastKey, type ShownTask, type TaskStore } from "./task-store.ts";
import { detailText, frameOf, taskText } from "./task-text.ts";
import { stateFor } from "./tasks.ts";

/** Tasks that are read and rendered in one piece: less than a millisecond of work. */
const TASKS_IN_PIECE = 200;

/** Tasks of one framework as they were when it was taken down. */
export interface TasksSeen {
  readonly framework: FrameworkRecord;
  readonly frame: string;
  readonly tasks: readonly TaskRecord[];
  /** Of each of them. */
  readonly states: readonly TaskState[];
}

/** What the task does only its agent knows while that is unreachable: the state is the one that the framework was told. */
const stateShown = (framework: FrameworkRecord, { latest, lastState, unreachableAt }: TaskRecord): TaskState =>
  unreachableAt === undefined ? latest : (lastState ?? stateFor(framework, "TASK_UNREACHABLE"));

export function seeTasks(framework: FrameworkRecord, records: Iterable<TaskRecord>): TasksSeen {
  const tasks = [...records];
  const states = tasks.map((task) => stateShown(framework, task));
  return { framework, frame: frameOf(framework.id), tasks, states };
}

export function* taskPieces(store: TaskStore, { framework, frame, tasks, states }: TasksSeen): Pieces {
  for (let at = 0; at < tasks.length; at += TASKS_IN_PIECE) {
    const page = tasks.slice(at, at + TASKS_IN_PIECE);
    yield liveTexts(store, framework, frame, page, states.slice(at, at + TASKS_IN_PIECE))
      .filter((text) => text !== "")
      .join(",");
  }
}

/** One for each; empty where nothing is left of the task. */
function liveTexts(
  store: TaskStore,
  framework: FrameworkRecord,
  frame: string,
  tasks: readonly TaskRecord[],
  states: readonly TaskState[],
): readonly string[] {
  const shown = store.shown(
    framework.id,
    tasks.map(({ taskId }) => taskId),
  );
  return tasks.map((task, i) => {
    const { taskId, agentId, resources, latest } = task;
    // Whose id a later task has: the row is that one's.
    const isReplaced = (framework.tasks.get(taskId) ?? framework.unreachableTasks.get(taskId)) !== task;
    const detail = (isReplaced ? undefined : shown[i]) ?? endedSince(store, framework.id, taskId);
    const state = states[i] ?? latest;
    return detail === undefined ? "" : taskText(frame, { taskId, agentId, state, resources }, detail);
  });
}

function endedSince(store: TaskStore, frameworkId: FrameworkId, taskId: TaskId): string | undefined {
  const ended = store.past(frameworkId, taskId)[0];
  return ended === undefined ? undefined : detailText(ended.detail);
}

/** What of a framework's history there is now: what ends later has been seen in the books. */
export function pastPieces(master: Master, framework: FrameworkRecord): Pieces {
  const { store } = master;
  const frame = frameOf(framework.id);
  const upTo = store.lastPlace();
  return (function* (): Pieces {
    for (let after = 0; ;) {
      const page = store.shownPast(framework.id, { after, upTo, limit: TASKS_IN_PIECE });
      yield page.map((task) => taskText(frame, task, task.shown)).join(",");
      const last = page.at(-1);
      if (last === undefined || page.length < TASKS_IN_PIECE) return;
      after = last.place;
    }
  })();
}

export interface TasksQuery {
  readonly limit: number;
  readonly offset: number;
  readonly order: "asc" | "desc";
  readonly frameworkId: FrameworkId | undefined;
  readonly taskId: TaskId | undefined;
}

interface Live {
  readonly beganAt: number;
  readonly framework: FrameworkRecord;
  readonly task: TaskRecord;
  readonly state: TaskState;
}
type Entry = Live | PastKey;

/** `/tasks`: a page of all that are known, living or not, in the order in which they began. */
export function tasksPieces(master: Master, query: TasksQuery): Pieces {
  assertSaved(master);
  const { store } = master;
  const { offset, limit, order, frameworkId, taskId } = query;
  const needed = offset + limit;
  const sign = order === "asc" ? 1 : -1;
  const live = firstOf(liveTasks(master, query), needed, sign);
  const past = store.pastKeys({ order, frameworkId, taskId, limit: needed });
  const page = [...live, ...past].toSorted((a, b) => sign * (a.beganAt - b.beganAt)).slice(offset, needed);
  const frames = new Map(
    [...master.frameworks.values(), ...master.completedFrameworks].map((one) => [one.id, frameOf(one.id)]),
  );
  return (function* (): Pieces {
    yield `{"tasks":`;
    yield* list(paged(page, TASKS_IN_PIECE, (entries) => entryTexts(store, frames, entries)));
    yield "}";
  })();
}

function liveTasks(master: Master, { frameworkId, taskId }: TasksQuery): Live[] {
  const found: Live[] = [];
  const see = (framework: FrameworkRecord, task: TaskRecord | undefined): void => {
    if (task !== undefined) found.push({ beganAt: task.beganAt, framework, task, state: stateShown(framework, task) });
  };
  for (const framework of master.frameworks.values()) {
    if (frameworkId !== undefined && framework.id !== frameworkId) continue;
    for (const tasks of [framework.tasks, framework.unreachableTasks]) {
      if (taskId !== undefined) see(framework, tasks.get(taskId));
      else for (const task of tasks.values()) see(framework, task);
    }
  }
  return found;
}

/** The first `count` in order. Numbers alone are sorted fast: a page of a hundred is not worth sorting all tasks. */
function firstOf(tasks: readonly Live[], count: number, sign: 1 | -1): readonly Live[] {
  const keys = Float64Array.from(tasks, ({ beganAt }) => sign * beganAt).toSorted();
  const last = keys[count - 1] ?? Number.POSITIVE_INFINITY;
  return tasks
    .filter(({ beganAt }) => sign * beganAt <= last)
    .toSorted((a, b) => sign * (a.beganAt - b.beganAt))
    .slice(0, count);
}

function entryTexts(
  store: TaskStore,
  frames: ReadonlyMap<FrameworkId, string>,
  entries: readonly Entry[],
): readonly string[] {
  const places = entries.flatMap((entry) => ("place" in entry ? [entry.place] : []));
  const past = new Map<number, ShownTask>(store.shownAt(places).map((task) => [task.place, task]));
  const live = new Map<TaskRecord, string>();
  const living = entries.filter((entry) => "task" in entry);
  for (const [framework, ofFramework] of grouped(living, (entry) => entry.framework)) {
    const tasks = ofFramework.map(({ task }) => task);
    const states = ofFramework.map(({ state }) => state);
    const texts = liveTexts(store, framework, frames.get(framework.id) ?? "", tasks, states);
    for (const [i, task] of tasks.entries()) live.set(task, texts[i] ?? "");
  }
  return entries.flatMap((entry) => {
    if ("task" in entry) return live.get(entry.task) ?? [];
    const task = past.get(entry.place);
    const frame = task === undefined ? undefined : frames.get(task.frameworkId);
    return task === undefined || frame === undefined ? [] : [taskText(frame, task, task.shown)];
  });
}
