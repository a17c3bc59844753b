// MasterDO's SQLite tables: a cache of one epoch, so that a restart of the object needs no re-registration. Written in one
// transaction per turn, before any effect of that turn leaves. Wiped in the transaction that stores another epoch.
import { type Millis, toSeconds } from "#base/time.ts";
import type { AgentId, Epoch, FrameworkId, MasterId, TaskId } from "#protocol/ids.ts";
import { DEFAULT_ROLE } from "#protocol/roles.ts";
import type { Resource } from "#protocol/resource.ts";
import type { TaskInfo, TaskState, TaskStatus } from "#protocol/task.ts";
import type { Ballot } from "../log/ballot.ts";
import type { ClusterId, Electorate } from "../log/entry.ts";
import { toResources } from "#resources/resources.ts";
import { executorEntry } from "../master/executors.ts";
import { resourceSet } from "../master/resource-sets.ts";
import {
  clearMarks,
  setConnection,
  type AgentRecord,
  type ExecutorRecord,
  type FrameworkRecord,
  type Master,
  type OperationRecord,
  type OrderChange,
  type PendingOrder,
  type TaskRecord,
} from "../master/state.ts";
import { addTaskRecord } from "../master/task-records.ts";
import { newTally, take } from "../master/tally.ts";
import { taskChanges, type TaskStorage } from "../master/task-store.ts";
import { TASK_TABLES, TaskTables } from "./task-tables.ts";

/** Schema 1 kept these without rowids: rows of a kilobyte make such a tree deep, and each insertion six times as dear. */
const WITHOUT_ROWID_IN_1 = ["agents", "orders"] as const;
/** Schemas 1 and 2 kept these as JSON. */
const JSON_UNTIL_2 = ["tasks", "completed_tasks"] as const;

/** Version of the tables; a build that finds a newer one refuses to run on it. */
const SCHEMA_VERSION = 3;

/** Letters of one row: at three bytes each they fit the platform's 2 MB. An agent with many executors and operations takes several. */
export const ROW_LETTERS_MAX = 512 * 1024;

interface Meta {
  schema: number;
  ballot: Ballot;
  clusterId: ClusterId;
  /** The bootstrap has succeeded: nothing makes this cluster again. */
  bootstrapped: true;
  /** The newest membership of the log that an instance knew. */
  electorate: Electorate;
  epoch: { readonly epoch: Epoch; readonly masterId: MasterId; readonly electedAt: Millis };
  /** See the master's `recoveredDeadline` and `recoveredOf`. */
  recovery: { readonly deadline: Millis; readonly of: number | undefined };
  next: { readonly agent: number; readonly framework: number; readonly offer: number };
}

/** Rows of schema 1 have no deadline; of schemas 1 and 2 no `total`, `executors` and `operations`. */
interface StoredAgent extends Omit<AgentRecord, "system" | "orders" | "total" | "executors" | "operations"> {
  readonly total?: readonly Resource[];
  readonly executors?: readonly Pick<ExecutorRecord, "frameworkId" | "info" | "role">[];
  readonly operations?: readonly OperationRecord[];
}

/** Offer ids that one instance may give before it stores how far it came: the next instance begins beyond them. */
const OFFERS_RESERVED = 1_000_000;
interface StoredFramework extends Omit<
  FrameworkRecord,
  "tasks" | "unreachableTasks" | "used" | "suppressedRoles" | "undelivered"
> {
  readonly completed: boolean;
  /** Schemas 1 and 2 have none. */
  readonly suppressedRoles?: readonly string[];
}

/** A task as schemas 1 and 2 have it: whole, in memory as in its row. */
interface TaskOf2 {
  readonly frameworkId: FrameworkId;
  readonly agentId: AgentId;
  readonly info: TaskInfo;
  readonly latest: TaskState;
  readonly statuses: readonly TaskStatus[];
  readonly unacknowledged?: TaskStatus;
  readonly kill?: TaskRecord["kill"];
  readonly launchedAt: Millis;
  readonly unreachableAt?: Millis;
}

export class MasterTables {
  readonly #sql: SqlStorage;
  readonly #storage: DurableObjectStorage;
  readonly tasks: TaskStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.tasks = new TaskTables(storage.sql);
    storage.transactionSync(() => this.#migrate());
  }

