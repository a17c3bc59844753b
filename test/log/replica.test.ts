import { describe, expect, test } from "vitest";
import { InvariantError } from "#base/assert.ts";
import { position } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX, WRITE_ENTRIES_MAX } from "#log/limits.ts";
import {
  ballot,
  catchUp,
  CLUSTER,
  confirming,
  electorateOf,
  enlist,
  learn,
  lifeOf,
  membershipOf,
  NOP,
  OTHER_CLUSTER,
  promise,
  R1,
  R2,
  R3,
  read,
  record,
  start,
  TestReplica,
  value,
  values,
  write,
} from "./sample.ts";

const voter = () => new TestReplica(R1, membershipOf(R1, R2, R3));

describe("promises", () => {
  test("[L4] a promise is stored before it is answered", () => {
    const { effects, answer } = voter().step(promise(ballot(1)));
    expect(answer.type).toBe("promised");
    expect(effects).toMatchObject([{ type: "persist-metadata", metadata: { promised: ballot(1) } }]);
  });

  test("[L4] what was promised and accepted is still there after a restart", () => {
    const replica = voter();
    replica.deliver(write(ballot(3), 2, value("a")));
    replica.deliver(promise(ballot(5)));
    const before = replica.state;
    expect(replica.restart()).toEqual({ ...before, recent: undefined });
    expect(replica.deliver(promise(ballot(4)))).toMatchObject({ type: "refused", promised: ballot(5) });
    expect(replica.deliver(promise(ballot(6)))).toMatchObject({ page: { records: [{ entry: value("a") }] } });
  });

  test("[L5] a promise below the promised ballot is refused and nothing is written", () => {
    const replica = voter();
    replica.deliver(promise(ballot(5)));
    const { state, effects, answer } = replica.step(promise(ballot(4)));
    expect(answer).toMatchObject({ type: "refused", promised: ballot(5) });
    expect(effects).toEqual([]);
    expect(state).toBe(replica.state);
  });

  test("[L5] the same ballot again gets the same answer and writes nothing", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    const first = replica.deliver(promise(ballot(2)));
    const again = replica.step(promise(ballot(2)));
    expect(again.answer).toEqual(first);
    expect(again.effects).toEqual([]);
  });

  test.each([
    ["a higher candidate", ballot(3, "master-2"), "promised"],
    ["a lower candidate", ballot(3, "master-0"), "refused"],
    ["another instance with a higher nonce", ballot(3, "master-1", "o"), "promised"],
    ["another instance with a lower nonce", ballot(3, "master-1", "m"), "refused"],
  ])("[L5] with equal counters %s decides", (_name, under, type) => {
    const replica = voter();
    replica.deliver(promise(ballot(3)));
    expect(replica.deliver(promise(under)).type).toBe(type);
  });

  test("[L5] the answer brings the accepted records from the asked position on", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a"), value("b"), value("c")));
    expect(replica.deliver(promise(ballot(2), 3))).toMatchObject({
      type: "promised",
      standing: { promised: ballot(2), end: 4, missingFrom: 2 },
      page: { records: [record(3, ballot(1), value("b")), record(4, ballot(1), value("c"))], next: undefined },
    });
  });

  test("[L5] what is learned there is not among the records: the standing tells it", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a"), value("b")));
    replica.deliver(learn(ballot(1), 2));
    expect(replica.deliver(promise(ballot(2)))).toMatchObject({
      standing: { missingFrom: 3 },
      page: { records: [record(3, ballot(1), value("b"))] },
    });
  });

  test("[L5] what does not fit a page is offered from the next position on", () => {
    const replica = voter();
    for (let at = 2; at <= PAGE_ENTRIES_MAX + 1; at += WRITE_ENTRIES_MAX) {
      replica.deliver(write(ballot(1), at, ...values(WRITE_ENTRIES_MAX, at)));
    }
    const next = PAGE_ENTRIES_MAX + 2;
    expect(replica.deliver(promise(ballot(2)))).toMatchObject({ page: { next } });
    expect(replica.deliver(promise(ballot(2), next))).toMatchObject({
      page: { records: [{ position: next }, ...Array.from({ length: 47 }, () => ({}))], next: undefined },
    });
  });
});

