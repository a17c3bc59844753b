import { describe, expect, test } from "vitest";
import { InvariantError } from "#base/assert.ts";
import { position } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX, WRITE_ENTRIES_MAX } from "#log/limits.ts";
import { step } from "#log/replica.ts";
import { ballot, CLUSTER, HEADER, learn, NOP, promise, R1, read, TestReplica, value, write } from "./sample.ts";

describe("promises", () => {
  test("[L4] a promise is stored before it is answered", () => {
    const replica = new TestReplica(R1);
    const { effects, answer } = step(replica.state, promise(ballot(1)), replica.storage);
    expect(answer.type).toBe("promised");
    expect(effects).toMatchObject([{ type: "persist-metadata", metadata: { promised: ballot(1) } }]);
  });

  test("[L5] a promise below the promised ballot is refused and nothing is written", () => {
    const replica = new TestReplica(R1);
    replica.deliver(promise(ballot(5)));
    const { state, effects, answer } = step(replica.state, promise(ballot(4)), replica.storage);
    expect(answer).toMatchObject({ type: "refused", promised: ballot(5) });
    expect(effects).toEqual([]);
    expect(state).toBe(replica.state);
  });

  test("[L5] the same ballot again gets the same answer and writes nothing", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("a")));
    const first = replica.deliver(promise(ballot(2)));
    const again = step(replica.state, promise(ballot(2)), replica.storage);
    expect(again.answer).toEqual(first);
    expect(again.effects).toEqual([]);
  });

  test.each([
    ["a higher candidate", ballot(3, "master-2"), "promised"],
    ["a lower candidate", ballot(3, "master-0"), "refused"],
    ["another instance with a higher nonce", ballot(3, "master-1", "o"), "promised"],
    ["another instance with a lower nonce", ballot(3, "master-1", "m"), "refused"],
  ])("[L5] with equal counters %s decides", (_name, under, type) => {
    const replica = new TestReplica(R1);
    replica.deliver(promise(ballot(3)));
    expect(replica.deliver(promise(under)).type).toBe(type);
  });

  test("[L5] the answer brings the accepted records from the asked position on", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("a"), value("b"), value("c")));
    expect(replica.deliver(promise(ballot(2), 3))).toMatchObject({
      type: "promised",
      standing: { promised: ballot(2), end: 4, missingFrom: 2 },
      page: {
        records: [
          { position: 3, performed: ballot(1), entry: value("b") },
          { position: 4, performed: ballot(1), entry: value("c") },
        ],
        next: undefined,
      },
    });
  });

  test("[L5] what does not fit a page is offered from the next position on", () => {
    const replica = new TestReplica(R1);
    let at = 2;
    while (at <= PAGE_ENTRIES_MAX + 1) {
      const entries = Array.from({ length: WRITE_ENTRIES_MAX }, (_, index) => value(`${at + index}`));
      replica.deliver(write(ballot(1), at, ...entries));
      at += entries.length;
    }
    const answer = replica.deliver(promise(ballot(2)));
    expect(answer).toMatchObject({ page: { next: PAGE_ENTRIES_MAX + 1 } });
    expect(replica.deliver(promise(ballot(2), PAGE_ENTRIES_MAX + 1))).toMatchObject({ page: { next: undefined } });
  });
});

