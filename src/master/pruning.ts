// The lists of unreachable and gone agents do not grow without end: by count and by age, every gcInterval, in one operation for
// both. Afterwards such an id is simply unknown; in strict mode it is still told to shut down. Source: Mesos registry_gc_interval.
import { millis, type Millis } from "#base/time.ts";
import type { AgentId } from "#protocol/ids.ts";
import { RESUBSCRIBE_GRACE_MS } from "./frameworks.ts";
import { askRegistry, type Master } from "./state.ts";

/** Ids in one operation: what one entry of the log holds with room to spare. The rest waits for the next time. */
const PRUNED_MAX = 1_000;

export function pruneLists(master: Master, now: Millis): void {
  if (now < master.nextGc) return;
  master.nextGc = millis(now + master.settings.gcIntervalMs);
  removeForgotten(master, now);
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

/** [M29] A deadline that an earlier master noted holds also when no agent brings a task of that framework. */
function removeForgotten(master: Master, now: Millis): void {
  if (now < master.electedAt + RESUBSCRIBE_GRACE_MS) return;
  let left = PRUNED_MAX;
  for (const { frameworkId, deadline } of master.registry.disconnectedFrameworks.values()) {
    if (deadline > now || master.frameworks.has(frameworkId)) continue;
    if (left-- === 0) return;
    const why = { who: "master", why: "its failover_timeout has passed" };
    askRegistry(master, { type: "noted" }, { type: "remove-framework", frameworkId }, why);
  }
}

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
