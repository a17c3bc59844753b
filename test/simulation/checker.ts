// Watches every message of a simulation and says which invariant it breaks. It knows the protocol's promises, not its
// code: chosen is computed here from acceptances alone.
import { compareBallots, type Ballot, NO_BALLOT } from "#log/ballot.ts";
import type { Entry, PositionedEntry, ReplicaId } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import type { ReplicaAnswer, ReplicaMessage } from "#log/messages.ts";
import { parseEntryText } from "#log/parse-message.ts";
import { entryText } from "#log/record.ts";
import { loadReplica, type ReplicaState } from "#log/replica.ts";
import type { LogStorage } from "#log/storage.ts";
import { decodeEntry } from "#registrar/codec.ts";

/** Letters of a value that a violation shows. */
const SHOWN_LETTERS_MAX = 90;
const brief = (text: string | undefined): string =>
  text === undefined ? "nothing" : text.length > SHOWN_LETTERS_MAX ? `${text.slice(0, SHOWN_LETTERS_MAX)}…` : text;

const ballotText = ({ counter, candidate, nonce }: Ballot): string => `${counter}/${candidate}/${nonce}`;

export interface Observed {
  readonly replica: ReplicaId;
  readonly before: ReplicaState;
  readonly message: ReplicaMessage;
  readonly answer: ReplicaAnswer;
  /** As it is when the answer leaves. */
  readonly storage: LogStorage;
}

const VOTES = new Set<ReplicaAnswer["type"]>(["promised", "accepted", "confirmed", "refused"]);

export class Checker {
  readonly violations: string[] = [];
  /** Value of each chosen position, as text. */
  readonly chosen = new Map<number, string>();
  readonly #quorum: number;
  readonly #acceptances = new Map<string, Set<ReplicaId>>();
  readonly #written = new Map<string, string>();
  readonly #promised = new Map<ReplicaId, Ballot>();
  readonly #now: () => number;
  /** Who promised each ballot, and when the last of a quorum did. */
  readonly #promisers = new Map<string, { readonly ballot: Ballot; readonly by: Set<ReplicaId>; quorumAt: number }>();

  constructor(quorum: number, bootstrapEntry: Entry, now: () => number) {
    this.#quorum = quorum;
    this.#now = now;
    this.chosen.set(1, entryText(bootstrapEntry));
  }

  violated(rule: string): void {
    if (this.violations.length < 20) this.violations.push(rule);
  }

  /** Called once for each answer, after the replica stored what the answer rests on. */
  answered({ replica, before, message, answer, storage }: Observed): void {
    const stored = loadReplica(storage);
    if (before.status !== "voting" && VOTES.has(answer.type)) {
      this.violated(`invariant 9: ${replica} is ${before.status} and answered ${answer.type}`);
    }
    const { standing } = answer;
    if (
      compareBallots(stored.promised, standing.promised) !== 0 ||
      stored.missingFrom !== standing.missingFrom ||
      stored.status !== standing.status
    ) {
      this.violated(`invariant 4: ${replica} answered ${answer.type} before it was durable`);
    }
    this.#checkPromise(replica, stored.promised);
    if (message.type === "promise" && answer.type === "promised") {
      if (compareBallots(message.ballot, before.promised) < 0) {
        this.violated(`invariant 6: ${replica} promised ${ballotText(message.ballot)} below its promise`);
      }
      this.#hasPromised(replica, message.ballot);
    }
    if (message.type === "write" && answer.type === "accepted") {
      if (compareBallots(message.ballot, before.promised) < 0) {
        this.violated(`invariant 6: ${replica} accepted ${ballotText(message.ballot)} below its promise`);
      }
      for (const [index, entry] of message.entries.entries()) {
        this.#accepted(replica, message.ballot, message.position + index, entry, storage);
      }
    }
    this.#checkLearned(replica, before.missingFrom, stored.missingFrom, storage);
  }

  restarted(replica: ReplicaId, state: ReplicaState): void {
    this.#checkPromise(replica, state.promised);
  }

  /** From here on the replica starts from nothing: its promise is gone. */
  lostStorage(replica: ReplicaId): void {
    this.#promised.delete(replica);
  }

