// The coordinator by itself: its calls are answered by hand.
import { describe, expect, test } from "vitest";
import { present } from "#base/assert.ts";
import { millis } from "#base/time.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import type { AppendCall, ElectCall, SettleAnswer } from "#log/calls.ts";
import {
  ballotOf,
  coordinate,
  type Coordinator,
  type CoordinatorEffect,
  type CoordinatorInput,
  type CoordinatorOptions,
  createCoordinator,
  GATHER_MS_MAX,
  nextWake,
  SETTLE_BUSY_MS,
  SETTLE_IDLE_MS,
} from "#log/coordinator.ts";
import { type Electorate, type Entry, position } from "#log/entry.ts";
import { ENTRY_LETTERS_MAX, WRITE_ENTRIES_MAX, WRITE_LETTERS_MAX } from "#log/limits.ts";
import {
  ballot,
  CLUSTER,
  ELECTORATE,
  electorateOf,
  membershipOf,
  NOP,
  R1,
  R2,
  R3,
  R4,
  seating,
  value,
  values,
} from "./sample.ts";

const OPTIONS: CoordinatorOptions = { candidate: "master-1" as CandidateId, nonce: "n", clusterId: CLUSTER };
const unavailable = { type: "unavailable", reason: "nobody answered", reachable: 0, replicas: 3 } as const;
const refusedBy = (promised: Ballot) => ({ type: "refused", promised }) as const;
const SETTLED: SettleAnswer = { type: "settled", unseated: [], behind: [], hasMoved: false, isUndecided: false };
const ADD = { type: "add", replica: R4 } as const;

class Tested {
  readonly coordinator: Coordinator;
  now = 10_000;
  effects: readonly CoordinatorEffect[] = [];

  constructor(options: Partial<CoordinatorOptions> = {}) {
    this.coordinator = createCoordinator({ ...OPTIONS, ...options });
  }

  input(input: CoordinatorInput): readonly CoordinatorEffect[] {
    this.effects = coordinate(this.coordinator, input, millis(this.now));
    return this.effects;
  }

  append(id: number, ...entries: readonly Entry[]) {
    return this.input({ type: "append", id, entries });
  }

  get ballot(): Ballot {
    return present(ballotOf(this.coordinator), "a ballot");
  }

  get wake(): number | undefined {
    return nextWake(this.coordinator);
  }

  /** Elected, with everything below `next` chosen, and settled. */
  lead(next = 5): this {
    this.input({ type: "elect", from: position(1) });
    this.elected(next);
    this.input({ type: "tick" });
    this.settled();
    return this;
  }

  elected(next = 5, electorate: Electorate = ELECTORATE) {
    const answer = { type: "elected", electorate, begin: position(1), next: position(next) } as const;
    return this.input({ type: "elect-answered", ballot: this.ballot, answer });
  }

  /** The write is chosen, and nothing more comes in before the next. */
  appended(electorate: Electorate = ELECTORATE) {
    const all = [...this.chosen(electorate)];
    while (this.effects.some(({ type }) => type === "gather")) all.push(...this.input({ type: "gathered" }));
    this.effects = all.filter(({ type }) => type !== "gather");
    return this.effects;
  }

  chosen(electorate: Electorate = ELECTORATE) {
    return this.input({ type: "append-answered", ballot: this.ballot, answer: { type: "appended", electorate } });
  }

  settled(answer: Partial<SettleAnswer> = {}) {
    return this.input({ type: "settle-answered", ballot: this.ballot, answer: { ...SETTLED, ...answer } });
  }

  prepared() {
    const answer = { type: "prepared", membership: membershipOf(R1, R2, R3, R4) } as const;
    return this.input({ type: "prepare-answered", ballot: this.ballot, answer });
  }

  get write(): AppendCall {
    const found = this.effects.find((effect) => effect.type === "append");
    if (found?.type !== "append") throw new Error("no append");
    return found.call;
  }

  get election(): ElectCall {
    const found = this.effects.find((effect) => effect.type === "elect");
    if (found?.type !== "elect") throw new Error("no election");
    return found.call;
  }
}

