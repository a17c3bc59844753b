// The Registrar of one candidate's instance: stands for election, replays the log, then commits operations in batches,
// one store in flight. It decides what becomes an entry and when an outcome may be told; the log's coordinator, which it
// holds, decides what to ask of the log; the shell sends the calls, stores ballot and epoch, and feeds every answer back.
// Rules [R3] to [R14] of SPEC.md.
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
import type { Position, PositionedEntry } from "#log/entry.ts";
import { FIRST_POSITION, position } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX } from "#log/limits.ts";
import type { Epoch, MasterId } from "#protocol/ids.ts";
import { type Outcome, takeBatch, type Waiting } from "./batch.ts";
import { encodeEntry } from "./codec.ts";
import type { AuditedOperation } from "./operations.ts";
import { emptyRegistry, type Registry, registryLetters } from "./registry.ts";
import { applyEntry } from "./replay.ts";

export type { Outcome };

/** Pause before standing again: full jitter from the first to the last of these, ms. */
export const STAND_BACKOFF = { firstMs: 250, maxMs: 15_000 } as const;
/** Most operations that wait for a batch; more are refused as `registrar-full`. */
export const QUEUE_OPERATIONS_MAX = 20_000;
/** Our own groups of entries, towards the coordinator: the one batch in flight. Changes have the ids of their callers. */
const BATCH_GROUP = -1;

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
  /** The chosen entries of an election, a page at a time. */
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

type Phase =
  | { readonly state: "following" }
  | { readonly state: "electing" }
  /** Elected, and reading what was chosen up to `through`. */
  | { readonly state: "replaying"; readonly through: Position; readonly electedAt: Millis }
  /** Replayed, our leader entry is in flight. */
  | { readonly state: "appointing" }
  /** `outcomes` of the batch in flight, if there is one. */
  | { readonly state: "leading"; readonly epoch: Epoch; readonly outcomes: Outcomes | undefined };

export interface RegistrarOptions extends CoordinatorOptions {
  /** The master id that this instance takes if it begins a new epoch: a random uuid. */
  readonly newMasterId: MasterId;
  /** The epoch that the object's tables belong to, undefined when they belong to none. */
  readonly cachedEpoch?: Epoch;
}

export interface Registrar {
  /** As far as it is known to be chosen. Read it freely; only `step` edits it. */
  readonly registry: Registry;
  readonly options: RegistrarOptions;
  readonly coordinator: Coordinator;
  phase: Phase;
  /** First position that `registry` does not hold. */
  next: Position;
  cachedEpoch: Epoch | undefined;
  readonly waiting: Waiting[];
  /** Failed attempts to lead since the last success. */
  attempts: number;
  retryAt: Millis;
}

