// Reading without a ballot: what is chosen, as one prefix from the asked position on. It raises no promise, so that it
// disturbs no leader; what it cannot show to be chosen it reports as undecided.
//
// Learned anywhere is chosen, so one replica that has learned the asked positions is enough. Only what nobody has learned
// yet takes a quorum: the same value, accepted under the same ballot by q of them.
import { compareBallots } from "./ballot.ts";
import type { ReadAnswer, ReadCall } from "./calls.ts";
import { type Conversation, hold, unavailable } from "./conversation.ts";
import type { Electorate, ReplicaId } from "./entry.ts";
import { position, quorumOf, replicasOf, seatOf } from "./entry.ts";
import { PAGE_ENTRIES_MAX } from "./limits.ts";
import type { Page, ReadMessage, ReplicaAnswer, Standing, Tombstone } from "./messages.ts";
import { isSameEntry, type LogRecord } from "./record.ts";
import {
  type Ballotted,
  describeAnswer,
  GatherRound,
  type Heard,
  type NoQuorum,
  QuorumRound,
  type Round,
  type Send,
} from "./round.ts";

/** Chosen records without a gap, from the asked position on or from the tombstone's. */
export interface ChosenPage {
  readonly type: "chosen";
  readonly records: readonly LogRecord[];
  readonly tombstone: Tombstone | undefined;
  readonly begin: number;
  readonly end: number;
}

export function* read(call: ReadCall, seeds: readonly ReplicaId[]): Conversation<ReadAnswer> {
  const entriesMax = Math.max(1, Math.min(call.entriesMax, PAGE_ENTRIES_MAX));
  const found = yield* chosenPage({ ...call, entriesMax }, seeds);
  return found.type === "unavailable" ? unavailable(found) : shown(found, call.from);
}

/**
 * Waits for all members of a membership, not only for a quorum: of what was accepted by a quorum just now, the first to answer may have
 * too few.
 */
export function* readOfAll(call: ReadCall, electorate: Electorate): Conversation<ReadAnswer> {
  const { clusterId, from, to, entriesMax } = call;
  const message: ReadMessage = { type: "read", clusterId, from, to, entriesMax };
  const replicas = replicasOf(electorate.membership);
  const all = new GatherRound(replicas.map((replica) => ({ to: replica, message })));
  yield all;
  const votes: ReadVote[] = [];
  for (const replica of replicas) {
    const heard = all.heardFrom(replica);
    if (heard.type !== "answer") continue;
    const judged = judgePage(heard.answer);
    const isSeated = heard.answer.standing.incarnation === seatOf(electorate.membership, replica)?.incarnation;
    // Under another membership it tells nothing of what this one has chosen.
    const isUnder = heard.answer.standing.electorate?.position === electorate.position;
    if (judged.type === "vote" && isSeated && isUnder) votes.push(judged.vote);
  }
  if (votes.length >= quorumOf(electorate.membership)) {
    return shown(agreedPage(electorate, votes, from, entriesMax), from);
  }
  const reason = `${votes.length} of ${replicas.length} replicas answered under the membership at ${electorate.position}`;
  return { type: "unavailable", reason, reachable: votes.length, replicas: replicas.length };
}

const shown = ({ records, tombstone, begin, end }: ChosenPage, from: number): ReadAnswer => ({
  type: "entries",
  entries: records.map((record) => ({ position: record.position, entry: record.entry })),
  begin: position(begin),
  decidedTo: position((tombstone?.begin ?? from) + records.length),
  end: position(end),
});

/**
 * One page of chosen records. Members of the known membership are asked first, then `seeds`; `except` is not, because the
 * page is for it. Without any record, a quorum could not show that the first position asked for is chosen.
 */
export function* chosenPage(
  call: ReadCall,
  seeds: readonly ReplicaId[],
  except?: ReplicaId,
): Conversation<ChosenPage | NoQuorum> {
  const { clusterId, from, to, entriesMax, known } = call;
  const message: ReadMessage = { type: "read", clusterId, from, to, entriesMax };
  const members = known === undefined ? [] : replicasOf(known.membership);
  const names = new Set([...members, ...seeds]);
  if (except !== undefined) names.delete(except);
  const donor = new DonorRound([...names], message);
  yield donor;
  if (donor.found !== undefined) return donor.found;

  const round = yield* hold(readRound(message, seeds, known));
  if (round.type === "unavailable") return round;
  if (round.type === "refused") {
    const reason = "a replica refused to be read";
    return {
      type: "unavailable",
      reason,
      reachable: 0,
      replicas: names.size,
      electorate: known,
      behind: [],
      isLogKnown: true,
      asked: [],
    };
  }
  return agreedPage(round.electorate, [...round.votes.values()], from, entriesMax);
}

