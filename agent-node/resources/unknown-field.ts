// The schemas of Mesos' JSON let fields of a later Mesos pass. What a person writes into a flag is another matter: there a field that
// nothing reads is a misspelt one.

/** The path to the first field that `read` does not have, e.g. `0.disc`; undefined when everything was read. */
export function unknownField(given: unknown, read: unknown, path: readonly string[] = []): string | undefined {
  if (typeof given !== "object" || given === null) return undefined;
  const known: object = typeof read === "object" && read !== null ? read : {};
  // A repeated field may be given as one bare value.
  if (Array.isArray(read) && !Array.isArray(given)) return unknownField(given, read[0], path);
  for (const [name, value] of Object.entries(given)) {
    const here = [...path, name];
    if (!Object.hasOwn(known, name)) return here.join(".");
    const deeper = unknownField(value, Reflect.get(known, name), here);
    if (deeper !== undefined) return deeper;
  }
  return undefined;
}
