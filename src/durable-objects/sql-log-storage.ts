// LogStorage on the SQLite of a Durable Object: one metadata row, and one row for each run of consecutive records that were
// accepted under one ballot, so that a write of many entries costs one row. A checksum on each row.
//
// Not cached but for its end: the object may be evicted between any two messages, and a page of rows is read only for
// elections, reads and catch-up.
import { assert } from "#base/assert.ts";
import { type Ballot, compareBallots, NO_BALLOT } from "#log/ballot.ts";
import { checksum } from "#log/checksum.ts";
import type { Entry, Incarnation, Position } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import { ROW_LETTERS_MAX, WRITE_ENTRIES_MAX } from "#log/limits.ts";
import { parseEntriesText } from "#log/parse-message.ts";
import { entryLetters, entryText, type LogRecord } from "#log/record.ts";
import {
  emptyMetadata,
  type Loaded,
  type LogStorage,
  type Metadata,
  type PageBounds,
  type PageRead,
  type Persist,
} from "#log/storage.ts";

/** Version of these tables. A newer release reads older tables; an older release refuses newer ones. */
const SCHEMA_VERSION = 2;
/** Rows of truncated records that one transaction deletes: the rest goes with the next ones. */
const DROPPED_ROWS_MAX = 500;

const COLUMNS = "first, last, ballot, missing_from, entries, checksum";

interface StoredMetadata {
  readonly v: number;
  readonly metadata: Metadata;
}
type RunRow = {
  first: number;
  last: number;
  /** As JSON: whatever letters a candidate's name has, they come back as they were. */
  ballot: string;
  /** First position that was not learned when the row was written. */
  missing_from: number;
  entries: string;
  checksum: number;
};
type Run =
  | {
      readonly type: "run";
      readonly ballot: Ballot;
      readonly missingFrom: number;
      readonly entries: readonly Entry[];
    }
  | { readonly type: "corrupt" }
  /** Sound, and of a newer release. */
  | { readonly type: "unreadable" };

