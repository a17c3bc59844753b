// LogStorage in memory, for tests and the simulation. It keeps checksums as the SQLite form does, so that damage shows.
import { recordChecksum } from "./checksum.ts";
import type { Position } from "./entry.ts";
import { position } from "./entry.ts";
import { entryLetters, type LogRecord } from "./record.ts";
import {
  EMPTY_METADATA,
  type LogStorage,
  type Metadata,
  type PageBounds,
  type PageRead,
  type Persist,
} from "./storage.ts";

interface Row {
  readonly record: LogRecord;
  readonly checksum: number;
}

export class MemoryLogStorage implements LogStorage {
  #metadata: Metadata = EMPTY_METADATA;
  readonly #rows = new Map<number, Row>();
  #end = 0;

  load(): { readonly type: "metadata"; readonly metadata: Metadata } {
    return { type: "metadata", metadata: this.#metadata };
  }

  persist(effects: readonly Persist[]): void {
    for (const effect of effects) {
      if (effect.type === "persist-metadata") {
        this.#metadata = effect.metadata;
        continue;
      }
      for (const record of effect.records) {
        this.#rows.set(record.position, { record, checksum: recordChecksum(record) });
        this.#end = Math.max(this.#end, record.position);
      }
    }
  }

  end(): Position {
    return position(this.#end);
  }

  page(from: Position, { to = position(this.#end), entriesMax, lettersMax }: PageBounds): PageRead {
    const records: LogRecord[] = [];
    const last = Math.min(to, this.#end);
    let letters = 0;
    for (let at: number = from; at <= last; at++) {
      const row = this.#rows.get(at);
      if (row === undefined) continue;
      letters += entryLetters(row.record.entry);
      if (records.length === entriesMax || (records.length > 0 && letters > lettersMax)) {
        return { type: "page", records, next: position(at) };
      }
      if (recordChecksum(row.record) !== row.checksum) return { type: "corrupt", position: position(at) };
      records.push(row.record);
    }
    return { type: "page", records, next: undefined };
  }

  /** Flips the stored checksum of a record, as a bad disk would. */
  damage(at: Position): void {
    const row = this.#rows.get(at);
    if (row !== undefined) this.#rows.set(at, { ...row, checksum: row.checksum ^ 1 });
  }
}
