// LogStorage in memory, for tests and the simulation. A record can be spoilt as a bad disk would, and shows it.
import type { Position } from "./entry.ts";
import { position } from "./entry.ts";
import { entryLetters, type LogRecord } from "./record.ts";
import type { Loaded, LogStorage, Metadata, PageBounds, PageRead, Persist } from "./storage.ts";

export class MemoryLogStorage implements LogStorage {
  #metadata: Metadata | undefined;
  #isMetadataDamaged = false;
  #rows = new Map<number, LogRecord>();
  readonly #damaged = new Set<number>();
  #missingFrom = 0;
  #begin = 1;
  #end = 0;

  load(): Loaded {
    if (this.#isMetadataDamaged) return { type: "corrupt", reason: "the metadata fails its checksum" };
    if (this.#metadata === undefined) return { type: "new" };
    if (this.#metadata.missingFrom >= this.#missingFrom) return { type: "metadata", metadata: this.#metadata };
    return { type: "metadata", metadata: { ...this.#metadata, missingFrom: position(this.#missingFrom) } };
  }

  persist(effects: readonly Persist[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case "persist-metadata":
          this.#metadata = effect.metadata;
          this.#isMetadataDamaged = false;
          break;
        case "persist-records":
          this.#missingFrom = Math.max(this.#missingFrom, effect.missingFrom ?? 0);
          for (const record of effect.records) {
            this.#rows.set(record.position, record);
            this.#damaged.delete(record.position);
            if (record.position > this.#end) this.#end = record.position;
          }
          break;
        case "drop-below":
          for (; this.#begin < effect.to; this.#begin++) this.#drop(this.#begin);
          break;
        case "drop-from":
          this.#missingFrom = Math.min(this.#missingFrom, effect.from);
          for (; this.#end >= effect.from; this.#end--) this.#drop(this.#end);
          while (this.#end > 0 && !this.#rows.has(this.#end)) this.#end--;
          break;
      }
    }
  }

  #drop(at: number): void {
    this.#rows.delete(at);
    this.#damaged.delete(at);
  }

  end(): Position {
    return position(this.#end);
  }

  page(from: Position, { to = position(this.#end), entriesMax, lettersMax }: PageBounds): PageRead {
    const records: LogRecord[] = [];
    const last = Math.min(to, this.#end);
    let letters = 0;
    for (let at: number = from; at <= last; at++) {
      const record = this.#rows.get(at);
      if (record === undefined) continue;
      letters += entryLetters(record.entry);
      if (records.length === entriesMax || (records.length > 0 && letters > lettersMax)) {
        return { type: "page", records, next: position(at) };
      }
      if (this.#damaged.has(at)) return { type: "corrupt", range: { from: position(at), to: position(at) } };
      records.push(record);
    }
    return { type: "page", records, next: undefined };
  }

  /** Flips a bit in a record; whoever does not look at checksums reads another value there. */
  damage(at: Position): void {
    if (this.#rows.has(at)) this.#damaged.add(at);
  }

  damageMetadata(): void {
    this.#isMetadataDamaged = true;
  }

  /** A copy of the whole disk, as a snapshot keeps it. */
  copy(): MemoryLogStorage {
    const copied = new MemoryLogStorage();
    copied.#metadata = this.#metadata;
    copied.#isMetadataDamaged = this.#isMetadataDamaged;
    copied.#rows = new Map(this.#rows);
    for (const at of this.#damaged) copied.#damaged.add(at);
    copied.#missingFrom = this.#missingFrom;
    copied.#begin = this.#begin;
    copied.#end = this.#end;
    return copied;
  }
}
