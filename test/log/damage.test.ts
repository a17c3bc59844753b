import { describe, expect, test } from "vitest";
import { position } from "#log/entry.ts";
import {
  ballot,
  catchUp,
  confirming,
  ELECTORATE,
  learn,
  lifeOf,
  membershipOf,
  promise,
  R1,
  R2,
  R3,
  read,
  record,
  TestReplica,
  tombstone,
  value,
  write,
} from "./sample.ts";
import { TestCluster } from "./cluster.ts";
import { TestLeader } from "./leader.ts";

/** Has learned a and b at 2 and 3, and only accepted c and d at 4 and 5. */
const halfLearned = (): TestReplica => {
  const replica = new TestReplica(R1, membershipOf(R1, R2, R3));
  replica.deliver(write(ballot(1), 2, value("a"), value("b"), value("c"), value("d")));
  replica.deliver(learn(ballot(1), 3));
  // Nothing is remembered of what was accepted last: it must be read.
  replica.restart();
  return replica;
};

describe("a learned record that is damaged", () => {
  test("[L12] it is not served; the replica is RECOVERING from then on, durably, and keeps its seat", () => {
    const replica = halfLearned();
    replica.storage.damage(position(3));
    expect(replica.deliver(read(3))).toMatchObject({
      type: "ignored",
      standing: { status: "recovering", incarnation: lifeOf(R1), missingFrom: 4, damaged: { from: 3, to: 3 } },
      reason: expect.stringContaining("the record at 3 is damaged"),
    });
    expect(replica.restart()).toMatchObject({ damaged: { from: 3, to: 3 }, incarnation: lifeOf(R1), missingFrom: 4 });
    expect(replica.recordAt(5)).toEqual(record(5, ballot(1), value("d")));
  });

  test("[L12] what stands before it is sound: it is served, and the replica is RECOVERING all the same", () => {
    const replica = halfLearned();
    replica.storage.damage(position(3));
    const answer = replica.deliver(read(1));
    expect(answer).toMatchObject({
      type: "page",
      standing: { status: "recovering", damaged: { from: 3, to: 3 } },
      page: { records: [{ position: 1 }, { position: 2 }], next: 3 },
    });
    expect(replica.restart().damaged).toEqual({ from: 3, to: 3 });
  });

  test.each([promise(ballot(5)), write(ballot(5), 4, value("C")), confirming(ballot(5))])(
    "[L12] it gives no vote on $type, and promises nothing",
    (message) => {
      const replica = halfLearned();
      replica.storage.damage(position(3));
      replica.deliver(read(1));
      const { effects, answer } = replica.step(message);
      expect(answer).toMatchObject({ type: "ignored", standing: { status: "recovering", promised: ballot(1) } });
      expect(effects).toEqual([]);
    },
  );

  test("[L12] it learns nothing from a notice before the repair", () => {
    const replica = halfLearned();
    replica.storage.damage(position(3));
    replica.deliver(read(1));
    expect(replica.deliver(learn(ballot(1), 5))).toMatchObject({ standing: { missingFrom: 4, damaged: { from: 3 } } });
  });

  test("[L12] the chosen record in its place makes it vote again, and what it had accepted is still there", () => {
    const replica = halfLearned();
    replica.storage.damage(position(3));
    replica.deliver(read(1));
    expect(replica.deliver(catchUp([record(3, ballot(1), value("b"))]))).toMatchObject({
      type: "learned",
      standing: { status: "voting", missingFrom: 4, end: 5, damaged: undefined, incarnation: lifeOf(R1) },
    });
    expect(replica.valueAt(3)).toEqual(value("b"));
    expect(replica.restart().damaged).toBeUndefined();
    expect(replica.deliver(promise(ballot(2)))).toMatchObject({
      type: "promised",
      page: { records: [{ position: 4 }, { position: 5 }] },
    });
  });

  test("[L12] a repair of several records may come in parts, and takes nothing beyond them", () => {
    const replica = halfLearned();
    for (const at of [2, 3]) {
      replica.storage.damage(position(at));
      replica.deliver(read(at));
    }
    expect(replica.state.damaged).toEqual({ from: 2, to: 3 });
    expect(replica.deliver(catchUp([record(3, ballot(1), value("b"))])).standing.damaged).toEqual({ from: 2, to: 3 });
    expect(replica.deliver(catchUp([record(2, ballot(1), value("a"))])).standing).toMatchObject({
      status: "recovering",
      damaged: { from: 3, to: 3 },
    });
    const rest = [record(3, ballot(1), value("b")), record(4, ballot(2), value("C"))];
    expect(replica.deliver(catchUp(rest)).standing).toMatchObject({ status: "voting", missingFrom: 4 });
    expect(replica.valueAt(4)).toEqual(value("c"));
  });

  test("[L12] [L25] what is truncated elsewhere needs no repair", () => {
    const replica = halfLearned();
    replica.storage.damage(position(2));
    replica.deliver(read(1));
    const records = [record(3, ballot(1), value("b"))];
    expect(replica.deliver(catchUp(records, tombstone(3, ELECTORATE))).standing).toMatchObject({
      status: "voting",
      damaged: undefined,
      missingFrom: 4,
    });
  });

  test("[L12] a write over it finds it too", () => {
    const replica = halfLearned();
    replica.storage.damage(position(3));
    const { effects, answer } = replica.step(write(ballot(2), 3, value("b")));
    expect(answer).toMatchObject({ type: "ignored", standing: { status: "recovering", damaged: { from: 3, to: 3 } } });
    expect(effects).toMatchObject([{ type: "persist-metadata", metadata: { promised: ballot(1) } }]);
  });
});

