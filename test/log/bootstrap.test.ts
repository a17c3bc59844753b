import { describe, expect, test } from "vitest";
import { bootstrap } from "#log/bootstrap.ts";
import { elect } from "#log/elect.ts";
import { type ClusterId, position } from "#log/entry.ts";
import { statusOf } from "#log/replica.ts";
import { status } from "#log/status.ts";
import { TestCluster } from "./cluster.ts";
import {
  ballot,
  catchUp,
  CLUSTER,
  enlist,
  lifeOf,
  MEMBERSHIP,
  membershipOf,
  OTHER_CLUSTER,
  R1,
  R2,
  R3,
  R4,
  record,
  REPLICAS,
  seating,
  start,
  TestReplica,
  VOTE,
} from "./sample.ts";

const init = (cluster: TestCluster, clusterId: ClusterId = CLUSTER) => cluster.call(bootstrap({ clusterId }, REPLICAS));
const empty = () => new TestCluster([], REPLICAS);
const statuses = (cluster: TestCluster) => REPLICAS.map((id) => statusOf(cluster.replica(id).restart()));

describe("the bootstrap", () => {
  test("[L20] all EMPTY become VOTING, each under its own incarnation, with the membership learned at position 1", () => {
    const cluster = empty();
    expect(init(cluster)).toEqual({ type: "bootstrapped", membership: MEMBERSHIP });
    expect(statuses(cluster)).toEqual(["voting", "voting", "voting"]);
    expect(cluster.replica(R2).state).toMatchObject({ clusterId: CLUSTER, replicaId: R2, missingFrom: 2, end: 1 });
    expect(cluster.replica(R2).valueAt(1)).toEqual({ type: "membership", membership: MEMBERSHIP });
    expect(MEMBERSHIP.seats[1]).toEqual({ replica: R2, incarnation: lifeOf(R2) });
  });

  test("[L20] repeating it with the same id changes nothing", () => {
    const cluster = empty();
    init(cluster);
    cluster.call(elect({ clusterId: CLUSTER, ballot: ballot(4), from: position(1) }, REPLICAS));
    const before = REPLICAS.map((id) => cluster.replica(id).state);
    expect(init(cluster)).toEqual({ type: "bootstrapped", membership: MEMBERSHIP });
    expect(REPLICAS.map((id) => cluster.replica(id).state)).toEqual(before);
  });

  test("[L20] with a replica away nothing begins, and a repeat finishes", () => {
    const cluster = empty();
    cluster.away.add(R3);
    expect(init(cluster)).toEqual({
      type: "unavailable",
      reason: "2 of 3 replicas answered, all needed: replica-3: Error: away",
      reachable: 2,
      replicas: 3,
    });
    expect(statuses(cluster)).toEqual(["empty", "empty", "empty"]);
    cluster.away.clear();
    expect(init(cluster)).toMatchObject({ type: "bootstrapped" });
  });

  test.each([
    ["after one replica started", ["starting", "empty", "empty"]],
    ["between the phases", ["starting", "starting", "starting"]],
    ["after one replica votes", ["voting", "starting", "starting"]],
  ] as const)("[L20] interrupted %s, a repeat finishes it", (_when, reached) => {
    const cluster = empty();
    for (const [index, id] of REPLICAS.entries()) {
      const replica = cluster.replica(id);
      if (reached[index] === "empty") continue;
      replica.deliver(start(id));
      if (reached[index] === "voting") replica.deliver(VOTE);
    }
    expect(statuses(cluster)).toEqual(reached);
    expect(init(cluster)).toMatchObject({ type: "bootstrapped" });
    expect(statuses(cluster)).toEqual(["voting", "voting", "voting"]);
  });

  test("[L20] an EMPTY replica does not vote without the first phase", () => {
    expect(new TestReplica(R1).deliver(VOTE).type).toBe("ignored");
  });

  test("[L20] a STARTING replica takes no other set, and no records", () => {
    const replica = new TestReplica(R1);
    replica.deliver(start(R1));
    expect(replica.step(start(R1))).toMatchObject({ answer: { type: "bootstrapped" }, effects: [] });
    expect(replica.step(start(R1, membershipOf(R1, R2)))).toMatchObject({ answer: { type: "ignored" }, effects: [] });
    const message = catchUp([record(1, ballot(1), seating(R1))]);
    expect(replica.step(message)).toMatchObject({ answer: { type: "ignored" }, effects: [] });
  });

  test("[L20] a set that was interrupted and then lost a storage is not finished with the old seats", () => {
    const cluster = empty();
    for (const id of [R1, R2]) cluster.replica(id).deliver(start(id));
    cluster.replica(R2).loseStorage();
    expect(init(cluster)).toMatchObject({ type: "refused-bootstrap" });
    expect(statuses(cluster)).not.toContain("voting");
  });
});