describe("ballots", () => {
  test("[L1] the ballot is stored before its first message, above the one that was stored last", () => {
    const tested = new Tested({ storedBallot: ballot(6, "master-1", "older") });
    expect(tested.input({ type: "elect", from: position(3) })).toEqual([
      { type: "store-ballot", ballot: ballot(7) },
      { type: "elect", call: { clusterId: CLUSTER, ballot: ballot(7), from: 3, known: undefined } },
    ]);
  });

  test("[L1] two instances of one candidate, or two candidates, never share one (H6)", () => {
    const ballots = [
      new Tested(),
      new Tested({ nonce: "o" }),
      new Tested({ candidate: "master-2" as CandidateId }),
    ].map((tested) => {
      tested.input({ type: "elect", from: position(1) });
      return JSON.stringify(tested.ballot);
    });
    expect(new Set(ballots).size).toBe(3);
  });

  test("[L1] [L2] each election has a higher one, whatever ended the last", () => {
    const tested = new Tested();
    const counters: number[] = [];
    for (const end of ["unavailable", "resign", "refused"] as const) {
      tested.input({ type: "elect", from: position(1) });
      counters.push(tested.ballot.counter);
      if (end === "resign") tested.input({ type: "resign", reason: "tired" });
      else {
        const answer = end === "refused" ? refusedBy(ballot(2)) : unavailable;
        tested.input({ type: "elect-answered", ballot: tested.ballot, answer });
      }
    }
    tested.input({ type: "elect", from: position(1) });
    expect([...counters, tested.ballot.counter]).toEqual([1, 2, 3, 4]);
  });

  test("[L1] the next one is above the ballot that refused, however high, and not one above our last (H5)", () => {
    for (const type of ["elect-answered", "append-answered", "confirm-answered"] as const) {
      const tested = new Tested();
      tested.input({ type: "elect", from: position(1) });
      if (type !== "elect-answered") tested.elected();
      if (type === "append-answered") tested.append(1, value("a"));
      if (type === "confirm-answered") tested.input({ type: "confirm" });
      const answer = refusedBy(ballot(40, "master-2"));
      expect(tested.input({ type, ballot: tested.ballot, answer })).toMatchObject([
        { type: "lost", fenced: true, reason: "a higher ballot was promised: 40 of master-2" },
      ]);
      tested.input({ type: "elect", from: position(1) });
      expect(tested.ballot.counter).toBe(41);
    }
  });

  test("[L2] one election at a time: a second wish has no effect", () => {
    const tested = new Tested();
    tested.input({ type: "elect", from: position(1) });
    expect(tested.input({ type: "elect", from: position(1) })).toEqual([]);
    tested.elected();
    expect(tested.input({ type: "elect", from: position(1) })).toEqual([]);
  });

  test("[L15] the next election begins with the newest membership that was known", () => {
    const known = electorateOf(9, R1, R2);
    const tested = new Tested({ known });
    tested.input({ type: "elect", from: position(1) });
    expect(tested.election.known).toEqual(known);
    tested.elected(20, electorateOf(14, R1, R2, R4));
    tested.input({ type: "resign", reason: "tired" });
    tested.input({ type: "elect", from: position(1) });
    expect(tested.election.known).toEqual(electorateOf(14, R1, R2, R4));
  });
});

