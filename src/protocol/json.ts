// The quirks of Mesos' JSON mapping (http-api-v1 §7), as valibot pieces: numbers may come as text, a list may come as
// one bare value, null is the same as absent, and an unknown enum name in an optional field counts as absent.
import * as v from "valibot";

/** A finite number, or its text. int64 and double alike: what is infinite does not survive our own JSON. */
export const numeric = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/), v.transform(Number))]),
  v.number(),
  v.finite(),
);

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

/** The first thing that is wrong with a value, as one sentence with the path to it. */
export function describeIssue(issues: readonly v.BaseIssue<unknown>[]): string {
  const issue = issues[0];
  if (issue === undefined) return "invalid";
  const path = v.getDotPath(issue);
  return path === null ? issue.message : `${path}: ${issue.message}`;
}
