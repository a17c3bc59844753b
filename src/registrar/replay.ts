// Building the registry from chosen entries, in order: from the first, or from a snapshot. The same code runs when an election brings the
// log and when an own batch is chosen, so that a leader's registry is what any other candidate will read. Rules [R2], [R11], [R14], [R22].
//
// A reader that begins at a snapshot holds back what stands among its chunks, and touches the registry only when the last chunk is there.
import { assert, unreachable } from "#base/assert.ts";
import { FIRST_POSITION, type Position, type PositionedEntry, position } from "#log/entry.ts";
import type { AgentId, Epoch } from "#protocol/ids.ts";
import {
  decodeEntry,
  type OperationsEntry,
  type RegistrarEntry,
  type SnapshotEntry,
  type Stretch,
  type TableRecords,
} from "./codec.ts";
import { applyOperation } from "./operations.ts";
import {
  draftOf,
  emptyRegistry,
  type Leader,
  type OrderedMap,
  type Registry,
  type RegistryMaps,
  TABLE_NAMES,
} from "./registry.ts";

export type Replayed =
  | { readonly type: "applied" }
  /** The registry stands before this entry; nothing after it may be applied. */
  | { readonly type: "stopped"; readonly reason: string };

/** How far the log was applied, and what is known of the snapshots in it. */
export interface Replay {
  /** Edited in place: it is the same object for ever. */
  readonly registry: Registry;
  /** First position that `registry` does not hold. */
  next: Position;
  /** Where the log begins, as far as it is known. */
  begin: Position;
  /** What was written between snapshots, oldest first. The last one goes on to `next`. */
  stretches: readonly Stretch[];
  /** Letters since the newest complete snapshot began, and letters of that snapshot. */
  letters: number;
  snapshotLetters: number;
  /** A snapshot whose chunks have come one after the other so far. */
  coming: Coming | undefined;
  loading: Loading | undefined;
  /** Which agents' records are kept: for a reader who shows a part. Nobody leads with it. */
  readonly keeps: ((agentId: AgentId) => boolean) | undefined;
}
interface Coming {
  readonly begin: Position;
  readonly chunks: number;
  readonly letters: number;
  /** Letters of what was written before its first chunk, since the snapshot before. */
  readonly lettersBefore: number;
}
interface Loading {
  readonly begin: Position;
  next: Position;
  chunks: number;
  letters: number;
  leader: Leader | undefined;
  stretches: readonly Stretch[];
  readonly tables: RegistryMaps;
  readonly held: { readonly position: Position; readonly letters: number; readonly entry: OperationsEntry }[];
}

export const createReplay = (registry: Registry = emptyRegistry(), keeps?: (agentId: AgentId) => boolean): Replay => ({
  keeps,
  registry,
  next: FIRST_POSITION,
  begin: FIRST_POSITION,
  stretches: [],
  letters: 0,
  snapshotLetters: 0,
  coming: undefined,
  loading: undefined,
});

/** The position whose entry is to be given to {@link applyEntry}. */
export const nextToRead = ({ loading, next }: Replay): Position => loading?.next ?? next;

/** From here on entries are given from a snapshot on that is complete. The registry stays as it is until its last chunk. */
export function loadFrom(replay: Replay, begin: Position): void {
  assert(begin > replay.next, "what is applied is not read again");
  replay.loading = {
    begin,
    next: begin,
    chunks: 0,
    letters: 0,
    leader: undefined,
    stretches: [],
    tables: emptyRegistry(),
    held: [],
  };
}

/** All stretches, the last one as far as it is applied. */
export const stretchesOf = ({ stretches, registry, letters, begin }: Replay): readonly Stretch[] => [
  ...stretches,
  { begin: registry.snapshot ?? begin, letters },
];

/** `own`: what the entry says, if the caller has written it himself and need not read it. */
export function applyEntry(replay: Replay, positioned: PositionedEntry, own?: RegistrarEntry): Replayed {
  const { position: at, entry } = positioned;
  assert(at === nextToRead(replay), "the log is applied without gaps");
  const applied = applyLogEntry(replay, positioned, own);
  if (applied.type === "stopped") return applied;
  // The last chunk of a snapshot ends the loading and has set `next` itself.
  if (replay.loading !== undefined) replay.loading.next = position(at + 1);
  else replay.next = position(at + 1);
  if (entry.type === "truncate") logBeginsAt(replay, entry.to);
  return applied;
}

