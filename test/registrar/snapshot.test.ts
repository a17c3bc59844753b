// Registrars one after the other over one log, with snapshots so often that everything happens to them.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { present } from "#base/assert.ts";
import { type Entry, position } from "#log/entry.ts";
import { ENTRY_LETTERS_MAX } from "#log/limits.ts";
import type { FrameworkId, MasterId, Principal } from "#protocol/ids.ts";
import { encodeEntry, FRAME_LETTERS_MAX, type SnapshotEntry, type Stretch, STRETCHES_MAX } from "#registrar/codec.ts";
import { applyOperation, type AuditedOperation } from "#registrar/operations.ts";
import { isLeading, type RegistrarOptions } from "#registrar/registrar.ts";
import { emptyRegistry, type Registry, TABLE_NAMES } from "#registrar/registry.ts";
import { stretchesOf } from "#registrar/replay.ts";
import { beginSnapshot, nextChunk, SNAPSHOT_OPTIONS, truncationOf } from "#registrar/snapshot.ts";
import { DONE, MemoryLog } from "./memory-log.ts";
import {
  ELECTORATE,
  admit,
  agentId,
  info,
  leader,
  leaderEntry,
  operationsUnder,
  TestRegistrar,
  text,
  update,
} from "./sample.ts";

const SMALL = { lettersMin: 1_000, chunkLettersMax: 600, historyLettersMin: 5_000 };
const recordsOf = (registry: Registry) => JSON.stringify(TABLE_NAMES.map((name) => [...registry[name].values()]));

let instances = 0;
const instance = (options: Partial<RegistrarOptions> = {}): TestRegistrar => {
  const nonce = `instance-${++instances}`;
  return new TestRegistrar({ nonce, newMasterId: () => nonce as MasterId, snapshots: SMALL, ...options });
};
const leading = (log: MemoryLog, options: Partial<RegistrarOptions> = {}): TestRegistrar => {
  const tested = instance(options);
  log.elect(tested);
  if (!isLeading(tested.registrar)) throw new Error("it does not lead");
  return tested;
};
const applyAll = (log: MemoryLog, tested: TestRegistrar, ...operations: readonly AuditedOperation[]) =>
  operations.flatMap((audited, id) => log.drive(tested, { type: "apply", id, audited }));
const snapshotsIn = (log: MemoryLog) =>
  log.decoded().filter((entry): entry is SnapshotEntry & { at: number } => entry.type === "snapshot");
/** Between two operations, so that a test says when a snapshot begins. */
const LATER = { ...SMALL, lettersMin: Infinity };
const makeDue = ({ registrar }: TestRegistrar): void => {
  Object.assign(registrar.snapshots, { lettersMin: 0 });
};
const lettersOf = (stretches: readonly Stretch[]): number => stretches.reduce((sum, { letters }) => sum + letters, 0);
const admissions = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => admit(from + index));

