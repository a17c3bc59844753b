// What learning an entry means for a replica: the watermark moves, a membership entry changes what it goes by, a truncation
// where its log begins. And how a replica reads its records, so that damage is never taken for absence. Rules [L12], [L24], [L25].
import { present } from "#base/assert.ts";
import { type Electorate, type Entry, type Position, position } from "./entry.ts";
import { PAGE_ENTRIES_MAX, PAGE_LETTERS_MAX } from "./limits.ts";
import type { Tombstone } from "./messages.ts";
import type { LogReader, Metadata, PageBounds, PageRead, Persist } from "./storage.ts";

/** Why records cannot be served. */
export type Unsound = Exclude<PageRead, { type: "page" }>;

/** Reads a page. [L12] A learned position without a record is as damaged as one with a bad one. */
export function readPage(
  { missingFrom }: Pick<Metadata, "missingFrom">,
  reader: LogReader,
  from: Position,
  bounds: PageBounds,
): PageRead {
  const read = reader.page(from, bounds);
  if (read.type !== "page") return read;
  const before = Math.min(missingFrom, (bounds.to ?? missingFrom) + 1, read.next ?? missingFrom);
  let expected: number = from;
  for (const { position: at } of read.records) {
    if (at !== expected) break;
    expected += 1;
  }
  if (expected >= before) return read;
  const next = read.records.find(({ position: at }) => at > expected)?.position ?? before;
  return { type: "corrupt", range: { from: position(expected), to: position(Math.min(next, before) - 1) } };
}

/** Moves the watermark over learned entries and keeps what follows from them: membership and truncation. */
export class Learner {
  readonly #before: Metadata;
  readonly #reader: LogReader;
  #electorate: Electorate | undefined;
  #electorateAtBegin: Electorate | undefined;
  #begin: Position;
  /** Entries learned by this learner that are memberships: the reader may not have them yet. */
  readonly #memberships: Electorate[] = [];
  missingFrom: Position;
  /** What had to be read for it, and could not be: nothing more is learned before that is repaired. */
  unsound: Unsound | undefined;

  constructor(before: Metadata, reader: LogReader) {
    this.#before = before;
    this.#reader = reader;
    this.#electorate = before.electorate;
    this.#electorateAtBegin = before.electorateAtBegin;
    this.#begin = before.begin;
    this.missingFrom = before.missingFrom;
  }

  learn(at: Position, entry: Entry): void {
    if (entry.type === "truncate" && entry.to > this.#begin) {
      const inForce = this.#inForceAt(entry.to);
      if ("type" in inForce) {
        this.unsound = inForce;
        return;
      }
      this.#electorateAtBegin = inForce;
      this.#begin = entry.to;
    }
    this.missingFrom = position(at + 1);
    if (entry.type === "membership") {
      this.#electorate = { membership: entry.membership, position: at };
      this.#memberships.push(this.#electorate);
    }
  }

  /** [L25] Everything below the tombstone is gone: what was not learned there never will be. */
  jump({ begin, electorate }: Tombstone): void {
    if (begin <= this.#begin) return;
    this.#begin = begin;
    this.#electorateAtBegin = electorate;
    if (this.#electorate === undefined || electorate.position > this.#electorate.position)
      this.#electorate = electorate;
    if (begin > this.missingFrom) this.missingFrom = begin;
  }

  /** The last membership entry below `at`; all of [begin, at) is learned. */
  #inForceAt(at: Position): Electorate | Unsound {
    const { electorate } = this.#before;
    let found = this.#electorateAtBegin;
    if (electorate === undefined || electorate.position < at) {
      for (const known of [electorate, ...this.#memberships]) {
        if (known !== undefined && known.position < at && known.position > (found?.position ?? 0)) found = known;
      }
      return present(found, "a membership in force at every position");
    }
    for (let from: Position | undefined = this.#begin; from !== undefined && from < at;) {
      const bounds = { to: position(at - 1), entriesMax: PAGE_ENTRIES_MAX, lettersMax: PAGE_LETTERS_MAX };
      const read = this.#reader.page(from, bounds);
      if (read.type !== "page") return read;
      for (const { position: there, entry } of read.records) {
        if (entry.type === "membership") found = { membership: entry.membership, position: there };
      }
      from = read.next;
    }
    return present(found, "a membership in force at every position");
  }

  change(): Pick<Metadata, "electorate" | "electorateAtBegin" | "begin" | "missingFrom"> {
    return {
      electorate: this.#electorate,
      electorateAtBegin: this.#electorateAtBegin,
      begin: this.#begin,
      missingFrom: this.missingFrom,
    };
  }

  effects(): readonly Persist[] {
    return this.#begin > this.#before.begin ? [{ type: "drop-below", to: this.#begin }] : [];
  }
}
