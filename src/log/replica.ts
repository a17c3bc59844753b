// One replica: the acceptor and learner of Multi-Paxos. It decides what a message changes, what must be durable first,
// and what to answer; the shell stores and sends. It starts nothing by itself: elections, catch-up and the bootstrap
// are driven from outside (elect.ts, catch-up.ts, bootstrap.ts). Rules [L4] to [L14] and [L20] to [L27] of SPEC.md.
//
// Simpler than Mesos in one respect: a single promise covers all positions, and an accepted write raises it, so that
// no record carries a promise of its own.
import { assert, unreachable } from "#base/assert.ts";
import { type Ballot, compareBallots, NO_BALLOT } from "./ballot.ts";
import type { ClusterId, Electorate, Entry, Incarnation, Position } from "./entry.ts";
import { FIRST_POSITION, position, seatOf } from "./entry.ts";
import { Learner, readPage, type Unsound } from "./learner.ts";
import { BALLOT_JUMP_MAX, PAGE_ENTRIES_MAX, PAGE_LETTERS_MAX } from "./limits.ts";
import type {
  BootstrapStartMessage,
  BootstrapVoteMessage,
  CatchUpMessage,
  ConfirmMessage,
  EnlistMessage,
  LearnMessage,
  PromiseMessage,
  ReadMessage,
  ReplicaAnswer,
  ReplicaMessage,
  ReplicaStatus,
  Standing,
  WriteMessage,
} from "./messages.ts";
import { isSameEntry, type LogRecord } from "./record.ts";
import { emptyMetadata, type LogReader, type LogStorage, type Metadata, type Persist, type Range } from "./storage.ts";

/** Consecutive positions that were accepted under one ballot and hold nothing that a learner must look at. */
interface PlainRun {
  readonly ballot: Ballot;
  readonly from: Position;
  readonly to: Position;
}

export interface ReplicaState extends Metadata {
  /** What was accepted last, so that the notice about it needs no reading. Only a cache. */
  readonly recent: PlainRun | undefined;
  /** Highest position with a record, or below which everything is learned; 0 when there is none. */
  readonly end: Position;
}

export interface ReplicaStep {
  readonly state: ReplicaState;
  /** Durable, in one transaction, before the answer leaves. */
  readonly effects: readonly Persist[];
  readonly answer: ReplicaAnswer;
}

/** What a step reads besides its state: the stored log, and the name of another life, should this one lose a vote. */
export interface ReplicaSurroundings {
  readonly reader: LogReader;
  readonly newIncarnation: () => Incarnation;
}

/**
 * Opens a storage; what it must keep is stored before this returns. New storage, and one whose metadata cannot be trusted,
 * begins another life: EMPTY, without a seat, because it may have forgotten promises.
 */
export function openReplica(storage: LogStorage, newIncarnation: () => Incarnation): ReplicaState {
  const loaded = storage.load();
  if (loaded.type === "metadata") return stateOf(loaded.metadata, storage);
  const metadata = emptyMetadata(newIncarnation());
  storage.persist([
    { type: "drop-from", from: FIRST_POSITION },
    { type: "persist-metadata", metadata },
  ]);
  return stateOf(metadata, storage);
}

const stateOf = (metadata: Metadata, reader: LogReader): ReplicaState => ({
  ...metadata,
  recent: undefined,
  end: position(Math.max(reader.end(), metadata.missingFrom - 1)),
});

export function statusOf(state: Metadata): ReplicaStatus {
  if (state.clusterId === undefined) return "empty";
  if (state.started !== undefined) return "starting";
  return hasSeat(state) && state.damaged === undefined ? "voting" : "recovering";
}

/** Whether the newest membership known here names this very life of the storage. */
export function hasSeat({ replicaId, electorate, incarnation }: Metadata): boolean {
  if (replicaId === undefined || electorate === undefined) return false;
  return seatOf(electorate.membership, replicaId)?.incarnation === incarnation;
}

