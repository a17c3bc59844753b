// What an agent has: what its flags give, with what operations have made of parts of it in the place of those parts. Only the
// second is checkpointed, so that flags may change under it; the two fit together as long as the flags give what it was made of.
import { present } from "#base/assert.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { Resource } from "#protocol/resource.ts";
import { isDynamic, makePool, type Pool, reservationRole } from "#resources/pool.ts";
import {
  add,
  contains,
  fromResources,
  NOTHING,
  resourcesObject,
  type ResourceSet,
  select,
  setOf,
  subtract,
  toResources,
} from "#resources/resources.ts";

/** Whether operations made it: what has a dynamic reservation, or a persistent volume. */
const isConverted = (pool: Pool): boolean => pool.reservations.some(isDynamic) || pool.disk?.persistence !== undefined;

/** The part of an agent's resources that is checkpointed. */
export const convertedIn = (total: ResourceSet): ResourceSet => select(total, isConverted);

/** All of it; undefined when the flags do not give what was converted. */
export function totalOf(given: ResourceSet, converted: ResourceSet): ResourceSet | undefined {
  const material = asGiven(converted);
  return contains(given, material) ? add(subtract(given, material), converted) : undefined;
}

/** What it was made of: static reservations and disks are the flags' own. */
function asGiven(converted: ResourceSet): ResourceSet {
  let given = NOTHING;
  for (const { pool, amounts } of converted.pools.values()) {
    const reservations = pool.reservations.filter((layer) => !isDynamic(layer));
    given = add(given, setOf([{ pool: makePool({ ...materialOf(pool), reservations }), amounts }]));
  }
  return given;
}

/** The disk and the reservations that a volume was made of. */
export function materialOf(pool: Pool): Pool {
  const source = pool.disk?.source;
  const disk = source === undefined ? undefined : { persistence: undefined, volume: undefined, source };
  return makePool({ ...pool, isShared: false, disk });
}

/** What is told of an agent whose flags give that, now that operations have converted parts of it. */
export function withTotal(given: AgentInfo, converted: readonly Resource[]): AgentInfo {
  if (converted.length === 0) return given;
  const total = totalOf(fromResources(given.resources), fromResources(converted));
  return { ...given, resources: toResources(present(total, "resources that fit the flags")) };
}

/** Why an agent with such flags may not start, and what to do about it; undefined when it may. */
export function fitProblem(given: readonly Resource[], converted: readonly Resource[]): string | undefined {
  const made = fromResources(converted);
  if (totalOf(fromResources(given), made) !== undefined) return undefined;
  return (
    `--resources does not give what was reserved or made a volume on this agent: ${describe(made)}. ` +
    "Give it resources that hold all of that, or start it as before and have these unreserved and destroyed first"
  );
}

/** For people: `disk:100 (role web, volume data); cpus:2 (role web)`. */
export function describe(set: ResourceSet): string {
  return [...set.pools.values()]
    .map((held) => {
      const { disk } = held.pool;
      const { root } = disk?.source?.path ?? disk?.source?.mount ?? {};
      const facts = [
        held.pool.reservations.length === 0 ? undefined : `role ${reservationRole(held.pool)}`,
        disk?.persistence === undefined ? undefined : `volume ${disk.persistence.id}`,
        root === undefined ? undefined : `on ${root}`,
      ].filter((fact) => fact !== undefined);
      const amounts = Object.entries(resourcesObject(setOf([held])))
        .filter(([, amount]) => amount !== 0)
        .map(([name, amount]) => `${name}:${amount}`);
      return facts.length === 0 ? amounts.join("; ") : `${amounts.join("; ")} (${facts.join(", ")})`;
    })
    .join("; ");
}
