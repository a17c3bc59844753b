import { describe, expect, test } from "vitest";
import { append } from "#log/append.ts";
import type { Ballot } from "#log/ballot.ts";
import { confirm } from "#log/confirm.ts";
import { elect } from "#log/elect.ts";
import { type Entry, position, type ReplicaId } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX, WRITE_ENTRIES_MAX } from "#log/limits.ts";
import { read } from "#log/read.ts";
import { TestCluster } from "./cluster.ts";
import { ballot, CLUSTER, learn, MEMBERSHIP, NOP, R1, R2, R3, REPLICAS, value, write } from "./sample.ts";

const standFor = (cluster: TestCluster, under: Ballot, from = 1, seeds: readonly ReplicaId[] = REPLICAS) =>
  cluster.call(elect({ clusterId: CLUSTER, ballot: under, from: position(from) }, seeds));
const appendTo = (cluster: TestCluster, under: Ballot, at: number, entries: readonly Entry[]) =>
  cluster.call(
    append(
      { clusterId: CLUSTER, ballot: under, membershipPosition: position(1), position: position(at), entries },
      REPLICAS,
    ),
  );
const readFrom = (cluster: TestCluster, from = 1, entriesMax = 100) =>
  cluster.call(read({ clusterId: CLUSTER, from: position(from), entriesMax }, REPLICAS));
const membershipEntry = { position: 1, entry: { type: "membership", membership: MEMBERSHIP } };

describe("elections", () => {
  test("[L16] the first election finds the membership and appends behind it", () => {
    const cluster = new TestCluster();
    expect(standFor(cluster, ballot(1))).toEqual({
      type: "elected",
      membership: MEMBERSHIP,
      membershipPosition: 1,
      next: 2,
      entries: [membershipEntry],
    });
  });

  test("[L16] the value of the highest ballot is written again under ours, gaps become nop", () => {
    const cluster = new TestCluster();
    cluster.replica(R1).deliver(write(ballot(1), 2, value("older")));
    cluster.replica(R2).deliver(write(ballot(2), 2, value("newer")));
    cluster.replica(R2).deliver(write(ballot(2), 4, value("after a gap")));
    cluster.away.add(R3);
    const elected = standFor(cluster, ballot(3));
    expect(elected).toMatchObject({
      type: "elected",
      next: 5,
      entries: [
        membershipEntry,
        { position: 2, entry: value("newer") },
        { position: 3, entry: NOP },
        { position: 4, entry: value("after a gap") },
      ],
    });
    expect(cluster.replica(R1).valueAt(2)).toEqual(value("newer"));
    expect(cluster.replica(R1).state).toMatchObject({ missingFrom: 5, end: 4 });
  });

  test("[L16] a learned entry is taken as it is, against a higher ballot that was never chosen", () => {
    const cluster = new TestCluster();
    cluster.replica(R1).deliver(write(ballot(1), 2, value("chosen")));
    cluster.replica(R1).deliver(learn(ballot(1), 2));
    cluster.sent.length = 0;
    cluster.away.add(R3);
    expect(standFor(cluster, ballot(5))).toMatchObject({
      next: 3,
      entries: [membershipEntry, { entry: value("chosen") }],
    });
    expect(cluster.sent.filter(({ message }) => message.type === "write")).toEqual([]);
    expect(cluster.replica(R2).valueAt(2)).toEqual(value("chosen"));
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
      expect(appendTo(cluster, ballot(2), adopted ? 3 : 2, [value("next")])).toEqual({ type: "appended" });
      cluster.away.clear();
      expect(readFrom(cluster, adopted ? 3 : 2)).toMatchObject({ entries: [{ entry: value("next") }] });
    }
  });

  test("[L16] more than a page and more than a write are elected in one go", () => {
    const cluster = new TestCluster();
    const last = PAGE_ENTRIES_MAX + WRITE_ENTRIES_MAX;
    for (let at = 2; at <= last; at++) cluster.replica(R2).deliver(write(ballot(1), at, value(`${at}`)));
    cluster.away.add(R1);
    const elected = standFor(cluster, ballot(2));
    expect(elected).toMatchObject({ type: "elected", next: last + 1 });
    expect(elected.type === "elected" && elected.entries.at(-1)).toEqual({ position: last, entry: value(`${last}`) });
    expect(cluster.replica(R3).state.missingFrom).toBe(last + 1);
  });

  test("[L16] only what the caller has not applied is brought", () => {
    const cluster = new TestCluster();
    standFor(cluster, ballot(1));
    appendTo(cluster, ballot(1), 2, [value("a"), value("b")]);
    expect(standFor(cluster, ballot(2), 3)).toMatchObject({ next: 4, entries: [{ position: 3, entry: value("b") }] });
    expect(standFor(cluster, ballot(3), 4)).toMatchObject({ next: 4, entries: [] });
  });

  test("[L17] replicas that end before what the caller applied have lost entries", () => {
    const cluster = new TestCluster();
    expect(standFor(cluster, ballot(1), 9)).toMatchObject({
      type: "unavailable",
      reason: expect.stringContaining("the log has lost entries"),
    });
  });

  test("[L3] a stale proposer is fenced: its append is refused and changes nothing", () => {
    const cluster = new TestCluster();
    standFor(cluster, ballot(1));
    standFor(cluster, ballot(2, "master-2"));
    expect(appendTo(cluster, ballot(1), 2, [value("stale")])).toMatchObject({
      type: "refused",
      promised: ballot(2, "master-2"),
    });
    expect(readFrom(cluster)).toMatchObject({ decidedTo: 2, end: 1 });
    expect(standFor(cluster, ballot(1))).toMatchObject({ type: "refused", promised: ballot(2, "master-2") });
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
    expect(standFor(cluster, ballot(1), 1, [R1])).toMatchObject({ type: "unavailable", replicas: 3 });
  });

  test("[L13] a caller of another cluster elects nothing and raises no promise", () => {
    const cluster = new TestCluster();
    const foreign = { clusterId: "cluster-2" as typeof CLUSTER, ballot: ballot(9), from: position(1) };
    const answer = cluster.call(elect(foreign, REPLICAS));
    expect(answer).toMatchObject({
      type: "unavailable",
      reason: expect.stringContaining("another cluster, cluster-1"),
    });
    expect(cluster.replica(R1).state.promised.counter).toBe(0);
  });

  test("[L22] a replica that lost its storage does not help to a quorum", () => {
    const cluster = new TestCluster();
    cluster.replica(R2).forgetEverything();
    cluster.away.add(R3);
    expect(standFor(cluster, ballot(1))).toMatchObject({
      type: "unavailable",
      reason: expect.stringContaining("replica-2: empty: it belongs to no cluster"),
    });
  });
});