describe("appending", () => {
  test("[L29] one write is outstanding; everything that arrives meanwhile goes into the next", () => {
    const tested = new Tested().lead();
    expect(tested.append(1, value("a"))).toMatchObject([
      { type: "append", call: { position: 5, entries: [value("a")] } },
    ]);
    expect(tested.append(2, value("b"), value("c"))).toEqual([]);
    expect(tested.append(3, value("d"))).toEqual([]);
    tested.appended();
    expect(tested.write).toMatchObject({ position: 6, entries: [value("b"), value("c"), value("d")] });
    expect(tested.write.ballot).toEqual(tested.ballot);
  });

  test("[L31] appends are answered only when chosen, in their order, with the position of their first entry", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.append(2, value("b"), value("c"));
    tested.append(3, value("d"));
    expect(tested.appended().filter(({ type }) => type === "appended")).toMatchObject([{ id: 1, position: 5 }]);
    expect(tested.appended().filter(({ type }) => type === "appended")).toEqual([
      { type: "appended", id: 2, position: 6, entries: [value("b"), value("c")] },
      { type: "appended", id: 3, position: 8, entries: [value("d")] },
    ]);
  });

  /** One write with the appends 1 and 2 in it, which is now chosen; 3 came in meanwhile. */
  const gathering = () => {
    const tested = new Tested().lead();
    tested.append(0, value("first"));
    tested.append(1, value("a"));
    tested.append(2, value("b"));
    tested.appended();
    tested.append(3, value("c"));
    return tested;
  };

  test("[L29] after a write of several appends the next waits a turn for those that come back at once", () => {
    const tested = gathering();
    const effects = tested.chosen();
    expect(effects.filter(({ type }) => type === "append")).toEqual([]);
    expect(effects).toContainEqual({ type: "gather" });
    expect(tested.append(4, value("d"))).toEqual([]);
    expect(tested.input({ type: "gathered" })).toEqual([{ type: "gather" }]);
    expect(tested.input({ type: "gathered" })).toEqual([{ type: "gather" }]); // one turn without anything new is no end yet
    expect(tested.input({ type: "gathered" })).toMatchObject([{ type: "append" }]);
    expect(tested.write.entries).toEqual([value("c"), value("d")]);
  });

  test("[L29] it waits only as long as more come in, and not beyond its bound", () => {
    const tested = gathering();
    tested.chosen();
    tested.append(4, value("d"));
    tested.now += GATHER_MS_MAX;
    tested.input({ type: "gathered" });
    expect(tested.write.entries).toHaveLength(2);
    const full = gathering();
    full.chosen();
    for (let id = 10; id < 10 + WRITE_ENTRIES_MAX; id++) full.append(id, value("x"));
    full.input({ type: "gathered" });
    expect(full.write.entries).toHaveLength(WRITE_ENTRIES_MAX);
  });

  test("[L29] nobody waits after a write of one append", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.append(2, value("b"));
    expect(tested.chosen()).toContainEqual(expect.objectContaining({ type: "append" }));
    expect(tested.input({ type: "gathered" })).toEqual([]);
  });

  test("[L30] a change that is prepared meanwhile waits with the others, and goes first and alone", () => {
    const tested = gathering();
    tested.input({ type: "change", id: 9, change: ADD });
    tested.chosen();
    expect(tested.prepared()).toEqual([]);
    tested.input({ type: "gathered" });
    tested.input({ type: "gathered" });
    expect(tested.write.entries).toEqual([seating(R1, R2, R3, R4)]);
  });

  test("[L3] [L29] what waits for a turn is given back too", () => {
    const tested = gathering();
    tested.chosen();
    expect(tested.input({ type: "resign", reason: "tired" })).toMatchObject([{ type: "lost", ids: [3] }]);
    expect(tested.input({ type: "gathered" })).toEqual([]);
  });

  test("[L29] [L33] when nothing comes back, the members are looked after as soon as otherwise", () => {
    const tested = new Tested().lead();
    tested.append(0, value("first"));
    tested.append(1, value("a"));
    tested.append(2, value("b"));
    tested.appended();
    tested.appended();
    expect(tested.wake).toBeLessThanOrEqual(tested.now + SETTLE_IDLE_MS);
  });

  test("[L29] what was given before the election is over is written when it is", () => {
    const tested = new Tested();
    tested.input({ type: "elect", from: position(1) });
    expect(tested.append(1, value("a"))).toEqual([]);
    expect(tested.elected(7)).toMatchObject([
      { type: "elected", begin: 1, next: 7 },
      { type: "confirmed" },
      { type: "append", call: { position: 7, entries: [value("a")] } },
    ]);
  });

  test("[L29] [L31] a write keeps its bounds, and the entries of one append are never parted", () => {
    const tested = new Tested().lead();
    tested.append(0, value("first"));
    tested.append(1, ...values(WRITE_ENTRIES_MAX - 1));
    tested.append(2, value("a"), value("b"));
    tested.append(3, value("c"));
    tested.appended();
    expect(tested.write.entries).toHaveLength(WRITE_ENTRIES_MAX - 1);
    tested.appended();
    expect(tested.write.entries).toEqual([value("a"), value("b"), value("c")]);
  });

  test("[L29] a write keeps its bound of letters, and one append of the greatest length goes alone", () => {
    const tested = new Tested().lead();
    const half = value("x".repeat(ENTRY_LETTERS_MAX));
    tested.append(0, value("first"));
    for (let id = 1; id <= 6; id++) tested.append(id, half);
    tested.appended();
    const { length } = tested.write.entries;
    expect(length).toBeGreaterThan(1);
    expect(length * ENTRY_LETTERS_MAX).toBeLessThanOrEqual(WRITE_LETTERS_MAX);
    tested.appended();
    tested.appended();
    expect(tested.effects.filter(({ type }) => type === "append")).toEqual([]);
  });

  test.each([
    ["no entry", []],
    ["too many entries", values(WRITE_ENTRIES_MAX + 1)],
    ["too many letters", Array.from({ length: 5 }, () => value("x".repeat(ENTRY_LETTERS_MAX)))],
    ["something after a membership", [seating(R1), value("a")]],
  ])("[L31] an append of %s fits no write: our own bug", (_what, entries) => {
    expect(() => new Tested().lead().append(1, ...entries)).toThrow("a group of entries fits one write");
  });

  test("[L31] an append while nobody stands is given back at once", () => {
    expect(new Tested().append(1, value("a"))).toMatchObject([{ type: "lost", fenced: false, ids: [1] }]);
  });
});

