// Whether a task may be launched: the checks of tasks-offers-and-operators §4.2, in their order. Pure; what they find is for people.
import { idProblem, type AgentId, type ExecutorId, type FrameworkId, type TaskId } from "#protocol/ids.ts";
import type { CommandInfo, Environment } from "#protocol/command.ts";
import type { ContainerInfo } from "#protocol/container.ts";
import type { CheckInfo, HealthCheck } from "#protocol/health-check.ts";
import type { Resource } from "#protocol/resource.ts";
import type { ExecutorInfo, TaskInfo } from "#protocol/task.ts";
import type { DurationInfo } from "#protocol/time.ts";
import { volumeKeys } from "#resources/conversion.ts";
import { THOUSANDTHS } from "#resources/amounts.ts";
import {
  contains,
  fromResources,
  isEmpty,
  NOTHING,
  quantities,
  resourceProblem,
  type ResourceSet,
  scalar,
  subtract,
} from "#resources/resources.ts";

/** Longest description of one task, letters of JSON: it must fit a row, a frame and a report with room to spare. */
export const TASK_LETTERS_MAX = 192 * 1024;
/** Longest order for one group, letters of JSON: it must fit a frame, and its executor is in it once more for each task. */
export const GROUP_LETTERS_MAX = 256 * 1024;
/** Least that the executor of a group needs. Source: Mesos MIN_CPUS, MIN_MEM. */
export const EXECUTOR_CPUS_MIN = 0.01;
export const EXECUTOR_MEM_MB_MIN = 32;

/** What the checks look at besides the task. */
export interface LaunchContext {
  readonly frameworkId: FrameworkId;
  readonly agentId: AgentId;
  /** What the agent's release can do: it says so when it registers. */
  readonly agentCapabilities: readonly string[];
  /** Under which the offers were made. */
  readonly role: string;
  /** Whether a task of this id is in the books, and where. */
  readonly taskInUse: (taskId: TaskId) => "live" | "unreachable" | undefined;
  /** The live executor of that id on the agent. */
  readonly liveExecutor: (executorId: ExecutorId) => ExecutorInfo | undefined;
  /** What is left of the offers. */
  readonly remaining: ResourceSet;
}

export type TaskChecked =
  | {
      readonly type: "valid";
      readonly resources: ResourceSet;
      /** What a new executor takes; nothing when it is live already, or there is none. */
      readonly executorResources: ResourceSet;
    }
  | { readonly type: "invalid"; readonly message: string };

const invalid = (message: string): TaskChecked => ({ type: "invalid", message });

/** One task of a LAUNCH. */
export function checkTask(task: TaskInfo, context: LaunchContext): TaskChecked {
  const problem = descriptionProblem(task, context) ?? unsupported(task, context.agentCapabilities);
  if (problem !== undefined) return invalid(problem);
  const { executor, command } = task;
  if ((executor === undefined) === (command === undefined)) {
    return invalid("a task needs exactly one of 'executor' and 'command'");
  }
  if (executor?.type === "DEFAULT") return invalid("an executor of type DEFAULT runs task groups only");
  return fits(task, executor, context);
}

export type GroupChecked =
  | { readonly type: "valid"; readonly resources: readonly ResourceSet[]; readonly executorResources: ResourceSet }
  | { readonly type: "invalid"; readonly message: string };

/** A LAUNCH_GROUP: all of its tasks, or none. */
export function checkGroup(executor: ExecutorInfo, tasks: readonly TaskInfo[], context: LaunchContext): GroupChecked {
  if (tasks.length === 0) return { type: "invalid", message: "a task group needs tasks" };
  const letters = JSON.stringify(tasks).length + (tasks.length + 1) * JSON.stringify(executor).length;
  if (letters > GROUP_LETTERS_MAX)
    return {
      type: "invalid",
      message: `a task group may have at most ${GROUP_LETTERS_MAX} letters of JSON, with its executor once more for each task`,
    };
  const wrong = executorProblem(executor, context) ?? groupExecutorProblem(executor, context);
  if (wrong !== undefined) return { type: "invalid", message: wrong };
  const resources: ResourceSet[] = [];
  const ids = new Set<TaskId>();
  let remaining = context.remaining;
  let executorResources = NOTHING;
  for (const task of tasks) {
    const id = task.task_id.value;
    const refuse = (message: string): GroupChecked => ({ type: "invalid", message: `task ${id}: ${message}` });
    if (ids.has(id)) return refuse("its id is there twice in the group");
    ids.add(id);
    const problem =
      descriptionProblem(task, context) ??
      (context.agentCapabilities.includes("EXECUTORS") ? undefined : NEEDS_EXECUTORS) ??
      unsupported(task, context.agentCapabilities);
    if (problem !== undefined) return refuse(problem);
    if (task.executor !== undefined) return refuse("tasks of a group have no executor of their own");
    if (task.container?.type === "DOCKER") return refuse("a Docker container cannot be part of a group");
    if ((task.container?.network_infos ?? []).length > 0)
      return refuse("networks are those of the group's executor: 'network_infos' may not be set");
    const checked = fits(task, resources.length === 0 ? executor : undefined, { ...context, remaining });
    if (checked.type === "invalid") return refuse(checked.message);
    resources.push(checked.resources);
    if (resources.length === 1) executorResources = checked.executorResources;
    remaining = subtract(remaining, checked.resources);
    if (resources.length === 1) remaining = subtract(remaining, executorResources);
  }
  return { type: "valid", resources, executorResources };
}

