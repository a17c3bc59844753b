// The audit trail: the registry as it was at a position, and the history that led there, read from the log by anybody who may, without a ballot
// and without a promise. It works while no master leads, and says what it cannot tell: where history begins, what is not decided yet.
// Rules [R26] to [R28].
//
// One answer holds a few MB at most. A large registry is told in parts: each of them reads the same entries and keeps the agents of
// its part only. History is told a few pages at a time.
import { assert } from "#base/assert.ts";
import type { ReadAnswer, ReadCall, Unavailable } from "#log/calls.ts";
import type { Conversation } from "#log/conversation.ts";
import { type Position, position, type PositionedEntry, type ReplicaId, replicasOf } from "#log/entry.ts";
import { PAGE_ENTRIES_MAX } from "#log/limits.ts";
import { read } from "#log/read.ts";
import type { AgentId, Epoch } from "#protocol/ids.ts";
import type {
  HistoryAnswer,
  HistoryCall,
  HistoryEntry,
  Part,
  RegistryAnswer,
  RegistryCall,
  Unanswerable,
} from "./calls.ts";
import { decodeEntry, type Head } from "./codec.ts";
import { searchHead, searchOn } from "./find-head.ts";
import { emptyRegistry } from "./registry.ts";
import { applyEntry, createReplay, loadFrom, logBeginsAt, nextToRead } from "./replay.ts";
import { shownOperation, type ShownRegistry, shownRegistry } from "./shown.ts";
import { type End, findEnd } from "./tail.ts";

/** Records of one part: 5,000 agents with their descriptions are 2 to 5 MB as JSON. */
export const PART_RECORDS_MAX = 5_000;
/** Parts that a caller may ask for: what a registry of the largest size needs, and more. */
export const PARTS_MAX = 1_000;
/** Pages of the log that one answer of history looks through, and letters of entries that it may hold. */
const HISTORY_PAGES_MAX = 16;
const HISTORY_LETTERS_MAX = 2 * 1024 * 1024;
/** How often one call begins again because the log was truncated under it. */
const RESTARTS_MAX = 3;

type Page = Extract<ReadAnswer, { type: "entries" }>;

/** [R26] The registry after the entry at `call.at`, or after the last one that is decided. */
export function* registryAt(call: RegistryCall, seeds: readonly ReplicaId[]): Conversation<RegistryAnswer> {
  for (let restart = 0; restart <= RESTARTS_MAX; restart++) {
    const end = yield* findEnd(call, seeds);
    if (end.type === "unavailable") return end;
    const at = call.at ?? end.decidedTo - 1;
    if (at >= end.decidedTo) return notDecided(at, end);
    const answer = yield* registryOf(call, at, end, seeds);
    if (answer.type !== "truncated") return answer;
  }
  return unanswerable("the log is truncated faster than it can be read: ask again");
}

function* registryOf(
  call: RegistryCall,
  at: number,
  end: End,
  seeds: readonly ReplicaId[],
): Conversation<RegistryAnswer | { readonly type: "truncated" }> {
  const { clusterId, agent } = call;
  const { electorate: known, begin, decidedTo } = end;
  const through = position(at);
  const pageCall = (from: Position): ReadCall => ({
    clusterId,
    from,
    to: through,
    entriesMax: PAGE_ENTRIES_MAX,
    known,
  });
  if (at < begin) return beforeHistory(at, begin);

  let head: Head | undefined;
  for (let search = searchHead(through); ;) {
    const answer = yield* read({ ...pageCall(search.at), to: search.to }, seeds);
    if (answer.type === "unavailable") return answer;
    const next = searchOn(search, answer, "pass");
    if (next.type === "stopped") return unanswerable(next.reason);
    if (next.type === "found") {
      ({ head } = next);
      break;
    }
    ({ search } = next);
  }

  let { part } = call;
  let replay: ReturnType<typeof createReplay> | undefined;
  let from = position(Math.max(head?.snapshot ?? 0, begin));
  while (from <= through) {
    const page = yield* read(pageCall(from), seeds);
    if (page.type === "unavailable") return page;
    if (page.begin > from) return { type: "truncated" };
    if (replay === undefined) {
      part ??= { index: 0, of: agent === undefined ? partsOf(page) : 1 };
      const { index, of } = part;
      replay = createReplay(undefined, (agentId) => isKept(agentId, { agent, part: { index, of } }));
      logBeginsAt(replay, begin);
      if (from > replay.next) loadFrom(replay, from);
    }
    for (const positioned of page.entries) {
      if (positioned.position > through) break;
      const applied = applyEntry(replay, positioned);
      if (applied.type === "stopped") return unanswerable(applied.reason);
    }
    const next = nextToRead(replay);
    if (next === from) return unanswerable(`the entry at ${from}, which was chosen, cannot be read now: ask again`);
    from = next;
  }
  // [R24] The log begins with a snapshot: between its chunks there is nothing to be shown yet.
  if (replay?.loading !== undefined) return beforeHistory(at, begin);
  assert(replay !== undefined && part !== undefined, "something was read");
  const { index, of } = part;
  const shown = shownRegistry(replay.registry);
  const isWhole = index === 0 && agent === undefined;
  const registry: ShownRegistry = isWhole ? shown : { ...NOTHING_SHOWN, ...agentsOf(shown) };
  const next = index + 1 < of ? { index: index + 1, of } : undefined;
  return { type: "registry", at, leader: replay.registry.leader, registry, next, begin, decidedTo, end: end.end };
}

