// What a candidate asks of the RegistrarWorker. The worker holds nothing: ballot, membership and next position travel
// with each call, and each call is one or a few rounds over the replicas, answered at a quorum.
import type { Ballot } from "./ballot.ts";
import type {
  ClusterId,
  Electorate,
  Entry,
  Incarnation,
  Membership,
  Position,
  PositionedEntry,
  ReplicaId,
} from "./entry.ts";
import type { ReplicaStatus } from "./messages.ts";

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
  /** First position that the caller has not applied: a log that ends before it has lost entries. */
  readonly from: Position;
  /** The newest membership that the caller knows of; the election follows newer ones. */
  readonly known?: Electorate;
}
/** Every position below `next` is chosen, and only this ballot can append. What is in them is read with ReadCalls. */
export interface Elected {
  readonly type: "elected";
  readonly electorate: Electorate;
  readonly begin: Position;
  readonly next: Position;
}
export type ElectAnswer = Elected | Refused | Unavailable;

export interface AppendCall {
  readonly clusterId: ClusterId;
  readonly ballot: Ballot;
  readonly electorate: Electorate;
  /** Where the first of `entries` goes; the rest follow without gaps. */
  readonly position: Position;
  /** One write: 1 to WRITE_ENTRIES_MAX entries. A membership entry is the last one. */
  readonly entries: readonly Entry[];
}
/** All entries of a call are chosen together. `electorate` is the one from now on. */
export type AppendAnswer = { readonly type: "appended"; readonly electorate: Electorate } | Refused | Unavailable;

export interface ConfirmCall {
  readonly clusterId: ClusterId;
  readonly ballot: Ballot;
  readonly electorate: Electorate;
}
/** "confirmed": a quorum still has this ballot as its highest promise. */
export type ConfirmAnswer = { readonly type: "confirmed" } | Refused | Unavailable;

/** Tells all members what is chosen, and pushes what they lack to those that have fallen behind. */
export interface SettleCall {
  readonly clusterId: ClusterId;
  readonly ballot: Ballot;
  readonly electorate: Electorate;
  /** What was written under `ballot` up to here is chosen. */
  readonly through: Position;
}
export interface SettleAnswer {
  readonly type: "settled";
  /** Members whose storage has lost its seat: only a membership entry lets them vote again. */
  readonly unseated: readonly ReplicaId[];
  /** Members that have not learned everything up to `through`. */
  readonly behind: readonly ReplicaId[];
  /** Something was brought to one of them. */
  readonly hasMoved: boolean;
  /** What they lack was chosen, but who could show it is gone: only another election can decide it again. */
  readonly isUndecided: boolean;
}

/** One seat at a time. `replace` with the same name seats a replica's new life after it lost its storage. */
export type MembershipChange =
  | { readonly type: "add"; readonly replica: ReplicaId }
  | { readonly type: "remove"; readonly replica: ReplicaId }
  | { readonly type: "replace"; readonly replica: ReplicaId; readonly by: ReplicaId };

/** Brings the set that a change leads to into a state in which it can decide; writes nothing to the log. */
export interface PrepareCall {
  readonly clusterId: ClusterId;
  readonly electorate: Electorate;
  readonly change: MembershipChange;
}
export type PrepareAnswer =
  /** `membership` is what the entry says. */
  | { readonly type: "prepared"; readonly membership: Membership }
  /** The replica is still far behind: call again. */
  | { readonly type: "preparing"; readonly missingFrom: Position; readonly end: Position }
  | { readonly type: "refused-change"; readonly reason: string }
  | Unavailable;

export interface ReadCall {
  readonly clusterId: ClusterId;
  readonly from: Position;
  readonly entriesMax: number;
  /** Last position wanted, included. */
  readonly to?: Position;
  readonly known?: Electorate;
}
/**
 * Raises no promise. Entries are consecutive, from the later of `from` and `begin` on. `decidedTo` is the first position not known to be
 * chosen, or the first that did not fit; `end` is the highest position that any replica asked has a record for.
 */
export type ReadAnswer =
  | {
      readonly type: "entries";
      readonly entries: readonly PositionedEntry[];
      readonly begin: Position;
      readonly decidedTo: Position;
      readonly end: Position;
    }
  | Unavailable;

/** Whom to ask besides the replicas that the RegistrarWorker can name: they may all have been replaced. */
export interface StatusCall {
  readonly known?: Electorate;
  /** Replicas that are about to take a seat. */
  readonly also?: readonly ReplicaId[];
  /** Without looking where each of them runs, which takes a request of its own. */
  readonly placeless?: boolean;
}
export interface ReplicaReport {
  readonly id: ReplicaId;
  /** "unreachable" when the replica did not answer. */
  readonly status: ReplicaStatus | "unreachable";
  /** Whether the newest membership known names it. */
  readonly member: boolean;
  readonly clusterId?: ClusterId;
  readonly incarnation?: Incarnation;
  readonly begin?: Position;
  readonly end?: Position;
  readonly missingFrom?: Position;
  readonly promised?: Ballot;
  /** How long ago it heard the ballot that it has promised, ms. */
  readonly silentMs?: number;
  readonly reason?: string;
  /** Where it was wished to be, and the data centre that it runs in, if that could be found out. */
  readonly hint?: string;
  readonly colo?: string;
}
export interface LogStatus {
  readonly replicas: readonly ReplicaReport[];
  /** The cluster id that a quorum of the replicas has; undefined before `mesoflare init`, or without a quorum. */
  readonly clusterId?: ClusterId;
  /** The newest membership that any replica has learned. */
  readonly electorate?: Electorate;
}

export interface VerifyCall {
  readonly clusterId: ClusterId;
  readonly from: Position;
  readonly known?: Electorate;
}
/** What verification found at one replica, or between two. */
export interface Finding {
  readonly replica: ReplicaId;
  readonly type: "divergence" | "hole" | "damage" | "lag" | "unreachable" | "unseated";
  /** Where, undefined when it concerns the replica as a whole. */
  readonly position?: Position;
  /** For people. */
  readonly detail: string;
}
/** A part of the log was read at all replicas. `next` is where to go on, undefined after the end. */
export type VerifyAnswer =
  | {
      readonly type: "verified";
      readonly from: Position;
      readonly next: Position | undefined;
      readonly end: Position;
      readonly replicas: readonly ReplicaId[];
      readonly findings: readonly Finding[];
    }
  | Unavailable;

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
  status(call?: StatusCall): Promise<LogStatus>;
  elect(call: ElectCall): Promise<ElectAnswer>;
  append(call: AppendCall): Promise<AppendAnswer>;
  confirm(call: ConfirmCall): Promise<ConfirmAnswer>;
  settle(call: SettleCall): Promise<SettleAnswer>;
  prepare(call: PrepareCall): Promise<PrepareAnswer>;
  read(call: ReadCall): Promise<ReadAnswer>;
  verify(call: VerifyCall): Promise<VerifyAnswer>;
}
