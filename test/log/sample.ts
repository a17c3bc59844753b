// Small replicas and ballots for the tests of the log: positions, values and ballots that read well in a failure.
import type { Ballot, CandidateId } from "#log/ballot.ts";
import type { ClusterId, Electorate, Entry, Incarnation, Membership, Position, ReplicaId } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import { MemoryLogStorage } from "#log/memory-storage.ts";
import type { Page, ReplicaAnswer, ReplicaMessage, Standing, Tombstone } from "#log/messages.ts";
import type { LogRecord } from "#log/record.ts";
import { openReplica, type ReplicaState, type ReplicaStep, step } from "#log/replica.ts";

export const CLUSTER = "cluster-1" as ClusterId;
export const OTHER_CLUSTER = "cluster-2" as ClusterId;
export const named = (number: number): ReplicaId => `replica-${number}` as ReplicaId;
export const [R1, R2, R3, R4, R5] = [named(1), named(2), named(3), named(4), named(5)];
export const REPLICAS: readonly ReplicaId[] = [R1, R2, R3];

/** The name of a replica's first, second, … life. */
export const lifeOf = (replica: ReplicaId, life = 1): Incarnation => `${replica}/${life}` as Incarnation;
export const membershipOf = (...replicas: readonly ReplicaId[]): Membership => ({
  seats: replicas.map((replica) => ({ replica, incarnation: lifeOf(replica) })),
});
export const MEMBERSHIP = membershipOf(...REPLICAS);
export const electorateOf = (at: number, ...replicas: readonly ReplicaId[]): Electorate => ({
  membership: membershipOf(...replicas),
  position: position(at),
});
export const ELECTORATE = electorateOf(1, ...REPLICAS);

export const ballot = (counter: number, candidate = "master-1", nonce = "n"): Ballot => ({
  counter,
  candidate: candidate as CandidateId,
  nonce,
});
export const value = (data: string): Entry => ({ type: "append", data });
export const values = (count: number, first = 0): Entry[] =>
  Array.from({ length: count }, (_, index) => value(`${first + index}`));
export const NOP: Entry = { type: "nop" };
export const seating = (...replicas: readonly ReplicaId[]): Entry => ({
  type: "membership",
  membership: membershipOf(...replicas),
});
export const truncateTo = (to: number): Entry => ({ type: "truncate", to: position(to) });

export const record = (at: number, under: Ballot, entry: Entry = value(`${at}`)): LogRecord => ({
  position: position(at),
  performed: under,
  entry,
});

type MessageOf<Type extends ReplicaMessage["type"]> = Extract<ReplicaMessage, { type: Type }>;
export const HEADER = { clusterId: CLUSTER, membershipPosition: position(1) } as const;
export const promise = (under: Ballot, from = 1, membershipPosition = 1): MessageOf<"promise"> => ({
  clusterId: CLUSTER,
  membershipPosition: position(membershipPosition),
  type: "promise",
  ballot: under,
  from: position(from),
});
export const write = (under: Ballot, at: number, ...entries: Entry[]): MessageOf<"write"> => ({
  ...HEADER,
  type: "write",
  ballot: under,
  position: position(at),
  entries,
});
/** The write with a commit notice on it. */
export const noticing = (message: MessageOf<"write">, chosenThrough: number): MessageOf<"write"> => ({
  ...message,
  chosenThrough: position(chosenThrough),
});
export const confirming = (under: Ballot): MessageOf<"confirm"> => ({ ...HEADER, type: "confirm", ballot: under });
export const learn = (under: Ballot, through: number): MessageOf<"learn"> => ({
  clusterId: CLUSTER,
  type: "learn",
  ballot: under,
  through: position(through),
});
export const catchUp = (records: readonly LogRecord[], tombstone?: Tombstone): MessageOf<"catch-up"> => ({
  clusterId: CLUSTER,
  type: "catch-up",
  records,
  tombstone,
});
export const tombstone = (begin: number, electorate: Electorate = ELECTORATE): Tombstone => ({
  begin: position(begin),
  electorate,
});
export const read = (from: number, to?: number): MessageOf<"read"> => ({
  clusterId: CLUSTER,
  type: "read",
  from: position(from),
  to: to === undefined ? undefined : position(to),
  entriesMax: 100,
});
export const enlist = (replicaId: ReplicaId, clusterId = CLUSTER): ReplicaMessage => ({
  type: "enlist",
  clusterId,
  replicaId,
});
export const start = (replicaId: ReplicaId, membership = MEMBERSHIP, clusterId = CLUSTER): ReplicaMessage => ({
  type: "bootstrap-start",
  clusterId,
  replicaId,
  membership,
});
export const VOTE: ReplicaMessage = { type: "bootstrap-vote", clusterId: CLUSTER };

/** One replica over memory, stepped and stored as its shell does. */
export class TestReplica {
  readonly id: ReplicaId;
  storage = new MemoryLogStorage();
  state: ReplicaState;
  #lives = 0;

  /** A member of the bootstrap's set, which votes, or a replica that is new. */
  constructor(id: ReplicaId, membership?: Membership) {
    this.id = id;
    this.state = this.#opened();
    if (membership === undefined) return;
    this.deliver(start(id, membership));
    this.deliver(VOTE);
  }

  readonly newIncarnation = (): Incarnation => lifeOf(this.id, ++this.#lives);

  /** What a message would do; nothing of it is stored. */
  step(message: ReplicaMessage): ReplicaStep {
    return step(this.state, message, { reader: this.storage, newIncarnation: this.newIncarnation });
  }

  deliver(message: ReplicaMessage): ReplicaAnswer {
    const { state, effects, answer } = this.step(message);
    this.storage.persist(effects);
    this.state = state;
    return answer;
  }

  /** The replica as it comes back from its storage. */
  restart(): ReplicaState {
    this.state = this.#opened();
    return this.state;
  }

  /** The same name over new storage. */
  loseStorage(): void {
    this.storage = new MemoryLogStorage();
    this.restart();
  }

  #opened(): ReplicaState {
    return openReplica(this.storage, this.newIncarnation);
  }

  recordAt(at: number): LogRecord | undefined {
    const found = this.storage.page(position(at), { to: position(at), entriesMax: 1, lettersMax: Infinity });
    return found.type === "page" ? found.records[0] : undefined;
  }

  valueAt(at: number): Entry | undefined {
    return this.recordAt(at)?.entry;
  }

  /** Learned entries of one ballot, from the first that is missing on. */
  learned(under: Ballot, ...entries: readonly Entry[]): this {
    const from = this.state.missingFrom;
    this.deliver(catchUp(entries.map((entry, index) => record(from + index, under, entry))));
    return this;
  }
}

export const standing = (change: Partial<Standing> = {}): Standing => ({
  status: "voting",
  incarnation: lifeOf(R1),
  clusterId: CLUSTER,
  electorate: ELECTORATE,
  promised: ballot(1),
  begin: position(1),
  end: position(1),
  missingFrom: position(2),
  damaged: undefined,
  ...change,
});
export const page = (records: Page["records"] = [], next?: Position): Page => ({ records, next });
