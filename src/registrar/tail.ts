// Who led when the last chosen entry was written: what a caller needs to know whom to ask, and a candidate to know whether it was
// replaced. Asks a quorum where the log ends, so that nothing that was chosen before the question is missed, and reads the last entry.
// It raises no promise, needs no ballot, and disturbs nobody who leads.
import type { ReadCall, Unavailable } from "#log/calls.ts";
import { type Conversation, hold, unavailable } from "#log/conversation.ts";
import { type Electorate, type Position, position, type PositionedEntry, type ReplicaId } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX } from "#log/limits.ts";
import type { Standing } from "#log/messages.ts";
import { read, readOfAll } from "#log/read.ts";
import { describeAnswer, QuorumRound } from "#log/round.ts";
import type { TailAnswer, TailCall } from "./calls.ts";
import { newestHead, searchHead, searchOn } from "./find-head.ts";

/** A position that no log reaches. */
const FAR = position(Number.MAX_SAFE_INTEGER);

/** Where the log ends, as a quorum of its replicas tells. */
export interface End {
  readonly type: "end";
  readonly electorate: Electorate;
  readonly begin: Position;
  /** First position that is not known to be chosen. */
  readonly decidedTo: Position;
  /** Highest position with a record, chosen or not. */
  readonly end: number;
  /** The last entries before `decidedTo`, those that had to be read to know. */
  readonly entries: readonly PositionedEntry[];
}

export function* tail(call: TailCall, seeds: readonly ReplicaId[]): Conversation<TailAnswer> {
  const end = yield* findEnd(call, seeds);
  if (end.type === "unavailable") return end;
  const { decidedTo, electorate } = end;
  const newest = newestHead(end.entries, "stop");
  if (newest.type === "unreadable") return unreadable(newest.reason, electorate);
  if (newest.head !== undefined) return { type: "tail", leader: newest.head.leader, decidedTo };
  const first = end.entries[0]?.position ?? decidedTo;
  if (first <= end.begin) return { type: "tail", leader: undefined, decidedTo };
  let search = searchHead(position(first - 1));
  for (;;) {
    const { at: from, to } = search;
    const page = { clusterId: call.clusterId, from, to, entriesMax: PAGE_ENTRIES_MAX, known: electorate };
    const answer = yield* read(page, seeds);
    if (answer.type === "unavailable") return answer;
    const next = searchOn(search, answer, "stop");
    if (next.type === "stopped") return unreadable(next.reason, electorate);
    if (next.type === "found") return { type: "tail", leader: next.head?.leader, decidedTo };
    search = next.search;
  }
}

/** Everything that was chosen before the call is before `decidedTo`, unless too few replicas are there to tell. */
export function* findEnd({ clusterId, known }: TailCall, seeds: readonly ReplicaId[]): Conversation<End | Unavailable> {
  const standings = yield* hold(
    new QuorumRound<Standing>({
      electorate: { seeds, known },
      // Nothing is there to read: what counts is how the replica stands, and that it is of this cluster.
      ask: () => ({ type: "read", clusterId, from: FAR, to: undefined, entriesMax: 1 }),
      judge(_from, answer) {
        const { standing } = answer;
        if (answer.type !== "page") return { type: "none", reason: describeAnswer(answer) };
        if (standing.status === "voting") return { type: "vote", vote: standing };
        return { type: "none", reason: `${standing.status}: what it has is not all that it has accepted` };
      },
    }),
  );
  if (standings.type === "unavailable") return unavailable(standings);
  if (standings.type === "refused") return { type: "unavailable", reason: "refused", reachable: 0, replicas: 0 };
  const { electorate } = standings;
  const votes = [...standings.votes.values()];
  let begin = Math.max(...votes.map((standing) => standing.begin));
  let decidedTo = Math.max(...votes.map(({ missingFrom }) => missingFrom));
  let end = Math.max(...votes.map((standing) => standing.end));
  // Not further than this: a log that is being written moves its end as fast as it is read.
  const goal = end;
  let entries: readonly PositionedEntry[] = [];
  // What nobody has learned yet may be chosen all the same: a quorum that holds it under one ballot shows it. If the quorum that
  // answered first does not, all who are there may.
  for (const patience of ["quorum", "everybody"] as const) {
    while (decidedTo <= goal) {
      const from = position(decidedTo);
      const call: ReadCall = { clusterId, from, entriesMax: PAGE_ENTRIES_MAX, known: electorate };
      const page = yield* patience === "quorum" ? read(call, seeds) : readOfAll(call, electorate);
      if (page.type === "unavailable" && patience === "everybody") break; // what is known so far is true all the same
      if (page.type === "unavailable") return page;
      begin = Math.max(begin, page.begin);
      end = Math.max(end, page.end);
      if (page.decidedTo <= decidedTo) break;
      decidedTo = page.decidedTo;
      if (page.entries.length > 0) entries = page.entries;
    }
  }
  return { type: "end", electorate, begin: position(begin), decidedTo: position(decidedTo), end, entries };
}

const unreadable = (reason: string, { membership: { seats } }: Electorate): Unavailable => ({
  type: "unavailable",
  reason,
  reachable: seats.length,
  replicas: seats.length,
});
