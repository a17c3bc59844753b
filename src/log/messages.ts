// What crosses between the RegistrarWorker and a replica: one request, one answer, always an answer.
//
// What asks for a vote carries the position of the membership entry that the sender goes by. Each answer carries the
// replica's whole standing, so that a sender learns of a newer membership from any of them.
import type { Ballot } from "./ballot.ts";
import type { ClusterId, Electorate, Entry, Incarnation, Membership, Position, ReplicaId } from "./entry.ts";
import type { LogRecord } from "./record.ts";
import type { Range } from "./storage.ts";

/** Version of these messages. A replica refuses every other one clearly. */
export const LOG_MESSAGE_VERSION = 2;

/** What travels: the version stands outside the message, so that it can be read whatever is inside. */
export interface Envelope {
  readonly v: number;
  readonly message: ReplicaMessage;
  /** Nobody waits for the answer: the replica may store it together with what comes next, some milliseconds later. */
  readonly patient?: boolean;
}
export const envelope = (message: ReplicaMessage): Envelope => ({ v: LOG_MESSAGE_VERSION, message });

/** Of a message that asks for a vote. */
interface Header {
  readonly clusterId: ClusterId;
  readonly membershipPosition: Position;
}

/**
 * Promise everything at once. The answer brings a page of what was accepted and is not learned there, from `from` on. Ask
 * again for the next page.
 */
export type PromiseMessage = Header & { readonly type: "promise"; readonly ballot: Ballot; readonly from: Position };
/** Consecutive entries from `position` on, accepted together. A membership entry is the last of its write. */
export type WriteMessage = Header & {
  readonly type: "write";
  readonly ballot: Ballot;
  readonly position: Position;
  readonly entries: readonly Entry[];
  /** A commit notice on the way: what was written under `ballot` up to here is chosen. */
  readonly chosenThrough?: Position;
};
export type ConfirmMessage = Header & { readonly type: "confirm"; readonly ballot: Ballot };
/** The commit notice: what was written under `ballot` up to `through` is chosen. A fact, not a question. */
export type LearnMessage = {
  readonly type: "learn";
  readonly clusterId: ClusterId;
  readonly ballot: Ballot;
  readonly through: Position;
};
/** Records that are chosen, consecutive, whatever the ballot; `tombstone` stands for everything below the first of them. */
export type CatchUpMessage = {
  readonly type: "catch-up";
  readonly clusterId: ClusterId;
  readonly tombstone?: Tombstone;
  readonly records: readonly LogRecord[];
};
/** All positions below `begin` are truncated away; `electorate` was in force there. */
export interface Tombstone {
  readonly begin: Position;
  readonly electorate: Electorate;
}
/** A page of records in [from, to]; raises no promise. */
export type ReadMessage = {
  readonly type: "read";
  readonly clusterId: ClusterId;
  readonly from: Position;
  readonly to: Position | undefined;
  readonly entriesMax: number;
};
export type StatusMessage = { readonly type: "status" };
/** An EMPTY replica takes name and cluster, and may be caught up from now on. It votes once it has learned its seat. */
export type EnlistMessage = { readonly type: "enlist"; readonly clusterId: ClusterId; readonly replicaId: ReplicaId };
/** First half of the bootstrap: an EMPTY replica takes the cluster id and the set, and does not vote yet. */
export type BootstrapStartMessage = {
  readonly type: "bootstrap-start";
  readonly clusterId: ClusterId;
  readonly replicaId: ReplicaId;
  readonly membership: Membership;
};
/** Second half: a STARTING replica of this cluster votes from now on. */
export type BootstrapVoteMessage = { readonly type: "bootstrap-vote"; readonly clusterId: ClusterId };

export type ReplicaMessage =
  | PromiseMessage
  | WriteMessage
  | LearnMessage
  | CatchUpMessage
  | ConfirmMessage
  | ReadMessage
  | StatusMessage
  | EnlistMessage
  | BootstrapStartMessage
  | BootstrapVoteMessage;

/**
 * `empty` belongs to no cluster; `starting` finished the first half of the bootstrap; `recovering` learns, and may not vote:
 * its storage has no seat, or a record waits for repair; only `voting` accepts, promises or refuses.
 */
export type ReplicaStatus = "empty" | "starting" | "recovering" | "voting";

/** How a replica stands after it dealt with the message. */
export interface Standing {
  readonly status: ReplicaStatus;
  readonly incarnation: Incarnation;
  readonly clusterId: ClusterId | undefined;
  readonly electorate: Electorate | undefined;
  readonly promised: Ballot;
  /** First position that is not truncated away. */
  readonly begin: Position;
  /** Highest position with a record, 0 when there is none. */
  readonly end: Position;
  /** First position that is not learned there. */
  readonly missingFrom: Position;
  /** Learned records that fail their checksum and wait for repair. */
  readonly damaged: Range | undefined;
}

export interface Page {
  readonly records: readonly LogRecord[];
  /** Where the next page begins, undefined after the last. */
  readonly next: Position | undefined;
}

export type ReplicaAnswer =
  | { readonly type: "promised"; readonly standing: Standing; readonly page: Page }
  | { readonly type: "accepted"; readonly standing: Standing }
  | { readonly type: "learned"; readonly standing: Standing }
  | { readonly type: "confirmed"; readonly standing: Standing }
  /** `tombstone` when the asked positions begin below what is still there. */
  | { readonly type: "page"; readonly standing: Standing; readonly page: Page; readonly tombstone?: Tombstone }
  /** `silentMs`: how long ago the promised ballot was heard, as far as this instance of the replica knows; of its shell's clock. */
  | { readonly type: "status"; readonly standing: Standing; readonly silentMs?: number }
  | { readonly type: "enlisted"; readonly standing: Standing }
  | { readonly type: "bootstrapped"; readonly standing: Standing }
  /** A higher ballot was promised: `promised` is at least the one that blocks. */
  | { readonly type: "refused"; readonly standing: Standing; readonly promised: Ballot }
  /** The sender goes by an older membership than this replica has learned. */
  | { readonly type: "stale-membership"; readonly standing: Standing }
  /** The sender goes by a membership that this replica has not learned yet: it must be caught up first. */
  | { readonly type: "behind"; readonly standing: Standing }
  | { readonly type: "foreign-cluster"; readonly standing: Standing }
  /** The replica may not answer this in its status, where Mesos would stay silent. No vote either way. */
  | { readonly type: "ignored"; readonly standing: Standing; readonly reason: string }
  | { readonly type: "invalid"; readonly standing: Standing; readonly reason: string };
