// What crosses between the RegistrarWorker and a replica: one request, one answer, always an answer.
//
// Requests about the log carry the cluster id and the position of the membership entry that the sender goes by. Each
// answer carries the replica's whole standing, so that a sender learns of a newer membership from any of them.
import type { Ballot } from "./ballot.ts";
import type { ClusterId, Entry, Membership, Position, ReplicaId } from "./entry.ts";
import type { LogRecord } from "./record.ts";
import type { ReplicaStatus } from "./storage.ts";

/** Version of these messages. A replica refuses a newer one clearly; a newer replica reads the older. */
export const LOG_MESSAGE_VERSION = 1;

/** What travels: the version stands outside the message, so that it can be read whatever is inside. */
export interface Envelope {
  readonly v: number;
  readonly message: ReplicaMessage;
}
export const envelope = (message: ReplicaMessage): Envelope => ({ v: LOG_MESSAGE_VERSION, message });

interface Header {
  readonly clusterId: ClusterId;
  readonly membershipPosition: Position;
}

/** Promise everything at once; the answer brings a page of what was accepted in [from, end]. Ask again for the next page. */
export type PromiseMessage = Header & { readonly type: "promise"; readonly ballot: Ballot; readonly from: Position };
/** Consecutive entries from `position` on, accepted together. */
export type WriteMessage = Header & {
  readonly type: "write";
  readonly ballot: Ballot;
  readonly position: Position;
  readonly entries: readonly Entry[];
};
/** What the sender wrote under `ballot` up to `through` is chosen: the commit notice. */
export type LearnMessage = Header & { readonly type: "learn"; readonly ballot: Ballot; readonly through: Position };
/** Records that are chosen, consecutive, whatever the ballot. */
export type CatchUpMessage = Header & { readonly type: "catch-up"; readonly records: readonly LogRecord[] };
export type ConfirmMessage = Header & { readonly type: "confirm"; readonly ballot: Ballot };
/** A page of records in [from, to]; raises no promise. */
export type ReadMessage = Header & {
  readonly type: "read";
  readonly from: Position;
  readonly to: Position | undefined;
  readonly entriesMax: number;
};
export type StatusMessage = { readonly type: "status" };
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
  | BootstrapStartMessage
  | BootstrapVoteMessage;

/** How a replica stands after it dealt with the message. */
export interface Standing {
  readonly status: ReplicaStatus;
  readonly clusterId: ClusterId | undefined;
  readonly membership: Membership | undefined;
  readonly membershipPosition: Position;
  readonly promised: Ballot;
  readonly begin: Position;
  /** Highest position with a record, 0 when there is none. */
  readonly end: Position;
  /** First position that is not learned there. */
  readonly missingFrom: Position;
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
  | { readonly type: "page"; readonly standing: Standing; readonly page: Page }
  | { readonly type: "status"; readonly standing: Standing }
  | { readonly type: "bootstrapped"; readonly standing: Standing }
  /** A higher ballot was promised: `promised` is at least the one that blocks. */
  | { readonly type: "refused"; readonly standing: Standing; readonly promised: Ballot }
  | { readonly type: "stale-membership"; readonly standing: Standing }
  | { readonly type: "foreign-cluster"; readonly standing: Standing }
  /** The replica may not answer this in its status, where Mesos would stay silent. No vote either way. */
  | { readonly type: "ignored"; readonly standing: Standing; readonly reason: string }
  | { readonly type: "invalid"; readonly standing: Standing; readonly reason: string };
