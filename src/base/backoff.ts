import type { Random } from "./random.ts";

export interface BackoffBounds {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait before attempt `attempt` (0 is the first): uniform in [0, firstMs · 2^attempt], cut at maxMs.
 * Full jitter, so that many peers that failed together do not come back together. Source: Mesos agent registration.
 */
export function backoffMs(random: Random, attempt: number, { firstMs, maxMs }: BackoffBounds): number {
  const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
  return random.next() * ceiling;
}