/** Checks 1 to 4 and 9 to 13: what can be said of the task by itself. */
function descriptionProblem(task: TaskInfo, context: LaunchContext): string | undefined {
  const id = task.task_id.value;
  if (JSON.stringify(task).length > TASK_LETTERS_MAX)
    return `a task may have at most ${TASK_LETTERS_MAX} letters of JSON`;
  const badId = idProblem(id);
  if (badId !== undefined) return `task_id: ${badId}`;
  if (task.agent_id.value !== context.agentId)
    return `agent_id is ${task.agent_id.value}, but the offers are of ${context.agentId}`;
  const used = context.taskInUse(id);
  if (used === "live") return `task_id ${id} is in use by a live task of this framework`;
  if (used === "unreachable") return `task_id ${id} is in use by a task of this framework whose agent is unreachable`;
  return (
    resourcesProblem(task.resources, "a task", context.role) ??
    durationsProblem(task) ??
    checkProblem(task.check) ??
    healthCheckProblem(task.health_check) ??
    (task.command === undefined ? undefined : commandProblem(task.command)) ??
    (task.container === undefined ? undefined : containerProblem(task.container)) ??
    limitsProblem(task)
  );
}

/** Resources of a task or an executor. */
function resourcesProblem(resources: readonly Resource[], whose: string, role: string): string | undefined {
  if (resources.length === 0) return `${whose} needs resources`;
  const revocable = new Set<string>();
  const lasting = new Set<string>();
  let volumes = 0;
  for (const resource of resources) {
    const problem = resourceProblem(resource);
    if (problem !== undefined) return `resource ${resource.name}: ${problem}`;
    const allocated = resource.allocation_info?.role;
    if (allocated !== undefined && allocated !== role)
      return `resource ${resource.name} is allocated to role '${allocated}', but the offers are of role '${role}'`;
    (resource.revocable === undefined ? lasting : revocable).add(resource.name);
    if (resource.disk?.persistence !== undefined) volumes += 1;
  }
  const both = [...revocable].find((name) => lasting.has(name));
  if (both !== undefined) return `${whose} uses both revocable and non-revocable '${both}'`;
  const set = fromResources(resources);
  if (isEmpty(set)) return `${whose} needs resources`;
  if (volumeKeys(set).size !== volumes) return `${whose} names a persistence id twice`;
  return (quantities(set).get("gpus") ?? 0) % THOUSANDTHS === 0 ? undefined : "gpus are whole";
}

/** Checks 5, 7, 8 and 15: the task, and the executor if this launch starts it, fit beside each other into what is left. */
function fits(task: TaskInfo, executor: ExecutorInfo | undefined, context: LaunchContext): TaskChecked {
  const resources = fromResources(task.resources);
  if (!contains(context.remaining, resources)) return invalid("the task wants more than what is left of the offers");
  if (executor === undefined) return { type: "valid", resources, executorResources: NOTHING };
  const problem = executorProblem(executor, context);
  if (problem !== undefined) return invalid(problem);
  const live = context.liveExecutor(executor.executor_id.value);
  if (live !== undefined) {
    return isSameExecutor(live, executor, context)
      ? { type: "valid", resources, executorResources: NOTHING }
      : invalid(`executor ${executor.executor_id.value} runs on the agent already, and its ExecutorInfo differs`);
  }
  const executorResources = fromResources(executor.resources);
  if (!contains(subtract(context.remaining, resources), executorResources))
    return invalid("the task and its executor want more than what is left of the offers, or the same of it");
  return { type: "valid", resources, executorResources };
}

