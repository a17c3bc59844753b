import { describe, expect, test } from "vitest";
import { present } from "#base/assert.ts";
import { millis } from "#base/time.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import { position } from "#log/entry.ts";
import { ENTRY_LETTERS_MAX } from "#log/limits.ts";
import type { Epoch, MasterId } from "#protocol/ids.ts";
import { BATCH_OPERATIONS_MAX } from "#registrar/batch.ts";
import { decodeEntry } from "#registrar/codec.ts";
import {
  ballotOf,
  epoch,
  isLeading,
  nextWake,
  QUEUE_OPERATIONS_MAX,
  queuedOperations,
  registrySizeBytes,
  STAND_BACKOFF,
} from "#registrar/registrar.ts";
import {
  admit,
  agentId,
  info,
  leader,
  leaderEntry,
  ELECTORATE,
  MEMBERSHIP,
  MEMBERSHIP_ENTRY,
  operationsEntry,
  operationsUnder,
  TestRegistrar,
  text,
  unavailable,
  update,
} from "./sample.ts";

const refusedBy = (counter: number) => {
  const promised: Ballot = { counter, candidate: "master-2" as CandidateId, nonce: "other" };
  return { type: "refused", promised } as const;
};
const operationsOf = (registrar: TestRegistrar) =>
  registrar.call("append").entries.flatMap((entry) => {
    const decoded = entry.type === "append" ? decodeEntry(entry.data) : undefined;
    return decoded?.type === "entry" && decoded.entry.type === "operations" ? decoded.entry.operations : [];
  });

