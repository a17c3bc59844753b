// The write round: consecutive entries, under a ballot that a quorum promised, to every replica at once.
import type { Ballot } from "./ballot.ts";
import type { ClusterId, Entry, Position, ReplicaId } from "./entry.ts";
import { WRITE_ENTRIES_MAX, WRITE_LETTERS_MAX } from "./limits.ts";
import { entryLetters } from "./record.ts";
import { describeAnswer, QuorumRound } from "./round.ts";

export interface Write {
  readonly seeds: readonly ReplicaId[];
  readonly clusterId: ClusterId;
  readonly membershipPosition: Position;
  readonly ballot: Ballot;
  readonly position: Position;
  readonly entries: readonly Entry[];
}

/** Decided when a quorum has accepted all entries: they are chosen. */
export function writeRound(write: Write): QuorumRound<true> {
  const { seeds, clusterId, membershipPosition, ballot, position, entries } = write;
  return new QuorumRound<true>({
    seeds,
    fixedMembershipPosition: membershipPosition,
    ask: () => ({ type: "write", clusterId, membershipPosition, ballot, position, entries }),
    judge(_from, answer) {
      if (answer.type === "accepted") return { type: "vote", vote: true };
      if (answer.type === "refused") return { type: "refused", promised: answer.promised };
      return { type: "none", reason: describeAnswer(answer) };
    },
  });
}

/** Cuts entries into pieces that one write can carry, in order. */
export function inWrites(entries: readonly Entry[]): readonly (readonly Entry[])[] {
  const writes: Entry[][] = [];
  let current: Entry[] = [];
  let letters = 0;
  for (const entry of entries) {
    const more = entryLetters(entry);
    if (current.length > 0 && (current.length === WRITE_ENTRIES_MAX || letters + more > WRITE_LETTERS_MAX)) {
      writes.push(current);
      current = [];
      letters = 0;
    }
    current.push(entry);
    letters += more;
  }
  if (current.length > 0) writes.push(current);
  return writes;
}
