// What one operation makes of an agent's resources. The plane has checked it by its own rules; this is the agent's own look, by
// what it has and knows itself: whatever would put its books out of order fails, and changes nothing.
import type { ResourceOperation } from "#protocol/agent.ts";
import type { Resource } from "#protocol/resource.ts";
import { toThousandths } from "#resources/amounts.ts";
import { type Conversion, conversionOf, convert, resourcesIn, volumeKeys } from "#resources/conversion.ts";
import { sizeProblem } from "#resources/size.ts";
import { isDynamic, type Pool, poolOf } from "#resources/pool.ts";
import { equal, fromResources, resourceProblem, type ResourceSet, toResources } from "#resources/resources.ts";
import { type Place, placeOf } from "../volumes/place.ts";
import { convertedIn, describe, materialOf, totalOf } from "./total.ts";

export interface Holdings {
  readonly given: ResourceSet;
  readonly total: ResourceSet;
  /** Whether a task that has not ended holds the volume, by its pool's key. */
  readonly isVolumeInUse: (poolKey: string) => boolean;
  /** Whether what was there before is still being removed. */
  readonly isBeingRemoved: (place: Place) => boolean;
}

export type Operated =
  | {
      readonly type: "done";
      /** What is to be checkpointed from now on. */
      readonly converted: ResourceSet;
      readonly conversion: Conversion;
      /** Of volumes that are made, and of those that are destroyed. */
      readonly made: readonly Place[];
      readonly removed: readonly Place[];
    }
  | { readonly type: "failed"; readonly message: string };

export function operate(operation: ResourceOperation, holdings: Holdings): Operated {
  const failed = (message: string): Operated => ({ type: "failed", message: `${operation.type}: ${message}` });
  const { given, total } = holdings;
  const problem = firstProblem(resourcesIn(operation)) ?? ruleBroken(operation, holdings);
  if (problem !== undefined) return failed(problem);

  const conversion = conversionOf(operation);
  const after = convert(total, conversion);
  if (after === undefined) return failed(`this agent does not have ${describe(conversion.consumed)}`);
  const converted = convertedIn(after);
  // Whatever was asked: nothing is made or lost, static reservations stay, and the next agent can start with it.
  const expected = totalOf(given, converted);
  if (expected === undefined || !equal(expected, after))
    return failed("it would change what this agent's flags give it");
  const tooMuch = firstProblem(toResources(conversion.converted)) ?? sizeProblem(after);
  if (tooMuch !== undefined) return failed(tooMuch);

  const places = "volumes" in operation ? operation.volumes.map((volume) => placeOf(poolOf(volume))) : [];
  if (operation.type !== "CREATE") return { type: "done", converted, conversion, made: [], removed: places };
  const busy = places.find(holdings.isBeingRemoved);
  if (busy !== undefined)
    return failed(`what was at ${busy.path} before is still being removed: try again later, or see the agent's log`);
  return { type: "done", converted, conversion, made: places, removed: [] };
}

const firstProblem = (resources: readonly Resource[]): string | undefined =>
  resources.map(resourceProblem).find((problem) => problem !== undefined);

function ruleBroken(operation: ResourceOperation, { total, isVolumeInUse }: Holdings): string | undefined {
  const pools = resourcesIn(operation).map(poolOf);
  switch (operation.type) {
    case "RESERVE":
    case "UNRESERVE":
      // A volume's place has the role in its path: it is not carried from one to another.
      if (pools.some(isVolume)) return "there is a persistent volume on it";
      return pools.every(hasDynamicTop) ? undefined : "only a dynamic reservation can be made or taken off";
    case "CREATE": {
      if (!pools.every(isVolume)) return "it is no persistent volume";
      const keys = volumeKeys(fromResources(operation.volumes));
      if (keys.size < pools.length) return "a persistence id is named twice";
      const there = volumeKeys(total);
      return [...keys].some((key) => there.has(key))
        ? "this agent has a persistent volume of that role and id already"
        : undefined;
    }
    case "DESTROY":
      return pools.map((pool) => volumeProblem(pool, isVolumeInUse)).find((problem) => problem !== undefined);
    case "GROW_VOLUME": {
      const { volume, addition } = operation;
      const problem = volumeProblem(poolOf(volume), isVolumeInUse);
      if (problem !== undefined) return problem;
      const isSame = addition.name === "disk" && materialOf(poolOf(volume)).key === poolOf(addition).key;
      return isSame ? undefined : "the addition is not of the volume's own disk and reservation";
    }
    case "SHRINK_VOLUME": {
      const { volume, subtractMb } = operation;
      if (poolOf(volume).disk?.source?.type === "MOUNT") return "a whole mount cannot shrink";
      const [goes, has] = [toThousandths(subtractMb), toThousandths(volume.scalar?.value ?? 0)];
      const isLess = goes > 0 && goes < has;
      return (
        volumeProblem(poolOf(volume), isVolumeInUse) ?? (isLess ? undefined : "something must go and something stay")
      );
    }
  }
}

const isVolume = ({ disk }: Pool): boolean => disk?.persistence !== undefined;

function hasDynamicTop({ reservations }: Pool): boolean {
  const top = reservations.at(-1);
  return top !== undefined && isDynamic(top);
}

function volumeProblem(pool: Pool, isInUse: (key: string) => boolean): string | undefined {
  if (!isVolume(pool)) return "it is no persistent volume";
  return isInUse(pool.key) ? `a task holds volume ${pool.disk?.persistence?.id}` : undefined;
}
