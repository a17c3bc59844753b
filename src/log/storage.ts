// What a replica keeps on disk, as its core sees it: one metadata row and one record a position.
//
// Learned is a watermark, not a flag: every position below `missingFrom` holds its chosen value, nothing is known about
// the positions from there on. A commit notice that skips a gap moves nothing; catch-up closes the gap first.
import type { Ballot } from "./ballot.ts";
import { NO_BALLOT } from "./ballot.ts";
import type { ClusterId, Membership, Position, ReplicaId } from "./entry.ts";
import { FIRST_POSITION, position } from "./entry.ts";
import type { LogRecord } from "./record.ts";

/**
 * `empty` holds nothing and may have lost promises; `starting` finished the first half of the bootstrap; `recovering`
 * must catch up before it may vote; only `voting` accepts, promises or refuses.
 */
export type ReplicaStatus = "empty" | "starting" | "recovering" | "voting";

export interface Metadata {
  readonly status: ReplicaStatus;
  readonly clusterId: ClusterId | undefined;
  readonly replicaId: ReplicaId | undefined;
  readonly membership: Membership | undefined;
  /** Position of the entry that holds `membership`; 0 before there is one. */
  readonly membershipPosition: Position;
  /** One promise for all positions: no ballot below it is promised or accepted any more. */
  readonly promised: Ballot;
  /** First position that is not learned here. */
  readonly missingFrom: Position;
}

export const EMPTY_METADATA: Metadata = {
  status: "empty",
  clusterId: undefined,
  replicaId: undefined,
  membership: undefined,
  membershipPosition: position(0),
  promised: NO_BALLOT,
  missingFrom: FIRST_POSITION,
};

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
  /** The record at `position` fails its checksum. Nothing of the page is served. */
  | { readonly type: "corrupt"; readonly position: Position };

/** The stored log, read synchronously: there is no turn between a replica's decision and what it was based on. */
export interface LogReader {
  /** Highest position with a record, 0 when there is none. */
  end(): Position;
  page(from: Position, bounds: PageBounds): PageRead;
}

/** What must be durable before the answer leaves. All writes of one step are one transaction. */
export type Persist =
  | { readonly type: "persist-metadata"; readonly metadata: Metadata }
  | { readonly type: "persist-records"; readonly records: readonly LogRecord[] };

export interface LogStorage extends LogReader {
  /** `EMPTY_METADATA` when nothing was ever stored; a metadata row that fails its checksum is `corrupt`. */
  load(): { readonly type: "metadata"; readonly metadata: Metadata } | { readonly type: "corrupt" };
  /** Replaces records at the same position. Atomic: after a crash all of it is there, or nothing. */
  persist(effects: readonly Persist[]): void;
}
