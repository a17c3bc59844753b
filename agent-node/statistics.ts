// The host's own figures, as the plane sums them up in `system/*`.
import { cpus, freemem, loadavg, totalmem } from "node:os";
import type { SystemStatistics } from "#protocol/agent.ts";

/** How often they are looked at, ms; they are sent only when they changed noticeably. */
export const STATISTICS_INTERVAL_MS = 15_000;

export function systemStatistics(): SystemStatistics {
  const [load1 = 0, load5 = 0, load15 = 0] = loadavg();
  return {
    cpus_total: cpus().length,
    load_1min: load1,
    load_5min: load5,
    load_15min: load15,
    mem_total_bytes: totalmem(),
    mem_free_bytes: freemem(),
  };
}

/** Whether it is worth a message: a tenth of the load (and of one CPU), or a twentieth of the memory. */
export function changedNoticeably(before: SystemStatistics, after: SystemStatistics): boolean {
  if (before.cpus_total !== after.cpus_total || before.mem_total_bytes !== after.mem_total_bytes) return true;
  const loadDifference = Math.abs(before.load_1min - after.load_1min);
  if (loadDifference > 0.1 && loadDifference > before.load_1min / 10) return true;
  return Math.abs(before.mem_free_bytes - after.mem_free_bytes) > after.mem_total_bytes / 20;
}
