// What a gateway decides about its sockets together: what waits for the master and goes in which batch, what becomes of a batch that
// was not taken, when the whole live set is told, and which epoch it goes by. One socket's own rules are in session.ts.
// Rules [G5], [G6] and [G10] to [G19] of SPEC.md.
import { assert } from "#base/assert.ts";
import { millis, type Millis } from "#base/time.ts";
import { FRAME_BYTES_MAX } from "#protocol/agent.ts";
import { GATEWAY_BATCH_MAX, type GatewayBatch, type GatewayItem } from "#protocol/gateway.ts";
import type { Epoch } from "#protocol/ids.ts";
import type { Session } from "./session.ts";
import { SWEEP_INTERVAL_MS } from "./sweep.ts";

/** Bytes that may wait for the master; beyond that sockets are told to come again, and updates wait on the agents' disks. */
export const QUEUED_BYTES_MAX = 32 * 1024 * 1024;
/** Of these, what messages may fill that nobody waits for [G19]: the rest is for what ends a socket when there is no room for it. */
export const BEST_EFFORT_BYTES_MAX = QUEUED_BYTES_MAX / 2;
/** Bytes of one batch: a call between objects has a bound of 32 MiB. */
export const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** What an item takes besides its frame, bytes: many small ones must not fill the memory either. */
export const ITEM_BYTES = 512;
/** Closings that were not taken and are told again; of what is beyond that, the live set tells. */
export const KEPT_CLOSINGS_MAX = GATEWAY_BATCH_MAX;
/** How often a gateway with sockets asks who leads, ms. */
export const CHECK_IN_INTERVAL_MS = 60_000;
/** How soon a gateway tells its live set again after the master did not take a batch, ms. */
export const RETRY_LIVE_MS = 15_000;
/** Pauses before a batch is given again to a master that is overloaded, and how many. */
export const OVERLOADED = { firstMs: 250, maxMs: 5_000, attemptsMax: 6 } as const;

assert(FRAME_BYTES_MAX + ITEM_BYTES < BATCH_BYTES_MAX, "a batch holds any frame");

interface Queued {
  readonly item: GatewayItem;
  readonly bytes: number;
}
type Closing = Extract<GatewayItem, { type: "closed" }>;

export interface Gateway {
  readonly name: string;
  readonly incarnation: number;
  readonly queue: Queued[];
  queuedBytes: number;
  /** Of batches that were not taken: they lead the next one. */
  kept: readonly Closing[];
  /** Authentications that were started since the last batch. */
  authentications: number;
  /** The master must hear the whole live set with the next batch. */
  owesLive: boolean;
  /** The highest epoch that this gateway has heard of. */
  epoch: Epoch;
  /** When to ask who leads; undefined in an instance that has just woken and does not know when it last asked. */
  checkInAt: Millis | undefined;
}

/** What is left of the instances before. */
export interface Inherited {
  readonly incarnation: number;
  /** This is a new incarnation, or the one before could not tell its live set. */
  readonly owesLive: boolean;
  /** Those of sockets that survived. */
  readonly sessions: Iterable<Session>;
  /** The epoch of the leader that was known last. */
  readonly epoch: Epoch;
}

export function newGateway(name: string, { incarnation, owesLive, sessions, epoch: known }: Inherited): Gateway {
  let epoch: number = known;
  for (const session of sessions) if (session.state === "registered") epoch = Math.max(epoch, session.epoch);
  return {
    name,
    incarnation,
    queue: [],
    queuedBytes: 0,
    kept: [],
    authentications: 0,
    owesLive,
    epoch: epoch as Epoch,
    checkInAt: owesLive ? millis(0) : undefined,
  };
}

/**
 * False when too much waits already [G11]. A closing is always taken: there is one for each socket. What is sent at best effort
 * counts as taken also when it is dropped.
 */
export function enqueue(gateway: Gateway, item: GatewayItem, frameBytes: number): boolean {
  const bytes = frameBytes + ITEM_BYTES;
  const after = gateway.queuedBytes + bytes;
  if (isBestEffort(item) && after > BEST_EFFORT_BYTES_MAX) return true;
  if (item.type !== "closed" && after > QUEUED_BYTES_MAX) return false;
  gateway.queue.push({ item, bytes });
  gateway.queuedBytes += bytes;
  return true;
}

