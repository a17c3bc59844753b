import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Electorate, position, quorumOf, type ReplicaId } from "#log/entry.ts";
import type { ReplicaAnswer } from "#log/messages.ts";
import { GatherRound, type Heard, QuorumRound } from "#log/round.ts";
import {
  ballot,
  ELECTORATE,
  electorateOf,
  HEADER,
  membershipOf,
  named,
  OTHER_CLUSTER,
  R1,
  R2,
  R3,
  R4,
  REPLICAS,
  standing,
} from "./sample.ts";

const answer = (given: ReplicaAnswer): Heard => ({ type: "answer", answer: given });
const yesOf = (electorate: Electorate): Heard => answer({ type: "accepted", standing: standing({ electorate }) });
const yes = yesOf(ELECTORATE);
const no = (counter: number) => answer({ type: "refused", standing: standing(), promised: ballot(counter) });
const ignored = answer({ type: "ignored", standing: standing({ status: "recovering" }), reason: "recovering" });
const stale = (electorate: Electorate) =>
  answer({ type: "stale-membership", standing: standing({ electorate, promised: ballot(4) }) });
const behind = answer({ type: "behind", standing: standing() });
const away: Heard = { type: "unreachable", reason: "Error: away" };

/** Follows the newest membership, from `seeds` on, or goes by a fixed one. */
const round = (electorate: readonly ReplicaId[] | Electorate = REPLICAS, known?: Electorate) =>
  new QuorumRound<true>({
    electorate: "membership" in electorate ? electorate : { seeds: electorate, known },
    ask: (membershipPosition) => ({ ...HEADER, type: "confirm", membershipPosition, ballot: ballot(1) }),
    judge(_from, given) {
      if (given.type === "accepted") return { type: "vote", vote: true };
      if (given.type === "refused") return { type: "refused", promised: given.promised };
      return { type: "none", reason: given.type };
    },
  });
