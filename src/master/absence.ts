// Agents that are not there: whose deadline runs from when, and what begins at its end. The registry first, then the news [M22].
//
// One lost socket is one agent's problem, and has the time of five pings. A gateway that begins anew, a fifth of its sockets gone
// in one sweep, a new leader or a plane that was away is ours: nobody is given up before the re-registration timeout.
import { millis, type Millis } from "#base/time.ts";
import { agentIsAway } from "./allocation.ts";
import { rescindOffersOn } from "./offers.ts";
import { nextPermit, takePermit } from "./permits.ts";
import type { AgentId } from "#protocol/ids.ts";
import {
  gatewayRecord,
  setConnection,
  setWaiting,
  socketKey,
  type AgentRecord,
  type Connection,
  type GatewayRecord,
  type Master,
} from "./state.ts";
import { askRegistry } from "./effects.ts";

/** Losses of one gateway within this time count together, ms: the time between two of its sweeps. */
export const SWEEP_MS = 30_000;
/** More than this share of a gateway's sockets, and more than {@link MASS_LOSS_MIN}, is no single agent's fault. */
export const MASS_LOSS_SHARE = 0.2;
export const MASS_LOSS_MIN = 2;
/** Time that a gateway has to answer before its agents count as disconnected, ms. */
export const GATEWAY_ANSWER_MS = 60_000;
/** A deadline that is found this late, ms, was not looked at in time: the plane itself was away. */
export const AGENT_OVERDUE_MS = 30_000;
/** Transitions that one tick begins; the next tick goes on. */
const TRANSITIONS_IN_TICK_MAX = 1_000;

/** The agent whose current socket this is. Anything from another socket is from a session that is over. */
export function registeredAt(master: Master, from: Connection): AgentRecord | undefined {
  const agentId = master.agentBySocket.get(socketKey(from));
  return agentId === undefined ? undefined : master.agents.get(agentId);
}

/** When an absent agent is given up; undefined for one that is connected. */
export function deadlineOf(master: Master, agent: AgentRecord): Millis | undefined {
  if (agent.connection !== undefined) return undefined;
  if (agent.session !== undefined) return agent.deadline;
  return millis(Math.max(master.recoveredDeadline, agent.deadline ?? 0));
}

export type Loss =
  /** Closed, or silent since then. */
  | { readonly type: "socket"; readonly silentSince: Millis | undefined }
  /** The gateway does not have it any more, and may not know when it went. */
  | { readonly type: "gateway" };

const SOCKET_CLOSED: Loss = { type: "socket", silentSince: undefined };

/** A socket is gone. Its agent keeps its tasks; its offers do not stand, and its deadline runs. */
export function onSocketClosed(master: Master, from: Connection, now: Millis, loss: Loss = SOCKET_CLOSED): void {
  master.partialReports.delete(socketKey(from));
  const pending = master.registrationBySocket.get(socketKey(from));
  if (pending !== undefined) setWaiting(master, pending, undefined);
  const agent = registeredAt(master, from);
  if (agent === undefined) return;
  setConnection(master, agent, undefined, now);
  agentIsAway(master, agent.agentId);
  const { silenceMs, reregisterTimeoutMs } = master.settings;
  if (loss.type === "gateway") agent.deadline = millis(now + reregisterTimeoutMs);
  else {
    agent.deadline = millis(Math.max(now, (loss.silentSince ?? now) + silenceMs));
    noteLoss(master, gatewayRecord(master, from.gateway, now), agent, now);
  }
  rescindOffersOn(master, agent.agentId);
}

/** [M23] Too many at once: everybody who went within the sweep has the longer time. */
function noteLoss(master: Master, gateway: GatewayRecord, agent: AgentRecord, now: Millis): void {
  while (gateway.losses[0] !== undefined && now - gateway.losses[0].at >= SWEEP_MS) gateway.losses.shift();
  gateway.losses.push({ agentId: agent.agentId, at: now });
  const lost = gateway.losses.length;
  const had = lost + gateway.sockets;
  if (lost <= MASS_LOSS_MIN || lost <= had * MASS_LOSS_SHARE) {
    gateway.isMassLoss = false;
    return;
  }
  // Whoever went before the line was crossed, once; then each one that follows.
  const late = gateway.isMassLoss ? gateway.losses.slice(-1) : gateway.losses;
  gateway.isMassLoss = true;
  for (const { agentId, at } of late) {
    const one = master.agents.get(agentId);
    if (one === undefined || one.connection !== undefined || one.session === undefined) continue;
    master.overdue.delete(agentId);
    one.deadline = millis(Math.max(one.deadline ?? 0, at + master.settings.reregisterTimeoutMs));
    master.marked.agents.add(agentId);
  }
}

