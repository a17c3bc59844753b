import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Entry, position } from "#log/entry.ts";
import {
  ballot,
  catchUp,
  electorateOf,
  learn,
  membershipOf,
  noticing,
  promise,
  R1,
  R2,
  R3,
  record,
  seating,
  TestReplica,
  value,
  values,
  write,
} from "./sample.ts";

const voter = () => new TestReplica(R1, membershipOf(R1, R2, R3));

describe("commit notices", () => {
  test("[L9] a commit notice moves over records of exactly its ballot", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(write(ballot(2), 3, value("b"), value("c")));
    expect(replica.deliver(learn(ballot(2), 4))).toMatchObject({ type: "learned", standing: { missingFrom: 2 } });
    expect(replica.deliver(learn(ballot(1), 4))).toMatchObject({ standing: { missingFrom: 3 } });
    expect(replica.deliver(learn(ballot(2), 3))).toMatchObject({ standing: { missingFrom: 4 } });
    expect(replica.deliver(learn(ballot(2), 9))).toMatchObject({ standing: { missingFrom: 5 } });
    expect(replica.restart().missingFrom).toBe(5);
  });

  test("[L9] a commit notice stops at a gap", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(write(ballot(1), 4, value("c")));
    expect(replica.deliver(learn(ballot(1), 4))).toMatchObject({ standing: { missingFrom: 3 } });
  });

  test("[L9] the same value of another ballot is not what the notice is about", () => {
    const replica = voter();
    replica.deliver(write(ballot(1, "master-1", "m"), 2, value("a")));
    expect(replica.deliver(learn(ballot(1, "master-1", "n"), 2))).toMatchObject({ standing: { missingFrom: 2 } });
  });

  test("[L9] a notice of an old ballot is a fact all the same, and raises no promise", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(promise(ballot(5)));
    expect(replica.deliver(learn(ballot(1), 2))).toMatchObject({
      type: "learned",
      standing: { missingFrom: 3, promised: ballot(5) },
    });
  });

  test("[L9] a notice comes on the next write, and both are stored together", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    const { effects, answer } = replica.step(noticing(write(ballot(1), 3, value("b")), 2));
    expect(answer).toMatchObject({ type: "accepted", standing: { missingFrom: 3, end: 3 } });
    expect(effects).toMatchObject([{ type: "persist-records", records: [{ position: 3 }], missingFrom: 3 }]);
    replica.storage.persist(effects);
    expect(replica.restart()).toMatchObject({ missingFrom: 3, end: 3 });
  });

  test("[L9] a notice on a write teaches nothing about the write itself", () => {
    const replica = voter();
    expect(replica.deliver(noticing(write(ballot(1), 2, value("a")), 2))).toMatchObject({
      type: "accepted",
      standing: { missingFrom: 2 },
    });
  });

  test("[L9] a notice on a write that is refused is still learned", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(promise(ballot(5)));
    expect(replica.deliver(noticing(write(ballot(1), 3, value("b")), 2))).toMatchObject({
      type: "refused",
      standing: { missingFrom: 3, end: 2 },
    });
    expect(replica.restart().missingFrom).toBe(3);
  });

  test("[L8] [L9] a notice on a write that turns out stale is still learned, and none of the write is kept", () => {
    const replica = voter();
    replica.deliver(write(ballot(4), 3, value("b")));
    replica.deliver(catchUp([record(2, ballot(9), value("chosen"))]));
    const answer = replica.deliver(noticing(write(ballot(4), 2, value("stale")), 3));
    expect(answer).toMatchObject({ type: "refused", promised: ballot(9), standing: { missingFrom: 4, end: 3 } });
    expect(replica.restart()).toMatchObject({ missingFrom: 4 });
    expect(replica.valueAt(2)).toEqual(value("chosen"));
  });

  test("[L8] what catch-up brought under a ballot above the promise, and a crash made merely accepted, gives way to no lower one", () => {
    const replica = voter();
    replica.deliver(catchUp([record(2, ballot(9), value("chosen"))]));
    // The watermark is stored with the records, and a newer one may be lost with a damaged row: see the storage.
    replica.state = { ...replica.state, missingFrom: position(2) };
    expect(replica.step(write(ballot(4), 2, value("stale")))).toMatchObject({
      answer: { type: "refused", promised: ballot(9) },
      effects: [],
    });
  });

  test("[L9] [L24] a notice may teach the very membership that its write goes by", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, seating(R1, R2)));
    const next = { ...noticing(write(ballot(1), 3, value("a")), 2), membershipPosition: position(2) };
    expect(replica.deliver({ ...next, chosenThrough: undefined })).toMatchObject({ type: "behind" });
    expect(replica.deliver(next)).toMatchObject({
      type: "accepted",
      standing: { electorate: electorateOf(2, R1, R2), missingFrom: 3, end: 3 },
    });
  });

  test("[L9] what was accepted last is learned without reading it, and not taken for more than it is", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a"), value("b")));
    replica.deliver(write(ballot(1), 4, value("c")));
    replica.deliver(write(ballot(2), 3, value("B")));
    expect(replica.deliver(learn(ballot(1), 4)).standing.missingFrom).toBe(3);
    expect(replica.deliver(learn(ballot(2), 4)).standing.missingFrom).toBe(4);
    expect(replica.deliver(learn(ballot(1), 4)).standing.missingFrom).toBe(5);
  });

  test("[L9] [L10] catch-up in between takes nothing from what a notice teaches, and adds nothing to it", () => {
    for (const isRestarted of [true, false]) {
      const replica = voter();
      replica.deliver(write(ballot(1), 2, ...values(4)));
      replica.deliver(catchUp([record(2, ballot(5), value("other")), record(3, ballot(5), value("other"))]));
      if (isRestarted) replica.restart();
      expect(replica.deliver(learn(ballot(1), 4)).standing.missingFrom).toBe(5);
      expect(replica.valueAt(3)).toEqual(value("other"));
      expect(replica.deliver(learn(ballot(1), 9)).standing.missingFrom).toBe(6);
    }
  });

  test("[L9] [L24] [L25] entries that change the replica itself are always looked at", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a"), { type: "truncate", to: position(2) }, seating(R1, R2)));
    replica.deliver(learn(ballot(1), 4));
    expect(replica.restart()).toMatchObject({ begin: 2, electorate: electorateOf(4, R1, R2), missingFrom: 5 });
  });

  test("[L9] a notice of more than a page is learned at once", () => {
    const replica = voter();
    for (let at = 2; at < 5_002; at += 1_000) replica.deliver(write(ballot(1), at, ...values(1_000)));
    expect(replica.deliver(learn(ballot(1), 5_001))).toMatchObject({ standing: { missingFrom: 5_002 } });
  });
});

