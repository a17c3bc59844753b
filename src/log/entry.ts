import type { Brand } from "#base/brand.ts";

/** Made once by `mesoflare init`; every message of the log carries it. */
export type ClusterId = Brand<string, "ClusterId">;
export type ReplicaId = Brand<string, "ReplicaId">;
/** A place in the log. The first entry is at 1: the membership that the bootstrap wrote. */
export type Position = Brand<number, "Position">;

export const position = (value: number): Position => value as Position;
export const FIRST_POSITION = position(1);

/** The replicas that vote. The quorum follows from their number: ⌊N/2⌋ + 1. */
export interface Membership {
  readonly replicas: readonly ReplicaId[];
}
export const quorumOf = (membership: Membership): number => Math.floor(membership.replicas.length / 2) + 1;

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