export function step(state: ReplicaState, message: ReplicaMessage, surroundings: ReplicaSurroundings): ReplicaStep {
  switch (message.type) {
    case "status":
      return answered(state, { type: "status", standing: standingOf(state) });
    case "enlist":
      return onEnlist(state, message);
    case "bootstrap-start":
      return onBootstrapStart(state, message);
    case "bootstrap-vote":
      return onBootstrapVote(state, message);
    case "learn":
      return ofCluster(state, message) ?? onLearn(state, message, surroundings);
    case "catch-up":
      return ofCluster(state, message) ?? onCatchUp(state, message, surroundings);
    case "read":
      return ofCluster(state, message) ?? onRead(state, message, surroundings);
    case "promise":
      return ofCluster(state, message) ?? entitled(state, message) ?? onPromise(state, message, surroundings);
    case "confirm":
      return ofCluster(state, message) ?? entitled(state, message) ?? onConfirm(state, message);
    case "write":
      return ofCluster(state, message) ?? onWrite(state, message, surroundings);
    default:
      return unreachable(message);
  }
}

export function invalid(state: ReplicaState, reason: string): ReplicaAnswer {
  return { type: "invalid", standing: standingOf(state), reason };
}

/** Refuses another cluster's messages; undefined when the message may go on. */
function ofCluster(state: ReplicaState, { clusterId }: { readonly clusterId: ClusterId }): ReplicaStep | undefined {
  if (state.clusterId === undefined) return ignored(state, "empty: it belongs to no cluster");
  if (clusterId !== state.clusterId) return answered(state, { type: "foreign-cluster", standing: standingOf(state) });
  return undefined;
}

/**
 * [L23] A vote goes by one membership, known to both sides. A sender that goes by an older one could count a quorum that
 * no longer is one; a replica that has not learned the sender's may lack entries that were chosen below it.
 */
function entitled(
  state: ReplicaState,
  { membershipPosition, ballot }: { readonly membershipPosition: Position; readonly ballot: Ballot },
): ReplicaStep | undefined {
  const status = statusOf(state);
  if (ballot.counter > state.promised.counter + BALLOT_JUMP_MAX) {
    // [L37] Nobody comes to it by elections, and once promised it would leave the candidates no number above it.
    return answered(
      state,
      invalid(state, `ballot ${ballot.counter} is from the future: ${state.promised.counter} is promised`),
    );
  }
  if (status === "recovering" || status === "voting") {
    // One that has just taken its name has learned none.
    const learnedPosition = state.electorate?.position ?? 0;
    if (membershipPosition < learnedPosition) {
      return answered(state, { type: "stale-membership", standing: standingOf(state) });
    }
    if (membershipPosition > learnedPosition) return answered(state, { type: "behind", standing: standingOf(state) });
  }
  if (status === "voting") return undefined;
  const isUnseated = status === "recovering" && !hasSeat(state);
  return ignored(state, `${status}: ${isUnseated ? "it has no seat in the membership" : "it does not vote"}`);
}

function onPromise(state: ReplicaState, { ballot, from }: PromiseMessage, around: ReplicaSurroundings): ReplicaStep {
  if (compareBallots(ballot, state.promised) < 0) return refused(state, state.promised);
  const first = position(Math.max(from, state.missingFrom));
  const read = readPage(state, around.reader, first, { entriesMax: PAGE_ENTRIES_MAX, lettersMax: PAGE_LETTERS_MAX });
  if (read.type !== "page") return onUnsound(state, read, around);
  return changed(state, { promised: ballot }, [], (next) => ({
    type: "promised",
    standing: standingOf(next),
    page: { records: read.records, next: read.next },
  }));
}

