import { describe, expect, test } from "vitest";
import { append } from "#log/append.ts";
import type { Ballot } from "#log/ballot.ts";
import { confirm } from "#log/confirm.ts";
import { elect } from "#log/elect.ts";
import { type Electorate, type Entry, position } from "#log/entry.ts";
import { ENTRY_LETTERS_MAX, WRITE_ENTRIES_MAX, WRITE_LETTERS_MAX } from "#log/limits.ts";
import { fittingEntries } from "#log/write.ts";
import { TestCluster } from "./cluster.ts";
import {
  ballot,
  CLUSTER,
  ELECTORATE,
  electorateOf,
  NOP,
  promise,
  R1,
  R2,
  R3,
  record,
  REPLICAS,
  seating,
  value,
  values,
  write,
} from "./sample.ts";

const standFor = (cluster: TestCluster, under: Ballot) =>
  cluster.call(elect({ clusterId: CLUSTER, ballot: under, from: position(1) }, REPLICAS));
const appendTo = (cluster: TestCluster, at: number, entries: readonly Entry[], electorate: Electorate = ELECTORATE) =>
  cluster.call(append({ clusterId: CLUSTER, ballot: ballot(1), electorate, position: position(at), entries }));
const elected = () => {
  const cluster = new TestCluster();
  standFor(cluster, ballot(1));
  cluster.forget();
  return cluster;
};

describe("appending", () => {
  test("[L6] many entries are one write a replica, and nothing else is sent", () => {
    const cluster = elected();
    expect(appendTo(cluster, 2, values(WRITE_ENTRIES_MAX))).toEqual({ type: "appended", electorate: ELECTORATE });
    expect(cluster.sent.map(({ to, message }) => [to, message.type])).toEqual(REPLICAS.map((id) => [id, "write"]));
    for (const id of REPLICAS) expect(cluster.replica(id).state).toMatchObject({ end: 1 + WRITE_ENTRIES_MAX });
  });

  test("[L9] [L19] the notice of a choice goes out with the next write", () => {
    const cluster = elected();
    appendTo(cluster, 2, [value("a")]);
    expect(cluster.replica(R1).state.missingFrom).toBe(2);
    appendTo(cluster, 3, [value("b")]);
    for (const id of REPLICAS) expect(cluster.replica(id).state).toMatchObject({ missingFrom: 3, end: 3 });
  });

  test("[L9] [L11] [L19] a choice is a quorum's: no replica is the writer's own, and none must have learned (H11)", () => {
    for (const away of REPLICAS) {
      const cluster = elected();
      cluster.away.add(away);
      expect(appendTo(cluster, 2, [value("a")])).toMatchObject({ type: "appended" });
      expect(appendTo(cluster, 3, [value("b")])).toMatchObject({ type: "appended" });
    }
  });

  test("[L3] a call that ends unavailable may have had its effect", () => {
    const cluster = elected();
    cluster.away.add(R2).add(R3);
    expect(appendTo(cluster, 2, [value("a")])).toMatchObject({ type: "unavailable", reachable: 1, replicas: 3 });
    expect(cluster.replica(R1).recordAt(2)).toEqual(record(2, ballot(1), value("a")));
  });

  test("[L13] replicas that ignore a write cost only their votes (H4)", () => {
    const cluster = elected();
    cluster.replica(R3).loseStorage();
    expect(appendTo(cluster, 2, [value("a")])).toMatchObject({ type: "appended" });
    cluster.replica(R2).loseStorage();
    expect(appendTo(cluster, 3, [value("b")])).toMatchObject({ type: "unavailable", reachable: 3 });
  });

  test("[L3] [L23] a writer that goes by an older membership is fenced", () => {
    const cluster = elected();
    appendTo(cluster, 2, [seating(R1, R2)]);
    expect(appendTo(cluster, 3, [value("a")])).toMatchObject({ type: "refused" });
    expect(cluster.replica(R1).state.end).toBe(2);
  });

  test("[L24] a membership is learned by a quorum of its members before the call ends", () => {
    const cluster = elected();
    appendTo(cluster, 2, [value("a")]);
    expect(appendTo(cluster, 3, [seating(R1, R2)])).toEqual({
      type: "appended",
      electorate: electorateOf(3, R1, R2),
    });
    for (const id of [R1, R2]) expect(cluster.replica(id).state.missingFrom).toBe(4);
  });

  test("[L24] its members promise before the call ends: what they promised before was under another membership", () => {
    const cluster = elected();
    cluster.before = ({ to, message }) => {
      if (to === R1 && message.type === "promise") cluster.replica(R1).deliver(promise(ballot(9), 1, 2));
    };
    expect(appendTo(cluster, 2, [seating(R1, R2)])).toEqual({ type: "refused", promised: ballot(9) });
  });

  test("[L24] if one of them holds what another wrote after it, only an election can tell", () => {
    const cluster = elected();
    cluster.before = ({ to, message }) => {
      if (to !== R1 || message.type !== "promise") return;
      cluster.replica(R1).deliver({ ...write(ballot(1), 3, value("a rival's")), membershipPosition: position(2) });
    };
    expect(appendTo(cluster, 2, [seating(R1, R2)])).toMatchObject({
      type: "unavailable",
      reason: expect.stringContaining("another candidate wrote under the new membership"),
    });
  });

  test("[L24] [L27] it is not pushed to a member that lost its storage meanwhile: that one needs a seat first", () => {
    const cluster = elected();
    cluster.replica(R1).loseStorage();
    expect(appendTo(cluster, 2, [seating(R1, R2, R3)])).toMatchObject({ type: "appended" });
    expect(cluster.sentOf("learn").map(({ to }) => to)).toContain(R1);
    expect(cluster.sentOf("catch-up")).toEqual([]);
  });

  test("[L24] with a quorum of the new members gone, what follows is not chosen", () => {
    const cluster = elected();
    cluster.isLost = ({ to, message }) => message.type === "learn" && to !== R1;
    const next = electorateOf(2, R1, R2);
    appendTo(cluster, 2, [seating(R1, R2)]);
    cluster.isLost = ({ to }) => to === R2;
    expect(appendTo(cluster, 3, [value("a")], next)).toMatchObject({ type: "unavailable" });
  });
});

