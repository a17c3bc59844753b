// Sends the head of every stream until it is acknowledged. Holds only what may be lost: the durable part of each stream is
// in the checkpoint, which the caller has written before it tells the manager of an update.
import type { Millis } from "#base/time.ts";
import { FRAME_ITEMS_MAX, type Update } from "#protocol/agent.ts";
import type { FrameworkId } from "#protocol/ids.ts";
import { type AgentState, latestState, type TaskKey } from "../checkpoint/state.ts";
import { afterSending, type Delivery, isDue } from "./stream.ts";

export class StatusUpdateManager {
  readonly #deliveries = new Map<TaskKey, Delivery>();

  /** The updates to send now, in frames of at most FRAME_ITEMS_MAX; each counts as sent. */
  takeDue(state: AgentState, now: Millis): Update[][] {
    const due: Update[] = [];
    for (const [key, { pending }] of state.streams) {
      const head = pending[0];
      if (head === undefined) continue;
      const delivery = this.#deliveries.get(key);
      if (!isDue(head, delivery, now)) continue;
      this.#deliveries.set(key, afterSending(head, delivery, now));
      const frameworkId = key.slice(0, key.indexOf("/")) as FrameworkId;
      due.push({ frameworkId, status: head, latest: latestState(state, key) });
    }
    for (const key of this.#deliveries.keys()) if (!state.streams.has(key)) this.#deliveries.delete(key);
    const frames: Update[][] = [];
    for (let at = 0; at < due.length; at += FRAME_ITEMS_MAX) frames.push(due.slice(at, at + FRAME_ITEMS_MAX));
    return frames;
  }

  /** Whether every head was sent since the last registration: what is left to do is the frameworks'. */
  allSent(state: AgentState): boolean {
    for (const [key, { pending }] of state.streams)
      if (pending[0] !== undefined && this.#deliveries.get(key)?.uuid !== pending[0].uuid) return false;
    return true;
  }

  /** A new registration: every head is due at once, and waits 10 s again (reference §7, "resume"). */
  resendAll(): void {
    this.#deliveries.clear();
  }

  /** When the next head is due, or undefined when none is outstanding. */
  nextDue(state: AgentState): Millis | undefined {
    let next: Millis | undefined;
    for (const [key, { pending }] of state.streams) {
      const head = pending[0];
      if (head === undefined) continue;
      const delivery = this.#deliveries.get(key);
      const dueAt = delivery !== undefined && delivery.uuid === head.uuid ? delivery.dueAt : (0 as Millis);
      if (next === undefined || dueAt < next) next = dueAt;
    }
    return next;
  }
}
