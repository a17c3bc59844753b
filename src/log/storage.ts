// What a replica keeps on disk, as its core sees it: one metadata row and one record a position.
//
// Learned is a watermark, not a flag: every position below `missingFrom` holds its chosen value, nothing is known about
// the positions from there on. A commit notice that skips a gap moves nothing; catch-up closes the gap first.
import type { Ballot } from "./ballot.ts";
import { NO_BALLOT } from "./ballot.ts";
import type { ClusterId, Electorate, Incarnation, Membership, Position, ReplicaId } from "./entry.ts";
import { FIRST_POSITION } from "./entry.ts";
import type { LogRecord } from "./record.ts";

export interface Range {
  readonly from: Position;
  /** Included. */
  readonly to: Position;
}

export interface Metadata {
  readonly incarnation: Incarnation;
  readonly clusterId: ClusterId | undefined;
  readonly replicaId: ReplicaId | undefined;
  /** The set of a bootstrap that is half done. */
  readonly started: Membership | undefined;
  /** The newest membership that is learned here: what this replica goes by. */
  readonly electorate: Electorate | undefined;
  /** One promise for all positions: no ballot below it is promised or accepted any more. */
  readonly promised: Ballot;
  /** First position that is not truncated away. */
  readonly begin: Position;
  /** The membership in force at `begin`: for replicas that jump there. Undefined while `begin` is the first position. */
  readonly electorateAtBegin: Electorate | undefined;
  /** First position that is not learned here. */
  readonly missingFrom: Position;
  /** Learned records that fail their checksum and wait for repair. */
  readonly damaged: Range | undefined;
}

export const emptyMetadata = (incarnation: Incarnation): Metadata => ({
  incarnation,
  clusterId: undefined,
  replicaId: undefined,
  started: undefined,
  electorate: undefined,
  promised: NO_BALLOT,
  begin: FIRST_POSITION,
  electorateAtBegin: undefined,
  missingFrom: FIRST_POSITION,
  damaged: undefined,
});

export interface PageBounds {
  /** Last position wanted, included. */
  readonly to?: Position;
  readonly entriesMax: number;
  readonly lettersMax: number;
}

export type PageRead =
  | {
      readonly type: "page";
      /** Oldest first; positions without a record are left out. */
      readonly records: readonly LogRecord[];
      /** First position that was not looked at, undefined when there is no record after the page. */
      readonly next: Position | undefined;
    }
  /** The records at these positions fail their checksum. Nothing of the page is served. */
  | { readonly type: "corrupt"; readonly range: Range }
  /** The record is sound, and of a type that this release does not know. Nothing of the page is served. */
  | { readonly type: "unreadable"; readonly position: Position };

/** The stored log, read synchronously: there is no turn between a replica's decision and what it was based on. */
export interface LogReader {
  /** Highest position with a record, 0 when there is none. */
  end(): Position;
  page(from: Position, bounds: PageBounds): PageRead;
}

/** What must be durable before the answer leaves. All writes of one step are one transaction. */
export type Persist =
  | { readonly type: "persist-metadata"; readonly metadata: Metadata }
  /** Records in order; they replace what is at their positions. `missingFrom` is stored with them: see `load`. */
  | { readonly type: "persist-records"; readonly records: readonly LogRecord[]; readonly missingFrom?: Position }
  /** Records below `to` are not needed any more. They may go now or later: nobody reads them. */
  | { readonly type: "drop-below"; readonly to: Position }
  /** Records from `from` on are void and must be gone. */
  | { readonly type: "drop-from"; readonly from: Position };

export type Loaded =
  | { readonly type: "metadata"; readonly metadata: Metadata }
  /** Nothing was ever stored. */
  | { readonly type: "new" }
  /** There was something, and it cannot be trusted: the promise is lost. */
  | { readonly type: "corrupt"; readonly reason: string };

export interface LogStorage extends LogReader {
  /** The last metadata stored, with the highest `missingFrom` that was stored, with it or with records after it. */
  load(): Loaded;
  /** Atomic: after a crash all of it is there, or nothing. */
  persist(effects: readonly Persist[]): void;
}
