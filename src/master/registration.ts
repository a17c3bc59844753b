// How an agent comes in: admission through the registry, sessions, and what a registration that crosses another one means.
// Rules: nobody is registered before the admission is committed [M1]; host key and agent id belong together [M2]; a
// re-registration voids the older session [M4]; a copy of an agent's disk never runs beside it [M10].
import { present } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentMessage, TaskReport } from "#protocol/agent.ts";
import type { AgentId, HostKey, Principal, SessionId } from "#protocol/ids.ts";
import { resourceProblem } from "#resources/resources.ts";
import type { Outcome } from "#registrar/registrar.ts";
import type { AdmittedAgent, Registry } from "#registrar/registry.ts";
import { removeOffersOf } from "./offers.ts";
import { launchKey, reconcileReport } from "./report.ts";
import { clip, closeStranger, onSocketClosed, registeredAt, reply } from "./sockets.ts";
import {
  setConnection,
  socketKey,
  type AgentRecord,
  type Connection,
  type Ids,
  type Master,
  type PendingRegistration,
} from "./state.ts";

/** Most tasks that one agent may report, so that a hostile one cannot fill the master. */
export const REPORTED_TASKS_MAX = 10_000;

export type Register = Extract<AgentMessage, { type: "register" }>;

export interface AgentSender {
  readonly from: Connection;
  readonly hostKey: HostKey;
  readonly principal: Principal;
}

/** Takes over what the registry says of admitted agents. Those that this master has not met are "recovered". */
export function adoptRegistry(master: Master, registry: Registry): void {
  for (const admitted of registry.admitted.values()) adoptAdmitted(master, admitted);
}

function adoptAdmitted(master: Master, admitted: AdmittedAgent): AgentRecord {
  const known = master.agents.get(admitted.agentId);
  if (known !== undefined) {
    known.info = admitted.info;
    return known;
  }
  const agent: AgentRecord = {
    agentId: admitted.agentId,
    hostKey: admitted.hostKey,
    principal: admitted.principal,
    info: admitted.info,
    registeredAt: admitted.admittedAt,
    reregisteredAt: undefined,
    connection: undefined,
    session: undefined,
    confirmed: true,
    sessionBefore: undefined,
    nextSequence: 1,
    orders: [],
    system: undefined,
  };
  master.agents.set(agent.agentId, agent);
  master.agentByHost.set(agent.hostKey, agent.agentId);
  return agent;
}

export function onRegister(master: Master, sender: AgentSender, message: Register, ids: Ids, now: Millis): void {
  const { from, hostKey } = sender;
  const report = wholeReport(master, from, message);
  if (report.type === "refused") reply(master, from, { type: "unavailable", reason: report.reason });
  if (report.type !== "whole") return;
  const again = message.agentId !== undefined;
  master.counters[again ? "master/messages_reregister_slave" : "master/messages_register_slave"]++;
  const registered = registeredAt(master, from);
  if (registered !== undefined && registered.session !== message.lastSession) {
    // Composed before this socket's agent knew its current session: it says nothing about orders given since [M4].
    closeStranger(master, from);
    onSocketClosed(master, from);
    return;
  }
  const refusal = identityProblem(master, hostKey, message);
  if (refusal !== undefined) {
    reply(master, from, { type: "refused", reason: clip(refusal) });
    return;
  }
  if (joinsPending(master, sender, report.tasks)) return;
  const ofHost = master.agentByHost.get(hostKey);
  if (ofHost === undefined) admit(master, sender, message, report.tasks);
  else
    readmit(master, present(master.agents.get(ofHost), "agent of a host key"), sender, message, report.tasks, ids, now);
}

/** Why a registration can never be taken as it is; undefined when it can. */
function identityProblem(master: Master, hostKey: HostKey, { agentId, info }: Register): string | undefined {
  const problem = info.resources.map(resourceProblem).find((text) => text !== undefined);
  if (problem !== undefined) return `the agent's resources: ${problem}`;
  if (agentId === undefined || agentId === master.agentByHost.get(hostKey)) return undefined;
  return master.agents.has(agentId)
    ? `agent ${agentId} belongs to another host`
    : `agent ${agentId} is not in this cluster's registry; to join as a new agent, start with an empty work directory`;
}

/** A host whose earlier registration is still being committed takes that one over when its socket is gone, or waits. */
function joinsPending(master: Master, { from, hostKey }: AgentSender, tasks: readonly TaskReport[]): boolean {
  const pending = [...master.registrations.values()].find((waiting) => waiting.hostKey === hostKey);
  if (pending === undefined) return false;
  if (pending.from === undefined) {
    pending.from = from;
    pending.tasks = tasks;
  } else if (socketKey(pending.from) !== socketKey(from)) {
    reply(master, from, { type: "unavailable", reason: "an earlier registration of this host is being committed" });
  }
  return true;
}

function admit(master: Master, sender: AgentSender, { info, system }: Register, tasks: readonly TaskReport[]): void {
  const agentId = `${master.masterId}-S${master.nextAgent++}` as AgentId;
  master.marked.nextIds = true;
  const { hostKey, principal } = sender;
  const operation = { type: "admit-agent", agentId, info, hostKey, principal, strict: true } as const;
  commit(master, { ...sender, agentId, info, tasks, system, first: true }, operation, "first registration");
}

