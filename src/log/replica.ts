// One replica: the acceptor and learner of Multi-Paxos. It decides what a message changes, what must be durable first,
// and what to answer; the shell stores and sends. It starts nothing by itself: elections, catch-up and the bootstrap
// are driven from outside (elect.ts, learn.ts, bootstrap.ts). Rules [L4] to [L14] and [L20] to [L22] of SPEC.md.
//
// Simpler than Mesos in one respect: a single promise covers all positions, and an accepted write raises it, so that
// no record carries a promise of its own.
import { assert, unreachable } from "#base/assert.ts";
import { type Ballot, compareBallots } from "./ballot.ts";
import type { ClusterId, Entry, Membership, Position } from "./entry.ts";
import { FIRST_POSITION, position } from "./entry.ts";
import { PAGE_ENTRIES_MAX, PAGE_LETTERS_MAX } from "./limits.ts";
import type {
  BootstrapStartMessage,
  BootstrapVoteMessage,
  CatchUpMessage,
  ConfirmMessage,
  LearnMessage,
  PromiseMessage,
  ReadMessage,
  ReplicaAnswer,
  ReplicaMessage,
  Standing,
  WriteMessage,
} from "./messages.ts";
import { isSameEntry, type LogRecord } from "./record.ts";
import { EMPTY_METADATA, type LogReader, type LogStorage, type Metadata, type Persist } from "./storage.ts";

export interface ReplicaState extends Metadata {
  /** Highest position with a record, 0 when there is none. */
  readonly end: Position;
}

export interface ReplicaStep {
  readonly state: ReplicaState;
  /** Durable, in one transaction, before the answer leaves. */
  readonly effects: readonly Persist[];
  readonly answer: ReplicaAnswer;
}

/** The state that storage holds. A metadata row that cannot be trusted makes the replica RECOVERING, without a promise to keep. */
export function loadReplica(storage: LogStorage): ReplicaState {
  const loaded = storage.load();
  if (loaded.type === "corrupt") return { ...EMPTY_METADATA, status: "recovering", end: storage.end() };
  return { ...loaded.metadata, end: storage.end() };
}

export function step(state: ReplicaState, message: ReplicaMessage, reader: LogReader): ReplicaStep {
  switch (message.type) {
    case "status":
      return answered(state, { type: "status", standing: standingOf(state) });
    case "bootstrap-start":
      return onBootstrapStart(state, message);
    case "bootstrap-vote":
      return onBootstrapVote(state, message);
    case "learn":
      return admitted(state, message) ?? onLearn(state, message, reader);
    case "catch-up":
      return admitted(state, message) ?? onCatchUp(state, message);
    case "promise":
      return admitted(state, message) ?? voting(state) ?? onPromise(state, message, reader);
    case "write":
      return admitted(state, message) ?? voting(state) ?? onWrite(state, message, reader);
    case "confirm":
      return admitted(state, message) ?? voting(state) ?? onConfirm(state, message);
    case "read":
      return admitted(state, message) ?? voting(state) ?? onRead(state, message, reader);
    default:
      return unreachable(message);
  }
}

export function invalid(state: ReplicaState, reason: string): ReplicaAnswer {
  return { type: "invalid", standing: standingOf(state), reason };
}

/** Refuses another cluster's messages and those that go by an older membership; undefined when the message may go on. */
function admitted(
  state: ReplicaState,
  { clusterId, membershipPosition }: { readonly clusterId: ClusterId; readonly membershipPosition: Position },
): ReplicaStep | undefined {
  if (state.clusterId === undefined) return ignored(state, `${state.status}: it belongs to no cluster`);
  if (clusterId !== state.clusterId) return answered(state, { type: "foreign-cluster", standing: standingOf(state) });
  if (membershipPosition < state.membershipPosition) {
    return answered(state, { type: "stale-membership", standing: standingOf(state) });
  }
  return undefined;
}

/** Only a VOTING member votes; undefined when this replica is one. */
function voting(state: ReplicaState): ReplicaStep | undefined {
  if (state.status !== "voting") return ignored(state, `${state.status}: it does not vote`);
  if (state.replicaId === undefined || state.membership?.replicas.includes(state.replicaId) !== true) {
    return ignored(state, "it is outside the membership");
  }
  return undefined;
}

function onPromise(state: ReplicaState, { ballot, from }: PromiseMessage, reader: LogReader): ReplicaStep {
  if (compareBallots(ballot, state.promised) < 0) return refused(state, state.promised);
  const read = reader.page(from, { entriesMax: PAGE_ENTRIES_MAX, lettersMax: PAGE_LETTERS_MAX });
  if (read.type === "corrupt") return damaged(state, read.position);
  return changed(state, { promised: ballot }, [], (next) => ({
    type: "promised",
    standing: standingOf(next),
    page: { records: read.records, next: read.next },
  }));
}

