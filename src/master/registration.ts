// How an agent comes in: admission through the registry, sessions, and what a registration that crosses another one means.
// Rules: nobody is registered before the admission is committed [M1]; host key and agent id belong together [M2]; a
// re-registration voids the older session [M4]; a copy of an agent's disk never runs beside it [M10].
import { millis, type Millis } from "#base/time.ts";
import type { AgentMessage, Order, TaskReport } from "#protocol/agent.ts";
import { idProblem, type AgentId, type HostKey, type Principal, type SessionId } from "#protocol/ids.ts";
import { resourceProblem } from "#resources/resources.ts";
import type { Refusal, RegistryOperation } from "#registrar/operations.ts";
import type { Outcome } from "#registrar/registrar.ts";
import type { AdmittedAgent } from "#registrar/registry.ts";
import { onSocketClosed, registeredAt, spare } from "./absence.ts";
import { agentIsThere } from "./allocation.ts";
import { followRegistry, shutDown } from "./departure.ts";
import { TASK_LETTERS_MAX } from "./task-checks.ts";
import { rescindOffersOn } from "./offers.ts";
import { reconcileExecutors } from "./executors.ts";
import { reconcileOperations } from "./operations.ts";
import { launchKey, reconcileReport } from "./report.ts";
import { resourceSet } from "./resource-sets.ts";
import { clip, closeStranger, reply } from "./sockets.ts";
import {
  endWaiting,
  setConnection,
  setWaiting,
  socketKey,
  type AgentRecord,
  type AgentReport,
  type Connection,
  type Ids,
  type Master,
  type PartialReport,
  type PendingRegistration,
} from "./state.ts";
import { askRegistry } from "./effects.ts";

/** Most tasks that one agent may report, so that a hostile one cannot fill the master. */
export const REPORTED_TASKS_MAX = 10_000;

/** Letters of all that one registration reports as JSON, when it takes several frames. */
export const REPORT_LETTERS_MAX = 16 * 1024 * 1024;

export type Register = Extract<AgentMessage, { type: "register" }>;

export interface AgentSender {
  readonly from: Connection;
  readonly hostKey: HostKey;
  readonly principal: Principal;
}

/** Takes over what the registry says. Admitted agents that this master has not met are "recovered". */
export function adoptRegistry(master: Master, now: Millis): void {
  followRegistry(master, now);
  for (const admitted of master.registry.admitted.values()) adoptAdmitted(master, admitted);
  for (const { hostKey, agentId } of master.registry.unreachable.values()) master.agentByHost.set(hostKey, agentId);
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
    deadline: undefined,
    session: undefined,
    confirmed: true,
    sessionBefore: undefined,
    nextSequence: 1,
    orders: [],
    total: resourceSet(admitted.info.resources),
    executors: new Map(),
    operations: new Map(),
    system: undefined,
  };
  master.agents.set(agent.agentId, agent);
  master.agentByHost.set(agent.hostKey, agent.agentId);
  master.recovered.add(agent.agentId);
  return agent;
}

export function onRegister(master: Master, sender: AgentSender, message: Register, ids: Ids, now: Millis): void {
  const { from, hostKey } = sender;
  const report = wholeReport(master, from, message);
  if (report.type === "refused") reply(master, from, { type: "unavailable", reason: report.reason });
  if (report.type !== "whole") return;
  const { report: whole } = report;
  const again = message.agentId !== undefined;
  master.counters[again ? "master/messages_reregister_slave" : "master/messages_register_slave"]++;
  const registered = registeredAt(master, from);
  if (registered !== undefined && registered.session !== message.lastSession) {
    // Composed before this socket's agent knew its current session: it says nothing about orders given since [M4].
    closeStranger(master, from);
    onSocketClosed(master, from, now);
    return;
  }
  const claim = claimOf(master, hostKey, message);
  if (claim.type === "refused") {
    reply(master, from, { type: "refused", reason: clip(claim.reason) });
    return;
  }
  if (joinsPending(master, sender, message, whole)) return;
  if (claim.type === "new") {
    admit(master, sender, message, whole);
    return;
  }
  const { agentId } = claim;
  if (master.transitions.has(agentId)) {
    reply(master, from, { type: "unavailable", reason: `agent ${agentId} is in transition` });
    return;
  }
  const agent = master.agents.get(agentId);
  if (agent === undefined) comeBack(master, agentId, sender, message, whole);
  else readmit(master, agent, sender, message, whole, ids, now);
}

