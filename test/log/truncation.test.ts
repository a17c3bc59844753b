import { describe, expect, test } from "vitest";
import { settle } from "#log/settle.ts";
import { type Entry, position } from "#log/entry.ts";
import { elect } from "#log/elect.ts";
import { PAGE_ENTRIES_MAX } from "#log/limits.ts";
import { TestCluster } from "./cluster.ts";
import {
  ballot,
  catchUp,
  CLUSTER,
  ELECTORATE,
  electorateOf,
  enlist,
  learn,
  membershipOf,
  R1,
  R2,
  R3,
  R4,
  read,
  record,
  REPLICAS,
  seating,
  TestReplica,
  tombstone,
  truncateTo,
  value,
  values,
  write,
} from "./sample.ts";

const voter = () => new TestReplica(R1, membershipOf(R1, R2, R3));
const truncationOf = ({ state }: TestReplica) => [state.begin, state.electorateAtBegin];

describe("a learned truncation", () => {
  test("[L25] everything below it is dropped, in the transaction that learns it", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a"), value("b"), truncateTo(3)));
    expect(replica.state.begin).toBe(1);
    const { effects } = replica.step(learn(ballot(1), 4));
    expect(effects).toMatchObject([
      { type: "drop-below", to: 3 },
      { type: "persist-metadata", metadata: { begin: 3, electorateAtBegin: ELECTORATE, missingFrom: 5 } },
    ]);
    replica.storage.persist(effects);
    expect(replica.restart()).toMatchObject({ begin: 3, end: 4 });
    expect([1, 2, 3, 4].map((at) => replica.valueAt(at))).toEqual([undefined, undefined, value("b"), truncateTo(3)]);
  });

  test("[L25] one that is only accepted drops nothing", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("a"), truncateTo(3)));
    expect(replica.restart()).toMatchObject({ begin: 1 });
    expect(replica.valueAt(1)).toBeDefined();
  });

  test("[L25] it comes by catch-up and by a notice on a write as well", () => {
    const caughtUp = voter().learned(ballot(1), value("a"), truncateTo(3));
    expect(truncationOf(caughtUp)).toEqual([3, ELECTORATE]);
    const noticed = voter();
    noticed.deliver(write(ballot(1), 2, value("a"), truncateTo(3)));
    noticed.deliver({ ...write(ballot(1), 4, value("b")), chosenThrough: position(3) });
    expect(truncationOf(noticed)).toEqual([3, ELECTORATE]);
    expect(noticed.state.end).toBe(4);
  });

  test("[L25] an older one than what is truncated already changes nothing", () => {
    const replica = voter().learned(ballot(1), ...values(5), truncateTo(6), truncateTo(2));
    expect(truncationOf(replica)).toEqual([6, ELECTORATE]);
  });

  test("[L25] a write below it was answered long ago, and is not accepted again", () => {
    const replica = voter().learned(ballot(1), value("a"), value("b"), truncateTo(4));
    expect(replica.step(write(ballot(1), 2, value("a")))).toMatchObject({ answer: { type: "ignored" }, effects: [] });
  });

  test("[L25] at its own position, everything before it is dropped, and it stays", () => {
    const replica = voter().learned(ballot(1), value("a"), truncateTo(3));
    expect(replica.restart()).toMatchObject({ begin: 3, end: 3, missingFrom: 4 });
    expect(replica.valueAt(3)).toEqual(truncateTo(3));
  });
});

