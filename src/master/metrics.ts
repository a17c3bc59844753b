// The master's part of /metrics/snapshot: counters as they are, gauges read off the books when asked.
import type { Millis } from "#base/time.ts";
import type { SystemStatistics } from "#protocol/agent.ts";
import { isTerminal, type TaskState } from "#protocol/task.ts";
import { scalar, sum } from "#resources/resources.ts";
import { COUNTERS, newCounters } from "./counters.ts";
import { usedBy } from "./usage.ts";
import type { Master } from "./state.ts";

const RESOURCE_KINDS = ["cpus", "mem", "disk"] as const;

const STATE_GAUGE: Partial<Record<TaskState, string>> = {
  TASK_STAGING: "master/tasks_staging",
  TASK_STARTING: "master/tasks_starting",
  TASK_RUNNING: "master/tasks_running",
};

const SYSTEM_KEYS: readonly (keyof SystemStatistics)[] = [
  "cpus_total",
  "load_1min",
  "load_5min",
  "load_15min",
  "mem_total_bytes",
  "mem_free_bytes",
];

/** All keys of a master, in Mesos' 0.19 names. `master` is undefined until this instance has led: zeros then. */
export function masterMetrics(
  master: Master | undefined,
  { startedAt, leading }: { readonly startedAt: Millis; readonly leading: boolean },
  now: Millis,
): Record<string, number> {
  const metrics: Record<string, number> = {
    "master/uptime_secs": Math.max(0, (now - startedAt) / 1000),
    "master/elected": leading ? 1 : 0,
    "master/slaves_active": 0,
    "master/slaves_inactive": 0,
    "master/slaves_connected": 0,
    "master/slaves_disconnected": 0,
    "master/slaves_unreachable": master?.registry.unreachable.size ?? 0,
    "master/frameworks_active": 0,
    "master/frameworks_inactive": 0,
    "master/outstanding_offers": master?.offers.size ?? 0,
    "master/tasks_staging": 0,
    "master/tasks_starting": 0,
    "master/tasks_running": 0,
    "master/tasks_unreachable": 0,
    // Turns of an object run to their end: nothing waits inside, and what waits outside cannot be seen.
    "master/event_queue_size": 0,
  };
  const counters = master?.counters ?? newCounters();
  for (const name of COUNTERS) metrics[name] = counters[name];
  for (const key of SYSTEM_KEYS) metrics[`system/${key}`] = 0;
  const bump = (key: string, by = 1) => (metrics[key] = (metrics[key] ?? 0) + by);
  for (const agent of master?.agents.values() ?? []) {
    bump(agent.connection === undefined ? "master/slaves_inactive" : "master/slaves_active");
    if (agent.session !== undefined)
      bump(agent.connection === undefined ? "master/slaves_disconnected" : "master/slaves_connected");
    for (const key of SYSTEM_KEYS)
      bump(`system/${key}`, agent.connection === undefined ? 0 : (agent.system?.[key] ?? 0));
  }
  for (const framework of master?.frameworks.values() ?? []) {
    if (framework.status.state !== "removed") {
      bump(framework.status.state === "connected" ? "master/frameworks_active" : "master/frameworks_inactive");
    }
    bump("master/tasks_unreachable", framework.unreachableTasks.size);
    for (const task of framework.tasks.values()) {
      const gauge = isTerminal(task.latest) ? undefined : STATE_GAUGE[task.latest];
      if (gauge !== undefined) bump(gauge);
    }
  }
  // Agents of the registry that have not registered under this epoch bring no resources yet.
  const here = [...(master?.agents.values() ?? [])].filter((agent) => agent.session !== undefined);
  const total = sum(here.map(({ total: all }) => all));
  const used = sum([...(master?.frameworks.values() ?? [])].map(usedBy));
  for (const kind of RESOURCE_KINDS) {
    const [all, taken] = [scalar(total, kind), scalar(used, kind)];
    metrics[`master/${kind}_total`] = all;
    metrics[`master/${kind}_used`] = taken;
    metrics[`master/${kind}_percent`] = all === 0 ? 0 : taken / all;
  }
  return metrics;
}
