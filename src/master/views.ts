// What the operators' GET endpoints show, in Mesos' shapes (endpoints.md §3 and §4): the word there is "slave".
import { millis, type Millis, toSeconds } from "#base/time.ts";
import type { AgentId, FrameworkId, TaskId } from "#protocol/ids.ts";
import { MESOFLARE_VERSION, VERSION_INFO } from "#protocol/version.ts";
import { attributesObject } from "#resources/text.ts";
import {
  add,
  inBothForms,
  reservedByRole,
  resourcesObject,
  toResources,
  type ResourceSet,
  unreserved,
} from "#resources/resources.ts";
import { deadlineOf } from "./absence.ts";
import { isMultiRole, offeredOn, offeredTo, resourcesOf, roleOf, usedBy, usedOn } from "./offers.ts";
import { roleTables } from "./role-views.ts";
import type { AgentRecord, FrameworkRecord, Master, TaskRecord } from "./state.ts";
import { stateFor } from "./tasks.ts";

type Json = Record<string, unknown>;

/** Capabilities of our agents, by Mesos' names: tools show them. */
const AGENT_CAPABILITIES = ["MULTI_ROLE"] as const;

const full = (resources: ResourceSet): Json[] => toResources(resources).map(inBothForms);

export function agentView(master: Master, agent: AgentRecord): Json {
  const total = resourcesOf(agent.info);
  return {
    id: agent.agentId,
    hostname: agent.info.hostname,
    port: agent.info.port,
    attributes: attributesObject(agent.info.attributes),
    pid: `slave(1)@127.0.0.1:${agent.info.port}`,
    registered_time: toSeconds(agent.registeredAt),
    ...(agent.reregisteredAt === undefined ? {} : { reregistered_time: toSeconds(agent.reregisteredAt) }),
    resources: resourcesObject(total),
    used_resources: resourcesObject(usedOn(master, agent.agentId)),
    offered_resources: resourcesObject(offeredOn(master, agent.agentId)),
    reserved_resources: Object.fromEntries(
      [...reservedByRole(total)].map(([role, reserved]) => [role, resourcesObject(reserved)]),
    ),
    unreserved_resources: resourcesObject(unreserved(total)),
    active: agent.connection !== undefined,
    deactivated: false,
    version: MESOFLARE_VERSION,
    capabilities: AGENT_CAPABILITIES,
  };
}

/** An agent of the registry that this leader has not heard of yet: no counts of what it runs. */
function recoveredAgentView(agent: AgentRecord): Json {
  return {
    id: agent.agentId,
    hostname: agent.info.hostname,
    port: agent.info.port,
    attributes: attributesObject(agent.info.attributes),
    resources: resourcesObject(resourcesOf(agent.info)),
  };
}

const isRecovered = (agent: AgentRecord): boolean => agent.session === undefined;

export function slavesView(master: Master, query: { readonly slaveId: string | undefined }): Json {
  const agents = [...master.agents.values()].filter(
    (agent) => query.slaveId === undefined || agent.agentId === query.slaveId,
  );
  return {
    slaves: agents
      .filter((agent) => !isRecovered(agent))
      .map((agent) => ({
        ...agentView(master, agent),
        reserved_resources_full: Object.fromEntries(
          [...reservedByRole(resourcesOf(agent.info))].map(([role, reserved]) => [role, full(reserved)]),
        ),
        unreserved_resources_full: full(unreserved(resourcesOf(agent.info))),
        used_resources_full: full(usedOn(master, agent.agentId)),
        offered_resources_full: full(offeredOn(master, agent.agentId)),
      })),
    recovered_slaves: agents.filter(isRecovered).map(recoveredAgentView),
  };
}

export function taskView(framework: FrameworkRecord, task: TaskRecord): Json {
  return {
    id: task.info.task_id.value,
    name: task.info.name,
    framework_id: task.frameworkId,
    // Empty for a command task, as in Mesos; its executor id is the task's own.
    executor_id: "",
    slave_id: task.agentId,
    state: task.latest,
    resources: resourcesObject(resourcesOf(task.info)),
    role: roleOf(framework),
    statuses: task.statuses.map((status) => ({
      state: status.state,
      timestamp: status.timestamp ?? 0,
      ...(status.container_status === undefined ? {} : { container_status: status.container_status }),
    })),
    ...(task.info.labels === undefined ? {} : { labels: task.info.labels.labels }),
    ...(task.info.command?.user === undefined ? {} : { user: task.info.command.user }),
  };
}