  /** Forward from any older schema, in one transaction. */
  #migrate(): void {
    this.#sql.exec("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID");
    const schema = this.meta("schema");
    if (schema === SCHEMA_VERSION) return;
    if (schema !== undefined && schema > SCHEMA_VERSION)
      throw new Error(
        `these tables have schema ${schema}, newer than this build's ${SCHEMA_VERSION}: deploy the newer build`,
      );
    const old = [...(schema === 1 ? WITHOUT_ROWID_IN_1 : []), ...(schema === undefined ? [] : JSON_UNTIL_2)];
    for (const table of old) this.#sql.exec(`ALTER TABLE ${table} RENAME TO old_${table}`);
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS agents (id TEXT PRIMARY KEY, value TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS agent_rests (agent TEXT, part INTEGER, value TEXT NOT NULL, PRIMARY KEY (agent, part));
      CREATE TABLE IF NOT EXISTS orders (agent TEXT, sequence INTEGER, value TEXT NOT NULL, PRIMARY KEY (agent, sequence));
      CREATE TABLE IF NOT EXISTS frameworks (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS undelivered (place INTEGER PRIMARY KEY, framework TEXT NOT NULL, task TEXT NOT NULL, value TEXT NOT NULL,
        UNIQUE (framework, task));
      ${TASK_TABLES}`);
    if (schema === 1)
      for (const table of WITHOUT_ROWID_IN_1) this.#sql.exec(`INSERT INTO ${table} SELECT * FROM old_${table}`);
    if (schema !== undefined) this.#takeOverTasks();
    for (const table of old) this.#sql.exec(`DROP TABLE old_${table}`);
    this.setMeta("schema", SCHEMA_VERSION);
  }

  #takeOverTasks(): void {
    const roles = new Map<FrameworkId, string>();
    for (const { id, info } of this.#rows<StoredFramework>("SELECT value FROM frameworks"))
      roles.set(id, info.role ?? info.roles[0] ?? DEFAULT_ROLE);
    const roleOf = (task: TaskOf2): string => roles.get(task.frameworkId) ?? DEFAULT_ROLE;
    for (const task of this.#rows<TaskOf2>("SELECT value FROM old_tasks"))
      this.tasks.apply({ tasks: [rowOf(task, roleOf(task))], completed: [], forgotten: [] });
    for (const task of this.#rows<TaskOf2>("SELECT value FROM old_completed_tasks ORDER BY place")) {
      const { frameworkId, taskId, record, detail } = rowOf(task, roleOf(task));
      const { agentId, latest: state, beganAt, resources } = record;
      const completed = { frameworkId, taskId, agentId, state, beganAt, resources, detail };
      this.tasks.apply({ tasks: [], completed: [completed], forgotten: [] });
    }
  }

  meta<Name extends keyof Meta>(name: Name): Meta[Name] | undefined {
    const row = this.#sql.exec<{ value: string }>("SELECT value FROM meta WHERE name = ?", name).toArray()[0];
    return row === undefined ? undefined : (JSON.parse(row.value) as Meta[Name]);
  }

  setMeta<Name extends keyof Meta>(name: Name, value: Meta[Name]): void {
    this.#sql.exec("INSERT OR REPLACE INTO meta VALUES (?, ?)", name, JSON.stringify(value));
  }

  /** A new epoch begins: nothing of an older one may serve again. */
  beginEpoch(epoch: Meta["epoch"]): void {
    this.#storage.transactionSync(() => {
      for (const table of ["agents", "agent_rests", "orders", "frameworks", "undelivered"])
        this.#sql.exec(`DELETE FROM ${table}`);
      this.tasks.clear();
      this.setMeta("epoch", epoch);
      this.#sql.exec("DELETE FROM meta WHERE name = 'recovery'");
      this.setMeta("next", { agent: 0, framework: 0, offer: 0 });
    });
  }

  /** What is here must never serve again: the next leader, also this candidate, begins an epoch of its own. */
  endEpoch(): void {
    this.#sql.exec("DELETE FROM meta WHERE name = 'epoch'");
  }

  load(master: Master): void {
    const next = this.meta("next");
    master.nextAgent = next?.agent ?? 0;
    master.nextFramework = next?.framework ?? 0;
    // Offers are not stored, but an id that was given must not come back with another meaning.
    master.nextOffer = (next?.offer ?? 0) + OFFERS_RESERVED;
    this.#saveNext(master);
    const recovery = this.meta("recovery");
    if (recovery !== undefined) {
      master.recoveredDeadline = recovery.deadline;
      master.recoveredOf = recovery.of;
    }
    for (const stored of this.#storedAgents()) {
      const agent = agentOf(stored);
      master.agents.set(agent.agentId, agent);
      master.agentByHost.set(agent.hostKey, agent.agentId);
      setConnection(master, agent, stored.connection, master.startedAt);
    }
    for (const { agent, value } of this.#sql.exec<{ agent: AgentId; value: string }>(
      "SELECT agent, value FROM orders ORDER BY agent, sequence",
    )) {
      master.agents.get(agent)?.orders.push(JSON.parse(value) as PendingOrder);
      master.ordered.add(agent);
    }
    for (const { completed, ...stored } of this.#rows<StoredFramework>("SELECT value FROM frameworks")) {
      const framework: FrameworkRecord = {
        ...stored,
        tasks: new Map(),
        unreachableTasks: new Map(),
        used: newTally(),
        suppressedRoles: new Set(stored.suppressedRoles),
        undelivered: new Map(),
      };
      if (completed) master.completedFrameworks.push(framework);
      else master.frameworks.set(framework.id, framework);
    }
    for (const { framework, task, value } of this.#sql.exec<{ framework: FrameworkId; task: TaskId; value: string }>(
      "SELECT framework, task, value FROM undelivered ORDER BY place",
    )) {
      master.frameworks.get(framework)?.undelivered.set(task, JSON.parse(value) as TaskStatus);
    }
    for (const agent of master.agents.values()) {
      for (const { frameworkId, resources } of agent.executors.values()) {
        const framework = master.frameworks.get(frameworkId);
        if (framework !== undefined) take(framework.used, resources);
      }
    }
    // The oldest is forgotten first.
    master.completedFrameworks.sort((a, b) => removedAt(a) - removedAt(b));
    for (const task of this.tasks.records()) {
      const framework = master.frameworks.get(task.frameworkId);
      if (framework === undefined) continue;
      if (task.unreachableAt === undefined) addTaskRecord(master, framework, task);
      else framework.unreachableTasks.set(task.taskId, task);
    }
    clearMarks(master);
  }

  *#storedAgents(): Iterable<StoredAgent> {
    const rests = new Map<string, string>();
    for (const { agent, value } of this.#sql.exec<{ agent: string; value: string }>(
      "SELECT agent, value FROM agent_rests ORDER BY agent, part",
    ))
      rests.set(agent, (rests.get(agent) ?? "") + value);
    for (const { id, value } of this.#sql.exec<{ id: string; value: string }>("SELECT id, value FROM agents"))
      yield JSON.parse(value + (rests.get(id) ?? "")) as StoredAgent;
  }

  *#rows<T>(query: string): Iterable<T> {
    for (const { value } of this.#sql.exec<{ value: string }>(query)) yield JSON.parse(value) as T;
  }

  /** Writes what is marked. */
  save(master: Master): void {
    const { agents, orders, frameworks, tasks, completed, undelivered, nextIds, recovery } = master.marked;
    const marks = agents.size + orders.length + frameworks.size + tasks.size + completed.length + undelivered.length;
    if (marks === 0 && !nextIds && !recovery) return;
    this.#storage.transactionSync(() => {
      if (nextIds) this.#saveNext(master);
      if (recovery) this.setMeta("recovery", { deadline: master.recoveredDeadline, of: master.recoveredOf });
      for (const change of orders) this.#saveOrder(change);
      for (const id of agents) this.#saveAgent(id, master.agents.get(id));
      for (const id of frameworks) this.#saveFramework(master, id);
      this.tasks.apply(taskChanges(master));
      for (const { frameworkId, taskId } of undelivered)
        this.#saveUndelivered(frameworkId, taskId, master.frameworks.get(frameworkId)?.undelivered.get(taskId));
    });
    clearMarks(master);
  }

  #saveNext(master: Master): void {
    this.setMeta("next", { agent: master.nextAgent, framework: master.nextFramework, offer: master.nextOffer });
  }

  #saveOrder(change: OrderChange): void {
    const { agentId } = change;
    if (change.type === "voided") this.#sql.exec("DELETE FROM orders WHERE agent = ?", agentId);
    else if (change.type === "acted")
      this.#sql.exec("DELETE FROM orders WHERE agent = ? AND sequence <= ?", agentId, change.sequence);
    else {
      const { order } = change;
      this.#sql.exec("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", agentId, order.sequence, JSON.stringify(order));
    }
  }

  #saveAgent(id: AgentId, agent: AgentRecord | undefined): void {
    this.#sql.exec("DELETE FROM agent_rests WHERE agent = ?", id);
    if (agent === undefined) {
      this.#sql.exec("DELETE FROM agents WHERE id = ?", id);
      return;
    }
    const { system: _, orders: __, ...rest } = agent;
    const stored: StoredAgent = {
      ...rest,
      total: toResources(agent.total),
      executors: [...agent.executors.values()].map(({ frameworkId, info, role }) => ({ frameworkId, info, role })),
      operations: [...agent.operations.values()],
    };
    const [first = "", ...more] = inRows(JSON.stringify(stored));
    this.#sql.exec("INSERT OR REPLACE INTO agents VALUES (?, ?)", id, first);
    for (const [part, value] of more.entries())
      this.#sql.exec("INSERT INTO agent_rests VALUES (?, ?, ?)", id, part, value);
  }

  #saveUndelivered(frameworkId: FrameworkId, taskId: TaskId, status: TaskStatus | undefined): void {
    this.#sql.exec("DELETE FROM undelivered WHERE framework = ? AND task = ?", frameworkId, taskId);
    if (status === undefined) return;
    const query = "INSERT INTO undelivered (framework, task, value) VALUES (?, ?, ?)";
    this.#sql.exec(query, frameworkId, taskId, JSON.stringify(status));
  }

  #saveFramework(master: Master, id: FrameworkId): void {
    const live = master.frameworks.get(id);
    const framework = live ?? master.completedFrameworks.find((completed) => completed.id === id);
    if (framework === undefined) {
      this.#sql.exec("DELETE FROM frameworks WHERE id = ?", id);
      return;
    }
    const { tasks: _, unreachableTasks: __, used: ___, undelivered: ____, suppressedRoles, ...rest } = framework;
    const stored: StoredFramework = {
      ...rest,
      suppressedRoles: [...suppressedRoles],
      completed: live === undefined,
    };
    this.#sql.exec("INSERT OR REPLACE INTO frameworks VALUES (?, ?)", id, JSON.stringify(stored));
  }
}

const removedAt = ({ status }: FrameworkRecord): number => (status.state === "removed" ? status.at : 0);

/** Parts of at most {@link ROW_LETTERS_MAX}; none ends in the middle of a letter, which SQLite would not keep. */
function inRows(text: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    let end = Math.min(at + ROW_LETTERS_MAX, text.length);
    if (end < text.length && /[\ud800-\udbff]/.test(text[end - 1] ?? "")) end -= 1;
    parts.push(text.slice(at, end));
    at = end;
  }
  return parts;
}

function agentOf({ total, executors = [], operations = [], ...stored }: StoredAgent): AgentRecord {
  return {
    ...stored,
    connection: undefined,
    orders: [],
    system: undefined,
    total: resourceSet(total ?? stored.info.resources),
    executors: new Map(executors.map(executorEntry)),
    operations: new Map(operations.map((operation) => [operation.uuid, operation])),
  };
}

function rowOf({ info, statuses, unacknowledged, ...task }: TaskOf2, role: string) {
  const { frameworkId, agentId, latest, kill, launchedAt, unreachableAt } = task;
  const taskId = info.task_id.value;
  const { uuid } = unacknowledged ?? {};
  const record: TaskRecord = {
    taskId,
    frameworkId,
    agentId,
    role,
    resources: resourceSet(info.resources),
    latest,
    lastState: statuses.at(-1)?.state,
    unacknowledged:
      unacknowledged === undefined || uuid === undefined ? undefined : { uuid, state: unacknowledged.state },
    kill,
    beganAt: statuses[0]?.timestamp ?? toSeconds(launchedAt),
    unreachableAt,
  };
  return { frameworkId, taskId, record, detail: { info, statuses } };
}
