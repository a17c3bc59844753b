// What every LogStorage must do, run on each implementation: in memory here, on an object's SQLite under workerd.
import { describe, expect, test } from "vitest";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import { NO_BALLOT } from "#log/ballot.ts";
import type { ClusterId, Electorate, Entry, Incarnation, Position, ReplicaId } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import { ENTRY_LETTERS_MAX, PAGE_ENTRIES_MAX, ROW_LETTERS_MAX, WRITE_ENTRIES_MAX } from "#log/limits.ts";
import { isSameEntry, type LogRecord } from "#log/record.ts";
import { emptyMetadata, type LogStorage, type Metadata, type PageBounds, type Persist } from "#log/storage.ts";

export interface StorageUnderTest {
  readonly storage: LogStorage;
  /** The same stored bytes, opened anew. */
  readonly reopen: () => LogStorage;
  /** Spoils what is stored for a position, behind the storage's back; others that are stored with it may be lost as well. */
  readonly damage: (at: Position) => void;
  readonly damageMetadata: () => void;
}

const named = (counter: number, candidate = "master-1", nonce = "a'b\"c"): Ballot => ({
  counter,
  candidate: candidate as CandidateId,
  nonce,
});
const under = named(3);
const later = named(4, "master-2");
const value = (data: string): Entry => ({ type: "append", data });
const record = (at: number, entry: Entry = value(`value ${at}`), performed = under): LogRecord => ({
  position: position(at),
  performed,
  entry,
});
const records = (from: number, to: number, performed = under): LogRecord[] =>
  Array.from({ length: to - from + 1 }, (_, index) => record(from + index, value(`value ${from + index}`), performed));
const put = (given: readonly LogRecord[]): PutRecords => ({ type: "persist-records", records: given });
type PutRecords = Extract<Persist, { type: "persist-records" }>;
const WIDE: PageBounds = { entriesMax: 10_000, lettersMax: Infinity };

const seats = ["replica-1", "replica-2", "replica-3"].map((name, index) => ({
  replica: name as ReplicaId,
  incarnation: `life ${index}` as Incarnation,
}));
const electorateAt = (at: number): Electorate => ({ membership: { seats }, position: position(at) });
const METADATA: Metadata = {
  incarnation: "life 1" as Incarnation,
  clusterId: "cluster-1" as ClusterId,
  replicaId: "replica-2" as ReplicaId,
  started: undefined,
  electorate: electorateAt(5),
  promised: under,
  begin: position(1),
  electorateAtBegin: undefined,
  missingFrom: position(7),
  damaged: undefined,
};

const held = (storage: LogStorage, from = 1, bounds: PageBounds = WIDE): readonly LogRecord[] => {
  const read = storage.page(position(from), bounds);
  if (read.type !== "page") throw new Error(`${read.type} instead of a page`);
  return read.records;
};
/** What a reader finds: positions with sound records, and those that are reported damaged. */
const scanned = (storage: LogStorage): { readonly sound: number[]; readonly corrupt: number[] } => {
  const sound: number[] = [];
  const corrupt: number[] = [];
  for (let at = 1; at <= storage.end(); at++) {
    const read = storage.page(position(at), { ...WIDE, to: position(at) });
    if (read.type === "page") sound.push(...read.records.map((found) => found.position));
    else corrupt.push(at);
  }
  return { sound, corrupt };
};

