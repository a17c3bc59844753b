import { describe, expect, test } from "vitest";
import { bootstrap } from "#log/bootstrap.ts";
import { elect } from "#log/elect.ts";
import { type ClusterId, position } from "#log/entry.ts";
import { status } from "#log/status.ts";
import { TestCluster } from "./cluster.ts";
import { ballot, CLUSTER, MEMBERSHIP, R1, R2, R3, REPLICAS, write, value } from "./sample.ts";

const init = (cluster: TestCluster, clusterId: ClusterId = CLUSTER) => cluster.call(bootstrap({ clusterId }, REPLICAS));
const statuses = (cluster: TestCluster) => REPLICAS.map((id) => cluster.replica(id).stored().status);

describe("the bootstrap", () => {
  test("[L20] all EMPTY become VOTING with the membership learned at position 1", () => {
    const cluster = new TestCluster("empty");
    expect(init(cluster)).toEqual({ type: "bootstrapped", membership: MEMBERSHIP });
    expect(statuses(cluster)).toEqual(["voting", "voting", "voting"]);
    expect(cluster.replica(R2).stored()).toMatchObject({ clusterId: CLUSTER, replicaId: R2, missingFrom: 2, end: 1 });
    expect(cluster.replica(R2).valueAt(1)).toEqual({ type: "membership", membership: MEMBERSHIP });
  });

  test("[L20] repeating it with the same id changes nothing", () => {
    const cluster = new TestCluster("empty");
    init(cluster);
    cluster.call(elect({ clusterId: CLUSTER, ballot: ballot(4), from: position(1) }, REPLICAS));
    const before = cluster.replica(R1).state;
    expect(init(cluster)).toEqual({ type: "bootstrapped", membership: MEMBERSHIP });
    expect(cluster.replica(R1).state).toEqual(before);
  });

  test("[L20] with a replica away nothing begins, and a repeat finishes", () => {
    const cluster = new TestCluster("empty");
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
    const cluster = new TestCluster("empty");
    for (const [index, id] of REPLICAS.entries()) {
      const replica = cluster.replica(id);
      if (reached[index] === "empty") continue;
      replica.deliver({ type: "bootstrap-start", clusterId: CLUSTER, replicaId: id, membership: MEMBERSHIP });
      if (reached[index] === "voting") replica.deliver({ type: "bootstrap-vote", clusterId: CLUSTER });
    }
    expect(statuses(cluster)).toEqual(reached);
    expect(init(cluster)).toMatchObject({ type: "bootstrapped" });
    expect(statuses(cluster)).toEqual(["voting", "voting", "voting"]);
  });

  test("[L20] an EMPTY replica does not vote without the first phase", () => {
    const cluster = new TestCluster("empty");
    expect(cluster.replica(R1).deliver({ type: "bootstrap-vote", clusterId: CLUSTER }).type).toBe("ignored");
  });

  test("[L21] another cluster id is refused", () => {
    const cluster = new TestCluster("empty");
    init(cluster);
    expect(init(cluster, "cluster-2" as ClusterId)).toEqual({
      type: "refused-bootstrap",
      reason: "replica-1 belongs to cluster cluster-1",
    });
    const foreign = {
      type: "bootstrap-start",
      clusterId: "cluster-2" as ClusterId,
      replicaId: R1,
      membership: MEMBERSHIP,
    } as const;
    expect(cluster.replica(R1).deliver(foreign).type).toBe("foreign-cluster");
  });

  test("[L21] EMPTY beside VOTING is a loss and is refused", () => {
    const cluster = new TestCluster("empty");
    init(cluster);
    cluster.replica(R2).forgetEverything();
    expect(init(cluster)).toMatchObject({
      type: "refused-bootstrap",
      reason: expect.stringContaining("replica-2 is empty although others vote"),
    });
    expect(cluster.replica(R2).state.status).toBe("empty");
  });

  test("[L21] a replica that holds records is not empty, whatever its status says", () => {
    const cluster = new TestCluster("empty");
    const other = new TestCluster();
    other.replica(R1).deliver(write(ballot(1), 2, value("a")));
    const replica = cluster.replica(R1);
    replica.state = { ...replica.state, end: position(2) };
    expect(init(cluster)).toEqual({ type: "refused-bootstrap", reason: "replica-1 is not empty" });
    const start = { type: "bootstrap-start", clusterId: CLUSTER, replicaId: R1, membership: MEMBERSHIP } as const;
    expect(replica.deliver(start).type).toBe("ignored");
  });
});

test("[L21] the status tells each replica's, and the cluster id that a quorum has", () => {
  const cluster = new TestCluster("empty");
  expect(cluster.call(status(REPLICAS)).clusterId).toBeUndefined();
  init(cluster);
  cluster.replica(R2).forgetEverything();
  cluster.away.add(R3);
  const one = cluster.call(status(REPLICAS));
  expect(one.clusterId).toBeUndefined();
  expect(one.replicas).toMatchObject([
    { id: R1, status: "voting", clusterId: CLUSTER, begin: 1, end: 1 },
    { id: R2, status: "empty" },
    { id: R3, status: "unreachable", reason: "Error: away" },
  ]);
  cluster.away.clear();
  expect(cluster.call(status(REPLICAS)).clusterId).toBe(CLUSTER);
});
