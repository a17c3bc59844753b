// The part of Mesos' operator JSON that the command line reads (endpoints.md §3). Unknown members are ignored.
import type { AgentId, FrameworkId, TaskId } from "#protocol/ids.ts";
import { isTerminal, type TaskState } from "#protocol/task.ts";
import { Failure } from "./failure.ts";
import type { Plane } from "./plane.ts";

/** Scalars as numbers (mem and disk in MB), ranges and sets as text. */
export type ResourcesJson = Readonly<Record<string, number | string>>;

export interface AgentJson {
  readonly id: AgentId;
  readonly hostname: string;
  readonly active: boolean;
  readonly resources: ResourcesJson;
  readonly used_resources?: ResourcesJson;
  /** Seconds since the epoch. */
  readonly registered_time: number;
  /** There when it has registered again since. */
  readonly reregistered_time?: number;
  readonly version?: string;
}

/** An agent in the plane's own list, which has those that are not there as well. */
export interface AgentListJson {
  readonly id: AgentId;
  readonly hostname: string;
  readonly state: string;
  readonly resources?: ResourcesJson;
  readonly used_resources?: ResourcesJson;
  readonly version?: string;
}

export interface TaskJson {
  readonly id: TaskId;
  readonly name: string;
  readonly framework_id: FrameworkId;
  /** Empty for a command task. */
  readonly executor_id: string;
  readonly slave_id: AgentId;
  readonly state: TaskState;
  readonly resources: ResourcesJson;
  readonly statuses: readonly { readonly state: TaskState; readonly timestamp: number }[];
}

export interface FrameworkJson {
  readonly id: FrameworkId;
  readonly name: string;
  readonly user: string;
  readonly connected: boolean;
  /** Known from its agents only: no scheduler has subscribed to this leader. */
  readonly recovered?: boolean;
  readonly failover_timeout: number;
  readonly capabilities?: readonly string[];
  readonly role?: string;
  readonly roles?: readonly string[];
  readonly principal?: string;
  readonly labels?: readonly { readonly key: string; readonly value?: string }[];
  readonly tasks: readonly TaskJson[];
}

/** Tasks asked for at once. */
const TASKS_PAGE = 1000;

export async function listAgents(plane: Plane): Promise<readonly AgentJson[]> {
  return (await getSlaves(plane)).slaves;
}

/** Every agent of the registry. */
export function getAgents(plane: Plane): Promise<{ readonly agents: readonly AgentListJson[] }> {
  return plane.get("/mesoflare/agents");
}

/** The answer of `/slaves` as it is. */
export function getSlaves(plane: Plane): Promise<{ readonly slaves: readonly AgentJson[] }> {
  return plane.get("/slaves");
}

/**
 * Whether the agent is connected now, by a registration after `since` (ms since the epoch). A plane that has just started goes
 * by what it remembers, and calls agents active that have not come back yet.
 */
export function hasRegisteredSince({ active, registered_time, reregistered_time }: AgentJson, since: number): boolean {
  return active && (reregistered_time ?? registered_time) * 1000 >= since;
}

/** All tasks that the plane knows, ended ones included, oldest first. */
export async function listTasks(plane: Plane): Promise<readonly TaskJson[]> {
  const tasks: TaskJson[] = [];
  for (;;) {
    const path = `/tasks?order=asc&limit=${TASKS_PAGE}&offset=${tasks.length}`;
    const page = (await plane.get<{ tasks: TaskJson[] }>(path)).tasks;
    tasks.push(...page);
    if (page.length < TASKS_PAGE) return tasks;
  }
}

/** The task that a person means by `wanted`: see {@link chooseTask}. */
export async function findTask(plane: Plane, wanted: string): Promise<TaskJson> {
  return chooseTask(await listTasks(plane), wanted);
}

/**
 * The task with this id, else the one with this name that has not ended, else the newest that had it; `tasks` are oldest
 * first. Throws a {@link Failure} when there is none, or when more than one may be meant.
 */
export function chooseTask(tasks: readonly TaskJson[], wanted: string): TaskJson {
  const byId = tasks.filter(({ id }) => id === wanted);
  const matches = byId.length > 0 ? byId : tasks.filter(({ name }) => name === wanted);
  const alive = matches.filter(({ state }) => !isTerminal(state));
  if (alive.length > 1) {
    const names = alive.map(({ id, framework_id }) => `${id} (framework ${framework_id})`);
    throw new Failure(`'${wanted}' is more than one task: ${names.join(", ")}`);
  }
  const chosen = alive[0] ?? matches.at(-1);
  if (chosen === undefined) throw new Failure(`no task '${wanted}': 'mesoflare tasks --all' lists them`);
  return chosen;
}
