// How much of what is unreserved a role may be given now: its limit holds it back, and so do the guarantees of others that are not met.
//
// A quota is a top role's and counts for all below it. What a role *consumes* is all that is reserved to it and below, allocated or
// not, and what is unreserved and allocated there. The *headroom* is what is unreserved and free on active agents; *required* of it is
// what all guarantees miss. Of the surplus everybody may have; of the rest a role may have what its own guarantee misses.
//
// During a run an allowance never grows: whatever is given makes headroom, surplus, missing guarantee or room to the limit smaller by
// at least as much as it makes another smaller. So whoever could not have something on an agent cannot have it later in the run, and
// between runs only if an allowance has grown since: agents on which something was held back are looked at again just then [AL21].
import { isIndivisible } from "#resources/pool.ts";
import type { Quantities } from "#resources/quantities.ts";
import { type Held, type ResourceSet, setOf } from "#resources/resources.ts";
import { type Allocator, consumedOf, isCountable, type Role } from "./books.ts";

/**
 * Thousandths of each countable scalar that roles below `top` may still be given; a kind that is not named is not held back. Without
 * any quota in the cluster nothing is. `top` is undefined for all roles without a quota, which are alike.
 */
export function allowanceOf(a: Allocator, top: Role | undefined): Quantities | undefined {
  if (a.quotaRoles.size === 0) return undefined;
  const quota = top?.quota;
  const allowance = new Map<string, number>();
  for (const [name, available] of a.available) {
    const surplus = Math.max(0, available - (a.required.get(name) ?? 0));
    allowance.set(name, surplus + (quota?.missing.get(name) ?? 0));
  }
  if (top !== undefined && quota !== undefined) {
    for (const [name, limit] of quota.limits) {
      const room = Math.max(0, limit - consumedOf(top, name));
      allowance.set(name, Math.min(allowance.get(name) ?? room, room));
    }
  }
  return allowance;
}

/** `set` without what is beyond the allowance; the very same set when nothing is. What is indivisible is in it whole or not at all. */
export function within(set: ResourceSet, allowance: Quantities | undefined): ResourceSet {
  if (allowance === undefined || fits(set, allowance)) return set;
  const left = new Map(allowance);
  const kept: Held[] = [];
  // By key: whoever counts anew comes to the same. The plain pool has the empty key, so that it goes before mounts.
  for (const held of [...set.pools.values()].toSorted((a, b) => (a.pool.key < b.pool.key ? -1 : 1))) {
    const { pool, amounts } = held;
    if (!isCountable(pool)) {
      kept.push(held);
      continue;
    }
    const scalars = new Map<string, number>();
    for (const [name, value] of amounts.scalars) {
      const most = left.get(name) ?? value;
      const given = value <= most ? value : isIndivisible(pool) ? 0 : most;
      if (given === 0) continue;
      scalars.set(name, given);
      if (left.has(name)) left.set(name, most - given);
    }
    kept.push({ pool, amounts: { ...amounts, scalars } });
  }
  return setOf(kept);
}

function fits(set: ResourceSet, allowance: Quantities): boolean {
  for (const [name, most] of allowance) {
    let sum = 0;
    for (const { pool, amounts } of set.pools.values()) if (isCountable(pool)) sum += amounts.scalars.get(name) ?? 0;
    if (sum > most) return false;
  }
  return true;
}

/** Whether a role may be given more of something than when that was last settled. */
const hasGrown = (now: Quantities | undefined, settled: Quantities | undefined): boolean =>
  settled !== undefined && [...settled].some(([name, value]) => value < (now?.get(name) ?? Number.POSITIVE_INFINITY));

/** Whether whoever has no quota may be given more than after the last run. Then everybody may, as far as limits go. */
export const hasSurplusGrown = (a: Allocator): boolean => hasGrown(allowanceOf(a, undefined), a.settled);

export const hasAllowanceGrown = (a: Allocator, top: Role): boolean =>
  hasGrown(allowanceOf(a, top), top.quota?.settled);

/** The end of a run: everybody has been looked at under at least these allowances, or could not have more than before. */
export function settle(a: Allocator): void {
  a.settled = allowanceOf(a, undefined);
  for (const top of a.quotaRoles.values()) if (top.quota !== undefined) top.quota.settled = allowanceOf(a, top);
}
