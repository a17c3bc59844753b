// A checksum for what is stored, so that a damaged row is never served as a vote. It finds accidents, not forgery.

const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

/**
 * FNV-1a over the UTF-16 units of a text, 32 bits, unsigned. Each step is a bijection of the sum so far, so that a change
 * of any one unit is always found.
 */
export function checksum(text: string): number {
  let hash = OFFSET;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), PRIME);
  return hash >>> 0;
}
