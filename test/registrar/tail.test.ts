// The tail of a real log of three replicas in memory, whoever is away and whatever stands at its end.
import { describe, expect, test } from "vitest";
import { append } from "#log/append.ts";
import { elect } from "#log/elect.ts";
import { type Entry, position } from "#log/entry.ts";
import { tail } from "#registrar/tail.ts";
import { TestCluster } from "../log/cluster.ts";
import {
  ballot,
  catchUp,
  CLUSTER,
  ELECTORATE,
  MEMBERSHIP,
  NOP,
  OTHER_CLUSTER,
  R1,
  R2,
  R3,
  R4,
  record,
  REPLICAS,
  truncateTo,
  write,
} from "../log/sample.ts";
import { admit, leader, leaderEntry, operationsEntry, operationsUnder, text } from "./sample.ts";

const membership: Entry = { type: "membership", membership: MEMBERSHIP };
const tailOf = (cluster: TestCluster, clusterId = CLUSTER) => cluster.call(tail({ clusterId }, REPLICAS));

/** A log whose entries from 2 on are chosen, under one ballot, one write each. */
function logOf(...entries: readonly Entry[]): TestCluster {
  const cluster = new TestCluster();
  const by = ballot(1);
  cluster.call(elect({ clusterId: CLUSTER, ballot: by, from: position(1) }, REPLICAS));
  let electorate = ELECTORATE;
  for (const [index, entry] of entries.entries()) {
    const at = position(index + 2);
    const answer = cluster.call(append({ clusterId: CLUSTER, ballot: by, electorate, position: at, entries: [entry] }));
    if (answer.type !== "appended") throw new Error(answer.type);
    electorate = answer.electorate;
  }
  cluster.forget();
  return cluster;
}

