import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { append } from "#log/append.ts";
import { elect } from "#log/elect.ts";
import { type Electorate, type Entry, position, type ReplicaId } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX } from "#log/limits.ts";
import { read } from "#log/read.ts";
import { TestCluster } from "./cluster.ts";
import {
  ballot,
  catchUp,
  CLUSTER,
  ELECTORATE,
  electorateOf,
  enlist,
  learn,
  MEMBERSHIP,
  named,
  OTHER_CLUSTER,
  R1,
  R2,
  R3,
  R4,
  record,
  REPLICAS,
  seating,
  tombstone,
  truncateTo,
  value,
  values,
  write,
} from "./sample.ts";

interface Asked {
  readonly from?: number;
  readonly to?: number;
  readonly entriesMax?: number;
  readonly known?: Electorate;
  readonly seeds?: readonly ReplicaId[];
}
const readFrom = (cluster: TestCluster, { from = 1, to, entriesMax = 100, known, seeds = REPLICAS }: Asked = {}) => {
  const bounds = to === undefined ? {} : { to: position(to) };
  return cluster.call(read({ clusterId: CLUSTER, from: position(from), entriesMax, known, ...bounds }, seeds));
};
const appended = (...entries: readonly Entry[]) => {
  const cluster = new TestCluster();
  cluster.call(elect({ clusterId: CLUSTER, ballot: ballot(1), from: position(1) }, REPLICAS));
  const call = { clusterId: CLUSTER, ballot: ballot(1), electorate: ELECTORATE, position: position(2), entries };
  cluster.call(append(call));
  cluster.forget();
  return cluster;
};
const membershipEntry = { position: 1, entry: { type: "membership", membership: MEMBERSHIP } };

describe("reading", () => {
  test("[L18] a read raises no promise and shows the chosen prefix", () => {
    const cluster = appended(value("a"), value("b"), value("c"));
    const before = cluster.replica(R1).state;
    expect(readFrom(cluster, { from: 2, entriesMax: 2 })).toEqual({
      type: "entries",
      begin: 1,
      decidedTo: 4,
      end: 4,
      entries: [
        { position: 2, entry: value("a") },
        { position: 3, entry: value("b") },
      ],
    });
    expect(readFrom(cluster, { from: 2, to: 2 })).toMatchObject({ decidedTo: 3, entries: [{ position: 2 }] });
    expect(cluster.replica(R1).state).toBe(before);
  });

  test("[L18] what one replica has learned takes no quorum", () => {
    const cluster = appended(value("a"));
    for (const id of [R2, R3]) cluster.away.add(id);
    expect(readFrom(cluster)).toMatchObject({ entries: [membershipEntry], decidedTo: 2, end: 2 });
    cluster.replica(R1).deliver(learn(ballot(1), 2));
    expect(readFrom(cluster)).toMatchObject({ decidedTo: 3 });
  });

  test("[L18] one replica that has it is enough to ask: a page is one message", () => {
    const cluster = appended(...values(1_000));
    for (const id of REPLICAS) cluster.replica(id).deliver(learn(ballot(1), 1_001));
    readFrom(cluster, { entriesMax: PAGE_ENTRIES_MAX });
    expect(cluster.sent).toHaveLength(1);
  });

  test("[L18] accepted by a quorum under one ballot is chosen, learned or not", () => {
    const cluster = new TestCluster();
    for (const id of [R1, R2]) cluster.replica(id).deliver(write(ballot(1), 2, value("a")));
    expect(readFrom(cluster, { from: 2 })).toMatchObject({ decidedTo: 3, entries: [{ entry: value("a") }] });
  });

  test("[L18] the same value under different ballots, or at one replica, is undecided", () => {
    const cluster = new TestCluster();
    cluster.replica(R1).deliver(write(ballot(1), 2, value("a")));
    cluster.replica(R2).deliver(write(ballot(2), 2, value("a")));
    expect(readFrom(cluster, { from: 2 })).toEqual({ type: "entries", begin: 1, decidedTo: 2, end: 2, entries: [] });
  });

  test("[L18] what follows a gap is undecided", () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.replica(id).deliver(write(ballot(1), 3, value("b")));
    expect(readFrom(cluster, { from: 2 })).toMatchObject({ decidedTo: 2, end: 3, entries: [] });
  });

  test("[L18] without a quorum there is no read of what nobody has learned", () => {
    const cluster = appended(value("a"));
    cluster.away.add(R2).add(R3);
    expect(readFrom(cluster, { from: 2 })).toMatchObject({ type: "unavailable", reachable: 1, replicas: 3 });
  });

  test("[L11] [L18] records of a replica without a seat are no votes", () => {
    const cluster = new TestCluster(REPLICAS, [R4]);
    cluster.replica(R1).deliver(write(ballot(1), 2, value("a")));
    cluster.replica(R3).loseStorage();
    cluster.replica(R3).deliver(enlist(R3));
    cluster.replica(R3).deliver(catchUp([record(1, ballot(0, "", ""), seating(...REPLICAS))]));
    cluster.away.add(R2);
    expect(readFrom(cluster, { from: 2 })).toMatchObject({
      type: "unavailable",
      reason: expect.stringContaining("recovering: its records are no votes"),
    });
  });

  test("[L18] [L24] entries behind an undecided membership are for its members to show", () => {
    const cluster = new TestCluster();
    for (const id of [R1, R2]) cluster.replica(id).deliver(write(ballot(1), 2, seating(R1, R4), value("not ours")));
    expect(readFrom(cluster, { from: 2 })).toMatchObject({ decidedTo: 3, entries: [{ entry: seating(R1, R4) }] });
  });

  test("[L15] [L18] a read follows the newest membership from old names on", () => {
    const cluster = new TestCluster();
    for (const id of [R1, R2]) cluster.replica(id).learned(ballot(1), seating(R1, R2));
    for (const id of [R1, R2]) cluster.replica(id).deliver({ ...write(ballot(1), 3, value("a")), ...under(2) });
    cluster.away.add(R1);
    expect(readFrom(cluster, { from: 3, seeds: [R3, R2] })).toMatchObject({ type: "unavailable", replicas: 2 });
    cluster.away.clear();
    expect(readFrom(cluster, { from: 3, seeds: [R3, R2] })).toMatchObject({ decidedTo: 4 });
    expect(readFrom(cluster, { from: 3, known: electorateOf(2, R1, R2) })).toMatchObject({ decidedTo: 4 });
  });

  test("[L13] a read by another cluster shows nothing", () => {
    const cluster = appended(value("a"));
    const call = { clusterId: OTHER_CLUSTER, from: position(1), entriesMax: 10 };
    expect(cluster.call(read(call, REPLICAS))).toMatchObject({ type: "unavailable" });
  });
});

