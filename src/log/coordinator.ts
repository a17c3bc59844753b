// The writer of the log, held by one instance of one candidate: stands for election under a ballot of its own, then appends
// what it is given, one write outstanding, everything that waits in the next (group commit), until anybody refuses it or
// no quorum answers. It decides what to ask of the RegistrarWorker; its owner sends the calls and feeds every answer back.
// Rules [L1] to [L3] and [L29] to [L35] of SPEC.md.
//
// It never retries a write: one without an answer may have been chosen, and only an election under a higher ballot can tell.
import { assert, unreachable } from "#base/assert.ts";
import { millis, type Millis } from "#base/time.ts";
import { type Ballot, type CandidateId, compareBallots, NO_BALLOT } from "./ballot.ts";
import type {
  AppendAnswer,
  AppendCall,
  ConfirmAnswer,
  ConfirmCall,
  ElectAnswer,
  ElectCall,
  MembershipChange,
  PrepareAnswer,
  PrepareCall,
  Refused,
  SettleAnswer,
  SettleCall,
  Unavailable,
} from "./calls.ts";
import type { ClusterId, Electorate, Entry, Membership, Position, ReplicaId } from "./entry.ts";
import { position } from "./entry.ts";
import { WRITE_ENTRIES_MAX, WRITE_LETTERS_MAX } from "./limits.ts";
import { entryLetters } from "./record.ts";
import { fittingEntries } from "./write.ts";

/**
 * After a write that carried more than one append, the next one waits while more keep coming in, at most this long, ms. Whoever
 * was answered just now comes back at once, and each message of theirs costs the object a turn: writing at the first of them
 * would make many small writes where one would do.
 */
export const GATHER_MS_MAX = 10;
/** Turns of the event loop without anything new after which nothing more is expected. */
const GATHER_IDLE_TURNS = 2;
/** With nothing more to write, the replicas hear what is chosen after this long, ms. */
export const SETTLE_IDLE_MS = 200;
/** While writes go on, the members are looked after this often, ms: it finds who has fallen behind or lost its storage. */
export const SETTLE_BUSY_MS = 1_000;
/** A leader that writes nothing but is confirmed looks after the members this often, ms. */
const LOOK_MS = 30_000;
/** Pause before a member that lost its storage is tried again, ms. */
const RESEAT_PAUSE_MS = 5_000;

/** What one caller wants appended: accepted together, in order, or not at all. */
interface Group {
  readonly id: number;
  readonly entries: readonly Entry[];
}

export type CoordinatorInput =
  /** Stand for election; without effect unless this coordinator is `initial`. `from`: first position not applied. */
  | { readonly type: "elect"; readonly from: Position }
  | { readonly type: "append"; readonly id: number; readonly entries: readonly Entry[] }
  | { readonly type: "change"; readonly id: number; readonly change: MembershipChange }
  /** Ask a quorum whether our ballot still stands. */
  | { readonly type: "confirm" }
  /** Give the ballot up, for a reason of the owner's. */
  | { readonly type: "resign"; readonly reason: string }
  /** Everything that had come in when `gather` was asked for has been given. */
  | { readonly type: "gathered" }
  /** Time has passed; see `nextWake`. */
  | { readonly type: "tick" }
  | { readonly type: "elect-answered"; readonly ballot: Ballot; readonly answer: ElectAnswer }
  | { readonly type: "append-answered"; readonly ballot: Ballot; readonly answer: AppendAnswer }
  | { readonly type: "confirm-answered"; readonly ballot: Ballot; readonly answer: ConfirmAnswer }
  | { readonly type: "settle-answered"; readonly ballot: Ballot; readonly answer: SettleAnswer | Unavailable }
  | { readonly type: "prepare-answered"; readonly ballot: Ballot; readonly answer: PrepareAnswer };

