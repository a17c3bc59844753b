// Makes the calls of reconciliations, one reconciliation at a time, and passes on what comes back. What is asked, and when
// enough was heard, reconciliation.ts decides.
import type { BackoffBounds } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import type { TaskId } from "#protocol/ids.ts";
import type { TaskStatus } from "#protocol/task.ts";
import type { SchedulerClient } from "./client.ts";
import { pause, type Clock } from "./clock.ts";
import { RECONCILE_BOUNDS, Reconciliation } from "./reconciliation.ts";
import type { TaskToReconcile } from "./requests.ts";

export interface ImplicitPass {
  /** Whether the framework knows this task: also one that it has launched since the reconciliation began. */
  readonly knows: (taskId: TaskId) => boolean;
  /** A task of this framework that it does not know: told once in a reconciliation. */
  readonly onUnknown: (status: TaskStatus) => void;
}

export interface ReconcileOptions {
  /** Also asks for every task that the plane has of this framework, to find those that the framework has forgotten. */
  readonly implicit?: ImplicitPass;
  /** Ends it early. */
  readonly signal?: AbortSignal;
  readonly bounds?: BackoffBounds;
}

export interface Reconciled {
  /** Empty, unless it ended early. */
  readonly unanswered: readonly TaskToReconcile[];
}

interface Current {
  readonly reconciliation: Reconciliation;
  readonly implicit: ImplicitPass | undefined;
  readonly reported: Set<TaskId>;
}

/** Begins the id of a task that never was. */
const MARKER_PREFIX = "reconciliation-marker-";

export class Reconciler {
  readonly #client: SchedulerClient;
  readonly #clock: Clock;
  readonly #random: Random;
  #current: Current | undefined;
  #last: Promise<unknown> = Promise.resolve();
  /** Aborted, and made anew, whenever there may be something to do before the next round is due. */
  #changed = new AbortController();

  constructor(client: SchedulerClient, { clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#client = client;
    this.#clock = clock;
    this.#random = random;
  }

  /** Resolves when every task was heard of, and the implicit pass is over; or when the signal is aborted. Waits for its turn. */
  reconcile(tasks: readonly TaskToReconcile[], options: ReconcileOptions): Promise<Reconciled> {
    const mine = this.#last.then(() => this.#run(tasks, options));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /** Every update goes through here, once the framework has dealt with it. */
  onUpdate(status: TaskStatus): void {
    const current = this.#current;
    if (current === undefined) return;
    const taskId = status.task_id.value;
    current.reconciliation.strikeOut(taskId);
    if (current.reconciliation.isOver(this.#clock.now())) this.#wake();
    if (status.reason !== "REASON_RECONCILIATION" || this.isMarker(taskId)) return;
    if (current.implicit === undefined || current.reported.has(taskId) || current.implicit.knows(taskId)) return;
    current.reported.add(taskId);
    current.implicit.onUnknown(status);
  }

  /** Its updates are no business of the framework. */
  isMarker(taskId: TaskId): boolean {
    return taskId.startsWith(MARKER_PREFIX);
  }

  onSubscribed(): void {
    this.#current?.reconciliation.startOver(this.#clock.now());
    this.#wake();
  }

  async #run(
    tasks: readonly TaskToReconcile[],
    { implicit, signal, bounds = RECONCILE_BOUNDS }: ReconcileOptions,
  ): Promise<Reconciled> {
    const marker = implicit === undefined ? undefined : (`${MARKER_PREFIX}${this.#random.next()}` as TaskId);
    const reconciliation = new Reconciliation(tasks, { marker, now: this.#clock.now() });
    this.#current = { reconciliation, implicit, reported: new Set() };
    const isOver = (): boolean => signal?.aborted === true || reconciliation.isOver(this.#clock.now());
    const leave = (): void => this.#wake();
    signal?.addEventListener("abort", leave);
    try {
      while (!isOver()) {
        if (this.#client.isSubscribed && this.#clock.now() >= reconciliation.nextAt) {
          await this.#ask(reconciliation, bounds);
          continue;
        }
        // Without a subscription there is nobody to ask: the next one wakes us.
        const waitMs = this.#client.isSubscribed ? reconciliation.nextAt - this.#clock.now() : bounds.maxMs;
        await pause(this.#clock, waitMs, this.#changed.signal);
      }
    } finally {
      signal?.removeEventListener("abort", leave);
      this.#current = undefined;
    }
    return { unanswered: reconciliation.pending };
  }

  /** A call that fails costs its round: what made it fail ends the subscription, or has passed when the next round is due. */
  async #ask(reconciliation: Reconciliation, bounds: BackoffBounds): Promise<void> {
    const round = reconciliation.round({ now: this.#clock.now(), random: this.#random, bounds });
    try {
      for (const tasks of round) await this.#client.reconcile(tasks);
    } catch {
      return;
    }
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = new AbortController();
    changed.abort();
  }
}