describe("an accepted record that is damaged", () => {
  test.each([promise(ballot(2)), read(5), learn(ballot(1), 5), write(ballot(2), 4, value("C"), value("D"))])(
    "[L12] [L22] found by $type: a vote is lost, so another life begins, without a seat and without what was not learned",
    (message) => {
      const replica = halfLearned();
      replica.storage.damage(position(5));
      const { effects } = replica.step(message);
      expect(effects).toMatchObject([
        { type: "drop-from", from: 4 },
        { type: "persist-metadata", metadata: { incarnation: lifeOf(R1, 2), damaged: undefined, missingFrom: 4 } },
      ]);
      expect(replica.deliver(message)).toMatchObject({
        type: "ignored",
        standing: { status: "recovering", incarnation: lifeOf(R1, 3), missingFrom: 4, end: 3 },
      });
      expect(replica.valueAt(4)).toBeUndefined();
      expect(replica.restart()).toMatchObject({ incarnation: lifeOf(R1, 3), end: 3 });
      expect(replica.deliver(promise(ballot(9)))).toMatchObject({ type: "ignored" });
    },
  );

  test("[L12] [L22] a read that ends before it finds it too", () => {
    const replica = halfLearned();
    replica.storage.damage(position(5));
    expect(replica.deliver(read(1))).toMatchObject({
      type: "page",
      standing: { status: "recovering", incarnation: lifeOf(R1, 2), end: 3 },
    });
    expect(replica.restart()).toMatchObject({ incarnation: lifeOf(R1, 2), end: 3 });
  });

  test("[L9] [L12] what was dropped is not learned by a late notice, though it was accepted just now", () => {
    const replica = halfLearned();
    replica.deliver(write(ballot(1), 6, value("e")));
    replica.storage.damage(position(5));
    replica.deliver(read(5));
    expect(replica.deliver(learn(ballot(1), 6))).toMatchObject({ standing: { missingFrom: 4, end: 3 } });
    const other = new TestReplica(R1, membershipOf(R1, R2, R3));
    other.deliver(write(ballot(1), 2, value("a"), value("b")));
    other.storage.damage(position(3));
    other.deliver(read(3));
    expect(other.deliver(learn(ballot(1), 3))).toMatchObject({ standing: { missingFrom: 2, end: 1 } });
  });

  test("[L12] a vote that is lost beside learned records is lost all the same", () => {
    const replica = halfLearned();
    replica.storage.damage(position(3));
    replica.deliver(read(1));
    replica.storage.damage(position(4));
    expect(replica.deliver(read(4))).toMatchObject({
      type: "ignored",
      standing: { incarnation: lifeOf(R1, 2), damaged: { from: 3, to: 3 }, end: 3 },
    });
  });

  test("[L12] what is learned in a write that finds it is learned by nobody: the notice comes again", () => {
    const replica = halfLearned();
    replica.storage.damage(position(5));
    replica.deliver({ ...write(ballot(1), 5, value("d")), chosenThrough: position(4) });
    expect(replica.state).toMatchObject({ incarnation: lifeOf(R1, 2), missingFrom: 4, end: 3 });
  });
});

describe("damaged metadata", () => {
  test("[L12] [L22] the promise is lost: EMPTY, another life, and no record of the old one", () => {
    const replica = halfLearned();
    replica.storage.damageMetadata();
    expect(replica.restart()).toMatchObject({
      incarnation: lifeOf(R1, 2),
      clusterId: undefined,
      electorate: undefined,
      promised: { counter: 0 },
      missingFrom: 1,
      end: 0,
    });
    expect(replica.valueAt(2)).toBeUndefined();
    expect(replica.deliver(promise(ballot(9)))).toMatchObject({ type: "ignored", standing: { status: "empty" } });
    expect(replica.restart().incarnation).toBe(lifeOf(R1, 2));
  });
});

describe("in a cluster", () => {
  const damaged = (at: number, how: { readonly isLearned: boolean }) => {
    const cluster = new TestCluster();
    const leader = new TestLeader(cluster).elect();
    leader.append("a");
    leader.append("b");
    if (how.isLearned) leader.pass(500);
    cluster.replica(R3).storage.damage(position(at));
    cluster.replica(R3).deliver(read(1));
    expect(cluster.replica(R3).deliver({ type: "status" }).standing.status).toBe("recovering");
    return { cluster, leader };
  };

  test("[L12] [L33] a damaged replica is repaired by the next settlement and votes again under its seat", () => {
    const { cluster, leader } = damaged(2, { isLearned: true });
    leader.append("c");
    leader.pass(500);
    expect(cluster.replica(R3).deliver({ type: "status" }).standing).toMatchObject({
      status: "voting",
      incarnation: lifeOf(R3),
      missingFrom: 5,
    });
    expect(leader.coordinator.known?.position).toBe(1);
    cluster.away.add(R2);
    expect(leader.append("d")).toContainEqual(expect.objectContaining({ type: "appended" }));
  });

  test("[L12] [L27] one that lost a vote is seated again under its next life, by an entry of the log", () => {
    const { cluster, leader } = damaged(3, { isLearned: false });
    expect(cluster.replica(R3).state.incarnation).toBe(lifeOf(R3, 2));
    leader.append("c");
    leader.pass(1_000);
    expect(leader.coordinator.known?.membership.seats).toContainEqual({ replica: R3, incarnation: lifeOf(R3, 2) });
    expect(cluster.replica(R3).deliver({ type: "status" }).standing.status).toBe("voting");
    cluster.away.add(R2);
    expect(leader.append("d")).toContainEqual(expect.objectContaining({ type: "appended" }));
  });

  test("[L12] a damaged vote is not counted: the others decide without it", () => {
    const { cluster, leader } = damaged(2, { isLearned: true });
    cluster.away.add(R2);
    expect(leader.append("c")).toMatchObject([{ type: "lost", fenced: false }]);
  });
});
