// Running sums of resources: what an agent's tasks hold, what a framework's hold. Nobody adds up a hundred thousand tasks to make an offer.
//
// Scalars are added and subtracted. Ranges and sets are united, and one port may be held twice: on two agents, or because an agent says
// so. Who holds any is therefore counted, and what is united is made anew after one of them has let go, when somebody asks.
import { NO_AMOUNTS } from "#resources/amounts.ts";
import { add, NOTHING, type ResourceSet, setOf, subtract } from "#resources/resources.ts";

export interface Tally {
  /** Right but for ranges and sets while `isStale`. */
  sum: ResourceSet;
  /** How often each set that has ranges or sets is held. */
  holders: Map<ResourceSet, number> | undefined;
  isStale: boolean;
}

export const newTally = (): Tally => ({ sum: NOTHING, holders: undefined, isStale: false });

export function take(tally: Tally, held: ResourceSet): void {
  tally.sum = add(tally.sum, held);
  if (spansOf(held) === NOTHING) return;
  tally.holders ??= new Map();
  tally.holders.set(held, (tally.holders.get(held) ?? 0) + 1);
}

/** `held` is the very set that was taken. */
export function giveBack(tally: Tally, held: ResourceSet): void {
  tally.sum = subtract(tally.sum, held);
  const count = tally.holders?.get(held);
  if (tally.holders === undefined || count === undefined) return;
  if (count > 1) tally.holders.set(held, count - 1);
  else tally.holders.delete(held);
  if (tally.holders.size === 0) tally.holders = undefined;
  tally.isStale = tally.holders !== undefined;
}

export function total(tally: Tally): ResourceSet {
  if (tally.isStale) {
    tally.sum = add(tally.sum, united([...(tally.holders?.keys() ?? [])].map(spansOf)));
    tally.isStale = false;
  }
  return tally.sum;
}

const known = new WeakMap<ResourceSet, ResourceSet>();

/** The ranges and sets of a set; {@link NOTHING} for most. */
function spansOf(set: ResourceSet): ResourceSet {
  let spans = known.get(set);
  if (spans === undefined) {
    const held = [...set.pools.values()].map(({ pool, amounts: { ranges, sets } }) => ({
      pool,
      amounts: { scalars: NO_AMOUNTS.scalars, ranges, sets },
    }));
    known.set(set, (spans = setOf(held)));
  }
  return spans;
}

/** In halves: one after the other, a thousand ports would be sorted a thousand times. */
function united(sets: readonly ResourceSet[]): ResourceSet {
  if (sets.length <= 1) return sets[0] ?? NOTHING;
  const middle = sets.length >> 1;
  return add(united(sets.slice(0, middle)), united(sets.slice(middle)));
}