const opened = (...given: Parameters<typeof round>) => {
  const counted = round(...given);
  counted.open();
  return counted;
};

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
    const counted = opened();
    counted.hear(R1, yes);
    counted.hear(R1, yes);
    expect(counted.isOver).toBe(false);
  });

  test("[L15] who has voted is not heard again: a second answer neither counts nor takes the vote back", () => {
    for (const second of [no(9), away, ignored]) {
      const counted = opened();
      counted.hear(R1, yes);
      counted.hear(R1, second);
      expect(counted.isOver).toBe(false);
      counted.hear(R2, yes);
      expect(counted.verdict).toMatchObject({ type: "decided" });
    }
  });

  test("[L3] one refusal before the quorum fences, whatever else was counted", () => {
    const counted = opened();
    counted.hear(R1, yes);
    counted.hear(R2, no(9));
    counted.hear(R3, yes);
    expect(counted.verdict).toEqual({ type: "refused", promised: ballot(9) });
  });

  test("[L15] the round ends as soon as a quorum is impossible, and says why for people", () => {
    const counted = opened();
    counted.hear(R1, yes);
    counted.hear(R2, away);
    expect(counted.isOver).toBe(false);
    counted.hear(R3, ignored);
    expect(counted.verdict).toMatchObject({
      type: "unavailable",
      reason: "1 of 3 replicas answered, 2 needed: replica-2: Error: away, replica-3: ignored",
      reachable: 2,
      replicas: 3,
      electorate: ELECTORATE,
      behind: [],
    });
  });

  test("[L15] answers without a vote are answers like any other: ignored, invalid and foreign end no process (H4)", () => {
    const counted = opened(ELECTORATE);
    counted.hear(R1, ignored);
    counted.hear(R2, answer({ type: "invalid", standing: standing(), reason: "malformed" }));
    expect(counted.verdict).toMatchObject({ type: "unavailable", reachable: 2 });
  });

  test("[L15] at the deadline whoever was silent is unreachable: mixed replies hang no phase (H7)", () => {
    const counted = opened();
    counted.hear(R2, yes);
    counted.hear(R3, ignored);
    expect(counted.isOver).toBe(false);
    counted.expire();
    expect(counted.verdict).toMatchObject({ type: "unavailable", reachable: 2 });
    expect(counted.verdict).toHaveProperty("reason", expect.stringContaining("replica-1: no answer in time"));
  });

  test("[L15] the question is repeated to who is silent, and to nobody else (H7)", () => {
    const counted = opened();
    counted.hear(R2, yes);
    expect(counted.resend()).toMatchObject([
      { to: R1, message: { type: "confirm", membershipPosition: 1 } },
      { to: R3 },
    ]);
    counted.hear(R3, away);
    expect(counted.resend().map(({ to }) => to)).toEqual([R1]);
    counted.hear(R1, yes);
    expect(counted.resend()).toEqual([]);
  });

  test("[L15] what is asked for more is what is repeated", () => {
    const more = { ...HEADER, type: "confirm", ballot: ballot(7) } as const;
    const counted = new QuorumRound<true>({
      electorate: ELECTORATE,
      ask: () => ({ ...more, ballot: ballot(1) }),
      judge: () => ({ type: "more", message: more }),
    });
    counted.open();
    expect(counted.hear(R1, yes)).toEqual([{ to: R1, message: more }]);
    expect(counted.resend()).toContainEqual({ to: R1, message: more });
  });

  test("[L15] a round that gets pages is given as long again, and one that gets none is not (H7)", () => {
    const next = { ...HEADER, type: "confirm", ballot: ballot(7) } as const;
    const counted = new QuorumRound<true>({
      electorate: ELECTORATE,
      ask: () => next,
      judge: () => ({ type: "more", message: next }),
    });
    counted.open();
    counted.hear(R1, yes);
    counted.expire();
    expect(counted.isOver).toBe(false);
    expect(counted.resend().map(({ to }) => to)).toEqual(REPLICAS);
    counted.hear(R1, yes);
    counted.expire();
    expect(counted.isOver).toBe(false);
    counted.expire();
    expect(counted.verdict).toMatchObject({ type: "unavailable", reachable: 0 });
  });

  test("[L15] a caller that names one replica of three still needs two of the three", () => {
    const counted = round([R1]);
    expect(counted.open().map(({ to }) => to)).toEqual([R1]);
    expect(counted.hear(R1, yes).map(({ to }) => to)).toEqual([R2, R3]);
    expect(counted.isOver).toBe(false);
    counted.hear(R2, yes);
    expect(counted.verdict.type).toBe("decided");
  });

  test("[L15] votes of replicas outside the membership do not count", () => {
    const counted = opened([...REPLICAS, R4]);
    counted.hear(R4, yes);
    counted.hear(R1, yes);
    expect(counted.isOver).toBe(false);
    counted.hear(R2, yes);
    const { verdict } = counted;
    expect(verdict.type === "decided" && [...verdict.votes.keys()]).toEqual([R1, R2]);
  });
});