describe("standing", () => {
  test("[L1] [R10] the ballot is stored before the election, above the stored one", () => {
    const stored = { counter: 6, candidate: "master-1" as CandidateId, nonce: "older" };
    const tested = new TestRegistrar({ storedBallot: stored });
    const ballot = { counter: 7, candidate: "master-1", nonce: "nonce-1" };
    expect(tested.input({ type: "stand" })).toEqual([
      { type: "store-ballot", ballot },
      { type: "elect", call: { clusterId: "cluster-1", ballot, from: 1, known: undefined } },
    ]);
    expect(tested.input({ type: "stand" })).toEqual([]);
  });

  test("[R12] over a log without a leader entry of ours, the epoch is the position of a new one", () => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    expect(tested.elected([MEMBERSHIP_ENTRY, leaderEntry("master-2")])).toMatchObject([
      { type: "confirmed", at: 10_000 },
      { type: "append", call: { position: 3, electorate: ELECTORATE } },
    ]);
    expect(isLeading(tested.registrar)).toBe(false);
    tested.now += 40;
    expect(tested.appended()).toEqual([
      { type: "confirmed", at: 10_000 },
      { type: "leading", epoch: 3, masterId: "newer", fresh: true },
    ]);
    expect(epoch(tested.registrar)).toBe(3);
    expect(tested.registrar.registry.leader).toEqual({ candidate: "master-1", masterId: "newer", epoch: 3 });
  });

  test("[R12] the epoch is kept when the last leader entry is ours and the cached one, with its master id", () => {
    const tested = new TestRegistrar({ cachedEpoch: 2 as Epoch });
    tested.input({ type: "stand" });
    expect(tested.elected([MEMBERSHIP_ENTRY, leaderEntry(), operationsEntry(admit(1))])).toEqual([
      { type: "confirmed", at: 10_000 },
      { type: "leading", epoch: 2, masterId: "older", fresh: false },
    ]);
    expect(tested.registrar.registry.admitted.get(agentId(1))).toMatchObject({
      admittedAt: 1_000,
      principal: "agents",
    });
  });

  test.each([
    ["somebody else has led since", [MEMBERSHIP_ENTRY, leaderEntry(), leaderEntry("master-2")], 2],
    ["we have led since, but never stored that epoch", [MEMBERSHIP_ENTRY, leaderEntry(), leaderEntry()], 2],
    ["somebody else's entry is at the cached position", [MEMBERSHIP_ENTRY, leaderEntry("master-2")], 2],
    ["nothing is cached", [MEMBERSHIP_ENTRY, leaderEntry()], undefined],
  ])("[R12] the epoch is not kept when %s", (_why, entries, cached) => {
    const tested = new TestRegistrar({ cachedEpoch: cached as Epoch | undefined });
    tested.input({ type: "stand" });
    tested.elected(entries);
    expect(tested.appended()).toMatchObject([{}, { type: "leading", epoch: entries.length + 1, fresh: true }]);
  });

  test("[R12] a leader entry whose answer was lost is not taken for a kept epoch", () => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    tested.elected([MEMBERSHIP_ENTRY]);
    const { ballot } = tested.call("append");
    tested.input({ type: "append-answered", ballot, answer: unavailable });
    tested.input({ type: "stand", forced: true });
    tested.elected([MEMBERSHIP_ENTRY, leaderEntry("master-1", "newer")]);
    expect(tested.appended()).toMatchObject([{}, { type: "leading", epoch: 3, fresh: true }]);
  });

  test("[R15] what a leader writes carries its epoch, and who reads it holds it against the log", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(1, admit(1));
    const by = leader(2, "master-1", "newer");
    expect(tested.call("append").entries).toEqual([operationsUnder(by, admit(1))]);
    const log = [MEMBERSHIP_ENTRY, leaderEntry("master-1", "newer"), operationsUnder(by, admit(1))];
    const reader = new TestRegistrar();
    reader.input({ type: "stand" });
    reader.elected(log);
    expect(reader.registrar.registry.admitted.size).toBe(1);
    const other = new TestRegistrar();
    other.input({ type: "stand" });
    const effects = other.elected([...log, operationsUnder(leader(3, "master-2"), admit(2))]);
    expect(effects.at(-1)).toMatchObject({
      type: "not-leading",
      reason: "cannot apply the log entry at 4: it was written under epoch 3, the log is in 2",
    });
  });

  test("[R11] a second election brings and applies only what is not applied yet", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(1, admit(1));
    tested.appended();
    tested.input({ type: "confirm" });
    const ballot = present(ballotOf(tested.registrar), "a ballot");
    tested.input({ type: "confirm-answered", ballot, answer: refusedBy(9) });
    tested.input({ type: "stand", forced: true });
    expect(tested.call("elect")).toMatchObject({ from: 4, ballot: { counter: 10 } });
    const log = [
      MEMBERSHIP_ENTRY,
      leaderEntry(),
      operationsEntry(admit(1)),
      leaderEntry("master-2"),
      operationsEntry(admit(2)),
    ];
    tested.elected(log);
    expect([...tested.registrar.registry.admitted.keys()]).toEqual([agentId(1), agentId(2)]);
  });

  test.each([
    ["a higher version", '{"v":4,"type":"operations","operations":[]}', "version 4"],
    ["an unknown type", '{"v":1,"type":"surprise"}', "type"],
    ["a damaged text", '{"v":1,', "no JSON"],
    ["an operation that is refused on replay", '{"v":1,"type":"operations","operations":[]}', ""],
  ])("[R14] the replay stops at %s and says where", (what, data, reason) => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    const entry = reason === "" ? operationsEntry(admit(3), update(9, info())) : text(data);
    const effects = tested.elected([MEMBERSHIP_ENTRY, operationsEntry(admit(1)), entry, operationsEntry(admit(2))]);
    expect(effects, what).toMatchObject([{ type: "confirmed" }, { type: "not-leading", fenced: false, ids: [] }]);
    expect(effects[1]).toHaveProperty("reason", expect.stringContaining("cannot apply the log entry at 3"));
    expect(effects[1]).toHaveProperty("reason", expect.stringContaining(reason));
    expect([...tested.registrar.registry.admitted.keys()]).toEqual([agentId(1)]);
    tested.input({ type: "stand", forced: true });
    expect(tested.call("elect").from).toBe(3);
  });

  test("[R8] after a failure it stands again only when the pause is over, or forced", () => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    const { ballot } = tested.call("elect");
    const [lost] = tested.input({ type: "elect-answered", ballot, answer: unavailable });
    expect(lost).toMatchObject({ type: "not-leading", fenced: false, reason: "no quorum: nobody answered" });
    const retryAt = lost?.type === "not-leading" ? lost.retryAt : 0;
    expect(retryAt).toBeGreaterThan(tested.now);
    expect(retryAt).toBeLessThanOrEqual(tested.now + STAND_BACKOFF.firstMs);
    expect(tested.input({ type: "stand" })).toEqual([]);
    expect(tested.input({ type: "stand", forced: true })).toHaveLength(2);
    tested.now = retryAt;
    expect(tested.call("elect").ballot.counter).toBe(2);
  });

  test("[R8] the pause never exceeds its bound, however often it fails, and a success resets it", () => {
    const tested = new TestRegistrar();
    let longestMs = 0;
    for (let attempt = 0; attempt < 60; attempt++) {
      tested.input({ type: "stand", forced: true });
      const { ballot } = tested.call("elect");
      tested.input({ type: "elect-answered", ballot, answer: unavailable });
      longestMs = Math.max(longestMs, tested.registrar.retryAt - tested.now);
    }
    expect(longestMs).toBeGreaterThan(STAND_BACKOFF.firstMs);
    expect(longestMs).toBeLessThanOrEqual(STAND_BACKOFF.maxMs);
    tested.lead(true);
    expect(tested.registrar.attempts).toBe(0);
  });
});