export type CoordinatorEffect =
  /** Durable before the effects that follow it leave the object. */
  | { readonly type: "store-ballot"; readonly ballot: Ballot }
  | { readonly type: "elect"; readonly call: ElectCall }
  | { readonly type: "append"; readonly call: AppendCall }
  | { readonly type: "confirm"; readonly call: ConfirmCall }
  | { readonly type: "settle"; readonly call: SettleCall }
  | { readonly type: "prepare"; readonly ballot: Ballot; readonly call: PrepareCall }
  /** Give `gathered` back after one turn of the event loop. */
  | { readonly type: "gather" }
  /** Everything below `next` is chosen, the log begins at `begin`, and appends may be given. */
  | { readonly type: "elected"; readonly begin: Position; readonly next: Position }
  /** The entries of a group are chosen, the first of them at `position`. Groups come in the order in which they were given. */
  | { readonly type: "appended"; readonly id: number; readonly position: Position; readonly entries: readonly Entry[] }
  | { readonly type: "changed"; readonly id: number; readonly outcome: ChangeOutcome }
  /** A quorum had promised nothing above our ballot at some moment after `at`: when the question was asked. */
  | { readonly type: "confirmed"; readonly at: Millis }
  /** The ballot is done with. Groups and changes `ids` may or may not be chosen: the next election tells. */
  | { readonly type: "lost"; readonly reason: string; readonly fenced: boolean; readonly ids: readonly number[] };

/** "unknown" is said by the owner, when the coordinator was lost in between: the change may or may not be chosen. */
export type ChangeOutcome =
  | { readonly type: "done"; readonly electorate: Electorate }
  | { readonly type: "unknown"; readonly reason: string }
  | { readonly type: "refused"; readonly reason: string };

interface Write {
  readonly call: AppendCall;
  readonly sentAt: Millis;
  readonly groups: readonly Group[];
}

/** A change of the membership on its way: first prepared, then an entry like any other. */
interface Change {
  /** Undefined when the coordinator began it itself, for a member that lost its storage. */
  readonly id: number | undefined;
  readonly change: MembershipChange;
  readonly prepared: Membership | undefined;
}

type Phase =
  | { readonly state: "initial" }
  | { readonly state: "electing"; readonly ballot: Ballot; readonly sentAt: Millis }
  | {
      readonly state: "elected";
      readonly ballot: Ballot;
      electorate: Electorate;
      next: Position;
      write: Write | undefined;
      /** The next write waits for more: since when, and how much there was at the last look. */
      gathering: { readonly since: Millis; readonly seen: number; readonly idleTurns: number } | undefined;
      /** When the confirm in flight was sent. */
      confirming: Millis | undefined;
      change: Change | undefined;
      /** An entry was chosen under this ballot: only then may the membership change [L30]. */
      hasChosen: boolean;
      isSettling: boolean;
      settledThrough: number;
      settleAt: Millis;
      /** Pause before the members are looked after again when somebody could not be helped. */
      restMs: number;
      /** When the members were last looked after. */
      lookedAt: Millis;
      reseatAt: Millis;
      /** The member that was tried last. */
      reseated: ReplicaId | undefined;
    };
type Elected = Extract<Phase, { state: "elected" }>;

export interface CoordinatorOptions {
  readonly candidate: CandidateId;
  /** Fresh for each instance of the object: ballots of two instances never meet. */
  readonly nonce: string;
  readonly clusterId: ClusterId;
  /** The last ballot that any instance of this candidate stored, undefined before the first. */
  readonly storedBallot?: Ballot;
  /** The newest membership that any instance of this candidate knew. */
  readonly known?: Electorate;
}

export interface Coordinator {
  readonly options: CoordinatorOptions;
  phase: Phase;
  /** Highest counter of any ballot seen, our own and others' (H5). */
  counter: number;
  /** The newest membership known: where the next election begins. */
  known: Electorate | undefined;
  readonly waiting: Group[];
}

