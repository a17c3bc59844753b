// Snapshots of the registry in the log: when one is due, the chunks of one that is being written, and how far the log may be truncated
// behind it. A snapshot is taken of the records as they are: the array of references is made in one turn, the chunks are encoded one by one
// as they are written, and the records, which nobody edits, stay what they were meanwhile. Rules [R21] to [R25].
import { assert } from "#base/assert.ts";
import type { Position } from "#log/entry.ts";
import { ENTRY_LETTERS_MAX, PAGE_LETTERS_MAX } from "#log/limits.ts";
import {
  FRAME_LETTERS_MAX,
  type Head,
  type SnapshotEntry,
  type Stretch,
  STRETCHES_MAX,
  versionOfTables,
} from "./codec.ts";
import { type Registry, TABLE_NAMES } from "./registry.ts";

export interface SnapshotOptions {
  /** Letters of operations after which a snapshot is written, if they are also more than the last snapshot had. */
  readonly lettersMin: number;
  /** Letters of records in one chunk; one that is longer is a chunk by itself. */
  readonly chunkLettersMax: number;
  /** Letters of operations that stay readable, for the audit trail. */
  readonly historyLettersMin: number;
}
export const SNAPSHOT_OPTIONS: SnapshotOptions = {
  lettersMin: 1_000_000,
  /** Less than half an entry, because a batch waits for the chunk before it; eight fill a page of a reader. */
  chunkLettersMax: 120 * 1024,
  historyLettersMin: 64_000_000,
};
assert(
  SNAPSHOT_OPTIONS.chunkLettersMax + FRAME_LETTERS_MAX <= ENTRY_LETTERS_MAX,
  "a chunk is one entry, with what stands around its records",
);
assert(8 * (SNAPSHOT_OPTIONS.chunkLettersMax + 1_024) < PAGE_LETTERS_MAX, "eight chunks are one page");

/** A snapshot that is being written by the present leader. */
export interface SnapshotWriter {
  readonly tables: readonly { readonly name: (typeof TABLE_NAMES)[number]; readonly records: readonly object[] }[];
  readonly stretches: readonly Stretch[];
  /** Where its first chunk was chosen. */
  begin: Position | undefined;
  /** Number of the next chunk, and the record that it begins with. */
  chunk: number;
  table: number;
  record: number;
}

/** What was written since the newest snapshot is more than a reader should have to apply, and more than a snapshot would be. */
export function isSnapshotDue(
  { letters, snapshotLetters }: { readonly letters: number; readonly snapshotLetters: number },
  { lettersMin }: SnapshotOptions,
): boolean {
  return letters >= lettersMin && letters >= snapshotLetters;
}

/** Of the registry as it is now: its first chunk must be the next entry that anybody applies. */
export function beginSnapshot(registry: Registry, stretches: readonly Stretch[]): SnapshotWriter {
  const tables = TABLE_NAMES.map((name) => ({ name, records: [...registry[name].values()] }));
  return {
    tables: tables.filter(({ records }) => records.length > 0),
    stretches: merged(stretches),
    begin: undefined,
    chunk: 0,
    table: 0,
    record: 0,
  };
}

/** The next chunk as text, and what of it matters once it is chosen. Moves the writer on. */
export function nextChunk(
  writer: SnapshotWriter,
  { leader, snapshot }: Head,
  { chunkLettersMax }: SnapshotOptions,
): { readonly text: string; readonly entry: SnapshotEntry } {
  const { begin, chunk } = writer;
  assert((chunk === 0) === (begin === undefined), "a chunk is written after the one before it was chosen");
  const tables: string[] = [];
  const names: (typeof TABLE_NAMES)[number][] = [];
  let letters = 0;
  for (; writer.table < writer.tables.length; writer.table++, writer.record = 0) {
    const table = writer.tables[writer.table];
    if (table === undefined) break;
    const texts: string[] = [];
    for (; writer.record < table.records.length; writer.record++) {
      const text = JSON.stringify(table.records[writer.record]);
      if (letters > 0 && letters + text.length > chunkLettersMax) break;
      texts.push(text);
      letters += text.length + 1;
    }
    if (texts.length > 0) {
      names.push(table.name);
      tables.push(`${JSON.stringify(table.name)}:[${texts.join(",")}]`);
    }
    if (writer.record < table.records.length) break;
  }
  writer.chunk += 1;
  const last = writer.table === writer.tables.length;
  const first =
    chunk === 0
      ? { stretches: writer.stretches, records: writer.tables.reduce((sum, { records }) => sum + records.length, 0) }
      : {};
  const entry: SnapshotEntry = { type: "snapshot", leader, snapshot, begin, chunk, last, ...first, tables: {} };
  const around = JSON.stringify({ v: versionOfTables(names), ...entry, tables: undefined });
  return { text: `${around.slice(0, -1)},"tables":{${tables.join(",")}}}`, entry };
}

/** Where the log may begin: at the newest snapshot behind which enough history is kept; undefined to leave it as it is. */
export function truncationOf(
  stretches: readonly Stretch[],
  { historyLettersMin }: SnapshotOptions,
): Position | undefined {
  let letters = 0;
  // The oldest stretch begins where the log does: there is nothing before it.
  for (const { begin, letters: here } of stretches.slice(1).toReversed()) {
    letters += here;
    if (letters >= historyLettersMin) return begin;
  }
  return undefined;
}

/** The oldest two become one until the list fits. */
function merged(stretches: readonly Stretch[]): readonly Stretch[] {
  const spare = stretches.length - STRETCHES_MAX;
  const [first] = stretches;
  if (spare <= 0 || first === undefined) return stretches;
  const letters = stretches.slice(0, spare + 1).reduce((sum, stretch) => sum + stretch.letters, 0);
  return [{ begin: first.begin, letters }, ...stretches.slice(spare + 1)];
}
