// What the operators' GET endpoints show, in Mesos' shapes (endpoints.md §3 and §4): the word there is "slave".
//
// The long ones are pieces of text. Whatever they list is taken down when they are asked for; the text is made a piece at a time, between
// other turns [M53]. Tasks are in task-views.ts.
import { grouped } from "#base/grouped.ts";
import { millis, type Millis, toSeconds } from "#base/time.ts";
import type { AgentId } from "#protocol/ids.ts";
import { DEFAULT_ROLE } from "#protocol/roles.ts";
import { MESOFLARE_VERSION, VERSION_INFO } from "#protocol/version.ts";
import { attributesObject } from "#resources/text.ts";
import {
  add,
  inBothForms,
  reservedByRole,
  resourcesObject,
  sum,
  toResources,
  type ResourceSet,
  unreserved,
} from "#resources/resources.ts";
import { deadlineOf } from "./absence.ts";
import { chain, type Json, members, object, paged, type Pieces } from "./json-pieces.ts";
import { isMultiRole } from "./allocation.ts";
import { offeredOn } from "./offers.ts";
import { resourcesObjectText } from "./resource-sets.ts";
import { roleTables } from "./role-views.ts";
import type { AdmittedAgent } from "#registrar/registry.ts";
import type { AgentRecord, ExecutorRecord, FrameworkRecord, Master, OfferRecord } from "./state.ts";
import { assertSaved } from "./task-store.ts";
import { pastPieces, seeTasks, taskPieces } from "./task-views.ts";
import { usedBy, usedOn } from "./usage.ts";

/** Capabilities of our agents, by Mesos' names: tools show them. */
const AGENT_CAPABILITIES = ["MULTI_ROLE"] as const;

/** Agents that are rendered in one piece: some milliseconds of work. */
const AGENTS_IN_PIECE = 100;

/** An agent as it was when it was taken down [M53]. */
interface AgentSeen extends Pick<AgentRecord, "agentId" | "info" | "total" | "registeredAt" | "reregisteredAt"> {
  readonly isActive: boolean;
  /** An agent of the registry that this leader has not heard of yet: no counts of what it runs. */
  readonly isRecovered: boolean;
  readonly used: ResourceSet;
  readonly offered: ResourceSet;
}

const seeAgent = (master: Master, agent: AgentRecord): AgentSeen => ({
  agentId: agent.agentId,
  info: agent.info,
  total: agent.total,
  registeredAt: agent.registeredAt,
  reregisteredAt: agent.reregisteredAt,
  isActive: agent.connection !== undefined,
  isRecovered: agent.session === undefined,
  used: usedOn(master, agent.agentId),
  offered: offeredOn(master, agent.agentId),
});

const full = (resources: ResourceSet): Json[] => toResources(resources).map(inBothForms);

const byRole = <T>(resources: ResourceSet, show: (reserved: ResourceSet) => T): Record<string, T> =>
  Object.fromEntries([...reservedByRole(resources)].map(([role, reserved]) => [role, show(reserved)]));

/** Text of an object: `more`'s members after the agent's own. */
function agentText(agent: AgentSeen, more: Json = {}): string {
  const { agentId, info, total, registeredAt, reregisteredAt, isActive, isRecovered, used, offered } = agent;
  const described = {
    id: agentId,
    hostname: info.hostname,
    port: info.port,
    attributes: attributesObject(info.attributes),
  };
  const head = isRecovered
    ? described
    : {
        ...described,
        pid: `slave(1)@127.0.0.1:${info.port}`,
        registered_time: toSeconds(registeredAt),
        reregistered_time: reregisteredAt === undefined ? undefined : toSeconds(reregisteredAt),
        reserved_resources: byRole(total, resourcesObject),
        active: isActive,
        deactivated: false,
        version: MESOFLARE_VERSION,
        capabilities: AGENT_CAPABILITIES,
      };
  const counts = {
    used_resources: used,
    offered_resources: offered,
    unreserved_resources: unreserved(total),
  };
  const sets = Object.entries(isRecovered ? { resources: total } : { resources: total, ...counts });
  const resources = sets.map(([name, set]) => `"${name}":${resourcesObjectText(set)}`).join(",");
  return `${JSON.stringify({ ...head, ...more }).slice(0, -1)},${resources}}`;
}

