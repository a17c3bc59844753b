// What leaves a turn of the master: words to frameworks, orders to agents, questions to the registry, answers to whoever asked.
import type { Order } from "#protocol/agent.ts";
import type { TaskId } from "#protocol/ids.ts";
import type { Millis } from "#base/time.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskStatus } from "#protocol/task.ts";
import type { RegistryOperation } from "#registrar/operations.ts";
import type { AgentRecord, CallAnswer, FrameworkRecord, Master, PendingOperation } from "./state.ts";

/** Words of the master's own that are kept for a framework that is away. */
export const UNDELIVERED_MAX = 10_000;

/**
 * Tells the framework, if a stream is open. What is the master's own word on a task, and nobody will repeat, is kept until one is [M62];
 * any other event is lost, as the caller must know.
 */
export function tell(master: Master, framework: FrameworkRecord, event: SchedulerEvent): void {
  const { status } = framework;
  if (status.state === "connected") {
    // A word from the time without a stream that has not been told yet is older than this.
    if (event.type === "UPDATE") forgetWord(master, framework, event.update.status.task_id.value);
    master.effects.push({ type: "event", streamId: status.streamId, event });
  } else if (status.state !== "removed" && event.type === "UPDATE" && event.update.status.uuid === undefined)
    keep(master, framework, event.update.status);
}

function keep(master: Master, framework: FrameworkRecord, status: TaskStatus): void {
  const { id, undelivered } = framework;
  const taskId = status.task_id.value;
  undelivered.delete(taskId);
  undelivered.set(taskId, status);
  master.marked.undelivered.push({ frameworkId: id, taskId });
  for (const oldest of undelivered.keys()) {
    if (undelivered.size <= UNDELIVERED_MAX) return;
    undelivered.delete(oldest);
    master.marked.undelivered.push({ frameworkId: id, taskId: oldest });
  }
}

/** [M62] A word of the master's own on this task, which its framework has not heard before, is of the past. */
export function forgetWord(master: Master, { id: frameworkId, undelivered }: FrameworkRecord, taskId: TaskId): void {
  if (undelivered.delete(taskId)) master.marked.undelivered.push({ frameworkId, taskId });
}

/** Numbers an order within the agent's session, keeps it until the agent has acted, and sends it if the agent is there. */
export function give(master: Master, agent: AgentRecord, order: Order, now: Millis): void {
  if (agent.session === undefined || agent.connection === undefined) return;
  const numbered = { sequence: agent.nextSequence++, order };
  const pending = { ...numbered, sentAt: now };
  agent.orders.push(pending);
  master.ordered.add(agent.agentId);
  master.marked.orders.push({ type: "given", agentId: agent.agentId, order: pending });
  master.marked.agents.add(agent.agentId);
  master.effects.push({
    type: "send",
    to: agent.connection,
    message: { type: "orders", epoch: master.epoch, session: agent.session, orders: [numbered] },
  });
}

/** Asks the registry for a change. What follows from its outcome is in {@link PendingOperation}. */
export function askRegistry(
  master: Master,
  pending: PendingOperation,
  operation: RegistryOperation,
  { who, why }: { readonly who: string; readonly why: string },
): void {
  const id = master.nextOperation++;
  master.operations.set(id, pending);
  master.effects.push({ type: "registry", id, operation, who, why });
}

/** Whoever asked under `requestId` hears what it comes to. */
export function answer(master: Master, requestId: number, given: CallAnswer): void {
  master.effects.push({ type: "answer", requestId, answer: given });
}
