/** It cannot go on, and `message` is all that a person needs. */
export class Problem extends Error {
  override readonly name = "Problem";
}