describe("stepping down", () => {
  test.each([
    ["refused", refusedBy(ballot(9)), true],
    ["unavailable", unavailable, false],
  ] as const)(
    "[L3] %s: nothing is retried, and what was in flight and what waited is given back",
    (_how, answer, fenced) => {
      const tested = new Tested().lead();
      tested.append(1, value("a"));
      tested.append(2, value("b"));
      expect(tested.input({ type: "append-answered", ballot: tested.ballot, answer })).toMatchObject([
        { type: "lost", fenced, ids: [1, 2] },
      ]);
      expect(ballotOf(tested.coordinator)).toBeUndefined();
      expect(tested.wake).toBeUndefined();
      expect(tested.append(3, value("c"))).toMatchObject([{ type: "lost", ids: [3] }]);
      tested.input({ type: "elect", from: position(1) });
      expect(tested.elected(6).filter(({ type }) => type === "append")).toEqual([]);
    },
  );

  test("[L3] a change under way is given back too", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.input({ type: "change", id: 2, change: ADD });
    expect(tested.input({ type: "resign", reason: "tired" })).toEqual([
      { type: "lost", reason: "tired", fenced: false, ids: [1, 2] },
    ]);
  });

  test("[L3] what waits during a failed election is given back", () => {
    const tested = new Tested();
    tested.input({ type: "elect", from: position(1) });
    tested.append(1, value("a"));
    expect(tested.input({ type: "elect-answered", ballot: tested.ballot, answer: unavailable })).toMatchObject([
      { type: "lost", fenced: false, ids: [1], reason: "no quorum: nobody answered" },
    ]);
  });

  test("[L3] without a ballot there is nothing to resign", () => {
    expect(new Tested().input({ type: "resign", reason: "tired" })).toEqual([]);
  });

  test("[L32] answers to another ballot are ignored, whatever they say", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    const old = tested.ballot;
    tested.input({ type: "resign", reason: "tired" });
    tested.input({ type: "elect", from: position(1) });
    const { phase } = tested.coordinator;
    const elected = { type: "elected", electorate: ELECTORATE, begin: position(1), next: position(9) } as const;
    const late: readonly CoordinatorInput[] = [
      { type: "elect-answered", ballot: old, answer: elected },
      { type: "append-answered", ballot: old, answer: { type: "appended", electorate: ELECTORATE } },
      { type: "append-answered", ballot: old, answer: refusedBy(ballot(99)) },
      { type: "confirm-answered", ballot: old, answer: refusedBy(ballot(99)) },
      { type: "settle-answered", ballot: old, answer: SETTLED },
      { type: "prepare-answered", ballot: old, answer: { type: "refused-change", reason: "" } },
    ];
    for (const input of late) expect(tested.input(input)).toEqual([]);
    expect(tested.coordinator.phase).toBe(phase);
    expect(tested.ballot.counter).toBe(2);
    tested.elected(6);
    for (const input of late) expect(tested.input(input)).toEqual([]);
    expect(tested.append(2, value("b"))).toMatchObject([{ type: "append", call: { position: 6 } }]);
  });

  test("[L32] an answer that nobody waits for changes nothing", () => {
    const tested = new Tested().lead();
    expect(tested.appended()).toEqual([]);
    expect(tested.input({ type: "confirm-answered", ballot: tested.ballot, answer: unavailable })).toEqual([]);
    expect(tested.prepared()).toEqual([]);
    expect(tested.elected(50)).toEqual([]);
    tested.append(1, value("a"));
    expect(tested.write.position).toBe(5);
  });
});

