// What every LogStorage must do, run on each implementation: in memory here, on an object's SQLite under workerd.
import { describe, expect, test } from "vitest";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import { NO_BALLOT } from "#log/ballot.ts";
import type { ClusterId, Entry, Position, ReplicaId } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import { ENTRY_LETTERS_MAX } from "#log/limits.ts";
import type { LogRecord } from "#log/record.ts";
import { EMPTY_METADATA, type LogStorage, type Metadata } from "#log/storage.ts";

export interface StorageUnderTest {
  readonly storage: LogStorage;
  /** The same stored bytes, opened anew. */
  readonly reopen: () => LogStorage;
  /** Spoils the stored record at a position, behind the storage's back. */
  readonly damage: (at: Position) => void;
}

const under: Ballot = { counter: 3, candidate: "master-1" as CandidateId, nonce: "a'b\"c" };
const record = (at: number, entry: Entry = { type: "append", data: `value ${at}` }): LogRecord => ({
  position: position(at),
  performed: under,
  entry,
});
const WIDE = { entriesMax: 100, lettersMax: Infinity };
const replicas = ["replica-1", "replica-2", "replica-3"].map((name) => name as ReplicaId);
const METADATA: Metadata = {
  status: "voting",
  clusterId: "cluster-1" as ClusterId,
  replicaId: "replica-2" as ReplicaId,
  membership: { replicas },
  membershipPosition: position(1),
  promised: under,
  missingFrom: position(7),
};

/** `use` runs a test with a fresh storage: a platform may need its own frame around it. */
export function logStorageContract(use: (run: (tested: StorageUnderTest) => void) => void | Promise<void>): void {
  describe("LogStorage", () => {
    test("a new storage is empty", () =>
      use(({ storage }) => {
        expect(storage.load()).toEqual({ type: "metadata", metadata: EMPTY_METADATA });
        expect(storage.end()).toBe(0);
        expect(storage.page(position(1), WIDE)).toEqual({ type: "page", records: [], next: undefined });
      }));

    test("metadata and every type of entry come back as they were stored", () =>
      use(({ storage, reopen }) => {
        const records = [
          record(1, { type: "membership", membership: { replicas } }),
          record(2, { type: "nop" }),
          record(3, { type: "append", data: 'quotes " and \\ and \u0000 and \u2028 and 😀 and \ud800 alone' }),
          record(4, { type: "truncate", to: position(2) }),
          { ...record(5), performed: NO_BALLOT },
        ];
        storage.persist([
          { type: "persist-records", records },
          { type: "persist-metadata", metadata: METADATA },
        ]);
        for (const opened of [storage, reopen()]) {
          expect(opened.load()).toEqual({ type: "metadata", metadata: METADATA });
          expect(opened.end()).toBe(5);
          expect(opened.page(position(1), WIDE)).toEqual({ type: "page", records, next: undefined });
        }
      }));

    test("a record replaces the one at its position, and the later metadata wins", () =>
      use(({ storage, reopen }) => {
        storage.persist([{ type: "persist-records", records: [record(2), record(9)] }]);
        storage.persist([{ type: "persist-records", records: [record(2, { type: "nop" })] }]);
        storage.persist([{ type: "persist-metadata", metadata: METADATA }]);
        storage.persist([{ type: "persist-metadata", metadata: { ...METADATA, status: "recovering" } }]);
        const opened = reopen();
        expect(opened.page(position(1), WIDE)).toMatchObject({
          records: [{ entry: { type: "nop" } }, { position: 9 }],
        });
        expect(opened.load()).toMatchObject({ metadata: { status: "recovering" } });
        expect(opened.end()).toBe(9);
      }));

    test("a page keeps its bounds, leaves gaps out, and says where the next begins", () =>
      use(({ storage }) => {
        storage.persist([{ type: "persist-records", records: [2, 3, 5, 8].map((at) => record(at)) }]);
        const positions = (from: number, bounds: Parameters<LogStorage["page"]>[1]) => {
          const read = storage.page(position(from), bounds);
          return read.type === "page" ? [read.records.map((found) => found.position), read.next] : read;
        };
        expect(positions(1, WIDE)).toEqual([[2, 3, 5, 8], undefined]);
        expect(positions(3, { ...WIDE, entriesMax: 2 })).toEqual([[3, 5], 8]);
        expect(positions(3, { ...WIDE, entriesMax: 3 })).toEqual([[3, 5, 8], undefined]);
        expect(positions(2, { ...WIDE, to: position(4) })).toEqual([[2, 3], undefined]);
        expect(positions(9, WIDE)).toEqual([[], undefined]);
        expect(positions(2, { ...WIDE, lettersMax: 1 })).toEqual([[2], 3]);
      }));

    test("the longest entry is stored and read, whatever its letters", () =>
      use(({ storage, reopen }) => {
        const longest = record(1, { type: "append", data: "€".repeat(ENTRY_LETTERS_MAX) });
        storage.persist([{ type: "persist-records", records: [longest] }]);
        expect(reopen().page(position(1), { ...WIDE, lettersMax: 1 })).toEqual({
          type: "page",
          records: [longest],
          next: undefined,
        });
      }));

    test("[L12] a damaged record is reported, and nothing of its page is served", () =>
      use(({ storage, damage, reopen }) => {
        storage.persist([{ type: "persist-records", records: [record(1), record(2), record(3)] }]);
        damage(position(2));
        expect(reopen().page(position(1), WIDE)).toEqual({ type: "corrupt", position: 2 });
        expect(reopen().page(position(3), WIDE)).toMatchObject({ type: "page" });
      }));
  });
}