describe("writing", () => {
  test("[R21] a snapshot is written in chunks when enough was written since the last, and the heads point at it", () => {
    const log = new MemoryLog();
    const tested = leading(log, { snapshots: { ...SMALL, lettersMin: 5_000 } });
    let count = 0;
    while (snapshotsIn(log).length === 0) applyAll(log, tested, admit(count++));
    const written = log.decoded().filter(({ type }) => type !== "snapshot");
    const letters = written.reduce((sum, entry) => sum + encodeEntry(entry).length, 0);
    expect(letters).toBeGreaterThan(4_000);
    const chunks = snapshotsIn(log);
    const begin = present(chunks[0]?.at, "a snapshot");
    expect(chunks.length).toBeGreaterThan(2);
    expect(chunks.map(({ chunk, last }) => [chunk, last])).toEqual(chunks.map((_, n) => [n, n === chunks.length - 1]));
    expect(chunks.slice(1).every((chunk) => chunk.begin === begin)).toBe(true);
    expect(written.every((entry) => entry.snapshot === undefined)).toBe(true);
    applyAll(log, tested, admit(count++));
    expect(log.decoded().at(-1)).toMatchObject({ type: "operations", snapshot: begin });
    // Not again before as much was written as the snapshot itself has.
    expect(tested.registrar.replay.snapshotLetters).toBeGreaterThan(1_000);
    applyAll(log, tested, ...admissions(count, count + 2));
    expect(snapshotsIn(log)).toHaveLength(chunks.length);
  });

  test("[R3] [R21] [L38] a store is one entry, and no batch waits for more than one chunk", () => {
    const log = new MemoryLog();
    const tested = leading(log, { snapshots: LATER });
    applyAll(log, tested, ...admissions(0, 9));
    expect(snapshotsIn(log)).toEqual([]);
    makeDue(tested);
    // All in one turn: the snapshot is due after the first of them, and each store takes one chunk and what waits.
    const stores: string[][] = [];
    log.fate = (entries) => {
      stores.push(entries.map((entry) => (entry.type === "append" ? JSON.parse(entry.data).type : entry.type)));
      return DONE;
    };
    tested.apply(1, admit(20));
    const { entries, electorate } = tested.call("append");
    for (let id = 2; id < 5; id++) tested.apply(id, admit(20 + id));
    log.append(...entries);
    Object.assign(tested.registrar.snapshots, LATER);
    const answer = { type: "appended", electorate } as const;
    const told = log.drive(tested, { type: "append-answered", ballot: tested.ballot, answer });
    expect(told.filter(({ type }) => type === "outcome")).toHaveLength(4);
    const typesOf = (store: readonly Entry[]) =>
      store.map((entry) => (entry.type === "append" ? JSON.parse(entry.data).type : entry.type));
    expect(typesOf(entries)).toEqual(["snapshot"]);
    // What came in meanwhile goes at once, all of it in one batch; then the snapshot goes on by itself.
    expect(stores[0]).toEqual(["operations"]);
    expect(stores.slice(1)).toEqual(stores.slice(1).map(() => ["snapshot"]));
    const chunks = snapshotsIn(log);
    expect(chunks.length).toBeGreaterThan(2);
    expect(chunks.flatMap(({ tables }) => tables.admitted ?? [])).toHaveLength(9);
    // Who begins at it has the batches among its chunks all the same.
    expect(leading(log, { snapshots: LATER }).registrar.registry.admitted.size).toBe(13);
  });

  test("[R29] [R30] [R31] [R32] a snapshot holds principals, weights and quotas, in chunks that an earlier release refuses", () => {
    const log = new MemoryLog();
    const tested = leading(log, { snapshots: { ...LATER, chunkLettersMax: 60 } });
    const at = (operation: AuditedOperation["operation"]): AuditedOperation => ({ operation, audit: admit(0).audit });
    applyAll(
      log,
      tested,
      admit(1),
      at({
        type: "register-framework",
        frameworkId: "f" as FrameworkId,
        principal: "p" as Principal,
        failoverTimeoutMs: 5,
      }),
      at({ type: "update-weights", infos: [{ role: "a", weight: 2 }] }),
      at({
        type: "update-quota",
        configs: [{ role: "a", guarantees: [{ name: "cpus", value: 0.5 }], limits: [{ name: "mem", value: 0 }] }],
      }),
    );
    makeDue(tested);
    applyAll(log, tested, admit(2));
    Object.assign(tested.registrar.snapshots, LATER);
    const chunks = snapshotsIn(log);
    const versionOf = (name: keyof SnapshotEntry["tables"]): unknown => {
      const chunk = chunks.find(({ tables }) => tables[name] !== undefined);
      const entry = log.entries().find(({ position: where }) => where === chunk?.at)?.entry;
      return entry?.type === "append" ? (JSON.parse(entry.data) as { v: unknown }).v : undefined;
    };
    expect(versionOf("admitted")).toBe(2);
    for (const name of ["registeredFrameworks", "weights", "quotas"] as const) expect(versionOf(name)).toBe(3);
    log.reads.length = 0;
    const reader = leading(log, { snapshots: LATER });
    expect(Math.min(...log.reads.map(([from]) => from))).toBe(chunks[0]?.at);
    expect(recordsOf(reader.registrar.registry)).toBe(recordsOf(tested.registrar.registry));
    expect(reader.registrar.registry.quotas.get("a")?.limits).toEqual([{ name: "mem", value: 0 }]);
  });

  test("[R21] a chunk is one entry, however long its records are; a record that fills one is a chunk by itself", () => {
    const registry = emptyRegistry();
    registry.leader = leader();
    const principal = "\u0001".repeat(1_024) as Principal;
    const value = "x".repeat(1_000);
    const attributes = Array.from({ length: 230 }, (_, n) => ({
      name: `a${n}`,
      type: "TEXT" as const,
      text: { value },
    }));
    for (let n = 0; n < 3; n++) {
      const { operation, audit } = admit(n, { ...info(), attributes });
      applyOperation(registry, { operation: { ...operation, principal } as typeof operation, audit });
    }
    const stretches = Array.from({ length: 3 * STRETCHES_MAX }, (_, n) => ({
      begin: position(n + 1),
      letters: 1e9 + n,
    }));
    const writer = beginSnapshot(registry, stretches);
    const texts: string[] = [];
    for (let last = false; !last; writer.begin ??= position(7)) {
      const chunk = nextChunk(writer, registry, SNAPSHOT_OPTIONS);
      texts.push(chunk.text);
      last = chunk.entry.last;
    }
    expect(texts).toHaveLength(3);
    for (const chunk of texts) expect(chunk.length).toBeLessThanOrEqual(ENTRY_LETTERS_MAX);
    expect(texts.every((chunk) => chunk.length > ENTRY_LETTERS_MAX - 2 * FRAME_LETTERS_MAX)).toBe(true);
  });

  test("[R21] the oldest stretches become one, and nothing of their letters is lost", () => {
    const many = Array.from({ length: STRETCHES_MAX + 5 }, (_, n) => ({ begin: position(n + 1), letters: n + 1 }));
    const { stretches } = beginSnapshot(emptyRegistry(), many);
    expect(stretches).toHaveLength(STRETCHES_MAX);
    expect(lettersOf(stretches)).toBe(lettersOf(many));
    expect([stretches[0]?.begin, stretches[1]?.begin]).toEqual([1, 7]);
  });

  test("[R21] a snapshot is of the records as they were, although they are replaced while it is written", () => {
    const log = new MemoryLog();
    const tested = leading(log, { snapshots: LATER });
    applyAll(log, tested, ...admissions(0, 20));
    makeDue(tested);
    let changes = 0;
    log.fate = () => {
      // Behind every chunk the last agent, whose record comes last, is renamed.
      if (tested.registrar.writer !== undefined)
        tested.apply(1_000 + changes, update(14, info(`renamed-${++changes}`)));
      return DONE;
    };
    tested.apply(1, admit(20));
    const { entries, electorate } = tested.call("append");
    log.append(...entries);
    Object.assign(tested.registrar.snapshots, LATER);
    const answer = { type: "appended", electorate } as const;
    tested.apply(2, update(14, info("renamed")));
    log.drive(tested, { type: "append-answered", ballot: tested.ballot, answer });
    log.fate = () => DONE;
    const agents = snapshotsIn(log).flatMap(({ tables }) => tables.admitted ?? []);
    expect(agents).toHaveLength(20);
    expect(changes).toBeGreaterThan(5);
    expect(agents.find((agent) => agent.agentId === agentId(14))?.info.hostname).toBe("host");
    const reader = leading(log, { snapshots: LATER });
    expect(reader.registrar.registry.admitted.get(agentId(14))?.info.hostname).toBe(`renamed-${changes}`);
    expect(recordsOf(reader.registrar.registry)).toBe(recordsOf(tested.registrar.registry));
  });

  test("[R3] one that leads and is given nothing finishes its snapshot and then writes nothing", () => {
    const log = new MemoryLog();
    const tested = leading(log);
    applyAll(log, tested, ...admissions(0, 30));
    expect(tested.registrar.writer).toBeUndefined();
    expect(tested.registrar.phase).toMatchObject({ state: "leading", store: undefined });
    const { end } = log;
    log.drive(tested, { type: "tick" });
    expect(log.end).toBe(end);
  });
});

