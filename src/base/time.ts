// Times are numbers of milliseconds; durations on flags and in queries are Mesos' text form.
import type { Brand } from "./brand.ts";

/** Milliseconds since 1970-01-01 UTC. */
export type Millis = Brand<number, "Millis">;

export const millis = (value: number): Millis => value as Millis;

/** Seconds since 1970-01-01 UTC with a fraction, as Mesos writes times in JSON. */
export const toSeconds = (time: Millis): number => time / 1000;

const UNIT_MS = {
  ns: 1e-6,
  us: 1e-3,
  ms: 1,
  secs: 1000,
  mins: 60_000,
  hrs: 3_600_000,
  days: 86_400_000,
  weeks: 604_800_000,
} as const;
const DURATION = /^(\d+(?:\.\d+)?)(ns|us|ms|secs|mins|hrs|days|weeks)$/;

/** Milliseconds of a duration such as `100ms`, `5secs`, `1.5mins`; undefined when the text is none. */
export function parseDurationMs(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
}