  /** A caller was told that these entries are chosen. */
  told(what: string, entries: readonly PositionedEntry[]): void {
    for (const { position: at, entry } of entries) {
      const chosen = this.chosen.get(at);
      if (chosen === undefined) this.violated(`invariant 3: ${what} told position ${at}, which is not chosen`);
      else if (chosen !== entryText(entry)) {
        this.violated(`invariant 3: ${what} told ${brief(entryText(entry))} at ${at}, chosen is ${brief(chosen)}`);
      }
    }
  }

  /** A candidate leads: its epoch is its own leader entry, and the last one that it has replayed. */
  leads(candidate: string, epoch: number, next: number): void {
    for (let at = epoch; at < next; at++) {
      const leader = leaderIn(this.chosen.get(at));
      if (at === epoch && leader !== candidate)
        this.violated(`${candidate} leads under ${epoch}, which is not its entry`);
      if (at > epoch && leader !== undefined)
        this.violated(`${candidate} leads under ${epoch}, but ${leader} led at ${at}`);
    }
  }

  /** A candidate was told that nobody had overtaken `ballot` at `at`. */
  confirmed(ballot: Ballot, at: number): void {
    for (const { ballot: other, quorumAt } of this.#promisers.values()) {
      if (compareBallots(other, ballot) > 0 && quorumAt < at) {
        this.violated(`${ballotText(ballot)} was confirmed at ${at}, after a quorum promised ${ballotText(other)}`);
      }
    }
  }

  #hasPromised(replica: ReplicaId, ballot: Ballot): void {
    const key = ballotText(ballot);
    const promisers = this.#promisers.get(key) ?? { ballot, by: new Set(), quorumAt: Infinity };
    promisers.by.add(replica);
    if (promisers.by.size >= this.#quorum && promisers.quorumAt === Infinity) promisers.quorumAt = this.#now();
    this.#promisers.set(key, promisers);
  }

  #checkPromise(replica: ReplicaId, promised: Ballot): void {
    const before = this.#promised.get(replica) ?? NO_BALLOT;
    if (compareBallots(promised, before) < 0) {
      this.violated(`invariant 5: ${replica} went from promise ${ballotText(before)} to ${ballotText(promised)}`);
    }
    this.#promised.set(replica, promised);
  }

  #accepted(replica: ReplicaId, ballot: Ballot, at: number, entry: Entry, storage: LogStorage): void {
    const text = entryText(entry);
    const key = `${ballotText(ballot)}@${at}`;
    const written = this.#written.get(key);
    if (written !== undefined && written !== text) {
      this.violated(`one value a ballot: ${key} is ${brief(written)} and ${brief(text)}`);
    }
    this.#written.set(key, text);
    if (storedText(storage, at) !== text) {
      this.violated(`invariant 4: ${replica} accepted ${key} and does not hold it`);
    }
    const acceptances = this.#acceptances.get(key) ?? new Set();
    acceptances.add(replica);
    this.#acceptances.set(key, acceptances);
    if (acceptances.size < this.#quorum) return;
    const chosen = this.chosen.get(at);
    if (chosen !== undefined && chosen !== text) {
      this.violated(`invariant 1: two values are chosen at ${at}: ${brief(chosen)} and ${brief(text)} (by ${key})`);
    }
    this.chosen.set(at, chosen ?? text);
  }

  #checkLearned(replica: ReplicaId, from: number, to: number, storage: LogStorage): void {
    for (let at = from; at < to; at++) {
      if (this.chosen.get(at) !== storedText(storage, at)) {
        this.violated(`invariant 2: ${replica} learned at ${at} what is not chosen there`);
      }
    }
  }
}

/** The candidate that a chosen value appoints, undefined when it is no leader entry. */
function leaderIn(chosen: string | undefined): string | undefined {
  const entry = chosen === undefined ? undefined : parseEntryText(chosen);
  if (entry?.type !== "append") return undefined;
  const decoded = decodeEntry(entry.data);
  return decoded.type === "entry" && decoded.entry.type === "leader" ? decoded.entry.candidate : undefined;
}

function storedText(storage: LogStorage, at: number): string | undefined {
  const read = storage.page(position(at), { to: position(at), entriesMax: 1, lettersMax: Infinity });
  const record = read.type === "page" ? read.records[0] : undefined;
  return record === undefined ? undefined : entryText(record.entry);
}
