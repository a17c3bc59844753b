// JSON text to values, without loss: an integer that a double does not hold becomes a bigint. Otherwise this is JSON.parse.

export type JsonText =
  | { readonly type: "value"; readonly value: unknown }
  | { readonly type: "problem"; readonly reason: string };

/** ECMAScript's "JSON.parse source text access": in workerd and in Node from 21 on. */
type ParseWithSource = (
  text: string,
  reviver: (key: string, value: unknown, context?: { readonly source?: string }) => unknown,
) => unknown;

/** Longest integer of 64 bits, sign included. */
const INT64_LETTERS_MAX = 20;

export function parseJson(text: string): JsonText {
  try {
    // 2^53 has 16 digits. A reviver makes parsing some times slower, and texts without such digits need none.
    if (!/\d{16}/.test(text)) return { type: "value", value: JSON.parse(text) as unknown };
    return { type: "value", value: (JSON.parse as ParseWithSource)(text, exact) };
  } catch (error) {
    // Also when the reviver goes too deep for the stack.
    return { type: "problem", reason: error instanceof Error ? error.message : "syntax error" };
  }
}

function exact(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context?.source ?? "";
  return source.length <= INT64_LETTERS_MAX && /^-?\d+$/.test(source) ? BigInt(source) : value;
}