export function createRegistrar(options: RegistrarOptions): Registrar {
  return {
    registry: emptyRegistry(),
    options,
    coordinator: createCoordinator(options),
    phase: { state: "following" },
    next: FIRST_POSITION,
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
  return waiting.length + (phase.state === "leading" ? (phase.outcomes?.length ?? 0) : 0);
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
  return toLog(registrar, { type: "elect", from: registrar.next }, now, random);
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
  if (begin > registrar.next) {
    // Snapshots are not replayed yet: see SPEC.md.
    const reason = `the log begins at ${begin}, and ${registrar.next} to ${begin - 1} were never applied here`;
    return stop(registrar, reason, now, random);
  }
  registrar.phase = { state: "replaying", through: position(next - 1), electedAt: now };
  return replayOn(registrar, now, random);
}

/** Reads the next page of what the election chose, or leads when there is none left. */
function replayOn(registrar: Registrar, now: Millis, random: Random): RegistrarEffect[] {
  const { phase, coordinator, options } = registrar;
  assert(phase.state === "replaying", "only an elected candidate replays");
  if (registrar.next > phase.through) return appoint(registrar, now, random);
  const ballot = ballotOf(registrar);
  assert(ballot !== undefined, "an elected candidate has a ballot");
  const { clusterId } = options;
  const call: ReadCall = {
    clusterId,
    from: registrar.next,
    to: phase.through,
    entriesMax: PAGE_ENTRIES_MAX,
    known: coordinator.known,
  };
  return [{ type: "read", ballot, call }];
}

function onReadAnswered(
  registrar: Registrar,
  ballot: Ballot,
  answer: ReadAnswer,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { phase } = registrar;
  if (phase.state !== "replaying" || !isSameBallot(ballotOf(registrar), ballot)) return [];
  if (answer.type === "unavailable") return stop(registrar, `no quorum: ${answer.reason}`, now, random);
  const before = registrar.next;
  for (const positioned of answer.entries) {
    if (positioned.position > phase.through) break;
    const problem = applyNext(registrar, positioned);
    if (problem !== undefined) return stop(registrar, problem, now, random);
  }
  if (registrar.next === before) {
    return stop(registrar, `the entry at ${before}, which was chosen, cannot be read now`, now, random);
  }
  return replayOn(registrar, now, random);
}

const isSameBallot = (a: Ballot | undefined, b: Ballot): boolean => a?.counter === b.counter && a.nonce === b.nonce;

/** Why the entry cannot be applied, or undefined when it was. */
function applyNext(registrar: Registrar, positioned: PositionedEntry): string | undefined {
  assert(positioned.position === registrar.next, "the log is applied without gaps");
  const replayed = applyEntry(registrar.registry, positioned);
  if (replayed.type === "stopped") return replayed.reason;
  registrar.next = position(registrar.next + 1);
  return undefined;
}

/** [R12] The cached epoch goes on if the log says so; otherwise a leader entry begins a new one. */
function appoint(registrar: Registrar, now: Millis, random: Random): RegistrarEffect[] {
  const { leader } = registrar.registry;
  const { candidate, newMasterId } = registrar.options;
  if (leader !== undefined && leader.candidate === candidate && leader.epoch === registrar.cachedEpoch) {
    return lead(registrar, { epoch: leader.epoch, masterId: leader.masterId, fresh: false }, now, random);
  }
  const { snapshot } = registrar.registry;
  const data = encodeEntry({ type: "leader", candidate, masterId: newMasterId, snapshot });
  registrar.phase = { state: "appointing" };
  return toLog(registrar, { type: "append", id: BATCH_GROUP, entries: [{ type: "append", data }] }, now, random);
}

function onAppended(
  registrar: Registrar,
  { position: first, entries }: Extract<CoordinatorEffect, { type: "appended" }>,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { phase } = registrar;
  assert(phase.state === "appointing" || phase.state === "leading", "only a leader appends");
  skipTo(registrar, first);
  for (const [index, entry] of entries.entries()) {
    const problem = applyNext(registrar, { position: position(first + index), entry });
    assert(problem === undefined, "an own entry can be applied");
  }
  if (phase.state === "appointing") {
    const { leader } = registrar.registry;
    assert(leader?.epoch === (first as number), "the leader entry's position is the epoch");
    registrar.cachedEpoch = leader.epoch;
    return lead(registrar, { epoch: leader.epoch, masterId: leader.masterId, fresh: true }, now, random);
  }
  const outcomes = phase.outcomes ?? [];
  registrar.phase = { ...phase, outcomes: undefined };
  return [
    ...outcomes.map(({ id, outcome }) => ({ type: "outcome", id, outcome }) as const),
    ...storeNext(registrar, now, random),
  ];
}

/** Entries of the coordinator's own, a nop or a membership, stand between two batches; they change nothing here. */
function skipTo(registrar: Registrar, first: Position): void {
  assert(first >= registrar.next, "positions only rise");
  registrar.next = first;
}

function lead(
  registrar: Registrar,
  begun: { readonly epoch: Epoch; readonly masterId: MasterId; readonly fresh: boolean },
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  registrar.phase = { state: "leading", epoch: begun.epoch, outcomes: undefined };
  registrar.attempts = 0;
  return [{ type: "leading", ...begun }, ...storeNext(registrar, now, random)];
}

/** [R3] Everything that waits becomes the next batch, once no store is in flight. */
function storeNext(registrar: Registrar, now: Millis, random: Random): RegistrarEffect[] {
  const { phase, waiting } = registrar;
  if (phase.state !== "leading" || phase.outcomes !== undefined || waiting.length === 0) return [];
  const { entry, outcomes } = takeBatch(registrar.registry, waiting);
  registrar.phase = { ...phase, outcomes };
  return toLog(registrar, { type: "append", id: BATCH_GROUP, entries: [entry] }, now, random);
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
  const inFlight = phase.state === "leading" ? (phase.outcomes ?? []) : [];
  const changes = lost.filter((id) => id !== BATCH_GROUP);
  const ids = [...inFlight.map(({ id }) => id), ...waiting.map(({ id }) => id), ...changes];
  waiting.length = 0;
  registrar.phase = { state: "following" };
  registrar.retryAt = millis(now + backoffMs(random, registrar.attempts, STAND_BACKOFF));
  registrar.attempts += 1;
  return [{ type: "not-leading", reason, fenced, ids, retryAt: registrar.retryAt }];
}