describe("replaying", () => {
  const long = (count: number) => [
    MEMBERSHIP_ENTRY,
    ...Array.from({ length: count }, (_, at) => operationsEntry(admit(at))),
  ];

  test("[R11] what was chosen is read a page at a time, up to where the election ended", () => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    const log = long(25);
    const answer = { type: "elected", electorate: ELECTORATE, begin: position(1), next: position(27) } as const;
    tested.input({ type: "elect-answered", ballot: tested.ballot, answer });
    expect(tested.call("read")).toMatchObject({ clusterId: "cluster-1", from: 26, to: 26, known: ELECTORATE });
    tested.located(log);
    expect(tested.call("read")).toMatchObject({ clusterId: "cluster-1", from: 1, to: 26, known: ELECTORATE });
    // Somebody else's entry behind the election is not ours to apply.
    tested.read([...log, operationsEntry(admit(99))], 10);
    expect(tested.call("read")).toMatchObject({ from: 11, to: 26 });
    tested.read(log, 10);
    tested.read(log, 10);
    expect(tested.call("append").position).toBe(27);
    expect(tested.registrar.registry.admitted.size).toBe(25);
  });

  test("[R11] entries beyond where the election ended are not applied, even if a page brings them", () => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    const answer = { type: "elected", electorate: ELECTORATE, begin: position(1), next: position(3) } as const;
    tested.input({ type: "elect-answered", ballot: tested.ballot, answer });
    tested.located(long(3));
    const entries = long(3).map((entry, index) => ({ position: position(index + 1), entry }));
    const page = { type: "entries", entries, begin: position(1), decidedTo: position(5), end: position(4) } as const;
    tested.input({ type: "read-answered", ballot: tested.ballot, answer: page });
    expect([...tested.registrar.registry.admitted.keys()]).toEqual([agentId(0)]);
  });

  test("[R7] [R11] a read without a quorum, or without the entry that was chosen, ends the attempt; the next goes on there", () => {
    const empty = {
      type: "entries",
      entries: [],
      begin: position(1),
      decidedTo: position(11),
      end: position(26),
    } as const;
    for (const answer of [unavailable, empty]) {
      const tested = new TestRegistrar();
      tested.input({ type: "stand" });
      const elected = { type: "elected", electorate: ELECTORATE, begin: position(1), next: position(27) } as const;
      tested.input({ type: "elect-answered", ballot: tested.ballot, answer: elected });
      tested.located(long(25)).read(long(25), 10);
      expect(tested.input({ type: "read-answered", ballot: tested.ballot, answer })).toMatchObject([
        { type: "not-leading", fenced: false },
      ]);
      tested.input({ type: "stand", forced: true });
      expect(tested.call("elect")).toMatchObject({ from: 11, ballot: { counter: 2 } });
      expect(tested.registrar.registry.admitted.size).toBe(9);
    }
  });

  test("[R9] a read of an older ballot, or after the replay, changes nothing", () => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    const { ballot } = tested;
    const elected = { type: "elected", electorate: ELECTORATE, begin: position(1), next: position(3) } as const;
    tested.input({ type: "elect-answered", ballot, answer: elected });
    tested.input({ type: "read-answered", ballot, answer: unavailable });
    tested.input({ type: "stand", forced: true });
    const entries = [{ position: position(1), entry: operationsEntry(admit(7)) }];
    const late = { type: "entries", entries, begin: position(1), decidedTo: position(2), end: position(2) } as const;
    tested.input({ type: "elect-answered", ballot: tested.ballot, answer: elected });
    expect(tested.input({ type: "read-answered", ballot, answer: late })).toEqual([]);
    expect(tested.registrar.replay.next).toBe(1);
    const leading = new TestRegistrar().lead();
    expect(leading.input({ type: "read-answered", ballot: leading.ballot, answer: unavailable })).toEqual([]);
    expect(isLeading(leading.registrar)).toBe(true);
  });

  test("[R24] a log whose beginning is gone, and that does not begin at a snapshot, cannot be replayed by one that never applied it", () => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    const effects = tested.elected(long(9), { begin: 5 });
    expect(effects.at(-1)).toMatchObject({
      type: "not-leading",
      reason: expect.stringContaining("the snapshot that begins at 5 is not complete there: it does not begin there"),
    });
    expect(tested.registrar.registry.admitted.size).toBe(0);
  });

  test("[R11] one that has applied it goes on", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(1, admit(1));
    tested.appended();
    tested.input({ type: "confirm" });
    tested.input({ type: "confirm-answered", ballot: tested.ballot, answer: unavailable });
    tested.input({ type: "stand", forced: true });
    const log = [
      MEMBERSHIP_ENTRY,
      leaderEntry("master-1", "newer"),
      operationsEntry(admit(1)),
      operationsEntry(admit(2)),
    ];
    expect(tested.elected(log, { begin: 4 })).toContainEqual(expect.objectContaining({ type: "leading" }));
    expect(tested.registrar.registry.admitted.size).toBe(2);
  });
});

