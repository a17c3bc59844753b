// LogStorage on the SQLite of a Durable Object. One metadata row, one row a record, a checksum on each.
//
// Not cached: the object may be evicted between any two messages, and a page of rows is read only for elections, reads
// and catch-up. An append costs one row, or two when it raises the promise.
import { assert } from "#base/assert.ts";
import type { CandidateId } from "#log/ballot.ts";
import { checksum, recordChecksum } from "#log/checksum.ts";
import type { Position } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import { parseEntryText } from "#log/parse-message.ts";
import { entryLetters, entryText, type LogRecord } from "#log/record.ts";
import {
  EMPTY_METADATA,
  type LogStorage,
  type Metadata,
  type PageBounds,
  type PageRead,
  type Persist,
} from "#log/storage.ts";

/** Version of these tables. A newer release reads older tables; an older release refuses newer ones. */
const SCHEMA_VERSION = 1;

interface StoredMetadata {
  readonly v: number;
  readonly metadata: Metadata;
}
type RecordRow = {
  position: number;
  counter: number;
  candidate: string;
  nonce: string;
  entry: string;
  checksum: number;
};

export class SqlLogStorage implements LogStorage {
  readonly #storage: DurableObjectStorage;
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.#sql = storage.sql;
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS log_metadata (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL, checksum INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS log_record (
        position INTEGER PRIMARY KEY,
        counter INTEGER NOT NULL,
        candidate TEXT NOT NULL,
        nonce TEXT NOT NULL,
        entry TEXT NOT NULL,
        checksum INTEGER NOT NULL
      );
    `);
  }

  load(): { readonly type: "metadata"; readonly metadata: Metadata } | { readonly type: "corrupt" } {
    const [row] = this.#sql
      .exec<{ text: string; checksum: number }>("SELECT text, checksum FROM log_metadata")
      .toArray();
    // Records without metadata: the row was lost, and with it the promise. That is not the same as a new replica.
    if (row === undefined) return this.end() > 0 ? { type: "corrupt" } : { type: "metadata", metadata: EMPTY_METADATA };
    if (checksum(row.text) !== row.checksum) return { type: "corrupt" };
    const stored = JSON.parse(row.text) as StoredMetadata; // our own text: the checksum vouches for it
    assert(stored.v <= SCHEMA_VERSION, `the tables are of version ${stored.v}, this release reads ${SCHEMA_VERSION}`);
    return { type: "metadata", metadata: { ...EMPTY_METADATA, ...stored.metadata } };
  }

  persist(effects: readonly Persist[]): void {
    if (effects.length === 0) return;
    this.#storage.transactionSync(() => {
      for (const effect of effects) {
        if (effect.type === "persist-metadata") this.#persistMetadata(effect.metadata);
        else for (const record of effect.records) this.#persistRecord(record);
      }
    });
  }

  end(): Position {
    const row = this.#sql.exec<{ end: number }>("SELECT coalesce(max(position), 0) AS end FROM log_record").one();
    return position(row.end);
  }

  page(from: Position, { to, entriesMax, lettersMax }: PageBounds): PageRead {
    const last = to ?? Number.MAX_SAFE_INTEGER;
    const records: LogRecord[] = [];
    let letters = 0;
    // A cursor, not toArray: the page may end by its letters long before its entries.
    const rows = this.#sql.exec<RecordRow>(
      "SELECT position, counter, candidate, nonce, entry, checksum FROM log_record WHERE position BETWEEN ? AND ? ORDER BY position LIMIT ?",
      from,
      last,
      entriesMax + 1,
    );
    for (const row of rows) {
      const at = position(row.position);
      const entry = parseEntryText(row.entry);
      if (entry === undefined) return { type: "corrupt", position: at };
      const ballot = { counter: row.counter, candidate: row.candidate as CandidateId, nonce: row.nonce };
      const record: LogRecord = { position: at, performed: ballot, entry };
      letters += entryLetters(entry);
      if (records.length === entriesMax || (records.length > 0 && letters > lettersMax)) {
        return { type: "page", records, next: at };
      }
      if (recordChecksum(record) !== row.checksum) return { type: "corrupt", position: at };
      records.push(record);
    }
    return { type: "page", records, next: undefined };
  }

  #persistMetadata(metadata: Metadata): void {
    const stored: StoredMetadata = { v: SCHEMA_VERSION, metadata };
    const text = JSON.stringify(stored);
    this.#sql.exec("INSERT OR REPLACE INTO log_metadata (id, text, checksum) VALUES (1, ?, ?)", text, checksum(text));
  }

  #persistRecord(record: LogRecord): void {
    const { counter, candidate, nonce } = record.performed;
    this.#sql.exec(
      "INSERT OR REPLACE INTO log_record (position, counter, candidate, nonce, entry, checksum) VALUES (?, ?, ?, ?, ?, ?)",
      record.position,
      counter,
      candidate,
      nonce,
      entryText(record.entry),
      recordChecksum(record),
    );
  }
}