export function createCoordinator(options: CoordinatorOptions): Coordinator {
  return {
    options,
    phase: { state: "initial" },
    counter: options.storedBallot?.counter ?? NO_BALLOT.counter,
    known: options.known,
    waiting: [],
  };
}

/** The ballot that we stand or write under, undefined while `initial`. */
export const ballotOf = ({ phase }: Coordinator): Ballot | undefined =>
  phase.state === "initial" ? undefined : phase.ballot;

/** When to give the next `tick`, undefined when none is needed. */
export function nextWake({ phase }: Coordinator): Millis | undefined {
  if (phase.state !== "elected" || phase.isSettling || phase.settledThrough >= phase.next - 1) return undefined;
  return phase.settleAt;
}

/** Takes one input, edits `coordinator`, and returns the work for its owner, in the order it must be done. */
export function coordinate(coordinator: Coordinator, input: CoordinatorInput, now: Millis): CoordinatorEffect[] {
  switch (input.type) {
    case "elect":
      return onElect(coordinator, input.from, now);
    case "append":
      return onAppend(coordinator, { id: input.id, entries: input.entries }, now);
    case "change":
      return onChange(coordinator, { id: input.id, change: input.change, prepared: undefined });
    case "confirm":
      return onConfirm(coordinator, now);
    case "resign":
      return coordinator.phase.state === "initial" ? [] : abandon(coordinator, { reason: input.reason, fenced: false });
    case "gathered":
      return onGathered(coordinator, now);
    case "tick":
      return onTick(coordinator, now);
    case "elect-answered":
      return isOurs(coordinator, input.ballot) ? onElectAnswered(coordinator, input.answer, now) : [];
    case "append-answered":
      return isOurs(coordinator, input.ballot) ? onAppendAnswered(coordinator, input.answer, now) : [];
    case "confirm-answered":
      return isOurs(coordinator, input.ballot) ? onConfirmAnswered(coordinator, input.answer, now) : [];
    case "settle-answered":
      return isOurs(coordinator, input.ballot) ? onSettleAnswered(coordinator, input.answer, now) : [];
    case "prepare-answered":
      return isOurs(coordinator, input.ballot) ? onPrepareAnswered(coordinator, input.answer, now) : [];
    default:
      return unreachable(input);
  }
}

/** [L32] Answers to another ballot than the present one are nobody's. */
function isOurs(coordinator: Coordinator, ballot: Ballot): boolean {
  const ours = ballotOf(coordinator);
  return ours !== undefined && compareBallots(ours, ballot) === 0;
}

function onElect(coordinator: Coordinator, from: Position, now: Millis): CoordinatorEffect[] {
  if (coordinator.phase.state !== "initial") return [];
  const { candidate, nonce, clusterId } = coordinator.options;
  coordinator.counter += 1;
  const ballot: Ballot = { counter: coordinator.counter, candidate, nonce };
  coordinator.phase = { state: "electing", ballot, sentAt: now };
  return [
    { type: "store-ballot", ballot },
    { type: "elect", call: { clusterId, ballot, from, known: coordinator.known } },
  ];
}

function onElectAnswered(coordinator: Coordinator, answer: ElectAnswer, now: Millis): CoordinatorEffect[] {
  const { phase } = coordinator;
  if (phase.state !== "electing") return [];
  if (answer.type !== "elected") return stepDown(coordinator, answer);
  const { electorate, begin, next } = answer;
  coordinator.known = electorate;
  coordinator.phase = {
    state: "elected",
    ballot: phase.ballot,
    electorate,
    next,
    write: undefined,
    gathering: undefined,
    confirming: undefined,
    change: undefined,
    hasChosen: false,
    isSettling: false,
    settledThrough: 0,
    settleAt: now,
    restMs: SETTLE_BUSY_MS,
    lookedAt: now,
    reseatAt: millis(0),
    reseated: undefined,
  };
  return [
    { type: "elected", begin, next },
    { type: "confirmed", at: phase.sentAt },
    ...writeNext(coordinator, coordinator.phase, now),
  ];
}

