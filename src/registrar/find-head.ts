// Finding the newest entry of the Registrar's at or before a position. Usually the first look finds it; behind it there may be entries of
// the log's own (nops, memberships, truncations), or entries of release 0.1.0, which had no heads. It decides where to look, in ever wider steps
// towards the begin; whoever drives it reads.
import type { ReadAnswer } from "#log/calls.ts";
import { type Position, type PositionedEntry, position } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX } from "#log/limits.ts";
import { decodeHead, type Head } from "./codec.ts";

/** Entries of the first look, and by how much each look is wider than the one before it. */
const FIRST_LOOK = 1;
const WIDER = 16;

export interface HeadSearch {
  /** The look that is under way: from its first to its last position, and the next one that is to be read. */
  readonly from: Position;
  readonly to: Position;
  readonly at: Position;
  /** The newest head in this look. */
  readonly found: Head | undefined;
}
export type HeadFound =
  | { readonly type: "search"; readonly search: HeadSearch }
  /** No head: nobody has led in this log yet, or what is left of it says nothing. */
  | { readonly type: "found"; readonly head: Head | undefined }
  | { readonly type: "stopped"; readonly reason: string };

/** Begins at `to`, which is at least 1; its answer is to be taken by {@link searchOn}. */
export function searchHead(to: Position): HeadSearch {
  return look(to, FIRST_LOOK);
}

/**
 * Goes on with what was read from `search.at` to `search.to`. An entry that cannot be read stops it, or is passed over by one who will come to
 * it again when he applies what he finds.
 */
export function searchOn(
  search: HeadSearch,
  { entries, begin }: Extract<ReadAnswer, { type: "entries" }>,
  unreadable: "stop" | "pass",
): HeadFound {
  const last = entries.at(-1);
  // What was truncated meanwhile is gone; behind it the look goes on.
  const at = last === undefined ? Math.max(search.at, begin) : last.position + 1;
  if (at === search.at) {
    return { type: "stopped", reason: `the entry at ${search.at}, which was chosen, cannot be read now` };
  }
  // What a page brings beyond was not asked for: it may be newer than all that the asker goes by.
  const newest = newestHead(
    entries.filter((entry) => entry.position <= search.to),
    unreadable,
  );
  if (newest.type === "unreadable") return { type: "stopped", reason: newest.reason };
  const found = newest.head ?? search.found;
  if (at <= search.to) return { type: "search", search: { ...search, at: position(at), found } };
  if (found !== undefined || search.from <= begin) return { type: "found", head: found };
  const width = Math.min(PAGE_ENTRIES_MAX, (search.to - search.from + 1) * WIDER);
  return { type: "search", search: look(position(search.from - 1), width) };
}

function look(to: Position, width: number): HeadSearch {
  const from = position(Math.max(1, to - width + 1));
  return { from, to, at: from, found: undefined };
}

/** The head of the last entry that has one. */
export function newestHead(
  entries: readonly PositionedEntry[],
  unreadable: "stop" | "pass",
): { readonly type: "head"; readonly head?: Head } | { readonly type: "unreadable"; readonly reason: string } {
  for (const { position: at, entry } of entries.toReversed()) {
    if (entry.type !== "append") continue;
    const decoded = decodeHead(at, entry.data);
    if (decoded.type === "unreadable") {
      if (unreadable === "pass") continue;
      return { type: "unreadable", reason: `cannot read the log entry at ${at}: ${decoded.reason}` };
    }
    if (decoded.head !== undefined) return decoded;
  }
  return { type: "head" };
}
