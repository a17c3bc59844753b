// Watches every message of a simulation and says which invariant it breaks. It knows the protocol's promises, not its
// code: what is chosen is computed here from acceptances alone. The numbers are those of the analysis of Mesos' log.
import { compareBallots, type Ballot, NO_BALLOT } from "#log/ballot.ts";
import type { Entry, Incarnation, Membership, PositionedEntry, ReplicaId } from "#log/entry.ts";
import { FIRST_POSITION, position, quorumOf, seatOf } from "#log/entry.ts";
import type { ReplicaAnswer, ReplicaMessage, WriteMessage } from "#log/messages.ts";
import { entryText, isSameEntry } from "#log/record.ts";
import { type ReplicaState, statusOf } from "#log/replica.ts";
import type { LogStorage } from "#log/storage.ts";
import type { BrokenRule } from "./broken-rules.ts";

/** Letters of a value that a violation shows. */
const SHOWN_LETTERS_MAX = 60;
const VIOLATIONS_MAX = 20;

const brief = (entry: Entry | undefined): string => {
  if (entry === undefined) return "nothing";
  const text = entryText(entry);
  return text.length > SHOWN_LETTERS_MAX ? `${text.slice(0, SHOWN_LETTERS_MAX)}…` : text;
};
const membershipEntry = (membership: Membership): Entry => ({ type: "membership", membership });
const ballotText = ({ counter, candidate, nonce }: Ballot): string => `${counter}/${candidate}/${nonce}`;

export interface Observed {
  readonly replica: ReplicaId;
  readonly before: ReplicaState;
  readonly after: ReplicaState;
  readonly message: ReplicaMessage;
  readonly answer: ReplicaAnswer;
  /** As it is when the answer leaves. */
  readonly storage: LogStorage;
}

/** One ballot's value at one position under one membership, and who accepted it. */
interface Acceptance {
  readonly ballot: Ballot;
  readonly under: number;
  readonly entry: Entry;
  readonly by: Set<ReplicaId>;
}
/** What is known of a ballot. */
interface Candidature {
  readonly ballot: Ballot;
  /** Who promised it, for each membership. */
  readonly promisers: Map<number, Set<ReplicaId>>;
  /** When a quorum of a membership had promised it. */
  readonly quorumAt: Map<number, number>;
  lastWrite: { readonly message: WriteMessage; isChosen: boolean } | undefined;
}

const CONSEQUENCES = /^(?:invariant (?:1|2|3|13|15|16):|one value a ballot|assertion: |registry: )/;
const VOTES = new Set<ReplicaAnswer["type"]>(["promised", "accepted", "confirmed", "refused"]);

export class Checker {
  readonly violations: string[] = [];
  /** Value of each chosen position. */
  readonly chosen = new Map<number, Entry>();
  /** Memberships that were chosen, by position. */
  readonly memberships = new Map<number, Membership>();
  /** Memberships that somebody has written, chosen or not, by position. */
  readonly proposedMemberships = new Map<number, Membership[]>();
  newestMembership = 0;
  /** Highest position that was truncated up to, by a chosen entry. */
  truncatedTo = 1;
  #chosenThrough = 0;
  /** The ballot under which each position was chosen first. */
  readonly #chosenUnder = new Map<number, Ballot>();
  readonly #now: () => number;
  readonly #broken: BrokenRule | undefined;
  readonly #acceptances = new Map<number, Acceptance[]>();
  readonly #promised = new Map<ReplicaId, Ballot>();
  readonly #incarnations = new Map<ReplicaId, Incarnation>();
  readonly #candidatures = new Map<string, Candidature>();
  /** Position of each acknowledged append, by the ballot that appended it. */
  readonly #lastAppended = new Map<string, number>();
  readonly #acknowledgedAt = new Map<number, string>();

  constructor(now: () => number, broken: BrokenRule | undefined) {
    this.#now = now;
    this.#broken = broken;
  }

