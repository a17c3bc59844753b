// The bounds of one entry, one write and one page. Lengths count UTF-16 units ("letters"): a pure folder has no encoder,
// and a letter is at most three bytes of UTF-8, so that the byte bounds of the platform follow from these.
import { assert } from "#base/assert.ts";

/** Longest text of one entry, letters. At most 768 KiB in UTF-8; a row of an object's SQLite holds at most 2 MB. */
export const ENTRY_LETTERS_MAX = 256 * 1024;
/** Most consecutive entries in one write: they are accepted together or not at all. */
export const WRITE_ENTRIES_MAX = 64;
/** Most letters in one write, all its entries together. */
export const WRITE_LETTERS_MAX = 1024 * 1024;
/** Most records in one page of a promise or of a read. */
export const PAGE_ENTRIES_MAX = 500;
/** A page ends before the record that would exceed this many letters, but it always holds one. */
export const PAGE_LETTERS_MAX = 1024 * 1024;
/** Most replicas that a membership may name. */
export const REPLICAS_MAX = 9;
/** Most letters in an id, a candidate's name or a nonce. */
export const ID_LETTERS_MAX = 255;
/** Pages that one background pass pushes to one lagging replica; the next append goes on from there. */
export const CATCH_UP_PAGES_MAX = 4;

assert(ENTRY_LETTERS_MAX <= WRITE_LETTERS_MAX, "one write can carry the longest entry");
assert(ENTRY_LETTERS_MAX <= PAGE_LETTERS_MAX, "one page can carry the longest entry");
assert(ENTRY_LETTERS_MAX * 3 < 2_000_000, "the longest entry fits a row of 2 MB");