describe("writes", () => {
  test("[L6] a write below the promised ballot is refused and nothing is written", () => {
    const replica = new TestReplica(R1);
    replica.deliver(promise(ballot(5)));
    const { effects, answer } = step(replica.state, write(ballot(4), 2, value("a")), replica.storage);
    expect(answer).toMatchObject({ type: "refused", promised: ballot(5) });
    expect(effects).toEqual([]);
  });

  test("[L6] a write at the promised ballot is accepted, and so is one above it, which raises the promise (H1)", () => {
    const replica = new TestReplica(R1);
    replica.deliver(promise(ballot(5)));
    expect(replica.deliver(write(ballot(5), 2, value("a"))).type).toBe("accepted");
    expect(replica.deliver(write(ballot(7), 2, value("b"))).type).toBe("accepted");
    expect(replica.stored().promised).toEqual(ballot(7));
    expect(replica.deliver(write(ballot(6), 2, value("c")))).toMatchObject({ type: "refused", promised: ballot(7) });
    expect(replica.valueAt(2)).toEqual(value("b"));
  });

  test("[L6] all entries of a write are stored together, and a gap before them stays a gap", () => {
    const replica = new TestReplica(R1);
    const { effects } = step(replica.state, write(ballot(1), 5, value("a"), NOP), replica.storage);
    expect(effects).toMatchObject([
      { type: "persist-records", records: [{ position: 5 }, { position: 6 }] },
      { type: "persist-metadata" },
    ]);
    replica.storage.persist(effects);
    expect(replica.stored()).toMatchObject({ end: 6, missingFrom: 2 });
    expect(replica.valueAt(4)).toBeUndefined();
  });

  test("[L7] the same write again is accepted again and stores nothing", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("a")));
    const again = step(replica.state, write(ballot(1), 2, value("a")), replica.storage);
    expect(again.answer.type).toBe("accepted");
    expect(again.effects).toEqual([]);
  });

  test("[L7] another value under the same ballot breaks an invariant", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("a")));
    expect(() => replica.deliver(write(ballot(1), 2, value("b")))).toThrow(InvariantError);
  });

  test("[L8] a learned record takes an equal write and keeps its ballot", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(learn(ballot(1), 2));
    const again = step(replica.state, write(ballot(3), 2, value("a")), replica.storage);
    expect(again.answer.type).toBe("accepted");
    expect(again.effects).toMatchObject([{ type: "persist-metadata", metadata: { promised: ballot(3) } }]);
  });

  test("[L8] a stale rival of a value that catch-up brought is refused with the ballot of the choice", () => {
    const replica = new TestReplica(R1);
    const records = [{ position: position(2), performed: ballot(9), entry: value("chosen") }];
    replica.deliver({ ...HEADER, type: "catch-up", records });
    expect(replica.deliver(write(ballot(4), 2, value("stale")))).toMatchObject({
      type: "refused",
      promised: ballot(9),
    });
    expect(replica.valueAt(2)).toEqual(value("chosen"));
  });

  test("[L8] a different value under a higher ballot than the choice breaks an invariant", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(learn(ballot(1), 2));
    expect(() => replica.deliver(write(ballot(2), 2, value("b")))).toThrow(InvariantError);
  });
});

const record = (at: number, data: string) => ({ position: position(at), performed: ballot(2), entry: value(data) });

describe("learning", () => {
  test("[L9] a commit notice moves over records of exactly its ballot", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(write(ballot(2), 3, value("b"), value("c")));
    expect(replica.deliver(learn(ballot(2), 4))).toMatchObject({ type: "learned", standing: { missingFrom: 2 } });
    expect(replica.deliver(learn(ballot(1), 4))).toMatchObject({ standing: { missingFrom: 3 } });
    expect(replica.deliver(learn(ballot(2), 3))).toMatchObject({ standing: { missingFrom: 4 } });
    expect(replica.deliver(learn(ballot(2), 9))).toMatchObject({ standing: { missingFrom: 5 } });
    expect(replica.stored().missingFrom).toBe(5);
  });

  test("[L9] a commit notice stops at a gap", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 3, value("b")));
    expect(replica.deliver(learn(ballot(1), 3))).toMatchObject({ standing: { missingFrom: 2 } });
  });

  test("[L10] catch-up is taken from the first missing position on and replaces what was only accepted", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("never chosen")));
    const gapped = replica.deliver({ ...HEADER, type: "catch-up", records: [record(3, "b")] });
    expect(gapped).toMatchObject({ type: "learned", standing: { missingFrom: 2 } });
    const taken = replica.deliver({ ...HEADER, type: "catch-up", records: [record(2, "a"), record(3, "b")] });
    expect(taken).toMatchObject({ type: "learned", standing: { missingFrom: 4, end: 3 } });
    expect(replica.valueAt(2)).toEqual(value("a"));
    expect(replica.stored().promised).toEqual(ballot(1));
  });

  test("[L10] catch-up never changes what is learned", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(learn(ballot(1), 2));
    const records = [{ position: position(2), performed: ballot(2), entry: value("b") }];
    replica.deliver({ ...HEADER, type: "catch-up", records });
    expect(replica.valueAt(2)).toEqual(value("a"));
  });
});