describe("the membership that a round goes by", () => {
  const newer = electorateOf(9, R1, R2, R4);

  test("[L23] a newer one is followed: its members are asked under it", () => {
    const counted = opened();
    expect(counted.hear(R1, stale(newer))).toMatchObject([
      { to: R1, message: { membershipPosition: 9 } },
      { to: R2, message: { membershipPosition: 9 } },
      { to: R4, message: { membershipPosition: 9 } },
    ]);
    expect(counted.resend().map(({ to }) => to)).toEqual([R1, R2, R4]);
  });

  test("[L23] votes under different memberships are never counted together", () => {
    const counted = opened();
    counted.hear(R2, yes);
    counted.hear(R1, stale(newer));
    counted.hear(R1, yesOf(newer));
    expect(counted.isOver).toBe(false);
    counted.hear(R4, yesOf(newer));
    const { verdict } = counted;
    expect(verdict).toMatchObject({ type: "decided", electorate: newer });
    expect(verdict.type === "decided" && [...verdict.votes.keys()]).toEqual([R1, R4]);
  });

  test("[L23] a late answer to the question under the older one does not count, and the one that counts still comes", () => {
    const counted = opened();
    counted.hear(R1, stale(newer));
    counted.hear(R2, yes);
    counted.hear(R1, yesOf(newer));
    expect(counted.isOver).toBe(false);
    counted.hear(R2, stale(newer));
    expect(counted.isOver).toBe(false);
    counted.hear(R2, yesOf(newer));
    expect(counted.verdict).toMatchObject({ type: "decided", electorate: newer });
  });

  test("[L23] one that shows a newer one without a vote is asked again under it, and can still vote", () => {
    const counted = opened();
    const recovering = standing({ status: "recovering", electorate: newer });
    counted.hear(R1, answer({ type: "ignored", standing: recovering, reason: "recovering" }));
    expect(counted.resend().map(({ to }) => to)).toContain(R1);
    counted.hear(R1, yesOf(newer));
    counted.hear(R2, yesOf(newer));
    expect(counted.verdict).toMatchObject({ type: "decided", electorate: newer });
  });

  test("[L23] a vote given under another membership than a fixed one is no vote", () => {
    const counted = opened(newer);
    counted.hear(R1, yes);
    counted.hear(R2, yes);
    expect(counted.verdict).toMatchObject({
      type: "unavailable",
      reason: expect.stringContaining("it goes by another membership"),
    });
  });

  test("[L23] an answer that carries an older one changes nothing", () => {
    const counted = opened(REPLICAS, newer);
    expect(counted.hear(R3, ignored)).toEqual([]);
    expect(counted.resend().map(({ message }) => message)).toMatchObject(
      Array.from({ length: 3 }, () => ({ membershipPosition: 9 })),
    );
  });

  test("[L23] a caller with a fixed membership is fenced by a newer one", () => {
    const counted = opened(ELECTORATE);
    counted.hear(R1, stale(newer));
    expect(counted.verdict).toEqual({ type: "refused", promised: ballot(4) });
  });

  test("[L23] who has not learned it yet is named, so that it can be brought up", () => {
    const counted = opened(REPLICAS, newer);
    for (const id of [R1, R2, R4]) counted.hear(id, behind);
    expect(counted.verdict).toMatchObject({
      type: "unavailable",
      electorate: newer,
      behind: [{ replica: R1 }, { replica: R2 }],
    });
  });

  test("[L12] [L23] one with damaged records is named too, and everybody who was asked: they may have what is lacking", () => {
    const counted = opened([R1, R2, R3], electorateOf(1, R1, R2));
    const damaged = { from: position(1), to: position(1) };
    const recovering = standing({ status: "recovering", damaged, electorate: electorateOf(1, R1, R2) });
    counted.hear(R1, answer({ type: "ignored", standing: recovering, reason: "recovering" }));
    counted.hear(R2, away);
    expect(counted.verdict).toMatchObject({
      type: "unavailable",
      behind: [{ replica: R1, standing: { damaged } }],
      asked: [R1, R2, R3],
    });
  });

  test("[L15] the known one is asked first, together with the replicas of the configuration", () => {
    const counted = round([R1, R3], newer);
    expect(counted.open().map(({ to }) => to)).toEqual([R1, R2, R4, R3]);
    counted.hear(R3, yesOf(newer));
    counted.hear(R1, yesOf(newer));
    expect(counted.isOver).toBe(false);
  });

  test("[L28] whether anybody who answers knows the log is told apart from what the caller knows", () => {
    const empty = standing({ status: "empty", electorate: undefined, clusterId: undefined });
    for (const [given, isLogKnown] of [
      [answer({ type: "ignored", standing: empty, reason: "empty" }), false],
      [answer({ type: "foreign-cluster", standing: standing({ clusterId: OTHER_CLUSTER }) }), false],
      [ignored, true],
    ] as const) {
      const counted = opened(REPLICAS, ELECTORATE);
      for (const id of REPLICAS) counted.hear(id, given);
      expect(counted.verdict).toMatchObject({ type: "unavailable", isLogKnown });
    }
  });

  test("[L13] a replica of another cluster teaches no membership", () => {
    const counted = opened([R1, R2]);
    const foreign = standing({ clusterId: OTHER_CLUSTER, electorate: electorateOf(50, R1) });
    expect(counted.hear(R1, answer({ type: "foreign-cluster", standing: foreign }))).toEqual([]);
    counted.hear(R2, yes);
    expect(counted.isOver).toBe(false);
  });

  test("[L15] as long as nobody tells the membership, a quorum is not yet impossible", () => {
    const counted = opened([R1, R2, R3]);
    counted.hear(R1, away);
    counted.hear(R2, away);
    expect(counted.isOver).toBe(false);
    expect(counted.hear(R3, stale(electorateOf(9, R3, R4))).map(({ to }) => to)).toEqual([R3, R4]);
    counted.hear(R3, yesOf(electorateOf(9, R3, R4)));
    counted.hear(R4, yesOf(electorateOf(9, R3, R4)));
    expect(counted.verdict.type).toBe("decided");
  });
});

