// The Registrar of one candidate's instance: stands for election, replays the log, then commits operations in batches,
// one store in flight. It decides what to ask of the log and when an outcome may be told; the shell sends the calls,
// stores ballot and epoch, and feeds every answer back. Rules [R3] to [R14] of SPEC.md.
//
// It never retries a write: a batch without an answer may have been chosen, and only an election under a higher ballot
// can tell.
import { assert, unreachable } from "#base/assert.ts";
import { backoffMs } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import { millis, type Millis } from "#base/time.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import { compareBallots, NO_BALLOT } from "#log/ballot.ts";
import type { AppendAnswer, AppendCall, ConfirmAnswer, ConfirmCall, ElectAnswer, ElectCall } from "#log/calls.ts";
import type { ClusterId, Entry, Position } from "#log/entry.ts";
import { FIRST_POSITION, position } from "#log/entry.ts";
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

export type RegistrarInput =
  /** Lead, if that is due: elects, replays the log, and either continues its cached epoch or writes a leader entry. */
  | { readonly type: "stand"; /** Even before the pause after a failed attempt is over. */ readonly forced?: boolean }
  | { readonly type: "apply"; readonly id: number; readonly audited: AuditedOperation }
  /** Ask a quorum whether our ballot still stands. */
  | { readonly type: "confirm" }
  | { readonly type: "elect-answered"; readonly ballot: Ballot; readonly answer: ElectAnswer }
  | { readonly type: "append-answered"; readonly ballot: Ballot; readonly answer: AppendAnswer }
  | { readonly type: "confirm-answered"; readonly ballot: Ballot; readonly answer: ConfirmAnswer };

export type RegistrarEffect =
  /** Durable before the effects that follow it leave the object. */
  | { readonly type: "store-ballot"; readonly ballot: Ballot }
  | { readonly type: "elect"; readonly call: ElectCall }
  | { readonly type: "append"; readonly call: AppendCall }
  | { readonly type: "confirm"; readonly call: ConfirmCall }
  /** We lead. `fresh`: a new epoch, all cached state of the old one must be wiped in the transaction that stores this epoch. */
  | { readonly type: "leading"; readonly epoch: Epoch; readonly masterId: MasterId; readonly fresh: boolean }
  | { readonly type: "outcome"; readonly id: number; readonly outcome: Outcome }
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

interface Store {
  readonly call: AppendCall;
  readonly sentAt: Millis;
  /** Empty for the leader entry. */
  readonly outcomes: readonly { readonly id: number; readonly outcome: Outcome }[];
}

type Phase =
  | { readonly state: "following" }
  | { readonly state: "electing"; readonly ballot: Ballot; readonly sentAt: Millis }
  /** Elected, our leader entry is in flight. */
  | {
      readonly state: "appointing";
      readonly ballot: Ballot;
      readonly membershipPosition: Position;
      readonly store: Store;
    }
  | {
      readonly state: "leading";
      readonly ballot: Ballot;
      readonly membershipPosition: Position;
      readonly epoch: Epoch;
      readonly store: Store | undefined;
      /** When the confirm in flight was sent. */
      readonly confirming: Millis | undefined;
    };

export interface RegistrarOptions {
  readonly candidate: CandidateId;
  /** Fresh for each instance of the object: ballots of two instances never meet. */
  readonly nonce: string;
  /** The master id that this instance takes if it begins a new epoch: a random uuid. */
  readonly newMasterId: MasterId;
  readonly clusterId: ClusterId;
  /** The last ballot that any instance of this candidate stored, undefined before the first. */
  readonly storedBallot?: Ballot;
  /** The epoch that the object's tables belong to, undefined when they belong to none. */
  readonly cachedEpoch?: Epoch;
}

export interface Registrar {
  /** As far as it is known to be chosen. Read it freely; only `step` edits it. */
  readonly registry: Registry;
  readonly options: RegistrarOptions;
  phase: Phase;
  /** Highest counter of any ballot seen, our own and others'. */
  counter: number;
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
    phase: { state: "following" },
    counter: options.storedBallot?.counter ?? NO_BALLOT.counter,
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
export const ballotOf = (registrar: Registrar): Ballot | undefined =>
  registrar.phase.state === "following" ? undefined : registrar.phase.ballot;

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
      return onStand(registrar, input.forced === true, now);
    case "apply":
      return onApply(registrar, { id: input.id, audited: input.audited }, now);
    case "confirm":
      return onConfirm(registrar, now);
    case "elect-answered":
      return onElectAnswered(registrar, input.ballot, input.answer, now, random);
    case "append-answered":
      return onAppendAnswered(registrar, input.ballot, input.answer, now, random);
    case "confirm-answered":
      return onConfirmAnswered(registrar, input.ballot, input.answer, now, random);
    default:
      return unreachable(input);
  }
}

