// What registered agents say: orders acted upon, updates, statistics. And what is done about those that do not act.
import { unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentMessage } from "#protocol/agent.ts";
import type { SessionId } from "#protocol/ids.ts";
import { onRegister, type AgentSender } from "./registration.ts";
import { onSocketClosed, registeredAt } from "./absence.ts";
import { onExecutorExited, onFrameworkMessage } from "./executors.ts";
import { onOperationUpdate } from "./operations.ts";
import { acknowledge, clip, closeStranger } from "./sockets.ts";
import type { AgentRecord, Ids, Master } from "./state.ts";
import { askRegistry } from "./effects.ts";
import { onUpdate } from "./tasks.ts";

/** An order that the agent has not acted upon after this long, ms: its socket is closed, and the new registration tells. */
export const STALE_ORDER_MS = 30_000;

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
    case "unregister":
      return onUnregister(master, sender, message);
    case "statistics": {
      const agent = registeredAt(master, sender.from);
      if (agent === undefined) return closeStranger(master, sender.from);
      agent.system = message.system;
      return;
    }
    case "operation-updates":
      return onOperationUpdates(master, sender, message, now);
    case "executor-exited": {
      const agent = inSession(master, sender, message.session);
      if (agent !== undefined) onExecutorExited(master, agent, message);
      return;
    }
    case "framework-message": {
      const agent = inSession(master, sender, message.session);
      if (agent !== undefined) onFrameworkMessage(master, agent, message);
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

function onActed(master: Master, sender: AgentSender, message: Extract<AgentMessage, { type: "acted" }>): void {
  const agent = registeredAt(master, sender.from);
  if (agent === undefined) return closeStranger(master, sender.from);
  if (agent.session !== message.session) return;
  const before = agent.orders.length;
  agent.orders = agent.orders.filter(({ sequence }) => sequence > message.sequence);
  if (agent.orders.length === 0) master.ordered.delete(agent.agentId);
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
    const valid = result !== "unknown-framework" && result !== "foreign-task";
    master.counters[valid ? "master/valid_status_updates" : "master/invalid_status_updates"]++;
    const { uuid, task_id } = update.status;
    // Nobody is left who could acknowledge, or has to: the master does, so that the agent may forget. An update of a framework that is
    // merely unknown stays with the agent.
    if (result !== "forwarded" && result !== "unknown-framework" && uuid !== undefined) {
      acknowledge(master, agent, { frameworkId: update.frameworkId, taskId: task_id.value }, [uuid]);
    }
  }
}

/** The agent that speaks, if this is its newest session. A stranger's socket is closed. */
function inSession(master: Master, { from }: AgentSender, session: SessionId): AgentRecord | undefined {
  const agent = registeredAt(master, from);
  if (agent === undefined) closeStranger(master, from);
  return agent?.session === session ? agent : undefined;
}

function onOperationUpdates(
  master: Master,
  sender: AgentSender,
  message: Extract<AgentMessage, { type: "operation-updates" }>,
  now: Millis,
): void {
  const agent = inSession(master, sender, message.session);
  if (agent === undefined) return;
  let failed: string | undefined;
  for (const update of message.updates) {
    // Told before, and repeated because nobody has acknowledged it yet.
    const isNew = agent.operations.get(update.operationUuid)?.status === undefined;
    if (isNew && update.status.state === "OPERATION_FAILED") failed = update.status.message ?? "an operation failed";
    onOperationUpdate(master, agent, update);
  }
  // [M68] The books have done it already: what the agent has, it says when it registers again.
  if (failed !== undefined) disconnectAgent(master, agent, `the agent could not do it: ${clip(failed)}`, now);
}

function disconnectAgent(master: Master, { connection }: AgentRecord, reason: string, now: Millis): void {
  if (connection === undefined) return;
  master.effects.push({ type: "close-socket", to: connection, reason });
  onSocketClosed(master, connection, now);
}

/** The agent leaves for good: the registry first. Its answer is `shutdown`. */
function onUnregister(
  master: Master,
  sender: AgentSender,
  message: Extract<AgentMessage, { type: "unregister" }>,
): void {
  master.counters["master/messages_unregister_slave"]++;
  const agent = registeredAt(master, sender.from);
  if (agent === undefined) return closeStranger(master, sender.from);
  const { agentId } = agent;
  if (agent.session !== message.session || master.transitions.has(agentId)) return;
  master.transitions.set(agentId, "removing");
  askRegistry(
    master,
    { type: "agent-removed", agentId, why: "unregistered" },
    { type: "remove-agent", agentId, strict: master.settings.strict },
    { who: sender.principal, why: "the agent leaves the cluster" },
  );
}

/** Closes the sockets of agents that do not act: the registration that follows says which orders they have. */
export function closeStale(master: Master, now: Millis): void {
  for (const agentId of [...master.ordered]) {
    const agent = master.agents.get(agentId);
    const oldest = agent?.orders[0];
    if (agent?.connection === undefined || oldest === undefined || now - oldest.sentAt < STALE_ORDER_MS) continue;
    disconnectAgent(master, agent, "the agent does not act upon its orders", now);
  }
}