/**
 * The next batch, in the order in which it was said; undefined when there is nothing to say. `live` is what is open now. With `retry`
 * also when only a live set is owed: alone it would be overtaken by what follows, and it goes with any batch [G12].
 */
export function takeBatch(
  gateway: Gateway,
  live: () => readonly string[],
  { retry }: { readonly retry: boolean },
): GatewayBatch | undefined {
  if (gateway.queue.length === 0 && !(retry && gateway.owesLive)) return undefined;
  const items: GatewayItem[] = [...gateway.kept];
  gateway.kept = [];
  let bytes = 0;
  let taken = 0;
  for (const next of gateway.queue) {
    if (items.length >= GATEWAY_BATCH_MAX + KEPT_CLOSINGS_MAX || taken === GATEWAY_BATCH_MAX) break;
    if (taken > 0 && bytes + next.bytes > BATCH_BYTES_MAX) break;
    items.push(next.item);
    bytes += next.bytes;
    taken++;
  }
  gateway.queue.splice(0, taken);
  gateway.queuedBytes -= bytes;
  const { name, incarnation, authentications, epoch } = gateway;
  gateway.authentications = 0;
  return {
    gateway: name,
    items,
    authentications,
    epochKnown: epoch,
    incarnation,
    // [G13] What is told as closed is not missing: its agent has the time of one lost socket, not of a lost gateway.
    ...(gateway.owesLive
      ? { live: [...live(), ...closedIn(items), ...closedIn(gateway.queue.map(({ item }) => item))] }
      : {}),
  };
}

/** Nobody waits for it, and no registration brings it again. */
const isBestEffort = (item: GatewayItem): boolean =>
  item.type === "message" && (item.message.type === "statistics" || item.message.type === "framework-message");

const closedIn = (items: readonly GatewayItem[]): readonly string[] =>
  items.flatMap((item) => (item.type === "closed" ? [item.socketId] : []));

export function onTaken(gateway: Gateway, batch: GatewayBatch, epoch: Epoch | undefined): void {
  if (batch.live !== undefined) gateway.owesLive = false;
  if (epoch !== undefined) hearOf(gateway, epoch);
}

/** What is said to the socket of an item that the master did not take. */
export interface NotTaken {
  readonly socketId: string;
  /** "unavailable": the agent waits and registers again. "close": its next registration brings everything again. */
  readonly what: "unavailable" | "close";
}

/** [G10] [G12] Nothing of it is given again, but for closings: a registration since may have made everything else wrong. */
export function onNotTaken(gateway: Gateway, batch: GatewayBatch): readonly NotTaken[] {
  gateway.owesLive = true;
  gateway.authentications += batch.authentications;
  const closings = batch.items.filter((item) => item.type === "closed");
  gateway.kept = [...gateway.kept, ...closings].slice(0, KEPT_CLOSINGS_MAX);
  return batch.items.flatMap((item): NotTaken[] => {
    if (item.type === "closed" || isBestEffort(item)) return [];
    return [{ socketId: item.socketId, what: item.message.type === "register" ? "unavailable" : "close" }];
  });
}

/** True when the epoch is news. */
export function hearOf(gateway: Gateway, epoch: Epoch): boolean {
  if (epoch <= gateway.epoch) return false;
  gateway.epoch = epoch;
  return true;
}

/** [G6] A socket of an older epoch than the leader's: its agent must register again, or it would obey nobody. */
export const isOutdated = ({ epoch }: Pick<Gateway, "epoch">, session: Session): boolean =>
  session.state === "registered" && session.epoch < epoch;

/** A sweep may come late by this much, ms. */
const SWEEP_SLACK_MS = 5_000;

/**
 * Whether it is time to ask who leads, once a minute. An instance that has just woken does not know when it last asked, and a row for
 * it would cost more than asking: of the sweeps of one minute the first one asks.
 */
export function takeCheckIn(gateway: Gateway, now: Millis): boolean {
  const sinceMinute = now % CHECK_IN_INTERVAL_MS;
  const isDue =
    gateway.checkInAt === undefined ? sinceMinute < SWEEP_INTERVAL_MS + SWEEP_SLACK_MS : now >= gateway.checkInAt;
  if (isDue) gateway.checkInAt = millis(now + CHECK_IN_INTERVAL_MS);
  return isDue;
}
