// What an operation does to resources: what it takes away and what it puts there instead. Sums of scalars stay as they are, but for
// nothing: a conversion never makes or loses anything. Source: Mesos ResourceConversion.
import { unreachable } from "#base/assert.ts";
import type { ResourceOperation } from "#protocol/agent.ts";
import type { DiskInfo, Resource } from "#protocol/resource.ts";
import { makePool, type Pool, reservationRole } from "./pool.ts";
import { add, contains, fromResources, type Held, type ResourceSet, setOf, subtract } from "./resources.ts";

export interface Conversion {
  readonly consumed: ResourceSet;
  readonly converted: ResourceSet;
}

/** What an operation names. */
export function resourcesIn(operation: ResourceOperation): readonly Resource[] {
  switch (operation.type) {
    case "RESERVE":
    case "UNRESERVE":
      return operation.resources;
    case "CREATE":
    case "DESTROY":
      return operation.volumes;
    case "GROW_VOLUME":
      return [operation.volume, operation.addition];
    case "SHRINK_VOLUME":
      return [operation.volume];
    default:
      return unreachable(operation);
  }
}

/** For an operation whose resources have no `resourceProblem` and that its own rules allow. */
export function conversionOf(operation: ResourceOperation): Conversion {
  switch (operation.type) {
    case "RESERVE": {
      const converted = fromResources(operation.resources);
      return { consumed: mapPools(converted, popReservation), converted };
    }
    case "UNRESERVE": {
      const consumed = fromResources(operation.resources);
      return { consumed, converted: mapPools(consumed, popReservation) };
    }
    case "CREATE": {
      const converted = fromResources(operation.volumes);
      return { consumed: mapPools(converted, withoutVolume), converted };
    }
    case "DESTROY": {
      const consumed = fromResources(operation.volumes);
      return { consumed, converted: mapPools(consumed, withoutVolume) };
    }
    case "GROW_VOLUME": {
      const volume = fromResources([operation.volume]);
      const addition = fromResources([operation.addition]);
      return { consumed: add(volume, addition), converted: resized(operation.volume, addition, 1) };
    }
    case "SHRINK_VOLUME": {
      const volume = fromResources([operation.volume]);
      const freed = mapPools(
        fromResources([{ ...operation.volume, scalar: { value: operation.subtractMb } }]),
        withoutVolume,
      );
      return { consumed: volume, converted: add(resized(operation.volume, freed, -1), freed) };
    }
  }
}

/** `set` after the conversion; undefined when `set` does not have what is consumed. */
export function convert(set: ResourceSet, { consumed, converted }: Conversion): ResourceSet | undefined {
  return contains(set, consumed) ? add(subtract(set, consumed), converted) : undefined;
}

function resized(volume: Resource, by: ResourceSet, sign: 1 | -1): ResourceSet {
  let thousandths = 0;
  for (const { amounts } of by.pools.values()) thousandths += amounts.scalars.get("disk") ?? 0;
  const value = (volume.scalar?.value ?? 0) + (sign * thousandths) / 1000;
  return fromResources([{ ...volume, scalar: { value } }]);
}

function mapPools(set: ResourceSet, change: (pool: Pool) => Pool): ResourceSet {
  let mapped = setOf([]);
  for (const held of set.pools.values())
    mapped = add(mapped, setOf([{ ...held, pool: change(held.pool) } satisfies Held]));
  return mapped;
}

/** One layer less: what was reserved before, or nothing. */
const popReservation = (pool: Pool): Pool => makePool({ ...pool, reservations: pool.reservations.slice(0, -1) });

function withoutVolume(pool: Pool): Pool {
  const source: DiskInfo["source"] = pool.disk?.source;
  return makePool({ ...pool, isShared: false, disk: source === undefined ? undefined : { source } });
}

/** Ids of persistent volumes are unique for each role on an agent; the pairs that a set holds. */
export function volumeKeys(set: ResourceSet): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const { pool } of set.pools.values()) {
    const id = pool.disk?.persistence?.id;
    if (id !== undefined) keys.add(JSON.stringify([reservationRole(pool), id]));
  }
  return keys;
}