/** What was truncated is not kept any more. */
export function logBeginsAt(replay: Replay, begin: Position): void {
  if (begin <= replay.begin) return;
  replay.begin = begin;
  replay.stretches = replay.stretches.filter((stretch) => stretch.begin >= begin);
}

function applyLogEntry(replay: Replay, { position: at, entry }: PositionedEntry, own?: RegistrarEntry): Replayed {
  switch (entry.type) {
    case "nop":
    case "membership":
    // What it drops was applied before it.
    case "truncate":
      return APPLIED;
    case "append": {
      const isLoading = replay.loading !== undefined;
      const decoded: ReturnType<typeof decodeEntry> =
        own === undefined
          ? decodeEntry(entry.data, { records: isLoading ? "read" : "skip" })
          : { type: "entry", entry: own };
      if (decoded.type === "unreadable") return stopped(at, decoded.reason);
      const letters = entry.data.length;
      if (replay.loading !== undefined) return load(replay, replay.loading, at, decoded.entry, letters);
      return apply(replay, at, decoded.entry, { letters, isOwn: own !== undefined });
    }
    default:
      // Of a newer release: see [R14].
      return stopped(at, "it is of a type that this release does not know: upgrade");
  }
}

function apply(
  replay: Replay,
  at: Position,
  entry: RegistrarEntry,
  { letters, isOwn }: { readonly letters: number; readonly isOwn: boolean },
): Replayed {
  const { registry } = replay;
  switch (entry.type) {
    case "leader":
      registry.leader = { candidate: entry.candidate, masterId: entry.masterId, epoch: at as number as Epoch };
      replay.letters += letters;
      return APPLIED;
    case "operations": {
      const problem = applyOperations(replay, entry, isOwn);
      if (problem !== undefined) return stopped(at, problem);
      replay.letters += letters;
      return APPLIED;
    }
    case "snapshot":
      follow(replay, at, entry, letters);
      return APPLIED;
    default:
      return unreachable(entry);
  }
}

/** Why it cannot be applied, or undefined when it was. */
function applyOperations({ registry, keeps }: Replay, entry: OperationsEntry, isOwn: boolean): string | undefined {
  const { leader } = entry;
  // Whoever leads writes under the last leader entry; anything else is not the log that we have applied.
  if (leader !== undefined && !isSameLeader(leader, registry.leader)) {
    return `it was written under epoch ${leader.epoch}, the log is in ${epochOf(registry)}`;
  }
  const operations =
    keeps === undefined
      ? entry.operations
      : entry.operations.filter(({ operation }) => !("agentId" in operation) || keeps(operation.agentId));
  // Tried on a draft first, as the writer of an own entry has done: it is applied as a whole or not at all.
  const draft = isOwn ? undefined : draftOf(registry);
  if (draft !== undefined) {
    for (const operation of operations) {
      const applied = applyOperation(draft, operation);
      // It was validated when it was written. If it fails now, this release has other rules than the one that wrote it.
      if (applied.type === "refused") return `an operation in it is refused: ${applied.reason}`;
    }
  }
  for (const operation of operations) applyOperation(registry, operation);
  return undefined;
}

/** [R22] A snapshot of what is applied already. It counts once all its chunks, of one leader, have come in order. */
function follow(replay: Replay, at: Position, entry: SnapshotEntry, letters: number): void {
  const { begin = at, chunk, last } = entry;
  const { coming } = replay;
  if (chunk === 0) replay.coming = { begin: at, chunks: 1, letters, lettersBefore: replay.letters };
  else if (coming?.begin === begin && coming.chunks === chunk) {
    replay.coming = { ...coming, chunks: chunk + 1, letters: coming.letters + letters };
  } else replay.coming = undefined;
  if (!last || replay.coming === undefined) return;
  const { lettersBefore, letters: snapshotLetters } = replay.coming;
  const since = replay.registry.snapshot ?? replay.begin;
  replay.stretches = [...replay.stretches, { begin: since, letters: lettersBefore }];
  replay.registry.snapshot = begin;
  replay.letters -= lettersBefore;
  replay.snapshotLetters = snapshotLetters;
  replay.coming = undefined;
}

