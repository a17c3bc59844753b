// Keeps one framework subscribed over leader changes, deploys and broken connections: the same framework id each time,
// with backoff. After each SUBSCRIBED but the first the caller reconciles: updates that the plane made may be lost.
import { backoffMs, type BackoffBounds } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import type { OfferWishes, SchedulerClient } from "./client.ts";
import { pause, systemClock, type Clock } from "./clock.ts";
import { CallRefusedError, isWorthRetrying } from "./errors.ts";
import type { FrameworkRequest } from "./requests.ts";

/** The first pause is short, because a deploy closes every stream at once and is over in a moment. */
export const RESUBSCRIBE_BOUNDS: BackoffBounds = { firstMs: 200, maxMs: 15_000 };
/** Of one stream; the first comes with SUBSCRIBED. A plane that takes every subscription and drops it at once is no healthy one. */
const HEARTBEATS_OF_A_GOOD_STREAM = 2;

export interface Interruption {
  readonly error: unknown;
  readonly waitMs: number;
}

export interface StaySubscribedOptions {
  readonly signal?: AbortSignal;
  readonly bounds?: BackoffBounds;
  readonly random?: Random;
  readonly clock?: Clock;
  /** Told of every interruption before the pause. Throwing ends the subscription. */
  readonly onInterruption?: (interruption: Interruption) => void;
}

/** What a SUBSCRIBE says. */
export interface Wanted {
  readonly framework: FrameworkRequest;
  readonly offers?: OfferWishes;
}

/**
 * Yields events until an ERROR event (the last one), an answer that will not change (thrown), or the signal (returns). What
 * is wanted may be a function, asked at each subscription.
 */
export async function* staySubscribed(
  client: SchedulerClient,
  wanted: FrameworkRequest | (() => Wanted),
  options: StaySubscribedOptions = {},
): AsyncGenerator<SchedulerEvent, void, undefined> {
  const { signal, bounds = RESUBSCRIBE_BOUNDS, random = { next: Math.random }, clock = systemClock } = options;
  const over = (): boolean => signal?.aborted === true;
  for (let attempt = 0; !over(); attempt++) {
    let heartbeats = 0;
    try {
      const { framework, offers } = typeof wanted === "function" ? wanted() : { framework: wanted };
      for await (const event of client.subscribe(framework, { signal, offers })) {
        if (event.type === "HEARTBEAT" && ++heartbeats === HEARTBEATS_OF_A_GOOD_STREAM) attempt = 0;
        yield event;
      }
      return; // ERROR: the plane has said its last word
    } catch (error) {
      if (over()) return;
      if (!isWorthRetrying(error)) throw error;
      const asked = error instanceof CallRefusedError ? (error.retryAfterMs ?? 0) : 0;
      const waitMs = Math.max(asked, backoffMs(random, attempt, bounds));
      options.onInterruption?.({ error, waitMs });
      await pause(clock, waitMs, signal);
    }
  }
}
