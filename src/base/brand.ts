declare const brand: unique symbol;

/** Has a name, so that types which are inferred from it can be written down: the library's declarations do that. */
export interface Branded<Name extends string> {
  readonly [brand]: Name;
}

/** A type that the compiler keeps apart from others with the same shape: `Brand<string, "AgentId">`. */
export type Brand<T, Name extends string> = T & Branded<Name>;
