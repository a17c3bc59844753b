// The disk that a benchmark runs on: how many flushes it does, and how many somebody made.
import { closeSync, fdatasyncSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";

const MEASURE_MS = 1_000;
const WRITE_BYTES = 256;
/** Place of the completed flush requests in /sys/block/DEVICE/stat, from 0. Source: Linux, Documentation/block/stat. */
const FLUSHES_FIELD = 15;

/** fdatasync calls a second, each after a small write, one after the other. */
export function flushesPerSecond(directory: string): number {
  const file = openSync(join(directory, "flushes"), "w");
  const bytes = Buffer.alloc(WRITE_BYTES, 1);
  let count = 0;
  const startedAt = performance.now();
  for (; performance.now() - startedAt < MEASURE_MS; count++) {
    writeSync(file, bytes);
    fdatasyncSync(file);
  }
  closeSync(file);
  return (count * 1000) / MEASURE_MS;
}

/** Flush requests that the kernel has completed on all disks, undefined where it does not count them. */
export function flushesSoFar(): number | undefined {
  let sum = 0;
  for (const device of readdirSync("/sys/block")) {
    const flushes = Number(readFileSync(`/sys/block/${device}/stat`, "utf8").trim().split(/\s+/)[FLUSHES_FIELD]);
    if (Number.isFinite(flushes)) sum += flushes;
  }
  return sum === 0 ? undefined : sum;
}