export class SqlLogStorage implements LogStorage {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;
  #end: Position | undefined;
  /** As it is stored. */
  #metadata: Metadata | undefined;
  /** Truncation has come this far and may not have deleted everything below. */
  #dropBelow = 0;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    const old = this.#sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'log_record'").toArray();
    assert(
      old.length === 0,
      "this log was made by release 0.1, which later ones cannot read: begin with a new cluster",
    );
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS log_metadata (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL, checksum INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS log_run (
        first INTEGER PRIMARY KEY,
        last INTEGER NOT NULL,
        ballot TEXT NOT NULL,
        missing_from INTEGER NOT NULL,
        entries TEXT NOT NULL,
        checksum INTEGER NOT NULL
      );
    `);
  }

  load(): Loaded {
    const [row] = this.#sql
      .exec<{ text: string; checksum: number }>("SELECT text, checksum FROM log_metadata")
      .toArray();
    // Records without metadata: the row was lost, and with it the promise. That is not the same as a new replica.
    if (row === undefined)
      return this.end() > 0 ? { type: "corrupt", reason: "the metadata is gone" } : { type: "new" };
    if (checksum(row.text) !== row.checksum) return { type: "corrupt", reason: "the metadata fails its checksum" };
    const [last] = this.#sql.exec<RunRow>(`SELECT ${COLUMNS} FROM log_run ORDER BY first DESC LIMIT 1`).toArray();
    const lastRun = last === undefined ? undefined : readRun(last);
    // It says where the log ends: a wrong one could be anywhere.
    if (lastRun?.type === "corrupt") return { type: "corrupt", reason: "the last row fails its checksum" };
    const stored = JSON.parse(row.text) as StoredMetadata; // our own text: the checksum vouches for it
    assert(stored.v <= SCHEMA_VERSION, `the tables are of version ${stored.v}, this release reads ${SCHEMA_VERSION}`);
    const metadata = { ...emptyMetadata("" as Incarnation), ...stored.metadata };
    this.#dropBelow = metadata.begin;
    this.#metadata = metadata;
    // The watermark goes with each row, so that a write costs one row.
    const missingFrom = position(Math.max(metadata.missingFrom, lastRun?.type === "run" ? lastRun.missingFrom : 0));
    return { type: "metadata", metadata: { ...metadata, missingFrom } };
  }

  persist(effects: readonly Persist[]): void {
    if (effects.length === 0) return;
    try {
      if (this.#isOneStatement(effects)) return this.#persistAll(effects);
      this.#storage.transactionSync(() => this.#persistAll(effects));
    } catch (error) {
      // What is cached may have been rolled back.
      this.#end = undefined;
      this.#metadata = undefined;
      this.load();
      throw error;
    }
  }

  /** A plain append at the end: one row, which needs no transaction of its own around it. */
  #isOneStatement([first, ...more]: readonly Persist[]): boolean {
    if (more.length > 0 || this.#dropBelow > 0 || first?.type !== "persist-records") return false;
    const [record] = first.records;
    return record !== undefined && first.records.length === 1 && record.position > this.end();
  }

  #persistAll(effects: readonly Persist[]): void {
    for (const effect of effects) this.#persistOne(effect);
    this.#dropSome();
  }

  #persistOne(effect: Persist): void {
    switch (effect.type) {
      case "persist-metadata":
        return this.#persistMetadata(effect.metadata);
      case "persist-records":
        return this.#persistRecords(effect.records, effect.missingFrom ?? 0);
      case "drop-below":
        this.#dropBelow = effect.to;
        return;
      case "drop-from":
        return this.#clear(effect.from, this.end());
    }
  }

  end(): Position {
    if (this.#end === undefined) {
      const [row] = this.#sql.exec<{ last: number }>("SELECT last FROM log_run ORDER BY first DESC LIMIT 1").toArray();
      this.#end = position(row?.last ?? 0);
    }
    return this.#end;
  }

  page(from: Position, { to, entriesMax, lettersMax }: PageBounds): PageRead {
    const last = to ?? Number.MAX_SAFE_INTEGER;
    const records: LogRecord[] = [];
    let letters = 0;
    for (const row of this.#runsFrom(from, last)) {
      const run = readRun(row);
      if (run.type !== "run") {
        const at = position(Math.max(row.first, from));
        if (records.length === entriesMax) return { type: "page", records, next: at };
        if (run.type === "unreadable") return { type: "unreadable", position: position(row.first) };
        if (row.last < at) return { type: "corrupt", range: { from: at, to: at } };
        return { type: "corrupt", range: { from: position(row.first), to: position(row.last) } };
      }
      for (let at = Math.max(row.first, from); at <= Math.min(row.last, last); at++) {
        const entry = run.entries[at - row.first];
        assert(entry !== undefined, "a run has an entry for each of its positions");
        letters += entryLetters(entry);
        if (records.length === entriesMax || (records.length > 0 && letters > lettersMax)) {
          return { type: "page", records, next: position(at) };
        }
        records.push({ position: position(at), performed: run.ballot, entry });
      }
    }
    return { type: "page", records, next: undefined };
  }

  /** Rows that touch [from, to]. A cursor, not an array: a page may end by its letters long before its rows do. */
  *#runsFrom(from: number, to: number): Iterable<RunRow> {
    const rows = this.#sql.exec<RunRow>(
      `SELECT ${COLUMNS} FROM log_run
       WHERE first >= coalesce((SELECT max(first) FROM log_run WHERE first <= ?1), ?1) AND first <= ?2 ORDER BY first`,
      from,
      to,
    );
    // A damaged row may reach further than it says.
    for (const row of rows) if (row.last >= from || readRun(row).type === "corrupt") yield row;
  }

  #persistMetadata(metadata: Metadata): void {
    const stored: StoredMetadata = { v: SCHEMA_VERSION, metadata };
    const text = JSON.stringify(stored);
    this.#sql.exec("INSERT OR REPLACE INTO log_metadata (id, text, checksum) VALUES (1, ?, ?)", text, checksum(text));
    this.#metadata = metadata;
  }

  #persistWatermark(missingFrom: number): void {
    const metadata = this.#metadata;
    if (metadata === undefined || metadata.missingFrom >= missingFrom) return;
    this.#persistMetadata({ ...metadata, missingFrom: position(missingFrom) });
  }

  #persistRecords(records: readonly LogRecord[], missingFrom: number): void {
    let texts: string[] = [];
    let letters = 0;
    let first: LogRecord | undefined;
    let last = 0;
    const close = (): void => {
      if (first !== undefined) {
        const run = { first: first.position, last, ballot: first.performed, missingFrom };
        const isBehind = run.first <= this.end();
        if (isBehind) this.#clear(run.first, last);
        this.#insert(run, `[${texts.join(",")}]`);
        if (last > this.end()) this.#end = position(last);
        // Only the last row's watermark is looked at when the storage is opened.
        if (isBehind) this.#persistWatermark(missingFrom);
      }
      texts = [];
      letters = 0;
      first = undefined;
    };
    for (const record of records) {
      const text = entryText(record.entry);
      const goesOn =
        first !== undefined &&
        record.position === last + 1 &&
        texts.length < WRITE_ENTRIES_MAX &&
        letters + text.length <= ROW_LETTERS_MAX &&
        compareBallots(record.performed, first.performed) === 0;
      if (!goesOn) close();
      first ??= record;
      last = record.position;
      letters += text.length + 1;
      texts.push(text);
    }
    close();
  }

  #insert({ first, last, ballot, missingFrom }: RunKey, entries: string, { damaged = false } = {}): void {
    const ballotText = JSON.stringify(ballot);
    const sum = runChecksum({ first, last, ballotText, missingFrom, entries });
    this.#sql.exec(
      `INSERT INTO log_run (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`,
      first,
      last,
      ballotText,
      missingFrom,
      entries,
      damaged ? sum ^ 1 : sum,
    );
  }

  /** Makes room in [from, to]: rows that reach beyond it keep what is outside, a damaged one as damaged. */
  #clear(from: number, to: number): void {
    for (const row of [...this.#runsFrom(from, to)]) {
      const run = readRun(row);
      assert(run.type !== "unreadable", `the entries from ${row.first} on are of a newer release: upgrade this one`);
      this.#sql.exec("DELETE FROM log_run WHERE first = ?", row.first);
      for (const [first, last] of [
        [row.first, Math.min(row.last, from - 1)],
        [Math.max(row.first, to + 1), row.last],
      ] as const) {
        if (first > last) continue;
        if (run.type === "run") {
          const { ballot, missingFrom } = run;
          const kept = run.entries.slice(first - row.first, last - row.first + 1);
          this.#insert({ first, last, ballot, missingFrom }, `[${kept.map(entryText).join(",")}]`);
        } else this.#insert({ first, last, ballot: NO_BALLOT, missingFrom: 0 }, "", { damaged: true });
      }
    }
    this.#end = undefined;
  }

  #dropSome(): void {
    if (this.#dropBelow === 0) return;
    const dropped = this.#sql.exec(
      "DELETE FROM log_run WHERE first IN (SELECT first FROM log_run WHERE last < ? ORDER BY first LIMIT ?)",
      this.#dropBelow,
      DROPPED_ROWS_MAX,
    );
    if (dropped.rowsWritten < DROPPED_ROWS_MAX) this.#dropBelow = 0;
  }
}

/** What a row holds besides its entries. */
interface RunKey {
  readonly first: number;
  readonly last: number;
  readonly ballot: Ballot;
  readonly missingFrom: number;
}

interface StoredRun {
  readonly first: number;
  readonly last: number;
  readonly ballotText: string;
  readonly missingFrom: number;
  readonly entries: string;
}

const runChecksum = ({ first, last, ballotText, missingFrom, entries }: StoredRun): number =>
  checksum(`${first} ${last} ${ballotText} ${missingFrom} ${entries}`);

function readRun(row: RunRow): Run {
  const { first, last, ballot: ballotText, missing_from: missingFrom } = row;
  if (runChecksum({ first, last, ballotText, missingFrom, entries: row.entries }) !== row.checksum) {
    return { type: "corrupt" };
  }
  const entries = parseEntriesText(row.entries);
  if (entries === undefined) return { type: "unreadable" };
  assert(entries.length === last - first + 1, "a run has an entry for each of its positions");
  return { type: "run", ballot: JSON.parse(ballotText) as Ballot, missingFrom, entries };
}