describe("writes", () => {
  test("[L6] a write below the promised ballot is refused and nothing is written", () => {
    const replica = voter();
    replica.deliver(promise(ballot(5)));
    const { effects, answer } = replica.step(write(ballot(4), 2, value("a")));
    expect(answer).toMatchObject({ type: "refused", promised: ballot(5) });
    expect(effects).toEqual([]);
  });

  test("[L6] a write at the promised ballot is accepted, and so is one above it, which raises the promise (H1)", () => {
    const replica = voter();
    replica.deliver(promise(ballot(5)));
    expect(replica.deliver(write(ballot(5), 2, value("a"))).type).toBe("accepted");
    expect(replica.deliver(write(ballot(7), 2, value("b"))).type).toBe("accepted");
    expect(replica.restart().promised).toEqual(ballot(7));
    expect(replica.deliver(write(ballot(6), 2, value("c")))).toMatchObject({ type: "refused", promised: ballot(7) });
    expect(replica.valueAt(2)).toEqual(value("b"));
  });

  test("[L4] [L6] all entries of a write and its promise are stored together, and a gap before them stays a gap", () => {
    const replica = voter();
    const { effects } = replica.step(write(ballot(1), 5, value("a"), NOP));
    expect(effects).toMatchObject([
      { type: "persist-records", records: [{ position: 5 }, { position: 6 }] },
      { type: "persist-metadata", metadata: { promised: ballot(1) } },
    ]);
    replica.storage.persist(effects);
    expect(replica.restart()).toMatchObject({ end: 6, missingFrom: 2 });
    expect(replica.valueAt(4)).toBeUndefined();
  });

  test("[L6] an accepted value gives way to one of a higher ballot, and only there", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a"), value("b"), value("c")));
    expect(replica.deliver(write(ballot(2), 3, value("B"))).type).toBe("accepted");
    expect([2, 3, 4].map((at) => replica.recordAt(at))).toEqual([
      record(2, ballot(1), value("a")),
      record(3, ballot(2), value("B")),
      record(4, ballot(1), value("c")),
    ]);
  });

  test("[L7] the same write again is accepted again and stores nothing", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    const again = replica.step(write(ballot(1), 2, value("a")));
    expect(again.answer.type).toBe("accepted");
    expect(again.effects).toEqual([]);
  });

  test("[L7] another value under the same ballot breaks an invariant", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    expect(() => replica.deliver(write(ballot(1), 2, value("b")))).toThrow(InvariantError);
  });

  test("[L8] a learned record takes an equal write and keeps its ballot", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(learn(ballot(1), 2));
    const again = replica.step(write(ballot(3), 2, value("a")));
    expect(again.answer.type).toBe("accepted");
    expect(again.effects).toMatchObject([{ type: "persist-metadata", metadata: { promised: ballot(3) } }]);
  });

  test("[L8] a stale rival of a value that catch-up brought is refused with the ballot of the choice", () => {
    const replica = voter();
    replica.deliver(catchUp([record(2, ballot(9), value("chosen"))]));
    expect(replica.deliver(write(ballot(4), 2, value("stale")))).toMatchObject({
      type: "refused",
      promised: ballot(9),
    });
    expect(replica.valueAt(2)).toEqual(value("chosen"));
    expect(replica.restart().promised.counter).toBe(0);
  });

  test("[L6] [L8] with one stale entry among several, none of the write is accepted", () => {
    const replica = voter();
    replica.deliver(catchUp([record(2, ballot(9), value("chosen"))]));
    const { effects, answer } = replica.step(write(ballot(4), 2, value("stale"), value("b")));
    expect(answer.type).toBe("refused");
    expect(effects).toEqual([]);
  });

  test("[L8] a different value under a higher ballot than the choice breaks an invariant", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(learn(ballot(1), 2));
    expect(() => replica.deliver(write(ballot(2), 2, value("b")))).toThrow(InvariantError);
    expect(replica.valueAt(2)).toEqual(value("a"));
  });
});

