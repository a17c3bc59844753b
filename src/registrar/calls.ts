// What may be asked of the registry's log by anybody, without a ballot and without a promise: the RegistrarWorker answers, also while no
// master leads.
import type { Unavailable } from "#log/calls.ts";
import type { ClusterId, Electorate, Position, ReplicaId } from "#log/entry.ts";
import type { AgentId } from "#protocol/ids.ts";
import type { Leader } from "./registry.ts";
import type { ShownChange, ShownRegistry } from "./shown.ts";

export interface TailCall {
  readonly clusterId: ClusterId;
  /** The newest membership that the caller knows of. */
  readonly known?: Electorate;
}
/** Who led when the last chosen entry was written. A newer leader may have been elected since, and have chosen nothing yet. */
export interface Tail {
  readonly type: "tail";
  /** Undefined before the first leader. */
  readonly leader: Leader | undefined;
  /** First position that is not known to be chosen. */
  readonly decidedTo: Position;
}
export type TailAnswer = Tail | Unavailable;

/** Where the log stands, beside what was asked of it. */
export interface Extent {
  /** Where history begins: everything before it is truncated. */
  readonly begin: Position;
  /** First position that is not known to be chosen. */
  readonly decidedTo: Position;
  /** Highest position that any replica asked has a record for. From `decidedTo` on to it nothing is decided yet. */
  readonly end: number;
}
/** The question makes no sense for this log: in words, for whoever asked. */
export interface Unanswerable {
  readonly type: "unanswerable";
  readonly reason: string;
}

/** One part of the registry: a large one is told in several answers, each of which is read from the log again. */
export interface Part {
  /** From 0 to `of` - 1. */
  readonly index: number;
  readonly of: number;
}
export interface RegistryCall extends TailCall {
  /** As it was when this entry was applied; undefined for all that is decided. */
  readonly at?: Position;
  /** Only this agent. */
  readonly agent?: AgentId;
  /** Where the last answer said to go on; its `at` is given too. */
  readonly part?: Part;
}
export type RegistryAnswer =
  | ({
      readonly type: "registry";
      /** The last entry that is in it, 0 when there is none. */
      readonly at: number;
      readonly leader: Leader | undefined;
      readonly registry: ShownRegistry;
      readonly next: Part | undefined;
    } & Extent)
  | Unanswerable
  | Unavailable;

export interface HistoryCall extends TailCall {
  /** First position wanted, undefined for the first that is still there. */
  readonly from?: Position;
  /** Last position wanted, included. */
  readonly to?: Position;
  /** Only what concerns this agent. */
  readonly agent?: AgentId;
}
/** One entry of the log. What a snapshot repeats is no history. */
export type HistoryEntry =
  | { readonly type: "leader"; readonly position: Position; readonly leader: Leader }
  | {
      readonly type: "operations";
      readonly position: Position;
      /** Who led; undefined in entries of release 0.1.0. */
      readonly leader: Leader | undefined;
      readonly changes: readonly ShownChange[];
    }
  | { readonly type: "membership"; readonly position: Position; readonly replicas: readonly ReplicaId[] }
  | { readonly type: "truncate"; readonly position: Position; readonly to: Position }
  /** Of a newer release, or damaged: nothing behind it is applied by this release. */
  | { readonly type: "unreadable"; readonly position: Position; readonly reason: string };
export type HistoryAnswer =
  | ({
      readonly type: "history";
      readonly entries: readonly HistoryEntry[];
      /** Where to go on, undefined at the end. */
      readonly next: Position | undefined;
    } & Extent)
  | Unavailable;

/** What the RegistrarWorker offers beside the log's own calls. */
export interface RegistryCalls {
  /** Not `tail`: that is the runtime's own handler of a Worker. */
  readTail(call: TailCall): Promise<TailAnswer>;
  registry(call: RegistryCall): Promise<RegistryAnswer>;
  history(call: HistoryCall): Promise<HistoryAnswer>;
}