describe("reading", () => {
  const grown = (agents = 30, options: Partial<RegistrarOptions> = {}) => {
    const log = new MemoryLog();
    const tested = leading(log, options);
    applyAll(log, tested, ...admissions(0, agents));
    return { log, tested };
  };

  test("[R23] a new candidate begins at the newest snapshot, not at the begin of the log", () => {
    const { log, tested } = grown(60, { snapshots: { ...SMALL, historyLettersMin: Infinity } });
    const newest = present(tested.registrar.registry.snapshot, "a snapshot");
    log.reads.length = 0;
    const reader = leading(log, { snapshots: { ...LATER, historyLettersMin: Infinity } });
    expect(log.begin).toBe(1);
    expect(Math.min(...log.reads.map(([from]) => from))).toBe(newest);
    expect(recordsOf(reader.registrar.registry)).toBe(recordsOf(tested.registrar.registry));
    expect(stretchesOf(reader.registrar.replay).slice(0, -1)).toEqual(
      stretchesOf(tested.registrar.replay).slice(0, -1),
    );
  });

  test("[R23] the registry keeps its identity, and is touched only when the whole snapshot is there", () => {
    const { log } = grown(40);
    const reader = instance();
    const { registry } = reader.registrar;
    const maps = TABLE_NAMES.map((name) => registry[name]);
    log.pageLetters = 1;
    const sizes: number[] = [];
    const open = [...reader.input({ type: "stand" })];
    for (let effect = open.shift(); effect !== undefined; effect = open.shift()) {
      if (effect.type === "elect") {
        const { ballot } = effect.call;
        const elected = { type: "elected", begin: position(log.begin), next: position(log.end + 1) } as const;
        open.push(...reader.input({ type: "elect-answered", ballot, answer: { ...elected, electorate: ELECTORATE } }));
      } else if (effect.type === "read") {
        open.push(...reader.input({ type: "read-answered", ballot: effect.ballot, answer: log.read(effect.call) }));
        sizes.push(registry.admitted.size);
      }
    }
    expect(TABLE_NAMES.map((name) => registry[name])).toEqual(maps);
    expect(TABLE_NAMES.every((name, index) => registry[name] === maps[index])).toBe(true);
    expect(sizes.filter((size) => size === 0).length).toBeGreaterThan(3);
    expect(new Set(sizes.filter((size) => size > 0 && size < 5)).size).toBe(0);
    expect(registry.admitted.size).toBe(40);
  });

  test("[R22] the chunks of a leader that is gone are no snapshot, and the next leader writes a whole one", () => {
    const log = new MemoryLog();
    const tested = leading(log, { snapshots: LATER });
    applyAll(log, tested, ...admissions(0, 20));
    makeDue(tested);
    // It is cut off behind its second chunk.
    let chunks = 0;
    log.fate = (entries) => {
      const isChunk = entries.some((entry) => entry.type === "append" && entry.data.includes('"type":"snapshot"'));
      return isChunk && ++chunks > 2 ? { isChosen: false, isAnswered: false } : DONE;
    };
    log.drive(tested, { type: "apply", id: 1, audited: admit(20) });
    log.fate = () => DONE;
    expect(isLeading(tested.registrar)).toBe(false);
    expect(snapshotsIn(log).map(({ chunk, last }) => [chunk, last])).toEqual([
      [0, false],
      [1, false],
    ]);
    const held = recordsOf(tested.registrar.registry);
    const reader = leading(log, { snapshots: LATER });
    expect(reader.registrar.registry.snapshot).toBeUndefined();
    expect(recordsOf(reader.registrar.registry)).toBe(held);
    const next = leading(log);
    expect(snapshotsIn(log).some(({ last }) => last)).toBe(true);
    expect(next.registrar.registry.snapshot).toBeGreaterThan(0);
    expect(recordsOf(leading(log).registrar.registry)).toBe(held);
  });

  test("[R22] a snapshot that a head points at and that is not complete stops the reader, in words", () => {
    const chunk = (number: number, more: Partial<SnapshotEntry> = {}): Entry =>
      text(
        encodeEntry({
          type: "snapshot",
          leader: leader(2),
          chunk: number,
          last: false,
          tables: {},
          ...(number === 0 ? {} : { begin: position(3) }),
          ...more,
        }),
      );
    const pointer = text(encodeEntry({ type: "operations", leader: leader(2), snapshot: position(3), operations: [] }));
    const led = leaderEntry();
    for (const [entries, reason] of [
      [[led, operationsUnder(leader(2)), pointer], "it does not begin there"],
      [[led, chunk(0), pointer], "the snapshot that begins at 3 is not complete at 4"],
      [[led, chunk(0), chunk(2, { last: true }), pointer], "chunk 2 of the one that begins at 3 follows 1 chunks"],
      [[led, chunk(0), chunk(1, { begin: position(9), last: true }), pointer], "begins at 9 follows 1 chunks"],
      [[led, chunk(0), leaderEntry("master-2"), pointer], "another leader begins"],
      [[led, chunk(1, { last: true }), pointer], "chunk 1 of"],
    ] as const) {
      const log = new MemoryLog().append(...entries);
      const reader = instance();
      expect(log.elect(reader).at(-1)).toMatchObject({ type: "not-leading", reason: expect.stringContaining(reason) });
      expect(recordsOf(reader.registrar.registry)).toBe(recordsOf(emptyRegistry()));
      expect(reader.registrar.replay.next).toBe(1);
    }
  });

  test("[R14] a snapshot with a record that does not read is refused whole", () => {
    const tables = { admitted: [{ agentId: agentId(1), info: info("") }] } as never;
    const broken: SnapshotEntry = { type: "snapshot", leader: leader(2), chunk: 0, last: true, tables };
    const log = new MemoryLog().append(leaderEntry(), text(encodeEntry(broken)));
    const reader = instance();
    expect(log.elect(reader).at(-1)).toMatchObject({
      type: "not-leading",
      reason: expect.stringContaining("cannot apply the log entry at 3"),
    });
  });

  test("[R25] the log is truncated to a snapshot behind which the history is kept, and reads from there", () => {
    const { log, tested } = grown(150);
    expect(log.begin).toBeGreaterThan(1);
    const [first] = log.entries();
    expect(first?.entry.type === "append" && JSON.parse(first.entry.data)).toMatchObject({
      type: "snapshot",
      chunk: 0,
    });
    const history = stretchesOf(tested.registrar.replay);
    expect(history[0]?.begin).toBe(log.begin);
    expect(lettersOf(history)).toBeGreaterThanOrEqual(SMALL.historyLettersMin);
    expect(lettersOf(history.slice(1))).toBeLessThan(SMALL.historyLettersMin);
    const reader = leading(log);
    expect(recordsOf(reader.registrar.registry)).toBe(recordsOf(tested.registrar.registry));
  });

  test("[R25] what is kept travels in the snapshots: short-lived leaders truncate as a long-lived one does", () => {
    const log = new MemoryLog();
    for (let n = 0; n < 150; n += 5) applyAll(log, leading(log), ...admissions(n, n + 5));
    expect(log.begin).toBeGreaterThan(1);
    const last = leading(log).registrar;
    const history = stretchesOf(last.replay);
    expect(history[0]?.begin).toBe(log.begin);
    expect(lettersOf(history)).toBeGreaterThanOrEqual(SMALL.historyLettersMin);
    expect(lettersOf(history.slice(1))).toBeLessThan(SMALL.historyLettersMin);
    expect(last.registry.admitted.size).toBe(150);
  });

  test("[R24] with no history to keep, the log begins at its newest snapshot, whatever the heads still say", () => {
    const log = new MemoryLog();
    const options = { snapshots: { ...SMALL, historyLettersMin: 0 } };
    const tested = leading(log, options);
    for (let n = 0; n < 100; n++) {
      applyAll(log, tested, admit(n));
      const reader = instance({ snapshots: { ...SMALL, lettersMin: Infinity } });
      // It reads without writing: the election is answered, the leader entry is not.
      log.fate = () => ({ isChosen: false, isAnswered: false });
      log.elect(reader);
      log.fate = () => DONE;
      expect(recordsOf(reader.registrar.registry)).toBe(recordsOf(tested.registrar.registry));
    }
    expect(log.begin).toBe(tested.registrar.registry.snapshot);
  });

  test("[R23] a truncation while it is read makes a reader begin again at what is left", () => {
    const { log, tested } = grown(60, { snapshots: { ...SMALL, historyLettersMin: Infinity } });
    const newest = present(tested.registrar.registry.snapshot, "a snapshot");
    const older = present(stretchesOf(tested.registrar.replay)[1]?.begin, "an older one");
    const reader = instance({ snapshots: { ...SMALL, lettersMin: Infinity } });
    // The newest entries are gone with a leader whose answer was lost: the reader begins at an older snapshot.
    const shorter = new MemoryLog().append(
      ...log
        .entries()
        .slice(1)
        .map(({ entry }) => entry),
    );
    shorter.pageLetters = 1;
    const reads = shorter.read.bind(shorter);
    let count = 0;
    shorter.read = (call) => {
      if (++count === 4) shorter.truncate(newest);
      const answer = reads(call);
      return count === 1 && answer.type === "entries"
        ? { ...answer, entries: answer.entries.map((one) => ({ ...one, entry: pointing(older) })) }
        : answer;
    };
    shorter.elect(reader);
    expect(count).toBeGreaterThan(4);
    expect(recordsOf(reader.registrar.registry)).toBe(recordsOf(tested.registrar.registry));
    expect(reader.registrar.replay.begin).toBe(newest);
  });

  test("[R11] one that has applied more than the newest snapshot goes on where it is", () => {
    const { log, tested } = grown(40);
    log.fate = () => ({ isChosen: false, isAnswered: false });
    log.drive(tested, { type: "apply", id: 1, audited: admit(90) });
    log.fate = () => DONE;
    log.reads.length = 0;
    const { next } = tested.registrar.replay;
    log.append(operationsUnder(present(tested.registrar.registry.leader, "a leader"), admit(91)));
    log.elect(tested);
    expect(isLeading(tested.registrar)).toBe(true);
    expect(Math.min(...log.reads.map(([from]) => from))).toBe(next);
    expect(tested.registrar.registry.admitted.has(agentId(91))).toBe(true);
  });
});

