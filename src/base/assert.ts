/** One of our own rules is broken: a bug, never an input. Nobody catches it but the shell, which restarts from disk. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** Throws {@link InvariantError} when `condition` does not hold. */
export function assert(condition: boolean, rule: string): asserts condition {
  if (!condition) throw new InvariantError(rule);
}

/** The end of a `switch` over a union: a new member of the union fails to compile here. */
export function unreachable(value: never): never {
  throw new InvariantError(`not a case: ${JSON.stringify(value)}`);
}

/** `value`, which must be there. For look-ups whose key was just taken from the same map or array. */
export function present<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new InvariantError(`missing: ${what}`);
  return value;
}
