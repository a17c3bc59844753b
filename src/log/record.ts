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

/** One text for one value: what the checksum covers and what "the same value" means. */
export function entryText(entry: Entry): string {
  switch (entry.type) {
    case "nop":
      return `{"type":"nop"}`;
    case "membership":
      return JSON.stringify({ type: entry.type, membership: { replicas: entry.membership.replicas } });
    case "append":
      return JSON.stringify({ type: entry.type, data: entry.data });
    case "truncate":
      return JSON.stringify({ type: entry.type, to: entry.to });
    default:
      return unreachable(entry);
  }
}

export const isSameEntry = (a: Entry, b: Entry): boolean => a === b || entryText(a) === entryText(b);

/** Letters that an entry adds to a write or a page. */
export const entryLetters = (entry: Entry): number => (entry.type === "append" ? entry.data.length : 0) + 64;