/** Asks one replica after another for what it has learned, until one has something to give. */
class DonorRound implements Round {
  readonly #names: readonly ReplicaId[];
  readonly #message: ReadMessage;
  #asked = 0;
  #answered = 0;
  #expired = false;
  found: ChosenPage | undefined;

  constructor(names: readonly ReplicaId[], message: ReadMessage) {
    this.#names = names;
    this.#message = message;
  }

  get isOver(): boolean {
    return this.#expired || this.found !== undefined || this.#answered === this.#names.length;
  }

  open(): readonly Send[] {
    return this.#next();
  }

  hear(_from: ReplicaId, heard: Heard): readonly Send[] {
    if (this.isOver) return [];
    this.#answered += 1;
    if (heard.type === "answer") this.found = learnedPage(heard.answer, this.#message.from);
    return this.isOver ? [] : this.#next();
  }

  /** The one that was asked takes its time: ask the next one as well. */
  resend(): readonly Send[] {
    return this.isOver ? [] : this.#next();
  }

  expire(): void {
    this.#expired = true;
  }

  #next(): readonly Send[] {
    const to = this.#names[this.#asked];
    if (to === undefined) return [];
    this.#asked += 1;
    return [{ to, message: this.#message }];
  }
}

/** What one answer shows to be chosen because it is learned there; undefined when that is nothing. */
function learnedPage(answer: ReplicaAnswer, from: number): ChosenPage | undefined {
  if (answer.type !== "page") return undefined;
  const { page, standing, tombstone } = answer;
  const records = consecutive(page.records, tombstone?.begin ?? from, standing.missingFrom);
  if (records.length === 0 && tombstone === undefined) return undefined;
  return { type: "chosen", records, tombstone, begin: standing.begin, end: standing.end };
}

/** The records of [from, before) up to the first gap. */
function consecutive(records: readonly LogRecord[], from: number, before: number): readonly LogRecord[] {
  const start = records.findIndex((record) => record.position === from);
  if (start === -1) return [];
  let length = 0;
  for (const record of records.slice(start)) {
    if (record.position !== from + length || record.position >= before) break;
    length += 1;
  }
  return start === 0 && length === records.length ? records : records.slice(start, start + length);
}

interface ReadVote {
  readonly page: Page;
  readonly standing: Standing;
  readonly tombstone: Tombstone | undefined;
}

function readRound(
  message: ReadMessage,
  seeds: readonly ReplicaId[],
  known: Electorate | undefined,
): QuorumRound<ReadVote> {
  return new QuorumRound<ReadVote>({
    electorate: { seeds, known },
    ask: () => message,
    judge: (_from, answer) => judgePage(answer),
  });
}

function judgePage(answer: ReplicaAnswer): Extract<Ballotted<ReadVote>, { type: "vote" | "none" }> {
  if (answer.type !== "page") return { type: "none", reason: describeAnswer(answer) };
  const { page, standing, tombstone } = answer;
  if (standing.status !== "voting") return { type: "none", reason: `${standing.status}: its records are no votes` };
  return { type: "vote", vote: { page, standing, tombstone } };
}

/** [L18] What a quorum's pages show to be chosen: learned at any of them, or accepted by q of them under one ballot. */
function agreedPage(
  { membership }: Electorate,
  votes: readonly ReadVote[],
  from: number,
  entriesMax: number,
): ChosenPage {
  const quorum = quorumOf(membership);
  const begin = Math.max(...votes.map(({ standing }) => standing.begin));
  const end = Math.max(...votes.map(({ standing }) => standing.end));
  const tombstone = votes.find((vote) => vote.tombstone?.begin === begin)?.tombstone;
  const seenAt = new Map<number, { readonly record: LogRecord; readonly isLearned: boolean }[]>();
  for (const { page, standing } of votes) {
    for (const record of page.records) {
      const item = { record, isLearned: record.position < standing.missingFrom };
      const seen = seenAt.get(record.position);
      if (seen === undefined) seenAt.set(record.position, [item]);
      else seen.push(item);
    }
  }
  const records: LogRecord[] = [];
  for (let at: number = tombstone?.begin ?? from; records.length < entriesMax; at++) {
    const seen = seenAt.get(at) ?? [];
    const agreed = seen.find(
      ({ record }) => seen.filter((other) => isSameAcceptance(record, other.record)).length >= quorum,
    );
    const chosen = (seen.find(({ isLearned }) => isLearned) ?? agreed)?.record;
    if (chosen === undefined) break;
    records.push(chosen);
    // [L24] What follows is decided by other replicas than these.
    if (chosen.entry.type === "membership") break;
  }
  return { type: "chosen", records, tombstone, begin, end };
}

const isSameAcceptance = (a: LogRecord, b: LogRecord): boolean =>
  compareBallots(a.performed, b.performed) === 0 && isSameEntry(a.entry, b.entry);
