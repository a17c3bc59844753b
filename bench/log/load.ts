// A load: so many appends in flight for so long, and what came of it.
import { percentile } from "../report.ts";
import { flushesSoFar } from "./disk.ts";

export interface Load {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Flushes of the disk for each append, undefined where the kernel does not count them. */
  readonly flushesPerAppend: number | undefined;
}

export async function load(
  append: (value: string) => Promise<void>,
  { concurrent, ms, letters }: { readonly concurrent: number; readonly ms: number; readonly letters: number },
): Promise<Load> {
  const value = "v".repeat(letters);
  const latencies: number[] = [];
  const flushesBefore = flushesSoFar();
  const startedAt = performance.now();
  const work = async (): Promise<void> => {
    for (let now = performance.now(); now - startedAt < ms;) {
      await append(value);
      const settledAt = performance.now();
      latencies.push(settledAt - now);
      now = settledAt;
    }
  };
  await Promise.all(Array.from({ length: concurrent }, work));
  const seconds = (performance.now() - startedAt) / 1000;
  const flushes = flushesSoFar();
  return {
    perSecond: latencies.length / seconds,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    flushesPerAppend:
      flushes === undefined || flushesBefore === undefined ? undefined : (flushes - flushesBefore) / latencies.length,
  };
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