describe("the membership in force where the log begins", () => {
  const seat2 = seating(R1, R2);
  const seat4 = seating(R1, R2, R4);

  test.each([
    [2, electorateOf(1, R1, R2, R3)],
    [3, electorateOf(1, R1, R2, R3)],
    [4, electorateOf(3, R1, R2)],
    [5, electorateOf(3, R1, R2)],
    [6, electorateOf(5, R1, R2, R4)],
    [7, electorateOf(5, R1, R2, R4)],
  ])("[L25] truncated to %i it is the last membership below that", (to, expected) => {
    const entries: Entry[] = [value("2"), seat2, value("4"), seat4, value("6"), truncateTo(to)];
    // Learned in one go, one by one, and read back from disk in between.
    const replicas = [voter().learned(ballot(1), ...entries), voter(), voter()];
    for (const entry of entries) {
      replicas[1]?.learned(ballot(1), entry);
      replicas[2]?.learned(ballot(1), entry);
      replicas[2]?.restart();
    }
    for (const replica of replicas) expect(truncationOf(replica)).toEqual([to, expected]);
  });

  test("[L25] a second truncation starts from the first one's", () => {
    const replica = voter().learned(ballot(1), seat2, value("3"), truncateTo(3), value("5"), seat4, truncateTo(5));
    expect(truncationOf(replica)).toEqual([5, electorateOf(2, R1, R2)]);
    const later = voter().learned(ballot(1), seat2, value("3"), truncateTo(3));
    later.learned(ballot(1), value("5"), seat4, truncateTo(5));
    expect(truncationOf(later)).toEqual([5, electorateOf(2, R1, R2)]);
  });

  test("[L25] more than a page is looked through for it", () => {
    const replica = voter().learned(ballot(1), ...values(PAGE_ENTRIES_MAX + 500), seat2, ...values(100));
    const at = PAGE_ENTRIES_MAX + 502;
    replica.learned(ballot(1), seat4, truncateTo(at + 1));
    expect(truncationOf(replica)).toEqual([at + 1, electorateOf(at, R1, R2)]);
  });

  test.each(["catch-up", "notice"])(
    "[L12] [L25] with damage on the way it is not guessed: the replica is RECOVERING, and learns it after the repair (%s)",
    (how) => {
      const replica = voter().learned(ballot(1), seat2, value("3"), truncateTo(3));
      const [moved, last] = [record(5, ballot(1), seat4), record(8, ballot(1), truncateTo(7))];
      replica.learned(ballot(1), moved.entry, value("6"), seating(R1, R2, R3));
      const notice = learn(ballot(1), 8);
      if (how === "notice") replica.deliver({ ...write(ballot(1), 8, last.entry), membershipPosition: position(7) });
      replica.storage.damage(position(5));
      const arrives = (): unknown => replica.deliver(how === "notice" ? notice : catchUp([last]));
      expect(arrives()).toMatchObject({
        type: "ignored",
        standing: { status: "recovering", damaged: { from: 5, to: 5 } },
      });
      expect(truncationOf(replica)).toEqual([3, electorateOf(2, R1, R2)]);
      replica.deliver(catchUp([moved]));
      expect(arrives()).toMatchObject({ type: "learned", standing: { missingFrom: 9 } });
      expect(truncationOf(replica)).toEqual([7, electorateOf(5, R1, R2, R4)]);
    },
  );
});