const agentPieces = (agents: readonly AgentSeen[], more: (seen: AgentSeen) => Json = () => ({})): Pieces =>
  paged(agents, AGENTS_IN_PIECE, (page) => page.map((seen) => agentText(seen, more(seen))));

export function slavesPieces(master: Master, query: { readonly slaveId: string | undefined }): Pieces {
  const agents = [...master.agents.values()]
    .filter((agent) => query.slaveId === undefined || agent.agentId === query.slaveId)
    .map((agent) => seeAgent(master, agent));
  const fully = ({ total, used, offered }: AgentSeen): Json => ({
    reserved_resources_full: byRole(total, full),
    unreserved_resources_full: full(unreserved(total)),
    used_resources_full: full(used),
    offered_resources_full: full(offered),
  });
  return object(
    {},
    {
      slaves: agentPieces(
        agents.filter(({ isRecovered }) => !isRecovered),
        fully,
      ),
      recovered_slaves: agentPieces(agents.filter(({ isRecovered }) => isRecovered)),
    },
  );
}

interface ExecutorSeen {
  readonly agentId: AgentId;
  readonly executor: ExecutorRecord;
}

function frameworkPieces(
  master: Master,
  framework: FrameworkRecord,
  { offers, executors }: { readonly offers: readonly OfferRecord[]; readonly executors: readonly ExecutorSeen[] },
): Pieces {
  const { info, status } = framework;
  const used = usedBy(framework);
  const offered = sum(offers.map(({ resources }) => resources));
  const connected = status.state === "connected";
  const head = {
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
    ...(isMultiRole(info) ? { roles: info.roles } : { role: info.role ?? DEFAULT_ROLE }),
    offer_constraints: framework.offerConstraints ?? {},
  };
  return object(head, {
    tasks: taskPieces(master.store, seeTasks(framework, framework.tasks.values())),
    unreachable_tasks: taskPieces(master.store, seeTasks(framework, framework.unreachableTasks.values())),
    completed_tasks: pastPieces(master, framework),
    executors: paged(executors, AGENTS_IN_PIECE, (page) => page.map(executorText)),
    offers: paged(offers, AGENTS_IN_PIECE, (page) => page.map(offerText)),
  });
}

const executorText = ({ agentId, executor: { executorId, frameworkId, info, resources } }: ExecutorSeen): string =>
  JSON.stringify({
    executor_id: executorId,
    name: info.name ?? "",
    framework_id: frameworkId,
    slave_id: agentId,
    resources: resourcesObject(resources),
  });

const offerText = ({ id, frameworkId, agentId, role, resources }: OfferRecord): string =>
  JSON.stringify({
    id,
    framework_id: frameworkId,
    slave_id: agentId,
    resources: resourcesObject(resources),
    allocation_info: { role },
  });

function frameworkLists(master: Master, frameworkId: string | undefined): Readonly<Record<string, readonly Pieces[]>> {
  const wanted = (framework: FrameworkRecord) => frameworkId === undefined || framework.id === frameworkId;
  const all = [...master.frameworks.values()].filter(wanted);
  const offers = grouped(master.offers.values(), (offer) => offer.frameworkId);
  const live = [...master.agents.values()].flatMap(({ agentId, executors }) =>
    [...executors.values()].map((executor): ExecutorSeen => ({ agentId, executor })),
  );
  const executors = grouped(live, ({ executor }) => executor.frameworkId);
  const pieces = (framework: FrameworkRecord) =>
    frameworkPieces(master, framework, {
      offers: offers.get(framework.id) ?? [],
      executors: executors.get(framework.id) ?? [],
    });
  return {
    frameworks: all.filter((framework) => framework.status.state !== "removed").map(pieces),
    // A removed framework is history for operators, also while the last of its tasks are still ending.
    completed_frameworks: [
      ...all.filter((framework) => framework.status.state === "removed"),
      ...master.completedFrameworks.filter(wanted),
    ].map(pieces),
  };
}

