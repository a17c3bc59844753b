import { describe, expect, test } from "vitest";
import { append } from "#log/append.ts";
import type { Ballot } from "#log/ballot.ts";
import type { ElectCall } from "#log/calls.ts";
import { elect } from "#log/elect.ts";
import { type Electorate, type Entry, position, type ReplicaId } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX, WRITE_ENTRIES_MAX } from "#log/limits.ts";
import { TestCluster } from "./cluster.ts";
import {
  ballot,
  CLUSTER,
  ELECTORATE,
  learn,
  NOP,
  OTHER_CLUSTER,
  R1,
  R2,
  R3,
  record,
  REPLICAS,
  value,
  values,
  write,
} from "./sample.ts";

const standFor = (
  cluster: TestCluster,
  under: Ballot,
  { from = 1, seeds = REPLICAS, known }: { from?: number; seeds?: readonly ReplicaId[]; known?: Electorate } = {},
) => {
  const call: ElectCall = { clusterId: CLUSTER, ballot: under, from: position(from), known };
  return cluster.call(elect(call, seeds));
};
const appendTo = (cluster: TestCluster, under: Ballot, at: number, entries: readonly Entry[]) =>
  cluster.call(append({ clusterId: CLUSTER, ballot: under, electorate: ELECTORATE, position: position(at), entries }));
const writesOf = (cluster: TestCluster) => cluster.sentOf("write").map(({ message }) => message);

describe("what an election writes", () => {
  test("[L16] the first election finds the membership and appends behind it", () => {
    const cluster = new TestCluster();
    expect(standFor(cluster, ballot(1))).toEqual({ type: "elected", electorate: ELECTORATE, begin: 1, next: 2 });
    expect(writesOf(cluster)).toEqual([]);
  });

  test("[L16] the value of the highest ballot is written again under ours, gaps become nop", () => {
    const cluster = new TestCluster();
    cluster.replica(R1).deliver(write(ballot(1), 2, value("older")));
    cluster.replica(R2).deliver(write(ballot(2), 2, value("newer")));
    cluster.replica(R2).deliver(write(ballot(2), 4, value("after a gap")));
    cluster.away.add(R3);
    expect(standFor(cluster, ballot(3))).toMatchObject({ type: "elected", next: 5 });
    for (const id of [R1, R2]) {
      expect([2, 3, 4].map((at) => cluster.replica(id).recordAt(at))).toEqual([
        record(2, ballot(3), value("newer")),
        record(3, ballot(3), NOP),
        record(4, ballot(3), value("after a gap")),
      ]);
    }
  });

  test("[L16] a learned entry is taken as it is, against a higher ballot that was never chosen", () => {
    const cluster = new TestCluster();
    cluster.replica(R1).deliver(write(ballot(1), 2, value("chosen")));
    cluster.replica(R1).deliver(learn(ballot(1), 2));
    cluster.replica(R2).deliver(write(ballot(4), 2, value("never chosen")));
    cluster.away.add(R3);
    expect(standFor(cluster, ballot(5))).toMatchObject({ type: "elected", next: 3 });
    expect(writesOf(cluster)).toEqual([]);
    expect(cluster.replica(R1).recordAt(2)).toEqual(record(2, ballot(1), value("chosen")));
  });

  test("[L16] a write that reached one replica only is adopted or lost, as the quorum saw it", () => {
    for (const [away, adopted] of [
      [R3, true],
      [R1, false],
    ] as const) {
      const cluster = new TestCluster();
      standFor(cluster, ballot(1));
      cluster.away.add(R2).add(R3);
      expect(appendTo(cluster, ballot(1), 2, [value("unanswered")])).toMatchObject({ type: "unavailable" });
      cluster.away.clear();
      cluster.away.add(away);
      expect(standFor(cluster, ballot(2))).toMatchObject({ type: "elected", next: adopted ? 3 : 2 });
      const next = adopted ? 3 : 2;
      expect(appendTo(cluster, ballot(2), next, [value("next")])).toMatchObject({ type: "appended" });
      expect(cluster.replica(R2).valueAt(2)).toEqual(value(adopted ? "unanswered" : "next"));
    }
  });

  test("[L16] more than a page and more than a write are elected in one go", () => {
    const cluster = new TestCluster();
    const last = PAGE_ENTRIES_MAX + WRITE_ENTRIES_MAX;
    for (let at = 2; at <= last; at++) cluster.replica(R2).deliver(write(ballot(1), at, value(`${at}`)));
    cluster.away.add(R1);
    expect(standFor(cluster, ballot(2))).toMatchObject({ type: "elected", next: last + 1 });
    expect(writesOf(cluster)).toHaveLength(3 * 3);
    for (const at of [2, PAGE_ENTRIES_MAX + 1, PAGE_ENTRIES_MAX + 2, last]) {
      expect(cluster.replica(R3).recordAt(at)).toEqual(record(at, ballot(2), value(`${at}`)));
    }
  });

  test("[L9] [L16] each write of an election carries the notice of the one before it", () => {
    const cluster = new TestCluster();
    for (let at = 2; at < 2 + 2 * WRITE_ENTRIES_MAX; at += 1_024) {
      cluster.replica(R2).deliver(write(ballot(1), at, ...values(1_024, at)));
    }
    cluster.away.add(R1);
    standFor(cluster, ballot(2));
    expect(writesOf(cluster).filter((_, index) => index % 3 === 0)).toMatchObject([
      { position: 2, chosenThrough: undefined },
      { position: 1_026, chosenThrough: 1_025 },
    ]);
    expect(cluster.replica(R3).state.missingFrom).toBe(1_026);
  });

  test("[L2] nothing is written before a quorum has promised", () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.replica(id).deliver(write(ballot(1), 2, value("a")));
    cluster.away.add(R2).add(R3);
    expect(standFor(cluster, ballot(2)).type).toBe("unavailable");
    expect(writesOf(cluster)).toEqual([]);
  });

  test("[L2] [L3] an election that is refused while it writes again ends there", () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.replica(id).deliver(write(ballot(1), 2, value("a")));
    cluster.before = ({ message }) => {
      if (message.type !== "write") return;
      cluster.before = () => {};
      for (const id of [R1, R2]) cluster.replica(id).deliver({ ...rival, ballot: ballot(9) });
    };
    expect(standFor(cluster, ballot(2))).toEqual({ type: "refused", promised: ballot(9) });
    expect(writesOf(cluster)).toHaveLength(3);
    expect(cluster.replica(R2).recordAt(2)).toEqual(record(2, ballot(1), value("a")));
  });
});