/**
 * A gateway has said something: it is alive. False when it was an earlier incarnation, whose call came behind one of its successor: what
 * it knows of sockets and registrations is of the past, and counts for nothing [M37].
 */
export function onGatewayHeard(master: Master, name: string, now: Millis, incarnation = 0): boolean {
  const gateway = gatewayRecord(master, name, now);
  if (incarnation > 0 && incarnation < gateway.incarnation) return false;
  gateway.incarnation = Math.max(gateway.incarnation, incarnation);
  gateway.heardAt = now;
  gateway.asked = false;
  return true;
}

/** A gateway's whole live set: what the books have of it beyond that is gone. */
export function onGatewayLive(master: Master, gateway: string, live: readonly string[], now: Millis): void {
  const alive = new Set(live);
  const dead = (connection: Connection | undefined): connection is Connection =>
    connection?.gateway === gateway && !alive.has(connection.socketId);
  for (const { connection } of master.agents.values())
    if (dead(connection)) onSocketClosed(master, connection, now, { type: "gateway" });
  for (const { from } of master.registrationByHost.values()) if (dead(from)) onSocketClosed(master, from, now);
  for (const key of master.partialReports.keys()) {
    if (key.startsWith(`${gateway}/`) && !alive.has(key.slice(gateway.length + 1))) master.partialReports.delete(key);
  }
}

/** The plane was away, or nobody looked: deadlines did not run fairly. */
export function excuseAgents(master: Master, now: Millis, { wasAway }: { readonly wasAway: boolean }): void {
  const fair = millis(now + master.settings.reregisterTimeoutMs);
  const isUnfair = (deadline: Millis): boolean => wasAway || now - deadline > AGENT_OVERDUE_MS;
  if (isUnfair(master.recoveredDeadline)) {
    master.recoveredDeadline = millis(Math.max(master.recoveredDeadline, fair));
    master.marked.recovery = true;
  }
  for (const agentId of master.absent) {
    const agent = master.agents.get(agentId);
    if (agent === undefined) continue;
    // Without one it was lost while nobody could note it.
    if (agent.deadline !== undefined && !isUnfair(agent.deadline)) continue;
    agent.deadline = millis(Math.max(agent.deadline ?? 0, fair));
    master.overdue.delete(agentId);
    master.marked.agents.add(agentId);
  }
  if (master.recoveredDeadline > now) for (const agentId of master.recovered) master.overdue.delete(agentId);
  for (const gateway of master.gateways.values()) gateway.heardAt = now;
}

/** An agent that registers while it waits for its end is spared. */
export function spare(master: Master, agent: AgentRecord): void {
  if (master.overdue.delete(agent.agentId)) master.counters["master/slave_unreachable_canceled"]++;
}

/** Begins what has fallen due, as far as there are permits. */
export function endAbsences(master: Master, now: Millis): void {
  askSilentGateways(master, now);
  if (stopsForRecovery(master, now)) return;
  for (const agentId of mayBeOverdue(master, now)) {
    const agent = master.agents.get(agentId);
    const deadline = agent === undefined ? undefined : deadlineOf(master, agent);
    if (agent === undefined || deadline === undefined || deadline > now || isDecidedOn(master, agentId)) continue;
    master.overdue.add(agentId);
    if (wayOut(master, agent) === "unreachable") master.counters["master/slave_unreachable_scheduled"]++;
  }
  let begun = 0;
  const exhausted = new Set<WayOut>();
  for (const agentId of master.overdue) {
    if (begun === TRANSITIONS_IN_TICK_MAX) return;
    const agent = master.agents.get(agentId);
    // Somebody else decides on it by now: an operator, or its own registration.
    if (agent === undefined || master.transitions.has(agentId) || master.registrationByAgent.has(agentId)) {
      master.overdue.delete(agentId);
      continue;
    }
    const way = wayOut(master, agent);
    // Who waits for a permit of one kind holds nobody up that needs another.
    if (exhausted.has(way)) continue;
    if (!giveUp(master, agent, way, now)) {
      exhausted.add(way);
      continue;
    }
    begun += 1;
    master.overdue.delete(agentId);
  }
}

/** Whether it waits already, or the registry is asked about it, be it by its own registration [M35]. */
const isDecidedOn = (master: Master, agentId: AgentId): boolean =>
  master.overdue.has(agentId) || master.transitions.has(agentId) || master.registrationByAgent.has(agentId);

type WayOut = "unreachable" | "removed";

