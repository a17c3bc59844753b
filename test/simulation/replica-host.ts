// A replica with its disk in the simulation: the shell of src/durable-objects/replica-do.ts, and what can happen to a disk.
import { compareBallots, NO_BALLOT } from "#log/ballot.ts";
import type { Electorate, Incarnation, ReplicaId } from "#log/entry.ts";
import { FIRST_POSITION, position } from "#log/entry.ts";
import { MemoryLogStorage } from "#log/memory-storage.ts";
import { envelope, type ReplicaAnswer, type ReplicaMessage } from "#log/messages.ts";
import { parseEnvelope } from "#log/parse-message.ts";
import { openReplica, type ReplicaState, statusOf, step } from "#log/replica.ts";
import { emptyMetadata, type LogReader, type Persist } from "#log/storage.ts";
import type { BrokenRule } from "./broken-rules.ts";
import type { Checker } from "./checker.ts";

/** One message in so many passes through the edge of a replica, to see that what the calls send is well formed. */
const PARSED_SHARE = 32;
/** Pages of a promise in one of a read: or the slowest member would be caught up by a few entries a second. */
const READ_PAGES = 50;

export class ReplicaHost {
  readonly id: ReplicaId;
  storage = new MemoryLogStorage();
  isUp = true;
  /** A paused replica takes messages only after this time. */
  pausedUntil = 0;
  /** A vote of this life is spoilt on the disk; it is found when it is next read. */
  isDoomed = false;
  #state: ReplicaState;
  #lives = 0;
  #delivered = 0;
  #snapshot: MemoryLogStorage | undefined;
  /** With rule4 off: what has not reached the disk yet, and the disk. */
  readonly #unsynced: (readonly Persist[])[] = [];
  #disk: MemoryLogStorage | undefined;
  /** With rule21 off: it votes again when it has learned this far. */
  #votesFrom = 0;
  readonly #checker: Checker;
  readonly #broken: BrokenRule | undefined;

  readonly #pageEntriesMax: number;

  /** `pageEntriesMax`: how many records the page of a promise holds, and a part of other pages: many pages in a short log. */
  constructor(id: ReplicaId, checker: Checker, broken: BrokenRule | undefined, pageEntriesMax: number) {
    this.#pageEntriesMax = pageEntriesMax;
    this.id = id;
    this.#checker = checker;
    this.#broken = broken;
    if (broken === "rule4") this.#disk = new MemoryLogStorage();
    this.#state = this.#open();
  }

  get state(): ReplicaState {
    return this.#state;
  }

  get isVoting(): boolean {
    return statusOf(this.#state) === "voting";
  }

  #newIncarnation = (): Incarnation => {
    this.#lives += 1;
    return `${this.id}#${this.#lives}` as Incarnation;
  };