describe("confirms", () => {
  test("[L14] a confirm is refused below the promised ballot and taken as a promise otherwise", () => {
    const replica = voter();
    replica.deliver(promise(ballot(3)));
    expect(replica.step(confirming(ballot(2)))).toMatchObject({
      answer: { type: "refused", promised: ballot(3) },
      effects: [],
    });
    expect(replica.deliver(confirming(ballot(3))).type).toBe("confirmed");
    expect(replica.deliver(confirming(ballot(4))).type).toBe("confirmed");
    expect(replica.restart().promised).toEqual(ballot(4));
  });
});

const votes = [promise(ballot(9)), write(ballot(9), 2, NOP), confirming(ballot(9))] as const;
const messages = [...votes, read(1), learn(ballot(9), 2), catchUp([record(2, ballot(9))])] as const;

describe("who may answer", () => {
  test.each(messages)("[L11] an EMPTY replica answers $type with its status and stores nothing", (message) => {
    const { effects, answer } = new TestReplica(R1).step(message);
    expect(answer).toMatchObject({ type: "ignored", standing: { status: "empty" } });
    expect(effects).toEqual([]);
  });

  test.each(votes)("[L11] a STARTING replica answers $type with its status and stores nothing", (message) => {
    const replica = new TestReplica(R1);
    replica.deliver(start(R1));
    const { effects, answer } = replica.step(message);
    expect(answer).toMatchObject({ type: "ignored", standing: { status: "starting" } });
    expect(effects).toEqual([]);
  });

  test.each(votes)("[L11] a replica without a seat does not vote on $type", (message) => {
    const replica = new TestReplica(R1);
    replica.deliver(enlist(R1));
    replica.learned(ballot(1), { type: "membership", membership: membershipOf(R2, R3) });
    const { effects, answer } = replica.step(message);
    expect(answer).toMatchObject({
      type: "ignored",
      standing: { status: "recovering", electorate: electorateOf(1, R2, R3) },
      reason: expect.stringContaining("no seat"),
    });
    expect(effects).toEqual([]);
  });

  test.each(votes)("[L11] a seat that names another life of the storage is not this replica's: $type", (message) => {
    const replica = new TestReplica(R1);
    const stale = { seats: [{ replica: R1, incarnation: lifeOf(R1, 7) }] };
    replica.deliver(enlist(R1));
    replica.learned(ballot(1), { type: "membership", membership: stale });
    const { effects, answer } = replica.step(message);
    expect(answer).toMatchObject({ type: "ignored", standing: { status: "recovering" } });
    expect(effects).toEqual([]);
  });

  test.each(messages)("[L13] $type of another cluster is refused, and changes nothing", (message) => {
    const replica = voter();
    const { state, effects, answer } = replica.step({ ...message, clusterId: OTHER_CLUSTER });
    expect(answer).toMatchObject({ type: "foreign-cluster", standing: { clusterId: CLUSTER } });
    expect(effects).toEqual([]);
    expect(state).toEqual(replica.state);
  });

  test.each(votes)(
    "[L23] $type under an older membership is answered stale-membership, and changes nothing",
    (message) => {
      const replica = voter().learned(ballot(1), { type: "membership", membership: membershipOf(R1, R2) });
      const { state, effects, answer } = replica.step(message);
      expect(answer).toMatchObject({ type: "stale-membership", standing: { electorate: electorateOf(2, R1, R2) } });
      expect(effects).toEqual([]);
      expect(state).toEqual(replica.state);
    },
  );

  test.each(votes)("[L23] $type under a membership that is not learned here is answered behind", (message) => {
    const replica = voter();
    const { state, effects, answer } = replica.step({ ...message, membershipPosition: position(7) });
    expect(answer).toMatchObject({ type: "behind", standing: { electorate: { position: 1 } } });
    expect(effects).toEqual([]);
    expect(state).toEqual(replica.state);
  });
});