/** Write-only: what a failover left behind is removed without a word. */
const wayOut = ({ settings }: Master, agent: AgentRecord): WayOut =>
  !settings.strict && agent.session === undefined ? "removed" : "unreachable";

/** Recovered agents share one deadline, which is asked for after each turn: they are looked at one by one only once it has passed. */
function* mayBeOverdue(master: Master, now: Millis): Iterable<AgentId> {
  yield* master.absent;
  if (master.recoveredDeadline <= now) yield* master.recovered;
}

/** Source: Mesos recovery_agent_removal_limit. More missing than that is our own mistake, not so many dead machines. */
function stopsForRecovery(master: Master, now: Millis): boolean {
  const { recoveredOf, recoveredDeadline, settings } = master;
  if (recoveredOf === undefined || now < recoveredDeadline) return false;
  const missing = master.recovered.size;
  if (recoveredOf > 0 && missing / recoveredOf > settings.recoveryRemovalLimit) {
    const reason = `${missing} of ${recoveredOf} agents of the registry did not come back within the re-registration timeout, more than RECOVERY_AGENT_REMOVAL_LIMIT allows; nothing was changed`;
    master.effects.push({ type: "stop-leading", reason });
    return true;
  }
  master.recoveredOf = undefined;
  master.marked.recovery = true;
  return false;
}

/** False when there is no permit now. */
function giveUp(master: Master, agent: AgentRecord, way: WayOut, now: Millis): boolean {
  const { settings } = master;
  const { agentId } = agent;
  const isRecovered = agent.session === undefined;
  if (way === "removed") {
    if (!takePermit(master.removalPermits, settings.removalRateLimit, now)) return false;
    master.transitions.set(agentId, "removing");
    askRegistry(
      master,
      { type: "agent-removed", agentId, why: "recovery" },
      { type: "remove-agent", agentId, strict: false },
      { who: "master", why: "it did not come back after a failover" },
    );
    return true;
  }
  if (!takePermit(master.unreachablePermits, settings.unreachableRateLimit, now)) return false;
  master.transitions.set(agentId, "marking-unreachable");
  askRegistry(
    master,
    { type: "agent-unreachable", agentId },
    { type: "mark-agent-unreachable", agentId },
    { who: "master", why: isRecovered ? "it did not come back after a failover" : "it was silent for too long" },
  );
  return true;
}

/** [M24] An agent that dies together with its gateway is found all the same: the deadline is ours. */
function askSilentGateways(master: Master, now: Millis): void {
  for (const [name, gateway] of master.gateways) {
    const due = gatewayDue(master, gateway);
    if (due === undefined || due > now) continue;
    if (!gateway.asked) {
      gateway.asked = true;
      master.effects.push({ type: "ask-gateway", gateway: name });
      continue;
    }
    for (const { connection } of master.agents.values()) {
      if (connection?.gateway === name) onSocketClosed(master, connection, now, { type: "gateway" });
    }
  }
}

/**
 * After as long as an agent may take to register again: each look wakes this master, and all of its rows with it. What a gateway can
 * say by itself, it says at once.
 */
function gatewayDue({ settings }: Master, { heardAt, asked, sockets }: GatewayRecord): Millis | undefined {
  if (sockets === 0) return undefined;
  return millis(heardAt + settings.reregisterTimeoutMs + (asked ? GATEWAY_ANSWER_MS : 0));
}

/** When {@link endAbsences} next has something to do. */
export function nextAbsence(master: Master, now: Millis): Millis | undefined {
  const due: Millis[] = [];
  if (master.recovered.size > 0 && master.recoveredDeadline > now) due.push(master.recoveredDeadline);
  for (const agentId of mayBeOverdue(master, now)) {
    const agent = master.agents.get(agentId);
    const deadline = agent === undefined ? undefined : deadlineOf(master, agent);
    if (deadline === undefined || isDecidedOn(master, agentId)) continue;
    due.push(deadline);
  }
  const waiting = new Set<WayOut>();
  for (const agentId of master.overdue) {
    const agent = master.agents.get(agentId);
    if (agent !== undefined) waiting.add(wayOut(master, agent));
    if (waiting.size === 2) break;
  }
  const { unreachableRateLimit, removalRateLimit } = master.settings;
  if (waiting.has("unreachable")) due.push(nextPermit(master.unreachablePermits, unreachableRateLimit));
  if (waiting.has("removed")) due.push(nextPermit(master.removalPermits, removalRateLimit));
  for (const gateway of master.gateways.values()) {
    const next = gatewayDue(master, gateway);
    if (next !== undefined) due.push(next);
  }
  return due.length === 0 ? undefined : millis(Math.min(...due));
}
