// The Registrar of one candidate's instance: stands for election, replays the log, then commits operations in batches,
// one store in flight. It decides what becomes an entry and when an outcome may be told; the log's coordinator, which it
// holds, decides what to ask of the log; the shell sends the calls, stores ballot and epoch, and feeds every answer back.
// Rules [R3] to [R16] and [R21] to [R25] of SPEC.md.
//
// It never retries a write: a batch without an answer may have been chosen, and only an election under a higher ballot
// can tell.
import { assert, unreachable } from "#base/assert.ts";
import { backoffMs } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import { millis, type Millis } from "#base/time.ts";
import type { Ballot } from "#log/ballot.ts";
import type { MembershipChange, ReadAnswer, ReadCall } from "#log/calls.ts";
import {
  ballotOf as ballotOfCoordinator,
  type ChangeOutcome,
  coordinate,
  type Coordinator,
  type CoordinatorEffect,
  type CoordinatorInput,
  type CoordinatorOptions,
  createCoordinator,
  nextWake as nextWakeOfCoordinator,
} from "#log/coordinator.ts";
import { type Entry, type Position, position, type PositionedEntry } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX } from "#log/limits.ts";
import type { Epoch, MasterId } from "#protocol/ids.ts";
import { type Outcome, takeBatch, type Waiting } from "./batch.ts";
import { encodeEntry, type Head, type LeaderEntry, type RegistrarEntry } from "./codec.ts";
import { type HeadFound, type HeadSearch, searchHead, searchOn } from "./find-head.ts";
import type { AuditedOperation } from "./operations.ts";
import { type Registry, registryLetters } from "./registry.ts";
import { applyEntry, createReplay, loadFrom, logBeginsAt, nextToRead, type Replay, stretchesOf } from "./replay.ts";
import {
  beginSnapshot,
  isSnapshotDue,
  nextChunk,
  SNAPSHOT_OPTIONS,
  type SnapshotOptions,
  type SnapshotWriter,
  truncationOf,
} from "./snapshot.ts";

export type { Outcome };

/** Pause before standing again: full jitter from the first to the last of these, ms. */
export const STAND_BACKOFF = { firstMs: 250, maxMs: 15_000 } as const;
/** Most operations that wait for a batch; more are refused as `registrar-full`. */
export const QUEUE_OPERATIONS_MAX = 20_000;
/** Our own groups of entries, towards the coordinator: the one store in flight. Changes have the ids of their callers. */
const STORE_GROUP = -1;

/** What the log answered, as the coordinator takes it. */
type LogAnswer = Extract<
  CoordinatorInput,
  {
    type: "elect-answered" | "append-answered" | "confirm-answered" | "settle-answered" | "prepare-answered";
  }
>;

export type RegistrarInput =
  /** Lead, if that is due: elects, replays the log, and either continues its cached epoch or writes a leader entry. */
  | { readonly type: "stand"; /** Even before the pause after a failed attempt is over. */ readonly forced?: boolean }
  | { readonly type: "apply"; readonly id: number; readonly audited: AuditedOperation }
  /** Change the membership of the log. `id` is among those of operations. */
  | { readonly type: "change-membership"; readonly id: number; readonly change: MembershipChange }
  /** Ask a quorum whether our ballot still stands. */
  | { readonly type: "confirm" }
  | { readonly type: "gathered" }
  /** Time has passed; see `nextWake`. */
  | { readonly type: "tick" }
  | { readonly type: "read-answered"; readonly ballot: Ballot; readonly answer: ReadAnswer }
  | LogAnswer;

/** Calls to the log that the shell makes as they are. */
type LogCall = Extract<
  CoordinatorEffect,
  { type: "store-ballot" | "elect" | "append" | "confirm" | "settle" | "prepare" | "gather" }
>;