const pointing = (snapshot: number): Entry =>
  text(encodeEntry({ type: "operations", leader: leader(2), snapshot: position(snapshot), operations: [] }));

describe("where to truncate", () => {
  const options = { ...SNAPSHOT_OPTIONS, historyLettersMin: 100 };
  const stretches = (...letters: number[]) =>
    letters.map((each, n) => ({ begin: position(10 * n + 1), letters: each }));
  test.each([
    [[], undefined],
    [[500], undefined],
    [[500, 99], undefined],
    [[500, 100], 11],
    [[500, 60, 50], 11],
    [[500, 60, 50, 100], 31],
    [[0, 0, 0], undefined],
  ])("[R25] letters %j: %s", (letters, to) => {
    expect(truncationOf(stretches(...letters), options)).toBe(to);
  });
});

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("apply" as const), count: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const), kept: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("lose" as const),
      isChosen: fc.boolean(),
      after: fc.nat(4),
    }),
  },
);

test("[R2] [R21] [R22] [R23] [R24] [R25] whatever is lost, every leader has what was acknowledged, and nothing that was not written", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: "max" }),
      fc.record({
        lettersMin: fc.integer({ min: 0, max: 2_000 }),
        chunkLettersMax: fc.integer({ min: 1, max: 1_500 }),
        historyLettersMin: fc.integer({ min: 0, max: 6_000 }),
      }),
      fc.integer({ min: 1, max: 3_000 }),
      (steps, snapshots, pageLetters) => {
        const log = new MemoryLog();
        log.pageLetters = pageLetters;
        const acknowledged = new Set<number>();
        const given = new Set<number>();
        let next = 0;
        let tested = instance({ snapshots });
        const check = () => {
          const { admitted } = tested.registrar.registry;
          for (const id of acknowledged) if (!admitted.has(agentId(id))) throw new Error(`${id} is lost`);
          for (const id of admitted.keys()) if (!given.has(Number(id.slice(3)))) throw new Error(`${id} is new`);
        };
        for (const todo of steps) {
          for (const effect of log.elect(tested)) {
            if (effect.type === "not-leading") throw new Error(effect.reason);
          }
          check();
          if (todo.do === "restart") {
            const { cachedEpoch } = tested.registrar;
            tested = instance(todo.kept && cachedEpoch !== undefined ? { snapshots, cachedEpoch } : { snapshots });
            continue;
          }
          let writes = 0;
          if (todo.do === "lose") {
            log.fate = () => (writes++ < todo.after ? DONE : { isChosen: todo.isChosen, isAnswered: false });
          }
          for (let n = 0; n < (todo.do === "apply" ? todo.count : 6); n++) {
            given.add(next);
            for (const effect of log.drive(tested, { type: "apply", id: next, audited: admit(next++) })) {
              if (effect.type === "outcome" && effect.outcome.type === "committed") acknowledged.add(effect.id);
            }
          }
          log.fate = () => DONE;
        }
        log.elect(tested);
        check();
      },
    ),
    { numRuns: 150 },
  );
});