function onAppend(coordinator: Coordinator, group: Group, now: Millis): CoordinatorEffect[] {
  assert(
    group.entries.length > 0 && fittingEntries(group.entries) === group.entries.length,
    "a group of entries fits one write",
  );
  const { phase } = coordinator;
  if (phase.state === "initial") {
    return [{ type: "lost", reason: "this candidate does not lead", fenced: false, ids: [group.id] }];
  }
  coordinator.waiting.push(group);
  return phase.state === "elected" && phase.gathering === undefined ? writeNext(coordinator, phase, now) : [];
}

/** [L29] Nothing came in during a whole turn, or it is time: what waits is written. */
function onGathered(coordinator: Coordinator, now: Millis): CoordinatorEffect[] {
  const { phase, waiting } = coordinator;
  if (phase.state !== "elected" || phase.gathering === undefined) return [];
  const { since, seen } = phase.gathering;
  const idleTurns = waiting.length > seen ? 0 : phase.gathering.idleTurns + 1;
  const isFull = waiting.length >= WRITE_ENTRIES_MAX;
  if (idleTurns < GATHER_IDLE_TURNS && !isFull && now < since + GATHER_MS_MAX) {
    phase.gathering = { since, seen: waiting.length, idleTurns };
    return [{ type: "gather" }];
  }
  phase.gathering = undefined;
  return writeNext(coordinator, phase, now);
}

/** [L29] [L31] Everything that waits becomes the next write, once none is outstanding. A prepared change goes alone. */
function writeNext(coordinator: Coordinator, phase: Elected, now: Millis): CoordinatorEffect[] {
  if (phase.write !== undefined) return [];
  const { change } = phase;
  if (change?.prepared !== undefined) {
    // [L30] The last change is chosen, or this leader would not know it; that this leader still leads, its own entry shows.
    const entry: Entry = phase.hasChosen ? { type: "membership", membership: change.prepared } : { type: "nop" };
    return write(coordinator, phase, { entries: [entry], groups: [] }, now);
  }
  if (coordinator.waiting.length === 0) return [];
  return write(coordinator, phase, takeGroups(coordinator.waiting), now);
}

function takeGroups(waiting: Group[]): { readonly entries: readonly Entry[]; readonly groups: readonly Group[] } {
  const entries: Entry[] = [];
  let letters = 0;
  let taken = 0;
  for (const group of waiting) {
    for (const entry of group.entries) letters += entryLetters(entry);
    const isOver = entries.length + group.entries.length > WRITE_ENTRIES_MAX || letters > WRITE_LETTERS_MAX;
    if (taken > 0 && isOver) break;
    entries.push(...group.entries);
    taken += 1;
  }
  return { entries, groups: waiting.splice(0, taken) };
}

function write(
  coordinator: Coordinator,
  phase: Elected,
  { entries, groups }: { readonly entries: readonly Entry[]; readonly groups: readonly Group[] },
  now: Millis,
): CoordinatorEffect[] {
  const { clusterId } = coordinator.options;
  const { ballot, electorate, next } = phase;
  const call: AppendCall = { clusterId, ballot, electorate, position: next, entries };
  phase.write = { call, sentAt: now, groups };
  return [{ type: "append", call }];
}