const under = (membershipPosition: number) => ({ membershipPosition: position(membershipPosition) });

describe("reading a log whose beginning is truncated", () => {
  const truncated = () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.replica(id).learned(ballot(1), ...values(8, 2), truncateTo(6));
    return cluster;
  };

  test("[L18] [L25] truncated positions are left out, and `begin` says so (H10)", () => {
    for (const from of [1, 3, 6]) {
      expect(readFrom(truncated(), { from })).toMatchObject({
        begin: 6,
        decidedTo: 11,
        end: 10,
        entries: [{ position: 6 }, { position: 7 }, { position: 8 }, { position: 9 }, { position: 10 }],
      });
    }
  });

  test("[L18] a reader from within is not disturbed", () => {
    expect(readFrom(truncated(), { from: 8, entriesMax: 2 })).toMatchObject({ begin: 6, decidedTo: 10 });
  });

  test("[L18] [L25] of replicas that have truncated differently, any answer is a prefix from its own begin on", () => {
    const cluster = truncated();
    const lagging = cluster.replica(R1);
    lagging.loseStorage();
    lagging.deliver(enlist(R1));
    lagging.deliver(catchUp([record(8, ballot(1), value("8"))], tombstone(8)));
    expect(readFrom(cluster, { from: 2, entriesMax: 1 })).toMatchObject({
      begin: 8,
      decidedTo: 9,
      entries: [{ position: 8 }],
    });
  });
});

describe("against a slow second implementation", () => {
  /** For each replica, a counter of the ballot under which it accepted each position, 0 for none; and what it learned. */
  const logs = fc.array(
    fc.record({ counters: fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 5 }), isAway: fc.boolean() }),
    { minLength: 1, maxLength: 4 },
  );

  test("[L18] the prefix that is read is what a quorum accepted under one ballot, and all of it when everybody answers", () => {
    fc.assert(
      fc.property(logs, (given) => {
        const ids = given.map((_, index) => named(index + 1));
        const cluster = new TestCluster(ids);
        for (const [index, { counters, isAway }] of given.entries()) {
          const id = named(index + 1);
          // Lower ballots first: a higher one fences them.
          for (const counter of [1, 2]) {
            for (const [offset, accepted] of counters.entries()) {
              if (accepted !== counter) continue;
              cluster.replica(id).deliver(write(ballot(counter), offset + 2, value(`${counter}`)));
            }
          }
          if (isAway) cluster.away.add(id);
        }
        const answer = readFrom(cluster, { from: 2, seeds: ids });
        const quorum = Math.floor(ids.length / 2) + 1;
        const holders = (at: number, counter: number) =>
          given.filter(({ counters }) => counters[at - 2] === counter).length;
        const isChosen = (at: number, counter: number) => holders(at, counter) >= quorum;
        if (answer.type === "unavailable") {
          expect(given.filter(({ isAway }) => !isAway).length).toBeLessThan(quorum);
          return;
        }
        for (const { position: at, entry } of answer.entries) {
          expect(entry.type === "append" && isChosen(at, Number(entry.data))).toBe(true);
        }
        expect(answer.decidedTo).toBe(2 + answer.entries.length);
        // Two votes out of two or three must be the same two; with one member its vote is everything.
        if (ids.length > 2) return;
        let chosen = 2;
        while (isChosen(chosen, 1) || isChosen(chosen, 2)) chosen += 1;
        expect(answer.decidedTo).toBe(chosen);
      }),
    );
  });
});
