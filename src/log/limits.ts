// The bounds of one entry, one write and one page. Lengths count UTF-16 units ("letters"): a pure folder has no encoder,
// and the byte bounds of the platform follow from these.
import { assert } from "#base/assert.ts";

/** Longest text of one entry, letters. */
export const ENTRY_LETTERS_MAX = 256 * 1024;
/** Most consecutive entries in one write: they are accepted together or not at all. */
export const WRITE_ENTRIES_MAX = 1_024;
/** Most letters in one write, all its entries together. */
export const WRITE_LETTERS_MAX = 1024 * 1024;
/** Most records in one page of a promise, a read or a catch-up. */
export const PAGE_ENTRIES_MAX = 2_000;
/** A page ends before the record that would exceed this many letters, but it always holds one. */
export const PAGE_LETTERS_MAX = 1024 * 1024;
/** Letters of one message as JSON: the longest page, in letters that are all escaped, and what stands around its records. */
export const ENVELOPE_LETTERS_MAX = 6 * PAGE_LETTERS_MAX + 1024 * PAGE_ENTRIES_MAX;
/** Most replicas that a membership may name. */
export const REPLICAS_MAX = 9;
/** How far above its promise a replica takes a ballot: an election a second for a century, and many times that to the last safe number. */
export const BALLOT_JUMP_MAX = 2 ** 32;
/** Most letters in an id, a candidate's name or a nonce. */
export const ID_LETTERS_MAX = 255;
/** Pages that one settlement pushes to one lagging replica; the next one goes on from there. */
export const SETTLE_PAGES_MAX = 8;
/** Pages that one preparation pushes to a replica that is to be seated; the caller asks again. A page is two calls, of 1,000 that a Worker may make. */
export const PREPARE_PAGES_MAX = 200;
/** A replica that lacks at most this many entries may be seated: it learns the rest with the entry that seats it. */
export const SEATED_LAG_MAX = PAGE_ENTRIES_MAX;
/** Letters of encoded text in one stored row. Three bytes each at most, a row of an object's SQLite holds 2 MB. */
export const ROW_LETTERS_MAX = 600_000;
/** Bytes that one letter of an entry can become in a stored row: JSON writes a control character as \u0000. */
const BYTES_PER_LETTER_MAX = 6;
const ROW_BYTES_MAX = 2_000_000;

assert(ENTRY_LETTERS_MAX <= WRITE_LETTERS_MAX, "one write can carry the longest entry");
assert(ENTRY_LETTERS_MAX <= PAGE_LETTERS_MAX, "one page can carry the longest entry");
assert(WRITE_ENTRIES_MAX <= PAGE_ENTRIES_MAX, "one page can carry the longest write");
assert(ENTRY_LETTERS_MAX * BYTES_PER_LETTER_MAX < ROW_BYTES_MAX, "the longest entry fits a row");
assert(ROW_LETTERS_MAX * 3 < ROW_BYTES_MAX, "several entries in a row fit it");