describe("who may answer", () => {
  const messages = [
    promise(ballot(9)),
    write(ballot(9), 2, NOP),
    read(1),
    { ...HEADER, type: "confirm", ballot: ballot(9) },
  ] as const;

  test.each(messages)("[L11] an EMPTY replica answers $type with its status and stores nothing", (message) => {
    const replica = new TestReplica(R1, "empty");
    const { effects, answer } = step(replica.state, message, replica.storage);
    expect(answer).toMatchObject({ type: "ignored", standing: { status: "empty" } });
    expect(effects).toEqual([]);
  });

  test.each(messages)("[L11] a RECOVERING replica answers $type with its status and stores nothing", (message) => {
    const replica = new TestReplica(R1);
    const { effects, answer } = step({ ...replica.state, status: "recovering" }, message, replica.storage);
    expect(answer).toMatchObject({ type: "ignored", standing: { status: "recovering" } });
    expect(effects).toEqual([]);
  });

  test.each(messages)("[L11] a replica outside the membership does not vote on $type", (message) => {
    const replica = new TestReplica(R1);
    const state = { ...replica.state, membership: { replicas: [] } };
    expect(step(state, message, replica.storage).answer.type).toBe("ignored");
  });

  test.each(messages)("[L13] $type of another cluster is refused", (message) => {
    const replica = new TestReplica(R1);
    const foreign = { ...message, clusterId: "cluster-2" as typeof CLUSTER };
    expect(replica.deliver(foreign)).toMatchObject({ type: "foreign-cluster", standing: { clusterId: CLUSTER } });
    expect(replica.state.end).toBe(1);
  });

  test.each(messages)("[L13] $type under an older membership is refused", (message) => {
    const replica = new TestReplica(R1);
    const state = { ...replica.state, membershipPosition: position(7) };
    expect(step(state, message, replica.storage)).toMatchObject({
      answer: { type: "stale-membership", standing: { membershipPosition: 7 } },
      effects: [],
    });
  });

  test("[L12] a damaged record makes the replica RECOVERING and is never served", () => {
    const replica = new TestReplica(R1);
    replica.deliver(write(ballot(1), 2, value("a"), value("b")));
    replica.deliver(learn(ballot(1), 3));
    replica.storage.damage(position(3));
    expect(replica.deliver(promise(ballot(2), 1))).toMatchObject({
      type: "ignored",
      standing: { status: "recovering" },
    });
    expect(replica.stored()).toMatchObject({ status: "recovering", missingFrom: 3, promised: ballot(1) });
    const records = [{ position: position(3), performed: ballot(1), entry: value("b") }];
    expect(replica.deliver({ ...HEADER, type: "catch-up", records })).toMatchObject({ standing: { missingFrom: 4 } });
    expect(replica.valueAt(3)).toEqual(value("b"));
  });

  test("[L14] a confirm is refused below the promised ballot and taken as a promise otherwise", () => {
    const replica = new TestReplica(R1);
    replica.deliver(promise(ballot(3)));
    const confirm = (counter: number) => replica.deliver({ ...HEADER, type: "confirm", ballot: ballot(counter) });
    expect(confirm(2)).toMatchObject({ type: "refused", promised: ballot(3) });
    expect(confirm(3).type).toBe("confirmed");
    expect(confirm(4).type).toBe("confirmed");
    expect(replica.stored().promised).toEqual(ballot(4));
  });
});