function executorProblem(executor: ExecutorInfo, { frameworkId, role }: LaunchContext): string | undefined {
  const badId = idProblem(executor.executor_id.value);
  if (badId !== undefined) return `executor_id: ${badId}`;
  if (executor.framework_id !== undefined && executor.framework_id.value !== frameworkId)
    return `executor.framework_id is ${executor.framework_id.value}, which is not the caller's`;
  if (executor.type === "DEFAULT") {
    if (executor.command !== undefined) return "an executor of type DEFAULT has no 'command'";
    if (executor.container !== undefined && executor.container.type !== "MESOS")
      return "an executor of type DEFAULT runs in no other container than one of type MESOS";
  } else if (executor.command === undefined) return "a custom executor needs a 'command'";
  if (isNegative(executor.shutdown_grace_period)) return "executor.shutdown_grace_period is negative";
  return (
    (executor.resources.length === 0 ? undefined : resourcesProblem(executor.resources, "an executor", role)) ??
    (executor.command === undefined ? undefined : commandProblem(executor.command)) ??
    (executor.container === undefined ? undefined : containerProblem(executor.container))
  );
}

/** Check 14. An executor that runs already is not asked for its resources again. */
function groupExecutorProblem(executor: ExecutorInfo, context: LaunchContext): string | undefined {
  if (executor.type === undefined) return "the executor of a group needs a 'type'";
  if (context.liveExecutor(executor.executor_id.value) !== undefined) return undefined;
  const set = fromResources(executor.resources);
  if (scalar(set, "cpus") < EXECUTOR_CPUS_MIN)
    return `the executor of a group needs ${EXECUTOR_CPUS_MIN} cpus at least`;
  if (scalar(set, "mem") < EXECUTOR_MEM_MB_MIN)
    return `the executor of a group needs ${EXECUTOR_MEM_MB_MIN} MB of mem at least`;
  return scalar(set, "disk") > 0 ? undefined : "the executor of a group needs disk";
}

/** To whom it is offered is no part of what it is. */
export function withoutAllocation(allocated: Resource): Resource {
  const { allocation_info: _, ...resource } = allocated;
  return resource;
}

/** What the framework left out and the master filled in is no difference. */
function isSameExecutor(live: ExecutorInfo, asked: ExecutorInfo, { frameworkId }: LaunchContext): boolean {
  const comparable = (executor: ExecutorInfo): string =>
    JSON.stringify({
      ...executor,
      framework_id: { value: frameworkId },
      resources: executor.resources.map(withoutAllocation),
    });
  return comparable(live) === comparable(asked);
}

const NEEDS_EXECUTORS = "the agent's release runs command tasks only: no executors, and no task groups";

/** Parts of a task that not every release of the agent can run. What it cannot, is refused here and never run without. */
const NEEDS: readonly (readonly [capability: string, message: string, isAsked: (task: TaskInfo) => boolean])[] = [
  ["EXECUTORS", NEEDS_EXECUTORS, ({ executor }) => executor !== undefined],
  ["CONTAINERS", "the agent's release does not run 'container'", ({ container }) => container !== undefined],
  [
    "CHECKS",
    "the agent's release does not run 'check' and 'health_check'",
    ({ check, health_check }) => check !== undefined || health_check !== undefined,
  ],
  [
    "MAX_COMPLETION_TIME",
    "the agent's release does not keep 'max_completion_time'",
    ({ max_completion_time }) => max_completion_time !== undefined,
  ],
  ["LIMITS", "the agent's release does not keep 'limits'", ({ limits }) => Object.keys(limits ?? {}).length > 0],
  ["FETCHER", "the agent's release does not fetch 'command.uris'", ({ command }) => (command?.uris.length ?? 0) > 0],
];

const unsupported = (task: TaskInfo, capabilities: readonly string[]): string | undefined =>
  NEEDS.find(([capability, , isAsked]) => isAsked(task) && !capabilities.includes(capability))?.[1];

const isNegative = (duration: DurationInfo | undefined): boolean =>
  duration !== undefined && Number(duration.nanoseconds) < 0;

function durationsProblem({ kill_policy, max_completion_time }: TaskInfo): string | undefined {
  if (isNegative(kill_policy?.grace_period)) return "kill_policy.grace_period is negative";
  return isNegative(max_completion_time) ? "max_completion_time is negative" : undefined;
}

