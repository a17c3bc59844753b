import { describe, expect, test } from "vitest";
import { catchUp } from "#log/catch-up.ts";
import { position } from "#log/entry.ts";
import { ENTRY_LETTERS_MAX, PAGE_ENTRIES_MAX, SETTLE_PAGES_MAX, WRITE_LETTERS_MAX } from "#log/limits.ts";
import { settle } from "#log/settle.ts";
import { TestCluster } from "./cluster.ts";
import {
  ballot,
  CLUSTER,
  ELECTORATE,
  enlist,
  promise,
  R1,
  R2,
  R3,
  read,
  record,
  REPLICAS,
  value,
  values,
  write,
} from "./sample.ts";

const settled = (cluster: TestCluster, through: number, under = ballot(1)) =>
  cluster.call(settle({ clusterId: CLUSTER, ballot: under, electorate: ELECTORATE, through: position(through) }));
const NOTHING_MORE = { type: "settled", unseated: [], behind: [], hasMoved: false, isUndecided: false };
/** R1 and R2 have learned up to `last`, R3 nothing of it. */
const laggingBy = (last: number, letters = 1) => {
  const cluster = new TestCluster();
  for (const id of [R1, R2]) {
    for (let at = 2; at <= last; at += 500) {
      const entries = values(Math.min(500, last - at + 1), at).map(() => value("x".repeat(letters)));
      cluster.replica(id).learned(ballot(1), ...entries);
    }
  }
  cluster.forget();
  return cluster;
};

describe("settling", () => {
  test("[L19] everybody is told what is chosen, at once", () => {
    const cluster = new TestCluster();
    for (const id of REPLICAS) cluster.replica(id).deliver(write(ballot(1), 2, value("a")));
    expect(settled(cluster, 2)).toEqual(NOTHING_MORE);
    for (const id of REPLICAS) expect(cluster.replica(id).state.missingFrom).toBe(3);
    expect(cluster.sent).toHaveLength(3);
  });

  test("[L19] one that has fallen behind is sent the chosen records it lacks", () => {
    const cluster = laggingBy(100);
    expect(settled(cluster, 100)).toEqual({ ...NOTHING_MORE, hasMoved: true });
    expect(cluster.replica(R3).state).toMatchObject({ missingFrom: 101, end: 100 });
    expect(cluster.replica(R3).recordAt(50)).toEqual(cluster.replica(R1).recordAt(50));
  });

  test("[L10] [L19] records that were accepted and not chosen give way", () => {
    const cluster = laggingBy(10);
    cluster.replica(R3).deliver(write(ballot(0, "old"), 5, value("never chosen")));
    settled(cluster, 10);
    expect(cluster.replica(R3).recordAt(5)).toEqual(record(5, ballot(1), value("x")));
  });

  test("[L19] what nobody has learned yet, but a quorum accepted, is caught up too", () => {
    const cluster = new TestCluster();
    for (const id of [R1, R2]) cluster.replica(id).deliver(write(ballot(2), 2, value("a")));
    expect(settled(cluster, 2, ballot(3))).toMatchObject({ behind: [] });
    for (const id of REPLICAS) expect(cluster.replica(id).state.missingFrom).toBe(3);
  });

  test("[L12] [L19] a damaged one is repaired by it", () => {
    const cluster = laggingBy(10);
    settled(cluster, 10);
    cluster.replica(R3).storage.damage(position(4));
    cluster.replica(R3).deliver(read(4));
    expect(settled(cluster, 10)).toEqual({ ...NOTHING_MORE, hasMoved: true });
    expect(cluster.replica(R3).deliver({ type: "status" }).standing.status).toBe("voting");
  });

  test("[L12] [L19] replicas that are damaged at different places repair each other, in one settlement or two", () => {
    const cluster = laggingBy(10);
    settled(cluster, 10);
    for (const [id, at] of [
      [R1, 7],
      [R2, 3],
      [R3, 5],
    ] as const) {
      cluster.replica(id).storage.damage(position(at));
      cluster.replica(id).deliver(read(at));
    }
    settled(cluster, 10);
    expect(settled(cluster, 10)).toEqual(NOTHING_MORE);
    for (const id of REPLICAS) {
      expect(cluster.replica(id).deliver({ type: "status" }).standing).toMatchObject({
        status: "voting",
        missingFrom: 11,
      });
    }
  });

  test("[L19] what was chosen and nobody who answers can show is for an election to decide again", () => {
    const cluster = new TestCluster();
    // Chosen under one ballot by R1 and R2, and again under another by R3 and a replica that is gone.
    cluster.replica(R1).deliver(write(ballot(1), 2, value("a")));
    cluster.replica(R2).deliver(write(ballot(2), 2, value("a")));
    expect(settled(cluster, 2, ballot(3))).toMatchObject({ behind: REPLICAS, isUndecided: true });
  });

  test("[L19] one that answers nothing keeps nobody up, and is not named", () => {
    const cluster = laggingBy(10);
    cluster.away.add(R3);
    expect(settled(cluster, 10)).toEqual(NOTHING_MORE);
  });

  test("[L19] one that promised a higher ballot is left to its leader", () => {
    const cluster = laggingBy(10);
    cluster.replica(R3).deliver(promise(ballot(5)));
    expect(settled(cluster, 10)).toEqual(NOTHING_MORE);
    expect(cluster.replica(R3).state.missingFrom).toBe(2);
  });

  test("[L27] a member over another storage than its seat was given to is reported, and nothing is sent to it", () => {
    const cluster = laggingBy(10);
    cluster.replica(R3).loseStorage();
    expect(settled(cluster, 10)).toEqual({ ...NOTHING_MORE, unseated: [R3] });
    cluster.replica(R3).deliver(enlist(R3));
    expect(settled(cluster, 10)).toEqual({ ...NOTHING_MORE, unseated: [R3] });
    expect(cluster.replica(R3).state.end).toBe(0);
  });

  test("[L19] one settlement sends a bounded number of pages, the next goes on", () => {
    const last = (SETTLE_PAGES_MAX + 1) * PAGE_ENTRIES_MAX;
    const cluster = laggingBy(last);
    expect(settled(cluster, last)).toMatchObject({ behind: [R3] });
    expect(cluster.sentOf("catch-up")).toHaveLength(SETTLE_PAGES_MAX);
    expect(cluster.replica(R3).state.missingFrom).toBe(2 + SETTLE_PAGES_MAX * PAGE_ENTRIES_MAX);
    expect(settled(cluster, last)).toMatchObject({ behind: [] });
  });
});