function onWrite(state: ReplicaState, message: WriteMessage, reader: LogReader): ReplicaStep {
  const { ballot, entries } = message;
  if (compareBallots(ballot, state.promised) < 0) return refused(state, state.promised);
  const last = position(message.position + entries.length - 1);
  const stored = new Map<number, LogRecord>();
  const read = reader.page(message.position, { to: last, entriesMax: entries.length, lettersMax: Infinity });
  if (read.type === "corrupt") return damaged(state, read.position);
  for (const record of read.records) stored.set(record.position, record);

  const records: LogRecord[] = [];
  for (const [index, entry] of entries.entries()) {
    const at = position(message.position + index);
    const record = stored.get(at);
    if (record === undefined) {
      assert(at >= state.missingFrom, "a learned position has a record");
      records.push({ position: at, performed: ballot, entry });
      continue;
    }
    const same = isSameEntry(record.entry, entry);
    if (at < state.missingFrom) {
      // Catch-up can bring a value that was chosen under a ballot we never promised; its stale rival ends here.
      if (!same && compareBallots(ballot, record.performed) < 0) return refused(state, record.performed);
      assert(same, "a learned value is never written over");
      continue;
    }
    const order = compareBallots(record.performed, ballot);
    assert(order < 0 || (order === 0 && same), "one ballot writes one value at a position, and none goes backwards");
    if (order < 0) records.push({ position: at, performed: ballot, entry });
  }
  // [L6] The write raises the promise. Mesos' does not (H1): X promised by B and C; Y promised by A and B writes to A and
  // C, so it is chosen; then X's older write, still in flight to C, would replace it there.
  return changed(state, { promised: ballot }, records, (next) => ({ type: "accepted", standing: standingOf(next) }));
}

function onLearn(state: ReplicaState, { ballot, through }: LearnMessage, reader: LogReader): ReplicaStep {
  let missingFrom: number = state.missingFrom;
  let membership: Membered = state;
  while (missingFrom <= Math.min(through, state.end)) {
    const read = reader.page(position(missingFrom), {
      to: through,
      entriesMax: PAGE_ENTRIES_MAX,
      lettersMax: PAGE_LETTERS_MAX,
    });
    if (read.type === "corrupt") return damaged(state, read.position);
    let moved = false;
    for (const record of read.records) {
      // A gap, or a value under another ballot of which this notice says nothing: catch-up decides it.
      if (record.position !== missingFrom || compareBallots(record.performed, ballot) !== 0) break;
      membership = withEntry(membership, record.position, record.entry);
      missingFrom += 1;
      moved = true;
    }
    if (!moved) break;
  }
  return changed(state, { ...membership, missingFrom: position(missingFrom) }, [], learned);
}

function onCatchUp(state: ReplicaState, { records }: CatchUpMessage): ReplicaStep {
  let missingFrom: number = state.missingFrom;
  let membership: Membered = state;
  const taken: LogRecord[] = [];
  for (const record of records) {
    if (record.position < missingFrom) continue;
    if (record.position > missingFrom) break;
    taken.push(record);
    membership = withEntry(membership, record.position, record.entry);
    missingFrom += 1;
  }
  return changed(state, { ...membership, missingFrom: position(missingFrom) }, taken, learned);
}

/**
 * Confirms that no higher ballot was promised here. A replica that never heard of the ballot promises it now: that is
 * always safe, and a leader then survives a change in which minority of its replicas is away.
 */
function onConfirm(state: ReplicaState, { ballot }: ConfirmMessage): ReplicaStep {
  if (compareBallots(ballot, state.promised) < 0) return refused(state, state.promised);
  return changed(state, { promised: ballot }, [], (next) => ({ type: "confirmed", standing: standingOf(next) }));
}

function onRead(state: ReplicaState, { from, to, entriesMax }: ReadMessage, reader: LogReader): ReplicaStep {
  const bounds = { entriesMax, lettersMax: PAGE_LETTERS_MAX };
  const read = reader.page(from, to === undefined ? bounds : { ...bounds, to });
  if (read.type === "corrupt") return damaged(state, read.position);
  return answered(state, {
    type: "page",
    standing: standingOf(state),
    page: { records: read.records, next: read.next },
  });
}

