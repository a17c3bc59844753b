// The edge of a replica: turns what arrived into a message, or says what is wrong with it. Written by hand, because the
// log imports no schema library. It checks shapes and bounds; the replica decides everything else.
import type { Ballot, CandidateId } from "./ballot.ts";
import type { ClusterId, Entry, Membership, Position, ReplicaId } from "./entry.ts";
import {
  ENTRY_LETTERS_MAX,
  ID_LETTERS_MAX,
  PAGE_ENTRIES_MAX,
  PAGE_LETTERS_MAX,
  REPLICAS_MAX,
  WRITE_ENTRIES_MAX,
  WRITE_LETTERS_MAX,
} from "./limits.ts";
import { LOG_MESSAGE_VERSION, type ReplicaMessage } from "./messages.ts";
import { entryLetters, type LogRecord } from "./record.ts";

export type ParsedMessage =
  | { readonly type: "message"; readonly message: ReplicaMessage }
  | { readonly type: "invalid"; readonly reason: string };

/** Thrown and caught in this module only: the first thing that is wrong. */
class Malformed extends Error {}

export function parseEnvelope(raw: unknown): ParsedMessage {
  try {
    const { v, message } = fields(raw, "envelope");
    if (v !== LOG_MESSAGE_VERSION) {
      return { type: "invalid", reason: `message version ${String(v)}, this replica reads ${LOG_MESSAGE_VERSION}` };
    }
    return { type: "message", message: parseMessage(fields(message, "message")) };
  } catch (error) {
    if (error instanceof Malformed) return { type: "invalid", reason: error.message };
    throw error;
  }
}

/** The entry that a stored text holds, or undefined when it holds none. */
export function parseEntryText(stored: string): Entry | undefined {
  try {
    return parseEntry(JSON.parse(stored));
  } catch {
    return undefined;
  }
}

function parseMessage(raw: Fields): ReplicaMessage {
  switch (raw["type"]) {
    case "promise":
      return { ...header(raw), type: "promise", ballot: ballot(raw["ballot"]), from: positionOf(raw["from"], "from") };
    case "write":
      return {
        ...header(raw),
        type: "write",
        ballot: ballot(raw["ballot"]),
        position: positionOf(raw["position"], "position"),
        entries: entries(raw["entries"]),
      };
    case "learn":
      return {
        ...header(raw),
        type: "learn",
        ballot: ballot(raw["ballot"]),
        through: positionOf(raw["through"], "through"),
      };
    case "catch-up":
      return { ...header(raw), type: "catch-up", records: records(raw["records"]) };
    case "confirm":
      return { ...header(raw), type: "confirm", ballot: ballot(raw["ballot"]) };
    case "read":
      return {
        ...header(raw),
        type: "read",
        from: positionOf(raw["from"], "from"),
        to: raw["to"] === undefined ? undefined : positionOf(raw["to"], "to"),
        entriesMax: Math.min(integer(raw["entriesMax"], "entriesMax", 1), PAGE_ENTRIES_MAX),
      };
    case "status":
      return { type: "status" };
    case "bootstrap-start":
      return {
        type: "bootstrap-start",
        clusterId: id(raw["clusterId"], "clusterId") as ClusterId,
        replicaId: id(raw["replicaId"], "replicaId") as ReplicaId,
        membership: membership(raw["membership"]),
      };
    case "bootstrap-vote":
      return { type: "bootstrap-vote", clusterId: id(raw["clusterId"], "clusterId") as ClusterId };
    default:
      throw new Malformed(`no message of type ${String(raw["type"])}`);
  }
}

function header(raw: Fields): { readonly clusterId: ClusterId; readonly membershipPosition: Position } {
  return {
    clusterId: id(raw["clusterId"], "clusterId") as ClusterId,
    membershipPosition: positionOf(raw["membershipPosition"], "membershipPosition"),
  };
}

function entries(raw: unknown): readonly Entry[] {
  const parsed = list(raw, "entries", WRITE_ENTRIES_MAX).map(parseEntry);
  if (parsed.length === 0) throw new Malformed("a write carries at least one entry");
  bounded(parsed, WRITE_LETTERS_MAX);
  // The bootstrap alone sets the membership, and nothing truncates: see SPEC.md, "Not yet".
  if (parsed.some(({ type }) => type === "membership" || type === "truncate")) {
    throw new Malformed("a write carries nop and append entries");
  }
  return parsed;
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
    if (index > 0 && record.position !== (parsed[index - 1]?.position ?? 0) + 1) {
      throw new Malformed("records are consecutive");
    }
  }
  return parsed;
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
      throw new Malformed(`no entry of type ${String(entry["type"])}`);
  }
}

function membership(raw: unknown): Membership {
  const replicas = list(fields(raw, "membership")["replicas"], "replicas", REPLICAS_MAX).map(
    (item) => id(item, "replica") as ReplicaId,
  );
  if (replicas.length === 0) throw new Malformed("a membership names at least one replica");
  if (new Set(replicas).size !== replicas.length) throw new Malformed("a membership names each replica once");
  return { replicas };
}

function ballot(raw: unknown, counterMin = 1): Ballot {
  const { counter, candidate, nonce } = fields(raw, "ballot");
  return {
    counter: integer(counter, "counter", counterMin),
    candidate: text(candidate, "candidate", ID_LETTERS_MAX) as CandidateId,
    nonce: text(nonce, "nonce", ID_LETTERS_MAX),
  };
}

type Fields = Readonly<Record<string, unknown>>;

function fields(raw: unknown, what: string): Fields {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) throw new Malformed(`${what} is no object`);
  return raw as Fields;
}

function list(raw: unknown, what: string, lengthMax: number): readonly unknown[] {
  if (!Array.isArray(raw)) throw new Malformed(`${what} is no list`);
  if (raw.length > lengthMax) throw new Malformed(`${what} has more than ${lengthMax} items`);
  return raw;
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
