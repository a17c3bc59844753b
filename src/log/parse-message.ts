// The edge of a replica: turns what arrived into a message, or says what is wrong with it. Written by hand, because the
// log imports no schema library. It checks shapes and bounds; the replica decides everything else.
import type { Ballot, CandidateId } from "./ballot.ts";
import type { ClusterId, Electorate, Entry, Incarnation, Membership, Position, ReplicaId, Seat } from "./entry.ts";
import {
  BALLOT_JUMP_MAX,
  ENVELOPE_LETTERS_MAX,
  ENTRY_LETTERS_MAX,
  ID_LETTERS_MAX,
  PAGE_ENTRIES_MAX,
  PAGE_LETTERS_MAX,
  REPLICAS_MAX,
  WRITE_ENTRIES_MAX,
  WRITE_LETTERS_MAX,
} from "./limits.ts";
import { LOG_MESSAGE_VERSION, type ReplicaMessage, type Tombstone } from "./messages.ts";
import { entryLetters, type LogRecord } from "./record.ts";

export type ParsedMessage =
  | { readonly type: "message"; readonly message: ReplicaMessage; readonly isPatient: boolean }
  | { readonly type: "invalid"; readonly reason: string };

/** Letters of what is wrong that an answer repeats. */
const SHOWN_LETTERS_MAX = 64;

/** Thrown and caught in this module only: the first thing that is wrong. */
class Malformed extends Error {}

/** What came as text. */
export function parseEnvelopeText(raw: unknown): ParsedMessage {
  if (typeof raw !== "string") return { type: "invalid", reason: `a message is a text, not ${shown(raw)}` };
  if (raw.length > ENVELOPE_LETTERS_MAX) return { type: "invalid", reason: `at most ${ENVELOPE_LETTERS_MAX} letters` };
  let envelope: unknown;
  try {
    envelope = JSON.parse(raw);
  } catch {
    return { type: "invalid", reason: "it is no JSON" };
  }
  return parseEnvelope(envelope);
}

export function parseEnvelope(raw: unknown): ParsedMessage {
  try {
    const { v, message, patient } = fields(raw, "envelope");
    if (v !== LOG_MESSAGE_VERSION) {
      return { type: "invalid", reason: `message version ${shown(v)}, this replica reads ${LOG_MESSAGE_VERSION}` };
    }
    return { type: "message", message: parseMessage(fields(message, "message")), isPatient: patient === true };
  } catch (error) {
    if (error instanceof Malformed) return { type: "invalid", reason: error.message };
    throw error;
  }
}

/** The entries that a stored text holds, or undefined when it holds something else. */
export function parseEntriesText(stored: string): readonly Entry[] | undefined {
  try {
    return list(JSON.parse(stored), "entries", WRITE_ENTRIES_MAX).map(parseEntry);
  } catch {
    return undefined;
  }
}

function parseMessage(raw: Fields): ReplicaMessage {
  switch (raw["type"]) {
    case "promise":
      return { ...header(raw), type: "promise", ballot: ballot(raw["ballot"]), from: positionOf(raw["from"], "from") };
    case "write":
      return write(raw);
    case "learn":
      return {
        type: "learn",
        clusterId: cluster(raw),
        ballot: ballot(raw["ballot"]),
        through: positionOf(raw["through"], "through"),
      };
    case "catch-up":
      return {
        type: "catch-up",
        clusterId: cluster(raw),
        tombstone: raw["tombstone"] === undefined ? undefined : tombstone(raw["tombstone"]),
        records: records(raw["records"]),
      };
    case "confirm":
      return { ...header(raw), type: "confirm", ballot: ballot(raw["ballot"]) };
    case "read":
      return {
        type: "read",
        clusterId: cluster(raw),
        from: positionOf(raw["from"], "from"),
        to: raw["to"] === undefined ? undefined : positionOf(raw["to"], "to"),
        entriesMax: Math.min(integer(raw["entriesMax"], "entriesMax", 1), PAGE_ENTRIES_MAX),
      };
    case "enlist":
      return { type: "enlist", clusterId: cluster(raw), replicaId: replica(raw["replicaId"]) };
    case "status":
      return { type: "status" };
    case "bootstrap-start":
      return {
        type: "bootstrap-start",
        clusterId: cluster(raw),
        replicaId: replica(raw["replicaId"]),
        membership: membership(raw["membership"]),
      };
    case "bootstrap-vote":
      return { type: "bootstrap-vote", clusterId: cluster(raw) };
    default:
      throw new Malformed(`no message is of type ${shown(raw["type"])}`);
  }
}

function header(raw: Fields): { readonly clusterId: ClusterId; readonly membershipPosition: Position } {
  return { clusterId: cluster(raw), membershipPosition: positionOf(raw["membershipPosition"], "membershipPosition") };
}

function write(raw: Fields): ReplicaMessage {
  const at = positionOf(raw["position"], "position");
  const parsed = list(raw["entries"], "entries", WRITE_ENTRIES_MAX).map(parseEntry);
  if (parsed.length === 0) throw new Malformed("a write carries at least one entry");
  bounded(parsed, WRITE_LETTERS_MAX);
  for (const [index, entry] of parsed.entries()) {
    if (entry.type === "membership" && index < parsed.length - 1) {
      throw new Malformed("a membership entry is the last of its write");
    }
    keepsItself(entry, at + index);
  }
  const { chosenThrough } = raw;
  return {
    ...header(raw),
    type: "write",
    ballot: ballot(raw["ballot"]),
    position: at,
    entries: parsed,
    chosenThrough: chosenThrough === undefined ? undefined : positionOf(chosenThrough, "chosenThrough"),
  };
}

