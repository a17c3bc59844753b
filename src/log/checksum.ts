// A checksum for what is stored, so that a damaged row is never served as a vote. It finds accidents, not forgery.
import type { LogRecord } from "./record.ts";
import { entryText } from "./record.ts";

const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

/** FNV-1a over the UTF-16 units of a text, two bytes each, 32 bits, unsigned. */
export function checksum(text: string): number {
  let hash = OFFSET;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), PRIME);
    hash = Math.imul(hash ^ (unit >>> 8), PRIME);
  }
  return hash >>> 0;
}

/** Covers position and ballot too: a good entry under another ballot is as wrong as a damaged one. */
export function recordChecksum({ position, performed, entry }: LogRecord): number {
  return checksum(`${position} ${performed.counter} ${performed.candidate} ${performed.nonce} ${entryText(entry)}`);
}
