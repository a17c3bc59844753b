// A framework that stays subscribed: it hands out offers one by one, gives every update to one handler, acknowledges it
// when that is done, and helps to find out what became of tasks while nobody was listening. What to launch, and what to
// write down, is the framework's own business.
//
// Rules: an offer is handed out only while its subscription lasts, unless it was rescinded, and not before `onSubscribed`
// has resolved. Updates are handled one after the other, in the order of the stream; the next event is not read before
// (so a slow handler slows the plane, not our memory). An update is acknowledged only after its handler has resolved. A
// launch that got no answer ends the subscription: in the next one it can no longer come true behind our back.
import type { BackoffBounds } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import type { FrameworkId } from "#protocol/ids.ts";
import type { MasterInfo, Offer, SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskStatus } from "#protocol/task.ts";
import { SchedulerClient, type ClientOptions, type OfferWishes } from "./client.ts";
import { pause, systemClock, type Clock } from "./clock.ts";
import { isWorthRetrying, mayHaveHappened, SubscriptionEndedError } from "./errors.ts";
import { OfferPool } from "./offer-pool.ts";
import { Reconciler, type Reconciled, type ReconcileOptions } from "./reconciler.ts";
import type { FrameworkRequest, OperationRequest, TaskToReconcile } from "./requests.ts";
import { RESUBSCRIBE_BOUNDS, staySubscribed, type Interruption, type Wanted } from "./stay-subscribed.ts";

/** Acknowledgements that are on their way at once. */
export const ACKNOWLEDGEMENTS_MAX = 64;
/** Between two attempts at a TEARDOWN, ms. */
const TEARDOWN_AGAIN_MS = 500;

export interface Subscribed {
  readonly frameworkId: FrameworkId;
  /** The framework was known before. Updates may be lost, and launches may not have arrived: reconcile. */
  readonly resubscribed: boolean;
  readonly master: MasterInfo | undefined;
}

/** What the scheduler does not deal with itself. */
export type OtherEvent = Exclude<
  SchedulerEvent,
  { readonly type: "SUBSCRIBED" | "HEARTBEAT" | "OFFERS" | "RESCIND" | "UPDATE" | "ERROR" }
>;

export interface SchedulerOptions extends ClientOptions {
  readonly framework: FrameworkRequest;
  readonly offers?: OfferWishes;
  /**
   * After each subscription. Write the id down here: with it the framework finds its tasks again. Offers wait until it has
   * resolved; updates do not, so that it may reconcile. Of subscriptions that come while it is at work, the last is told.
   */
  readonly onSubscribed?: (subscribed: Subscribed) => void | Promise<void>;
  /** Every update, those that come twice as well. What must outlive this process is to be written down before it resolves. */
  readonly onUpdate?: (status: TaskStatus) => void | Promise<void>;
  /** Any other event, also of types that later planes may have. News of an operation is acknowledged when it has resolved. */
  readonly onEvent?: (event: OtherEvent) => void | Promise<void>;
  /** The stream broke, or could not be opened; it is tried again after `waitMs`. Throwing gives up. */
  readonly onInterruption?: (interruption: Interruption) => void;
  /** explicit: the framework acknowledges by itself, with `client.acknowledge`. */
  readonly acknowledgement?: "implicit" | "explicit";
  readonly bounds?: BackoffBounds;
  readonly random?: Random;
}

