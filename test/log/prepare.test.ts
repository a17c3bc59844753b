import { describe, expect, test } from "vitest";
import type { MembershipChange } from "#log/calls.ts";
import { type Electorate, position, type ReplicaId } from "#log/entry.ts";
import { PREPARE_PAGES_MAX, REPLICAS_MAX, SEATED_LAG_MAX } from "#log/limits.ts";
import { prepare } from "#log/prepare.ts";
import { TestCluster } from "./cluster.ts";
import {
  ballot,
  CLUSTER,
  ELECTORATE,
  electorateOf,
  enlist,
  lifeOf,
  membershipOf,
  named,
  OTHER_CLUSTER,
  R1,
  R2,
  R3,
  R4,
  read,
  record,
  REPLICAS,
  value,
  values,
} from "./sample.ts";

const prepared = (cluster: TestCluster, change: MembershipChange, electorate: Electorate = ELECTORATE) =>
  cluster.call(prepare({ clusterId: CLUSTER, electorate, change }));
/** The members have learned up to `last`. */
const upTo = (last: number, newcomers: readonly ReplicaId[] = [R4], members = REPLICAS) => {
  const cluster = new TestCluster(members, newcomers);
  for (const id of members) {
    for (let at = 2; at <= last; at += 1_000) {
      cluster.replica(id).learned(ballot(1), ...values(Math.min(1_000, last - at + 1), at));
    }
  }
  return cluster;
};
const refusedAs = (reason: string) => ({ type: "refused-change", reason: expect.stringContaining(reason) });

describe("what may be prepared", () => {
  test("[L34] one that is added is enlisted and brought up to date before it takes a seat", () => {
    const cluster = upTo(10);
    expect(prepared(cluster, { type: "add", replica: R4 })).toEqual({
      type: "prepared",
      membership: membershipOf(R1, R2, R3, R4),
    });
    expect(cluster.replica(R4).state).toMatchObject({ clusterId: CLUSTER, replicaId: R4, missingFrom: 11 });
    expect(cluster.replica(R4).deliver({ type: "status" }).standing.status).toBe("recovering");
  });

  test("[L34] it writes nothing to the log and raises no promise", () => {
    const cluster = upTo(10);
    const before = REPLICAS.map((id) => cluster.replica(id).state);
    prepared(cluster, { type: "add", replica: R4 });
    expect(REPLICAS.map((id) => cluster.replica(id).state)).toEqual(before);
    for (const type of ["promise", "write", "learn", "confirm"] as const) expect(cluster.sentOf(type)).toEqual([]);
  });

  test("[L34] one is removed, or replaced by another that takes its place under its own incarnation", () => {
    expect(prepared(upTo(10), { type: "remove", replica: R2 })).toEqual({
      type: "prepared",
      membership: membershipOf(R1, R3),
    });
    expect(prepared(upTo(10), { type: "replace", replica: R2, by: R4 })).toEqual({
      type: "prepared",
      membership: membershipOf(R1, R3, R4),
    });
  });

  test("[L27] one that lost its storage is replaced by itself, under its new incarnation", () => {
    const cluster = upTo(10);
    cluster.replica(R2).loseStorage();
    expect(prepared(cluster, { type: "replace", replica: R2, by: R2 })).toEqual({
      type: "prepared",
      membership: { seats: [...membershipOf(R1, R3).seats, { replica: R2, incarnation: lifeOf(R2, 2) }] },
    });
    expect(cluster.replica(R2).state.missingFrom).toBe(11);
  });

  test("[L34] a dead one can be replaced and removed, as long as the others can decide", () => {
    const cluster = upTo(10);
    cluster.away.add(R3);
    expect(prepared(cluster, { type: "replace", replica: R3, by: R4 })).toMatchObject({ type: "prepared" });
    expect(prepared(cluster, { type: "remove", replica: R3 })).toMatchObject({ type: "prepared" });
  });
});

