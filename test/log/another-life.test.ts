import { describe, expect, test } from "vitest";
import { MemoryLogStorage } from "#log/memory-storage.ts";
import { openReplica } from "#log/replica.ts";
import {
  ballot,
  catchUp,
  enlist,
  lifeOf,
  membershipOf,
  OTHER_CLUSTER,
  promise,
  R1,
  R2,
  R3,
  record,
  seating,
  start,
  TestReplica,
  VOTE,
} from "./sample.ts";
import { TestCluster } from "./cluster.ts";
import { TestLeader } from "./leader.ts";

describe("the first opening", () => {
  test("[L22] new storage gets an incarnation that is stored before the first answer, and is EMPTY", () => {
    const storage = new MemoryLogStorage();
    const opened = openReplica(storage, () => lifeOf(R1, 4));
    expect(opened).toMatchObject({ incarnation: lifeOf(R1, 4), clusterId: undefined, electorate: undefined, end: 0 });
    expect(openReplica(storage, () => lifeOf(R1, 5))).toEqual(opened);
  });

  test("[L22] a replica that lost its storage neither votes nor joins by itself", () => {
    const replica = new TestReplica(R1, membershipOf(R1, R2, R3));
    replica.loseStorage();
    expect(replica.deliver(promise(ballot(9)))).toMatchObject({ type: "ignored", standing: { status: "empty" } });
    expect(replica.deliver(VOTE)).toMatchObject({ type: "ignored" });
    expect(replica.deliver(catchUp([record(1, ballot(1), seating(R1))]))).toMatchObject({ type: "ignored" });
  });

  test("[L21] [L22] the old seat is no seat for the new life: not even a bootstrap with the old set takes it", () => {
    const replica = new TestReplica(R1, membershipOf(R1, R2, R3));
    replica.loseStorage();
    expect(replica.deliver(start(R1, membershipOf(R1, R2, R3)))).toMatchObject({
      type: "ignored",
      reason: "empty: the membership has no seat for it",
    });
  });
});

describe("enlisting", () => {
  test("[L22] [L26] an enlisted replica is caught up and does not vote until it has learned its seat", () => {
    const replica = new TestReplica(R1);
    expect(replica.deliver(enlist(R1))).toMatchObject({ type: "enlisted", standing: { status: "recovering" } });
    replica.learned(ballot(2), seating(R2, R3), record(2, ballot(2)).entry);
    expect(replica.restart()).toMatchObject({ replicaId: R1, missingFrom: 3, promised: { counter: 0 } });
    expect(replica.deliver({ ...promise(ballot(9)) })).toMatchObject({ type: "ignored" });
    replica.learned(ballot(4), seating(R1, R2, R3));
    expect(replica.deliver(promise(ballot(9), 1, 3))).toMatchObject({ type: "promised" });
  });

  test("[L26] a replica that learns its seat promises at least the ballot that chose it", () => {
    const replica = new TestReplica(R1);
    replica.deliver(enlist(R1));
    replica.learned(ballot(2), seating(R2, R3));
    replica.learned(ballot(4), seating(R1, R2, R3));
    expect(replica.restart().promised).toEqual(ballot(4));
    expect(replica.deliver(promise(ballot(3), 1, 2))).toMatchObject({ type: "refused", promised: ballot(4) });
  });

  test("[L26] a seat takes no higher promise back", () => {
    const replica = new TestReplica(R1, membershipOf(R1, R2, R3));
    replica.deliver(promise(ballot(9)));
    replica.learned(ballot(4), seating(R1, R2));
    expect(replica.state.promised).toEqual(ballot(9));
  });

  test("[L26] a membership without a seat for it raises no promise", () => {
    const replica = new TestReplica(R1);
    replica.deliver(enlist(R1));
    replica.learned(ballot(4), seating(R2, R3));
    expect(replica.state.promised.counter).toBe(0);
  });

  test("[L26] only the last membership of a page counts", () => {
    const replica = new TestReplica(R1);
    replica.deliver(enlist(R1));
    replica.learned(ballot(4), seating(R1, R2), seating(R2, R3));
    expect(replica.deliver({ type: "status" }).standing.status).toBe("recovering");
    expect(replica.deliver(promise(ballot(9), 1, 2))).toMatchObject({ type: "ignored" });
  });

  test("[L13] [L22] enlisting again is fine, under another name or in another cluster it is not", () => {
    const replica = new TestReplica(R1);
    replica.deliver(enlist(R1));
    expect(replica.step(enlist(R1))).toMatchObject({ answer: { type: "enlisted" }, effects: [] });
    expect(replica.step(enlist(R2))).toMatchObject({ answer: { type: "ignored" }, effects: [] });
    expect(replica.step(enlist(R1, OTHER_CLUSTER))).toMatchObject({ answer: { type: "foreign-cluster" }, effects: [] });
  });
});

