// 64-bit integers in JSON and in our own objects. A double has 53 bits: what it cannot hold exactly stays text, so that no value is
// rounded between two clients.

/**
 * A 64-bit integer: a number where that is exact, its decimal digits otherwise. Times in nanoseconds are text, unless they are the plane's
 * own, which have whole microseconds: a double of that size prints those digits as they were.
 */
export type Int64 = number | `${bigint}`;

const RANGE = {
  signed: { min: -(2n ** 63n), max: 2n ** 63n - 1n },
  unsigned: { min: 0n, max: 2n ** 64n - 1n },
} as const;

/** Reads decimal digits; undefined when they are none, or not of 64 bits. */
export function parseInt64(digits: string, sign: "signed" | "unsigned"): Int64 | undefined {
  if (!/^-?\d{1,20}$/.test(digits)) return undefined;
  const number = Number(digits);
  if (Number.isSafeInteger(number)) return sign === "unsigned" && number < 0 ? undefined : number;
  const exact = BigInt(digits);
  return exact < RANGE[sign].min || exact > RANGE[sign].max ? undefined : `${exact}`;
}
