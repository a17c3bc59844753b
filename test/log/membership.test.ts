// The membership from end to end: leaders, elections and replicas together, while appends go on.
import { describe, expect, test } from "vitest";
import { elect } from "#log/elect.ts";
import { type Electorate, position, type ReplicaId } from "#log/entry.ts";
import { TestCluster } from "./cluster.ts";
import { TestLeader } from "./leader.ts";
import {
  ballot,
  CLUSTER,
  electorateOf,
  lifeOf,
  membershipOf,
  promise,
  R1,
  R2,
  R3,
  R4,
  R5,
  REPLICAS,
  seating,
  value,
  write,
} from "./sample.ts";

const statusOf = (cluster: TestCluster, id: ReplicaId) => cluster.replica(id).deliver({ type: "status" }).standing;
const standFor = (
  cluster: TestCluster,
  counter: number,
  { seeds = REPLICAS, known }: { seeds?: readonly ReplicaId[]; known?: Electorate } = {},
) => cluster.call(elect({ clusterId: CLUSTER, ballot: ballot(counter), from: position(1), known }, seeds));

/** The same chosen values at all of `ids`, and each of `appended` once, in order. */
const expectAgreement = (cluster: TestCluster, ids: readonly ReplicaId[], appended: readonly string[]): void => {
  const [first, ...others] = ids.map((id) => {
    const { missingFrom } = cluster.replica(id).state;
    return Array.from({ length: missingFrom - 1 }, (_, index) => cluster.replica(id).valueAt(index + 1));
  });
  for (const other of others) expect(other).toEqual(first);
  expect(first?.filter((entry) => entry?.type === "append")).toEqual(appended.map(value));
};
const leading = (members: readonly ReplicaId[], newcomers: readonly ReplicaId[] = []) => {
  const cluster = new TestCluster(members, newcomers);
  return { cluster, leader: new TestLeader(cluster, { seeds: members }).elect() };
};
const done = expect.objectContaining({ type: "done" });