function onWrite(state: ReplicaState, message: WriteMessage, around: ReplicaSurroundings): ReplicaStep {
  const { ballot, entries, chosenThrough } = message;
  const learnedNow = chosenThrough === undefined ? NOTHING : learnable(state, ballot, chosenThrough, around);
  if (learnedNow.type !== "learnable") return onUnsound(state, learnedNow, around);
  // A notice is a fact whatever becomes of the write. It may teach the very membership that the write goes by.
  const before = state;
  const taught: ReplicaState = { ...state, ...learnedNow.change };
  const no =
    entitled(taught, message) ??
    (compareBallots(ballot, taught.promised) < 0 ? refused(taught, taught.promised) : undefined);
  if (no !== undefined) return changed(before, learnedNow.change, learnedNow.effects, () => no.answer);

  const stored = new Map<number, LogRecord>();
  if (message.position <= taught.end) {
    const last = position(message.position + entries.length - 1);
    const bounds = { to: last, entriesMax: entries.length, lettersMax: Infinity };
    const read = readPage(taught, around.reader, position(Math.max(message.position, taught.begin)), bounds);
    if (read.type !== "page") return onUnsound(state, read, around);
    for (const record of read.records) stored.set(record.position, record);
  }
  const records: LogRecord[] = [];
  let at: number = message.position;
  for (const entry of entries) {
    const record = stored.get(at);
    if (at < taught.missingFrom) {
      if (record === undefined) return changed(before, learnedNow.change, learnedNow.effects, isTruncated);
      // Catch-up can bring a value that was chosen under a ballot we never promised; its stale rival ends here.
      const same = isSameEntry(record.entry, entry);
      if (!same && compareBallots(ballot, record.performed) < 0) return refusedAs(before, learnedNow, record.performed);
      assert(same, "a learned value is never written over");
    } else if (record === undefined) {
      records.push({ position: position(at), performed: ballot, entry });
    } else {
      const order = compareBallots(record.performed, ballot);
      // What catch-up brought may be above our promise: the same stale rival.
      if (order > 0) return refusedAs(before, learnedNow, record.performed);
      assert(
        order < 0 || (order === 0 && isSameEntry(record.entry, entry)),
        "one ballot writes one value at a position",
      );
      if (order < 0) records.push({ position: position(at), performed: ballot, entry });
    }
    at += 1;
  }
  // [L6] The write raises the promise. Mesos' does not (H1): X promised by B and C; Y promised by A and B writes to A and
  // C, so it is chosen; then X's older write, still in flight to C, would replace it there.
  const effects: Persist[] = [...learnedNow.effects];
  if (records.length > 0) effects.push({ type: "persist-records", records, missingFrom: taught.missingFrom });
  const accepted = changed(before, { ...learnedNow.change, promised: ballot }, effects, (next) => ({
    type: "accepted",
    standing: standingOf(next),
  }));
  if (records.length === 0) return accepted;
  return { ...accepted, state: { ...accepted.state, recent: plainRun(state.recent, ballot, records) } };
}

/** The run that new records make, or lengthen. */
function plainRun(recent: PlainRun | undefined, ballot: Ballot, records: readonly LogRecord[]): PlainRun | undefined {
  const [first] = records;
  const last = records.at(-1);
  if (first === undefined || last === undefined || last.position - first.position + 1 !== records.length)
    return undefined;
  if (!records.every(({ entry }) => entry.type === "append" || entry.type === "nop")) return undefined;
  const goesOn =
    recent !== undefined && recent.to === first.position - 1 && compareBallots(recent.ballot, ballot) === 0;
  return { ballot, from: goesOn ? recent.from : first.position, to: last.position };
}

function onLearn(state: ReplicaState, { ballot, through }: LearnMessage, around: ReplicaSurroundings): ReplicaStep {
  const found = learnable(state, ballot, through, around);
  if (found.type !== "learnable") return onUnsound(state, found, around);
  return changed(state, found.change, found.effects, learned);
}

type Learnable =
  | { readonly type: "learnable"; readonly change: Partial<Metadata>; readonly effects: readonly Persist[] }
  | Unsound;
const NOTHING: Learnable & { readonly type: "learnable" } = { type: "learnable", change: {}, effects: [] };

/** [L9] What a commit notice teaches: records that were performed under exactly its ballot, up to a gap or another one. */
function learnable(state: ReplicaState, ballot: Ballot, through: Position, around: ReplicaSurroundings): Learnable {
  // While a learned record is damaged, repair comes first.
  if (state.damaged !== undefined || state.missingFrom > Math.min(through, state.end)) return NOTHING;
  const learner = new Learner(state, around.reader);
  const { recent } = state;
  if (recent !== undefined && recent.from <= learner.missingFrom && compareBallots(recent.ballot, ballot) === 0) {
    learner.missingFrom = position(Math.max(learner.missingFrom, Math.min(through, recent.to) + 1));
  }
  for (;;) {
    const from = learner.missingFrom;
    if (from > through) break;
    const bounds = { to: through, entriesMax: PAGE_ENTRIES_MAX, lettersMax: PAGE_LETTERS_MAX };
    const read = around.reader.page(position(from), bounds);
    if (read.type !== "page") return read;
    for (const record of read.records) {
      if (record.position !== learner.missingFrom || compareBallots(record.performed, ballot) !== 0) break;
      learner.learn(record.position, record.entry);
      if (learner.unsound !== undefined) return learner.unsound;
    }
    if (learner.missingFrom === from) break;
  }
  return { type: "learnable", change: learner.change(), effects: learner.effects() };
}