describe("the log's own matters", () => {
  const change = { type: "remove", replica: MEMBERSHIP.seats[0]?.replica ?? ("" as never) } as const;
  const moved = { membership: MEMBERSHIP, position: position(4) };

  test("[R3] [R4] entries of the coordinator stand between two batches, and the registry goes on behind them", () => {
    const tested = new TestRegistrar().lead();
    expect(tested.input({ type: "change-membership", id: 50, change })).toMatchObject([
      { type: "prepare", call: { electorate: ELECTORATE, change } },
    ]);
    const { ballot } = tested;
    tested.apply(1, admit(1));
    tested.input({ type: "prepare-answered", ballot, answer: { type: "prepared", membership: MEMBERSHIP } });
    expect(tested.appended()).toMatchObject([
      { type: "confirmed" },
      { type: "outcome", id: 1 },
      { type: "append", call: { position: 4, entries: [{ type: "membership" }] } },
    ]);
    tested.apply(2, admit(2));
    expect(tested.appended(moved)).toMatchObject([
      { type: "confirmed" },
      { type: "membership-changed", id: 50, outcome: { type: "done", electorate: moved } },
      { type: "append", call: { position: 5, electorate: moved } },
    ]);
    expect(tested.appended(moved)).toMatchObject([{ type: "confirmed" }, { type: "outcome", id: 2 }]);
    expect(tested.registrar.replay.next).toBe(6);
    expect([...tested.registrar.registry.admitted.keys()]).toEqual([agentId(1), agentId(2)]);
  });

  test("[R7] a change is given back with the operations, and one that is refused is told", () => {
    const tested = new TestRegistrar().lead();
    tested.input({ type: "change-membership", id: 50, change });
    tested.apply(1, admit(1));
    tested.apply(2, admit(2));
    const { ballot } = tested;
    expect(tested.input({ type: "append-answered", ballot, answer: unavailable })).toMatchObject([
      { type: "not-leading", ids: [1, 2, 50] },
    ]);
    const other = new TestRegistrar().lead();
    other.input({ type: "change-membership", id: 51, change });
    const refused = { type: "refused-change", reason: "the last member" } as const;
    expect(other.input({ type: "prepare-answered", ballot: other.ballot, answer: refused })).toEqual([
      { type: "membership-changed", id: 51, outcome: { type: "refused", reason: "the last member" } },
    ]);
  });

  test("[R7] only a leader changes the membership", () => {
    const tested = new TestRegistrar();
    expect(tested.input({ type: "change-membership", id: 50, change })).toMatchObject([
      { type: "not-leading", ids: [50] },
    ]);
    tested.input({ type: "stand" });
    expect(tested.input({ type: "change-membership", id: 50, change })).toMatchObject([
      { type: "not-leading", ids: [50] },
    ]);
  });

  test("[L33] [R9] settlements go to the log as they are, when they are due", () => {
    const tested = new TestRegistrar().lead();
    const due = present(nextWake(tested.registrar), "a wake");
    expect(due).toBeGreaterThan(tested.now);
    expect(tested.input({ type: "tick" })).toEqual([]);
    tested.now = due;
    tested.input({ type: "tick" });
    expect(tested.call("settle")).toMatchObject({ through: 2, ballot: tested.ballot });
    expect(nextWake(tested.registrar)).toBeUndefined();
  });

  test("[L33] under a steady load of single operations the members are looked after all the same", () => {
    const tested = new TestRegistrar().lead();
    let settlements = 0;
    for (let id = 1; id <= 200; id++) {
      tested.apply(id, admit(id));
      tested.now += 50;
      const effects = [...tested.appended()];
      const due = nextWake(tested.registrar);
      if (due !== undefined && due <= tested.now) effects.push(...tested.input({ type: "tick" }));
      for (const effect of effects) {
        if (effect.type !== "settle") continue;
        settlements += 1;
        const answer = { type: "settled", unseated: [], behind: [], hasMoved: false, isUndecided: false } as const;
        tested.input({ type: "settle-answered", ballot: tested.ballot, answer });
      }
    }
    expect(settlements).toBeGreaterThanOrEqual(8);
  });

  test("[L31] [R6] a fenced leader gives each id back once", () => {
    const tested = new TestRegistrar().lead();
    for (let id = 1; id <= 3; id++) tested.apply(id, admit(id));
    const { ballot } = tested;
    const [lost] = tested.input({ type: "append-answered", ballot, answer: refusedBy(40) });
    expect(lost).toMatchObject({ type: "not-leading", ids: [1, 2, 3] });
    expect(tested.input({ type: "append-answered", ballot, answer: refusedBy(41) })).toEqual([]);
  });

  test("[L15] [R10] the next election begins with the newest membership that was known", () => {
    const known = { membership: MEMBERSHIP, position: position(7) };
    const tested = new TestRegistrar({ known });
    tested.input({ type: "stand" });
    expect(tested.call("elect").known).toEqual(known);
  });
});

