// What Mesos' log has no test for, and what its analysis found: the orders of events in which agreement is at stake.
import { describe, expect, test } from "vitest";
import { append } from "#log/append.ts";
import type { Ballot } from "#log/ballot.ts";
import { elect } from "#log/elect.ts";
import { type Entry, position, type ReplicaId } from "#log/entry.ts";
import { WRITE_ENTRIES_MAX } from "#log/limits.ts";
import { TestCluster } from "./cluster.ts";
import {
  ballot,
  catchUp,
  CLUSTER,
  ELECTORATE,
  learn,
  membershipOf,
  NOP,
  promise,
  R1,
  R2,
  R3,
  R4,
  R5,
  record,
  REPLICAS,
  seating,
  value,
  write,
} from "./sample.ts";

const standFor = (cluster: TestCluster, under: Ballot, seeds = REPLICAS) =>
  cluster.call(elect({ clusterId: CLUSTER, ballot: under, from: position(1) }, seeds));
const appendTo = (cluster: TestCluster, under: Ballot, at: number, ...entries: Entry[]) =>
  cluster.call(append({ clusterId: CLUSTER, ballot: under, electorate: ELECTORATE, position: position(at), entries }));

/** The different values that replicas have learned at `at`: agreement is that there is one. */
const learnedAt = (cluster: TestCluster, at: number): readonly string[] => {
  const learned = [...cluster.replicas.values()].filter(({ state }) => at < state.missingFrom);
  return [...new Set(learned.map((replica) => JSON.stringify(replica.valueAt(at))))];
};

/** Runs `action` once, just before the first message of `type` to `to` arrives. */
const justBefore = (
  cluster: TestCluster,
  { type, to, nth = 1 }: { readonly type: string; readonly to: ReplicaId; readonly nth?: number },
  action: () => void,
): void => {
  let seen = 0;
  cluster.before = (send) => {
    if (send.message.type !== type || send.to !== to || ++seen !== nth) return;
    cluster.before = () => {};
    action();
  };
};

describe("racing elections", () => {
  test("[L2] [L5] the lower ballot is refused by whoever promised the higher one, in whatever order", () => {
    for (const [met, outcome] of [
      [R1, "refused"],
      [R2, "refused"],
      [R3, "elected"],
    ] as const) {
      const cluster = new TestCluster();
      let later: unknown;
      justBefore(cluster, { type: "promise", to: met }, () => {
        later = standFor(cluster, ballot(2, "master-2"));
      });
      expect(standFor(cluster, ballot(2, "master-1")).type).toBe(outcome);
      expect(later).toMatchObject({ type: "elected", next: 2 });
      expect(appendTo(cluster, ballot(2, "master-1"), 2, value("loser"))).toMatchObject({ type: "refused" });
      expect(appendTo(cluster, ballot(2, "master-2"), 2, value("winner"))).toMatchObject({ type: "appended" });
    }
  });

  test("[L6] [L16] of two that both were elected, only the later one's write is chosen", () => {
    const cluster = new TestCluster();
    standFor(cluster, ballot(1, "master-1"));
    let later: unknown;
    // The earlier one's write has reached one replica when the later one is elected and writes.
    justBefore(cluster, { type: "write", to: R2 }, () => {
      standFor(cluster, ballot(2, "master-2"));
      later = appendTo(cluster, ballot(2, "master-2"), 3, value("later"));
    });
    expect(appendTo(cluster, ballot(1, "master-1"), 2, value("earlier"))).toMatchObject({ type: "refused" });
    expect(later).toMatchObject({ type: "appended" });
    // It was seen at R1, hence written again at its place.
    for (const id of REPLICAS) {
      expect(cluster.replica(id).recordAt(2)).toEqual(record(2, ballot(2, "master-2"), value("earlier")));
    }
  });

  test("[L6] an older write in flight does not replace a newer one that was accepted without a promise there (H1)", () => {
    const cluster = new TestCluster();
    // X is promised by R2 and R3; Y by R1 and R2, and writes to R1 and R3.
    for (const id of [R2, R3]) cluster.replica(id).deliver(promise(ballot(1, "x")));
    for (const id of [R1, R2]) cluster.replica(id).deliver(promise(ballot(2, "y")));
    for (const id of [R1, R3]) cluster.replica(id).deliver(write(ballot(2, "y"), 2, value("chosen")));
    expect(cluster.replica(R3).deliver(write(ballot(1, "x"), 2, value("stale")))).toMatchObject({ type: "refused" });
    cluster.away.add(R1);
    standFor(cluster, ballot(3));
    expect(cluster.replica(R2).valueAt(2)).toEqual(value("chosen"));
  });

  test("[L5] [L16] what is learned between two pages of a promise is not hidden by it", () => {
    const cluster = new TestCluster();
    const last = 3 * WRITE_ENTRIES_MAX + 1;
    // R1 and R3 accepted everything, hence it is chosen; R2 knows nothing of it.
    for (const id of [R1, R3]) {
      for (let at = 2; at < last; at += WRITE_ENTRIES_MAX) {
        const entries = Array.from({ length: WRITE_ENTRIES_MAX }, (_, index) => value(`${at + index}`));
        cluster.replica(id).deliver(write(ballot(1), at, ...entries));
      }
    }
    // The commit notice was on its way, and arrives between R1's first page and its second.
    justBefore(cluster, { type: "promise", to: R1, nth: 2 }, () => cluster.replica(R1).deliver(learn(ballot(1), last)));
    // R3 promises nothing, but takes what is written; R1, which would break an invariant by another value, is not asked.
    cluster.isLost = ({ to, message }) => to === (message.type === "promise" ? R3 : R1);
    standFor(cluster, ballot(2));
    const written = cluster.sentOf("write").flatMap(({ message }) => (message.type === "write" ? message.entries : []));
    expect(written.filter(({ type }) => type === "nop")).toHaveLength(0);
  });
});

