// What a candidate asks of the RegistrarWorker. The worker holds nothing: ballot, membership position and next position
// travel with each call, and each call is one or a few rounds over the replicas, answered at a quorum.
import type { Ballot } from "./ballot.ts";
import type { ClusterId, Entry, Membership, Position, PositionedEntry, ReplicaId } from "./entry.ts";

/** No quorum answered in time. What the call did at single replicas stays: the caller elects again before it appends. */
export interface Unavailable {
  readonly type: "unavailable";
  /** For people: which replicas did not answer, and how. */
  readonly reason: string;
  readonly reachable: number;
  readonly replicas: number;
}
/** A higher ballot was promised: this instance is fenced and must not retry under its ballot. */
export interface Refused {
  readonly type: "refused";
  readonly promised: Ballot;
}

export interface ElectCall {
  readonly clusterId: ClusterId;
  readonly ballot: Ballot;
  /** First position that the caller has not applied. */
  readonly from: Position;
}
/** Every position in [from, next) is chosen and in `entries`, oldest first; the worker filled what was undecided. */
export type ElectAnswer =
  | {
      readonly type: "elected";
      readonly membership: Membership;
      readonly membershipPosition: Position;
      readonly next: Position;
      readonly entries: readonly PositionedEntry[];
    }
  | Refused
  | Unavailable;

export interface AppendCall {
  readonly clusterId: ClusterId;
  readonly ballot: Ballot;
  readonly membershipPosition: Position;
  /** Where the first of `entries` goes; the rest follow without gaps. */
  readonly position: Position;
  readonly entries: readonly Entry[];
}
export type AppendAnswer = { readonly type: "appended" } | Refused | Unavailable;

export interface ConfirmCall {
  readonly clusterId: ClusterId;
  readonly ballot: Ballot;
}
/** "confirmed": a quorum still has this ballot as its highest promise. */
export type ConfirmAnswer = { readonly type: "confirmed" } | Refused | Unavailable;

export interface ReadCall {
  readonly clusterId: ClusterId;
  readonly from: Position;
  readonly entriesMax: number;
}
/** Raises no promise. `decidedTo` is the first position not known to be chosen; an undecided tail may follow up to `end`. */
export type ReadAnswer =
  | {
      readonly type: "entries";
      readonly entries: readonly PositionedEntry[];
      readonly begin: Position;
      readonly decidedTo: Position;
      readonly end: Position;
    }
  | Unavailable;

export interface ReplicaReport {
  readonly id: ReplicaId;
  /** "unreachable" when the replica did not answer. */
  readonly status: "empty" | "starting" | "recovering" | "voting" | "unreachable";
  readonly clusterId?: ClusterId;
  readonly begin?: Position;
  readonly end?: Position;
  readonly promised?: Ballot;
  readonly reason?: string;
}
export interface LogStatus {
  readonly replicas: readonly ReplicaReport[];
  /** The cluster id that a quorum of the replicas has; undefined before `mesoflare init`, or without a quorum. */
  readonly clusterId?: ClusterId;
}

export interface BootstrapCall {
  readonly clusterId: ClusterId;
}
/** Repeating a bootstrap with the same id finishes it. Any other id, or a replica that holds something, is refused. */
export type BootstrapAnswer =
  | { readonly type: "bootstrapped"; readonly membership: Membership }
  | { readonly type: "refused-bootstrap"; readonly reason: string }
  | Unavailable;

/** The RegistrarWorker as its callers see it. */
export interface RegistrarCalls {
  bootstrap(call: BootstrapCall): Promise<BootstrapAnswer>;
  status(): Promise<LogStatus>;
  elect(call: ElectCall): Promise<ElectAnswer>;
  append(call: AppendCall): Promise<AppendAnswer>;
  confirm(call: ConfirmCall): Promise<ConfirmAnswer>;
  read(call: ReadCall): Promise<ReadAnswer>;
}
