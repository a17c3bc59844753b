// The contract of the task store on the SQLite of a real object, and tables that earlier releases have left.
import { env, runInDurableObject } from "cloudflare:test";
import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { AgentId, ClusterId, Epoch, FrameworkId, MasterId, TaskId } from "#protocol/ids.ts";
import type { MasterInfo } from "#protocol/scheduler.ts";
import { scalar } from "#resources/resources.ts";
import { emptyRegistry } from "#registrar/registry.ts";
import type { Env } from "../../src/durable-objects/env.ts";
import { MasterTables } from "../../src/durable-objects/master-tables.ts";
import { TASK_TABLES, TaskTables } from "../../src/durable-objects/task-tables.ts";
import { usedOn } from "../../src/master/usage.ts";
import { DEFAULT_SETTINGS } from "../../src/master/settings.ts";
import { newMaster, type Master } from "../../src/master/state.ts";
import { detail, taskStoreContract } from "../contracts/task-store.ts";

const { REPLICA } = env as unknown as Env;
let objects = 0;

/** An object of its own for each test, whose storage nobody else uses: no leader knows its name. Emptied: it was opened. */
const inStorage = (run: (storage: DurableObjectStorage) => void): Promise<void> =>
  runInDurableObject(REPLICA.get(REPLICA.idFromName(`tasks-${++objects}`)), (_, { storage }) => {
    storage.sql.exec("DROP TABLE IF EXISTS log_run; DROP TABLE IF EXISTS log_metadata;");
    run(storage);
  });

taskStoreContract((run) =>
  inStorage((storage) => {
    storage.sql.exec(TASK_TABLES);
    run({ store: new TaskTables(storage.sql), reopen: () => new TaskTables(storage.sql) });
  }),
);

function masterOn(tables: MasterTables): Master {
  const master = newMaster({
    masterId: "m" as MasterId,
    epoch: 7 as Epoch,
    clusterId: "cluster" as ClusterId,
    settings: DEFAULT_SETTINGS,
    registry: emptyRegistry(),
    info: {} as MasterInfo,
    store: tables.tasks,
    random: { next: () => 0 },
    startedAt: millis(1),
    electedAt: millis(1),
  });
  tables.load(master);
  return master;
}

const AGENT = "m-S0" as AgentId;
const LIVE = "m-0000" as FrameworkId;
const GONE = "m-0001" as FrameworkId;

/** A task as schemas 1 and 2 had it. */
function oldTask(frameworkId: FrameworkId, id: string, more: object): string {
  const { info, statuses } = detail(id, ["TASK_STARTING", "TASK_RUNNING"]);
  return JSON.stringify({
    frameworkId,
    agentId: AGENT,
    info,
    latest: "TASK_RUNNING",
    statuses,
    launchedAt: 5_000,
    ...more,
  });
}

const OLD_TABLES = {
  1: `CREATE TABLE agents (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE orders (agent TEXT, sequence INTEGER, value TEXT NOT NULL, PRIMARY KEY (agent, sequence)) WITHOUT ROWID;
    CREATE TABLE tasks (framework TEXT, id TEXT, value TEXT NOT NULL, PRIMARY KEY (framework, id)) WITHOUT ROWID;`,
  2: `CREATE TABLE agents (id TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE orders (agent TEXT, sequence INTEGER, value TEXT NOT NULL, PRIMARY KEY (agent, sequence));
    CREATE TABLE tasks (framework TEXT, id TEXT, value TEXT NOT NULL, PRIMARY KEY (framework, id));`,
} as const;
const OLD_TABLES_ALL = `CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE frameworks (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE completed_tasks (place INTEGER PRIMARY KEY AUTOINCREMENT, framework TEXT, id TEXT, value TEXT NOT NULL);
  CREATE INDEX completed_by_task ON completed_tasks (framework, id);`;