const rival = { type: "promise", clusterId: CLUSTER, membershipPosition: position(1), from: position(1) } as const;

describe("who may be elected", () => {
  test("[L3] a stale proposer is fenced: its append is refused and changes nothing (H3)", () => {
    const cluster = new TestCluster();
    standFor(cluster, ballot(1));
    standFor(cluster, ballot(2, "master-2"));
    expect(appendTo(cluster, ballot(1), 2, [value("stale")])).toEqual({
      type: "refused",
      promised: ballot(2, "master-2"),
    });
    for (const id of REPLICAS) expect(cluster.replica(id).state.end).toBe(1);
    expect(standFor(cluster, ballot(1))).toMatchObject({ type: "refused", promised: ballot(2, "master-2") });
  });

  test("[L17] replicas that end before what the caller applied have lost entries, and nothing is chosen", () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.replica(id).deliver(write(ballot(1), 2, value("a")));
    expect(standFor(cluster, ballot(2), { from: 4 })).toEqual({
      type: "unavailable",
      reason: expect.stringContaining("the replicas end at 2, but 3 was chosen before: the log has lost entries"),
      reachable: expect.any(Number),
      replicas: 3,
    });
    expect(writesOf(cluster)).toEqual([]);
    expect(standFor(cluster, ballot(3), { from: 3 })).toMatchObject({ type: "elected", next: 3 });
  });

  test("[L15] without a quorum an election says who is missing", () => {
    const cluster = new TestCluster();
    cluster.away.add(R2).add(R3);
    expect(standFor(cluster, ballot(1))).toEqual({
      type: "unavailable",
      reason: "1 of 3 replicas answered, 2 needed: replica-2: Error: away, replica-3: Error: away",
      reachable: 1,
      replicas: 3,
    });
  });

  test("[L15] a caller configured with one replica cannot decide alone in a cluster of three", () => {
    const cluster = new TestCluster();
    cluster.away.add(R2).add(R3);
    expect(standFor(cluster, ballot(1), { seeds: [R1] })).toMatchObject({ type: "unavailable", replicas: 3 });
  });

  test("[L13] a caller of another cluster elects nothing and raises no promise", () => {
    const cluster = new TestCluster();
    const foreign = { clusterId: OTHER_CLUSTER, ballot: ballot(9), from: position(1) };
    expect(cluster.call(elect(foreign, REPLICAS))).toMatchObject({
      type: "unavailable",
      reason: expect.stringContaining("another cluster, cluster-1"),
    });
    expect(cluster.replica(R1).state.promised.counter).toBe(0);
  });
});

describe("when nobody knows the log any more", () => {
  test("[L28] an election says what to do, and makes no new log (H8)", () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.replica(id).loseStorage();
    expect(standFor(cluster, ballot(1))).toMatchObject({
      type: "unavailable",
      reason: expect.stringContaining("no replica that answers knows the log of cluster cluster-1"),
    });
    for (const id of REPLICAS) expect(cluster.replica(id).state).toMatchObject({ end: 0, clusterId: undefined });
  });

  test("[L28] it says so too to a candidate that still knows the membership", () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.replica(id).loseStorage();
    expect(standFor(cluster, ballot(1), { known: ELECTORATE })).toMatchObject({
      type: "unavailable",
      reason: expect.stringContaining("restore it"),
    });
  });

  test("[L28] when nobody answers at all, only that is said", () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.away.add(id);
    const answer = standFor(cluster, ballot(1));
    expect(answer).toMatchObject({ type: "unavailable", reachable: 0 });
    expect(answer).toHaveProperty("reason", expect.not.stringContaining("restore"));
  });
});
