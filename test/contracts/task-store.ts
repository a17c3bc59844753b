// What every TaskStorage must do, run on each implementation: in memory here, on an object's SQLite under workerd.
import { describe, expect, test } from "vitest";
import type { AgentId, FrameworkId, TaskId } from "#protocol/ids.ts";
import type { TaskInfo, TaskState } from "#protocol/task.ts";
import { millis } from "#base/time.ts";
import { resourceSet } from "../../src/master/resource-sets.ts";
import type { TaskRecord } from "../../src/master/state.ts";
import {
  COMPLETED_TASKS_MAX,
  type CompletedTask,
  type TaskChanges,
  type TaskDetail,
  type TaskStorage,
} from "../../src/master/task-store.ts";
import { detailText } from "../../src/master/task-text.ts";

export interface StoreUnderTest {
  readonly store: TaskStorage;
  /** The same rows, opened anew. */
  readonly reopen: () => TaskStorage;
}

const F = "f-0000" as FrameworkId;
const G = "f-0001" as FrameworkId;
const AGENT = "agent-1" as AgentId;

export function detail(id: string, states: readonly TaskState[] = [], more: Partial<TaskInfo> = {}): TaskDetail {
  const info = {
    name: `name of ${id}`,
    task_id: { value: id as TaskId },
    agent_id: { value: AGENT },
    resources: [
      { name: "cpus", type: "SCALAR", scalar: { value: 0.5 } },
      { name: "ports", type: "RANGES", ranges: { range: [{ begin: 31_000, end: 31_001 }] } },
    ],
    command: { value: "true", arguments: [], uris: [], user: "nobody" },
    labels: { labels: [{ key: "k", value: "'\"\ud83d\ude00" }, { key: "empty" }] },
    ...more,
  } as TaskInfo;
  const statuses = states.map((state, i) => ({
    task_id: info.task_id,
    state,
    timestamp: i + 0.25,
    uuid: `uuid-${id}-${i}`,
    message: "\u0000 \u2028",
  }));
  return { info, statuses };
}

export function record(frameworkId: FrameworkId, id: string, more: Partial<TaskRecord> = {}): TaskRecord {
  return {
    taskId: id as TaskId,
    frameworkId,
    agentId: AGENT,
    role: "ops",
    resources: resourceSet(detail(id).info.resources),
    latest: "TASK_STAGING",
    lastState: undefined,
    unacknowledged: undefined,
    kill: undefined,
    beganAt: 1,
    unreachableAt: undefined,
    ...more,
  };
}

const change = (
  given: TaskRecord | undefined,
  of: TaskDetail | undefined,
  key = given,
): TaskChanges["tasks"][number] => {
  if (key === undefined) throw new Error("a change needs a task");
  return { frameworkId: key.frameworkId, taskId: key.taskId, record: given, detail: of };
};

export const changes = (more: Partial<TaskChanges>): TaskChanges => ({
  tasks: [],
  completed: [],
  forgotten: [],
  ...more,
});

export function completed(frameworkId: FrameworkId, id: string, more: Partial<CompletedTask> = {}): CompletedTask {
  const of = detail(id, ["TASK_RUNNING", "TASK_FINISHED"]);
  return {
    frameworkId,
    taskId: id as TaskId,
    agentId: AGENT,
    state: "TASK_FINISHED",
    beganAt: 1,
    resources: resourceSet(of.info.resources),
    detail: of,
    ...more,
  };
}

const WHOLE = { after: 0, upTo: Number.MAX_SAFE_INTEGER, limit: Number.MAX_SAFE_INTEGER };
const idsOf = (tasks: Iterable<{ readonly taskId: TaskId }>): string[] => [...tasks].map(({ taskId }) => taskId);

