// An election: a quorum promises the ballot and shows what it accepted; whatever may have been chosen is written again
// under the ballot, gaps become nop. After it every position below `next` is chosen, and only this ballot can append.
//
// [L2] One ballot is good for one election: a second one could see another quorum and write other values under it.
import { assert } from "#base/assert.ts";
import { compareBallots } from "./ballot.ts";
import type { ElectAnswer, ElectCall } from "./calls.ts";
import { type Concluded, type Conversation, hold } from "./conversation.ts";
import type { Entry, PositionedEntry, ReplicaId } from "./entry.ts";
import { position } from "./entry.ts";
import { settle } from "./learn.ts";
import { isSameEntry, type LogRecord } from "./record.ts";
import { describeAnswer, QuorumRound } from "./round.ts";
import { inWrites, writeRound } from "./write.ts";

/** What one promising replica accepted from the asked position on. */
interface Promised {
  readonly records: readonly LogRecord[];
  readonly end: number;
  /** As of the first page: catch-up may replace an accepted record by the chosen one before the last page is read. */
  readonly missingFrom: number;
}

export function* elect(call: ElectCall, seeds: readonly ReplicaId[]): Conversation<Concluded<ElectAnswer>> {
  const promises = yield* hold(promiseRound(call, seeds));
  if (promises.type !== "decided") return { answer: promises };
  const { membership, position: membershipPosition } = promises.electorate;
  const votes = [...promises.votes.values()];
  const end = Math.max(...votes.map((vote) => vote.end));
  if (end + 1 < call.from) {
    // The caller applied what no quorum has any more: replicas lost their storage. Going on would choose it again, differently.
    const reason = `the replicas end at ${end}, but ${call.from - 1} was chosen before: the log has lost entries`;
    const { replicas } = membership;
    return { answer: { type: "unavailable", reason, reachable: votes.length, replicas: replicas.length } };
  }

  const { entries, learnedTo } = decide(votes, call.from, end);
  const undecided = entries.filter((entry) => entry.position >= learnedTo);
  let at = Math.max(learnedTo, call.from);
  for (const part of inWrites(undecided.map(({ entry }) => entry))) {
    const write = { ...call, seeds: membership.replicas, membershipPosition, position: position(at), entries: part };
    const written = yield* hold(writeRound(write));
    if (written.type !== "decided") return { answer: written };
    at += part.length;
  }
  const answer: ElectAnswer = { type: "elected", membership, membershipPosition, next: position(end + 1), entries };
  const background = settle({
    clusterId: call.clusterId,
    ballot: call.ballot,
    electorate: promises.electorate,
    through: position(end),
  });
  return { answer, background };
}

function promiseRound({ clusterId, ballot, from }: ElectCall, seeds: readonly ReplicaId[]): QuorumRound<Promised> {
  const pages = new Map<ReplicaId, { readonly records: readonly LogRecord[]; readonly missingFrom: number }>();
  const ask = (membershipPosition: typeof from, first: typeof from) =>
    ({ type: "promise", clusterId, membershipPosition, ballot, from: first }) as const;
  return new QuorumRound<Promised>({
    seeds,
    ask: (membershipPosition) => ask(membershipPosition, from),
    judge(replica, answer) {
      if (answer.type === "refused") return { type: "refused", promised: answer.promised };
      if (answer.type !== "promised") return { type: "none", reason: describeAnswer(answer) };
      const { page, standing } = answer;
      const before = pages.get(replica) ?? { records: [], missingFrom: standing.missingFrom };
      const records = [...before.records, ...page.records];
      pages.set(replica, { ...before, records });
      // Later pages are as good as the first: this replica accepts nothing older in between.
      if (page.next !== undefined) return { type: "more", message: ask(standing.membershipPosition, page.next) };
      return { type: "vote", vote: { records, end: standing.end, missingFrom: before.missingFrom } };
    },
  });
}

/** The value of each position in [from, end], and the first of them that no voter has learned. */
function decide(
  votes: readonly Promised[],
  from: number,
  end: number,
): { readonly entries: readonly PositionedEntry[]; readonly learnedTo: number } {
  // Learned is a prefix, and learned anywhere is chosen.
  const learnedTo = Math.max(...votes.map((vote) => vote.missingFrom));
  const best = new Map<number, { readonly record: LogRecord; readonly learned: boolean }>();
  for (const { records, missingFrom } of votes) {
    for (const record of records) {
      const learned = record.position < missingFrom;
      const rival = best.get(record.position);
      if (rival === undefined) {
        best.set(record.position, { record, learned });
        continue;
      }
      if (learned && rival.learned) {
        assert(isSameEntry(record.entry, rival.record.entry), "two replicas never learn different values");
        continue;
      }
      if (rival.learned) continue;
      if (learned || compareBallots(record.performed, rival.record.performed) > 0) {
        best.set(record.position, { record, learned });
      }
    }
  }
  const entries: PositionedEntry[] = [];
  for (let at = from; at <= end; at++) {
    const known = best.get(at);
    assert(known !== undefined || at >= learnedTo, "a learned position has a record");
    const entry: Entry = known?.record.entry ?? { type: "nop" };
    entries.push({ position: position(at), entry });
  }
  return { entries, learnedTo };
}
