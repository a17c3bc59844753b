// How a framework finds out what became of its tasks (tasks-offers-and-operators §8.4): it asks for each, strikes out those
// that it hears of, and asks again for the rest, with longer and longer pauses. No answer is an answer: an agent that may
// have the task is still expected. This decides what is asked and when; the calls and the waiting are the reconciler's.
import { backoffMs, type BackoffBounds } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import { millis, type Millis } from "#base/time.ts";
import type { TaskId } from "#protocol/ids.ts";
import type { TaskToReconcile } from "./requests.ts";

/** Tasks that one call asks for: the answers come back as that many events, and a reader that is slow is cut off. */
export const TASKS_PER_CALL_MAX = 1000;
/** Between two rounds; the first value is also the least that they are apart. */
export const RECONCILE_BOUNDS: BackoffBounds = { firstMs: 2_000, maxMs: 60_000 };
/**
 * How long an implicit pass is repeated, ms. A new master expects agents for 10 min at most (Mesos' agent_reregister_timeout);
 * after that there is nobody left who could bring a task.
 */
export const IMPLICIT_MS_MAX = 660_000;

/** The tasks of each call, none for an implicit pass, in the order in which the calls must be made. */
export type Round = readonly (readonly TaskToReconcile[])[];

export class Reconciliation {
  readonly #startedAt: Millis;
  readonly #pending: Map<TaskId, TaskToReconcile>;
  /**
   * The id of a task that nobody has, while an implicit pass waits for its answer. The answer to an implicit pass is as many
   * updates as there are tasks, maybe none, and it leaves out agents that are still expected. The answer for this task comes
   * after them, and not before every agent is back.
   */
  #marker: TaskId | undefined;
  #attempt = 0;
  #nextAt: Millis;

  constructor(tasks: readonly TaskToReconcile[], { marker, now }: { readonly marker?: TaskId; readonly now: Millis }) {
    this.#startedAt = now;
    this.#nextAt = now;
    this.#pending = new Map(tasks.map((task) => [task.taskId, task]));
    this.#marker = marker;
  }

  /** Any update that comes after the start says what is true now, whether it is an answer or not. */
  strikeOut(taskId: TaskId): void {
    if (taskId === this.#marker) this.#marker = undefined;
    this.#pending.delete(taskId);
  }

  /** Another subscription: calls of the one before may be lost, so it is asked again at once and with new patience. */
  startOver(now: Millis): void {
    this.#attempt = 0;
    this.#nextAt = now;
  }

  isOver(now: Millis): boolean {
    if (this.#pending.size > 0) return false;
    return this.#marker === undefined || now - this.#startedAt >= IMPLICIT_MS_MAX;
  }

  /** Those for which no answer has come. */
  get pending(): readonly TaskToReconcile[] {
    return [...this.#pending.values()];
  }

  get nextAt(): Millis {
    return this.#nextAt;
  }

  /** What to ask now; the next round is due at {@link nextAt}. */
  round({
    now,
    random,
    bounds,
  }: {
    readonly now: Millis;
    readonly random: Random;
    readonly bounds: BackoffBounds;
  }): Round {
    const asked = this.pending;
    const round: (readonly TaskToReconcile[])[] = this.#marker === undefined ? [] : [[]];
    for (let i = 0; i < asked.length; i += TASKS_PER_CALL_MAX) round.push(asked.slice(i, i + TASKS_PER_CALL_MAX));
    if (this.#marker !== undefined) round.push([{ taskId: this.#marker }]);
    this.#nextAt = millis(now + bounds.firstMs + backoffMs(random, this.#attempt++, bounds));
    return round;
  }
}