function onAppendAnswered(coordinator: Coordinator, answer: AppendAnswer, now: Millis): CoordinatorEffect[] {
  const { phase } = coordinator;
  if (phase.state !== "elected" || phase.write === undefined) return [];
  if (answer.type !== "appended") return stepDown(coordinator, answer);
  const { call, sentAt, groups } = phase.write;
  const effects: CoordinatorEffect[] = [{ type: "confirmed", at: sentAt }]; // a quorum accepted under our ballot
  let at: number = call.position;
  for (const { id, entries } of groups) {
    effects.push({ type: "appended", id, position: position(at), entries });
    at += entries.length;
  }
  phase.write = undefined;
  phase.hasChosen = true;
  phase.next = position(call.position + call.entries.length);
  if (answer.electorate.position !== phase.electorate.position) {
    phase.electorate = answer.electorate;
    coordinator.known = answer.electorate;
    const id = phase.change?.id;
    phase.change = undefined;
    if (id !== undefined)
      effects.push({ type: "changed", id, outcome: { type: "done", electorate: answer.electorate } });
  }
  const isBusy = groups.length > 1 && phase.change?.prepared === undefined;
  if (isBusy) {
    phase.gathering = { since: now, seen: coordinator.waiting.length, idleTurns: 0 };
    effects.push({ type: "gather" });
  } else effects.push(...writeNext(coordinator, phase, now));
  if (!phase.isSettling) {
    // Soon, when nothing more comes; and at the latest a second after the members were last looked after, whatever comes.
    phase.settleAt = millis(Math.min(now + SETTLE_IDLE_MS, Math.max(now, phase.lookedAt + SETTLE_BUSY_MS)));
    if (phase.settleAt <= now) effects.push(...settleNow(coordinator, phase, now));
  }
  return effects;
}

function onConfirm(coordinator: Coordinator, now: Millis): CoordinatorEffect[] {
  const { phase } = coordinator;
  if (phase.state !== "elected" || phase.confirming !== undefined) return [];
  phase.confirming = now;
  const { ballot, electorate } = phase;
  return [{ type: "confirm", call: { clusterId: coordinator.options.clusterId, ballot, electorate } }];
}

function onConfirmAnswered(coordinator: Coordinator, answer: ConfirmAnswer, now: Millis): CoordinatorEffect[] {
  const { phase } = coordinator;
  if (phase.state !== "elected" || phase.confirming === undefined) return [];
  if (answer.type !== "confirmed") return stepDown(coordinator, answer);
  const at = phase.confirming;
  phase.confirming = undefined;
  const isDue = !phase.isSettling && now >= phase.lookedAt + LOOK_MS;
  return [{ type: "confirmed", at }, ...(isDue ? settleNow(coordinator, phase, now) : [])];
}

function onTick(coordinator: Coordinator, now: Millis): CoordinatorEffect[] {
  const { phase } = coordinator;
  const wake = nextWake(coordinator);
  if (phase.state !== "elected" || wake === undefined || now < wake) return [];
  return settleNow(coordinator, phase, now);
}

function settleNow(coordinator: Coordinator, phase: Elected, now: Millis): CoordinatorEffect[] {
  const { ballot, electorate, next } = phase;
  const through = position(next - 1);
  phase.isSettling = true;
  phase.settledThrough = through;
  phase.lookedAt = now;
  return [{ type: "settle", call: { clusterId: coordinator.options.clusterId, ballot, electorate, through } }];
}

function onSettleAnswered(
  coordinator: Coordinator,
  answer: SettleAnswer | Unavailable,
  now: Millis,
): CoordinatorEffect[] {
  const { phase } = coordinator;
  if (phase.state !== "elected") return [];
  phase.isSettling = false;
  // Somebody is still behind: look again, even if nothing is written. But one that never moves is not worth an object that never sleeps.
  const isWell =
    answer.type === "settled" && (answer.behind.length === 0 || answer.hasMoved) && answer.unseated.length === 0;
  if (isWell) phase.restMs = SETTLE_BUSY_MS;
  phase.settleAt = millis(now + phase.restMs);
  const isSettled = answer.type === "settled" && answer.behind.length === 0 && answer.unseated.length === 0;
  if (!isSettled && phase.restMs < LOOK_MS) phase.settledThrough = 0;
  const pauseMs = phase.restMs;
  if (!isWell) phase.restMs = Math.min(2 * phase.restMs, LOOK_MS);
  if (answer.type === "unavailable") return [];
  if (answer.isUndecided) {
    // A replica that had learned it helped to elect us and is gone. It is safe with the others, under ballots that differ.
    return abandon(coordinator, { reason: "entries that were chosen cannot be shown: electing again", fenced: false });
  }
  // In turn: one that can never be prepared does not keep another from its seat.
  const after = answer.unseated.indexOf(phase.reseated ?? ("" as ReplicaId)) + 1;
  const lost = answer.unseated[after % Math.max(1, answer.unseated.length)];
  if (lost === undefined) return [];
  phase.settleAt = millis(now + Math.max(pauseMs, RESEAT_PAUSE_MS));
  if (phase.change !== undefined || now < phase.reseatAt) return [];
  // [L27] Its storage is new: it comes back as another voter, by an entry of the log.
  phase.reseatAt = millis(now + RESEAT_PAUSE_MS);
  phase.reseated = lost;
  return onChange(coordinator, {
    id: undefined,
    change: { type: "replace", replica: lost, by: lost },
    prepared: undefined,
  });
}