/** Whom a registration speaks for. */
type Claim =
  | { readonly type: "new" }
  /** Known or not: the registry decides. */
  | { readonly type: "id"; readonly agentId: AgentId }
  /** It can never be taken as it is; its tasks are none of our business. */
  | { readonly type: "refused"; readonly reason: string };

function claimOf(master: Master, hostKey: HostKey, { agentId, info, clusterId }: Register): Claim {
  const refused = (reason: string): Claim => ({ type: "refused", reason });
  const problem = info.resources.map(resourceProblem).find((text) => text !== undefined);
  if (problem !== undefined) return refused(`the agent's resources: ${problem}`);
  // [M30] It was pointed at the wrong plane: that is no reason to end what it runs.
  if (clusterId !== undefined && clusterId !== master.clusterId) {
    return refused(
      `the agent belongs to cluster ${clusterId}, this plane is cluster ${master.clusterId}: check the plane's address`,
    );
  }
  const ofHost = idOfHost(master, hostKey);
  if (agentId === undefined) return ofHost === undefined ? { type: "new" } : { type: "id", agentId: ofHost };
  const badId = idProblem(agentId);
  if (badId !== undefined) return refused(`agent id: ${badId}`);
  const owner = master.agents.get(agentId)?.hostKey ?? master.registry.unreachable.get(agentId)?.hostKey;
  if (owner !== undefined && owner !== hostKey) return refused(`agent ${agentId} belongs to another host`);
  const hostname = master.agents.get(agentId)?.info.hostname;
  // Source: Mesos' reregisterSlave: who reads the list of agents takes a host for what it was.
  if (hostname !== undefined && hostname !== info.hostname) {
    return refused(
      `agent ${agentId} was on host '${hostname}' and now says '${info.hostname}': start it with --hostname=${hostname}, or with an empty work directory as a new agent`,
    );
  }
  return { type: "id", agentId };
}

/** The id that a host goes on with: none once its id has ended, as that of an unreachable agent does when it is marked gone [M2]. */
function idOfHost(master: Master, hostKey: HostKey): AgentId | undefined {
  const agentId = master.agentByHost.get(hostKey);
  if (agentId === undefined) return undefined;
  const { admitted, unreachable } = master.registry;
  if (admitted.has(agentId) || unreachable.has(agentId)) return agentId;
  master.agentByHost.delete(hostKey);
  return undefined;
}

const claimedBy = ({ agentId, lastSession }: Register): PendingRegistration["claimed"] => ({ agentId, lastSession });

/**
 * A host whose earlier registration is still being committed takes that one over when its socket is gone, or waits. Only if it says the
 * same of itself: a copy of its disk, or words of before, would end what runs by a report of their own [M10].
 */
function joinsPending(
  master: Master,
  { from, hostKey }: AgentSender,
  { agentId, lastSession, info }: Register,
  report: AgentReport,
): boolean {
  const pending = master.registrationByHost.get(hostKey);
  if (pending === undefined) return false;
  const { claimed } = pending;
  const isSame =
    claimed.agentId === agentId &&
    claimed.lastSession === lastSession &&
    JSON.stringify(pending.info) === JSON.stringify(info);
  if (pending.from === undefined && isSame) {
    setWaiting(master, pending, from);
    pending.report = report;
  } else if (pending.from === undefined || socketKey(pending.from) !== socketKey(from)) {
    reply(master, from, { type: "unavailable", reason: "an earlier registration of this host is being committed" });
  }
  return true;
}

function admit(master: Master, sender: AgentSender, message: Register, report: AgentReport): void {
  const { info, system } = message;
  const agentId = `${master.masterId}-S${master.nextAgent++}` as AgentId;
  master.marked.nextIds = true;
  const { hostKey, principal } = sender;
  const { strict } = master.settings;
  const operation = { type: "admit-agent", agentId, info, hostKey, principal, strict } as const;
  commit(
    master,
    { ...sender, agentId, claimed: claimedBy(message), info, report, system, first: true, wasUnreachable: false },
    operation,
    "first registration",
  );
}

/**
 * An agent that is not admitted now. An unreachable one may come back; of any other the registry says whether it may, and
 * if not, that answer is what lets us end its tasks: a quorum stands behind it [M31].
 */
