// What the master says to agents' sockets.
import type { PlaneMessage } from "#protocol/agent.ts";
import type { FrameworkId, TaskId } from "#protocol/ids.ts";
import type { AgentRecord, Connection, Master } from "./state.ts";

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
