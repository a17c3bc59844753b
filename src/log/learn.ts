// After a choice: tell the replicas that it is one, and push what it lacks to each that turns out to have a gap.
// Nobody waits for this, and nothing depends on it but the length of the next election and of reads.
import { compareBallots, type Ballot } from "./ballot.ts";
import { type Conversation, hold } from "./conversation.ts";
import type { ClusterId, Position, ReplicaId } from "./entry.ts";
import { position } from "./entry.ts";
import { CATCH_UP_PAGES_MAX, PAGE_ENTRIES_MAX } from "./limits.ts";
import type { CatchUpMessage, LearnMessage } from "./messages.ts";
import { chosenRecords, readRound } from "./read.ts";
import { type Electorate, GatherRound } from "./round.ts";

export interface Settlement {
  readonly clusterId: ClusterId;
  /** Everything that was written under this ballot up to `through` is chosen. */
  readonly ballot: Ballot;
  readonly electorate: Electorate;
  readonly through: Position;
}

export function* settle({ clusterId, ballot, electorate, through }: Settlement): Conversation<void> {
  const { replicas } = electorate.membership;
  const notice: LearnMessage = {
    type: "learn",
    clusterId,
    membershipPosition: electorate.position,
    ballot,
    through,
  };
  const notices = new GatherRound(replicas.map((to) => ({ to, message: notice })));
  yield notices;
  for (const replica of replicas) {
    const heard = notices.heardFrom(replica);
    if (heard.type !== "answer" || heard.answer.type !== "learned") continue;
    const { promised, missingFrom } = heard.answer.standing;
    if (missingFrom > through) continue;
    // A replica that promised a higher ballot has another leader, who sees to it.
    if (compareBallots(promised, ballot) > 0) continue;
    yield* catchUp({ clusterId, electorate, replica, from: missingFrom, through });
  }
}

export interface Lag {
  readonly clusterId: ClusterId;
  readonly electorate: Electorate;
  readonly replica: ReplicaId;
  /** First position that the replica has not learned. */
  readonly from: Position;
  readonly through: Position;
}

/** Pushes the chosen records of [from, through] to one replica, a page at a time, until it has them or nothing moves. */
export function* catchUp({ clusterId, electorate, replica, from, through }: Lag): Conversation<void> {
  const { membership, position: membershipPosition } = electorate;
  let missingFrom = from;
  for (let page = 0; page < CATCH_UP_PAGES_MAX && missingFrom <= through; page++) {
    const read = yield* hold(
      readRound(
        { clusterId, from: missingFrom, to: through, entriesMax: PAGE_ENTRIES_MAX, membershipPosition },
        membership.replicas,
      ),
    );
    if (read.type !== "decided") return;
    const { records } = chosenRecords([...read.votes.values()], missingFrom, read.electorate.membership);
    if (records.length === 0) return;
    const message: CatchUpMessage = { type: "catch-up", clusterId, membershipPosition, records };
    const push = new GatherRound([{ to: replica, message }]);
    yield push;
    const heard = push.heardFrom(replica);
    if (heard.type !== "answer" || heard.answer.type !== "learned") return;
    if (heard.answer.standing.missingFrom <= missingFrom) return;
    missingFrom = position(heard.answer.standing.missingFrom);
  }
}