/** [R22] [R23] The next entry from the begin of a snapshot on. */
function load(replay: Replay, loading: Loading, at: Position, entry: RegistrarEntry, letters: number): Replayed {
  const incomplete = (why: string): Replayed =>
    stopped(at, `the snapshot that begins at ${loading.begin} is not complete there: ${why}`);
  if (loading.chunks === 0 && entry.type !== "snapshot") return incomplete("it does not begin there");
  switch (entry.type) {
    case "leader":
      return incomplete("another leader begins");
    case "operations":
      loading.held.push({ position: at, letters, entry });
      return APPLIED;
    case "snapshot": {
      const { begin = at, chunk, last, tables } = entry;
      if (begin !== loading.begin || chunk !== loading.chunks) {
        return incomplete(`chunk ${chunk} of the one that begins at ${begin} follows ${loading.chunks} chunks`);
      }
      if (chunk === 0) {
        loading.leader = entry.leader;
        loading.stretches = entry.stretches ?? [];
      }
      loading.chunks += 1;
      loading.letters += letters;
      addRecords(loading.tables, tables, replay.keeps);
      return last ? install(replay, loading, at) : APPLIED;
    }
    default:
      return unreachable(entry);
  }
}

function addRecords(into: RegistryMaps, tables: TableRecords, keeps: Replay["keeps"] = () => true): void {
  for (const agent of tables.admitted ?? []) if (keeps(agent.agentId)) into.admitted.set(agent.agentId, agent);
  for (const agent of tables.unreachable ?? []) if (keeps(agent.agentId)) into.unreachable.set(agent.agentId, agent);
  for (const agent of tables.gone ?? []) if (keeps(agent.agentId)) into.gone.set(agent.agentId, agent);
  for (const framework of tables.registeredFrameworks ?? []) {
    into.registeredFrameworks.set(framework.frameworkId, framework);
  }
  for (const framework of tables.disconnectedFrameworks ?? []) {
    into.disconnectedFrameworks.set(framework.frameworkId, framework);
  }
  for (const framework of tables.removedFrameworks ?? []) into.removedFrameworks.set(framework.frameworkId, framework);
  for (const credential of tables.credentials ?? []) into.credentials.set(credential.principal, credential);
  for (const weight of tables.weights ?? []) into.weights.set(weight.role, weight);
  for (const quota of tables.quotas ?? []) into.quotas.set(quota.role, quota);
}

/** The snapshot is complete: the registry becomes what it holds, and what was held back is applied to it. */
function install(replay: Replay, loading: Loading, at: Position): Replayed {
  const { registry } = replay;
  for (const name of TABLE_NAMES) {
    const into = registry[name] as OrderedMap<unknown, unknown>;
    into.clear();
    for (const [key, record] of loading.tables[name]) into.set(key, record);
  }
  registry.leader = loading.leader;
  registry.snapshot = loading.begin;
  replay.stretches = loading.stretches.filter(({ begin }) => begin >= replay.begin);
  replay.letters = 0;
  replay.snapshotLetters = loading.letters;
  replay.coming = undefined;
  replay.loading = undefined;
  for (const { position: there, letters, entry } of loading.held) {
    replay.next = there;
    const problem = applyOperations(replay, entry, false);
    if (problem !== undefined) return stopped(there, problem);
    replay.letters += letters;
  }
  replay.next = position(at + 1);
  return APPLIED;
}

const APPLIED: Replayed = { type: "applied" };

const isSameLeader = (a: Leader, b: Leader | undefined): boolean =>
  a.epoch === b?.epoch && a.candidate === b.candidate && a.masterId === b.masterId;

const epochOf = ({ leader }: Registry): string => (leader === undefined ? "none yet" : String(leader.epoch));

const stopped = (position: number, reason: string): Replayed => ({
  type: "stopped",
  reason: `cannot apply the log entry at ${position}: ${reason}`,
});