describe("confirming", () => {
  test("[L14] a confirm in flight is not doubled, and its answer carries the time of the question", () => {
    const tested = new Tested().lead();
    expect(tested.input({ type: "confirm" })).toEqual([
      { type: "confirm", call: { clusterId: CLUSTER, ballot: tested.ballot, electorate: ELECTORATE } },
    ]);
    tested.now += 30;
    expect(tested.input({ type: "confirm" })).toEqual([]);
    const answer = { type: "confirmed" } as const;
    expect(tested.input({ type: "confirm-answered", ballot: tested.ballot, answer })).toEqual([
      { type: "confirmed", at: 10_000 },
    ]);
    expect(tested.input({ type: "confirm" })).toHaveLength(1);
  });

  test("[L14] an election and a write confirm too, as of when they were sent", () => {
    const tested = new Tested();
    tested.input({ type: "elect", from: position(1) });
    tested.now = 10_500;
    expect(tested.elected()).toContainEqual({ type: "confirmed", at: 10_000 });
    tested.append(1, value("a"));
    tested.now = 10_900;
    expect(tested.appended()[0]).toEqual({ type: "confirmed", at: 10_500 });
  });

  test("[L14] only a leader asks", () => {
    const tested = new Tested();
    expect(tested.input({ type: "confirm" })).toEqual([]);
    tested.input({ type: "elect", from: position(1) });
    expect(tested.input({ type: "confirm" })).toEqual([]);
  });
});

