// Reading without a ballot: what a quorum's records show to be chosen, as one prefix from the asked position on. It
// raises no promise, so that it disturbs no leader; what it cannot show to be chosen it reports as undecided.
import { compareBallots } from "./ballot.ts";
import type { ReadAnswer, ReadCall } from "./calls.ts";
import { type Concluded, type Conversation, hold } from "./conversation.ts";
import type { ClusterId, Membership, Position, ReplicaId } from "./entry.ts";
import { FIRST_POSITION, position, quorumOf } from "./entry.ts";
import { PAGE_ENTRIES_MAX } from "./limits.ts";
import { isSameEntry, type LogRecord } from "./record.ts";
import { describeAnswer, QuorumRound } from "./round.ts";

export interface ReadPage {
  readonly records: readonly LogRecord[];
  /** First position that this page says nothing about. */
  readonly coversTo: number;
  readonly missingFrom: number;
  readonly end: number;
}

export interface ReadQuestion {
  readonly clusterId: ClusterId;
  readonly from: Position;
  readonly to?: Position;
  readonly entriesMax: number;
  readonly membershipPosition?: Position;
}

export function* read(call: ReadCall, seeds: readonly ReplicaId[]): Conversation<Concluded<ReadAnswer>> {
  const entriesMax = Math.max(1, Math.min(call.entriesMax, PAGE_ENTRIES_MAX));
  const round = yield* hold(readRound({ clusterId: call.clusterId, from: call.from, entriesMax }, seeds));
  if (round.type === "refused") {
    const { length } = seeds;
    return { answer: { type: "unavailable", reason: "a replica refused to be read", reachable: 0, replicas: length } };
  }
  if (round.type === "unavailable") return { answer: round };
  const pages = [...round.votes.values()];
  const { records, decidedTo } = chosenRecords(pages, call.from, round.electorate.membership);
  const kept = records.slice(0, entriesMax);
  return {
    answer: {
      type: "entries",
      entries: kept.map((record) => ({ position: record.position, entry: record.entry })),
      begin: FIRST_POSITION,
      decidedTo: position(kept.length < records.length ? call.from + kept.length : decidedTo),
      end: position(Math.max(...pages.map((page) => page.end))),
    },
  };
}

export function readRound(question: ReadQuestion, seeds: readonly ReplicaId[]): QuorumRound<ReadPage> {
  const { clusterId, from, to, entriesMax } = question;
  return new QuorumRound<ReadPage>({
    seeds,
    ask: (known) => ({
      type: "read",
      clusterId,
      membershipPosition: position(Math.max(known, question.membershipPosition ?? known)),
      from,
      to,
      entriesMax,
    }),
    judge(_from, answer) {
      if (answer.type !== "page") return { type: "none", reason: describeAnswer(answer) };
      const { page, standing } = answer;
      const coversTo = page.next ?? standing.end + 1;
      const vote = { records: page.records, coversTo, missingFrom: standing.missingFrom, end: standing.end };
      return { type: "vote", vote };
    },
  });
}

/**
 * The chosen records from `from` on without a gap, and the first position not known to be chosen. Chosen means: learned
 * at any replica, or accepted by a quorum under the same ballot.
 */
export function chosenRecords(
  pages: readonly ReadPage[],
  from: Position,
  membership: Membership,
): { readonly records: readonly LogRecord[]; readonly decidedTo: Position } {
  const quorum = quorumOf(membership);
  const byPosition = new Map<number, { record: LogRecord; learned: boolean }[]>();
  for (const { records, missingFrom } of pages) {
    for (const record of records) {
      const seen = byPosition.get(record.position);
      const item = { record, learned: record.position < missingFrom };
      if (seen === undefined) byPosition.set(record.position, [item]);
      else seen.push(item);
    }
  }
  const chosen: LogRecord[] = [];
  for (let at: number = from; ; at++) {
    const seen = byPosition.get(at) ?? [];
    const learned = seen.find((item) => item.learned);
    const agreed = seen.find(
      ({ record }) => seen.filter((other) => isSameAcceptance(record, other.record)).length >= quorum,
    );
    const known = learned ?? agreed;
    if (known === undefined) return { records: chosen, decidedTo: position(at) };
    chosen.push(known.record);
  }
}

const isSameAcceptance = (a: LogRecord, b: LogRecord): boolean =>
  compareBallots(a.performed, b.performed) === 0 && isSameEntry(a.entry, b.entry);
