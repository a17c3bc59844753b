// Whether a candidate may take the leader's place: it was asked to, and now finds out by itself. A caller that cannot reach the
// leader is no reason: the log, the leader itself and its replicas are asked. Rules [M40] to [M46] of SPEC.md.
//
// Nothing here protects the registry: ballots and epochs do. What it protects is the peace, since each failover makes every
// agent register again.
import { unreachable } from "#base/assert.ts";
import { backoffMs } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import type { Millis } from "#base/time.ts";
import type { KnownLeader } from "#protocol/leadership.ts";

/** Silence of the leader's ballot at a quorum of replicas after which another may elect, ms. An awake leader confirms every 5 s. */
export const LEADER_SILENCE_MS = 10_000;
/** How often the replicas are asked meanwhile, ms. Also what keeps an idle replica in memory, and with it what it has heard. */
export const LOOK_INTERVAL_MS = 2_500;
/** Pause before the last look at the log, so that two candidates do not elect at once: full jitter, ms. */
export const ELECT_DELAY = { firstMs: 500, maxMs: 8_000 } as const;
/** By how much a replica's count of its silence may differ from our own clock, ms. */
const CLOCK_SLACK_MS = 250;

/** Looks at the replicas before somebody must ask again: for longer than the silence lasts. */
const looksMax = (silenceMs: number): number => 2 * Math.ceil(silenceMs / LOOK_INTERVAL_MS) + 8;

/** What the last chosen entry of the log says. */
export type TailSeen =
  | { readonly type: "tail"; readonly leader: KnownLeader | undefined }
  | { readonly type: "unavailable"; readonly reason: string };

/** What became of a call to the leader itself. */
export type SignOfLife =
  | { readonly type: "leads" }
  /** It has more to do than it can take: alive. */
  | { readonly type: "overloaded" }
  /** It answered that it does not lead; it may know who does. */
  | { readonly type: "does-not-lead"; readonly leader: KnownLeader | undefined }
  | { readonly type: "silent"; readonly reason: string };

/** How long ago each member that answered heard the ballot that it has promised. */
export interface Silences {
  readonly members: number;
  readonly silentMs: readonly number[];
}

/** The world, as far as standing needs it. */
export interface StandingPorts {
  readonly random: Random;
  readonly now: () => Millis;
  readonly tail: () => Promise<TailSeen>;
  readonly callLeader: (candidate: string) => Promise<SignOfLife>;
  readonly silences: () => Promise<Silences>;
  readonly wait: (ms: number) => Promise<void>;
}

export interface Standing {
  readonly self: string;
  readonly candidates: readonly string[];
  /** The epoch that whoever asks wants to be replaced. */
  readonly insteadOf: number;
  readonly silenceMs: number;
  /** Attempts of this candidate before this one that came to nothing. */
  readonly attempt: number;
}

export type Verdict =
  | { readonly type: "elect" }
  /** Somebody leads: [M41] [M42] [M43]. */
  | { readonly type: "follow"; readonly leader: KnownLeader; readonly reason: string }
  /** Not now; whoever needs a leader asks again. */
  | { readonly type: "wait"; readonly reason: string };

/** Whose log it is, to one candidate. */
export type Ownership =
  /** [M40] The last entry is of this candidate's own epoch: it goes on with it. */
  | { readonly type: "own" }
  /** No leader yet, or one that is no candidate of this plane any more. */
  | { readonly type: "nobody" }
  | { readonly type: "other"; readonly leader: KnownLeader };

export function ownerOf(
  leader: KnownLeader | undefined,
  { self, candidates }: Pick<Standing, "self" | "candidates">,
): Ownership {
  if (leader === undefined || !candidates.includes(leader.candidate)) return { type: "nobody" };
  return leader.candidate === self ? { type: "own" } : { type: "other", leader };
}

/** [M40] A call alone makes a candidate lead only where the log names it, or names nobody and it is the first. */
export function leadsWhenCalled(
  owner: Ownership,
  { self, candidates }: Pick<Standing, "self" | "candidates">,
): boolean {
  return owner.type === "own" || (owner.type === "nobody" && self === candidates[0]);
}

/** Somebody cannot reach the leader: may this candidate elect? It takes up to the silence, and a delay. */
export async function stand(standing: Standing, ports: StandingPorts): Promise<Verdict> {
  const { insteadOf, silenceMs, attempt } = standing;
  const first = await ports.tail();
  if (first.type === "unavailable") return { type: "wait", reason: first.reason };
  const owner = ownerOf(first.leader, standing);
  if (owner.type !== "other") return { type: "elect" };
  const { leader } = owner;
  if (leader.epoch > insteadOf) return follow(leader, `it leads since epoch ${leader.epoch}`); // [M41]
  const watched = await watch(leader, silenceMs, ports);
  if (watched.type !== "elect") return watched;
  await ports.wait(backoffMs(ports.random, attempt, ELECT_DELAY));
  // [M44] Another may have come first.
  const last = await ports.tail();
  if (last.type === "unavailable") return { type: "wait", reason: last.reason };
  const now = ownerOf(last.leader, standing);
  if (now.type === "other" && now.leader.epoch > leader.epoch) return follow(now.leader, "another came first");
  return { type: "elect" };
}

/**
 * [M42] [M43] Until the leader shows a sign of life, to us or to the replicas, or has shown none for long enough. Of one that does not
 * answer the replicas tell how long; of one that answers that it does not lead only its own word counts. Its attempts may be heard by some
 * replica all the time; and a quorum that was away has heard nobody, which is no fault of the leader's.
 */
async function watch(leader: KnownLeader, silenceMs: number, ports: StandingPorts): Promise<Verdict> {
  let watchedSince: Millis | undefined;
  let leaderlessSince: Millis | undefined;
  for (let look = 0; look < looksMax(silenceMs); look++) {
    const sign = await ports.callLeader(leader.candidate);
    switch (sign.type) {
      case "leads":
        return follow(leader, "it answers");
      case "overloaded":
        return follow(leader, "it is overloaded");
      case "does-not-lead":
        if (sign.leader !== undefined && sign.leader.epoch > leader.epoch)
          return follow(sign.leader, "it was replaced");
        leaderlessSince ??= ports.now();
        break;
      case "silent":
        leaderlessSince = undefined;
        break;
      default:
        return unreachable(sign);
    }
    const silent = quorumSilence(await ports.silences());
    if (silent === undefined) return { type: "wait", reason: "no quorum of the log's replicas answers" };
    const now = ports.now();
    const lastedMs = leaderlessSince === undefined ? silent : now - leaderlessSince;
    if (lastedMs >= silenceMs) return { type: "elect" };
    watchedSince ??= now;
    // Heard since we began to watch: others reach it, and that we do not is our own trouble.
    if (leaderlessSince === undefined && silent + CLOCK_SLACK_MS < now - watchedSince)
      return follow(leader, `the replicas heard it ${Math.round(silent)} ms ago`);
    await ports.wait(Math.min(silenceMs - lastedMs, LOOK_INTERVAL_MS));
  }
  return { type: "wait", reason: `${leader.candidate} does not answer, and its replicas still hear it now and then` };
}

/** How long a quorum of the members has heard nothing, ms; undefined when no quorum answered. */
export function quorumSilence({ members, silentMs }: Silences): number | undefined {
  return silentMs.toSorted((a, b) => b - a)[Math.floor(members / 2)];
}

const follow = (leader: KnownLeader, why: string): Verdict => ({
  type: "follow",
  leader,
  reason: `${leader.candidate} leads: ${why}`,
});