describe("one write", () => {
  test("[L6] [L24] it carries what its bounds allow, and a membership entry ends it", () => {
    expect(fittingEntries([])).toBe(0);
    expect(fittingEntries(values(WRITE_ENTRIES_MAX + 1))).toBe(WRITE_ENTRIES_MAX);
    const long = value("x".repeat(ENTRY_LETTERS_MAX));
    const count = Math.floor(WRITE_LETTERS_MAX / ENTRY_LETTERS_MAX);
    expect(fittingEntries(Array.from({ length: count + 3 }, () => long))).toBeLessThanOrEqual(count);
    expect(fittingEntries([long])).toBe(1);
    expect(fittingEntries([NOP, seating(R1), value("next")])).toBe(2);
  });

  test("[L24] what does not fit one write is our own bug", () => {
    const cluster = elected();
    expect(() => appendTo(cluster, 2, [seating(R1), value("a")])).toThrow("an append fits one write");
    expect(() => appendTo(cluster, 2, [])).toThrow("an append fits one write");
    expect(() => appendTo(cluster, 2, [value("x".repeat(ENTRY_LETTERS_MAX + 1))])).toThrow("ENTRY_LETTERS_MAX");
    expect(cluster.sent).toEqual([]);
  });
});

describe("confirming", () => {
  const confirmed = (cluster: TestCluster, electorate: Electorate = ELECTORATE) =>
    cluster.call(confirm({ clusterId: CLUSTER, ballot: ballot(1), electorate }));

  test("[L14] a leader stays confirmed while the minority that is away changes", () => {
    const cluster = new TestCluster();
    cluster.away.add(R3);
    standFor(cluster, ballot(1));
    expect(confirmed(cluster)).toEqual({ type: "confirmed" });
    cluster.away.clear();
    cluster.away.add(R2);
    expect(confirmed(cluster)).toEqual({ type: "confirmed" });
    standFor(cluster, ballot(2));
    expect(confirmed(cluster)).toEqual({ type: "refused", promised: ballot(2) });
    cluster.away.add(R1).add(R3);
    expect(confirmed(cluster)).toMatchObject({ type: "unavailable", reachable: 0 });
  });

  test("[L3] [L14] a single higher promise fences, though a quorum would still confirm", () => {
    const cluster = elected();
    cluster.replica(R1).deliver(promise(ballot(7)));
    expect(confirmed(cluster)).toEqual({ type: "refused", promised: ballot(7) });
  });

  test("[L23] nobody is confirmed under a membership that was changed by another", () => {
    const cluster = elected();
    appendTo(cluster, 2, [seating(R1, R2)]);
    expect(confirmed(cluster)).toMatchObject({ type: "refused" });
    expect(confirmed(cluster, electorateOf(2, R1, R2))).toEqual({ type: "confirmed" });
  });
});