function onChange(coordinator: Coordinator, change: Change): CoordinatorEffect[] {
  const { phase } = coordinator;
  const { id } = change;
  const refuse = (reason: string): CoordinatorEffect[] =>
    id === undefined ? [] : [{ type: "changed", id, outcome: { type: "refused", reason } }];
  if (phase.state !== "elected") return refuse("this candidate does not lead");
  if (phase.change !== undefined) {
    const { type, replica } = phase.change.change;
    return refuse(`another change is under way: ${type} ${replica}; one replica at a time`);
  }
  phase.change = change;
  return prepareNow(coordinator, phase, change);
}

const prepareNow = (
  { options: { clusterId } }: Coordinator,
  { ballot, electorate }: Elected,
  { change }: Change,
): CoordinatorEffect[] => [{ type: "prepare", ballot, call: { clusterId, electorate, change } }];

function onPrepareAnswered(coordinator: Coordinator, answer: PrepareAnswer, now: Millis): CoordinatorEffect[] {
  const { phase } = coordinator;
  if (phase.state !== "elected" || phase.change === undefined || phase.change.prepared !== undefined) return [];
  switch (answer.type) {
    case "prepared":
      phase.change = { ...phase.change, prepared: answer.membership };
      return phase.gathering === undefined ? writeNext(coordinator, phase, now) : [];
    case "preparing":
      return prepareNow(coordinator, phase, phase.change);
    case "refused-change":
    case "unavailable": {
      const { id } = phase.change;
      phase.change = undefined;
      return id === undefined ? [] : [{ type: "changed", id, outcome: { type: "refused", reason: answer.reason } }];
    }
    default:
      return unreachable(answer);
  }
}

function stepDown(coordinator: Coordinator, failure: Refused | Unavailable): CoordinatorEffect[] {
  if (failure.type === "unavailable") {
    return abandon(coordinator, { reason: `no quorum: ${failure.reason}`, fenced: false });
  }
  const { counter, candidate } = failure.promised;
  coordinator.counter = Math.max(coordinator.counter, counter);
  return abandon(coordinator, { reason: `a higher ballot was promised: ${counter} of ${candidate}`, fenced: true });
}

/** [L3] This ballot is done with. Nothing is retried under it, and what waited is given back without an outcome. */
function abandon(
  coordinator: Coordinator,
  { reason, fenced }: { readonly reason: string; readonly fenced: boolean },
): CoordinatorEffect[] {
  const { phase, waiting } = coordinator;
  const ids: number[] = [];
  if (phase.state === "elected") {
    for (const { id } of phase.write?.groups ?? []) ids.push(id);
    if (phase.change?.id !== undefined) ids.push(phase.change.id);
  }
  for (const { id } of waiting) ids.push(id);
  waiting.length = 0;
  coordinator.phase = { state: "initial" };
  return [{ type: "lost", reason, fenced, ids }];
}