/** The state that the framework was told; what the task does meanwhile only its agent knows. */
function unreachableTaskView(framework: FrameworkRecord, task: TaskRecord): Json {
  return {
    ...taskView(framework, task),
    state: task.statuses.at(-1)?.state ?? stateFor(framework, "TASK_UNREACHABLE"),
  };
}

function frameworkView(master: Master, framework: FrameworkRecord): Json {
  const { info, status } = framework;
  const used = usedBy(framework);
  const offered = offeredTo(master, framework.id);
  const connected = status.state === "connected";
  return {
    id: framework.id,
    name: info.name,
    used_resources: resourcesObject(used),
    offered_resources: resourcesObject(offered),
    capabilities: info.capabilities.flatMap(({ type }) => (type === undefined ? [] : [type])),
    hostname: info.hostname ?? "",
    webui_url: info.webui_url ?? "",
    active: connected,
    connected,
    recovered: status.state === "recovered",
    user: info.user,
    failover_timeout: info.failover_timeout ?? 0,
    checkpoint: info.checkpoint ?? false,
    registered_time: toSeconds(framework.registeredAt),
    unregistered_time: status.state === "removed" ? toSeconds(status.at) : 0,
    ...(framework.reregisteredAt === undefined ? {} : { reregistered_time: toSeconds(framework.reregisteredAt) }),
    ...(info.labels === undefined ? {} : { labels: info.labels.labels }),
    ...(framework.principal === undefined ? {} : { principal: framework.principal }),
    resources: resourcesObject(add(used, offered)),
    ...(isMultiRole(framework) ? { roles: info.roles } : { role: roleOf(framework) }),
    tasks: [...framework.tasks.values()].map((task) => taskView(framework, task)),
    unreachable_tasks: [...framework.unreachableTasks.values()].map((task) => unreachableTaskView(framework, task)),
    completed_tasks: framework.completedTasks.map((task) => taskView(framework, task)),
    offers: [...master.offers.values()]
      .filter((offer) => offer.frameworkId === framework.id)
      .map((offer) => ({
        id: offer.id,
        framework_id: offer.frameworkId,
        slave_id: offer.agentId,
        resources: resourcesObject(offer.resources),
        allocation_info: { role: roleOf(framework) },
      })),
    executors: [],
    offer_constraints: {},
  };
}

export function frameworksView(master: Master, query: { readonly frameworkId: string | undefined }): Json {
  const wanted = (framework: FrameworkRecord) => query.frameworkId === undefined || framework.id === query.frameworkId;
  const all = [...master.frameworks.values()].filter(wanted);
  const view = (framework: FrameworkRecord) => frameworkView(master, framework);
  return {
    frameworks: all.filter((framework) => framework.status.state !== "removed").map(view),
    // A removed framework is history for operators, also while the last of its tasks are still ending.
    completed_frameworks: [
      ...all.filter((framework) => framework.status.state === "removed"),
      ...master.completedFrameworks.filter(wanted),
    ].map(view),
    unregistered_frameworks: [],
  };
}

export interface TasksQuery {
  readonly limit: number;
  readonly offset: number;
  readonly order: "asc" | "desc";
  readonly frameworkId: FrameworkId | undefined;
  readonly taskId: TaskId | undefined;
}

export function tasksView(master: Master, query: TasksQuery): Json {
  const rows: { readonly at: number; readonly framework: FrameworkRecord; readonly task: TaskRecord }[] = [];
  for (const framework of [...master.frameworks.values(), ...master.completedFrameworks]) {
    if (query.frameworkId !== undefined && framework.id !== query.frameworkId) continue;
    for (const task of [
      ...framework.tasks.values(),
      ...framework.unreachableTasks.values(),
      ...framework.completedTasks,
    ]) {
      if (query.taskId !== undefined && task.info.task_id.value !== query.taskId) continue;
      rows.push({ at: task.statuses[0]?.timestamp ?? toSeconds(task.launchedAt), framework, task });
    }
  }
  rows.sort((a, b) => (query.order === "asc" ? a.at - b.at : b.at - a.at));
  const page = rows.slice(query.offset, query.offset + query.limit);
  return {
    tasks: page.map(({ framework, task }) =>
      task.unreachableAt === undefined ? taskView(framework, task) : unreachableTaskView(framework, task),
    ),
  };
}

