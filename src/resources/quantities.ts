// How much there is of each scalar, whosever it is: what shares, quotas and minimums are counted in.
import { toThousandths } from "./amounts.ts";

/** In thousandths of each scalar's unit. A kind that is not named is 0, unless whoever holds the quantities says otherwise. */
export type Quantities = ReadonlyMap<string, number>;

export const NO_QUANTITIES: Quantities = new Map();

/** Of amounts in their own units: `{ cpus: 0.5, mem: 32 }`. */
export const quantitiesOf = (amounts: Readonly<Record<string, number>>): Quantities =>
  new Map(Object.entries(amounts).map(([name, value]) => [name, toThousandths(value)]));

/** Adds to a running total, or takes from it. A kind of which nothing is left is not named any more. */
export function tally(total: Map<string, number>, change: Quantities, sign: 1 | -1): void {
  for (const [name, value] of change) {
    const next = (total.get(name) ?? 0) + sign * value;
    if (next === 0) total.delete(name);
    else total.set(name, next);
  }
}

/** Whether there is at least as much of everything. */
export function covers(whole: Quantities, part: Quantities): boolean {
  for (const [name, value] of part) if (value > (whole.get(name) ?? 0)) return false;
  return true;
}
