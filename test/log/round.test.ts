import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { position, quorumOf, type ReplicaId } from "#log/entry.ts";
import type { ReplicaAnswer } from "#log/messages.ts";
import { GatherRound, type Heard, QuorumRound } from "#log/round.ts";
import { ballot, CLUSTER, HEADER, R1, R2, R3, REPLICAS, standing } from "./sample.ts";

const answer = (given: ReplicaAnswer): Heard => ({ type: "answer", answer: given });
const yes = answer({ type: "accepted", standing: standing() });
const no = (counter: number) => answer({ type: "refused", standing: standing(), promised: ballot(counter) });
const ignored = answer({ type: "ignored", standing: standing({ status: "recovering" }), reason: "recovering" });
const away: Heard = { type: "unreachable", reason: "Error: away" };

const round = (seeds = REPLICAS, fixed?: number) =>
  new QuorumRound<true>({
    seeds,
    ask: (membershipPosition) => ({ ...HEADER, type: "confirm", membershipPosition, ballot: ballot(1) }),
    judge(_from, given) {
      if (given.type === "accepted") return { type: "vote", vote: true };
      if (given.type === "refused") return { type: "refused", promised: given.promised };
      return { type: "none", reason: given.type };
    },
    ...(fixed === undefined ? {} : { fixedMembershipPosition: position(fixed) }),
  });

describe("one quorum count", () => {
  test("[L15] two of three votes decide, and the third changes nothing", () => {
    const counted = round();
    expect(counted.open().map(({ to }) => to)).toEqual(REPLICAS);
    counted.hear(R1, yes);
    expect(counted.isOver).toBe(false);
    counted.hear(R3, yes);
    expect(counted.verdict).toMatchObject({ type: "decided", electorate: { position: 1 } });
    counted.hear(R2, no(9));
    expect(counted.verdict.type).toBe("decided");
  });

  test("[L15] the same replica counts once", () => {
    const counted = round();
    counted.open();
    counted.hear(R1, yes);
    counted.hear(R1, yes);
    expect(counted.isOver).toBe(false);
  });

  test("[L3] one refusal before the quorum fences, whatever else was counted", () => {
    const counted = round();
    counted.open();
    counted.hear(R1, yes);
    counted.hear(R2, no(9));
    counted.hear(R3, yes);
    expect(counted.verdict).toEqual({ type: "refused", promised: ballot(9) });
  });

  test("[L15] the round ends as soon as a quorum is impossible, and says why for people", () => {
    const counted = round();
    counted.open();
    counted.hear(R1, yes);
    counted.hear(R2, away);
    expect(counted.isOver).toBe(false);
    counted.hear(R3, ignored);
    expect(counted.verdict).toEqual({
      type: "unavailable",
      reason: "1 of 3 replicas answered, 2 needed: replica-2: Error: away, replica-3: ignored",
      reachable: 2,
      replicas: 3,
    });
  });

  test("[L15] at the deadline whoever was silent is unreachable", () => {
    const counted = round();
    counted.open();
    counted.hear(R2, yes);
    counted.expire();
    expect(counted.verdict).toMatchObject({ type: "unavailable", reachable: 1 });
    expect(counted.verdict).toHaveProperty("reason", expect.stringContaining("replica-1: no answer in time"));
  });

  test("[L15] a caller that names one replica of three still needs two of the three", () => {
    const counted = round([R1]);
    expect(counted.open().map(({ to }) => to)).toEqual([R1]);
    expect(counted.hear(R1, yes).map(({ to }) => to)).toEqual([R2, R3]);
    expect(counted.isOver).toBe(false);
    counted.hear(R2, yes);
    expect(counted.verdict.type).toBe("decided");
  });

  test("[L15] votes of replicas outside the newest membership do not count", () => {
    const four = [...REPLICAS, "replica-4" as ReplicaId];
    const counted = round(four);
    counted.open();
    counted.hear("replica-4" as ReplicaId, yes);
    counted.hear(R1, yes);
    expect(counted.isOver).toBe(false);
    counted.hear(R2, yes);
    expect(counted.verdict).toMatchObject({ type: "decided" });
    const { verdict } = counted;
    expect(verdict.type === "decided" && [...verdict.votes.keys()]).toEqual([R1, R2]);
  });

  test("[L15] a newer membership is followed: the replica is asked again under it", () => {
    const counted = round();
    counted.open();
    const newer = standing({ membershipPosition: position(9) });
    const again = counted.hear(R1, answer({ type: "stale-membership", standing: newer }));
    expect(again).toMatchObject([{ to: R1, message: { membershipPosition: 9 } }]);
  });

  test("[L13] a caller with a fixed membership is fenced by a newer one", () => {
    const counted = round(REPLICAS, 1);
    counted.open();
    const newer = standing({ membershipPosition: position(9), promised: ballot(4) });
    counted.hear(R1, answer({ type: "stale-membership", standing: newer }));
    expect(counted.verdict).toEqual({ type: "refused", promised: ballot(4) });
  });

  test("[L13] a replica of another cluster teaches no membership", () => {
    const counted = round([R1, R2]);
    counted.open();
    const foreign = standing({ clusterId: "cluster-2" as typeof CLUSTER, membershipPosition: position(50) });
    expect(counted.hear(R1, answer({ type: "foreign-cluster", standing: foreign }))).toEqual([]);
    counted.hear(R2, yes);
    expect(counted.isOver).toBe(false);
  });

  test("[L15] counting agrees with a slow second count on random answers in random order", () => {
    const kinds = fc.constantFrom("yes", "no", "ignored", "away");
    fc.assert(
      fc.property(
        fc.constantFrom(1, 3, 5),
        fc.array(kinds, { minLength: 5, maxLength: 5 }),
        fc.nat(),
        (size, given, turn) => {
          const replicas = Array.from({ length: size }, (_, index) => `replica-${index + 1}` as ReplicaId);
          const member = standing({ membership: { replicas } });
          const heard: Record<string, Heard> = {
            yes: answer({ type: "accepted", standing: member }),
            no: answer({ type: "refused", standing: member, promised: ballot(9) }),
            ignored: answer({ type: "ignored", standing: member, reason: "ignored" }),
            away,
          };
          const counted = round(replicas);
          counted.open();
          const order = replicas.map((_, index) => (index + turn) % size);
          const sequence = order.map((index) => given[index] ?? "away");
          for (const index of order) counted.hear(replicas[index] ?? R1, heard[given[index] ?? "away"] ?? away);
          counted.expire();

          let votes = 0;
          let expected = "unavailable";
          let isMembershipKnown = false;
          for (const [told, kind] of sequence.entries()) {
            if (kind !== "away") isMembershipKnown = true;
            if (kind === "no") expected = "refused";
            if (kind === "yes" && ++votes === quorumOf({ replicas })) expected = "decided";
            const open = size - told - 1;
            if (expected !== "unavailable" || (isMembershipKnown && votes + open < quorumOf({ replicas }))) break;
          }
          expect(counted.verdict.type).toBe(expected);
        },
      ),
    );
  });
});

test("[L19] gathering ends when all have answered, and whoever did not counts as silent", () => {
  const gathered = new GatherRound([R1, R2].map((to) => ({ to, message: { type: "status" } as const })));
  gathered.open();
  gathered.hear(R1, yes);
  expect(gathered.isOver).toBe(false);
  gathered.expire();
  expect(gathered.isOver).toBe(true);
  expect(gathered.heardFrom(R1)).toBe(yes);
  expect(gathered.heardFrom(R2)).toMatchObject({ type: "unreachable" });
});