export function stateView(master: Master): Json {
  const { info } = master;
  const agents = [...master.agents.values()];
  const connected = agents.filter((agent) => agent.connection !== undefined).length;
  const registered = agents.filter((agent) => !isRecovered(agent));
  const { frameworks, completed_frameworks } = frameworksView(master, { frameworkId: undefined });
  return {
    ...VERSION_INFO,
    // The master is the epoch: an instance that took it over later did not start it.
    start_time: toSeconds(millis(Math.min(master.startedAt, master.electedAt))),
    elected_time: toSeconds(master.electedAt),
    id: master.masterId,
    pid: info.pid,
    hostname: info.hostname,
    capabilities: [],
    activated_slaves: connected,
    deactivated_slaves: registered.length - connected,
    unreachable_slaves: master.registry.unreachable.size,
    leader: info.pid,
    leader_info: { id: master.masterId, pid: info.pid, port: info.port, hostname: info.hostname },
    slaves: registered.map((agent) => agentView(master, agent)),
    recovered_slaves: agents.filter(isRecovered).map(recoveredAgentView),
    frameworks,
    completed_frameworks,
    orphan_tasks: [],
    unregistered_frameworks: [],
  };
}

/** Mesos' own registry as protobuf JSON, with its old word "slave". Host keys and verifiers stay inside. */
export function registryView({ info, registry }: Master): Json {
  const departed = (list: Iterable<{ readonly agentId: string; readonly at: Millis }>): Json => ({
    slaves: [...list].map(({ agentId, at }) => ({ id: { value: agentId }, timestamp: { nanoseconds: at * 1e6 } })),
  });
  return {
    master: { info },
    slaves: {
      slaves: [...registry.admitted.values()].map(({ agentId, info: agent }) => ({
        info: {
          checkpoint: true,
          hostname: agent.hostname,
          id: { value: agentId },
          port: agent.port,
          resources: agent.resources.map((resource) => ({ ...resource, role: "*" })),
          ...(agent.attributes.length === 0 ? {} : { attributes: agent.attributes }),
        },
      })),
    },
    unreachable: departed(registry.unreachable.values()),
    gone: departed(registry.gone.values()),
    ...roleTables(registry),
  };
}

/** Every agent that the registry knows, with where it is in its life, for our own command line. */
export function agentsView(master: Master): Json {
  const { registry } = master;
  const listed = [...master.agents.values()].map((agent) => ({
    ...(isRecovered(agent) ? recoveredAgentView(agent) : agentView(master, agent)),
    state: agentState(master, agent),
    ...(deadlineOf(master, agent) === undefined ? {} : { deadline: toSeconds(deadlineOf(master, agent) ?? millis(0)) }),
  }));
  const departed = (state: string, list: Iterable<{ agentId: AgentId; hostname: string; at: Millis }>): Json[] =>
    [...list].map(({ agentId, hostname, at }) => ({ id: agentId, hostname, state, since: toSeconds(at) }));
  return {
    agents: [
      ...listed,
      ...departed("unreachable", registry.unreachable.values()),
      ...departed("gone", registry.gone.values()),
    ],
  };
}

/** active: connected. inactive: its socket was lost. recovered: this leader has not heard of it. Else what the registry decides on. */
function agentState(master: Master, agent: AgentRecord): string {
  const transition = master.transitions.get(agent.agentId);
  if (transition !== undefined) return transition;
  if (agent.connection !== undefined) return "active";
  return isRecovered(agent) ? "recovered" : "inactive";
}

/** Scheme-relative and without a path, as clients that follow `/redirect` read it. */
export function leaderAddress(master: Master): string {
  return `//${master.info.hostname}:${master.info.port}`;
}
