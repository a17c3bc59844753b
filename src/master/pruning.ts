// The lists of unreachable and gone agents do not grow without end: by count and by age, every gcInterval, in one operation for
// both. Afterwards such an id is simply unknown; in strict mode it is still told to shut down. Source: Mesos registry_gc_interval.
import { millis, type Millis } from "#base/time.ts";
import type { AgentId } from "#protocol/ids.ts";
import { deadlineAfterFailover, RESUBSCRIBE_GRACE_MS } from "./frameworks.ts";
import type { FrameworkRecord, Master } from "./state.ts";
import { askRegistry } from "./effects.ts";
import { noteRegistration } from "./subscriptions.ts";

/** Ids in one operation: what one entry of the log holds with room to spare. The rest waits for the next time. */
const PRUNED_MAX = 1_000;

export function pruneLists(master: Master, now: Millis): void {
  if (now < master.nextGc) return;
  master.nextGc = millis(now + master.settings.gcIntervalMs);
  removeForgotten(master, now);
  registerOlder(master, now);
  const { unreachable, gone } = master.registry;
  const operation = {
    type: "prune",
    unreachable: [...surplus(master, unreachable, now)].slice(0, PRUNED_MAX),
    gone: [...surplus(master, gone, now)].slice(0, PRUNED_MAX),
  } as const;
  if (operation.unreachable.length + operation.gone.length === 0) return;
  for (const agentId of operation.unreachable) {
    const hostKey = unreachable.get(agentId)?.hostKey;
    // Its host may join as a new agent from now on.
    if (hostKey !== undefined && master.agentByHost.get(hostKey) === agentId) master.agentByHost.delete(hostKey);
  }
  askRegistry(master, { type: "noted" }, operation, { who: "master", why: "older than the lists keep" });
}

/**
 * [M29] [M58] A deadline holds also when no agent brings a task of that framework: one that an earlier master noted, or, of a framework that
 * was connected to it when it fell, the one from the beginning of this master.
 */
function removeForgotten(master: Master, now: Millis): void {
  if (now < master.electedAt + RESUBSCRIBE_GRACE_MS) return;
  const { registeredFrameworks, disconnectedFrameworks } = master.registry;
  const due = [
    ...[...disconnectedFrameworks.values()].filter(({ deadline }) => deadline <= now),
    ...[...registeredFrameworks.values()].filter(
      ({ frameworkId, failoverTimeoutMs }) =>
        !disconnectedFrameworks.has(frameworkId) && deadlineAfterFailover(master, failoverTimeoutMs) <= now,
    ),
  ];
  for (const { frameworkId } of due.filter((one) => !master.frameworks.has(one.frameworkId)).slice(0, PRUNED_MAX)) {
    const why = { who: "master", why: "its failover_timeout has passed" };
    askRegistry(master, { type: "noted" }, { type: "remove-framework", frameworkId }, why);
  }
}

/**
 * [M57] Frameworks of a release that did not register them, once the agents have had time to say whose they are: until then somebody else
 * may have taken such an id.
 */
function registerOlder(master: Master, now: Millis): void {
  if (now < master.recoveredDeadline) return;
  let left = PRUNED_MAX;
  for (const framework of master.frameworks.values()) {
    if (isToBeRegistered(master, framework) && left-- > 0) noteRegistration(master, framework);
  }
}

/** The registry does not have it yet, and should. Of one that only an old agent's report names nobody knows whose it is. */
export const isToBeRegistered = ({ registry, removals }: Master, { id, status, principal }: FrameworkRecord): boolean =>
  principal !== undefined && status.state !== "removed" && !removals.has(id) && !registry.registeredFrameworks.has(id);

/** The oldest while there are too many, and whatever is too old. Both lists are in the order of their times. */
function* surplus(
  { settings }: Master,
  list: ReadonlyMap<AgentId, { readonly at: Millis }>,
  now: Millis,
): Iterable<AgentId> {
  let left = list.size;
  for (const [agentId, { at }] of list) {
    if (left <= settings.maxAgentCount && now - at <= settings.maxAgentAgeMs) return;
    left -= 1;
    yield agentId;
  }
}