describe("the price of catch-up", () => {
  const caughtUp = (cluster: TestCluster, last: number) => {
    const { standing } = cluster.replica(R3).deliver({ type: "status" });
    const lag = { clusterId: CLUSTER, electorate: ELECTORATE, replica: R3, standing, pagesMax: 100 };
    return cluster.call(catchUp({ ...lag, through: position(last) })).standing.missingFrom;
  };

  test("[L19] one message each to a replica that has them and to the one that has not, for 2,000 positions: 1 for 1,000", () => {
    const cluster = laggingBy(10_001, 256);
    expect(caughtUp(cluster, 10_001)).toBe(10_002);
    expect(cluster.sentOf("read")).toHaveLength(5);
    expect(cluster.sentOf("catch-up")).toHaveLength(5);
    expect(cluster.sent.length / 10).toBe(1);
  });

  test("[L19] one that lags is not asked for what it lacks", () => {
    const cluster = new TestCluster();
    for (const id of [R2, R3]) cluster.replica(id).learned(ballot(1), ...values(10));
    settled(cluster, 11);
    expect(cluster.replica(R1).state.missingFrom).toBe(12);
    expect(cluster.sentOf("read").map(({ to }) => to)).toEqual([R2]);
  });

  test("[L19] a page is bounded by its letters: of entries of 1,000 letters it has a thousand, 2 messages for 1,000", () => {
    const cluster = laggingBy(5_001, 1_000);
    expect(caughtUp(cluster, 5_001)).toBe(5_002);
    expect(cluster.sent.length / 5).toBeGreaterThanOrEqual(2);
    expect(cluster.sent.length / 5).toBeLessThanOrEqual(2.5);
  });

  test("[L19] entries of the greatest length go too, a few at a time", () => {
    const cluster = laggingBy(9, ENTRY_LETTERS_MAX);
    expect(caughtUp(cluster, 9)).toBe(10);
    const most = Math.max(
      ...cluster.sentOf("catch-up").map(({ message }) => (message.type === "catch-up" ? message.records.length : 0)),
    );
    expect(most).toBeLessThanOrEqual(WRITE_LETTERS_MAX / ENTRY_LETTERS_MAX);
  });

  test("[L19] it ends when nobody has what is lacking", () => {
    const cluster = laggingBy(10);
    expect(caughtUp(cluster, 50)).toBe(11);
    cluster.away.add(R1).add(R2);
    expect(caughtUp(cluster, 50)).toBe(11);
  });

  test("[L19] a donor that is away is passed over", () => {
    const cluster = laggingBy(10);
    cluster.away.add(R1);
    expect(caughtUp(cluster, 10)).toBe(11);
  });
});
