// UTF-8 without the platform's encoder: pure folders have none.

/** Bytes that a text has in UTF-8. Half of a letter counts as the three of its replacement. */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (const letter of text) {
    const point = letter.codePointAt(0) ?? 0;
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return bytes;
}