describe("what is refused", () => {
  test.each([
    ["a member is added", { type: "add", replica: R1 }, "replica-1 is a member already"],
    ["somebody else is removed", { type: "remove", replica: R4 }, "replica-4 is no member: the members are"],
    ["somebody else is replaced", { type: "replace", replica: R4, by: R4 }, "replica-4 is no member"],
    ["one is replaced by another member", { type: "replace", replica: R1, by: R2 }, "replica-2 is a member already"],
  ] as const)("[L34] %s: nobody is asked", (_what, change, reason) => {
    const cluster = upTo(10);
    expect(prepared(cluster, change)).toEqual(refusedAs(reason));
    expect(cluster.sent).toEqual([]);
  });

  test("[L34] the last member is not removed, but may be replaced", () => {
    const cluster = upTo(10, [R4], [R1]);
    const alone = electorateOf(1, R1);
    expect(prepared(cluster, { type: "remove", replica: R1 }, alone)).toEqual(refusedAs("the last member"));
    expect(prepared(cluster, { type: "replace", replica: R1, by: R4 }, alone)).toMatchObject({ type: "prepared" });
  });

  test("[L34] no more than the most members", () => {
    const nine = Array.from({ length: REPLICAS_MAX }, (_, index) => named(index + 1));
    const change = { type: "add", replica: named(REPLICAS_MAX + 1) } as const;
    expect(prepared(upTo(10), change, electorateOf(1, ...nine))).toEqual(refusedAs("at most 9 replicas"));
  });

  test("[L34] a newcomer that does not answer", () => {
    const cluster = upTo(10);
    cluster.away.add(R4);
    expect(prepared(cluster, { type: "add", replica: R4 })).toEqual(
      refusedAs("replica-4 cannot take a seat: Error: away"),
    );
  });

  test("[L34] a newcomer that is another one, or another cluster's", () => {
    const cluster = upTo(10);
    cluster.replica(R4).deliver(enlist(R3));
    expect(prepared(cluster, { type: "add", replica: R4 })).toEqual(
      refusedAs("replica-4 cannot take a seat: it is replica-3, not replica-4"),
    );
    const other = upTo(10);
    other.replica(R4).deliver(enlist(R4, OTHER_CLUSTER));
    expect(prepared(other, { type: "add", replica: R4 })).toEqual(refusedAs("belongs to another cluster"));
  });

  test("[L34] a change to members that could not decide without the others", () => {
    const cluster = upTo(10);
    cluster.away.add(R2);
    expect(prepared(cluster, { type: "remove", replica: R1 })).toEqual(
      refusedAs("replica-2, replica-3 could not decide"),
    );
    const two = upTo(10, [R4], [R1]);
    expect(prepared(two, { type: "add", replica: R4 }, electorateOf(1, R1))).toMatchObject({ type: "prepared" });
  });

  test("[L34] a member that lags too far is none that could decide", () => {
    const cluster = upTo(SEATED_LAG_MAX + 10);
    cluster.replicas.delete(R2);
    cluster.replicas.set(R2, new TestCluster().replica(R2));
    expect(prepared(cluster, { type: "remove", replica: R1 })).toEqual(refusedAs("replica-2 voting to 1"));
    cluster.replica(R2).learned(ballot(1), ...values(20, 2));
    expect(prepared(cluster, { type: "remove", replica: R1 })).toMatchObject({ type: "prepared" });
  });

  test("[L12] [L34] neither is one with damaged records", () => {
    const cluster = upTo(10);
    cluster.replica(R2).storage.damage(cluster.replica(R2).state.end);
    cluster.replica(R2).deliver(read(1));
    expect(prepared(cluster, { type: "remove", replica: R1 })).toEqual(refusedAs("replica-2 recovering"));
  });

  test("[L13] [L34] members that answer for another cluster do not count", () => {
    const cluster = upTo(10);
    for (const id of [R2, R3]) {
      cluster.replicas.set(id, new TestCluster([], [id]).replica(id));
      cluster.replica(id).deliver(enlist(id, OTHER_CLUSTER));
    }
    expect(prepared(cluster, { type: "remove", replica: R1 })).toMatchObject({ type: "refused-change" });
  });

  test("[L13] [L34] what another cluster's log says is no measure for ours", () => {
    const cluster = upTo(10);
    cluster.replicas.set(R3, new TestCluster([], [R3]).replica(R3));
    cluster.replica(R3).deliver(enlist(R3, OTHER_CLUSTER));
    const records = Array.from({ length: 2_000 }, (_, index) => record(index + 1, ballot(1)));
    for (const from of [1, 2_001]) {
      const page = records.map((one) => ({ ...one, position: position(one.position + from - 1) }));
      cluster.replica(R3).deliver({ type: "catch-up", clusterId: OTHER_CLUSTER, records: page });
    }
    expect(cluster.replica(R3).state.end).toBe(4_000);
    expect(prepared(cluster, { type: "add", replica: R4 })).toMatchObject({ type: "prepared" });
  });

  test("[L34] when nobody answers, it says so in words for people", () => {
    const cluster = upTo(10);
    for (const id of REPLICAS) cluster.away.add(id);
    const answer = prepared(cluster, { type: "remove", replica: R1 });
    expect(answer).toMatchObject({ type: "refused-change" });
    expect(answer).toHaveProperty("reason", expect.not.stringMatching(/Infinity|NaN|undefined/));
  });
});