function comeBack(master: Master, agentId: AgentId, sender: AgentSender, message: Register, report: AgentReport): void {
  const { info, system } = message;
  const { hostKey, principal } = sender;
  const wasUnreachable = master.registry.unreachable.has(agentId);
  const claimed = claimedBy(message);
  const registration = { ...sender, agentId, claimed, info, report, system, first: false, wasUnreachable };
  const described = { agentId, info, hostKey, principal };
  if (wasUnreachable) {
    commit(master, registration, { type: "mark-agent-reachable", ...described }, "it has come back");
    return;
  }
  const strict = master.settings.strict || master.removed.has(agentId);
  commit(master, registration, { type: "readmit-agent", ...described, strict }, "it says that it was admitted");
}

function readmit(
  master: Master,
  agent: AgentRecord,
  sender: AgentSender,
  message: Register,
  report: AgentReport,
  ids: Ids,
  now: Millis,
): void {
  const { info, system, lastSession } = message;
  const { agentId } = agent;
  const current = lastSession === agent.session || (!agent.confirmed && lastSession === agent.sessionBefore);
  if (agent.connection !== undefined && socketKey(agent.connection) !== socketKey(sender.from) && !current) {
    // A copy of this agent's disk runs elsewhere: only one of the two may go on.
    const reason = `agent ${agentId} has another live socket with a newer session: is this a copy of its disk?`;
    reply(master, sender.from, { type: "unavailable", reason });
    return;
  }
  if (agent.connection === undefined && agent.session !== undefined && !current) {
    // Somebody knows a newer session: this is a copy, or was said before that session and arrives late. Its report would end what
    // has been launched since. Should nobody else come, the agent is given up, and whoever is left comes back from there.
    const reason = `agent ${agentId} has a newer session: whoever knows it is waited for`;
    reply(master, sender.from, { type: "unavailable", reason });
    return;
  }
  spare(master, agent);
  const registration: Registration = {
    type: "registration",
    ...sender,
    agentId,
    info,
    report,
    claimed: claimedBy(message),
    system,
    first: false,
    wasUnreachable: false,
  };
  if (JSON.stringify(agent.info) === JSON.stringify(info)) completeRegistration(master, agent, registration, ids, now);
  else commit(master, registration, { type: "update-agent", agentId, info }, "the agent's description changed");
}

type WholeReport =
  | { readonly type: "whole"; readonly report: AgentReport }
  | { readonly type: "more-to-come" }
  | { readonly type: "refused"; readonly reason: string };

const NO_PARTS: PartialReport = { parts: 0, letters: 0, tasks: [], executors: [], operations: [] };

/** Puts the frames of one registration together. A report with a hole would look as if tasks were gone [M4]. */
function wholeReport(master: Master, from: Connection, message: Register): WholeReport {
  const before = message.part === 1 ? NO_PARTS : master.partialReports.get(socketKey(from));
  master.partialReports.delete(socketKey(from));
  if (before === undefined || message.part !== before.parts + 1) {
    return { type: "refused", reason: "a part of the registration was lost" };
  }
  const isOnly = message.part === 1 && !message.more;
  const said = [message.tasks, message.executors, message.operations];
  const letters = isOnly ? 0 : before.letters + JSON.stringify(said).length;
  if (letters > REPORT_LETTERS_MAX)
    return { type: "refused", reason: `a registration may have at most ${REPORT_LETTERS_MAX} letters` };
  const tasks = [...before.tasks, ...message.tasks];
  if (tasks.length > REPORTED_TASKS_MAX)
    return { type: "refused", reason: `an agent may report at most ${REPORTED_TASKS_MAX} tasks` };
  const executors = [...before.executors, ...(message.executors ?? [])];
  const operations = [...before.operations, ...(message.operations ?? [])];
  const problem =
    message.tasks.map(reportProblem).find((text) => text !== undefined) ??
    executors.flatMap(({ executor }) => executor.resources.map(resourceProblem)).find((text) => text !== undefined);
  if (problem !== undefined) return { type: "refused", reason: clip(`what it reports: ${problem}`) };
  if (!message.more) return { type: "whole", report: { tasks, executors, operations } };
  master.partialReports.set(socketKey(from), { parts: message.part, letters, tasks, executors, operations });
  return { type: "more-to-come" };
}