describe("filling", () => {
  test("[L16] without a quorum nothing is filled, and the next election finds what there was", () => {
    const cluster = new TestCluster();
    cluster.replica(R1).deliver(write(ballot(1), 3, value("behind a gap")));
    cluster.before = ({ message }) => {
      if (message.type === "write") cluster.away.add(R2).add(R3);
    };
    expect(standFor(cluster, ballot(2))).toMatchObject({ type: "unavailable" });
    for (const id of REPLICAS) expect(cluster.replica(id).state.missingFrom).toBe(2);
    cluster.before = () => {};
    cluster.away.clear();
    expect(standFor(cluster, ballot(3))).toMatchObject({ type: "elected", next: 4 });
    for (const id of REPLICAS) {
      expect([2, 3].map((at) => cluster.replica(id).valueAt(at))).toEqual([NOP, value("behind a gap")]);
    }
  });

  test("[L16] replicas that accepted different values agree on the one of the highest ballot", () => {
    const cluster = new TestCluster([R1, R2, R3, R4, R5]);
    const accepted = [
      [R1, 3, "c"],
      [R2, 1, "a"],
      [R3, 4, "d"],
      [R4, 2, "b"],
    ] as const;
    for (const [id, counter, data] of accepted) cluster.replica(id).deliver(write(ballot(counter), 2, value(data)));
    cluster.away.add(R5).add(R3);
    standFor(cluster, ballot(5), [R1]);
    expect(cluster.replica(R2).recordAt(2)).toEqual(record(2, ballot(5), value("c")));
    // R3's higher ballot was seen by no quorum. It is stale now, and loses its value when it is asked again.
    cluster.away.clear();
    standFor(cluster, ballot(6), [R1]);
    for (const id of cluster.replicas.keys()) expect(cluster.replica(id).valueAt(2)).toEqual(value("c"));
  });

  test("[L16] learned at one replica and unknown to another: the value stays, and reaches the other", () => {
    for (const away of [undefined, R2, R3]) {
      const cluster = new TestCluster();
      for (const id of [R1, R3]) cluster.replica(id).deliver(write(ballot(1), 2, value("chosen")));
      cluster.replica(R1).deliver(learn(ballot(1), 2));
      if (away !== undefined) cluster.away.add(away);
      const elected = standFor(cluster, ballot(2));
      expect(elected).toMatchObject({ type: "elected", next: 3 });
      cluster.away.clear();
      appendTo(cluster, ballot(2), 3, value("next"));
      standFor(cluster, ballot(3));
      expect(learnedAt(cluster, 2)).toEqual([JSON.stringify(value("chosen"))]);
    }
  });

  test("[L16] learned at a replica that is away: its value is found at whoever accepted it", () => {
    const cluster = new TestCluster();
    for (const id of [R1, R3]) cluster.replica(id).deliver(write(ballot(1), 2, value("chosen")));
    cluster.replica(R1).deliver(learn(ballot(1), 2));
    cluster.away.add(R1);
    standFor(cluster, ballot(2));
    appendTo(cluster, ballot(2), 3, value("next"));
    cluster.away.clear();
    standFor(cluster, ballot(3));
    expect(learnedAt(cluster, 2)).toEqual([JSON.stringify(value("chosen"))]);
    expect(cluster.replica(R2).valueAt(2)).toEqual(value("chosen"));
  });
});