/** What is in every part, and in what is told of one agent. */
const agentsOf = ({ admitted, unreachable, gone }: ShownRegistry) => ({ admitted, unreachable, gone });
const NOTHING_SHOWN = shownRegistry(emptyRegistry());

/** How many parts the registry takes whose first entries these are: the first chunk of a snapshot says how many records it has. */
function partsOf({ entries: [first] }: Page): number {
  if (first?.entry.type !== "append") return 1;
  const decoded = decodeEntry(first.entry.data, { records: "skip" });
  const records = decoded.type === "entry" && decoded.entry.type === "snapshot" ? (decoded.entry.records ?? 0) : 0;
  return Math.min(PARTS_MAX, Math.max(1, Math.ceil(records / PART_RECORDS_MAX)));
}

function isKept(
  agentId: AgentId,
  { agent, part: { index, of } }: { readonly agent: AgentId | undefined; readonly part: Part },
): boolean {
  if (agent !== undefined) return agentId === agent;
  return of === 1 || hashOf(agentId) % of === index;
}

/** FNV-1a. Only the same everywhere: a part must be the same part in each call. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

const unanswerable = (reason: string): Unanswerable => ({ type: "unanswerable", reason });

const notDecided = (at: number, { decidedTo, end }: End): Unanswerable =>
  unanswerable(
    at > end
      ? `there is no entry ${at} yet: the log ends at ${end}`
      : `entry ${at} is not decided yet: the log is decided up to ${decidedTo - 1}`,
  );

const beforeHistory = (at: number, begin: Position): Unanswerable =>
  unanswerable(`entry ${at} is not kept any more: history begins with the snapshot at ${begin}`);

/** [R27] What was written from a position on, oldest first, with who asked for it, when and why. */
export function* history(call: HistoryCall, seeds: readonly ReplicaId[]): Conversation<HistoryAnswer> {
  const end = yield* findEnd(call, seeds);
  if (end.type === "unavailable") return end;
  const { clusterId, agent } = call;
  const { electorate: known, decidedTo } = end;
  let { begin } = end;
  const last = Math.min(call.to ?? Infinity, decidedTo - 1);
  const entries: HistoryEntry[] = [];
  let letters = 0;
  let from = Math.max(call.from ?? begin, begin);
  for (let page = 0; page < HISTORY_PAGES_MAX && from <= last && letters < HISTORY_LETTERS_MAX; page++) {
    const bounds = { clusterId, from: position(from), to: position(last), entriesMax: PAGE_ENTRIES_MAX, known };
    const answer: ReadAnswer = yield* read(bounds, seeds);
    if (answer.type === "unavailable") return answer;
    begin = position(Math.max(begin, answer.begin));
    if (answer.entries.length === 0 && answer.decidedTo <= from) return cannotRead(from, end);
    for (const positioned of answer.entries) {
      const entry = historyEntry(positioned, agent);
      if (entry === undefined) continue;
      entries.push(entry);
      letters += JSON.stringify(entry).length;
    }
    from = answer.decidedTo;
  }
  const next = from <= last ? position(from) : undefined;
  return { type: "history", entries, next, begin, decidedTo, end: end.end };
}

function cannotRead(at: number, { electorate: { membership } }: End): Unavailable {
  const replicas = replicasOf(membership).length;
  const reason = `the entry at ${at}, which was chosen, cannot be read now: ask again`;
  return { type: "unavailable", reason, reachable: replicas, replicas };
}

/** Undefined for what is no history, or does not concern the agent. */
function historyEntry({ position: at, entry }: PositionedEntry, agent: AgentId | undefined): HistoryEntry | undefined {
  switch (entry.type) {
    case "nop":
      return undefined;
    case "membership":
      if (agent !== undefined) return undefined;
      return { type: "membership", position: at, replicas: replicasOf(entry.membership) };
    case "truncate":
      return agent === undefined ? { type: "truncate", position: at, to: entry.to } : undefined;
    case "append":
      return textEntry(at, entry.data, agent);
    default:
      return { type: "unreadable", position: at, reason: "it is of a type that this release does not know" };
  }
}

function textEntry(at: Position, text: string, agent: AgentId | undefined): HistoryEntry | undefined {
  const decoded = decodeEntry(text, { records: "skip" });
  if (decoded.type === "unreadable") return { type: "unreadable", position: at, reason: decoded.reason };
  const { entry } = decoded;
  if (entry.type === "snapshot") return undefined;
  if (entry.type === "leader") {
    const { candidate, masterId } = entry;
    if (agent !== undefined) return undefined;
    return { type: "leader", position: at, leader: { candidate, masterId, epoch: at as number as Epoch } };
  }
  const changes = entry.operations
    .map(({ operation, audit }) => ({ operation: shownOperation(operation), audit }))
    .filter(({ operation }) => agent === undefined || operation.agentIds.includes(agent));
  // A batch in which everything was refused, or left all as it was, has nothing to tell.
  return changes.length === 0 ? undefined : { type: "operations", position: at, leader: entry.leader, changes };
}