describe("batches", () => {
  test("[R3] one store is in flight; what arrives meanwhile is the next batch", () => {
    const tested = new TestRegistrar().lead();
    expect(tested.apply(1, admit(1))).toMatchObject([{ type: "append", call: { position: 3 } }]);
    const first = tested.effects;
    expect(tested.apply(2, admit(2))).toEqual([]);
    expect(tested.apply(3, admit(3))).toEqual([]);
    expect(queuedOperations(tested.registrar)).toBe(3);
    expect(tested.registrar.registry.admitted.size).toBe(0);
    tested.effects = first;
    expect(tested.appended()).toMatchObject([
      { type: "confirmed" },
      { type: "outcome", id: 1, outcome: { type: "committed" } },
      { type: "append", call: { position: 4 } },
    ]);
    expect(operationsOf(tested)).toMatchObject([
      { operation: { agentId: agentId(2) } },
      { operation: { agentId: agentId(3) } },
    ]);
    expect(tested.appended()).toMatchObject([{ type: "confirmed" }, { id: 2 }, { id: 3 }]);
    expect(queuedOperations(tested.registrar)).toBe(0);
  });

  test("[R2] an operation sees those before it in its batch, and [R1] a refusal leaves no trace", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(1, admit(1));
    const first = tested.effects;
    tested.apply(2, admit(2));
    tested.apply(3, admit(2));
    tested.apply(4, update(2, info("elsewhere")));
    tested.apply(5, update(9, info()));
    tested.apply(6, update(2, info("elsewhere")));
    tested.effects = first;
    tested.appended();
    expect(operationsOf(tested).map(({ operation }) => operation.type)).toEqual(["admit-agent", "update-agent"]);
    const outcomes = tested.appended().filter((effect) => effect.type === "outcome");
    expect(outcomes).toEqual([
      { type: "outcome", id: 2, outcome: { type: "committed" } },
      { type: "outcome", id: 3, outcome: { type: "refused", reason: "agent-already-admitted" } },
      { type: "outcome", id: 4, outcome: { type: "committed" } },
      { type: "outcome", id: 5, outcome: { type: "refused", reason: "agent-unknown" } },
      { type: "outcome", id: 6, outcome: { type: "committed" } },
    ]);
    expect(tested.registrar.registry.admitted.get(agentId(2))?.info.hostname).toBe("elsewhere");
  });

  test("[R3] a batch that changes nothing is stored all the same", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(1, update(1, info()));
    expect(tested.call("append").entries).toEqual([operationsUnder(leader(2, "master-1", "newer"))]);
    expect(tested.appended()).toMatchObject([{ type: "confirmed" }, { id: 1, outcome: { type: "refused" } }]);
  });

  test("[R3] a full batch leaves the rest for the next one", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(0, admit(0));
    const first = tested.effects;
    const renamed = (id: number) => update(0, info(`host-${id}`));
    for (let id = 1; id <= BATCH_OPERATIONS_MAX + 5; id++) tested.apply(id, renamed(id));
    tested.effects = first;
    tested.appended();
    expect(operationsOf(tested)).toHaveLength(BATCH_OPERATIONS_MAX);
    tested.appended();
    expect(operationsOf(tested)).toHaveLength(5);
    tested.appended();
    const hostname = `host-${BATCH_OPERATIONS_MAX + 5}`;
    expect(tested.registrar.registry.admitted.get(agentId(0))?.info.hostname).toBe(hostname);
    expect(registrySizeBytes(tested.registrar)).toBeGreaterThan(100);
  });

  test("[R3] [L38] a batch is one entry within its bound; what does not fit waits for the next", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(0, admit(0));
    const first = tested.effects;
    const attributes = Array.from({ length: 40 }, (_, index) => ({
      name: `attribute-${index}`,
      type: "TEXT" as const,
      text: { value: "x".repeat(1_000) },
    }));
    for (let id = 1; id <= 10; id++) tested.apply(id, admit(id, { ...info(), attributes }));
    tested.effects = first;
    tested.appended();
    const taken: number[] = [];
    while (tested.registrar.registry.admitted.size < 11) {
      const { entries } = tested.call("append");
      expect(entries).toHaveLength(1);
      for (const entry of entries) {
        expect(entry.type === "append" && entry.data.length).toBeLessThanOrEqual(ENTRY_LETTERS_MAX);
      }
      taken.push(operationsOf(tested).length);
      tested.appended();
    }
    expect(taken.length).toBeGreaterThan(1);
    expect(taken.reduce((sum, count) => sum + count, 0)).toBe(10);
  });

  test("[R5] what does not fit an entry, or would not read back, is refused and harms nobody else", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(0, admit(0));
    const first = tested.effects;
    const huge = admit(1);
    tested.apply(1, { ...huge, audit: { ...huge.audit, why: "x".repeat(ENTRY_LETTERS_MAX) } });
    tested.apply(2, { ...huge, audit: { ...huge.audit, when: millis(Number.NaN) } });
    tested.apply(3, admit(3, info("")));
    tested.apply(4, admit(4));
    tested.effects = first;
    tested.appended();
    expect(tested.appended()).toMatchObject([
      { type: "confirmed" },
      { id: 1, outcome: { reason: "operation-too-large" } },
      { id: 2, outcome: { reason: "operation-invalid" } },
      { id: 3, outcome: { reason: "operation-invalid" } },
      { id: 4, outcome: { type: "committed" } },
    ]);
  });

  test("[R5] more operations than may wait are refused, and those that wait are not touched", () => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    for (let id = 0; id < QUEUE_OPERATIONS_MAX; id++) tested.apply(id, admit(1));
    expect(tested.apply(-5, admit(2))).toEqual([
      { type: "outcome", id: -5, outcome: { type: "refused", reason: "registrar-full" } },
    ]);
    expect(queuedOperations(tested.registrar)).toBe(QUEUE_OPERATIONS_MAX);
  });

  test("[R12] operations that arrive before the leader entry is chosen wait for it", () => {
    const tested = new TestRegistrar();
    tested.input({ type: "stand" });
    const election = tested.effects;
    expect(tested.apply(1, admit(1))).toEqual([]);
    tested.effects = election;
    tested.elected([MEMBERSHIP_ENTRY]);
    const appointment = tested.effects;
    expect(tested.apply(2, admit(2))).toEqual([]);
    tested.effects = appointment;
    expect(tested.appended()).toMatchObject([{ type: "confirmed" }, { type: "leading" }, { type: "append" }]);
    expect(operationsOf(tested)).toHaveLength(2);
  });
});