describe("changing the membership", () => {
  const next = electorateOf(6, R1, R2, R3, R4);

  test("[L30] [L34] a change is prepared first, and nothing is written before that", () => {
    const tested = new Tested().lead();
    expect(tested.input({ type: "change", id: 1, change: ADD })).toEqual([
      {
        type: "prepare",
        ballot: tested.ballot,
        call: { clusterId: CLUSTER, electorate: ELECTORATE, change: ADD },
      },
    ]);
  });

  test("[L30] a nop goes before it when nothing was chosen under this ballot yet", () => {
    const tested = new Tested().lead();
    tested.input({ type: "change", id: 1, change: ADD });
    tested.prepared();
    expect(tested.write).toMatchObject({ position: 5, entries: [NOP], electorate: ELECTORATE });
    tested.appended();
    expect(tested.write).toMatchObject({ position: 6, entries: [seating(R1, R2, R3, R4)], electorate: ELECTORATE });
    expect(tested.appended(next)).toContainEqual({
      type: "changed",
      id: 1,
      outcome: { type: "done", electorate: next },
    });
    tested.append(2, value("a"));
    expect(tested.write).toMatchObject({ position: 7, electorate: next });
    expect(tested.coordinator.known).toEqual(next);
  });

  test("[L30] after an own entry was chosen it goes at once", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.appended();
    tested.input({ type: "change", id: 2, change: ADD });
    tested.prepared();
    expect(tested.write).toMatchObject({ position: 6, entries: [seating(R1, R2, R3, R4)] });
  });

  test("[L24] [L30] it waits for the write that is outstanding, and goes alone", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.append(2, value("b"));
    tested.input({ type: "change", id: 3, change: ADD });
    expect(tested.prepared()).toEqual([]);
    tested.appended();
    expect(tested.write).toMatchObject({ position: 6, entries: [seating(R1, R2, R3, R4)] });
    tested.append(4, value("c"));
    tested.appended(next);
    expect(tested.write).toMatchObject({ position: 7, entries: [value("b"), value("c")], electorate: next });
  });

  test("[L30] one at a time: another is refused until the last is chosen", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.appended();
    tested.input({ type: "change", id: 2, change: ADD });
    const refused = [{ type: "changed", id: 3, outcome: { type: "refused", reason: expect.any(String) } }];
    const remove = { type: "change", id: 3, change: { type: "remove", replica: R1 } } as const;
    expect(tested.input(remove)).toEqual(refused);
    tested.prepared();
    expect(tested.input(remove)).toEqual(refused);
    tested.effects = [];
    tested.appended(next);
    expect(tested.input(remove)).toMatchObject([{ type: "prepare", call: { electorate: next } }]);
  });

  test.each([
    ["refused", { type: "refused-change", reason: "too many" }, "too many"],
    ["without a quorum", unavailable, "nobody answered"],
  ] as const)("[L34] a preparation that ends %s refuses the change, and writes nothing", (_how, answer, reason) => {
    const tested = new Tested().lead();
    tested.input({ type: "change", id: 1, change: ADD });
    expect(tested.input({ type: "prepare-answered", ballot: tested.ballot, answer })).toEqual([
      { type: "changed", id: 1, outcome: { type: "refused", reason } },
    ]);
    expect(tested.input({ type: "change", id: 2, change: ADD })).toMatchObject([{ type: "prepare" }]);
  });

  test("[L34] a preparation that takes longer is called again, while writes go on", () => {
    const tested = new Tested().lead();
    tested.input({ type: "change", id: 1, change: ADD });
    const answer = { type: "preparing", missingFrom: position(3), end: position(9_000) } as const;
    expect(tested.input({ type: "prepare-answered", ballot: tested.ballot, answer })).toMatchObject([
      { type: "prepare", call: { change: ADD } },
    ]);
    tested.append(2, value("a"));
    expect(tested.write.entries).toEqual([value("a")]);
  });

  test("[L30] a leader that is fenced before it has chosen anything changes nothing", () => {
    const tested = new Tested().lead();
    tested.input({ type: "change", id: 1, change: ADD });
    tested.prepared();
    expect(
      tested.input({ type: "append-answered", ballot: tested.ballot, answer: refusedBy(ballot(9)) }),
    ).toMatchObject([{ type: "lost", ids: [1], fenced: true }]);
  });

  test("[L30] only a leader changes it", () => {
    const tested = new Tested();
    expect(tested.input({ type: "change", id: 1, change: ADD })).toMatchObject([
      { type: "changed", id: 1, outcome: { type: "refused", reason: "this candidate does not lead" } },
    ]);
    tested.input({ type: "elect", from: position(1) });
    expect(tested.input({ type: "change", id: 2, change: ADD })).toMatchObject([{ outcome: { type: "refused" } }]);
  });
});

