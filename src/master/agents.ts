// Agents as the master sees them: admission through the registry, sessions, orders and their confirmation, updates.
// Rules: nobody is registered before the admission is committed [M1]; a re-registration voids the older session, and only its
// report is evidence that a launch never happened [M4]; what a stale socket says changes nothing [M3].
import { present, unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentMessage, TaskReport } from "#protocol/agent.ts";
import type { AgentId, HostKey, Principal, SessionId } from "#protocol/ids.ts";
import { isTerminal, type TaskStatus } from "#protocol/task.ts";
import { resourceProblem } from "#resources/resources.ts";
import type { Outcome } from "#registrar/registrar.ts";
import type { AdmittedAgent, Registry } from "#registrar/registry.ts";
import { recoverFramework } from "./frameworks.ts";
import { removeOffersOf } from "./offers.ts";
import {
  give,
  markTask,
  setConnection,
  socketKey,
  type AgentRecord,
  type Connection,
  type FrameworkRecord,
  type Ids,
  type Master,
  type PendingRegistration,
  type TaskRecord,
} from "./state.ts";
import { addTask, completeTask, endTask, onUpdate, recordStatus, setLatest } from "./tasks.ts";

/** Most tasks that one agent may report, so that a hostile one cannot fill the master. */
export const REPORTED_TASKS_MAX = 10_000;
/** An order that the agent has not acted upon after this long, ms: its socket is closed, and the new registration tells. */
export const STALE_ORDER_MS = 30_000;

type Register = Extract<AgentMessage, { type: "register" }>;

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

export function onAgentMessage(
  master: Master,
  sender: AgentSender,
  message: AgentMessage,
  ids: Ids,
  now: Millis,
): void {
  switch (message.type) {
    case "register":
      return onRegister(master, sender, message, ids, now);
    case "acted":
      return onActed(master, sender, message);
    case "updates":
      return onUpdates(master, sender, message);
    case "statistics": {
      const agent = registeredAt(master, sender.from);
      if (agent === undefined) return closeStranger(master, sender.from);
      agent.system = message.system;
      return;
    }
    case "authenticate":
    case "authentication-step":
    case "response":
      // The gateway's own business; a gateway that passes it on is from another release.
      return;
    default:
      return unreachable(message);
  }
}

/** The agent whose current socket this is. Anything from another socket is from a session that is over. */
function registeredAt(master: Master, from: Connection): AgentRecord | undefined {
  const agentId = master.agentBySocket.get(socketKey(from));
  return agentId === undefined ? undefined : master.agents.get(agentId);
}

/** A socket that the books do not have, though its agent believes itself registered: it must register again [M3]. */
function closeStranger(master: Master, to: Connection): void {
  master.effects.push({
    type: "close-socket",
    to,
    reason: "this socket is not registered here (any more): register again",
  });
}

function reply(
  master: Master,
  to: Connection,
  message: Extract<Master["effects"][number], { type: "send" }>["message"],
): void {
  master.effects.push({ type: "send", to, message });
}