function onCatchUp(
  state: ReplicaState,
  { tombstone, records }: CatchUpMessage,
  around: ReplicaSurroundings,
): ReplicaStep {
  if (state.started !== undefined) return ignored(state, "starting: the bootstrap is not over");
  if (state.damaged !== undefined) return onRepair(state, state.damaged, { tombstone, records }, around);
  const learner = new Learner(state, around.reader);
  if (tombstone !== undefined) learner.jump(tombstone);
  const taken: LogRecord[] = [];
  for (const record of records) {
    if (record.position < learner.missingFrom) continue;
    if (record.position > learner.missingFrom) break;
    learner.learn(record.position, record.entry);
    if (learner.unsound !== undefined) return onUnsound(state, learner.unsound, around);
    taken.push(record);
  }
  const effects: Persist[] = [];
  if (taken.length > 0) effects.push({ type: "persist-records", records: taken, missingFrom: state.missingFrom });
  effects.push(...learner.effects());
  const change = learner.change();
  const { electorate } = change;
  if (electorate === undefined) return changed(state, change, effects, learned);
  // [L26] Whoever takes a seat stands where the seat's entry stands: it promises at least the ballot that chose it.
  const seatedBy = hasSeat({ ...state, electorate })
    ? taken.find((record) => record.position === electorate.position)?.performed
    : undefined;
  const promised = seatedBy !== undefined && compareBallots(seatedBy, state.promised) > 0 ? seatedBy : state.promised;
  return changed(state, { ...change, promised }, effects, learned);
}

/** [L12] Chosen records in place of damaged ones, or their end. Nothing else was forgotten, so the replica keeps its seat. */
function onRepair(
  state: ReplicaState,
  damaged: Range,
  { tombstone, records }: Pick<CatchUpMessage, "tombstone" | "records">,
  around: ReplicaSurroundings,
): ReplicaStep {
  const learner = new Learner(state, around.reader);
  if (tombstone !== undefined) learner.jump(tombstone);
  const change = learner.change();
  let from: number = Math.max(damaged.from, change.begin);
  const taken: LogRecord[] = [];
  for (const record of records) {
    if (record.position !== from || from > damaged.to) continue;
    taken.push(record);
    from += 1;
  }
  const effects: Persist[] =
    taken.length === 0 ? [] : [{ type: "persist-records", records: taken, missingFrom: state.missingFrom }];
  effects.push(...learner.effects());
  const left = from > damaged.to ? undefined : { from: position(from), to: damaged.to };
  return changed(state, { ...change, damaged: left }, effects, learned);
}

/**
 * Confirms that no higher ballot was promised here. A replica that never heard of the ballot promises it now: that is
 * always safe, and a leader then survives a change in which minority of its replicas is away.
 */
function onConfirm(state: ReplicaState, { ballot }: ConfirmMessage): ReplicaStep {
  if (compareBallots(ballot, state.promised) < 0) return refused(state, state.promised);
  return changed(state, { promised: ballot }, [], (next) => ({ type: "confirmed", standing: standingOf(next) }));
}

function onRead(state: ReplicaState, { from, to, entriesMax }: ReadMessage, around: ReplicaSurroundings): ReplicaStep {
  const bounds = { entriesMax, lettersMax: PAGE_LETTERS_MAX };
  const first = position(Math.max(from, state.begin));
  let read = readPage(state, around.reader, first, to === undefined ? bounds : { ...bounds, to });
  let after: Pick<ReplicaStep, "state" | "effects"> = { state, effects: [] };
  if (read.type !== "page") {
    // What stands before the damage is sound, and may be what another replica needs for its own repair.
    const damaged = onUnsound(state, read, around);
    const unsoundFrom = read.type === "corrupt" ? read.range.from : read.position;
    if (unsoundFrom <= first) return damaged;
    read = readPage(state, around.reader, first, { ...bounds, to: position(unsoundFrom - 1) });
    if (read.type !== "page") return damaged;
    after = damaged;
    read = { ...read, next: read.next ?? unsoundFrom };
  }
  const { begin, electorateAtBegin } = state;
  const tombstone =
    from < begin && electorateAtBegin !== undefined ? { begin, electorate: electorateAtBegin } : undefined;
  const page = { records: read.records, next: read.next };
  return { ...after, answer: { type: "page", standing: standingOf(after.state), page, tombstone } };
}