describe("one seat after the other", () => {
  test("[L24] [L30] from one replica to three, with appends in between: the log stays one", () => {
    const { cluster, leader } = leading([R1], [R2, R3]);
    leader.append("a");
    expect(leader.change({ type: "add", replica: R2 })).toEqual(done);
    leader.append("b");
    expect(leader.change({ type: "add", replica: R3 })).toEqual(done);
    leader.append("c");
    leader.pass(2_000);
    expect(leader.members).toEqual([R1, R2, R3]);
    for (const id of REPLICAS) expect(statusOf(cluster, id).status).toBe("voting");
    expectAgreement(cluster, REPLICAS, ["a", "b", "c"]);
    cluster.away.add(R1);
    leader.append("d");
    leader.pass(2_000);
    expectAgreement(cluster, [R2, R3], ["a", "b", "c", "d"]);
  });

  test("[L24] [L30] from three to five, and any two may be away then", () => {
    const { cluster, leader } = leading(REPLICAS, [R4, R5]);
    leader.append("a");
    expect(leader.change({ type: "add", replica: R4 })).toEqual(done);
    leader.append("b");
    expect(leader.change({ type: "add", replica: R5 })).toEqual(done);
    leader.append("c");
    leader.pass(2_000);
    cluster.away.add(R1).add(R2);
    leader.append("d");
    leader.pass(2_000);
    expectAgreement(cluster, [R3, R4, R5], ["a", "b", "c", "d"]);
    const other = new TestLeader(cluster, { name: "master-2", seeds: REPLICAS }).elect();
    expect(other.isElected).toBe(true);
    expect(other.members).toHaveLength(5);
  });

  test("[L24] [L30] from five to three: those that left take no part", () => {
    const { cluster, leader } = leading([R1, R2, R3, R4, R5]);
    leader.append("a");
    expect(leader.change({ type: "remove", replica: R1 })).toEqual(done);
    leader.append("b");
    expect(leader.change({ type: "remove", replica: R2 })).toEqual(done);
    cluster.forget();
    leader.append("c");
    leader.pass(2_000);
    expect(new Set(cluster.sent.map(({ to }) => to))).toEqual(new Set([R3, R4, R5]));
    expectAgreement(cluster, [R3, R4, R5], ["a", "b", "c"]);
    expect(cluster.replica(R1).deliver(promise(ballot(99), 1, leader.coordinator.known?.position))).toMatchObject({
      type: expect.stringMatching(/ignored|behind/),
    });
  });

  test("[L24] [L34] a dead one is replaced by another", () => {
    const { cluster, leader } = leading(REPLICAS, [R4]);
    leader.append("a");
    cluster.away.add(R3);
    leader.append("b");
    expect(leader.change({ type: "replace", replica: R3, by: R4 })).toEqual(done);
    leader.append("c");
    leader.pass(2_000);
    cluster.away.add(R1);
    leader.append("d");
    leader.pass(2_000);
    expectAgreement(cluster, [R2, R4], ["a", "b", "c", "d"]);
  });

  test("[L24] the only one is replaced by another, which learns everything from it before it leaves", () => {
    const { cluster, leader } = leading([R1], [R2]);
    leader.append("a");
    expect(leader.change({ type: "replace", replica: R1, by: R2 })).toEqual(done);
    cluster.replicas.delete(R1);
    leader.append("b");
    leader.pass(1_000);
    expectAgreement(cluster, [R2], ["a", "b"]);
  });

  test("[L24] a new member that could not be reached learns it in the next election, from whoever was asked", () => {
    const { cluster, leader } = leading([R1], [R2]);
    leader.append("a");
    leader.pass(500);
    cluster.isLost = ({ message }) =>
      message.type === "catch-up" && message.records.at(-1)?.entry.type === "membership";
    leader.change({ type: "replace", replica: R1, by: R2 });
    expect(leader.isElected).toBe(false);
    expect(cluster.replica(R2).state.electorate).toEqual(electorateOf(1, R1));
    cluster.isLost = () => false;
    // R1 has no seat any more, and alone knows what R2 lacks.
    leader.elect().append("b");
    leader.pass(1_000);
    expect(leader.members).toEqual([R2]);
    expectAgreement(cluster, [R2], ["a", "b"]);
  });

  test("[L34] a change that would end in a set that cannot decide is refused, and the leader goes on", () => {
    const { cluster, leader } = leading(REPLICAS);
    cluster.away.add(R3);
    const end = cluster.replica(R1).state.end;
    expect(leader.change({ type: "remove", replica: R1 })).toMatchObject({ type: "refused" });
    expect(cluster.replica(R1).state.end).toBe(end);
    expect(leader.append("a")).toContainEqual(expect.objectContaining({ type: "appended" }));
  });

  test("[L30] a leader that was overtaken changes nothing", () => {
    const { cluster, leader } = leading(REPLICAS, [R4]);
    new TestLeader(cluster, { name: "master-2", seeds: REPLICAS }).elect();
    expect(leader.change({ type: "add", replica: R4 })).toBeUndefined();
    expect(leader.told.at(-1)).toMatchObject({ type: "lost", fenced: true });
    for (const id of REPLICAS) expect(cluster.replica(id).state).toMatchObject({ electorate: { position: 1 }, end: 1 });
  });

  test("[L24] a newcomer that the seating entry did not reach learns it before anything follows", () => {
    const { cluster, leader } = leading([R1], [R2]);
    leader.append("a");
    cluster.isLost = ({ to, message }) => to === R2 && message.type === "learn";
    leader.change({ type: "add", replica: R2 });
    cluster.isLost = () => false;
    if (!leader.isElected) leader.elect();
    leader.append("b");
    leader.pass(2_000);
    expectAgreement(cluster, [R1, R2], ["a", "b"]);
  });

  test("[L24] [L34] the one that leaves still gives what only it has learned", () => {
    const { cluster, leader } = leading([R1, R2]);
    for (const data of ["a", "b", "c"]) leader.append(data);
    leader.pass(500);
    // R2's last records are of a ballot that nobody speaks for any more, and only R1 has learned that they are chosen.
    leader.append("d");
    leader.append("e");
    cluster.isLost = ({ to, message }) => to === R2 && message.type === "learn";
    leader.pass(500);
    cluster.isLost = () => false;
    const other = new TestLeader(cluster, { name: "master-2" }).elect();
    other.change({ type: "remove", replica: R1 });
    for (let attempt = 0; attempt < 3 && !other.isElected; attempt++) other.elect();
    other.append("f");
    other.pass(1_000);
    expect(other.members).toEqual([R2]);
    expectAgreement(cluster, [R2], ["a", "b", "c", "d", "e", "f"]);
  });
});

