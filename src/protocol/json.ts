// Pieces of schemas for Mesos' JSON in the one form that the plane works with (mesos-json.ts makes it). They still take what §7 of
// http-api-v1 lets clients write, because rows and frames of earlier releases have it: numbers as text, one bare value for a list,
// null for absent, an unknown enum name in an optional field for absent.
import * as v from "valibot";
import { parseInt64, type Int64 } from "./int64.ts";

/** A finite number, or its text. */
export const numeric = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/), v.transform(Number))]),
  v.number(),
  v.finite(),
);

/** A double that may be infinite; that becomes the largest finite one of its sign, which is beyond every bound all the same. */
export const numericOrInfinite = v.union([
  numeric,
  v.pipe(
    v.picklist(["Infinity", "-Infinity"]),
    v.transform((text) => (text === "Infinity" ? Number.MAX_VALUE : -Number.MAX_VALUE)),
  ),
]);

export const uint32 = v.pipe(numeric, v.integer(), v.minValue(0), v.maxValue(2 ** 32 - 1));
export const int32 = v.pipe(numeric, v.integer(), v.minValue(-(2 ** 31)), v.maxValue(2 ** 31 - 1));

/** 64 bits, signed or not: see {@link Int64}. */
const integer64 = (sign: "signed" | "unsigned") =>
  v.pipe(
    v.union([v.number(), v.string()]),
    v.rawTransform(({ dataset, addIssue, NEVER }): Int64 => {
      // A number of our own making may be beyond 2^53, and is taken as the digits that it prints.
      const value = parseInt64(String(dataset.value), sign);
      if (value !== undefined) return value;
      addIssue({ message: `must be an integer of 64 bits, ${sign}` });
      return NEVER;
    }),
  );
export const int64 = integer64("signed");
export const uint64 = integer64("unsigned");

/** Standard base64 with padding, of at most `max` bytes. */
export const bytes = (max: number) =>
  v.pipe(
    v.string(),
    v.maxLength(Math.ceil(max / 3) * 4, `at most ${max} bytes in base64`),
    v.regex(/^[A-Za-z0-9+/]*={0,2}$/, "must be base64"),
    v.check((text) => text.length % 4 === 0, "must be base64 with padding"),
  );

/** Text of at most `max` letters. */
export const text = (max: number) => v.pipe(v.string(), v.maxLength(max));

/** An optional field: null is the same as left out. */
export function optional<const S extends v.GenericSchema>(schema: S) {
  return v.pipe(
    v.nullish(schema),
    v.transform((value): v.InferOutput<S> | undefined => value ?? undefined),
  );
}

/** A repeated field of at most `max` items: absent, null and [] are the same; one bare value is a list of one. */
export function list<const S extends v.GenericSchema>(schema: S, max: number) {
  return v.pipe(
    // With a default, so that the steps below also run for a missing key.
    v.nullish(v.unknown(), []),
    v.transform((value: unknown) => (Array.isArray(value) ? (value as unknown[]) : [value])),
    v.array(schema),
    v.maxLength(max, `at most ${max} items`),
  );
}

/** An optional map of at most `max` names, each of at most `nameLettersMax` letters. */
export function map<const S extends v.GenericSchema>(schema: S, max: number, nameLettersMax = 1024) {
  return optional(
    v.pipe(
      v.record(text(nameLettersMax), schema),
      v.check((entries) => Object.keys(entries).length <= max, `at most ${max} entries`),
    ),
  );
}

/** A map of at most `max` keys as pairs, in order: absent, null and {} are the same. No object of ours is made of keys that others choose. */
export function pairs<const S extends v.GenericSchema>(value: S, max: number) {
  return v.pipe(
    v.nullish(v.unknown(), {}),
    v.check((map) => typeof map === "object" && map !== null && !Array.isArray(map), "must be an object"),
    v.transform((map) => Object.entries(map as object)),
    v.array(v.tuple([v.string(), value])),
    v.maxLength(max, `at most ${max} members`),
  );
}

/** A boolean, or its text. */
export const bool = v.union([
  v.boolean(),
  v.pipe(
    v.picklist(["true", "false"]),
    v.transform((text) => text === "true"),
  ),
]);

/** An optional enum: a name we do not know counts as left out, a number is refused. */
export function optionalName<const Names extends readonly [string, ...string[]]>(names: Names) {
  return v.pipe(
    v.nullish(v.string()),
    v.transform((name): Names[number] | undefined => names.find((known) => known === name)),
  );
}

/** An optional enum whose absence means UNKNOWN, as does a name we do not know. */
export function nameOrUnknown<const Names extends readonly [string, ...string[]]>(names: Names) {
  return v.pipe(
    // With a default, so that the step below also runs for a missing key.
    v.nullish(v.string(), "UNKNOWN"),
    v.transform((name): Names[number] | "UNKNOWN" => names.find((known) => known === name) ?? "UNKNOWN"),
  );
}

/** The first thing that is wrong with a value, as one sentence with the path to it. */
export function describeIssue(issues: readonly v.BaseIssue<unknown>[]): string {
  const issue = issues[0];
  if (issue === undefined) return "invalid";
  const path = v.getDotPath(issue);
  return path === null ? issue.message : `${path}: ${issue.message}`;
}
