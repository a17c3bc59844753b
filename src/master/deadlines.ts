// The master's timers as data: what is due now, and when to look again. Safe to repeat.
import { millis, type Millis } from "#base/time.ts";
import { closeStale, STALE_ORDER_MS } from "./agents.ts";
import { removeFramework } from "./frameworks.ts";
import { allocateDue } from "./offers.ts";
import type { Master } from "./state.ts";

/** Does what has fallen due: failover timeouts, orders nobody acted upon, refusals that have ended. */
export function tick(master: Master, now: Millis): void {
  for (const framework of [...master.frameworks.values()]) {
    const { status } = framework;
    if (status.state === "disconnected" && status.deadline <= now) removeFramework(master, framework, now);
  }
  closeStale(master, now);
  for (const filters of master.filters.values()) {
    if (filters.some(({ until, firmUntil }) => until <= now || firmUntil <= now)) master.allocationDue = true;
  }
  allocateDue(master, now);
}

/** When {@link tick} next has something to do that must survive this instance; undefined when nothing waits. */
export function nextDeadline(master: Master): Millis | undefined {
  const due: Millis[] = [];
  for (const { status } of master.frameworks.values()) if (status.state === "disconnected") due.push(status.deadline);
  for (const { connection, orders } of master.agents.values()) {
    if (connection !== undefined && orders[0] !== undefined) due.push(millis(orders[0].sentAt + STALE_ORDER_MS));
  }
  return due.length === 0 ? undefined : millis(Math.min(...due));
}