  /** With a rule off only its consequences count: not that the rule is broken, but that somebody is told what is not so. */
  violated(rule: string): void {
    if (this.#broken !== undefined && !CONSEQUENCES.test(rule)) return;
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push(`at ${this.#now()} ms: ${rule}`);
  }

  /** Everything below is chosen. */
  get chosenThrough(): number {
    return this.#chosenThrough;
  }

  begins(replica: ReplicaId, incarnation: Incarnation): void {
    this.#incarnations.set(replica, incarnation);
    this.#promised.delete(replica);
  }

  /** From here on the replica starts from nothing: its promise is gone. */
  lostStorage(replica: ReplicaId): void {
    this.#promised.delete(replica);
  }

  restarted(replica: ReplicaId, state: ReplicaState): void {
    if (this.#broken === "rule4") this.lostStorage(replica);
    else this.#checkPromise(replica, state.promised);
  }

  bootstrapped(membership: Membership): void {
    this.told("the bootstrap", [{ position: FIRST_POSITION, entry: membershipEntry(membership) }]);
  }

  /** Called once for each answer, after the replica stored what the answer rests on. */
  answered(observed: Observed): void {
    const { replica, before, after, message, answer } = observed;
    if (VOTES.has(answer.type)) {
      const status = statusOf(message.type === "write" ? after : before);
      if (status !== "voting") this.violated(`invariant 9: ${replica} is ${status} and answered ${answer.type}`);
    }
    if (this.#broken === undefined) this.#checkDurable(observed);
    this.#checkPromise(replica, after.promised);
    this.#checkPositions(replica, before, after);
    switch (message.type) {
      case "promise":
        if (answer.type === "promised") this.#hasPromised(replica, before, message.ballot, message.membershipPosition);
        break;
      case "write":
        this.#isWritten(message);
        if (answer.type === "accepted") this.#hasAccepted(observed, message);
        break;
      case "bootstrap-vote":
        // The second half of the bootstrap begins when all have agreed to the set: it is chosen.
        if (after.electorate?.position === FIRST_POSITION)
          this.#choose(FIRST_POSITION, membershipEntry(after.electorate.membership));
        break;
      default:
    }
    if (after.missingFrom > before.missingFrom) this.#checkLearned(observed);
  }

  /** A caller was told that these entries are chosen. */
  told(what: string, entries: readonly PositionedEntry[]): void {
    for (const { position: at, entry } of entries) {
      const chosen = this.chosen.get(at);
      if (chosen === undefined) this.violated(`invariant 3: ${what} told position ${at}, which is not chosen`);
      else if (!isSameEntry(chosen, entry)) {
        this.violated(`invariant 3: ${what} told ${brief(entry)} at ${at}, chosen is ${brief(chosen)}`);
      }
    }
  }

  /** A read begins at `from`: nothing below what it says to be the beginning, and no gap. */
  toldFrom(what: string, from: number, entries: readonly PositionedEntry[]): void {
    for (const [index, { position: at }] of entries.entries()) {
      if (at !== from + index) {
        this.violated(`invariant 12: ${what} told ${at} where ${from + index} was to come`);
        return;
      }
    }
    this.told(what, entries);
  }

  /** An append of this ballot was acknowledged. */
  appended(ballot: Ballot, first: number, entries: readonly Entry[]): void {
    const key = ballotText(ballot);
    const last = this.#lastAppended.get(key) ?? 0;
    if (first <= last) this.violated(`invariant 13: ${key} was given ${first} after ${last}`);
    this.#lastAppended.set(key, first + entries.length - 1);
    for (const [index, entry] of entries.entries()) {
      const at = first + index;
      const other = this.#acknowledgedAt.get(at);
      if (other !== undefined && other !== key)
        this.violated(`invariant 13: ${key} and ${other} were both given ${at}`);
      this.#acknowledgedAt.set(at, key);
      this.told("an append", [{ position: position(at), entry }]);
    }
  }

  get acknowledged(): number {
    return this.#acknowledgedAt.size;
  }

  /** An election ended: everything below `next` is chosen, and nothing above is by a lower ballot. */
  elected(ballot: Ballot, next: number): void {
    for (let at = this.truncatedTo; at < next; at++) {
      if (!this.chosen.has(at)) this.violated(`invariant 16: ${ballotText(ballot)} is elected, ${at} is not chosen`);
    }
    const before = this.#chosenUnder.get(next);
    if (before !== undefined && compareBallots(before, ballot) < 0) {
      this.violated(`invariant 15: ${ballotText(ballot)} is to write at ${next}, chosen under ${ballotText(before)}`);
    }
  }

  /** A coordinator was told that nobody had overtaken `ballot` at `at`. */
  confirmed(ballot: Ballot, under: number, at: number): void {
    for (const { ballot: other, quorumAt } of this.#candidatures.values()) {
      const since = quorumAt.get(under);
      if (since !== undefined && since < at && compareBallots(other, ballot) > 0) {
        this.violated(`${ballotText(ballot)} was confirmed at ${at}, after a quorum promised ${ballotText(other)}`);
      }
    }
  }

  #candidature(ballot: Ballot): Candidature {
    const key = ballotText(ballot);
    let found = this.#candidatures.get(key);
    if (found === undefined) {
      found = { ballot, promisers: new Map(), quorumAt: new Map(), lastWrite: undefined };
      this.#candidatures.set(key, found);
    }
    return found;
  }

  #hasPromised(replica: ReplicaId, before: ReplicaState, ballot: Ballot, under: number): void {
    if (compareBallots(ballot, before.promised) < 0) {
      this.violated(`invariant 6: ${replica} promised ${ballotText(ballot)} below its promise`);
    }
    const { promisers, quorumAt } = this.#candidature(ballot);
    const membership = this.memberships.get(under);
    if (membership === undefined || quorumAt.has(under)) return;
    if (!this.#holdsSeat(replica, membership)) return;
    let by = promisers.get(under);
    if (by === undefined) promisers.set(under, (by = new Set()));
    by.add(replica);
    if (by.size >= quorumOf(membership)) quorumAt.set(under, this.#now());
  }

  #holdsSeat(replica: ReplicaId, membership: Membership): boolean {
    return seatOf(membership, replica)?.incarnation === this.#incarnations.get(replica);
  }

  /** Invariants 17 and 18, as far as messages show them. */
  #isWritten(message: WriteMessage): void {
    const { ballot, membershipPosition: under, entries } = message;
    const candidature = this.#candidature(ballot);
    const last = candidature.lastWrite;
    if (last?.message === message) return;
    for (const [index, entry] of entries.entries()) {
      if (entry.type === "membership") this.#propose(message.position + index, entry.membership);
      if (entry.type === "truncate" && entry.to > message.position + index)
        this.violated("invariant 14: a truncation beyond itself");
    }
    if (last !== undefined && last.message.position > message.position) return; // an older one, late
    if (last !== undefined && last.message.position < message.position && !last.isChosen) {
      this.violated(
        `invariant 17: ${ballotText(ballot)} writes at ${message.position} while ${last.message.position} is outstanding`,
      );
    }
    if (!candidature.quorumAt.has(under)) {
      this.violated(`invariant 18: ${ballotText(ballot)} writes without a quorum of promises`);
    }
    candidature.lastWrite = { message, isChosen: false };
  }

  #propose(at: number, membership: Membership): void {
    const proposed = this.proposedMemberships.get(at);
    if (proposed === undefined) this.proposedMemberships.set(at, [membership]);
    else proposed.push(membership);
  }