describe("catch-up", () => {
  test("[L10] it is taken from the first missing position on and replaces what was only accepted", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("never chosen")));
    const gapped = replica.deliver(catchUp([record(3, ballot(2), value("b"))]));
    expect(gapped).toMatchObject({ type: "learned", standing: { missingFrom: 2 } });
    const both = [record(2, ballot(2), value("a")), record(3, ballot(2), value("b"))];
    expect(replica.deliver(catchUp(both))).toMatchObject({ type: "learned", standing: { missingFrom: 4, end: 3 } });
    expect([2, 3].map((at) => replica.recordAt(at))).toEqual(both);
    expect(replica.restart()).toMatchObject({ missingFrom: 4, promised: ballot(1) });
  });

  test("[L10] it stops at a gap within the page", () => {
    const replica = voter();
    const given = [2, 4].map((at) => record(at, ballot(2)));
    expect(replica.deliver(catchUp(given))).toMatchObject({ standing: { missingFrom: 3, end: 2 } });
  });

  test("[L8] [L10] it never changes what is learned, and writes it no second time", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a")));
    replica.deliver(learn(ballot(1), 2));
    const { effects } = replica.step(catchUp([record(2, ballot(2), value("b")), record(3, ballot(2))]));
    expect(effects).toMatchObject([{ type: "persist-records", records: [{ position: 3 }], missingFrom: 4 }]);
    replica.storage.persist(effects);
    expect(replica.valueAt(2)).toEqual(value("a"));
  });

  test("[L10] what was accepted behind it stays accepted, and is not learned by it", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a"), value("b"), value("c")));
    expect(replica.deliver(catchUp([record(2, ballot(2), value("A"))]))).toMatchObject({
      standing: { missingFrom: 3, end: 4 },
    });
    expect(replica.recordAt(4)).toEqual(record(4, ballot(1), value("c")));
  });
});

describe("against a slow second implementation", () => {
  interface Slow {
    readonly records: Map<number, { readonly counter: number; readonly entry: Entry }>;
    missingFrom: number;
    promised: number;
  }
  const entries = fc.array(fc.constantFrom("a", "b", "c").map(value), { minLength: 1, maxLength: 4 });
  const at = fc.integer({ min: 2, max: 9 });
  const counter = fc.integer({ min: 1, max: 4 });
  const input = fc.oneof(
    fc.record({ type: fc.constant("write" as const), at, counter, count: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ type: fc.constant("learn" as const), at, counter }),
    fc.record({ type: fc.constant("catch-up" as const), at, counter, entries }),
  );
  // One ballot writes one value at a position: the value follows from both.
  const valueOf = (under: number, place: number): Entry => value(`${under}@${place}`);

  test("[L6] [L9] [L10] the same records are held, and the same prefix is learned", () => {
    fc.assert(
      fc.property(fc.array(input, { maxLength: 25 }), (inputs) => {
        const replica = voter();
        const slow: Slow = { records: new Map(), missingFrom: 2, promised: 0 };
        for (const one of inputs) {
          if (one.counter === 4) replica.restart();
          const first = one.at;
          if (one.type === "write") {
            // What is learned is chosen; a coordinator writes there only what it has seen to be chosen. Leave it out.
            if (first < slow.missingFrom) continue;
            const given = Array.from({ length: one.count }, (_, index) => valueOf(one.counter, first + index));
            replica.deliver(write(ballot(one.counter), first, ...given));
            if (one.counter < slow.promised) continue;
            slow.promised = one.counter;
            for (const [index, entry] of given.entries()) {
              slow.records.set(first + index, { counter: one.counter, entry });
            }
          } else if (one.type === "learn") {
            replica.deliver(learn(ballot(one.counter), first));
            for (let place = slow.missingFrom; place <= first; place++) {
              if (slow.records.get(place)?.counter !== one.counter) break;
              slow.missingFrom = place + 1;
            }
          } else {
            const given = one.entries.map((entry, index) => record(first + index, ballot(one.counter), entry));
            replica.deliver(catchUp(given));
            for (const { position: place, entry } of given) {
              if (place !== slow.missingFrom) continue;
              slow.records.set(place, { counter: one.counter, entry });
              slow.missingFrom = place + 1;
            }
          }
        }
        const held = Array.from({ length: 14 }, (_, index) => replica.recordAt(index + 2));
        expect(held.map((found) => found && { counter: found.performed.counter, entry: found.entry })).toEqual(
          held.map((_, index) => slow.records.get(index + 2)),
        );
        expect(replica.restart()).toMatchObject({ missingFrom: slow.missingFrom });
        expect(replica.state.promised.counter).toBe(slow.promised);
      }),
    );
  });
});
