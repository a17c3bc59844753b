import type { Brand } from "#base/brand.ts";

/** Made once by `mesoflare init`; every message of the log carries it. */
export type ClusterId = Brand<string, "ClusterId">;
/** The name of a replica's object, e.g. `replica-2`. */
export type ReplicaId = Brand<string, "ReplicaId">;
/** One life of a replica's storage: drawn when the storage is first opened, gone with it. */
export type Incarnation = Brand<string, "Incarnation">;
/** A place in the log. The first entry is at 1: the membership that the bootstrap wrote. */
export type Position = Brand<number, "Position">;

export const position = (value: number): Position => value as Position;
export const FIRST_POSITION = position(1);

/**
 * A place among the voters. It belongs to one life of the replica's storage: after a loss the same name comes back as
 * another voter, which nobody takes for the one that promised and accepted before.
 */
export interface Seat {
  readonly replica: ReplicaId;
  readonly incarnation: Incarnation;
}
/** The replicas that vote. The quorum follows from their number: ⌊N/2⌋ + 1. */
export interface Membership {
  readonly seats: readonly Seat[];
}
/** A membership and the position of the entry that holds it: what every vote goes by. */
export interface Electorate {
  readonly membership: Membership;
  readonly position: Position;
}

export const quorumOf = ({ seats }: Membership): number => Math.floor(seats.length / 2) + 1;
export const replicasOf = ({ seats }: Membership): readonly ReplicaId[] => seats.map(({ replica }) => replica);
export const seatOf = ({ seats }: Membership, replica: ReplicaId): Seat | undefined =>
  seats.find((seat) => seat.replica === replica);

/** What a position holds. `append` carries the Registrar's text; `truncate` drops all positions below `to`. */
export type Entry =
  | { readonly type: "nop" }
  | { readonly type: "membership"; readonly membership: Membership }
  | { readonly type: "append"; readonly data: string }
  | { readonly type: "truncate"; readonly to: Position };

export interface PositionedEntry {
  readonly position: Position;
  readonly entry: Entry;
}