test.each([1, 2] as const)("[M50] the rows of schema %i are taken over", (schema) =>
  inStorage((storage) => {
    const { sql } = storage;
    sql.exec(OLD_TABLES[schema]);
    sql.exec(OLD_TABLES_ALL);
    const put = (table: string, ...values: (string | number)[]): void =>
      void sql.exec(`INSERT INTO ${table} VALUES (${values.map(() => "?").join(", ")})`, ...values);
    put("meta", "schema", String(schema));
    put("meta", "next", JSON.stringify({ agent: 4, framework: 5, offer: 6 }));
    const agent = {
      agentId: AGENT,
      hostKey: "h",
      principal: "p",
      info: { hostname: "h", port: 1, resources: [], attributes: [] },
    };
    put("agents", AGENT, JSON.stringify({ ...agent, registeredAt: 1, session: "s", confirmed: true, nextSequence: 3 }));
    put(
      "orders",
      AGENT,
      2,
      JSON.stringify({ sequence: 2, order: { type: "kill", frameworkId: LIVE, taskId: "t" }, sentAt: 1 }),
    );
    const framework = { info: { user: "u", name: "n", roles: [], capabilities: [] }, registeredAt: 1 };
    const status = { state: "disconnected", deadline: 99 };
    put("frameworks", LIVE, JSON.stringify({ ...framework, id: LIVE, status, completed: false }));
    put(
      "frameworks",
      GONE,
      JSON.stringify({ ...framework, id: GONE, status: { state: "removed", at: 9 }, completed: true }),
    );
    const unacknowledged = detail("t", ["TASK_STARTING", "TASK_RUNNING"]).statuses[1];
    put("tasks", LIVE, "t", oldTask(LIVE, "t", { unacknowledged, kill: {} }));
    put("tasks", LIVE, "away", oldTask(LIVE, "away", { unreachableAt: 7_000, statuses: [] }));
    put("completed_tasks", 10, LIVE, "old", oldTask(LIVE, "old", { latest: "TASK_FAILED" }));
    put("completed_tasks", 12, GONE, "older", oldTask(GONE, "older", { latest: "TASK_FINISHED" }));
    for (const tables of [new MasterTables(storage), new MasterTables(storage)]) {
      expect(tables.meta("schema")).toBe(3);
      const master = masterOn(tables);
      const live = master.frameworks.get(LIVE);
      expect(live?.tasks.get("t" as TaskId)).toMatchObject({
        agentId: AGENT,
        latest: "TASK_RUNNING",
        lastState: "TASK_RUNNING",
        unacknowledged: { uuid: "uuid-t-1", state: "TASK_RUNNING" },
        kill: {},
        beganAt: 0.25,
      });
      expect(live?.unreachableTasks.get("away" as TaskId)).toMatchObject({ beganAt: 5, unreachableAt: 7_000 });
      expect(scalar(usedOn(master, AGENT), "cpus")).toBe(0.5);
      expect(tables.tasks.detail(LIVE, "t" as TaskId)?.statuses).toMatchObject([
        { state: "TASK_STARTING" },
        { state: "TASK_RUNNING", uuid: "uuid-t-1" },
      ]);
      expect(tables.tasks.past(LIVE, "old" as TaskId)).toMatchObject([{ state: "TASK_FAILED", agentId: AGENT }]);
      expect(tables.tasks.past(GONE, "older" as TaskId)).toHaveLength(1);
      expect(master.completedFrameworks.map(({ id }) => id)).toEqual([GONE]);
      expect([...master.agents.keys(), ...master.ordered]).toEqual([AGENT, AGENT]);
    }
    const left = sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name LIKE 'old%'").toArray();
    expect(left).toEqual([]);
  }),
);

test("[M50] tables of a newer build are refused", () =>
  inStorage((storage) => {
    new MasterTables(storage).setMeta("schema", 4);
    expect(() => new MasterTables(storage)).toThrow("newer than this build's 3");
  }));