describe("what is never bootstrapped", () => {
  test("[L21] another cluster id is refused", () => {
    const cluster = empty();
    init(cluster);
    expect(init(cluster, OTHER_CLUSTER)).toEqual({
      type: "refused-bootstrap",
      reason: "replica-1 belongs to cluster cluster-1",
    });
    expect(cluster.replica(R1).deliver(start(R1, MEMBERSHIP, OTHER_CLUSTER)).type).toBe("foreign-cluster");
    expect(cluster.replica(R1).deliver({ ...VOTE, clusterId: OTHER_CLUSTER } as typeof VOTE).type).toBe(
      "foreign-cluster",
    );
  });

  test("[L21] EMPTY beside VOTING is a loss and is refused (H8)", () => {
    const cluster = empty();
    init(cluster);
    cluster.replica(R2).loseStorage();
    expect(init(cluster)).toMatchObject({
      type: "refused-bootstrap",
      reason: expect.stringContaining("replica-2 is empty although others vote"),
    });
    expect(statuses(cluster)[1]).toBe("empty");
  });

  test("[L21] a replica that was enlisted, or left, held a log before", () => {
    const enlisted = empty();
    enlisted.replica(R1).deliver(enlist(R1));
    expect(init(enlisted)).toEqual({
      type: "refused-bootstrap",
      reason: "replica-1 is recovering: it held a log before",
    });
    const left = new TestCluster();
    left.replica(R1).learned(ballot(1), seating(R2, R3));
    const before = left.replica(R1).state;
    expect(init(left)).toMatchObject({ type: "refused-bootstrap" });
    expect(left.replica(R1).deliver(start(R1)).type).toBe("ignored");
    expect(left.replica(R1).state).toBe(before);
  });

  test("[L21] a replica that holds records is not empty, whatever else it says", () => {
    const cluster = empty();
    const replica = cluster.replica(R1);
    replica.state = { ...replica.state, end: position(2) };
    expect(init(cluster)).toEqual({ type: "refused-bootstrap", reason: "replica-1 is not empty" });
    expect(replica.deliver(start(R1)).type).toBe("ignored");
  });

  test("[L21] a plane whose replicas have all lost their storage is a new one only by an operator's word (H8)", () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.replica(id).loseStorage();
    cluster.call(elect({ clusterId: CLUSTER, ballot: ballot(4), from: position(1) }, REPLICAS));
    expect(statuses(cluster)).toEqual(["empty", "empty", "empty"]);
    expect(cluster.sentOf("bootstrap-start")).toEqual([]);
  });
});

describe("looking at the replicas", () => {
  test("[L21] the status tells each one's, and the cluster id that a quorum has", () => {
    const cluster = empty();
    expect(cluster.call(status(REPLICAS)).clusterId).toBeUndefined();
    init(cluster);
    cluster.replica(R2).loseStorage();
    cluster.away.add(R3);
    const one = cluster.call(status(REPLICAS));
    expect(one.clusterId).toBeUndefined();
    expect(one.replicas).toMatchObject([
      { id: R1, status: "voting", member: true, clusterId: CLUSTER, begin: 1, end: 1, incarnation: lifeOf(R1) },
      { id: R2, status: "empty", member: true, incarnation: lifeOf(R2, 2) },
      { id: R3, status: "unreachable", member: true, reason: "Error: away" },
    ]);
    cluster.away.clear();
    expect(cluster.call(status(REPLICAS)).clusterId).toBe(CLUSTER);
  });

  test("[L15] it follows the newest membership, and says who is no member any more", () => {
    const cluster = new TestCluster(REPLICAS, [R4]);
    for (const id of [R1, R2]) cluster.replica(id).learned(ballot(1), seating(R1, R2, R4));
    const found = cluster.call(status([R3, R1]));
    expect(found.electorate).toMatchObject({ position: 2 });
    expect(found.replicas.map(({ id, member }) => [id, member])).toEqual([
      [R3, false],
      [R1, true],
      [R2, true],
      [R4, true],
    ]);
    expect(found.clusterId).toBe(CLUSTER);
  });
});