function onStand(registrar: Registrar, forced: boolean, now: Millis): RegistrarEffect[] {
  if (registrar.phase.state !== "following") return [];
  if (!forced && now < registrar.retryAt) return [];
  const { candidate, nonce, clusterId } = registrar.options;
  registrar.counter += 1;
  const ballot: Ballot = { counter: registrar.counter, candidate, nonce };
  registrar.phase = { state: "electing", ballot, sentAt: now };
  return [
    { type: "store-ballot", ballot },
    { type: "elect", call: { clusterId, ballot, from: registrar.next } },
  ];
}

function onApply(registrar: Registrar, waiting: Waiting, now: Millis): RegistrarEffect[] {
  if (registrar.phase.state === "following") {
    const { retryAt } = registrar;
    return [{ type: "not-leading", reason: "this candidate does not lead", fenced: false, ids: [waiting.id], retryAt }];
  }
  if (registrar.waiting.length >= QUEUE_OPERATIONS_MAX) {
    return [{ type: "outcome", id: waiting.id, outcome: { type: "refused", reason: "registrar-full" } }];
  }
  registrar.waiting.push(waiting);
  return storeNext(registrar, now);
}

function onConfirm(registrar: Registrar, now: Millis): RegistrarEffect[] {
  const { phase } = registrar;
  if (phase.state !== "leading" || phase.confirming !== undefined) return [];
  registrar.phase = { ...phase, confirming: now };
  return [{ type: "confirm", call: { clusterId: registrar.options.clusterId, ballot: phase.ballot } }];
}

function onElectAnswered(
  registrar: Registrar,
  ballot: Ballot,
  answer: ElectAnswer,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { phase } = registrar;
  if (phase.state !== "electing" || compareBallots(ballot, phase.ballot) !== 0) return [];
  if (answer.type !== "elected") return stepDown(registrar, answer, now, random);
  for (const positioned of answer.entries) {
    assert(positioned.position === registrar.next, "an election brings every position from the asked one on");
    const replayed = applyEntry(registrar.registry, positioned);
    if (replayed.type === "stopped") return abandon(registrar, { reason: replayed.reason, fenced: false }, now, random);
    registrar.next = position(registrar.next + 1);
  }
  assert(registrar.next === answer.next, "an election brings every position up to the next one");

  const { leader } = registrar.registry;
  const { candidate, newMasterId } = registrar.options;
  const { membershipPosition } = answer;
  if (leader !== undefined && leader.candidate === candidate && leader.epoch === registrar.cachedEpoch) {
    const { epoch: kept, masterId } = leader;
    return lead(registrar, { ballot, membershipPosition, epoch: kept, masterId, fresh: false, at: phase.sentAt }, now);
  }
  const data = encodeEntry({ type: "leader", candidate, masterId: newMasterId });
  const store = storeOf(
    registrar,
    { ballot, membershipPosition, entries: [{ type: "append", data }], outcomes: [] },
    now,
  );
  registrar.phase = { state: "appointing", ballot, membershipPosition, store };
  return [{ type: "append", call: store.call }];
}

function onAppendAnswered(
  registrar: Registrar,
  ballot: Ballot,
  answer: AppendAnswer,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { phase } = registrar;
  if (phase.state !== "appointing" && phase.state !== "leading") return [];
  if (phase.store === undefined || compareBallots(ballot, phase.ballot) !== 0) return [];
  if (answer.type !== "appended") return stepDown(registrar, answer, now, random);
  const { store } = phase;
  for (const [index, entry] of store.call.entries.entries()) {
    const replayed = applyEntry(registrar.registry, { position: position(store.call.position + index), entry });
    assert(replayed.type === "applied", "an own entry can be applied");
  }
  registrar.next = position(store.call.position + store.call.entries.length);

  if (phase.state === "appointing") {
    const { leader } = registrar.registry;
    assert(leader?.epoch === (store.call.position as number), "the leader entry's position is the epoch");
    const { epoch: begun, masterId } = leader;
    registrar.cachedEpoch = begun;
    const { membershipPosition } = phase;
    return lead(registrar, { ballot, membershipPosition, epoch: begun, masterId, fresh: true, at: store.sentAt }, now);
  }
  registrar.phase = { ...phase, store: undefined };
  return [
    { type: "confirmed", at: store.sentAt }, // a quorum accepted under our ballot
    ...store.outcomes.map(({ id, outcome }) => ({ type: "outcome", id, outcome }) as const),
    ...storeNext(registrar, now),
  ];
}

