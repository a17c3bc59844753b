// A token bucket on virtual time: how many transitions may begin now, and when the next one may. Source: Mesos' rate limiter.
import { millis, type Millis } from "#base/time.ts";
import type { RateLimit } from "./settings.ts";

/** The times at which the last `permits` permits were given, oldest first. */
export interface Permits {
  readonly given: Millis[];
}

export const newPermits = (): Permits => ({ given: [] });

/** When the next permit may be given: now or earlier, if there is one. */
export function nextPermit({ given }: Permits, limit: RateLimit | undefined): Millis {
  const oldest = given[0];
  if (limit === undefined || oldest === undefined || given.length < limit.permits) return millis(0);
  return millis(oldest + limit.perMs);
}

/** Takes a permit if there is one. */
export function takePermit(permits: Permits, limit: RateLimit | undefined, now: Millis): boolean {
  if (limit === undefined) return true;
  if (nextPermit(permits, limit) > now) return false;
  permits.given.push(now);
  while (permits.given.length > limit.permits) permits.given.shift();
  return true;
}