export type RegistrarEffect =
  | LogCall
  /** Entries that an election chose: the newest, which says where to begin, and then a page at a time. */
  | { readonly type: "read"; readonly ballot: Ballot; readonly call: ReadCall }
  /** We lead. `fresh`: a new epoch, all cached state of the old one must be wiped in the transaction that stores this epoch. */
  | { readonly type: "leading"; readonly epoch: Epoch; readonly masterId: MasterId; readonly fresh: boolean }
  | { readonly type: "outcome"; readonly id: number; readonly outcome: Outcome }
  | { readonly type: "membership-changed"; readonly id: number; readonly outcome: ChangeOutcome }
  /** A quorum had promised nothing above our ballot at some moment after `at`: when the question was asked. */
  | { readonly type: "confirmed"; readonly at: Millis }
  /** We do not lead (any more). Operations `ids` were not acknowledged and may or may not be chosen: the next election tells. */
  | {
      readonly type: "not-leading";
      readonly reason: string;
      readonly fenced: boolean;
      readonly ids: readonly number[];
      readonly retryAt: Millis;
    };

type Outcomes = readonly { readonly id: number; readonly outcome: Outcome }[];

/** The store in flight, and what is to be told when it is chosen. */
interface Store {
  readonly entry: Entry;
  /** What an entry of ours says, so that it need not be read back. */
  readonly own: RegistrarEntry | undefined;
  readonly outcomes: Outcomes;
}

type Phase =
  | { readonly state: "following" }
  | { readonly state: "electing" }
  /** Elected: everything up to `through` is chosen, and the newest entry is being looked for. */
  | { readonly state: "locating"; readonly through: Position; readonly search: HeadSearch }
  /** Reading up to `through`. */
  | { readonly state: "replaying"; readonly through: Position }
  /** Replayed, our leader entry is in flight. */
  | { readonly state: "appointing"; readonly own: LeaderEntry }
  | { readonly state: "leading"; readonly epoch: Epoch; readonly store: Store | undefined };

export interface RegistrarOptions extends CoordinatorOptions {
  /** A random uuid for each epoch that this instance begins: it may lead again after another has, and agents' ids are made of it. */
  readonly newMasterId: () => MasterId;
  /** The epoch that the object's tables belong to, undefined when they belong to none. */
  readonly cachedEpoch?: Epoch;
  readonly snapshots?: Partial<SnapshotOptions>;
}

export interface Registrar {
  /** As far as it is known to be chosen. Read it freely; only `step` edits it. */
  readonly registry: Registry;
  readonly options: RegistrarOptions;
  readonly coordinator: Coordinator;
  phase: Phase;
  /** How far `registry` goes. */
  readonly replay: Replay;
  readonly snapshots: SnapshotOptions;
  /** The snapshot that we are writing, while we lead. */
  writer: SnapshotWriter | undefined;
  /** The last store was a batch: the next one may be of the snapshot. */
  isUpkeepNext: boolean;
  cachedEpoch: Epoch | undefined;
  readonly waiting: Waiting[];
  /** Failed attempts to lead since the last success. */
  attempts: number;
  retryAt: Millis;
}

export function createRegistrar(options: RegistrarOptions): Registrar {
  const replay = createReplay();
  return {
    registry: replay.registry,
    options,
    coordinator: createCoordinator(options),
    phase: { state: "following" },
    replay,
    snapshots: { ...SNAPSHOT_OPTIONS, ...options.snapshots },
    writer: undefined,
    isUpkeepNext: false,
    cachedEpoch: options.cachedEpoch,
    waiting: [],
    attempts: 0,
    retryAt: millis(0),
  };
}

export const isLeading = (registrar: Registrar): boolean => registrar.phase.state === "leading";

/** The epoch while we lead, else undefined. */
export const epoch = (registrar: Registrar): Epoch | undefined =>
  registrar.phase.state === "leading" ? registrar.phase.epoch : undefined;

/** The ballot that we lead or stand under, undefined while following. */
export const ballotOf = ({ coordinator }: Registrar): Ballot | undefined => ballotOfCoordinator(coordinator);

/** When to give the next `tick`, undefined when none is needed. */
export const nextWake = ({ coordinator }: Registrar): Millis | undefined => nextWakeOfCoordinator(coordinator);

/** Operations without an outcome yet: waiting, and in the store in flight. Source: Mesos registrar/queued_operations. */
export function queuedOperations({ phase, waiting }: Registrar): number {
  return waiting.length + (phase.state === "leading" ? (phase.store?.outcomes.length ?? 0) : 0);
}

/** Size of the registry as text. Source: Mesos registrar/registry_size_bytes. */
export const registrySizeBytes = (registrar: Registrar): number => registryLetters(registrar.registry);