  #hasAccepted({ replica, before, after, storage }: Observed, message: WriteMessage): void {
    const { ballot, membershipPosition: under } = message;
    if (compareBallots(ballot, before.promised) < 0) {
      this.violated(`invariant 6: ${replica} accepted ${ballotText(ballot)} below its promise`);
    }
    if (this.#broken !== "H1" && compareBallots(after.promised, ballot) < 0) {
      this.violated(`invariant 7: ${replica} accepted ${ballotText(ballot)} and promises less`);
    }
    const isSeated = this.#holdsSeat(replica, this.memberships.get(under) ?? { seats: [] });
    let isChosen = true;
    for (const [index, entry] of message.entries.entries()) {
      const at = message.position + index;
      if (at >= after.missingFrom && !holds(storage, at, entry)) {
        this.violated(`invariant 4: ${replica} accepted ${at} under ${ballotText(ballot)} and does not hold it`);
      }
      if (!this.#accepted(replica, isSeated, ballot, under, at, entry)) isChosen = false;
    }
    const { lastWrite } = this.#candidature(ballot);
    if (isChosen && lastWrite !== undefined && lastWrite.message.position === message.position)
      lastWrite.isChosen = true;
  }

  /** Whether the value is chosen now. */
  #accepted(replica: ReplicaId, isSeated: boolean, ballot: Ballot, under: number, at: number, entry: Entry): boolean {
    let all = this.#acceptances.get(at);
    if (all === undefined) this.#acceptances.set(at, (all = []));
    let found = all.find((one) => one.under === under && compareBallots(one.ballot, ballot) === 0);
    if (found === undefined) {
      found = { ballot, under, entry, by: new Set() };
      all.push(found);
    } else if (!isSameEntry(found.entry, entry)) {
      this.violated(
        `one value a ballot: ${ballotText(ballot)} wrote ${brief(found.entry)} and ${brief(entry)} at ${at}`,
      );
    }
    if (isSeated) found.by.add(replica);
    const membership = this.memberships.get(under);
    if (membership === undefined || found.by.size < quorumOf(membership)) return false;
    if (!this.chosen.has(at)) this.#chosenUnder.set(at, ballot);
    this.#choose(at, entry);
    return true;
  }

  #choose(at: number, entry: Entry): void {
    const chosen = this.chosen.get(at);
    if (chosen !== undefined) {
      if (!isSameEntry(chosen, entry)) {
        this.violated(`invariant 1: two values are chosen at ${at}: ${brief(chosen)} and ${brief(entry)}`);
      }
      return;
    }
    this.chosen.set(at, entry);
    while (this.chosen.has(this.#chosenThrough + 1)) this.#chosenThrough += 1;
    if (entry.type === "truncate") this.truncatedTo = Math.max(this.truncatedTo, entry.to);
    if (entry.type !== "membership") return;
    this.memberships.set(at, entry.membership);
    this.newestMembership = Math.max(this.newestMembership, at);
    const { seats } = entry.membership;
    const names = new Set(seats.map(({ replica }) => replica));
    if (names.size !== seats.length) this.violated(`invariant 22: the membership at ${at} names a replica twice`);
  }

  #checkDurable({ replica, after, answer, storage }: Observed): void {
    const loaded = storage.load();
    const stored = loaded.type === "metadata" ? loaded.metadata : undefined;
    const { standing } = answer;
    if (
      stored === undefined ||
      stored.promised !== after.promised ||
      stored.incarnation !== standing.incarnation ||
      stored.electorate !== standing.electorate ||
      compareBallots(stored.promised, standing.promised) !== 0
    ) {
      // A metadata row that was spoilt after it was loaded is found at the next start.
      if (loaded.type !== "corrupt")
        this.violated(`invariant 4: ${replica} answered ${answer.type} before it was durable`);
    }
  }

  #checkPromise(replica: ReplicaId, promised: Ballot): void {
    const before = this.#promised.get(replica) ?? NO_BALLOT;
    if (before === promised) return;
    if (compareBallots(promised, before) < 0 && this.#broken !== "H1") {
      this.violated(`invariant 5: ${replica} went from promise ${ballotText(before)} to ${ballotText(promised)}`);
    }
    this.#promised.set(replica, promised);
  }

  #checkPositions(replica: ReplicaId, before: ReplicaState, after: ReplicaState): void {
    const isSameLife = before.incarnation === after.incarnation;
    if (after.begin > after.end + 1 || after.begin > after.missingFrom) {
      this.violated(`invariant 10: ${replica} begins at ${after.begin} and ends at ${after.end}`);
    }
    if (
      isSameLife &&
      (after.begin < before.begin || after.end < before.end || after.missingFrom < before.missingFrom)
    ) {
      this.violated(
        `invariant 10: ${replica} went back from ${before.begin}..${before.end} to ${after.begin}..${after.end}`,
      );
    }
  }

  /** Invariants 2 and 11: what was learned just now is chosen, and there. */
  #checkLearned({ replica, before, after, storage }: Observed): void {
    const from = Math.max(before.missingFrom, after.begin);
    const read = storage.page(position(from), {
      to: position(after.missingFrom - 1),
      entriesMax: Infinity,
      lettersMax: Infinity,
    });
    if (read.type !== "page") return;
    let expected = from;
    for (const record of read.records) {
      const chosen = this.chosen.get(record.position);
      if (record.position !== expected) this.violated(`invariant 11: ${replica} learned ${expected} without a record`);
      if (chosen === undefined || !isSameEntry(chosen, record.entry)) {
        this.violated(
          `invariant 2: ${replica} learned ${brief(record.entry)} at ${record.position}, chosen is ${brief(chosen)}`,
        );
      }
      expected = record.position + 1;
    }
    if (expected < after.missingFrom) this.violated(`invariant 11: ${replica} learned ${expected} without a record`);
  }
}

function holds(storage: LogStorage, at: number, entry: Entry): boolean {
  const read = storage.page(position(at), { to: position(at), entriesMax: 1, lettersMax: Infinity });
  if (read.type !== "page") return true; // spoilt since
  const record = read.records[0];
  return record !== undefined && isSameEntry(record.entry, entry);
}