export class Scheduler {
  /** For the calls to which the scheduler has nothing to add: decline, kill, suppress, revive and all others. */
  readonly client: SchedulerClient;
  readonly #options: SchedulerOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #pool = new OfferPool();
  readonly #reconciler: Reconciler;
  readonly #leaving = new AbortController();
  readonly #acknowledgements = new Set<Promise<void>>();
  #wanted: Wanted;
  #wasKnown: boolean;
  #started = false;
  #tearingDown = false;
  /** The subscription that `onSubscribed` is to hear of next. */
  #untold: Subscribed | undefined;
  #telling = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#wanted = { framework: options.framework, offers: options.offers };
    this.#wasKnown = options.frameworkId !== undefined;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? { next: Math.random };
    this.client = new SchedulerClient(options);
    this.#reconciler = new Reconciler(this.client, { clock: this.#clock, random: this.#random });
  }

  /** Undefined before the first subscription, unless it was given. */
  get frameworkId(): FrameworkId | undefined {
    return this.client.frameworkId;
  }

  /**
   * Subscribes, and again whenever that is needed. Resolves after {@link teardown} or {@link close}, or when the signal is
   * aborted. Rejects with a {@link SubscriptionEndedError}, with an answer that will
   * not change, or with what a handler has thrown.
   */
  async run({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#started) throw new Error("a scheduler runs once");
    this.#started = true;
    const leave = (): void => this.#leaving.abort();
    signal?.addEventListener("abort", leave, { once: true });
    if (signal?.aborted === true) leave();
    try {
      await this.#listen();
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      signal?.removeEventListener("abort", leave);
      leave();
    }
    this.#pool.end(this.#failure === undefined ? { type: "ended" } : { type: "failed", ...this.#failure });
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /**
   * The offers, the oldest first; who takes one has to accept or decline it. A rescinded one that was handed out already is
   * refused as an update of each task: TASK_DROPPED with REASON_INVALID_OFFERS. Ends as {@link run} does, or with the signal.
   */
  async *offers({ signal }: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Offer, void, undefined> {
    for (;;) {
      const offer = await this.#pool.take(signal);
      if (offer === undefined) return;
      yield offer;
    }
  }

  /**
   * Uses offers of one agent. When it throws, ask {@link mayHaveHappened}: if so, the scheduler subscribes again by itself,
   * and what became of the tasks is to be reconciled then; if not, nothing was done.
   */
  async accept(
    offers: readonly Offer[],
    operations: readonly OperationRequest[],
    refuseSeconds?: number,
  ): Promise<void> {
    try {
      await this.client.accept(idsOf(offers), operations, refuseSeconds);
    } catch (error) {
      if (mayHaveHappened(error)) this.client.interrupt(`an ACCEPT got no good answer: ${String(error)}`);
      throw error;
    }
  }

  decline(offers: readonly Offer[], refuseSeconds?: number): Promise<void> {
    return this.client.decline(idsOf(offers), refuseSeconds);
  }

  /** Changes the framework, now and for every later subscription. */
  async updateFramework(framework: FrameworkRequest, offers?: OfferWishes): Promise<void> {
    await this.client.updateFramework(framework, offers);
    this.#wanted = { framework, offers };
  }

  /**
   * Finds out what became of these tasks, by tasks-offers-and-operators §8.4: asks until an update has come for each.
   * `onUpdate` hears the answers. One reconciliation at a time: another waits. Do not wait for it in `onUpdate`, which has
   * to hear of the tasks first; in `onSubscribed` do, if nothing may be launched before. Ends early with the scheduler.
   */
  reconcile(tasks: readonly TaskToReconcile[], options: ReconcileOptions = {}): Promise<Reconciled> {
    const { signal } = options;
    const ending = signal === undefined ? this.#leaving.signal : AbortSignal.any([signal, this.#leaving.signal]);
    return this.#reconciler.reconcile(tasks, { ...options, signal: ending });
  }

  /** Ends {@link run}, once what was acknowledged is on its way. The framework's tasks run on until its `failover_timeout`. */
  async close(): Promise<void> {
    await Promise.all(this.#acknowledgements);
    this.#leaving.abort();
  }

  /**
   * Removes the framework, once what it acknowledged is on its way: its tasks are killed, and its id is dead. Tries again
   * until the plane has agreed; when the signal is aborted before, it throws the last refusal. {@link run} ends in any case.
   */
  async teardown({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#tearingDown = true;
    await Promise.all(this.#acknowledgements);
    try {
      while (!this.#leaving.signal.aborted) {
        try {
          await this.client.teardown();
          return;
        } catch (error) {
          if (signal?.aborted === true || !isWorthRetrying(error)) throw error;
        }
        await pause(this.#clock, TEARDOWN_AGAIN_MS, this.#leaving.signal);
      }
    } finally {
      this.#leaving.abort();
    }
  }

  async #listen(): Promise<void> {
    const events = staySubscribed(this.client, () => this.#wanted, {
      signal: this.#leaving.signal,
      bounds: this.#options.bounds ?? RESUBSCRIBE_BOUNDS,
      random: this.#random,
      clock: this.#clock,
      onInterruption: (interruption) => {
        this.#pool.clear();
        this.#options.onInterruption?.(interruption);
      },
    });
    for await (const event of events) await this.#on(event);
  }

  async #on(event: SchedulerEvent): Promise<void> {
    switch (event.type) {
      case "HEARTBEAT":
        return;
      case "SUBSCRIBED":
        return this.#onSubscribed(event.subscribed.framework_id.value, event.subscribed.master_info);
      case "OFFERS":
        return this.#pool.add(event.offers.offers);
      case "RESCIND":
        return this.#pool.rescind(event.rescind.offer_id.value);
      case "UPDATE":
        return this.#onUpdate(event.update.status);
      case "ERROR": {
        const ended = new SubscriptionEndedError(event.error.message);
        // Our TEARDOWN was done, though its answer did not arrive.
        if (this.#tearingDown && ended.end === "removed") return;
        throw ended;
      }
      case "UPDATE_OPERATION_STATUS": {
        await this.#options.onEvent?.(event);
        const { status } = event.update_operation_status;
        return this.#acknowledge(() => this.client.acknowledgeOperationStatus(status));
      }
      default:
        return this.#options.onEvent?.(event);
    }
  }

  #onSubscribed(frameworkId: FrameworkId, master: MasterInfo | undefined): void {
    const resubscribed = this.#wasKnown;
    this.#wasKnown = true;
    this.#pool.withhold();
    this.#reconciler.onSubscribed();
    this.#untold = { frameworkId, resubscribed, master };
    if (!this.#telling) void this.#tell();
  }

  async #tell(): Promise<void> {
    this.#telling = true;
    try {
      for (let next = this.#untold; next !== undefined; next = this.#untold) {
        this.#untold = undefined;
        await this.#options.onSubscribed?.(next);
      }
      this.#pool.release();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#telling = false;
    }
  }

  async #onUpdate(status: TaskStatus): Promise<void> {
    if (!this.#reconciler.isMarker(status.task_id.value)) await this.#options.onUpdate?.(status);
    await this.#acknowledge(() => this.client.acknowledge(status));
    this.#reconciler.onUpdate(status);
  }

  /** One that is lost costs a repetition of the update, and nothing else. */
  async #acknowledge(send: () => Promise<void>): Promise<void> {
    if (this.#options.acknowledgement === "explicit") return;
    while (this.#acknowledgements.size >= ACKNOWLEDGEMENTS_MAX) await Promise.race(this.#acknowledgements);
    const sent = send().catch(() => undefined);
    this.#acknowledgements.add(sent);
    void sent.then(() => this.#acknowledgements.delete(sent));
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#leaving.abort();
  }
}

const idsOf = (offers: readonly Offer[]): readonly Offer["id"]["value"][] => offers.map(({ id }) => id.value);