describe("a replica that left", () => {
  const removed = () => {
    const { cluster, leader } = leading(REPLICAS);
    leader.append("a");
    leader.pass(500);
    return { cluster, leader };
  };

  test("[L11] [L24] once it has learned its removal it answers ignored", () => {
    const { cluster, leader } = removed();
    leader.change({ type: "remove", replica: R3 });
    const { status, electorate } = statusOf(cluster, R3);
    expect([status, electorate?.position]).toEqual(["recovering", leader.coordinator.known?.position]);
    expect(cluster.replica(R3).deliver(promise(ballot(99), 1, electorate?.position))).toMatchObject({
      type: "ignored",
      reason: expect.stringContaining("no seat"),
    });
  });

  test("[L23] one that missed its removal completes no quorum: whoever else is asked shows the newer membership", () => {
    const { cluster, leader } = removed();
    cluster.away.add(R3);
    leader.change({ type: "remove", replica: R3 });
    leader.append("b");
    cluster.away.clear();
    expect(statusOf(cluster, R3).status).toBe("voting");
    // The old set of three would be satisfied with R3 and R1.
    cluster.away.add(R2);
    expect(standFor(cluster, 50, { seeds: [R3, R1] })).toMatchObject({ type: "unavailable", replicas: 2 });
    cluster.away.add(R1);
    expect(standFor(cluster, 51, { seeds: [R3] })).toMatchObject({ type: "unavailable" });
    cluster.away.clear();
    expect(standFor(cluster, 52, { seeds: [R3] })).toMatchObject({
      type: "elected",
      electorate: leader.coordinator.known,
    });
    expect(cluster.replica(R3).valueAt(leader.coordinator.known?.position ?? 0)).toBeUndefined();
  });

  test("[L23] a leader of the old membership cannot write past the change with the one that missed it", () => {
    const { cluster, leader } = removed();
    const stale = leader.ballot;
    cluster.away.add(R3);
    const other = new TestLeader(cluster, { name: "master-2", seeds: REPLICAS }).elect();
    other.change({ type: "remove", replica: R3 });
    cluster.away.clear();
    expect(cluster.replica(R3).deliver(write(stale, 4, value("stale"))).type).toBe("accepted");
    expect(leader.append("stale")).toMatchObject([{ type: "lost", fenced: true }]);
    other.append("b");
    other.pass(2_000);
    expectAgreement(cluster, [R1, R2], ["a", "b"]);
  });

  test("[L24] it comes back by another entry, with its old storage", () => {
    const { cluster, leader } = removed();
    cluster.away.add(R3);
    leader.change({ type: "remove", replica: R3 });
    leader.append("b");
    cluster.away.clear();
    expect(leader.change({ type: "add", replica: R3 })).toEqual(done);
    leader.append("c");
    leader.pass(2_000);
    expect(statusOf(cluster, R3)).toMatchObject({ status: "voting", incarnation: lifeOf(R3) });
    expectAgreement(cluster, REPLICAS, ["a", "b", "c"]);
  });
});

