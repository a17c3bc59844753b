// What a replica holds at one position, and when two entries are the same value.
import { unreachable } from "#base/assert.ts";
import type { Ballot } from "./ballot.ts";
import type { Entry, Position } from "./entry.ts";

/** An accepted value. Whether it is learned is no property of the record: see `missingFrom` in storage.ts. */
export interface LogRecord {
  readonly position: Position;
  /** The ballot under which this replica last accepted the value, or under which it was chosen elsewhere. */
  readonly performed: Ballot;
  readonly entry: Entry;
}

/** One text for one value: what is stored, what the checksum covers, and what "the same value" means. */
export function entryText(entry: Entry): string {
  switch (entry.type) {
    case "nop":
      return `{"type":"nop"}`;
    case "membership": {
      const seats = entry.membership.seats.map(({ replica, incarnation }) => ({ replica, incarnation }));
      return JSON.stringify({ type: entry.type, membership: { seats } });
    }
    case "append":
      return `{"type":"append","data":${JSON.stringify(entry.data)}}`;
    case "truncate":
      return `{"type":"truncate","to":${entry.to}}`;
    default:
      return unreachable(entry);
  }
}

export function isSameEntry(a: Entry, b: Entry): boolean {
  if (a === b) return true;
  if (a.type === "append" && b.type === "append") return a.data === b.data;
  return a.type === b.type && entryText(a) === entryText(b);
}

/** Letters that an entry adds to a write or a page. */
export const entryLetters = (entry: Entry): number => (entry.type === "append" ? entry.data.length : 0) + 64;