function onRegister(master: Master, sender: AgentSender, message: Register, ids: Ids, now: Millis): void {
  const { from, hostKey, principal } = sender;
  const report = wholeReport(master, from, message);
  if (report.type === "refused") reply(master, from, { type: "unavailable", reason: report.reason });
  if (report.type !== "whole") return;
  const { tasks } = report;
  const problem = message.info.resources.map(resourceProblem).find((text) => text !== undefined);
  if (problem !== undefined) {
    reply(master, from, { type: "refused", reason: clip(`the agent's resources: ${problem}`) });
    return;
  }
  const registered = registeredAt(master, from);
  if (registered !== undefined && registered.session !== message.lastSession) {
    // Composed before this socket's agent knew its current session: it says nothing about orders given since [M4].
    closeStranger(master, from);
    onSocketClosed(master, from);
    return;
  }
  master.counters[
    message.agentId === undefined ? "master/messages_register_slave" : "master/messages_reregister_slave"
  ]++;
  const ofHost = master.agentByHost.get(hostKey);
  if (message.agentId !== undefined && message.agentId !== ofHost) {
    const known = master.agents.has(message.agentId);
    reply(master, from, {
      type: "refused",
      reason: known
        ? `agent ${message.agentId} belongs to another host`
        : `agent ${message.agentId} is not in this cluster's registry; to join as a new agent, start with an empty work directory`,
    });
    return;
  }
  // Two first registrations of one host in a row: the first is still being committed and will answer both.
  for (const pending of master.registrations.values()) {
    if (pending.hostKey !== hostKey) continue;
    if (pending.from === undefined) {
      pending.from = from;
      pending.tasks = tasks;
    } else if (socketKey(pending.from) !== socketKey(from)) {
      reply(master, from, { type: "unavailable", reason: "an earlier registration of this host is being committed" });
    }
    return;
  }
  if (ofHost === undefined) {
    const agentId = `${master.masterId}-S${master.nextAgent++}` as AgentId;
    master.marked.counters = true;
    const pending = {
      from,
      hostKey,
      principal,
      agentId,
      info: message.info,
      tasks,
      system: message.system,
      first: true,
    };
    commit(
      master,
      pending,
      { type: "admit-agent", agentId, info: message.info, hostKey, principal },
      "first registration",
    );
    return;
  }
  const agent = present(master.agents.get(ofHost), "agent of a host key");
  const current =
    message.lastSession === agent.session || (!agent.confirmed && message.lastSession === agent.sessionBefore);
  if (agent.connection !== undefined && socketKey(agent.connection) !== socketKey(from) && !current) {
    // A copy of this agent's disk runs elsewhere: only one of the two may go on.
    reply(master, from, {
      type: "unavailable",
      reason: `agent ${ofHost} has another live socket with a newer session`,
    });
    return;
  }
  const pending = {
    from,
    hostKey,
    principal,
    agentId: ofHost,
    info: message.info,
    tasks,
    system: message.system,
    first: false,
  };
  if (JSON.stringify(agent.info) === JSON.stringify(message.info)) {
    completeRegistration(master, agent, pending, ids, now);
  } else {
    commit(
      master,
      pending,
      { type: "update-agent", agentId: ofHost, info: message.info },
      "the agent's description changed",
    );
  }
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

/** A reason on the wire has at most 1,024 letters. */
const clip = (reason: string): string => reason.slice(0, 1000);

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

const launchKey = (frameworkId: string, taskId: string): string => `${frameworkId}\n${taskId}`;

/** Brings the books in line with what the agent has. The agent is right about its tasks. */
function reconcileReport(
  master: Master,
  agent: AgentRecord,
  reports: readonly TaskReport[],
  neverActed: ReadonlySet<string>,
  now: Millis,
): void {
  // The agent may report the last word of a task that the framework has acknowledged: that is no report of a later task
  // under the same id.
  const fresh = reports.filter((report) => !forgetAcknowledged(master, agent, report));
  const reported = new Set(fresh.map(({ framework, task }) => launchKey(framework.id, task.task_id.value)));
  for (const task of [...(master.tasksByAgent.get(agent.agentId) ?? [])]) {
    const framework = present(master.frameworks.get(task.frameworkId), "framework of a task in the books");
    const key = launchKey(framework.id, task.info.task_id.value);
    if (reported.has(key) || isTerminal(task.latest)) continue;
    if (neverActed.has(key)) {
      endTask(master, framework, task, "TASK_DROPPED", now, {
        reason: "REASON_AGENT_DISCONNECTED",
        message: "The agent registered again without having received this launch",
      });
    } else {
      endTask(master, framework, task, "TASK_GONE", now, {
        reason: "REASON_RECONCILIATION",
        message: "The agent registered again and does not have this task",
      });
    }
  }
  const removed = new Set<FrameworkRecord>();
  for (const report of fresh) {
    const framework = adoptReport(master, agent, report, now);
    if (framework.status.state === "removed" && framework.tasks.size > 0) removed.add(framework);
  }
  for (const framework of removed) give(master, agent, { type: "shutdown-framework", frameworkId: framework.id }, now);
}

/** Acknowledges again what the history shows as acknowledged, and says whether the report was that. */
function forgetAcknowledged(master: Master, agent: AgentRecord, report: TaskReport): boolean {
  if (!isTerminal(report.latest)) return false;
  const framework = findFramework(master, report.framework.id);
  const uuids = new Set(report.statuses.flatMap(({ uuid }) => uuid ?? []));
  const known = framework?.completedTasks.some(
    (task) => task.agentId === agent.agentId && task.statuses.some(({ uuid }) => uuid !== undefined && uuids.has(uuid)),
  );
  const nobodyWaits = framework !== undefined && !master.frameworks.has(framework.id);
  if (known !== true && !nobodyWaits) return false;
  acknowledgeAll(master, agent, report);
  return true;
}

function findFramework(master: Master, id: FrameworkRecord["id"]): FrameworkRecord | undefined {
  return master.frameworks.get(id) ?? master.completedFrameworks.find((framework) => framework.id === id);
}

/** Takes a reported task into the books and returns its framework. */
function adoptReport(master: Master, agent: AgentRecord, report: TaskReport, now: Millis): FrameworkRecord {
  const { task: info, latest, statuses } = report;
  const taskId = info.task_id.value;
  const framework = findFramework(master, report.framework.id) ?? recoverFramework(master, report.framework, now);
  if (!master.frameworks.has(framework.id)) {
    // Its task is alive after all: the framework is being removed again until the task has ended.
    master.completedFrameworks.splice(master.completedFrameworks.indexOf(framework), 1);
    master.frameworks.set(framework.id, framework);
    master.marked.frameworks.add(framework.id);
  }
  const task =
    framework.tasks.get(taskId) ??
    addTask(master, framework, { agentId: agent.agentId, info, latest: "TASK_STAGING", launchedAt: now });
  if (task.agentId !== agent.agentId) return framework;
  setLatest(master, task, latest);
  // Only the head: the agent holds the rest back until this one is acknowledged.
  const [head] = statuses;
  if (head !== undefined) recordStatus(master, task, { ...head, agent_id: { value: agent.agentId } });
  if (framework.status.state === "removed") {
    if (isTerminal(latest)) {
      acknowledgeAll(master, agent, report);
      completeTask(master, framework, task);
    }
    return framework;
  }
  markTask(master, framework.id, taskId);
  if (task.kill !== undefined && !isTerminal(latest)) orderKill(master, agent, task, now);
  return framework;
}

function acknowledgeAll(master: Master, agent: AgentRecord, report: TaskReport): void {
  if (agent.connection === undefined || agent.session === undefined) return;
  const taskId = report.task.task_id.value;
  const acknowledgements = report.statuses.flatMap(({ uuid }) =>
    uuid === undefined ? [] : [{ frameworkId: report.framework.id, taskId, uuid }],
  );
  if (acknowledgements.length === 0) return;
  reply(master, agent.connection, {
    type: "acknowledge",
    epoch: master.epoch,
    session: agent.session,
    acknowledgements,
  });
}

export function orderKill(master: Master, agent: AgentRecord, task: TaskRecord, now: Millis): void {
  give(
    master,
    agent,
    { type: "kill", frameworkId: task.frameworkId, taskId: task.info.task_id.value, killPolicy: task.kill?.policy },
    now,
  );
}

function onActed(master: Master, sender: AgentSender, message: Extract<AgentMessage, { type: "acted" }>): void {
  const agent = registeredAt(master, sender.from);
  if (agent === undefined) return closeStranger(master, sender.from);
  if (agent.session !== message.session) return;
  const before = agent.orders.length;
  agent.orders = agent.orders.filter(({ sequence }) => sequence > message.sequence);
  if (agent.orders.length !== before) {
    master.marked.orders.push({ type: "acted", agentId: agent.agentId, sequence: message.sequence });
  }
  if (!agent.confirmed) master.marked.agents.add(agent.agentId);
  agent.confirmed = true;
}

function onUpdates(master: Master, sender: AgentSender, message: Extract<AgentMessage, { type: "updates" }>): void {
  const agent = registeredAt(master, sender.from);
  const stale = agent === undefined || agent.session !== message.session;
  if (agent === undefined) closeStranger(master, sender.from);
  for (const update of message.updates) {
    master.counters["master/messages_status_update"]++;
    if (stale) {
      master.counters["master/invalid_status_updates"]++;
      continue;
    }
    const result = onUpdate(master, agent.agentId, update);
    const valid = result === "forwarded" || result === "framework-removed";
    master.counters[valid ? "master/valid_status_updates" : "master/invalid_status_updates"]++;
    if (result !== "forwarded") acknowledgeUpdate(master, agent, update.frameworkId, update.status);
  }
}

/** Nobody is left who could acknowledge: the master does, so that the agent may forget. */
function acknowledgeUpdate(
  master: Master,
  agent: AgentRecord,
  frameworkId: FrameworkRecord["id"],
  status: TaskStatus,
): void {
  if (agent.connection === undefined || agent.session === undefined || status.uuid === undefined) return;
  const acknowledgements = [{ frameworkId, taskId: status.task_id.value, uuid: status.uuid }];
  reply(master, agent.connection, {
    type: "acknowledge",
    epoch: master.epoch,
    session: agent.session,
    acknowledgements,
  });
}

/** A socket is gone. Its agent keeps its tasks; its offers do not stand. */
export function onSocketClosed(master: Master, from: Connection): void {
  master.partialReports.delete(socketKey(from));
  for (const pending of master.registrations.values()) {
    if (pending.from !== undefined && socketKey(pending.from) === socketKey(from)) pending.from = undefined;
  }
  const agent = registeredAt(master, from);
  if (agent === undefined) return;
  setConnection(master, agent, undefined);
  removeOffersOf(master, (offer) => offer.agentId === agent.agentId, { rescind: true });
}

/** A gateway's whole live set: what the books have of it beyond that is gone. */
export function onGatewayLive(master: Master, gateway: string, live: readonly string[]): void {
  const alive = new Set(live);
  const dead = (connection: Connection | undefined): connection is Connection =>
    connection?.gateway === gateway && !alive.has(connection.socketId);
  for (const { connection } of master.agents.values()) if (dead(connection)) onSocketClosed(master, connection);
  for (const { from } of master.registrations.values()) if (dead(from)) onSocketClosed(master, from);
  for (const key of master.partialReports.keys()) {
    if (key.startsWith(`${gateway}/`) && !alive.has(key.slice(gateway.length + 1))) master.partialReports.delete(key);
  }
}

/** Closes the sockets of agents that do not act: the registration that follows says which orders they have. */
export function closeStale(master: Master, now: Millis): void {
  for (const agent of master.agents.values()) {
    const oldest = agent.orders[0];
    if (agent.connection === undefined || oldest === undefined || now - oldest.sentAt < STALE_ORDER_MS) continue;
    master.effects.push({
      type: "close-socket",
      to: agent.connection,
      reason: "the agent does not act upon its orders",
    });
    onSocketClosed(master, agent.connection);
  }
}