  /** Another life began, and that is on the disk. */
  #begins(incarnation: Incarnation): void {
    this.isDoomed = false;
    this.#checker.begins(this.id, incarnation);
  }

  #open(): ReplicaState {
    const lives = this.#lives;
    const state = openReplica(this.storage, this.#newIncarnation);
    if (this.#lives > lives) this.#begins(state.incarnation);
    if (this.#disk !== undefined) this.#disk = this.storage.copy();
    return state;
  }

  /** With rule4 off the disk is behind; otherwise nothing is lost but what was in memory. */
  restart(): void {
    this.isUp = true;
    if (this.#disk !== undefined) this.storage = this.#disk.copy();
    this.#unsynced.length = 0;
    this.#state = this.#open();
    this.#checker.restarted(this.id, this.#state);
  }

  /** The disk is replaced by an empty one. `learnedTo`: what a quorum has, for the broken rule21. */
  loseStorage(learnedTo: number): void {
    const { clusterId, replicaId, incarnation } = this.#state;
    this.storage = new MemoryLogStorage();
    this.#unsynced.length = 0;
    const first = this.#checker.memberships.get(FIRST_POSITION);
    if ((this.#broken === "H2" || this.#broken === "rule21") && replicaId !== undefined && first !== undefined) {
      // It votes on under its old name, as Mesos' does, although it has forgotten what it promised and accepted.
      const electorate: Electorate = { membership: first, position: FIRST_POSITION };
      const metadata = { ...emptyMetadata(incarnation), clusterId, replicaId, electorate, missingFrom: position(2) };
      const record = {
        position: FIRST_POSITION,
        performed: NO_BALLOT,
        entry: { type: "membership", membership: first },
      } as const;
      this.storage.persist([
        { type: "persist-records", records: [record], missingFrom: position(1) },
        { type: "persist-metadata", metadata },
      ]);
      if (this.#broken === "rule21") this.#votesFrom = learnedTo;
    }
    this.#state = this.#open();
    this.#checker.lostStorage(this.id);
  }

  isSoundAt(at: number): boolean {
    if (at < this.#state.begin) return true;
    return this.storage.page(position(at), { to: position(at), entriesMax: 1, lettersMax: Infinity }).type === "page";
  }

  takeSnapshot(): void {
    this.#snapshot = this.storage.copy();
  }

  get hasSnapshot(): boolean {
    return this.#snapshot !== undefined;
  }

  /** The disk goes back to the snapshot. Declared, that is another life; undeclared, nobody can know. */
  restore(learnedTo: number): void {
    if (this.#broken !== "restore" || this.#snapshot === undefined) {
      this.loseStorage(learnedTo);
      return;
    }
    this.storage = this.#snapshot.copy();
    this.#state = this.#open();
    this.#checker.lostStorage(this.id);
  }

  /** One stored record, or the metadata, is spoilt. */
  damage(at: number): void {
    if (at === 0 || at >= this.#state.missingFrom) this.isDoomed = true;
    if (this.#broken !== "checksum") {
      if (at === 0) this.storage.damageMetadata();
      else this.storage.damage(position(at));
      return;
    }
    const read = this.storage.page(position(at), { to: position(at), entriesMax: 1, lettersMax: Infinity });
    const record = read.type === "page" ? read.records[0] : undefined;
    if (record === undefined) return;
    const spoilt = { ...record, entry: { type: "append", data: "spoilt" } } as const;
    this.storage.persist([{ type: "persist-records", records: [spoilt], missingFrom: position(1) }]);
  }

  /** With rule4 off: what was answered long ago reaches the disk. */
  sync(): void {
    for (const effects of this.#unsynced) this.#disk?.persist(effects);
    this.#unsynced.length = 0;
  }

  get isBehindDisk(): boolean {
    return this.#unsynced.length > 0;
  }

  /** The answer, or undefined when the replica died before (`beforeStore`) it stored what the message changes. */
  deliver(message: ReplicaMessage, { crashBeforeStore = false } = {}): ReplicaAnswer | undefined {
    this.#delivered += 1;
    if (this.#delivered % PARSED_SHARE === 0) {
      const parsed = parseEnvelope(structuredClone(envelope(message)));
      if (parsed.type === "invalid") throw new Error(`the simulation sent an invalid message: ${parsed.reason}`);
    }
    const before = this.#state;
    const heard = this.#broken === "membership" ? asIfAgreed(message, before) : message;
    const surroundings = {
      reader: this.#reader(message),
      newIncarnation: this.#newIncarnation,
    };
    if (this.#isSilent(message)) {
      const status = step(before, { type: "status" }, surroundings).answer;
      return { type: "ignored", standing: status.standing, reason: "recovering" };
    }
    const taken = step(before, heard, surroundings);
    if (crashBeforeStore) return undefined;
    this.storage.persist(taken.effects);
    if (this.#disk !== undefined && taken.effects.length > 0) this.#unsynced.push(taken.effects);
    this.#state = taken.state;
    if (taken.state.incarnation !== before.incarnation) this.#begins(taken.state.incarnation);
    let { answer } = taken;
    if (
      this.#broken === "H1" &&
      answer.type === "accepted" &&
      compareBallots(before.promised, taken.state.promised) < 0
    ) {
      // As Mesos does: the accepted write leaves the promise where it was.
      this.#state = { ...taken.state, promised: before.promised };
      const { end: _, recent: __, ...metadata } = this.#state;
      this.storage.persist([{ type: "persist-metadata", metadata }]);
      answer = { ...answer, standing: { ...answer.standing, promised: before.promised } };
    }
    this.#checker.answered({ replica: this.id, before, after: this.#state, message, answer, storage: this.storage });
    return this.#broken === "membership" ? this.#asIfKnown(message, answer) : answer;
  }

  #reader({ type }: ReplicaMessage): LogReader {
    // A write looks at the records in its place all at once.
    if (type === "write") return this.#broken === "H1" ? forgetful(this.storage) : this.storage;
    const { storage } = this;
    const most = type === "promise" ? this.#pageEntriesMax : this.#pageEntriesMax * READ_PAGES;
    return {
      end: () => storage.end(),
      page: (from, bounds) => storage.page(from, { ...bounds, entriesMax: Math.min(bounds.entriesMax, most) }),
    };
  }

  #isSilent({ type }: ReplicaMessage): boolean {
    const isVote = type === "promise" || type === "write" || type === "confirm";
    return isVote && this.#state.missingFrom < this.#votesFrom;
  }

  /** With the membership rule off: the answer does not show what the sender does not know. */
  #asIfKnown(message: ReplicaMessage, answer: ReplicaAnswer): ReplicaAnswer {
    if (!("membershipPosition" in message)) return answer;
    const { membershipPosition } = message;
    const membership = this.#checker.memberships.get(membershipPosition);
    if (membership === undefined) return answer;
    return { ...answer, standing: { ...answer.standing, electorate: { membership, position: membershipPosition } } };
  }
}

/** With the membership rule off: a replica does not compare which membership a message goes by. */
function asIfAgreed(message: ReplicaMessage, { electorate }: ReplicaState): ReplicaMessage {
  if (!("membershipPosition" in message) || electorate === undefined) return message;
  return { ...message, membershipPosition: electorate.position };
}

/** Hides the ballots of accepted records: Mesos compares a write with the promise alone. */
const forgetful = (storage: MemoryLogStorage): LogReader => ({
  end: () => storage.end(),
  page(from, bounds) {
    const read = storage.page(from, bounds);
    if (read.type !== "page") return read;
    return { ...read, records: read.records.map((record) => ({ ...record, performed: NO_BALLOT })) };
  },
});
