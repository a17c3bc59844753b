// A timer with a window, as plain data: the last measurement, and count, min, max and percentiles of those in the window.
// Source of the rules: metrics.md §2 of Mesos' endpoint: linear interpolation, nothing with fewer than two samples.

/** Most samples kept; beyond that the oldest goes. */
export const SAMPLES_MAX = 1000;

export interface Timer {
  readonly windowMs: number;
  last: number | undefined;
  /** Oldest first: when it was taken and how long it took, both ms. */
  readonly samples: { readonly at: number; readonly ms: number }[];
}

export const newTimer = (windowMs: number): Timer => ({ windowMs, last: undefined, samples: [] });

export function record(timer: Timer, ms: number, now: number): void {
  timer.last = ms;
  timer.samples.push({ at: now, ms });
  expire(timer, now);
}

function expire(timer: Timer, now: number): void {
  let old = Math.max(0, timer.samples.length - SAMPLES_MAX);
  while (old < timer.samples.length && (timer.samples[old]?.at ?? now) < now - timer.windowMs) old++;
  timer.samples.splice(0, old);
}

const PERCENTILES = { p50: 0.5, p90: 0.9, p95: 0.95, p99: 0.99, p999: 0.999, p9999: 0.9999 } as const;

/** The keys of one timer: the bare key once there is a measurement, the statistics once there are two. */
export function timerMetrics(name: string, timer: Timer, now: number): Record<string, number> {
  if (timer.last === undefined) return {};
  expire(timer, now);
  const metrics: Record<string, number> = { [name]: timer.last };
  const sorted = timer.samples.map(({ ms }) => ms).toSorted((a, b) => a - b);
  if (timer.windowMs === 0 || sorted.length < 2) return metrics;
  metrics[`${name}/count`] = sorted.length;
  metrics[`${name}/min`] = percentile(sorted, 0);
  metrics[`${name}/max`] = percentile(sorted, 1);
  for (const [suffix, part] of Object.entries(PERCENTILES)) metrics[`${name}/${suffix}`] = percentile(sorted, part);
  return metrics;
}

/** `sorted` ascending and not empty; `part` in [0, 1]. */
export function percentile(sorted: readonly number[], part: number): number {
  const at = part * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? 0;
  const above = sorted[Math.ceil(at)] ?? below;
  return below + (above - below) * (at - Math.floor(at));
}