function commandProblem(command: CommandInfo): string | undefined {
  if (command.shell !== false && (command.value ?? "") === "") return "command.value is missing";
  for (const { value } of command.uris) {
    if (value === "" || /['\\\u0000]/.test(value))
      return "command.uris: a URI may not be empty nor contain ', \\ or NUL";
  }
  const texts = [command.value ?? "", command.user ?? "", ...command.arguments];
  if (texts.some((text) => text.includes("\u0000"))) return "command: NUL is not allowed";
  return command.environment === undefined ? undefined : environmentProblem(command.environment);
}

function environmentProblem({ variables }: Environment): string | undefined {
  for (const { name, type, value, secret } of variables) {
    if (name === "" || /[=\u0000]/.test(name))
      return "environment: a variable's name may not be empty nor contain '=' or NUL";
    if (type === "SECRET") {
      if (secret === undefined) return `environment: ${name} has type SECRET and no secret`;
      if (value !== undefined) return `environment: ${name} has type SECRET and a value`;
      continue;
    }
    if (secret !== undefined) return `environment: ${name} has a secret, but not type SECRET`;
    if (value === undefined) return `environment: ${name} has no value`;
    if (value.includes("\u0000")) return `environment: the value of ${name} contains NUL`;
  }
  return undefined;
}

function containerProblem(container: ContainerInfo): string | undefined {
  if (container.type === "DOCKER" && container.docker === undefined) return "container: type DOCKER needs 'docker'";
  if (container.type === "DOCKER" && container.mesos !== undefined)
    return "container: type DOCKER may not have 'mesos'";
  if (container.type === "MESOS" && container.docker !== undefined)
    return "container: type MESOS may not have 'docker'";
  for (const { container_path, host_path, image, source } of container.volumes) {
    if (container_path === "") return "container: a volume needs a 'container_path'";
    const sources = [host_path, image, source].filter((one) => one !== undefined).length;
    if (sources !== 1)
      return `container: volume ${container_path} needs exactly one of 'host_path', 'image' and 'source'`;
  }
  return undefined;
}

type Times = Pick<CheckInfo, "delay_seconds" | "interval_seconds" | "timeout_seconds"> &
  Pick<HealthCheck, "grace_period_seconds">;

function timesProblem(name: string, times: Partial<Times>): string | undefined {
  for (const key of ["delay_seconds", "interval_seconds", "timeout_seconds", "grace_period_seconds"] as const) {
    const value = times[key];
    if (value !== undefined && value < 0) return `${name}.${key} is negative`;
  }
  return undefined;
}

function checkProblem(check: CheckInfo | undefined): string | undefined {
  if (check === undefined) return undefined;
  if (check.type === undefined) return "check: 'type' is missing";
  const member = { COMMAND: check.command, HTTP: check.http, TCP: check.tcp }[check.type];
  if (member === undefined) return `check: type ${check.type} needs '${check.type.toLowerCase()}'`;
  const count = [check.command, check.http, check.tcp].filter((one) => one !== undefined).length;
  if (count > 1) return "check: only the member that the type names may be set";
  if (check.http?.path?.startsWith("/") === false) return "check: http.path begins with '/'";
  return (
    (check.command === undefined ? undefined : commandProblem(check.command.command)) ?? timesProblem("check", check)
  );
}

function healthCheckProblem(check: HealthCheck | undefined): string | undefined {
  if (check === undefined) return undefined;
  const { command, http, tcp } = check;
  const alone = [
    ["COMMAND", command],
    ["HTTP", http],
    ["TCP", tcp],
  ].filter(([, member]) => member !== undefined);
  if (check.type === undefined && (alone.length !== 1 || tcp !== undefined))
    return "health_check: without 'type', exactly one of 'command' and 'http' must be set";
  if (check.type !== undefined) {
    if (!alone.some(([type]) => type === check.type))
      return `health_check: type ${check.type} needs '${check.type.toLowerCase()}'`;
    if (alone.length > 1) return "health_check: only the member that the type names may be set";
  }
  if (http?.scheme !== undefined && http.scheme !== "http" && http.scheme !== "https")
    return "health_check: http.scheme is http or https";
  if (http?.path?.startsWith("/") === false) return "health_check: http.path begins with '/'";
  return (command === undefined ? undefined : commandProblem(command)) ?? timesProblem("health_check", check);
}

/** Check 13. */
function limitsProblem({ limits, resources }: TaskInfo): string | undefined {
  const asked = Object.entries(limits ?? {});
  if (asked.length === 0) return undefined;
  const set = fromResources(resources);
  for (const [name, { value }] of asked) {
    if (name !== "cpus" && name !== "mem") return `limits: only cpus and mem may be limited, not '${name}'`;
    const limit = value === "Infinity" ? Number.POSITIVE_INFINITY : value;
    if (!(limit >= scalar(set, name))) return `limits: ${name} is below what the task asks for`;
  }
  return undefined;
}
