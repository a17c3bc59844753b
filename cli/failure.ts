/** The command cannot go on: `message` says why and what to do, without a stack. Anything else that is thrown is our bug. */
export class Failure extends Error {
  override readonly name = "Failure";
}

/** The command was asked for in a way that it does not understand: exit code 2, except for `run`. */
export class UsageError extends Failure {}

/** The one line that a person needs of any error. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