describe("settling", () => {
  test("[L33] after an election the members are looked after at once", () => {
    const tested = new Tested();
    expect(tested.wake).toBeUndefined();
    tested.input({ type: "elect", from: position(1) });
    tested.elected(5);
    expect(tested.wake).toBe(10_000);
    expect(tested.input({ type: "tick" })).toEqual([
      {
        type: "settle",
        call: { clusterId: CLUSTER, ballot: tested.ballot, electorate: ELECTORATE, through: 4 },
      },
    ]);
    expect(tested.wake).toBeUndefined();
    tested.settled();
    expect(tested.wake).toBeUndefined();
  });

  test("[L33] when nothing more is to be written, shortly afterwards", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.appended();
    expect(tested.wake).toBe(10_000 + SETTLE_IDLE_MS);
    tested.now += SETTLE_IDLE_MS - 1;
    expect(tested.input({ type: "tick" })).toEqual([]);
    tested.now += 1;
    expect(tested.input({ type: "tick" })).toMatchObject([{ type: "settle", call: { through: 5 } }]);
    expect(tested.input({ type: "tick" })).toEqual([]);
  });

  /** A leader whose owner gives the next append as soon as the last is answered, `everyMs` apart. Settlements in `ms`. */
  const settlementsWhileBusy = (waiting: number, everyMs: number, ms: number): number => {
    const tested = new Tested().lead();
    let settlements = 0;
    const follow = (effects: readonly CoordinatorEffect[]) => {
      for (const effect of effects) {
        if (effect.type !== "settle") continue;
        settlements += 1;
        tested.settled();
      }
    };
    for (let id = 0; id < waiting; id++) tested.append(id, value("a"));
    for (const end = tested.now + ms; tested.now < end;) {
      tested.now += everyMs;
      if (tested.wake !== undefined && tested.wake <= tested.now) follow(tested.input({ type: "tick" }));
      follow(tested.appended());
      follow(tested.append(1, value("a")));
    }
    return settlements;
  };

  test("[L33] while something waits to be written, every second", () => {
    const found = settlementsWhileBusy(2, 50, 10_000);
    expect(found).toBeGreaterThanOrEqual(8);
    expect(found).toBeLessThanOrEqual(11);
  });

  test("[L33] every second too when each append is given only after the last was answered", () => {
    const found = settlementsWhileBusy(1, 50, 10_000);
    expect(found).toBeGreaterThanOrEqual(8);
    expect(found).toBeLessThanOrEqual(11);
  });

  test("[L33] who is still behind is looked after again, though nothing is written", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.appended();
    tested.now += SETTLE_IDLE_MS;
    tested.input({ type: "tick" });
    tested.settled({ behind: [R3] });
    expect(tested.wake).toBe(tested.now + SETTLE_BUSY_MS);
    tested.now += SETTLE_BUSY_MS;
    expect(tested.input({ type: "tick" })).toMatchObject([{ type: "settle" }]);
    tested.input({ type: "settle-answered", ballot: tested.ballot, answer: unavailable });
    expect(tested.wake).toBe(tested.now + 2 * SETTLE_BUSY_MS);
  });

  test("[L33] one that never moves is looked after less and less, and then no more until something is asked", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.appended();
    let settlements = 0;
    for (let wake = tested.wake; wake !== undefined && settlements < 100; wake = tested.wake) {
      tested.now = wake;
      tested.input({ type: "tick" });
      tested.settled({ behind: [R3] });
      settlements += 1;
    }
    expect(settlements).toBeLessThan(10);
    tested.append(2, value("b"));
    tested.appended();
    expect(tested.wake).toBeDefined();
    tested.now = present(tested.wake, "a wake");
    tested.input({ type: "tick" });
    tested.settled({ behind: [R3], hasMoved: true });
    expect(tested.wake).toBe(tested.now + SETTLE_BUSY_MS);
  });

  test("[L33] a settlement that fails costs no leadership", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.appended();
    tested.now += SETTLE_IDLE_MS;
    tested.input({ type: "tick" });
    expect(tested.input({ type: "settle-answered", ballot: tested.ballot, answer: unavailable })).toEqual([]);
    expect(tested.append(2, value("b"))).toHaveLength(1);
  });

  test("[L33] entries that were chosen and nobody can show are left to another election", () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.appended();
    tested.append(2, value("b"));
    tested.now += SETTLE_IDLE_MS;
    tested.input({ type: "tick" });
    expect(tested.settled({ behind: [R3], isUndecided: true })).toMatchObject([
      { type: "lost", fenced: false, ids: [2] },
    ]);
  });

  test("[L33] a leader that only is confirmed looks after them now and then", () => {
    const tested = new Tested().lead();
    const confirm = () => {
      tested.input({ type: "confirm" });
      return tested.input({ type: "confirm-answered", ballot: tested.ballot, answer: { type: "confirmed" } });
    };
    tested.now += 29_000;
    expect(confirm()).toHaveLength(1);
    tested.now += 1_000;
    expect(confirm()).toMatchObject([{ type: "confirmed" }, { type: "settle" }]);
  });
});