describe("bringing it up to date", () => {
  test("[L19] [L34] in pages, as many as it takes", () => {
    const cluster = upTo(9_000);
    expect(prepared(cluster, { type: "add", replica: R4 })).toMatchObject({ type: "prepared" });
    expect(cluster.replica(R4).state.missingFrom).toBe(9_001);
    expect(cluster.sentOf("catch-up")).toHaveLength(5);
  });

  test("[L34] one that lacks little may take its seat: it learns the rest with the entry that seats it", () => {
    const cluster = upTo(SEATED_LAG_MAX);
    cluster.isLost = ({ message }) => message.type === "catch-up";
    expect(prepared(cluster, { type: "add", replica: R4 })).toMatchObject({ type: "prepared" });
  });

  test("[L34] one that lacks more and does not move is refused, and says where it stays", () => {
    const cluster = upTo(SEATED_LAG_MAX + 1);
    cluster.isLost = ({ message }) => message.type === "catch-up";
    expect(prepared(cluster, { type: "add", replica: R4 })).toEqual(
      refusedAs(`replica-4 cannot be brought up to date: it stays at 0 of ${SEATED_LAG_MAX + 1}`),
    );
    cluster.isLost = () => false;
    expect(prepared(cluster, { type: "add", replica: R4 })).toMatchObject({ type: "prepared" });
  });

  test("[L34] one call sends a bounded number of pages, and the next goes on from there", () => {
    // A page for every five entries of this length.
    const last = 5 * PREPARE_PAGES_MAX + SEATED_LAG_MAX + 100;
    const cluster = new TestCluster([R1], [R4]);
    const long = value("x".repeat(200_000));
    for (let at = 2; at <= last; at += 500) {
      cluster.replica(R1).learned(ballot(1), ...Array.from({ length: Math.min(500, last - at + 1) }, () => long));
    }
    // Not copied: what is sent is long, and only how often matters.
    const deliver = cluster.deliver.bind(cluster);
    let pages = 0;
    cluster.deliver = (send) => {
      const { type } = send.message;
      if (type !== "catch-up" && type !== "read") return deliver(send);
      if (type === "catch-up") pages += 1;
      return { type: "answer", answer: cluster.replica(send.to).deliver(send.message) };
    };
    const answer = prepared(cluster, { type: "add", replica: R4 }, electorateOf(1, R1));
    expect(answer).toMatchObject({ type: "preparing", end: last });
    expect(pages).toBe(PREPARE_PAGES_MAX);
    expect(answer.type === "preparing" && answer.missingFrom).toBe(cluster.replica(R4).state.missingFrom);
    expect(prepared(cluster, { type: "add", replica: R4 }, electorateOf(1, R1))).toMatchObject({ type: "prepared" });
  });
});