/** `use` runs a test with a fresh storage: a platform may need its own frame around it. */
export function logStorageContract(use: (run: (tested: StorageUnderTest) => void) => void | Promise<void>): void {
  describe("LogStorage: metadata", () => {
    test("a storage that was never written is new", () =>
      use(({ storage, reopen }) => {
        for (const opened of [storage, reopen()]) {
          expect(opened.load()).toEqual({ type: "new" });
          expect(opened.end()).toBe(0);
          expect(opened.page(position(1), WIDE)).toEqual({ type: "page", records: [], next: undefined });
        }
      }));

    test.each<[string, Partial<Metadata>]>([
      ["of a new replica", emptyMetadata("life 1" as Incarnation)],
      ["of a member", {}],
      ["of a bootstrap that is half done", { started: { seats }, electorate: undefined }],
      ["of a truncated log", { begin: position(4), electorateAtBegin: electorateAt(2) }],
      ["with damage", { damaged: { from: position(2), to: position(3) } }],
      ["with strange texts", { promised: named(2 ** 52, "\u0000 \ud800 ' \"", "\u2028 😀") }],
    ])("they come back as they were stored: %s", (_what, change) =>
      use(({ storage, reopen }) => {
        const metadata: Metadata = { ...METADATA, ...change };
        storage.persist([{ type: "persist-metadata", metadata }]);
        for (const opened of [storage, reopen()]) expect(opened.load()).toEqual({ type: "metadata", metadata });
      }),
    );

    test("the later ones win", () =>
      use(({ storage, reopen }) => {
        storage.persist([{ type: "persist-metadata", metadata: METADATA }]);
        storage.persist([{ type: "persist-metadata", metadata: { ...METADATA, promised: later } }]);
        expect(reopen().load()).toMatchObject({ metadata: { promised: later } });
      }));

    test("[L9] the first position that is not learned comes with the records of its step, if that is newer", () =>
      use(({ storage, reopen }) => {
        storage.persist([{ type: "persist-metadata", metadata: METADATA }]);
        storage.persist([{ ...put(records(7, 8)), missingFrom: position(3) }]);
        expect(reopen().load()).toEqual({ type: "metadata", metadata: METADATA });
        storage.persist([{ ...put(records(9, 9)), missingFrom: position(9) }]);
        for (const opened of [storage, reopen()]) {
          expect(opened.load()).toEqual({ type: "metadata", metadata: { ...METADATA, missingFrom: 9 } });
        }
        storage.persist([{ type: "persist-metadata", metadata: { ...METADATA, missingFrom: position(10) } }]);
        expect(reopen().load()).toMatchObject({ metadata: { missingFrom: 10 } });
      }));

    test("[L9] also when records were written behind it before", () =>
      use(({ storage, reopen }) => {
        storage.persist([{ type: "persist-metadata", metadata: METADATA }]);
        storage.persist([{ ...put(records(50, 50)), missingFrom: position(7) }]);
        storage.persist([{ ...put(records(7, 9)), missingFrom: position(10) }]);
        expect(reopen().load()).toMatchObject({ metadata: { missingFrom: 10 } });
      }));

    test("[L12] what is dropped from a position on takes it back to there at most", () =>
      use(({ storage, reopen }) => {
        storage.persist([{ type: "persist-metadata", metadata: { ...METADATA, missingFrom: position(5) } }]);
        storage.persist([{ ...put(records(5, 9)), missingFrom: position(5) }]);
        storage.persist([{ ...put(records(10, 10)), missingFrom: position(8) }]);
        storage.persist([{ type: "drop-from", from: position(8) }]);
        const loaded = reopen().load();
        expect(loaded.type === "metadata" && loaded.metadata.missingFrom).toBeLessThanOrEqual(8);
      }));

    test("[L12] damaged metadata are reported, and can be stored anew", () =>
      use(({ storage, reopen, damageMetadata }) => {
        storage.persist([put(records(1, 3)), { type: "persist-metadata", metadata: METADATA }]);
        damageMetadata();
        expect(reopen().load()).toMatchObject({ type: "corrupt", reason: expect.any(String) });
        const opened = reopen();
        opened.persist([
          { type: "drop-from", from: position(1) },
          { type: "persist-metadata", metadata: emptyMetadata("life 2" as Incarnation) },
        ]);
        expect(reopen().load()).toMatchObject({ type: "metadata", metadata: { incarnation: "life 2" } });
        expect(reopen().end()).toBe(0);
      }));
  });

  describe("LogStorage: records", () => {
    test("every type of entry comes back as it was stored, with its ballot", () =>
      use(({ storage, reopen }) => {
        const given = [
          record(1, { type: "membership", membership: { seats } }, NO_BALLOT),
          record(2, { type: "nop" }),
          record(3, value('quotes " and \\ and \u0000 and \u2028 and 😀 and \ud800 alone')),
          record(4, { type: "truncate", to: position(2) }),
          record(5, value("")),
        ];
        storage.persist([put(given)]);
        for (const opened of [storage, reopen()]) {
          expect(opened.end()).toBe(5);
          expect(opened.page(position(1), WIDE)).toEqual({ type: "page", records: given, next: undefined });
        }
      }));

    test("ballots that differ in anything stay apart", () =>
      use(({ storage, reopen }) => {
        const ballots = [named(1), named(2), named(2, "master-2"), named(2, "master-2", "d"), named(2 ** 52, "", "")];
        const given = ballots.map((performed, index) => record(index + 1, value("same"), performed));
        storage.persist([put(given)]);
        expect(held(reopen())).toEqual(given);
      }));

    test.each(["\u0000", "\ud800", "\udfff lone", "😀", "'; DROP TABLE log_run; --", "\u2028"])(
      "a ballot with strange texts comes back as it was: %j",
      (text) =>
        use(({ storage, reopen }) => {
          const given = [record(1, value("a"), named(1, text)), record(2, value("b"), named(1, "master", text))];
          storage.persist([put(given)]);
          expect(held(reopen())).toEqual(given);
        }),
    );

    test("gaps stay gaps", () =>
      use(({ storage, reopen }) => {
        storage.persist([put([record(2)]), put([record(9), record(10)])]);
        storage.persist([put([record(5)])]);
        expect(held(reopen()).map((found) => found.position)).toEqual([2, 5, 9, 10]);
        expect(reopen().end()).toBe(10);
      }));

    test("a page keeps its bounds, leaves gaps out, and says where the next begins", () =>
      use(({ storage }) => {
        for (const at of [[2, 3], [5], [8]]) storage.persist([put(at.map((one) => record(one)))]);
        const positions = (from: number, bounds: PageBounds) => {
          const read = storage.page(position(from), bounds);
          return read.type === "page" ? [read.records.map((found) => found.position), read.next] : read;
        };
        expect(positions(1, WIDE)).toEqual([[2, 3, 5, 8], undefined]);
        expect(positions(3, { ...WIDE, entriesMax: 2 })).toEqual([[3, 5], 8]);
        expect(positions(3, { ...WIDE, entriesMax: 3 })).toEqual([[3, 5, 8], undefined]);
        expect(positions(2, { ...WIDE, to: position(4) })).toEqual([[2, 3], undefined]);
        expect(positions(9, WIDE)).toEqual([[], undefined]);
        expect(positions(2, { ...WIDE, lettersMax: 1 })).toEqual([[2], 3]);
        expect(positions(2, { ...WIDE, lettersMax: 200 })).toEqual([[2, 3], 5]);
        expect(positions(6, { ...WIDE, to: position(5) })).toEqual([[], undefined]);
      }));

    test("pages put together are the whole", () =>
      use(({ storage, reopen }) => {
        const given = [...records(1, 40), ...records(41, 43, later), ...records(50, 90)];
        for (const part of [given.slice(0, 43), given.slice(43)]) storage.persist([put(part)]);
        const opened = reopen();
        const read: LogRecord[] = [];
        for (let from: Position | undefined = position(1); from !== undefined;) {
          const page = opened.page(from, { ...WIDE, entriesMax: 7 });
          if (page.type !== "page") throw new Error(page.type);
          read.push(...page.records);
          from = page.next;
        }
        expect(read).toEqual(given);
      }));

    test("one write is atomic in what is seen afterwards, whatever it is made of", () =>
      use(({ storage, reopen }) => {
        storage.persist([put(records(1, 5)), { type: "persist-metadata", metadata: METADATA }, put(records(6, 7))]);
        expect(held(reopen())).toHaveLength(7);
        expect(reopen().load().type).toBe("metadata");
      }));
  });

  describe("LogStorage: replacing", () => {
    const withMiddle = (from: number, to: number) => [
      ...records(1, from - 1),
      ...records(from, to, later).map((one) => ({ ...one, entry: value("newer") })),
      ...records(to + 1, 9),
    ];

    test.each([
      ["in the middle", 4, 6],
      ["at the beginning", 1, 3],
      ["at the end", 7, 9],
      ["one of them", 5, 5],
      ["all of them", 1, 9],
    ])("records of another ballot %s of a run replace those, and keep the others", (_where, from, to) =>
      use(({ storage, reopen }) => {
        storage.persist([put(records(1, 9))]);
        const expected = withMiddle(from, to);
        storage.persist([put(expected.slice(from - 1, to))]);
        for (const opened of [storage, reopen()]) expect(held(opened)).toEqual(expected);
        expect(reopen().end()).toBe(9);
      }),
    );

    test("over several runs and gaps, and beyond the end", () =>
      use(({ storage, reopen }) => {
        storage.persist([put(records(1, 3))]);
        storage.persist([put(records(4, 6, later))]);
        storage.persist([put(records(9, 10))]);
        const newer = records(2, 12, named(7));
        storage.persist([put(newer)]);
        expect(held(reopen())).toEqual([record(1), ...newer]);
        expect(reopen().end()).toBe(12);
      }));

    test("within one write the later records win", () =>
      use(({ storage, reopen }) => {
        storage.persist([put(records(1, 5)), put([record(3, value("newer"), later)])]);
        expect(held(reopen(), 3, { ...WIDE, to: position(3) })).toEqual([record(3, value("newer"), later)]);
      }));

    test("many times over, as a slow second implementation does it", () =>
      use(({ storage, reopen }) => {
        const slow = new Map<number, LogRecord>();
        // A fixed sequence of overlaps: no chance in a contract.
        for (let turn = 1; turn <= 40; turn++) {
          const from = 1 + ((turn * 7) % 23);
          const given = records(from, from + ((turn * 5) % 9), named(turn));
          storage.persist([put(given)]);
          for (const one of given) slow.set(one.position, one);
        }
        const expected = [...slow.values()].toSorted((a, b) => a.position - b.position);
        expect(held(reopen())).toEqual(expected);
        expect(reopen().end()).toBe(expected.at(-1)?.position);
      }));
  });

  describe("LogStorage: dropping", () => {
    test("[L12] from a position on: nothing of it is left, and the end is before it", () =>
      use(({ storage, reopen }) => {
        storage.persist([put(records(1, 6)), put(records(7, 9, later))]);
        storage.persist([{ type: "drop-from", from: position(4) }]);
        for (const opened of [storage, reopen()]) {
          expect(held(opened)).toEqual(records(1, 3));
          expect(opened.end()).toBe(3);
        }
        storage.persist([put(records(4, 5, later))]);
        expect(reopen().end()).toBe(5);
        storage.persist([{ type: "drop-from", from: position(1) }]);
        expect(reopen().end()).toBe(0);
      }));

    test("[L12] the end is the highest position that still has a record", () =>
      use(({ storage, reopen }) => {
        storage.persist([put(records(1, 2)), put(records(7, 9))]);
        storage.persist([{ type: "drop-from", from: position(5) }]);
        for (const opened of [storage, reopen()]) expect(opened.end()).toBe(2);
      }));

    test("[L12] what is damaged is dropped too", () =>
      use(({ storage, reopen, damage }) => {
        storage.persist([put(records(1, 3)), put(records(4, 6, later))]);
        damage(position(5));
        storage.persist([{ type: "drop-from", from: position(4) }]);
        expect(scanned(reopen())).toEqual({ sound: [1, 2, 3], corrupt: [] });
      }));

    test("[L25] below a position: what is from there on stays, whatever it was stored with", () =>
      use(({ storage, reopen }) => {
        storage.persist([put(records(1, 6)), put(records(7, 9, later))]);
        const metadata = { ...METADATA, begin: position(5), electorateAtBegin: electorateAt(2) };
        storage.persist([
          { type: "drop-below", to: position(5) },
          { type: "persist-metadata", metadata },
        ]);
        for (const opened of [storage, reopen()]) {
          expect(held(opened, 5)).toEqual([...records(5, 6), ...records(7, 9, later)]);
          expect(opened.end()).toBe(9);
          expect(opened.load()).toEqual({ type: "metadata", metadata });
        }
      }));

    test("[L25] with records and metadata in one write, as a jump is stored", () =>
      use(({ storage, reopen }) => {
        storage.persist([put(records(1, 3))]);
        storage.persist([
          put(records(20, 22)),
          { type: "drop-below", to: position(20) },
          { type: "persist-metadata", metadata: { ...METADATA, begin: position(20), missingFrom: position(23) } },
        ]);
        expect(held(reopen(), 20)).toEqual(records(20, 22));
        storage.persist([put([record(23)])]);
        expect(held(reopen(), 20)).toEqual(records(20, 23));
        expect(reopen().end()).toBe(23);
      }));

    test("[L25] all of it: records can follow", () =>
      use(({ storage, reopen }) => {
        storage.persist([put(records(1, 3))]);
        const metadata = { ...METADATA, begin: position(20), missingFrom: position(20) };
        storage.persist([
          { type: "drop-below", to: position(20) },
          { type: "persist-metadata", metadata },
        ]);
        expect(reopen().load()).toEqual({ type: "metadata", metadata });
        expect(reopen().end()).toBeLessThan(20);
        const opened = reopen();
        opened.persist([put(records(20, 21))]);
        expect(held(reopen(), 20)).toEqual(records(20, 21));
        expect(reopen().end()).toBe(21);
      }));
  });

  describe("LogStorage: damage", () => {
    test("[L12] damaged records are reported with their range, and nothing of their page is served", () =>
      use(({ storage, damage, reopen }) => {
        storage.persist([put(records(1, 2)), put(records(3, 4, later)), put(records(5, 6))]);
        damage(position(3));
        const opened = reopen();
        const read = opened.page(position(1), WIDE);
        const range = read.type === "corrupt" ? read.range : undefined;
        expect(range?.from).toBe(3);
        expect(range?.to).toBeLessThanOrEqual(4);
        expect(held(opened, 1, { ...WIDE, to: position(2) })).toEqual(records(1, 2));
        expect(held(opened, 5)).toEqual(records(5, 6));
        expect(held(opened, 1, { ...WIDE, entriesMax: 2 })).toHaveLength(2);
        expect(opened.end()).toBe(6);
      }));

    test("[L12] it spreads at most to what was accepted with it, never to others", () =>
      use(({ storage, damage, reopen }) => {
        storage.persist([put(records(1, 3)), put(records(4, 6, later)), put(records(7, 9))]);
        damage(position(5));
        const { sound, corrupt } = scanned(reopen());
        expect(sound).toEqual(expect.arrayContaining([1, 2, 3, 7, 8, 9]));
        expect(corrupt).toContain(5);
        for (const at of corrupt) expect([4, 5, 6]).toContain(at);
      }));

    test.each([
      ["its beginning", 4, 5],
      ["its middle", 5, 6],
      ["its end", 6, 7],
      ["all of it", 4, 7],
    ])("[L12] repaired in part, at %s, the rest stays damaged", (_where, from, to) =>
      use(({ storage, damage, reopen }) => {
        storage.persist([put(records(1, 3)), put(records(4, 7, later)), put(records(8, 9))]);
        for (const at of [4, 5, 6, 7]) damage(position(at));
        expect(scanned(reopen()).corrupt).toEqual([4, 5, 6, 7]);
        storage.persist([put(records(from, to))]);
        const opened = reopen();
        const { sound, corrupt } = scanned(opened);
        const repaired = [4, 5, 6, 7].filter((at) => from <= at && at <= to);
        expect(sound).toEqual([1, 2, 3, ...repaired, 8, 9]);
        expect(corrupt).toEqual([4, 5, 6, 7].filter((at) => !repaired.includes(at)));
        expect(held(opened, from, { ...WIDE, to: position(to) })).toEqual(records(from, to));
        expect(opened.end()).toBe(9);
      }),
    );
  });

  describe("LogStorage: what is long", () => {
    test.each([
      ["three bytes a letter", "€"],
      ["control characters", "\u0001"],
      ["letters that stand alone", "\ud800"],
      ["pairs", "😀"],
      ["quotes", '"'],
    ])("the longest entry of %s is stored and read", (_what, letter) =>
      use(({ storage, reopen }) => {
        const data = letter.repeat(ENTRY_LETTERS_MAX / letter.length);
        storage.persist([put([record(1, value(data)), record(2, value(data)), record(3)])]);
        const opened = reopen();
        for (const at of [1, 2]) {
          const [found] = held(opened, at, { ...WIDE, lettersMax: 1 });
          expect(found !== undefined && isSameEntry(found.entry, value(data))).toBe(true);
        }
        expect(held(opened, 3)).toEqual([record(3)]);
      }),
    );

    test("a write of more than one row's letters is one write all the same", () =>
      use(({ storage, reopen }) => {
        const entry = value("x".repeat(10_000));
        const count = 2 * Math.ceil(ROW_LETTERS_MAX / 10_000) + 3;
        const given = Array.from({ length: count }, (_, index) => record(index + 1, entry));
        storage.persist([put(given)]);
        const opened = reopen();
        expect(held(opened)).toHaveLength(count);
        expect(opened.end()).toBe(count);
        storage.persist([put([record(count - 1, value("newer"), later)])]);
        expect(held(reopen(), count - 1)).toEqual([record(count - 1, value("newer"), later), record(count, entry)]);
      }));

    test.each([WRITE_ENTRIES_MAX, WRITE_ENTRIES_MAX + 1, PAGE_ENTRIES_MAX])(
      "%i records that catch-up brings at once are stored and read",
      (count) =>
        use(({ storage, reopen }) => {
          const given = records(1, count);
          storage.persist([put(given)]);
          const opened = reopen();
          expect(opened.page(position(1), WIDE).type).toBe("page");
          expect(held(opened)).toEqual(given);
          storage.persist([put([record(count - 1, value("newer"), later)])]);
          expect(held(reopen(), count)).toEqual([record(count)]);
        }),
    );
  });
}