function onBootstrapStart(state: ReplicaState, message: BootstrapStartMessage): ReplicaStep {
  const { clusterId, replicaId, membership } = message;
  if (state.clusterId !== undefined && state.clusterId !== clusterId) {
    return answered(state, { type: "foreign-cluster", standing: standingOf(state) });
  }
  switch (state.status) {
    case "empty":
      if (state.end > 0) return ignored(state, "empty: but it holds records");
      if (!membership.replicas.includes(replicaId)) return ignored(state, "empty: the membership does not name it");
      return changed(state, { status: "starting", clusterId, replicaId, membership }, [], bootstrapped);
    case "starting":
      // The same set again is a retry; another set is another bootstrap that uses the same id.
      if (!isSameMembership(state.membership, membership)) return ignored(state, "starting: with another membership");
      return answered(state, bootstrapped(state));
    case "recovering":
    case "voting":
      return ignored(state, `${state.status}: it was bootstrapped before`);
    default:
      return unreachable(state.status);
  }
}

function onBootstrapVote(state: ReplicaState, { clusterId }: BootstrapVoteMessage): ReplicaStep {
  if (state.clusterId !== undefined && state.clusterId !== clusterId) {
    return answered(state, { type: "foreign-cluster", standing: standingOf(state) });
  }
  if (state.status === "voting") return answered(state, bootstrapped(state));
  const { membership } = state;
  if (state.status !== "starting" || membership === undefined)
    return ignored(state, `${state.status}: it did not start`);
  // Position 1 is the same at every replica and learned from the beginning, so no election ever has to decide it.
  const record: LogRecord = {
    position: FIRST_POSITION,
    performed: state.promised,
    entry: { type: "membership", membership },
  };
  const status = { status: "voting", membershipPosition: FIRST_POSITION, missingFrom: position(2) } as const;
  return changed(state, status, [record], bootstrapped);
}

/** [L12] A damaged record is no record, and no vote either: the replica stops voting until it has recovered. */
function damaged(state: ReplicaState, at: Position): ReplicaStep {
  const missingFrom = position(Math.min(state.missingFrom, at));
  return changed(state, { status: "recovering", missingFrom }, [], (next) => ({
    type: "ignored",
    standing: standingOf(next),
    reason: `recovering: the record at ${at} is damaged`,
  }));
}

type Membered = Pick<Metadata, "membership" | "membershipPosition">;

function withEntry(current: Membered, at: Position, entry: Entry): Membered {
  const { membership, membershipPosition } = current;
  if (entry.type !== "membership" || at <= membershipPosition) return { membership, membershipPosition };
  return { membership: entry.membership, membershipPosition: at };
}

const learned = (next: ReplicaState): ReplicaAnswer => ({ type: "learned", standing: standingOf(next) });
const bootstrapped = (next: ReplicaState): ReplicaAnswer => ({ type: "bootstrapped", standing: standingOf(next) });

const isSameMembership = (a: Membership | undefined, b: Membership): boolean =>
  a !== undefined && isSameEntry({ type: "membership", membership: a }, { type: "membership", membership: b });

function answered(state: ReplicaState, answer: ReplicaAnswer): ReplicaStep {
  return { state, effects: [], answer };
}

const refused = (state: ReplicaState, promised: Ballot): ReplicaStep =>
  answered(state, { type: "refused", standing: standingOf(state), promised });

const ignored = (state: ReplicaState, reason: string): ReplicaStep =>
  answered(state, { type: "ignored", standing: standingOf(state), reason });

/** The next state with what of it must be stored; the metadata row is written only when it differs. */
function changed(
  state: ReplicaState,
  change: Partial<Metadata>,
  records: readonly LogRecord[],
  answerOf: (next: ReplicaState) => ReplicaAnswer,
): ReplicaStep {
  const end = records.reduce<number>((highest, record) => Math.max(highest, record.position), state.end);
  const next: ReplicaState = { ...state, ...change, end: position(end) };
  assert(compareBallots(next.promised, state.promised) >= 0, "a promise never goes down");
  const effects: Persist[] = [];
  if (records.length > 0) effects.push({ type: "persist-records", records });
  if (isMetadataChanged(state, next)) effects.push({ type: "persist-metadata", metadata: metadataOf(next) });
  return { state: next, effects, answer: answerOf(next) };
}

function isMetadataChanged(before: Metadata, after: Metadata): boolean {
  return (
    before.status !== after.status ||
    before.clusterId !== after.clusterId ||
    before.replicaId !== after.replicaId ||
    before.membership !== after.membership ||
    before.membershipPosition !== after.membershipPosition ||
    before.missingFrom !== after.missingFrom ||
    compareBallots(before.promised, after.promised) !== 0
  );
}

function metadataOf(state: ReplicaState): Metadata {
  const { status, clusterId, replicaId, membership, membershipPosition, promised, missingFrom } = state;
  return { status, clusterId, replicaId, membership, membershipPosition, promised, missingFrom };
}

function standingOf(state: ReplicaState): Standing {
  const { status, clusterId, membership, membershipPosition, promised, end, missingFrom } = state;
  return { status, clusterId, membership, membershipPosition, promised, begin: FIRST_POSITION, end, missingFrom };
}