describe("answers from another time", () => {
  /** Ballot b′ was promised by R3, which then lost its storage; a leader has seated R3 again and chosen a value with it. */
  const reseatedWithoutHearing = () => {
    const cluster = new TestCluster();
    const late = structuredClone(cluster.replica(R3).deliver(promise(ballot(9))));
    cluster.replica(R3).loseStorage();
    cluster.replica(R3).deliver({ type: "enlist", clusterId: CLUSTER, replicaId: R3 });
    const seats = [...membershipOf(R1, R2).seats, { replica: R3, incarnation: cluster.replica(R3).state.incarnation }];
    const chosen = [
      record(1, ballot(0, "", ""), seating(R1, R2, R3)),
      record(2, ballot(2), { type: "membership", membership: { seats } }),
      record(3, ballot(2), value("chosen by R1 and R3")),
    ];
    for (const id of [R1, R3]) cluster.replica(id).deliver(catchUp(chosen));
    return { cluster, late };
  };

  test("[L23] [L26] a promise of a life that is over counts for nothing: the other voter sends the ballot on (H2)", () => {
    const { cluster, late } = reseatedWithoutHearing();
    cluster.replica(R2).deliver(catchUp([record(2, ballot(2), seating(R1, R2, R3))]));
    const conversation = elect({ clusterId: CLUSTER, ballot: ballot(9), from: position(1) }, REPLICAS);
    const first = conversation.next();
    if (first.done === true) throw new Error("an election asks somebody");
    const round = first.value;
    const asked = round.open().find(({ to }) => to === R2);
    if (asked === undefined) throw new Error("an election asks everybody");
    round.hear(R3, { type: "answer", answer: late });
    const again = round.hear(R2, cluster.deliver(asked));
    expect(round.isOver).toBe(false);
    expect(again).toMatchObject(REPLICAS.map((to) => ({ to, message: { membershipPosition: 2 } })));
    for (const send of again) round.hear(send.to, cluster.deliver(send));
    const rest = conversation.next();
    if (rest.done !== true) cluster.hold(rest.value);
    expect(cluster.replica(R2).valueAt(3)).not.toEqual(NOP);
  });

  test("[L23] votes of one membership do not complete a quorum of another after a re-ask", () => {
    const cluster = new TestCluster();
    const conversation = elect({ clusterId: CLUSTER, ballot: ballot(9), from: position(1) }, REPLICAS);
    const first = conversation.next();
    if (first.done === true) throw new Error("an election asks somebody");
    const round = first.value;
    const sends = round.open();
    const promised = new Map(sends.map((send) => [send.to, cluster.deliver(send)]));
    const give = (id: ReplicaId) => {
      const heard = promised.get(id);
      return heard === undefined ? [] : round.hear(id, heard);
    };
    give(R1);
    // Meanwhile R2 learns another membership, and its answer shows it.
    cluster.replica(R2).deliver(catchUp([record(2, ballot(3), seating(R1, R2))]));
    const again = round.hear(R2, cluster.deliver({ to: R2, message: promise(ballot(9)) }));
    expect(again.map(({ to }) => to)).toEqual([R1, R2]);
    give(R1);
    give(R3);
    give(R2);
    expect(round.isOver).toBe(false);
  });
});
