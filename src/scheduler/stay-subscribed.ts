// Keeps one framework subscribed over leader changes, deploys and broken connections: the same framework id each time,
// with backoff. After each SUBSCRIBED but the first the caller reconciles: updates that the plane made may be lost.
import { backoffMs, type BackoffBounds } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import type { SchedulerClient } from "./client.ts";
import { isWorthRetrying } from "./errors.ts";
import type { FrameworkRequest } from "./requests.ts";

/** The first pause is short, because a deploy closes every stream at once and is over in a moment. */
export const RESUBSCRIBE_BOUNDS: BackoffBounds = { firstMs: 200, maxMs: 15_000 };

export interface Interruption {
  readonly error: unknown;
  readonly waitMs: number;
}

export interface StaySubscribedOptions {
  readonly signal?: AbortSignal;
  readonly bounds?: BackoffBounds;
  readonly random?: Random;
  /** Told of every interruption before the pause. Throwing ends the subscription. */
  readonly onInterruption?: (interruption: Interruption) => void;
}

/** Yields events until an ERROR event (the last one), an answer that will not change (thrown), or the signal (returns). */
export async function* staySubscribed(
  client: SchedulerClient,
  framework: FrameworkRequest,
  { signal, bounds = RESUBSCRIBE_BOUNDS, random = { next: Math.random }, onInterruption }: StaySubscribedOptions = {},
): AsyncGenerator<SchedulerEvent, void, undefined> {
  const over = (): boolean => signal?.aborted === true;
  for (let attempt = 0; !over(); attempt++) {
    try {
      for await (const event of client.subscribe(framework, { signal })) {
        if (event.type === "SUBSCRIBED") attempt = 0;
        yield event;
      }
      return; // ERROR: the plane has said its last word
    } catch (error) {
      if (over()) return;
      if (!isWorthRetrying(error)) throw error;
      const waitMs = backoffMs(random, attempt, bounds);
      onInterruption?.({ error, waitMs });
      await pause(waitMs, signal);
    }
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener("abort", finish, { once: true });
  });
}