function readmit(
  master: Master,
  agent: AgentRecord,
  sender: AgentSender,
  { info, system, lastSession }: Register,
  tasks: readonly TaskReport[],
  ids: Ids,
  now: Millis,
): void {
  const { agentId } = agent;
  const current = lastSession === agent.session || (!agent.confirmed && lastSession === agent.sessionBefore);
  if (agent.connection !== undefined && socketKey(agent.connection) !== socketKey(sender.from) && !current) {
    // A copy of this agent's disk runs elsewhere: only one of the two may go on.
    const reason = `agent ${agentId} has another live socket with a newer session`;
    reply(master, sender.from, { type: "unavailable", reason });
    return;
  }
  const registration = { ...sender, agentId, info, tasks, system, first: false };
  if (JSON.stringify(agent.info) === JSON.stringify(info)) completeRegistration(master, agent, registration, ids, now);
  else commit(master, registration, { type: "update-agent", agentId, info }, "the agent's description changed");
}

type WholeReport =
  | { readonly type: "whole"; readonly tasks: readonly TaskReport[] }
  | { readonly type: "more-to-come" }
  | { readonly type: "refused"; readonly reason: string };

/** Puts the frames of one registration together. A report with a hole would look as if tasks were gone [M4]. */
function wholeReport(master: Master, from: Connection, message: Register): WholeReport {
  const before = message.part === 1 ? { parts: 0, tasks: [] } : master.partialReports.get(socketKey(from));
  master.partialReports.delete(socketKey(from));
  if (before === undefined || message.part !== before.parts + 1) {
    return { type: "refused", reason: "a part of the registration was lost" };
  }
  const tasks = [...before.tasks, ...message.tasks];
  if (tasks.length > REPORTED_TASKS_MAX)
    return { type: "refused", reason: `an agent may report at most ${REPORTED_TASKS_MAX} tasks` };
  const problem = message.tasks
    .flatMap(({ task }) => task.resources.map(resourceProblem))
    .find((text) => text !== undefined);
  if (problem !== undefined) return { type: "refused", reason: clip(`a reported task's resources: ${problem}`) };
  if (!message.more) return { type: "whole", tasks };
  master.partialReports.set(socketKey(from), { parts: message.part, tasks });
  return { type: "more-to-come" };
}

function commit(
  master: Master,
  pending: PendingRegistration,
  operation: Extract<Master["effects"][number], { type: "registry" }>["operation"],
  why: string,
): void {
  const id = master.nextRegistration++;
  master.registrations.set(id, pending);
  master.effects.push({ type: "registry", id, operation, who: pending.principal, why });
}

/** The registry has decided on an operation that a registration waits for. `registry` is as it is after that batch. */
export function onOutcome(
  master: Master,
  id: number,
  outcome: Outcome,
  registry: Registry,
  ids: Ids,
  now: Millis,
): void {
  const pending = master.registrations.get(id);
  if (pending === undefined) return;
  master.registrations.delete(id);
  const { from } = pending;
  if (outcome.type === "refused") {
    // Too much at once is no reason to send an agent away for good.
    const type = outcome.reason === "registrar-full" ? "unavailable" : "refused";
    if (from !== undefined)
      reply(master, from, { type, reason: `the registry refused agent ${pending.agentId}: ${outcome.reason}` });
    return;
  }
  const admitted = present(registry.admitted.get(pending.agentId), "agent that was just admitted");
  const agent = adoptAdmitted(master, admitted);
  // Admitted all the same: when its host comes back, this is its id.
  if (from !== undefined) completeRegistration(master, agent, { ...pending, from }, ids, now);
}

/** Registrations whose operations were not acknowledged: the agents try again, and the log tells what became of them. */
export function onNotCommitted(master: Master, operationIds: readonly number[], reason: string): void {
  for (const id of operationIds) {
    const pending = master.registrations.get(id);
    if (pending === undefined) continue;
    master.registrations.delete(id);
    if (pending.from !== undefined) reply(master, pending.from, { type: "unavailable", reason: clip(reason) });
  }
}

/** A registration that can be completed: somebody waits for it. */
type Registration = PendingRegistration & { readonly from: Connection };

function completeRegistration(master: Master, agent: AgentRecord, pending: Registration, ids: Ids, now: Millis): void {
  if (agent.connection !== undefined && socketKey(agent.connection) !== socketKey(pending.from)) {
    master.effects.push({
      type: "close-socket",
      to: agent.connection,
      reason: "a newer socket of this agent has registered",
    });
  }
  removeOffersOf(master, (offer) => offer.agentId === agent.agentId, { rescind: true });
  master.counters[pending.first ? "master/slave_registrations" : "master/slave_reregistrations"]++;
  if (!pending.first) agent.reregisteredAt = now;
  const neverActed = new Set(
    agent.orders.flatMap(({ order }) =>
      order.type === "launch" ? [launchKey(order.framework.id, order.task.task_id.value)] : [],
    ),
  );
  setConnection(master, agent, pending.from);
  // Two answers lost in a row: what the agent surely knows is still the older one.
  if (agent.confirmed) agent.sessionBefore = agent.session;
  agent.confirmed = false;
  agent.session = ids.uuid() as SessionId;
  agent.nextSequence = 1;
  agent.orders = [];
  master.marked.orders.push({ type: "voided", agentId: agent.agentId });
  agent.system = pending.system;
  reply(master, pending.from, {
    type: "registered",
    agentId: agent.agentId,
    epoch: master.epoch,
    session: agent.session,
  });
  reconcileReport(master, agent, pending.tasks, neverActed, now);
  master.allocationDue = true;
}