export function frameworksPieces(master: Master, query: { readonly frameworkId: string | undefined }): Pieces {
  assertSaved(master);
  return object({ unregistered_frameworks: [] }, frameworkLists(master, query.frameworkId));
}

export function statePieces(master: Master): Pieces {
  assertSaved(master);
  const { info } = master;
  const agents = [...master.agents.values()].map((agent) => seeAgent(master, agent));
  const connected = agents.filter(({ isActive }) => isActive).length;
  const registered = agents.filter(({ isRecovered }) => !isRecovered);
  const head = {
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
    orphan_tasks: [],
    unregistered_frameworks: [],
  };
  return object(head, {
    slaves: agentPieces(registered),
    recovered_slaves: agentPieces(agents.filter(({ isRecovered }) => isRecovered)),
    ...frameworkLists(master, undefined),
  });
}

/** Mesos' own registry as protobuf JSON, with its old word "slave". Host keys and verifiers stay inside. */
export function registryPieces({ info, registry }: Master): Pieces {
  const departed = (entries: Iterable<{ readonly agentId: string; readonly at: Millis }>): Pieces =>
    object(
      {},
      {
        slaves: paged([...entries], AGENTS_IN_PIECE, (page) =>
          page.map(({ agentId, at }) =>
            JSON.stringify({ id: { value: agentId }, timestamp: { nanoseconds: at * 1e6 } }),
          ),
        ),
      },
    );
  const slaves = paged([...registry.admitted.values()], AGENTS_IN_PIECE, (page) => page.map(admittedText));
  return members(
    { master: { info }, ...roleTables(registry) },
    {
      slaves: object({}, { slaves }),
      unreachable: departed(registry.unreachable.values()),
      gone: departed(registry.gone.values()),
    },
  );
}

const admittedText = ({ agentId, info }: AdmittedAgent): string =>
  JSON.stringify({
    info: {
      checkpoint: true,
      hostname: info.hostname,
      id: { value: agentId },
      port: info.port,
      resources: info.resources.map((resource) => ({ ...resource, role: "*" })),
      ...(info.attributes.length === 0 ? {} : { attributes: info.attributes }),
    },
  });

/** Every agent that the registry knows, with where it is in its life, for our own command line. */
export function agentsPieces(master: Master): Pieces {
  const { registry } = master;
  const lives = new Map(
    [...master.agents.values()].map((agent) => {
      const deadline = deadlineOf(master, agent);
      const state = agentState(master, agent);
      return [agent.agentId, { state, deadline: deadline === undefined ? undefined : toSeconds(deadline) }];
    }),
  );
  const here = [...master.agents.values()].map((agent) => seeAgent(master, agent));
  const departed = (state: string, entries: Iterable<{ agentId: AgentId; hostname: string; at: Millis }>): Pieces =>
    paged([...entries], AGENTS_IN_PIECE, (page) =>
      page.map(({ agentId, hostname, at }) => JSON.stringify({ id: agentId, hostname, state, since: toSeconds(at) })),
    );
  const agents = chain(
    agentPieces(here, ({ agentId }) => lives.get(agentId) ?? {}),
    departed("unreachable", registry.unreachable.values()),
    departed("gone", registry.gone.values()),
  );
  return object({}, { agents });
}

/** active: connected. inactive: its socket was lost. recovered: this leader has not heard of it. Else what the registry decides on. */
function agentState(master: Master, agent: AgentRecord): string {
  const transition = master.transitions.get(agent.agentId);
  if (transition !== undefined) return transition;
  if (agent.connection !== undefined) return "active";
  return agent.session === undefined ? "recovered" : "inactive";
}

/** Scheme-relative and without a path, as clients that follow `/redirect` read it. */
export function leaderAddress(master: Master): string {
  return `//${master.info.hostname}:${master.info.port}`;
}
