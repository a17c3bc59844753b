declare const brand: unique symbol;

/** A type that the compiler keeps apart from others with the same shape: `Brand<string, "AgentId">`. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