describe("[R16] the tail of the log", () => {
  test("before the first leader there is none", () => {
    expect(tailOf(new TestCluster())).toEqual({ type: "tail", leader: undefined, decidedTo: 2 });
    expect(tailOf(logOf(NOP, membership, NOP))).toEqual({ type: "tail", leader: undefined, decidedTo: 5 });
  });

  test.each([
    ["a leader entry", [leaderEntry()], leader(2), 3],
    ["operations", [leaderEntry(), operationsUnder(leader(2), admit(1))], leader(2), 4],
    ["the second leader's entry", [leaderEntry(), leaderEntry("master-2")], leader(3, "master-2"), 4],
    ["entries of the log's own", [leaderEntry(), NOP, membership, NOP, truncateTo(2), NOP], leader(2), 8],
    [
      "operations of release 0.1.0",
      [leaderEntry(), ...Array.from({ length: 40 }, (_, n) => operationsEntry(admit(n)))],
      leader(2),
      43,
    ],
    [
      "an entry of a newer release",
      [leaderEntry(), text(JSON.stringify({ v: 9, type: "new", leader: leader(2) }))],
      leader(2),
      4,
    ],
  ])("it names who led when the last entry is %s", (_what, entries, by, decidedTo) => {
    expect(tailOf(logOf(...entries))).toEqual({ type: "tail", leader: by, decidedTo });
  });

  test("a log of release 0.1.0 is read back in few looks, to its last leader entry", () => {
    const cluster = logOf(leaderEntry(), ...Array.from({ length: 700 }, () => operationsEntry()));
    expect(tailOf(cluster)).toMatchObject({ leader: leader(2), decidedTo: 703 });
    expect(cluster.sentOf("read").length).toBeLessThan(20);
  });

  test("a log that was truncated behind its last leader entry still tells, by the heads that are left", () => {
    const by = leader(2);
    const cluster = logOf(leaderEntry(), operationsUnder(by), operationsUnder(by), truncateTo(4), NOP, NOP);
    expect(tailOf(cluster)).toMatchObject({ leader: by, decidedTo: 8 });
  });

  test("when all that is left after a truncation says nothing, nobody is named", () => {
    const cluster = logOf(leaderEntry(), operationsEntry(), NOP, truncateTo(4), NOP, NOP);
    expect(tailOf(cluster)).toMatchObject({ type: "tail", leader: undefined, decidedTo: 8 });
  });

  test("an entry that says nobody is reported in words, not skipped", () => {
    const answer = tailOf(logOf(leaderEntry(), text('{"v":9,"type":"surprise"}'), NOP));
    expect(answer).toMatchObject({ type: "unavailable" });
    expect(answer).toHaveProperty("reason", expect.stringContaining("cannot read the log entry at 3"));
  });

  test("two of three replicas are enough, whichever is away, and one alone is not", () => {
    for (const away of REPLICAS) {
      const cluster = logOf(leaderEntry(), operationsUnder(leader(2)));
      cluster.away.add(away);
      expect(tailOf(cluster), away).toMatchObject({ leader: leader(2), decidedTo: 4 });
      for (const other of REPLICAS) if (other !== R1) cluster.away.add(other);
      cluster.away.delete(R1);
      expect(tailOf(cluster)).toMatchObject({ type: "unavailable", reachable: 1, replicas: 3 });
    }
  });

  test("what is chosen and learned by nobody is seen, although it was accepted by two only", () => {
    const cluster = logOf(leaderEntry());
    for (const replica of [R2, R3]) cluster.replica(replica).deliver(write(ballot(2), 3, leaderEntry("master-2")));
    expect(tailOf(cluster)).toEqual({ type: "tail", leader: leader(3, "master-2"), decidedTo: 4 });
    // With one of the two away the others cannot tell: what is not known to be chosen names nobody.
    cluster.away.add(R3);
    expect(tailOf(cluster)).toEqual({ type: "tail", leader: leader(2), decidedTo: 3 });
  });

  test("a log that is being written all the time is not followed for ever", () => {
    const cluster = logOf(leaderEntry());
    let next = 3;
    cluster.before = ({ message }) => {
      // Each question finds one more entry than the one before it.
      if (message.type !== "read" || next > 60) return;
      for (const replica of [R2, R3])
        cluster.replica(replica).deliver(write(ballot(1), next, operationsUnder(leader(2))));
      next += 1;
    };
    expect(tailOf(cluster)).toMatchObject({ type: "tail", leader: leader(2) });
    expect(next).toBeLessThan(30);
  });

  test("one replica that lags does not hide the newest leader", () => {
    const cluster = logOf(leaderEntry());
    const by = ballot(2);
    const learned = catchUp([record(2, by, leaderEntry()), record(3, by, leaderEntry("master-2"))]);
    for (const replica of [R2, R3]) cluster.replica(replica).deliver(learned);
    expect(tailOf(cluster)).toMatchObject({ leader: leader(3, "master-2") });
    cluster.away.add(R3);
    expect(tailOf(cluster)).toMatchObject({ leader: leader(3, "master-2") });
  });

  test("it raises no promise and changes nothing at any replica", () => {
    const cluster = logOf(leaderEntry(), operationsUnder(leader(2)));
    const before = REPLICAS.map((id) => cluster.replica(id).state);
    tailOf(cluster);
    expect(REPLICAS.map((id) => cluster.replica(id).state)).toEqual(before);
    expect(new Set(cluster.sent.map(({ message }) => message.type))).toEqual(new Set(["read"]));
  });

  test("another cluster, and replicas that are empty, are no answer", () => {
    expect(tailOf(logOf(leaderEntry()), OTHER_CLUSTER)).toMatchObject({ type: "unavailable" });
    expect(tailOf(new TestCluster([], REPLICAS))).toMatchObject({ type: "unavailable" });
  });

  test("it follows the newest membership, when those that it can name were replaced", () => {
    const cluster = new TestCluster(REPLICAS, [R4]);
    const seats = [R1, R2, R4].map((replica) => ({ replica, incarnation: cluster.replica(replica).state.incarnation }));
    const known = [
      record(2, ballot(1), { type: "membership", membership: { seats } }),
      record(3, ballot(1), leaderEntry()),
    ];
    cluster.replica(R4).deliver({ type: "enlist", clusterId: CLUSTER, replicaId: R4 });
    const first = record(1, ballot(1), membership);
    cluster.replica(R4).deliver(catchUp([first, ...known]));
    for (const replica of [R1, R2]) cluster.replica(replica).deliver(catchUp(known));
    cluster.away.add(R1);
    expect(tailOf(cluster)).toEqual({ type: "tail", leader: leader(3), decidedTo: 4 });
  });
});
