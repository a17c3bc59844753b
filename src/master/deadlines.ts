// The master's timers as data: what is due now, and when to look again. Safe to repeat.
import { millis, type Millis } from "#base/time.ts";
import { endAbsences, nextAbsence } from "./absence.ts";
import { closeStale, STALE_ORDER_MS } from "./agents.ts";
import { requestRemoval } from "./frameworks.ts";
import { makeOffers, rescindStale } from "./offers.ts";
import { isToBeRegistered, pruneLists } from "./pruning.ts";
import type { FrameworkRecord, Master } from "./state.ts";

/** Does what has fallen due: failover timeouts, absent agents, orders nobody acted upon, offers nobody answered, refusals that have ended. */
export function tick(master: Master, now: Millis): void {
  for (const framework of [...master.frameworks.values()]) {
    const deadline = deadlineOf(framework);
    if (deadline !== undefined && deadline <= now) {
      requestRemoval(master, framework, { who: "master", why: "its failover_timeout has passed" });
    }
  }
  closeStale(master, now);
  endAbsences(master, now);
  pruneLists(master, now);
  rescindStale(master, now);
  makeOffers(master, now);
}

const deadlineOf = ({ status }: FrameworkRecord): Millis | undefined =>
  status.state === "disconnected" || status.state === "recovered" ? status.deadline : undefined;

/** When {@link tick} next has something to do that must survive this instance; undefined when nothing waits. */
export function nextDeadline(master: Master, now: Millis): Millis | undefined {
  const due: Millis[] = [];
  /** What is looked at every gcInterval. */
  let listed = 0;
  for (const framework of master.frameworks.values()) {
    const deadline = deadlineOf(framework);
    if (deadline !== undefined && !master.removals.has(framework.id)) due.push(deadline);
    if (isToBeRegistered(master, framework)) listed += 1;
  }
  for (const agentId of master.ordered) {
    const agent = master.agents.get(agentId);
    if (agent?.connection !== undefined && agent.orders[0] !== undefined)
      due.push(millis(agent.orders[0].sentAt + STALE_ORDER_MS));
  }
  const absence = nextAbsence(master, now);
  if (absence !== undefined) due.push(absence);
  const { unreachable, gone, disconnectedFrameworks, registeredFrameworks } = master.registry;
  listed += unreachable.size + gone.size + disconnectedFrameworks.size + registeredFrameworks.size;
  if (listed > 0) due.push(master.nextGc);
  return due.length === 0 ? undefined : millis(Math.min(...due));
}