export function taskStoreContract(use: (run: (tested: StoreUnderTest) => void) => void | Promise<void>): void {
  describe("TaskStorage: tasks in the books", () => {
    test("[M50] a record and its detail come back as they were saved", () =>
      use(({ store, reopen }) => {
        const plain = record(F, "plain");
        const full = record(F, "full", {
          latest: "TASK_FINISHED",
          lastState: "TASK_RUNNING",
          unacknowledged: { uuid: "u", state: "TASK_RUNNING" },
          kill: { policy: { grace_period: { nanoseconds: 5 } } },
          beganAt: 1_700_000_000.125,
          unreachableAt: millis(77),
        });
        const strange = record(G, "'; DROP TABLE tasks; --");
        const saved = [plain, full, strange];
        const details = [detail("plain"), detail("full", ["TASK_STARTING", "TASK_RUNNING"]), detail("x")];
        store.apply(changes({ tasks: saved.map((one, i) => change(one, details[i])) }));
        for (const opened of [store, reopen()]) {
          expect([...opened.records()].toSorted((a, b) => (a.taskId < b.taskId ? -1 : 1))).toEqual([
            strange,
            full,
            plain,
          ]);
          for (const [i, one] of saved.entries())
            expect(opened.detail(one.frameworkId, one.taskId)).toEqual(JSON.parse(JSON.stringify(details[i])));
          expect(opened.detail(G, "plain" as TaskId)).toBeUndefined();
        }
        // Not only equal: all that ask for the same share one.
        const [one, other] = [...reopen().records()];
        expect(one?.resources).toBe(other?.resources);
      }));

    test("[M50] a change of the record leaves the detail; a change of both replaces both; what left is gone", () =>
      use(({ store, reopen }) => {
        const first = record(F, "t");
        store.apply(changes({ tasks: [change(first, detail("t")), change(record(F, "other"), detail("other"))] }));
        store.apply(changes({ tasks: [change({ ...first, latest: "TASK_RUNNING" }, undefined)] }));
        expect([...reopen().records()].map(({ latest }) => latest)).toEqual(["TASK_RUNNING", "TASK_STAGING"]);
        expect(store.detail(F, first.taskId)?.info.name).toBe("name of t");
        const again = detail("t", ["TASK_RUNNING"], { name: "another" });
        store.apply(changes({ tasks: [change({ ...first, agentId: "agent-2" as AgentId }, again)] }));
        expect(reopen().detail(F, first.taskId)).toMatchObject({ info: { name: "another" }, statuses: [{}] });
        expect([...reopen().records()].map(({ agentId }) => agentId)).toEqual(["agent-2", AGENT]);
        store.apply(changes({ tasks: [change(undefined, detail("t"), first)] }));
        expect(idsOf(reopen().records())).toEqual(["other"]);
        expect(store.detail(F, first.taskId)).toBeUndefined();
      }));

    test("[M53] the rendered details come in the order that was asked for, with holes where there is no row", () =>
      use(({ store }) => {
        const ids = Array.from({ length: 300 }, (_, i) => `t${i}`);
        store.apply(changes({ tasks: ids.map((id) => change(record(F, id), detail(id, ["TASK_RUNNING"]))) }));
        store.apply(changes({ tasks: [change(record(G, "t0"), detail("of the other framework"))] }));
        const asked = ["t299", "none", "t0", "t17"] as TaskId[];
        expect(store.shown(F, asked)).toEqual(
          asked.map((id) => (id === "none" ? undefined : detailText(detail(id, ["TASK_RUNNING"])))),
        );
        expect(store.shown(F, [])).toEqual([]);
      }));
  });

  describe("TaskStorage: the history", () => {
    test("[M52] a completed task comes back, also when its id is in use again, or was used before", () =>
      use(({ store, reopen }) => {
        const before = completed(F, "t", { state: "TASK_FAILED", detail: detail("t", ["TASK_FAILED"]) });
        const after = completed(F, "t", { beganAt: 2.5 });
        store.apply(changes({ completed: [before] }));
        store.apply(changes({ completed: [after, completed(G, "t")], tasks: [change(record(F, "t"), detail("t"))] }));
        for (const opened of [store, reopen()]) {
          expect(opened.past(F, "t" as TaskId)).toEqual(
            JSON.parse(JSON.stringify([after, before])).map((task: object, i: number) => ({
              ...task,
              resources: [after, before][i]?.resources,
            })),
          );
          expect(opened.past(F, "none" as TaskId)).toEqual([]);
          expect(idsOf(opened.records())).toEqual(["t"]);
          const [older, newer, ...more] = opened.shownPast(F, WHOLE);
          expect(more).toEqual([]);
          expect([older?.state, newer?.state]).toEqual(["TASK_FAILED", "TASK_FINISHED"]);
          expect(newer?.shown).toBe(detailText(after.detail));
          expect(newer?.resources).toBe(after.resources);
        }
      }));

    test("[M19] [M52] of each framework the newest are kept, whoever begins anew in between", () =>
      use(({ store, reopen }) => {
        const end = (to: TaskStorage, from: number, count: number): void =>
          to.apply(changes({ completed: Array.from({ length: count }, (_, i) => completed(F, `t${from + i}`)) }));
        store.apply(changes({ completed: [completed(G, "of another")] }));
        end(store, 0, COMPLETED_TASKS_MAX - 1);
        expect(store.shownPast(F, WHOLE)).toHaveLength(COMPLETED_TASKS_MAX - 1);
        const again = reopen();
        end(again, COMPLETED_TASKS_MAX - 1, 150);
        end(again, COMPLETED_TASKS_MAX + 149, 1);
        const kept = idsOf(again.shownPast(F, WHOLE));
        expect([kept.length, kept[0], kept.at(-1)]).toEqual([
          COMPLETED_TASKS_MAX,
          "t150",
          `t${COMPLETED_TASKS_MAX + 149}`,
        ]);
        expect(idsOf(again.shownPast(G, WHOLE))).toEqual(["of another"]);
      }));

    test("[M52] the history is read in pages, up to where it was", () =>
      use(({ store }) => {
        expect(store.lastPlace()).toBe(0);
        store.apply(changes({ completed: [completed(G, "g")] }));
        store.apply(changes({ completed: ["a", "b", "c", "d"].map((id) => completed(F, id)) }));
        const upTo = store.lastPlace();
        store.apply(changes({ completed: [completed(F, "later"), completed(G, "later")] }));
        const pages: string[][] = [];
        for (let after = 0; ;) {
          const page = store.shownPast(F, { after, upTo, limit: 3 });
          const last = page.at(-1);
          if (last === undefined) break;
          pages.push(idsOf(page));
          after = last.place;
        }
        expect(pages).toEqual([["a", "b", "c"], ["d"]]);
      }));

    test("[M52] a place is never used twice, though the newest may be forgotten", () =>
      use(({ store }) => {
        store.apply(changes({ completed: [completed(F, "a"), completed(G, "b")] }));
        const upTo = store.lastPlace();
        store.apply(changes({ forgotten: [G] }));
        store.apply(changes({ completed: [completed(F, "later")] }));
        expect(idsOf(store.shownPast(F, { ...WHOLE, upTo }))).toEqual(["a"]);
      }));

    test("[M52] by the time they began, of all or of some, from either end", () =>
      use(({ store }) => {
        const began = [5, 1, 4, 1.5, -3];
        store.apply(
          changes({
            completed: began.map((beganAt, i) => completed(i % 2 === 0 ? F : G, `t${i}`, { beganAt })),
          }),
        );
        const ALL = { frameworkId: undefined, taskId: undefined };
        const shown = (query: Parameters<TaskStorage["pastKeys"]>[0]): string[] =>
          idsOf(store.shownAt(store.pastKeys(query).map(({ place }) => place)));
        expect(shown({ ...ALL, order: "desc", limit: 10 })).toEqual(["t0", "t2", "t3", "t1", "t4"]);
        expect(shown({ ...ALL, order: "asc", limit: 2 })).toEqual(["t4", "t1"]);
        expect(shown({ ...ALL, frameworkId: F, order: "desc", limit: 10 })).toEqual(["t0", "t2", "t4"]);
        expect(shown({ ...ALL, taskId: "t3" as TaskId, order: "desc", limit: 10 })).toEqual(["t3"]);
        expect(shown({ frameworkId: F, taskId: "t3" as TaskId, order: "desc", limit: 10 })).toEqual([]);
        expect(store.pastKeys({ ...ALL, order: "asc", limit: 1 })).toMatchObject([{ beganAt: -3 }]);
        expect(store.shownAt([999_999])).toEqual([]);
      }));

    test("[M52] of the same moment, the order is that of their ends, or its opposite", () =>
      use(({ store }) => {
        store.apply(changes({ completed: ["a", "b", "c"].map((id) => completed(F, id)) }));
        const shown = (order: "asc" | "desc"): string[] =>
          idsOf(
            store.shownAt(
              store.pastKeys({ frameworkId: undefined, taskId: undefined, order, limit: 9 }).map(({ place }) => place),
            ),
          );
        expect([shown("asc"), shown("desc")]).toEqual([
          ["a", "b", "c"],
          ["c", "b", "a"],
        ]);
      }));
  });

  test("[M52] of a forgotten framework nothing is left, of a new epoch nothing older", () =>
    use(({ store, reopen }) => {
      const fill = (): void =>
        store.apply(
          changes({
            tasks: [F, G].map((id) => change(record(id, "t"), detail("t"))),
            completed: [completed(F, "c"), completed(G, "c")],
          }),
        );
      fill();
      store.apply(changes({ forgotten: [F] }));
      expect([...reopen().records()].map(({ frameworkId }) => frameworkId)).toEqual([G]);
      expect([store.shownPast(F, WHOLE).length, store.shownPast(G, WHOLE).length]).toEqual([0, 1]);
      fill();
      store.clear();
      expect([...reopen().records()]).toEqual([]);
      expect([store.shownPast(F, WHOLE).length, store.shownPast(G, WHOLE).length]).toEqual([0, 0]);
    }));
}