describe("against a slow second count", () => {
  test("[L15] the verdict is the same on random answers in random order", () => {
    const kinds = fc.constantFrom("yes", "no", "ignored", "away");
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2, 3, 4, 5),
        fc.array(kinds, { minLength: 5, maxLength: 5 }),
        fc.nat(),
        (size, given, turn) => {
          const replicas = Array.from({ length: size }, (_, index) => named(index + 1));
          const membership = membershipOf(...replicas);
          const member = standing({ electorate: { membership, position: position(1) } });
          const heard: Record<string, Heard> = {
            yes: answer({ type: "accepted", standing: member }),
            no: answer({ type: "refused", standing: member, promised: ballot(9) }),
            ignored: answer({ type: "ignored", standing: member, reason: "ignored" }),
            away,
          };
          const counted = opened(replicas);
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
            if (kind === "yes" && ++votes === quorumOf(membership)) expected = "decided";
            const open = size - told - 1;
            if (expected !== "unavailable" || (isMembershipKnown && votes + open < quorumOf(membership))) break;
          }
          expect(counted.verdict.type).toBe(expected);
        },
      ),
    );
  });

  test("[L15] [L23] with two memberships in play, what decides is a quorum of one of them, counted apart", () => {
    const older = ELECTORATE;
    const newer = electorateOf(9, R2, R3, R4);
    const events = fc.array(
      fc.record({
        from: fc.constantFrom(R1, R2, R3, R4),
        kind: fc.constantFrom("older", "newer", "stale"),
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(events, (given) => {
        const counted = opened(REPLICAS);
        const heard = { older: yesOf(older), newer: yesOf(newer), stale: stale(newer) };
        for (const { from, kind } of given) counted.hear(from, heard[kind]);
        const { verdict } = counted;
        if (verdict.type !== "decided") return;
        const isNewer = verdict.electorate.position === newer.position;
        const voters = given
          .filter(({ kind }) => kind === (isNewer ? "newer" : "older"))
          .map(({ from }) => from)
          .filter((from) => verdict.electorate.membership.seats.some(({ replica }) => replica === from));
        expect(new Set(voters).size).toBeGreaterThanOrEqual(2);
        for (const voter of verdict.votes.keys()) expect(voters).toContain(voter);
      }),
    );
  });
});

describe("gathering", () => {
  const asked = () => new GatherRound([R1, R2].map((to) => ({ to, message: { type: "status" } as const })));

  test("[L15] it ends when all have answered, and whoever did not counts as silent", () => {
    const gathered = asked();
    gathered.open();
    gathered.hear(R1, yes);
    gathered.hear(R1, ignored);
    expect(gathered.isOver).toBe(false);
    expect(gathered.resend().map(({ to }) => to)).toEqual([R2]);
    gathered.expire();
    expect(gathered.isOver).toBe(true);
    expect(gathered.heardFrom(R1)).toBe(yes);
    expect(gathered.heardFrom(R2)).toMatchObject({ type: "unreachable" });
    expect(gathered.standingOf(R2)).toBeUndefined();
    gathered.hear(R2, yes);
    expect(gathered.standingOf(R2)).toBeUndefined();
  });

  test("[L15] with nobody to ask it is over at once", () => {
    expect(new GatherRound([]).isOver).toBe(true);
  });
});