/** Takes one input, edits `registrar`, and returns the work for the shell, in the order it must be done. */
export function step(registrar: Registrar, input: RegistrarInput, now: Millis, random: Random): RegistrarEffect[] {
  switch (input.type) {
    case "stand":
      return onStand(registrar, input.forced === true, now, random);
    case "apply":
      return onApply(registrar, { id: input.id, audited: input.audited }, now, random);
    case "change-membership":
      return onChange(registrar, input.id, input.change, now, random);
    case "read-answered":
      return onReadAnswered(registrar, input.ballot, input.answer, now, random);
    case "confirm":
    case "gathered":
    case "tick":
    case "elect-answered":
    case "append-answered":
    case "confirm-answered":
    case "settle-answered":
    case "prepare-answered":
      return toLog(registrar, input, now, random);
    default:
      return unreachable(input);
  }
}

/** Gives the coordinator an input, and makes of its effects what they mean for the registry. */
function toLog(registrar: Registrar, input: CoordinatorInput, now: Millis, random: Random): RegistrarEffect[] {
  return coordinate(registrar.coordinator, input, now).flatMap((effect): RegistrarEffect[] => {
    switch (effect.type) {
      case "elected":
        return onElected(registrar, effect, now, random);
      case "appended":
        return onAppended(registrar, effect, now, random);
      case "changed":
        return [{ type: "membership-changed", id: effect.id, outcome: effect.outcome }];
      case "lost":
        return abandon(registrar, effect, now, random);
      default:
        return [effect];
    }
  });
}

function onStand(registrar: Registrar, forced: boolean, now: Millis, random: Random): RegistrarEffect[] {
  if (registrar.phase.state !== "following") return [];
  if (!forced && now < registrar.retryAt) return [];
  registrar.phase = { state: "electing" };
  return toLog(registrar, { type: "elect", from: registrar.replay.next }, now, random);
}

function onApply(registrar: Registrar, waiting: Waiting, now: Millis, random: Random): RegistrarEffect[] {
  if (registrar.phase.state === "following") return [notLeading(registrar, waiting.id)];
  if (registrar.waiting.length >= QUEUE_OPERATIONS_MAX) {
    return [{ type: "outcome", id: waiting.id, outcome: { type: "refused", reason: "registrar-full" } }];
  }
  registrar.waiting.push(waiting);
  return storeNext(registrar, now, random);
}

function onChange(
  registrar: Registrar,
  id: number,
  change: MembershipChange,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  if (registrar.phase.state !== "leading") return [notLeading(registrar, id)];
  return toLog(registrar, { type: "change", id, change }, now, random);
}

const notLeading = ({ retryAt }: Registrar, id: number): RegistrarEffect => ({
  type: "not-leading",
  reason: "this candidate does not lead",
  fenced: false,
  ids: [id],
  retryAt,
});

function onElected(
  registrar: Registrar,
  { begin, next }: Extract<CoordinatorEffect, { type: "elected" }>,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { replay } = registrar;
  logBeginsAt(replay, begin);
  const through = position(next - 1);
  return replay.next > through ? appoint(registrar, now, random) : locate(registrar, through, searchHead(through));
}

/** The newest entry says where the newest snapshot begins. */
function locate(registrar: Registrar, through: Position, search: HeadSearch): RegistrarEffect[] {
  registrar.phase = { state: "locating", through, search };
  return [readEffect(registrar, search.at, search.to)];
}

/** [R23] From the newest snapshot on, unless more than that is applied already. */
function replayFrom(
  registrar: Registrar,
  through: Position,
  head: Head | undefined,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { replay } = registrar;
  // [R24] A log begins at its first position, or at a snapshot that is complete.
  const snapshot = Math.max(head?.snapshot ?? 0, replay.begin);
  if (snapshot > replay.next) loadFrom(replay, position(snapshot));
  registrar.phase = { state: "replaying", through };
  return replayOn(registrar, through, now, random);
}

/** Reads the next page of what the election chose, or leads when there is none left. */
function replayOn(registrar: Registrar, through: Position, now: Millis, random: Random): RegistrarEffect[] {
  const { replay } = registrar;
  const from = nextToRead(replay);
  if (from <= through) return [readEffect(registrar, from, through)];
  if (replay.loading === undefined) return appoint(registrar, now, random);
  // Truncated by somebody who leads by now, or a log that has lost entries.
  const reason = `the snapshot that begins at ${replay.loading.begin} is not complete at ${through}, where this election ended`;
  return stop(registrar, reason, now, random);
}

