// Bringing chosen records to a replica that lacks them: in pages of up to PAGE_ENTRIES_MAX positions, each of which is one
// question to a replica that has them and one message to the one that has not.
import type { Conversation } from "./conversation.ts";
import type { ClusterId, Electorate, Position, ReplicaId } from "./entry.ts";
import { PAGE_ENTRIES_MAX } from "./limits.ts";
import type { CatchUpMessage, Standing } from "./messages.ts";
import { chosenPage } from "./read.ts";
import { GatherRound } from "./round.ts";

export interface Lag {
  readonly clusterId: ClusterId;
  /** The newest membership known: whom to ask. */
  readonly electorate: Electorate;
  readonly replica: ReplicaId;
  /** How it stands: from where on it lacks entries, and which of its own are damaged. */
  readonly standing: Standing;
  readonly through: Position;
  readonly pagesMax: number;
  /** Others than the members that may have what is missing. */
  readonly others?: readonly ReplicaId[];
}

export interface CaughtUp {
  /** Whether anything that the replica lacked was brought to it. */
  readonly hasMoved: boolean;
  /** Whether it has everything now. */
  readonly isDone: boolean;
  readonly standing: Standing;
  /** A quorum answered, and none of them can show what was chosen there: only an election can decide it again. */
  readonly isUndecided: boolean;
}

/** Pushes the chosen records that a replica lacks, until it has them or nothing moves. */
export function* catchUp(lag: Lag): Conversation<CaughtUp> {
  const { clusterId, electorate, replica, through, pagesMax, others = [] } = lag;
  let { standing } = lag;
  let isUndecided = false;
  for (let page = 0; page < pagesMax && lacks(standing, through); page++) {
    // What is damaged comes first, and no more than that: whoever is asked may have damage of its own a little further on.
    const from = firstLacking(standing);
    const to = standing.damaged?.to ?? through;
    const call = { clusterId, from, to, entriesMax: PAGE_ENTRIES_MAX, known: electorate };
    const found = yield* chosenPage(call, others, replica);
    if (found.type === "unavailable") break;
    isUndecided = found.records.length === 0 && found.tombstone === undefined;
    if (isUndecided) break;
    const { records, tombstone } = found;
    const message: CatchUpMessage = { type: "catch-up", clusterId, tombstone, records };
    const push = new GatherRound([{ to: replica, message }]);
    yield push;
    const reached = push.standingOf(replica);
    if (reached === undefined || !isFurther(standing, reached)) break;
    standing = reached;
  }
  const hasMoved = standing !== lag.standing;
  return { hasMoved, isDone: !lacks(standing, through), isUndecided, standing };
}

const firstLacking = ({ damaged, missingFrom }: Standing): Position => damaged?.from ?? missingFrom;

/** Whether a replica that stands so lacks any entry up to `through`. */
export const lacks = ({ damaged, missingFrom }: Standing, through: Position): boolean =>
  damaged !== undefined || missingFrom <= through;

function isFurther(before: Standing, after: Standing): boolean {
  if (after.missingFrom > before.missingFrom) return true;
  if (before.damaged === undefined) return false;
  return after.damaged === undefined || after.damaged.from > before.damaged.from;
}