describe("a member that lost its storage", () => {
  const found = () => {
    const tested = new Tested().lead();
    tested.append(1, value("a"));
    tested.appended();
    tested.now += SETTLE_IDLE_MS;
    tested.input({ type: "tick" });
    return tested;
  };
  const reseat = { type: "replace", replica: R3, by: R3 };

  test("[L27] its new seat is prepared, and written like any other change, told to nobody", () => {
    const tested = found();
    expect(tested.settled({ unseated: [R3] })).toMatchObject([{ type: "prepare", call: { change: reseat } }]);
    tested.prepared();
    expect(tested.write.entries).toMatchObject([{ type: "membership" }]);
    expect(tested.appended(electorateOf(6, R1, R2, R3)).map(({ type }) => type)).toEqual(["confirmed"]);
  });

  test("[L27] [L30] it waits for a change that is under way", () => {
    const tested = found();
    tested.input({ type: "change", id: 2, change: ADD });
    expect(tested.settled({ unseated: [R3] })).toEqual([]);
    tested.prepared();
    tested.appended(electorateOf(6, R1, R2, R3, R4));
    tested.now = present(tested.wake as number, "a wake");
    tested.input({ type: "tick" });
    expect(tested.settled({ unseated: [R3] })).toMatchObject([{ type: "prepare", call: { change: reseat } }]);
  });

  test("[L27] one that cannot be prepared is tried again, and not too often", () => {
    const tested = found();
    tested.settled({ unseated: [R3] });
    const refused = { type: "refused-change", reason: "" } as const;
    expect(tested.input({ type: "prepare-answered", ballot: tested.ballot, answer: refused })).toEqual([]);
    const again = present(tested.wake as number, "a wake");
    expect(again - tested.now).toBeGreaterThanOrEqual(SETTLE_BUSY_MS);
    tested.now = again;
    tested.input({ type: "tick" });
    expect(tested.settled({ unseated: [R3] })).toMatchObject([{ type: "prepare" }]);
  });

  test("[L27] those that lost it are tried in turn, each again when it is its turn", () => {
    const tested = found();
    const tried: string[] = [];
    for (let settlement = 0; settlement < 5; settlement++) {
      for (const effect of tested.settled({ unseated: [R1, R2, R3] })) {
        if (effect.type !== "prepare") continue;
        tried.push(effect.call.change.replica);
        tested.input({ type: "prepare-answered", ballot: tested.ballot, answer: unavailable });
      }
      tested.now = present(tested.wake as number, "a wake");
      tested.input({ type: "tick" });
    }
    expect(tried).toEqual([R1, R2, R3, R1, R2]);
  });

  test("[L27] one that can never be prepared does not keep another from its seat", () => {
    const tested = found();
    const tried = new Set<string>();
    for (let settlement = 0; settlement < 4; settlement++) {
      for (const effect of tested.settled({ unseated: [R2, R3] })) {
        if (effect.type !== "prepare") continue;
        tried.add(effect.call.change.replica);
        const answer = { type: "refused-change", reason: "it belongs to another cluster" } as const;
        tested.input({ type: "prepare-answered", ballot: tested.ballot, answer });
      }
      tested.now = present(tested.wake as number, "a wake");
      tested.input({ type: "tick" });
    }
    expect([...tried]).toEqual([R2, R3]);
  });

  test("[L27] [L30] an operator's change waits for it, and is told so", () => {
    const tested = found();
    tested.settled({ unseated: [R3] });
    expect(tested.input({ type: "change", id: 2, change: ADD })).toMatchObject([
      { id: 2, outcome: { type: "refused", reason: expect.stringContaining("replace replica-3") } },
    ]);
  });
});
