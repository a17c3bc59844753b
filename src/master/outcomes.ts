// What the registry decided, and what follows: each operation that the master asked for, by what waits for it.
import { assert, unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentId } from "#protocol/ids.ts";
import type { Outcome } from "#registrar/registrar.ts";
import { followRegistry, onGone, onRemoved, onUnreachable } from "./departure.ts";
import { removeFramework } from "./frameworks.ts";
import { dropQuotaChanges, onQuotaOutcome, onWeightsOutcome } from "./operator.ts";
import { onRegistrationOutcome } from "./registration.ts";
import { clip, reply } from "./sockets.ts";
import { onNotRegistered, onRegistered } from "./subscriptions.ts";
import { endWaiting, type CallAnswer, type Ids, type Master, type PendingRegistration } from "./state.ts";
import { answer } from "./effects.ts";

/** An operation has an outcome; `master.registry` is as it is after that batch. */
export function onOutcome(master: Master, id: number, outcome: Outcome, ids: Ids, now: Millis): void {
  const pending = master.operations.get(id);
  if (pending === undefined) return;
  master.operations.delete(id);
  switch (pending.type) {
    case "registration":
      return onRegistrationOutcome(master, pending, outcome, ids, now);
    case "framework-registered":
      return onRegistered(master, pending, outcome, now);
    case "agent-unreachable": {
      if (!settles(master, pending.agentId, outcome, now)) return;
      const away = master.registry.unreachable.get(pending.agentId);
      assert(away !== undefined, "an agent whose marking was committed is unreachable");
      return onUnreachable(master, pending.agentId, away.at, now);
    }
    case "agent-removed": {
      if (settles(master, pending.agentId, outcome, now)) onRemoved(master, pending.agentId, pending.why, now);
      return;
    }
    case "agent-gone": {
      master.transitions.delete(pending.agentId);
      // Gone already is as good as gone; anything else is for whoever asked.
      if (outcome.type === "committed") onGone(master, pending.agentId, now);
      answer(master, pending.requestId, goneAnswer(outcome));
      return;
    }
    case "framework-removed": {
      master.removals.delete(pending.frameworkId);
      const isDone = outcome.type === "committed";
      const framework = master.frameworks.get(pending.frameworkId);
      if (isDone && framework !== undefined) removeFramework(master, framework, now);
      for (const requestId of pending.requestIds) {
        answer(master, requestId, isDone ? { status: 202, text: "" } : { status: 503, text: outcome.reason });
      }
      return;
    }
    case "quota-updated":
      return onQuotaOutcome(master, pending, outcome);
    case "weights-updated":
      return onWeightsOutcome(master, pending, outcome);
    case "noted":
      return;
    default:
      return unreachable(pending);
  }
}

/** Whether the transition is done. One that the registry had no room for begins again; if the agent is elsewhere by now, the books follow. */
function settles(master: Master, agentId: AgentId, outcome: Outcome, now: Millis): boolean {
  master.transitions.delete(agentId);
  if (outcome.type === "committed") return true;
  if (outcome.reason !== "registrar-full") followRegistry(master, now);
  return false;
}

function notRegistered(master: Master, pending: PendingRegistration, reason: string): void {
  const from = endWaiting(master, pending);
  if (from !== undefined) reply(master, from, { type: "unavailable", reason: clip(reason) });
}

function goneAnswer(outcome: Outcome): CallAnswer {
  if (outcome.type === "committed" || outcome.reason === "agent-gone") return { status: 200, text: "" };
  return outcome.reason === "agent-unknown"
    ? { status: 404, text: "Agent not found in the registry" }
    : { status: 503, text: `The registry refused: ${outcome.reason}` };
}

/**
 * Operations that were not acknowledged: whoever waits tries again, and the log tells what became of them. Their agents are in
 * no transition any more; the next time that this master leads, the registry says where they are.
 */
export function onNotCommitted(master: Master, operationIds: readonly number[], reason: string): void {
  for (const id of operationIds) {
    const pending = master.operations.get(id);
    if (pending === undefined) continue;
    master.operations.delete(id);
    const unknown: CallAnswer = { status: 503, text: `whether it was done is not known: ${clip(reason)}` };
    switch (pending.type) {
      case "registration":
        notRegistered(master, pending, reason);
        break;
      case "framework-registered":
        onNotRegistered(master, pending);
        break;
      case "agent-gone":
        master.transitions.delete(pending.agentId);
        answer(master, pending.requestId, unknown);
        break;
      case "agent-unreachable":
      case "agent-removed":
        master.transitions.delete(pending.agentId);
        break;
      case "framework-removed":
        master.removals.delete(pending.frameworkId);
        for (const requestId of pending.requestIds) answer(master, requestId, unknown);
        break;
      case "quota-updated":
        dropQuotaChanges(master, unknown, reason);
        break;
      case "weights-updated":
        answer(master, pending.requestId, unknown);
        break;
      case "noted":
        break;
      default:
        unreachable(pending);
    }
  }
}