function records(raw: unknown): readonly LogRecord[] {
  const parsed = list(raw, "records", PAGE_ENTRIES_MAX).map((item): LogRecord => {
    const record = fields(item, "record");
    return {
      position: positionOf(record["position"], "position"),
      // The bootstrap's own record was performed under no ballot.
      performed: ballot(record["performed"], 0),
      entry: parseEntry(record["entry"]),
    };
  });
  bounded(
    parsed.map(({ entry }) => entry),
    PAGE_LETTERS_MAX,
  );
  for (const [index, record] of parsed.entries()) {
    keepsItself(record.entry, record.position);
    if (index > 0 && record.position !== (parsed[index - 1]?.position ?? 0) + 1) {
      throw new Malformed("records are consecutive");
    }
  }
  return parsed;
}

function tombstone(raw: unknown): Tombstone {
  const { begin, electorate } = fields(raw, "tombstone");
  return { begin: positionOf(begin, "begin"), electorate: electorateOf(electorate) };
}

function electorateOf(raw: unknown): Electorate {
  const electorate = fields(raw, "electorate");
  return {
    membership: membership(electorate["membership"]),
    position: positionOf(electorate["position"], "position"),
  };
}

function keepsItself(entry: Entry, at: number): void {
  if (entry.type === "truncate" && entry.to > at) throw new Malformed("a truncation keeps its own position");
}

function bounded(parsed: readonly Entry[], lettersMax: number): void {
  const letters = parsed.reduce((sum, entry) => sum + entryLetters(entry), 0);
  // One entry of the longest kind always passes: entryLetters adds a little for the frame around it.
  if (parsed.length > 1 && letters > lettersMax) throw new Malformed(`at most ${lettersMax} letters in one message`);
}

function parseEntry(raw: unknown): Entry {
  const entry = fields(raw, "entry");
  switch (entry["type"]) {
    case "nop":
      return { type: "nop" };
    case "membership":
      return { type: "membership", membership: membership(entry["membership"]) };
    case "append":
      return { type: "append", data: text(entry["data"], "data", ENTRY_LETTERS_MAX) };
    case "truncate":
      return { type: "truncate", to: positionOf(entry["to"], "to") };
    default:
      throw new Malformed(`an entry is of type ${shown(entry["type"])}, which this release does not know: upgrade it`);
  }
}

function membership(raw: unknown): Membership {
  const seats = list(fields(raw, "membership")["seats"], "seats", REPLICAS_MAX).map((item): Seat => {
    const seat = fields(item, "seat");
    return {
      replica: replica(seat["replica"]),
      incarnation: id(seat["incarnation"], "incarnation") as Incarnation,
    };
  });
  if (seats.length === 0) throw new Malformed("a membership names at least one replica");
  if (new Set(seats.map((seat) => seat.replica)).size !== seats.length) {
    throw new Malformed("a membership names each replica once");
  }
  return { seats };
}

const cluster = (raw: Fields): ClusterId => id(raw["clusterId"], "clusterId") as ClusterId;
const replica = (raw: unknown): ReplicaId => id(raw, "replica") as ReplicaId;

function ballot(raw: unknown, counterMin = 1): Ballot {
  const { counter, candidate, nonce } = fields(raw, "ballot");
  return {
    counter: counterOf(counter, counterMin),
    candidate: text(candidate, "candidate", ID_LETTERS_MAX) as CandidateId,
    nonce: text(nonce, "nonce", ID_LETTERS_MAX),
  };
}

/** Whoever answers a ballot with a higher one must still have a whole number for it. */
function counterOf(raw: unknown, min: number): number {
  const counter = integer(raw, "counter", min);
  if (counter > Number.MAX_SAFE_INTEGER - BALLOT_JUMP_MAX) throw new Malformed("counter is from the future");
  return counter;
}

type Fields = Readonly<Record<string, unknown>>;

function fields(raw: unknown, what: string): Fields {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) throw new Malformed(`${what} is no object`);
  return raw as Fields;
}

function list(raw: unknown, what: string, lengthMax: number): readonly unknown[] {
  if (!Array.isArray(raw)) throw new Malformed(`${what} is no list`);
  if (raw.length > lengthMax) throw new Malformed(`${what} has more than ${lengthMax} items`);
  return Array.from(raw as readonly unknown[]); // an empty place becomes an item like any other, and is no object
}

/** Anything, in few words: what is wrong with a message may itself be of any size, or have no text at all. */
function shown(raw: unknown): string {
  if (typeof raw === "string") return `'${raw.slice(0, SHOWN_LETTERS_MAX)}'`;
  return typeof raw === "number" || typeof raw === "boolean" ? String(raw) : `of type ${typeof raw}`;
}

function text(raw: unknown, what: string, lettersMax: number): string {
  if (typeof raw !== "string") throw new Malformed(`${what} is no text`);
  if (raw.length > lettersMax) throw new Malformed(`${what} has more than ${lettersMax} letters`);
  return raw;
}

function id(raw: unknown, what: string): string {
  const value = text(raw, what, ID_LETTERS_MAX);
  if (value === "") throw new Malformed(`${what} is empty`);
  return value;
}

function integer(raw: unknown, what: string, min: number): number {
  if (typeof raw !== "number" || !Number.isSafeInteger(raw) || raw < min) {
    throw new Malformed(`${what} is no whole number from ${min} on`);
  }
  return raw;
}

const positionOf = (raw: unknown, what: string): Position => integer(raw, what, 1) as Position;