describe("losing a storage in a cluster", () => {
  const lost = () => {
    const cluster = new TestCluster();
    const leader = new TestLeader(cluster).elect();
    leader.append("a");
    leader.pass(500);
    cluster.replica(R3).loseStorage();
    return { cluster, leader };
  };

  test("[L22] it does not help to a quorum, whatever it promised in its life before (H2)", () => {
    const { cluster } = lost();
    cluster.away.add(R2);
    const other = new TestLeader(cluster, { name: "master-2" }).elect();
    expect(other.isElected).toBe(false);
    expect(other.told.at(-1)).toMatchObject({
      type: "lost",
      reason: expect.stringContaining("replica-3: empty: it belongs to no cluster"),
    });
  });

  test("[L27] the leader brings it up to date and seats it under its new incarnation, by itself", () => {
    const { cluster, leader } = lost();
    leader.append("b");
    leader.pass(1_000);
    expect(leader.told.filter(({ type }) => type === "changed" || type === "lost")).toEqual([]);
    expect(leader.coordinator.known?.membership.seats).toContainEqual({ replica: R3, incarnation: lifeOf(R3, 2) });
    const other = cluster.replica(R1);
    for (let at = 1; at < other.state.missingFrom; at++) {
      expect(cluster.replica(R3).valueAt(at)).toEqual(other.valueAt(at));
    }
    cluster.away.add(R1);
    expect(leader.append("c")).toContainEqual(expect.objectContaining({ type: "appended" }));
  });

  test("[L27] two that were lost one after the other are both seated again", () => {
    const { cluster, leader } = lost();
    leader.append("b");
    leader.pass(10_000);
    cluster.replica(R1).loseStorage();
    leader.append("c");
    leader.pass(10_000);
    expect(leader.coordinator.known?.membership.seats.map(({ incarnation }) => incarnation).toSorted()).toEqual([
      lifeOf(R1, 2),
      lifeOf(R2),
      lifeOf(R3, 2),
    ]);
    cluster.away.add(R2);
    expect(leader.append("d")).toContainEqual(expect.objectContaining({ type: "appended" }));
  });

  test("[L27] a leader that writes nothing finds it when it is confirmed", () => {
    const { cluster, leader } = lost();
    leader.pass(31_000);
    leader.input({ type: "confirm" });
    leader.pass(1_000);
    expect(cluster.replica(R3).deliver({ type: "status" }).standing.status).toBe("voting");
  });

  test("[L22] [L28] when a majority has lost its storage, nothing votes and nothing is made in its place", () => {
    const { cluster, leader } = lost();
    cluster.replica(R2).loseStorage();
    expect(leader.append("b")).toMatchObject([{ type: "lost", fenced: false }]);
    const other = new TestLeader(cluster, { name: "master-2" }).elect();
    expect(other.isElected).toBe(false);
    for (const id of [R2, R3]) expect(cluster.replica(id).deliver({ type: "status" }).standing.status).toBe("empty");
  });
});