describe("elections and the membership", () => {
  test("[L15] [L24] from old seeds an election walks to the newest membership", () => {
    const { cluster, leader } = leading([R1], [R2, R3, R4]);
    for (const id of [R2, R3, R4]) leader.change({ type: "add", replica: id });
    leader.change({ type: "remove", replica: R1 });
    leader.append("a");
    const other = new TestLeader(cluster, { name: "master-2", seeds: [R1] }).elect();
    expect(other.isElected).toBe(true);
    expect(other.members).toEqual([R2, R3, R4]);
    other.append("b");
    other.pass(2_000);
    expectAgreement(cluster, [R2, R3, R4], ["a", "b"]);
  });

  test("[L15] when all the seeds are gone, the membership that was known leads to it", () => {
    const { cluster, leader } = leading([R1], [R2]);
    leader.append("a");
    leader.change({ type: "replace", replica: R1, by: R2 });
    leader.elect().append("b");
    leader.pass(1_000);
    cluster.replicas.delete(R1);
    expect(standFor(cluster, 50, { seeds: [R1] })).toMatchObject({ type: "unavailable" });
    expect(standFor(cluster, 51, { seeds: [R1], known: leader.coordinator.known })).toMatchObject({ type: "elected" });
  });

  test("[L24] an undecided membership is written up to, and what follows it is asked of its members", () => {
    const cluster = new TestCluster(REPLICAS, [R4]);
    // A leader died while it seated R4 in R3's place: R1 alone has the entry, and what R1 and R4 were told after it.
    const leader = new TestLeader(cluster, { seeds: REPLICAS }).elect();
    leader.append("a");
    leader.pass(500);
    cluster.replica(R1).deliver(write(leader.ballot, 3, seating(R1, R2, R4)));
    cluster.replica(R4).deliver({ type: "enlist", clusterId: CLUSTER, replicaId: R4 });
    const other = new TestLeader(cluster, { name: "master-2", seeds: [R1, R2] }).elect();
    expect(other.isElected).toBe(true);
    expect(other.coordinator.known).toEqual(electorateOf(3, R1, R2, R4));
    const rounds = cluster.sentOf("promise").map(({ message }) => (message.type === "promise" ? message : undefined));
    expect(rounds.at(-1)).toMatchObject({ membershipPosition: 3 });
    other.append("b");
    other.pass(2_000);
    expectAgreement(cluster, [R1, R2, R4], ["a", "b"]);
    expect(statusOf(cluster, R4).status).toBe("voting");
  });

  test("[L24] of entries on both sides of an undecided membership, the later ones are decided by the new members", () => {
    const cluster = new TestCluster([R1, R2, R3], [R4, R5]);
    for (const id of [R1, R2]) {
      cluster.replica(id).deliver(write(ballot(1), 2, value("a"), seating(R1, R4, R5)));
      cluster.replica(id).deliver({ ...write(ballot(1), 4, value("too early")), membershipPosition: position(1) });
    }
    for (const id of [R4, R5]) cluster.replica(id).deliver({ type: "enlist", clusterId: CLUSTER, replicaId: id });
    cluster.forget();
    const answer = standFor(cluster, 2);
    expect(answer).toMatchObject({ type: "elected", electorate: electorateOf(3, R1, R4, R5) });
    const writes = cluster.sentOf("write").map(({ message }) => (message.type === "write" ? message : undefined));
    for (const message of writes) {
      if (message !== undefined && message.position <= 3) {
        expect(message.membershipPosition).toBe(1);
        expect(message.position + message.entries.length - 1).toBeLessThanOrEqual(3);
      } else expect(message?.membershipPosition).toBe(3);
    }
  });

  test("[L24] a membership that was chosen and that nobody heard of is found again, also by who knows it", () => {
    for (const isKnown of [true, false]) {
      const { cluster, leader } = leading(REPLICAS, [R4]);
      leader.append("a");
      leader.pass(500);
      // The notice, and everything after it, is lost: accepted by a quorum, learned by none.
      cluster.isLost = ({ message }) => message.type === "learn" || message.type === "catch-up";
      cluster.before = ({ message }) => {
        if (message.type === "learn") for (const id of [...REPLICAS, R4]) cluster.away.add(id);
      };
      leader.change({ type: "remove", replica: R3 });
      cluster.isLost = () => false;
      cluster.before = () => {};
      cluster.away.clear();
      for (const id of REPLICAS) expect(cluster.replica(id).state.electorate?.position).toBe(1);
      const known = isKnown ? electorateOf(cluster.replica(R1).state.end, R1, R2) : undefined;
      expect(standFor(cluster, 50, { known })).toMatchObject({
        type: "elected",
        electorate: { membership: membershipOf(R1, R2) },
      });
    }
  });

  test("[L24] members that lag behind the membership are brought up before they vote", () => {
    const { cluster, leader } = leading(REPLICAS, [R4]);
    leader.append("a");
    cluster.away.add(R3);
    leader.change({ type: "add", replica: R4 });
    leader.append("b");
    cluster.away.clear();
    cluster.away.add(R2);
    expect(statusOf(cluster, R3).electorate?.position).toBe(1);
    const other = new TestLeader(cluster, { name: "master-2", seeds: REPLICAS }).elect();
    expect(other.isElected).toBe(true);
    other.append("c");
    cluster.away.clear();
    other.pass(2_000);
    expectAgreement(cluster, [R1, R2, R3, R4], ["a", "b", "c"]);
  });

  test("[L22] [L27] a storage is lost and its replica seated again while the leader changes", () => {
    const { cluster, leader } = leading(REPLICAS);
    leader.append("a");
    leader.pass(500);
    cluster.replica(R2).loseStorage();
    const other = new TestLeader(cluster, { name: "master-2", seeds: REPLICAS }).elect();
    other.append("b");
    other.pass(2_000);
    expect(other.coordinator.known?.membership.seats).toContainEqual({ replica: R2, incarnation: lifeOf(R2, 2) });
    expect(leader.append("c")).toMatchObject([{ type: "lost", fenced: true }]);
    cluster.away.add(R1);
    other.append("d");
    other.pass(2_000);
    expectAgreement(cluster, [R2, R3], ["a", "b", "d"]);
  });
});