function readEffect({ coordinator, options }: Registrar, from: Position, to: Position): RegistrarEffect {
  const ballot = ballotOfCoordinator(coordinator);
  assert(ballot !== undefined, "an elected candidate has a ballot");
  const { clusterId } = options;
  return {
    type: "read",
    ballot,
    call: { clusterId, from, to, entriesMax: PAGE_ENTRIES_MAX, known: coordinator.known },
  };
}

function onReadAnswered(
  registrar: Registrar,
  ballot: Ballot,
  answer: ReadAnswer,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { phase } = registrar;
  if (phase.state !== "locating" && phase.state !== "replaying") return [];
  if (!isSameBallot(ballotOf(registrar), ballot)) return [];
  if (answer.type === "unavailable") return stop(registrar, `no quorum: ${answer.reason}`, now, random);
  logBeginsAt(registrar.replay, answer.begin);
  if (phase.state === "replaying") return onPage(registrar, phase.through, answer, now, random);
  const found: HeadFound = searchOn(phase.search, answer, "pass");
  switch (found.type) {
    case "search":
      return locate(registrar, phase.through, found.search);
    case "found":
      return replayFrom(registrar, phase.through, found.head, now, random);
    case "stopped":
      return stop(registrar, found.reason, now, random);
    default:
      return unreachable(found);
  }
}

function onPage(
  registrar: Registrar,
  through: Position,
  { entries, begin }: Extract<ReadAnswer, { type: "entries" }>,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { replay } = registrar;
  const before = nextToRead(replay);
  if (begin > before) {
    // Truncated while we read. What the truncation left is newer than what we were reading.
    replay.loading = undefined;
    return locate(registrar, through, searchHead(through));
  }
  for (const positioned of entries) {
    if (positioned.position > through) break;
    const replayed = applyEntry(replay, positioned);
    if (replayed.type === "stopped") return stop(registrar, replayed.reason, now, random);
  }
  if (nextToRead(replay) > before) return replayOn(registrar, through, now, random);
  return stop(registrar, `the entry at ${before}, which was chosen, cannot be read now`, now, random);
}

const isSameBallot = (a: Ballot | undefined, b: Ballot): boolean => a?.counter === b.counter && a.nonce === b.nonce;

/** [R12] The cached epoch goes on if the log says so; otherwise a leader entry begins a new one. */
function appoint(registrar: Registrar, now: Millis, random: Random): RegistrarEffect[] {
  const { leader } = registrar.registry;
  const { candidate, newMasterId } = registrar.options;
  if (leader !== undefined && leader.candidate === candidate && leader.epoch === registrar.cachedEpoch) {
    return lead(registrar, { epoch: leader.epoch, masterId: leader.masterId, fresh: false }, now, random);
  }
  const { snapshot } = registrar.registry;
  const own: LeaderEntry = { type: "leader", candidate, masterId: newMasterId(), snapshot };
  registrar.phase = { state: "appointing", own };
  const entries: Entry[] = [{ type: "append", data: encodeEntry(own) }];
  return toLog(registrar, { type: "append", id: STORE_GROUP, entries }, now, random);
}

function onAppended(
  registrar: Registrar,
  { position: at, entries }: Extract<CoordinatorEffect, { type: "appended" }>,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { phase } = registrar;
  const [entry] = entries;
  assert(entry !== undefined && entries.length === 1, "a store is one entry");
  skipTo(registrar, at);
  if (phase.state === "appointing") {
    applyOwn(registrar, { position: at, entry }, phase.own);
    const { leader } = registrar.registry;
    assert(leader?.epoch === (at as number), "the leader entry's position is the epoch");
    registrar.cachedEpoch = leader.epoch;
    return lead(registrar, { epoch: leader.epoch, masterId: leader.masterId, fresh: true }, now, random);
  }
  assert(phase.state === "leading" && phase.store !== undefined, "only a leader appends, and knows what");
  const { own, outcomes } = phase.store;
  applyOwn(registrar, { position: at, entry }, own);
  registrar.phase = { ...phase, store: undefined };
  return [
    ...outcomes.map(({ id, outcome }) => ({ type: "outcome", id, outcome }) as const),
    ...storeNext(registrar, now, random),
  ];
}

