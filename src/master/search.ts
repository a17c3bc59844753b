// How whoever needs the leader finds it: what a candidate answers is followed, and when the one that led cannot be reached the next
// candidate is asked to stand. Every search ends: each step of it asks another candidate, or follows a higher epoch. [M45] [M46]
import type { KnownLeader, Leadership } from "#protocol/leadership.ts";

/** Candidates that one call may go to before it gives up: the leader it knew, each other, and a few that led in between. */
export const HOPS_MAX = 8;

/** What became of asking a candidate to stand. */
export type StandAnswer = Leadership | { readonly type: "unreachable"; readonly reason: string };

export type Found =
  | { readonly type: "leader"; readonly leader: KnownLeader }
  /** The leader that is known lives, as another candidate sees it: what happened may have been an object that was moved. */
  | { readonly type: "alive"; readonly reason: string }
  | { readonly type: "none"; readonly reason: string };

/** Before anybody has said who leads: the first candidate, of an epoch that everything is newer than. */
export const firstGuess = (candidates: readonly string[]): KnownLeader => ({
  candidate: candidates[0] ?? "master-1",
  epoch: 0 as KnownLeader["epoch"],
});

/** Whether `heard` is worth following for somebody who knows `known`: only upwards, so that no two candidates play ball. */
export function isNews(heard: KnownLeader | undefined, known: KnownLeader): heard is KnownLeader {
  return heard !== undefined && heard.epoch > known.epoch;
}

/** The candidates after the one that cannot be reached, in turn; that one is last, as it may have been but a moment. */
export function turnAfter(candidates: readonly string[], candidate: string): readonly string[] {
  const at = candidates.indexOf(candidate);
  return [...candidates.slice(at + 1), ...candidates.slice(0, at + 1)];
}

/** The leader that `known` names cannot be reached: who leads instead? */
export async function findInstead(
  candidates: readonly string[],
  known: KnownLeader,
  askToStand: (candidate: string, insteadOf: KnownLeader["epoch"]) => Promise<StandAnswer>,
): Promise<Found> {
  let reason = "nobody was asked";
  for (const candidate of turnAfter(candidates, known.candidate)) {
    const answer = await askToStand(candidate, known.epoch);
    if (answer.type === "leading") return { type: "leader", leader: { candidate, epoch: answer.epoch } };
    reason = answer.reason;
    if (answer.type === "unreachable") continue;
    if (isNews(answer.leader, known)) return { type: "leader", leader: answer.leader };
    if (answer.leader !== undefined) return { type: "alive", reason };
    // One that looks is enough: several would elect one after the other.
    if (answer.looking === true) return { type: "none", reason };
  }
  return { type: "none", reason };
}