describe("losing", () => {
  test("[R6] refused: fenced, nothing is retried, everything is given back", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(1, admit(1));
    const { ballot } = tested.call("append");
    tested.apply(2, admit(2));
    expect(tested.input({ type: "append-answered", ballot, answer: refusedBy(40) })).toMatchObject([
      { type: "not-leading", fenced: true, ids: [1, 2], reason: "a higher ballot was promised: 40 of master-2" },
    ]);
    expect(isLeading(tested.registrar)).toBe(false);
    expect(queuedOperations(tested.registrar)).toBe(0);
    expect(tested.apply(3, admit(3))).toMatchObject([{ type: "not-leading", ids: [3] }]);
    tested.input({ type: "stand", forced: true });
    expect(tested.call("elect").ballot.counter).toBe(41);
  });

  test("[R7] unavailable: not leading, and what was in flight is found by the next election or not", () => {
    for (const wasChosen of [true, false]) {
      const tested = new TestRegistrar().lead();
      tested.apply(1, admit(1));
      const { ballot } = tested.call("append");
      tested.apply(2, admit(2));
      expect(tested.input({ type: "append-answered", ballot, answer: unavailable })).toMatchObject([
        { type: "not-leading", fenced: false, ids: [1, 2] },
      ]);
      tested.input({ type: "stand", forced: true });
      expect(tested.call("elect").ballot.counter).toBeGreaterThan(ballot.counter);
      const log = [MEMBERSHIP_ENTRY, leaderEntry("master-1", "newer"), operationsEntry(admit(1))];
      expect(tested.elected(wasChosen ? log : log.slice(0, 2))).toContainEqual({
        type: "leading",
        epoch: 2,
        masterId: "newer",
        fresh: false,
      });
      expect(tested.registrar.registry.admitted.has(agentId(1))).toBe(wasChosen);
    }
  });

  test("[R9] answers to an older ballot are ignored", () => {
    const tested = new TestRegistrar().lead();
    tested.apply(1, admit(1));
    const { ballot } = tested.call("append");
    tested.input({ type: "append-answered", ballot, answer: unavailable });
    tested.input({ type: "stand", forced: true });
    const { phase } = tested.registrar;
    for (const type of ["append-answered", "confirm-answered", "elect-answered"] as const) {
      expect(tested.input({ type, ballot, answer: refusedBy(99) })).toEqual([]);
    }
    expect(
      tested.input({ type: "append-answered", ballot, answer: { type: "appended", electorate: ELECTORATE } }),
    ).toEqual([]);
    expect(tested.registrar.phase).toBe(phase);
    expect(tested.registrar.registry.admitted.size).toBe(0);
  });

  test("[R9] a confirm in flight is not doubled, and [R13] its answer carries the time of the question", () => {
    const tested = new TestRegistrar().lead();
    const [asked] = tested.input({ type: "confirm" });
    expect(asked).toMatchObject({ type: "confirm", call: { ballot: { counter: 1 } } });
    tested.now += 30;
    expect(tested.input({ type: "confirm" })).toEqual([]);
    const ballot = present(ballotOf(tested.registrar), "a ballot");
    expect(tested.input({ type: "confirm-answered", ballot, answer: { type: "confirmed" } })).toEqual([
      { type: "confirmed", at: 10_000 },
    ]);
    expect(tested.input({ type: "confirm" })).toHaveLength(1);
    expect(tested.input({ type: "confirm-answered", ballot, answer: unavailable })).toMatchObject([
      { type: "not-leading", fenced: false },
    ]);
    expect(tested.input({ type: "confirm" })).toEqual([]);
  });

  test("[R13] a batch that was chosen confirms as of the moment it was sent", () => {
    const tested = new TestRegistrar().lead();
    tested.now = 20_000;
    tested.apply(1, admit(1));
    tested.now = 20_400;
    expect(tested.appended()[0]).toEqual({ type: "confirmed", at: 20_000 });
  });

  test("[R12] each epoch that one instance begins has a master id of its own", () => {
    let made = 0;
    const tested = new TestRegistrar({ newMasterId: () => `mine-${++made}` as MasterId }).lead();
    const ballot = present(ballotOf(tested.registrar), "a ballot");
    tested.input({ type: "confirm" });
    tested.input({ type: "confirm-answered", ballot, answer: unavailable });
    tested.input({ type: "stand", forced: true });
    const others = [MEMBERSHIP_ENTRY, leaderEntry("master-1", "mine-1"), leaderEntry("master-2", "other")];
    tested.elected(others);
    expect(tested.appended()).toContainEqual(
      expect.objectContaining({ type: "leading", masterId: "mine-2", fresh: true }),
    );
  });

  test("[R12] after losing, an epoch that this instance began is kept if nobody led since", () => {
    const tested = new TestRegistrar({ newMasterId: () => "mine" as MasterId }).lead();
    const ballot = present(ballotOf(tested.registrar), "a ballot");
    tested.input({ type: "confirm" });
    tested.input({ type: "confirm-answered", ballot, answer: unavailable });
    tested.input({ type: "stand", forced: true });
    expect(tested.elected([MEMBERSHIP_ENTRY, leaderEntry("master-1", "mine")])).toMatchObject([
      { type: "leading", epoch: 2, masterId: "mine", fresh: false },
      { type: "confirmed", at: 10_000 },
    ]);
  });
});
