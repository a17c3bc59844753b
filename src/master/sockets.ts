// The master's view of agents' sockets: which agent is behind one, what is said to it, and what its loss means.
// Rule: what a socket says that is not the agent's current one changes nothing [M3].
import type { PlaneMessage } from "#protocol/agent.ts";
import type { FrameworkId, TaskId } from "#protocol/ids.ts";
import { removeOffersOf } from "./offers.ts";
import { setConnection, socketKey, type AgentRecord, type Connection, type Master } from "./state.ts";

/** The agent whose current socket this is. Anything from another socket is from a session that is over. */
export function registeredAt(master: Master, from: Connection): AgentRecord | undefined {
  const agentId = master.agentBySocket.get(socketKey(from));
  return agentId === undefined ? undefined : master.agents.get(agentId);
}

/** A socket that the books do not have, though its agent believes itself registered: it must register again [M3]. */
export function closeStranger(master: Master, to: Connection): void {
  master.effects.push({
    type: "close-socket",
    to,
    reason: "this socket is not registered here (any more): register again",
  });
}

export function reply(master: Master, to: Connection, message: PlaneMessage): void {
  master.effects.push({ type: "send", to, message });
}

/** Tells the agent that somebody has these updates: it may forget them. Repeating it is harmless. */
export function acknowledge(
  master: Master,
  agent: AgentRecord,
  task: { readonly frameworkId: FrameworkId; readonly taskId: TaskId },
  uuids: readonly string[],
): void {
  if (agent.connection === undefined || agent.session === undefined || uuids.length === 0) return;
  const acknowledgements = uuids.map((uuid) => ({ ...task, uuid }));
  reply(master, agent.connection, {
    type: "acknowledge",
    epoch: master.epoch,
    session: agent.session,
    acknowledgements,
  });
}

/** A reason on the wire has at most 1,024 letters. */
export const clip = (reason: string): string => reason.slice(0, 1000);

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