describe("who asks below the beginning", () => {
  const truncated = () => voter().learned(ballot(1), ...values(8, 2), truncateTo(6));

  test("[L25] is answered with a tombstone, and with what is there", () => {
    expect(truncated().deliver(read(2))).toMatchObject({
      type: "page",
      tombstone: { begin: 6, electorate: ELECTORATE },
      page: { records: [{ position: 6 }, { position: 7 }, { position: 8 }, { position: 9 }, { position: 10 }] },
    });
    expect(truncated().deliver(read(2, 4))).toMatchObject({ tombstone: { begin: 6 }, page: { records: [] } });
  });

  test("[L25] from the beginning on there is no tombstone", () => {
    expect(truncated().deliver(read(6))).toHaveProperty("tombstone", undefined);
  });

  test("[L25] a replica that lags jumps there, and goes by the membership in force there", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 2, value("never chosen")));
    const jumped = replica.deliver(
      catchUp([record(8, ballot(2)), record(9, ballot(2))], tombstone(8, electorateOf(5, R1, R4))),
    );
    expect(jumped).toMatchObject({
      type: "learned",
      standing: { begin: 8, missingFrom: 10, end: 9, electorate: electorateOf(5, R1, R4) },
    });
    expect(replica.restart()).toMatchObject({ begin: 8, electorateAtBegin: electorateOf(5, R1, R4) });
    expect(replica.valueAt(2)).toBeUndefined();
    expect(replica.deliver(read(3))).toMatchObject({ tombstone: { begin: 8, electorate: electorateOf(5, R1, R4) } });
  });

  test("[L25] a tombstone without records is a jump too", () => {
    const replica = voter();
    expect(replica.deliver(catchUp([], tombstone(8))).standing).toMatchObject({ begin: 8, missingFrom: 8, end: 7 });
    expect(replica.restart()).toMatchObject({ begin: 8, missingFrom: 8, end: 7 });
    replica.learned(ballot(2), value("8"));
    expect(replica.restart()).toMatchObject({ end: 8, missingFrom: 9 });
  });

  test("[L25] what was accepted behind it stays accepted", () => {
    const replica = voter();
    replica.deliver(write(ballot(1), 9, value("accepted")));
    replica.deliver(catchUp([record(8, ballot(2))], tombstone(8)));
    expect(replica.state).toMatchObject({ missingFrom: 9, end: 9 });
    expect(replica.recordAt(9)).toEqual(record(9, ballot(1), value("accepted")));
  });

  test("[L25] one that has learned more than what is truncated elsewhere forgets none of it", () => {
    const replica = voter().learned(ballot(1), ...values(8, 2));
    replica.deliver(catchUp([], tombstone(5)));
    expect(replica.restart()).toMatchObject({ missingFrom: 10, end: 9, electorate: ELECTORATE });
    for (let at = 5; at < 10; at++) expect(replica.valueAt(at)).toEqual(value(`${at}`));
  });

  test("[L25] a newer membership than the tombstone's is kept", () => {
    const replica = voter().learned(ballot(1), ...values(8, 2), seating(R1, R4));
    replica.deliver(catchUp([], tombstone(5)));
    expect(replica.state.electorate).toEqual(electorateOf(10, R1, R4));
  });

  test("[L25] a truncation that follows a jump in the same page finds the membership of the jump", () => {
    for (const replica of [voter(), new TestReplica(R4)]) {
      if (replica.id === R4) replica.deliver(enlist(R4));
      const records = [record(8, ballot(2)), record(9, ballot(2)), record(10, ballot(2), truncateTo(9))];
      replica.deliver(catchUp(records, tombstone(8, electorateOf(5, R1, R4))));
      expect(truncationOf(replica)).toEqual([9, electorateOf(5, R1, R4)]);
    }
  });

  test("[L25] [L26] one that jumps behind its seat votes, under the membership of the tombstone", () => {
    const replica = new TestReplica(R4);
    replica.deliver(enlist(R4));
    replica.deliver(catchUp([record(8, ballot(2))], tombstone(8, electorateOf(5, R1, R4))));
    expect(replica.deliver({ type: "status" }).standing.status).toBe("voting");
  });
});

describe("in a cluster", () => {
  /** R1 and R2 have truncated to 2,000, R3 knows of nothing. */
  const lagging = () => {
    const cluster = new TestCluster();
    for (const id of [R1, R2]) {
      cluster.replica(id).learned(ballot(1), ...values(1_500), ...values(1_500), truncateTo(2_000));
    }
    return cluster;
  };

  test("[L19] [L25] a replica that lags behind the truncation is brought up with one page", () => {
    const cluster = lagging();
    const call = { clusterId: CLUSTER, ballot: ballot(1), electorate: ELECTORATE, through: position(3_002) };
    expect(cluster.call(settle(call))).toMatchObject({ behind: [] });
    expect(cluster.replica(R3).state).toMatchObject({ begin: 2_000, missingFrom: 3_003, end: 3_002 });
    expect(cluster.sentOf("catch-up")).toHaveLength(1);
    expect(cluster.replica(R3).recordAt(2_500)).toEqual(cluster.replica(R1).recordAt(2_500));
  });

  test("[L16] [L25] an election says where the log begins, and writes nothing that is truncated", () => {
    const cluster = lagging();
    cluster.replica(R3).deliver(write(ballot(1), 5, value("never chosen")));
    cluster.away.add(R1);
    const call = { clusterId: CLUSTER, ballot: ballot(2), from: position(1) };
    expect(cluster.call(elect(call, REPLICAS))).toMatchObject({ type: "elected", begin: 2_000, next: 3_003 });
    expect(cluster.sentOf("write")).toEqual([]);
  });
});
