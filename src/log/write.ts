// The write round: consecutive entries, under a ballot that a quorum promised, to every member at once.
import type { Ballot } from "./ballot.ts";
import type { ClusterId, Electorate, Entry, Position } from "./entry.ts";
import { WRITE_ENTRIES_MAX, WRITE_LETTERS_MAX } from "./limits.ts";
import type { WriteMessage } from "./messages.ts";
import { entryLetters } from "./record.ts";
import { describeAnswer, QuorumRound } from "./round.ts";

export interface Write {
  readonly clusterId: ClusterId;
  readonly electorate: Electorate;
  readonly ballot: Ballot;
  readonly position: Position;
  readonly entries: readonly Entry[];
  /** What was written under `ballot` up to here is chosen. */
  readonly chosenThrough?: Position;
}

/** Decided when a quorum has accepted all entries: they are chosen. */
export function writeRound({ electorate, ...write }: Write): QuorumRound<true> {
  const message: WriteMessage = { type: "write", membershipPosition: electorate.position, ...write };
  return new QuorumRound<true>({
    electorate,
    ask: () => message,
    judge(_from, answer) {
      if (answer.type === "accepted") return { type: "vote", vote: true };
      if (answer.type === "refused") return { type: "refused", promised: answer.promised };
      return { type: "none", reason: describeAnswer(answer) };
    },
  });
}

/** How many entries from the front of a list one write can carry: at least one, if there is one. */
export function fittingEntries(entries: readonly Entry[]): number {
  let letters = 0;
  let count = 0;
  for (const entry of entries) {
    letters += entryLetters(entry);
    if (count === WRITE_ENTRIES_MAX || (count > 0 && letters > WRITE_LETTERS_MAX)) break;
    count += 1;
    // [L24] What follows a membership entry is decided by other replicas.
    if (entry.type === "membership") break;
  }
  return count;
}