function onEnlist(state: ReplicaState, { clusterId, replicaId }: EnlistMessage): ReplicaStep {
  if (state.clusterId === undefined) {
    return changed(state, { clusterId, replicaId }, [], (next) => ({ type: "enlisted", standing: standingOf(next) }));
  }
  if (clusterId !== state.clusterId) return answered(state, { type: "foreign-cluster", standing: standingOf(state) });
  if (state.replicaId !== replicaId) return ignored(state, `it is ${state.replicaId ?? "nobody"}, not ${replicaId}`);
  return answered(state, { type: "enlisted", standing: standingOf(state) });
}

function onBootstrapStart(state: ReplicaState, message: BootstrapStartMessage): ReplicaStep {
  const { clusterId, replicaId, membership } = message;
  if (state.clusterId !== undefined && state.clusterId !== clusterId) {
    return answered(state, { type: "foreign-cluster", standing: standingOf(state) });
  }
  const status = statusOf(state);
  switch (status) {
    case "empty":
      if (state.end > 0) return ignored(state, "empty: but it holds records");
      if (seatOf(membership, replicaId)?.incarnation !== state.incarnation) {
        return ignored(state, "empty: the membership has no seat for it");
      }
      return changed(state, { started: membership, clusterId, replicaId }, [], bootstrapped);
    case "starting":
      // The same set again is a retry; another set is another bootstrap that uses the same id.
      if (state.started === undefined || !isSameEntry(membershipEntry(state.started), membershipEntry(membership))) {
        return ignored(state, "starting: with another membership");
      }
      return answered(state, bootstrapped(state));
    case "recovering":
    case "voting":
      return ignored(state, `${status}: it was bootstrapped before`);
    default:
      return unreachable(status);
  }
}

function onBootstrapVote(state: ReplicaState, { clusterId }: BootstrapVoteMessage): ReplicaStep {
  if (state.clusterId !== undefined && state.clusterId !== clusterId) {
    return answered(state, { type: "foreign-cluster", standing: standingOf(state) });
  }
  const status = statusOf(state);
  if (status === "voting") return answered(state, bootstrapped(state));
  const { started } = state;
  if (started === undefined) return ignored(state, `${status}: it did not start`);
  // Position 1 is the same at every replica and learned from the beginning, so no election ever has to decide it.
  const record: LogRecord = { position: FIRST_POSITION, performed: NO_BALLOT, entry: membershipEntry(started) };
  const electorate = { membership: started, position: FIRST_POSITION };
  const change = { started: undefined, electorate, missingFrom: position(FIRST_POSITION + 1) };
  return changed(
    state,
    change,
    [{ type: "persist-records", records: [record], missingFrom: change.missingFrom }],
    bootstrapped,
  );
}

function onUnsound(state: ReplicaState, unsound: Unsound, around: ReplicaSurroundings): ReplicaStep {
  if (unsound.type === "corrupt") return onDamage(state, unsound.range, around);
  return ignored(state, `the entry at ${unsound.position} is of a newer release: upgrade this one`);
}

/**
 * [L12] A damaged record is no record, and nothing is answered from it. A learned one can be had again from the others,
 * and until then the replica does not vote. One that was only accepted was a vote, and it is lost: this life of the
 * storage has no seat any more, and the replica comes back as another voter.
 */
function onDamage(state: ReplicaState, range: Range, { newIncarnation }: ReplicaSurroundings): ReplicaStep {
  const why = `recovering: the record at ${range.from} is damaged`;
  const answer = (next: ReplicaState): ReplicaAnswer => ({ type: "ignored", standing: standingOf(next), reason: why });
  const learnedTo = Math.min(range.to, state.missingFrom - 1);
  const damaged =
    range.from < state.missingFrom
      ? {
          from: position(Math.min(range.from, state.damaged?.from ?? range.from)),
          to: position(Math.max(learnedTo, state.damaged?.to ?? learnedTo)),
        }
      : state.damaged;
  if (range.to < state.missingFrom) return changed(state, { damaged }, [], answer);
  const change = { damaged, incarnation: newIncarnation() };
  return changed({ ...state, recent: undefined }, change, [{ type: "drop-from", from: state.missingFrom }], answer);
}