function onConfirmAnswered(
  registrar: Registrar,
  ballot: Ballot,
  answer: ConfirmAnswer,
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { phase } = registrar;
  if (phase.state !== "leading" || phase.confirming === undefined) return [];
  if (compareBallots(ballot, phase.ballot) !== 0) return [];
  if (answer.type !== "confirmed") return stepDown(registrar, answer, now, random);
  registrar.phase = { ...phase, confirming: undefined };
  return [{ type: "confirmed", at: phase.confirming }];
}

interface Lead {
  readonly ballot: Ballot;
  readonly membershipPosition: Position;
  readonly epoch: Epoch;
  readonly masterId: MasterId;
  readonly fresh: boolean;
  readonly at: Millis;
}

function lead(registrar: Registrar, begun: Lead, now: Millis): RegistrarEffect[] {
  const { ballot, membershipPosition, masterId, fresh, at } = begun;
  registrar.phase = {
    state: "leading",
    ballot,
    membershipPosition,
    epoch: begun.epoch,
    store: undefined,
    confirming: undefined,
  };
  registrar.attempts = 0;
  return [
    { type: "leading", epoch: begun.epoch, masterId, fresh },
    { type: "confirmed", at },
    ...storeNext(registrar, now),
  ];
}

/** [R3] Everything that waits becomes the next batch, once no store is in flight. */
function storeNext(registrar: Registrar, now: Millis): RegistrarEffect[] {
  const { phase, waiting } = registrar;
  if (phase.state !== "leading" || phase.store !== undefined || waiting.length === 0) return [];
  const { entries, outcomes } = takeBatch(registrar.registry, waiting);
  const { ballot, membershipPosition } = phase;
  const store = storeOf(registrar, { ballot, membershipPosition, entries, outcomes }, now);
  registrar.phase = { ...phase, store };
  return [{ type: "append", call: store.call }];
}

function storeOf(
  registrar: Registrar,
  what: Pick<Lead, "ballot" | "membershipPosition"> & { readonly entries: readonly Entry[] } & Pick<Store, "outcomes">,
  now: Millis,
): Store {
  const { ballot, membershipPosition, entries, outcomes } = what;
  const { clusterId } = registrar.options;
  return { call: { clusterId, ballot, membershipPosition, position: registrar.next, entries }, sentAt: now, outcomes };
}

type Failure = Exclude<ElectAnswer | AppendAnswer | ConfirmAnswer, { type: "elected" | "appended" | "confirmed" }>;

function stepDown(registrar: Registrar, failure: Failure, now: Millis, random: Random): RegistrarEffect[] {
  if (failure.type === "unavailable") {
    return abandon(registrar, { reason: `no quorum: ${failure.reason}`, fenced: false }, now, random);
  }
  const { counter, candidate } = failure.promised;
  registrar.counter = Math.max(registrar.counter, counter);
  const reason = `a higher ballot was promised: ${counter} of ${candidate}`;
  return abandon(registrar, { reason, fenced: true }, now, random);
}

/** [R7] This ballot is done with. Nothing is retried under it, and what waited is given back without an outcome. */
function abandon(
  registrar: Registrar,
  { reason, fenced }: { readonly reason: string; readonly fenced: boolean },
  now: Millis,
  random: Random,
): RegistrarEffect[] {
  const { phase, waiting } = registrar;
  const inFlight = phase.state === "leading" ? (phase.store?.outcomes ?? []) : [];
  const ids = [...inFlight.map(({ id }) => id), ...waiting.map(({ id }) => id)];
  waiting.length = 0;
  registrar.phase = { state: "following" };
  registrar.retryAt = millis(now + backoffMs(random, registrar.attempts, STAND_BACKOFF));
  registrar.attempts += 1;
  return [{ type: "not-leading", reason, fenced, ids, retryAt: registrar.retryAt }];
}