describe("appending", () => {
  test("[L6] many entries are one write a replica, and all are learned afterwards", () => {
    const cluster = new TestCluster();
    standFor(cluster, ballot(1));
    cluster.sent.length = 0;
    const entries = Array.from({ length: WRITE_ENTRIES_MAX }, (_, index) => value(`${index}`));
    expect(appendTo(cluster, ballot(1), 2, entries)).toEqual({ type: "appended" });
    expect(cluster.sent.filter(({ message }) => message.type === "write")).toHaveLength(3);
    for (const id of REPLICAS) expect(cluster.replica(id).state.missingFrom).toBe(2 + WRITE_ENTRIES_MAX);
  });

  test("[L19] a replica that was away is caught up after the next append", () => {
    const cluster = new TestCluster();
    standFor(cluster, ballot(1));
    cluster.away.add(R3);
    for (let at = 2; at < 12; at++) appendTo(cluster, ballot(1), at, [value(`${at}`)]);
    cluster.away.clear();
    appendTo(cluster, ballot(1), 12, [value("12")]);
    expect(cluster.replica(R3).state).toMatchObject({ missingFrom: 13, end: 12 });
    expect(cluster.replica(R3).valueAt(5)).toEqual(value("5"));
  });

  test("[L14] a leader stays confirmed while the minority that is away changes", () => {
    const cluster = new TestCluster();
    const ask = () => cluster.call(confirm({ clusterId: CLUSTER, ballot: ballot(1) }, REPLICAS));
    cluster.away.add(R3);
    standFor(cluster, ballot(1));
    expect(ask()).toEqual({ type: "confirmed" });
    cluster.away.clear();
    cluster.away.add(R2);
    expect(ask()).toEqual({ type: "confirmed" });
    standFor(cluster, ballot(2));
    expect(ask()).toMatchObject({ type: "refused", promised: ballot(2) });
    cluster.away.add(R1).add(R3);
    expect(ask()).toMatchObject({ type: "unavailable", reachable: 0 });
  });
});

describe("reading", () => {
  test("[L18] a read raises no promise and shows the chosen prefix", () => {
    const cluster = new TestCluster();
    standFor(cluster, ballot(1));
    appendTo(cluster, ballot(1), 2, [value("a"), value("b"), value("c")]);
    const before = cluster.replica(R1).state;
    expect(readFrom(cluster, 2, 2)).toMatchObject({
      type: "entries",
      begin: 1,
      decidedTo: 4,
      end: 4,
      entries: [{ entry: value("a") }, { entry: value("b") }],
    });
    expect(cluster.replica(R1).state).toBe(before);
  });

  test("[L18] accepted by a quorum under one ballot is chosen, learned or not", () => {
    const cluster = new TestCluster();
    for (const id of [R1, R2]) cluster.replica(id).deliver(write(ballot(1), 2, value("a")));
    expect(readFrom(cluster)).toMatchObject({ decidedTo: 3 });
  });

  test("[L18] the same value under different ballots, or at one replica, is undecided", () => {
    const cluster = new TestCluster();
    cluster.replica(R1).deliver(write(ballot(1), 2, value("a")));
    cluster.replica(R2).deliver(write(ballot(2), 2, value("a")));
    expect(readFrom(cluster)).toMatchObject({ decidedTo: 2, end: 2, entries: [membershipEntry] });
  });

  test("[L18] without a quorum there is no read", () => {
    const cluster = new TestCluster();
    cluster.away.add(R2).add(R3);
    expect(readFrom(cluster)).toMatchObject({ type: "unavailable" });
  });
});