/** Why it can be no task that was ever launched here. Its row must be found again by its id, and hold it. */
function reportProblem({ framework, task }: TaskReport): string | undefined {
  const badId = idProblem(task.task_id.value) ?? idProblem(framework.id);
  if (badId !== undefined) return badId;
  let letters = 0;
  for (const { key, value } of task.labels?.labels ?? []) letters += key.length + (value?.length ?? 0);
  if (letters > TASK_LETTERS_MAX) return `labels of ${letters} letters`;
  return task.resources.map(resourceProblem).find((text) => text !== undefined);
}

function commit(
  master: Master,
  registration: Omit<PendingRegistration, "type">,
  operation: RegistryOperation,
  why: string,
): void {
  const pending: PendingRegistration = { type: "registration", ...registration, from: undefined };
  master.registrationByHost.set(pending.hostKey, pending);
  master.registrationByAgent.set(pending.agentId, pending);
  setWaiting(master, pending, registration.from);
  askRegistry(master, pending, operation, { who: pending.principal, why });
}

/** The registry has decided on an operation that a registration waits for. */
export function onRegistrationOutcome(
  master: Master,
  pending: PendingRegistration,
  outcome: Outcome,
  ids: Ids,
  now: Millis,
): void {
  const from = endWaiting(master, pending);
  const { agentId } = pending;
  if (outcome.type === "refused") {
    if (from !== undefined) refuse(master, from, agentId, outcome.reason);
    return;
  }
  const admitted = master.registry.admitted.get(agentId);
  if (admitted === undefined) {
    // Given up again by another operation of the same batch.
    if (from !== undefined) reply(master, from, { type: "unavailable", reason: `agent ${agentId} is in transition` });
    return;
  }
  const agent = adoptAdmitted(master, admitted);
  if (from !== undefined) {
    completeRegistration(master, agent, { ...pending, from }, ids, now);
    return;
  }
  // Admitted all the same: when its host comes back, this is its id.
  agent.deadline = millis(now + master.settings.reregisterTimeoutMs);
  master.marked.agents.add(agentId);
}

function refuse(master: Master, from: Connection, agentId: AgentId, reason: Refusal): void {
  switch (reason) {
    case "agent-unknown":
    case "agent-gone": {
      const why =
        reason === "agent-gone" ? "was marked gone" : "is not in the registry: it was removed, or never admitted";
      shutDown(master, { connection: from, agentId }, `agent ${agentId} ${why}`);
      return;
    }
    // Too much at once is no reason to send an agent away for good.
    case "registrar-full":
    case "registry-full":
      reply(master, from, { type: "unavailable", reason: `the registry cannot take agent ${agentId} now: ${reason}` });
      return;
    default:
      reply(master, from, { type: "refused", reason: `the registry refused agent ${agentId}: ${reason}` });
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
  rescindOffersOn(master, agent.agentId);
  master.counters[pending.first ? "master/slave_registrations" : "master/slave_reregistrations"]++;
  if (!pending.first) agent.reregisteredAt = now;
  const neverActed = new Set(agent.orders.flatMap(({ order }) => launchesOf(order)));
  const neverCarriedOut = new Set(
    agent.orders.flatMap(({ order }) => (order.type === "operation" ? [order.operationUuid] : [])),
  );
  setConnection(master, agent, pending.from, now);
  // What it surely knows, however many answers were lost in a row, is what it has named.
  agent.sessionBefore = pending.claimed.lastSession;
  agent.confirmed = false;
  agent.session = ids.uuid() as SessionId;
  agent.nextSequence = 1;
  if (agent.orders.length > 0) master.marked.orders.push({ type: "voided", agentId: agent.agentId });
  agent.orders = [];
  master.ordered.delete(agent.agentId);
  agent.system = pending.system;
  reply(master, pending.from, {
    type: "registered",
    agentId: agent.agentId,
    epoch: master.epoch,
    session: agent.session,
    clusterId: master.clusterId,
    silenceMs: master.settings.silenceMs,
  });
  // It is right about what it has: operations that it did not carry out are not there.
  agent.total = resourceSet(pending.info.resources);
  agentIsThere(master, agent);
  const { executors, operations } = pending.report;
  reconcileReport(master, agent, pending, neverActed, now);
  reconcileExecutors(master, agent, executors);
  reconcileOperations(master, agent, operations, neverCarriedOut);
}

/** The tasks that an order starts. */
function launchesOf(order: Order): readonly string[] {
  switch (order.type) {
    case "launch":
      return [launchKey(order.framework.id, order.task.task_id.value)];
    case "launch-group":
      return order.tasks.map((task) => launchKey(order.framework.id, task.task_id.value));
    default:
      return [];
  }
}
