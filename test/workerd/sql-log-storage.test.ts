// The contract of LogStorage on the SQLite of a real object, and what only its tables show.
import { env, runInDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import { type Entry, type Incarnation, position } from "#log/entry.ts";
import { ENTRY_LETTERS_MAX, ROW_LETTERS_MAX } from "#log/limits.ts";
import type { LogRecord } from "#log/record.ts";
import { openReplica } from "#log/replica.ts";
import { emptyMetadata, type Metadata } from "#log/storage.ts";
import type { Env } from "../../src/durable-objects/env.ts";
import { SqlLogStorage } from "../../src/durable-objects/sql-log-storage.ts";
import { logStorageContract } from "../contracts/log-storage.ts";

const { REPLICA } = env as unknown as Env;
let objects = 0;

/** A replica of its own for each test: no leader knows its name, so nobody else writes there. Emptied: it was opened. */
const inStorage = (run: (storage: DurableObjectStorage) => void): Promise<void> =>
  runInDurableObject(REPLICA.get(REPLICA.idFromName(`storage-${++objects}`)), (_, { storage }) => {
    storage.sql.exec("DROP TABLE IF EXISTS log_run; DROP TABLE IF EXISTS log_metadata;");
    run(storage);
  });

logStorageContract((run) =>
  inStorage((storage) => {
    run({
      storage: new SqlLogStorage(storage),
      reopen: () => new SqlLogStorage(storage),
      damage: (at) => {
        storage.sql.exec("UPDATE log_run SET ballot = ballot || ' ' WHERE first <= ?1 AND last >= ?1", at);
      },
      damageMetadata: () => {
        storage.sql.exec("UPDATE log_metadata SET text = replace(text, 'cluster', 'Cluster')");
      },
    });
  }),
);

const under: Ballot = { counter: 1, candidate: "master-1" as CandidateId, nonce: "n" };
const record = (at: number, entry: Entry = { type: "nop" }, counter = 1): LogRecord => ({
  position: position(at),
  performed: { ...under, counter },
  entry,
});
const records = (from: number, to: number, entry?: Entry): LogRecord[] =>
  Array.from({ length: to - from + 1 }, (_, index) => record(from + index, entry));
const rowsOf = ({ sql }: DurableObjectStorage) =>
  sql
    .exec<{ first: number; last: number; bytes: number }>(
      "SELECT first, last, length(CAST(entries AS BLOB)) AS bytes FROM log_run ORDER BY first",
    )
    .toArray();
const METADATA: Metadata = { ...emptyMetadata("life 1" as Incarnation), missingFrom: position(1) };
const WIDE = { entriesMax: 10_000, lettersMax: Infinity };

describe("the rows", () => {
  test("[L6] a write of many entries is one row", () =>
    inStorage((storage) => {
      new SqlLogStorage(storage).persist([{ type: "persist-records", records: records(1, 1_000) }]);
      expect(rowsOf(storage)).toMatchObject([{ first: 1, last: 1_000 }]);
    }));

  test("records of different ballots, and beyond a gap, are rows of their own", () =>
    inStorage((storage) => {
      const given = [record(1), record(2), { ...record(3), performed: { ...under, counter: 2 } }];
      const opened = new SqlLogStorage(storage);
      opened.persist([{ type: "persist-records", records: given }]);
      opened.persist([{ type: "persist-records", records: [record(9)] }]);
      expect(rowsOf(storage).map(({ first, last }) => [first, last])).toEqual([
        [1, 2],
        [3, 3],
        [9, 9],
      ]);
    }));

  test.each([
    ["control characters", "\u0001"],
    ["letters that stand alone", "\udc00"],
    ["three bytes a letter", "€"],
    ["plain text", "x"],
  ])("no row is beyond the platform's 2 MB, however long its text becomes: %s", (_what, letter) =>
    inStorage((storage) => {
      const opened = new SqlLogStorage(storage);
      for (const length of [2_000, 50_000, ENTRY_LETTERS_MAX]) {
        const count = Math.ceil(ENTRY_LETTERS_MAX / length) * 2;
        const entry: Entry = { type: "append", data: letter.repeat(length) };
        opened.persist([{ type: "persist-records", records: records(1, count, entry) }]);
        const rows = rowsOf(storage);
        for (const { bytes } of rows) expect(bytes).toBeLessThan(2_000_000);
        if (length < 10_000 && letter === "x")
          expect(rows.length).toBeLessThanOrEqual((count * length) / ROW_LETTERS_MAX + 2);
        expect(opened.page(position(1), WIDE).type).toBe("page");
      }
    }),
  );

  test("[L25] truncated rows go, some with each write, also after a restart, and the others stay", () =>
    inStorage((storage) => {
      const opened = new SqlLogStorage(storage);
      for (let at = 1; at <= 1_300; at++) {
        opened.persist([{ type: "persist-records", records: [record(at, { type: "nop" }, at)] }]);
      }
      const metadata = { ...METADATA, begin: position(1_201), missingFrom: position(1_301) };
      opened.persist([
        { type: "drop-below", to: position(1_201) },
        { type: "persist-metadata", metadata },
      ]);
      expect(rowsOf(storage).length).toBeLessThan(1_300);
      const again = new SqlLogStorage(storage);
      again.load();
      for (let at = 1_301; at <= 1_303; at++) {
        again.persist([{ type: "persist-records", records: [record(at, { type: "nop" }, at)] }]);
      }
      expect(rowsOf(storage)[0]).toMatchObject({ first: 1_201 });
      expect(rowsOf(storage)).toHaveLength(103);
    }));
});

describe("what cannot be trusted", () => {
  test("[L12] [L22] records without metadata are a loss, not a new replica", () =>
    inStorage((storage) => {
      new SqlLogStorage(storage).persist([
        { type: "persist-records", records: records(1, 3) },
        { type: "persist-metadata", metadata: METADATA },
      ]);
      storage.sql.exec("DELETE FROM log_metadata");
      expect(new SqlLogStorage(storage).load()).toEqual({ type: "corrupt", reason: "the metadata is gone" });
      const state = openReplica(new SqlLogStorage(storage), () => "life 2" as Incarnation);
      expect(state).toMatchObject({ incarnation: "life 2", end: 0 });
      expect(rowsOf(storage)).toEqual([]);
    }));

  test.each([
    ["beginning", "first = first - 1"],
    ["end", "last = last + 1"],
    ["counter", "ballot = replace(ballot, '\"counter\":1', '\"counter\":2')"],
    ["candidate", "ballot = replace(ballot, 'master-1', 'master-2')"],
    ["watermark", "missing_from = missing_from + 1"],
    ["value", "entries = replace(entries, 'nop', 'nip')"],
    ["checksum", "checksum = checksum + 1"],
  ])("[L12] a row with another %s is damaged", (_what, change) =>
    inStorage((storage) => {
      new SqlLogStorage(storage).persist([{ type: "persist-records", records: records(3, 5) }]);
      storage.sql.exec(`UPDATE log_run SET ${change}`);
      expect(new SqlLogStorage(storage).page(position(1), WIDE).type).toBe("corrupt");
    }),
  );

  test("a failed transaction leaves nothing, also not in what is remembered", () =>
    inStorage((storage) => {
      const opened = new SqlLogStorage(storage);
      opened.persist([{ type: "persist-records", records: records(1, 2) }]);
      const broken = [record(3), { ...record(4), performed: { ...under, counter: Symbol("no number") as never } }];
      expect(() => opened.persist([{ type: "persist-records", records: broken }])).toThrow();
      expect(opened.end()).toBe(2);
      expect(opened.page(position(1), WIDE)).toMatchObject({ records: [{ position: 1 }, { position: 2 }] });
    }));
});

describe("what a newer release wrote", () => {
  test("[L36] an entry of an unknown type is unreadable, with its position, and never damaged", () =>
    inStorage((storage) => {
      writeNewer(storage);
      const opened = new SqlLogStorage(storage);
      expect(opened.page(position(1), WIDE)).toEqual({ type: "unreadable", position: 3 });
      expect(opened.page(position(3), WIDE)).toEqual({ type: "unreadable", position: 3 });
      expect(opened.end()).toBe(3);
    }));

  test("[L36] what stands before it is read, and nothing of it is written over or dropped", () =>
    inStorage((storage) => {
      writeNewer(storage);
      const opened = new SqlLogStorage(storage);
      expect(opened.page(position(1), { ...WIDE, to: position(2) }).type).toBe("page");
      const before = rowsOf(storage);
      expect(() => opened.persist([{ type: "persist-records", records: records(2, 3) }])).toThrow("newer release");
      expect(() => opened.persist([{ type: "drop-from", from: position(3) }])).toThrow("newer release");
      expect(rowsOf(storage)).toEqual(before);
    }));

  test("[L36] tables of a newer version are refused, and left as they are", () =>
    inStorage((storage) => {
      new SqlLogStorage(storage).persist([{ type: "persist-metadata", metadata: METADATA }]);
      const text = JSON.stringify({ v: 99, metadata: METADATA });
      storage.sql.exec("UPDATE log_metadata SET text = ?, checksum = ?", text, fnv1a(text));
      expect(() => new SqlLogStorage(storage).load()).toThrow("the tables are of version 99");
      expect(storage.sql.exec("SELECT text FROM log_metadata").one()).toEqual({ text });
    }));

  test("tables of release 0.1 are refused in clear words", () =>
    inStorage((storage) => {
      storage.sql.exec("CREATE TABLE log_record (position INTEGER PRIMARY KEY)");
      expect(() => new SqlLogStorage(storage)).toThrow("release 0.1");
    }));
});

/** Stored by hand: one row of a newer release at 3, behind two that are known. */
function writeNewer(storage: DurableObjectStorage): void {
  new SqlLogStorage(storage).persist([{ type: "persist-records", records: records(1, 2) }]);
  const entries = '[{"type":"snapshot","of":"everything"}]';
  storage.sql.exec(
    "INSERT INTO log_run (first, last, ballot, missing_from, entries, checksum) VALUES (3, 3, ?, 1, ?, ?)",
    JSON.stringify(under),
    entries,
    fnv1a(`3 3 ${JSON.stringify(under)} 1 ${entries}`),
  );
}

/** FNV-1a as the storage uses it, written down once more. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const letter of text) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  return hash >>> 0;
}