/** What we wrote is chosen: it is applied as any reader will apply it. */
function applyOwn(registrar: Registrar, positioned: PositionedEntry, own: RegistrarEntry | undefined): void {
  const { replay, writer } = registrar;
  assert(applyEntry(replay, positioned, own).type === "applied", "an own entry can be applied");
  if (own?.type !== "snapshot" || writer === undefined) return;
  if (own.chunk === 0) writer.begin = positioned.position;
  if (own.last) registrar.writer = undefined;
}

/** Entries of the coordinator's own, a nop or a membership, stand between two stores; they change nothing here. */
function skipTo({ replay }: Registrar, first: Position): void {
  assert(first >= replay.next, "positions only rise");
  replay.next = first;
}

function lead(
  registrar: Registrar,
  begun: { readonly epoch: Epoch; readonly masterId: MasterId; readonly fresh: boolean },
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  registrar.phase = { state: "leading", epoch: begun.epoch, store: undefined };
  registrar.attempts = 0;
  return [{ type: "leading", ...begun }, ...storeNext(registrar, now, random)];
}

/**
 * [R3] Once no store is in flight: everything that waits becomes the next batch. Of a snapshot one chunk goes out after each batch, so that
 * neither waits for the other for long.
 */
function storeNext(registrar: Registrar, now: Millis, random: Random): RegistrarEffect[] {
  const { phase } = registrar;
  if (phase.state !== "leading" || phase.store !== undefined) return [];
  const store = (registrar.isUpkeepNext ? upkeep(registrar) : undefined) ?? batch(registrar) ?? upkeep(registrar);
  if (store === undefined) return [];
  registrar.isUpkeepNext = store.own?.type === "operations";
  registrar.phase = { ...phase, store };
  // [L38] One entry: of a longer write that is given up, a later entry may be chosen behind those of a successor.
  return toLog(registrar, { type: "append", id: STORE_GROUP, entries: [store.entry] }, now, random);
}

function batch({ registry, waiting }: Registrar): Store | undefined {
  if (waiting.length === 0) return undefined;
  const { entry: own, text, outcomes } = takeBatch(registry, waiting);
  return { entry: { type: "append", data: text }, own, outcomes };
}

/** [R21] [R25] What the log itself needs: a truncation, or the next chunk of a snapshot. */
function upkeep(registrar: Registrar): Store | undefined {
  const { registry, replay, snapshots } = registrar;
  const stretches = stretchesOf(replay);
  const to = truncationOf(stretches, snapshots);
  if (to !== undefined && to > replay.begin) return { entry: { type: "truncate", to }, own: undefined, outcomes: [] };
  if (registrar.writer === undefined && isSnapshotDue(replay, snapshots)) {
    registrar.writer = beginSnapshot(registry, stretches);
  }
  if (registrar.writer === undefined) return undefined;
  const { text, entry: own } = nextChunk(registrar.writer, registry, snapshots);
  return { entry: { type: "append", data: text }, own, outcomes: [] };
}

/** The log is not to be written by us now, whatever the coordinator could still do. */
function stop(registrar: Registrar, reason: string, now: Millis, random: Random): RegistrarEffect[] {
  return toLog(registrar, { type: "resign", reason }, now, random);
}

/** [R7] This ballot is done with. Nothing is retried under it, and what waited is given back without an outcome. */
function abandon(
  registrar: Registrar,
  { reason, fenced, ids: lost }: Extract<CoordinatorEffect, { type: "lost" }>,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { phase, waiting } = registrar;
  const inFlight = phase.state === "leading" ? (phase.store?.outcomes ?? []) : [];
  const changes = lost.filter((id) => id !== STORE_GROUP);
  const ids = [...inFlight.map(({ id }) => id), ...waiting.map(({ id }) => id), ...changes];
  waiting.length = 0;
  // Its chunk in flight may be lost: a snapshot is of one leadership.
  registrar.writer = undefined;
  registrar.replay.loading = undefined;
  registrar.phase = { state: "following" };
  registrar.retryAt = millis(now + backoffMs(random, registrar.attempts, STAND_BACKOFF));
  registrar.attempts += 1;
  return [{ type: "not-leading", reason, fenced, ids, retryAt: registrar.retryAt }];
}
