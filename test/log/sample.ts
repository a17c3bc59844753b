// Small replicas and ballots for the tests of the log: positions, values and ballots that read well in a failure.
import type { Ballot, CandidateId } from "#log/ballot.ts";
import type { ClusterId, Entry, Position, ReplicaId } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import { MemoryLogStorage } from "#log/memory-storage.ts";
import type { Page, ReplicaAnswer, ReplicaMessage, Standing } from "#log/messages.ts";
import { loadReplica, type ReplicaState, step } from "#log/replica.ts";
import { EMPTY_METADATA } from "#log/storage.ts";

export const CLUSTER = "cluster-1" as ClusterId;
const named = (number: number): ReplicaId => `replica-${number}` as ReplicaId;
export const [R1, R2, R3] = [named(1), named(2), named(3)];
export const REPLICAS: readonly ReplicaId[] = [R1, R2, R3];
export const MEMBERSHIP = { replicas: REPLICAS };

export const ballot = (counter: number, candidate = "master-1", nonce = "n"): Ballot => ({
  counter,
  candidate: candidate as CandidateId,
  nonce,
});
export const value = (data: string): Entry => ({ type: "append", data });
export const NOP: Entry = { type: "nop" };

export const HEADER = { clusterId: CLUSTER, membershipPosition: position(1) } as const;
export const promise = (counter: Ballot, from = 1): ReplicaMessage => ({
  ...HEADER,
  type: "promise",
  ballot: counter,
  from: position(from),
});
export const write = (under: Ballot, at: number, ...entries: Entry[]): ReplicaMessage => ({
  ...HEADER,
  type: "write",
  ballot: under,
  position: position(at),
  entries,
});
export const learn = (under: Ballot, through: number): ReplicaMessage => ({
  ...HEADER,
  type: "learn",
  ballot: under,
  through: position(through),
});
export const read = (from: number): ReplicaMessage => ({
  ...HEADER,
  type: "read",
  from: position(from),
  to: undefined,
  entriesMax: 100,
});

/** One replica over memory, stepped and stored as its shell does. */
export class TestReplica {
  readonly storage = new MemoryLogStorage();
  state: ReplicaState;

  constructor(id: ReplicaId, status: "voting" | "empty" = "voting") {
    this.state = loadReplica(this.storage);
    if (status === "empty") return;
    this.deliver({ type: "bootstrap-start", clusterId: CLUSTER, replicaId: id, membership: MEMBERSHIP });
    this.deliver({ type: "bootstrap-vote", clusterId: CLUSTER });
  }

  deliver(message: ReplicaMessage): ReplicaAnswer {
    const { state, effects, answer } = step(this.state, message, this.storage);
    this.storage.persist(effects);
    this.state = state;
    return answer;
  }

  /** What the replica would know after losing its memory. */
  stored(): ReplicaState {
    return loadReplica(this.storage);
  }

  valueAt(at: number): Entry | undefined {
    const found = this.storage.page(position(at), { to: position(at), entriesMax: 1, lettersMax: Infinity });
    return found.type === "page" ? found.records[0]?.entry : undefined;
  }

  forgetEverything(): void {
    this.storage.persist([{ type: "persist-metadata", metadata: EMPTY_METADATA }]);
    this.state = { ...EMPTY_METADATA, end: position(0) };
  }
}

export const standing = (change: Partial<Standing> = {}): Standing => ({
  status: "voting",
  clusterId: CLUSTER,
  membership: MEMBERSHIP,
  membershipPosition: position(1),
  promised: ballot(1),
  begin: position(1),
  end: position(1),
  missingFrom: position(2),
  ...change,
});
export const page = (records: Page["records"] = [], next?: Position): Page => ({ records, next });