/** A write this late was answered long ago: its sender waits for nothing. */
const isTruncated = (next: ReplicaState): ReplicaAnswer => ({
  type: "ignored",
  standing: standingOf(next),
  reason: "the position is truncated away",
});
const membershipEntry = (membership: Electorate["membership"]): Entry => ({ type: "membership", membership });
const learned = (next: ReplicaState): ReplicaAnswer => ({ type: "learned", standing: standingOf(next) });
const bootstrapped = (next: ReplicaState): ReplicaAnswer => ({ type: "bootstrapped", standing: standingOf(next) });

function answered(state: ReplicaState, answer: ReplicaAnswer): ReplicaStep {
  return { state, effects: [], answer };
}

const refused = (state: ReplicaState, promised: Ballot): ReplicaStep =>
  answered(state, { type: "refused", standing: standingOf(state), promised });

/** Refuses a write, but keeps what its notice taught. */
const refusedAs = (
  before: ReplicaState,
  { change, effects }: Learnable & { readonly type: "learnable" },
  promised: Ballot,
): ReplicaStep =>
  changed(before, change, effects, (next) => ({ type: "refused", standing: standingOf(next), promised }));

const ignored = (state: ReplicaState, reason: string): ReplicaStep =>
  answered(state, { type: "ignored", standing: standingOf(state), reason });

/** The next state with what of it must be stored; the metadata row is written only when it differs. */
function changed(
  state: ReplicaState,
  change: Partial<Metadata>,
  effects: readonly Persist[],
  answerOf: (next: ReplicaState) => ReplicaAnswer,
): ReplicaStep {
  const metadata: ReplicaState = { ...state, ...change };
  const next: ReplicaState = { ...metadata, end: position(endAfter(state, metadata, effects)) };
  assert(compareBallots(next.promised, state.promised) >= 0, "a promise never goes down");
  assert(next.begin <= next.missingFrom, "what is truncated was learned, or is nobody's to learn");
  const withRecords = effects.some(({ type }) => type === "persist-records");
  const all: Persist[] = effects.map((effect) =>
    effect.type === "persist-records" ? { ...effect, missingFrom: next.missingFrom } : effect,
  );
  if (isMetadataChanged(state, next, { withRecords })) {
    all.push({ type: "persist-metadata", metadata: metadataOf(next) });
  }
  return { state: next, effects: all, answer: answerOf(next) };
}

function endAfter(before: ReplicaState, after: Metadata, effects: readonly Persist[]): number {
  let end: number = Math.max(before.end, after.missingFrom - 1);
  for (const effect of effects) {
    if (effect.type === "persist-records") end = Math.max(end, effect.records.at(-1)?.position ?? 0);
    if (effect.type === "drop-from") end = after.missingFrom - 1;
  }
  return end;
}

/** A watermark that moved is stored with the records of its step, if there are any. */
function isMetadataChanged(
  before: Metadata,
  after: Metadata,
  { withRecords }: { readonly withRecords: boolean },
): boolean {
  return (
    before.incarnation !== after.incarnation ||
    before.clusterId !== after.clusterId ||
    before.replicaId !== after.replicaId ||
    before.started !== after.started ||
    before.electorate !== after.electorate ||
    before.begin !== after.begin ||
    before.electorateAtBegin !== after.electorateAtBegin ||
    (before.missingFrom !== after.missingFrom && !withRecords) ||
    before.damaged !== after.damaged ||
    compareBallots(before.promised, after.promised) !== 0
  );
}

function metadataOf(state: ReplicaState): Metadata {
  const { end: _, recent: __, ...metadata } = state;
  return metadata;
}

function standingOf(state: ReplicaState): Standing {
  const { incarnation, clusterId, electorate, promised, begin, end, missingFrom, damaged } = state;
  return {
    status: statusOf(state),
    incarnation,
    clusterId,
    electorate,
    promised,
    begin,
    end,
    missingFrom,
    damaged,
  };
}
