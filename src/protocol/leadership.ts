// Who leads, as candidates, gateways and Workers tell each other. Both sides run the same build or the one before.
import type { Epoch } from "./ids.ts";

/** Most master candidates of one plane: `master-1` to `master-5`. */
export const MASTERS_MAX = 5;

/** The names of a plane's candidates, in the order in which they are asked. */
export const candidateNames = (masters: number): readonly string[] =>
  Array.from({ length: masters }, (_, index) => `master-${index + 1}`);

/** Who leads as far as somebody knows. Of two, the one of the higher epoch is newer. */
export interface KnownLeader {
  readonly candidate: string;
  readonly epoch: Epoch;
}

export type Leading = KnownLeader & { readonly type: "leading" };
/** Said before anything is done: whatever was asked was not executed. */
export interface NotLeading {
  readonly type: "not-leading";
  /** For people. */
  readonly reason: string;
  /** Who leads instead, when that is known. */
  readonly leader?: KnownLeader;
  /** It was asked to stand, and is finding out whether it may: ask again. */
  readonly looking?: true;
}
export type Leadership = Leading | NotLeading;

export const isNotLeading = (answer: unknown): answer is NotLeading =>
  typeof answer === "object" && answer !== null && "type" in answer && answer.type === "not-leading";

/** Where the answer is no JSON: headers that say who leads instead. */
export const LEADER_HEADER = "mesoflare-leader";
export const EPOCH_HEADER = "mesoflare-epoch";
