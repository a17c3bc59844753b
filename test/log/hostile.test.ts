// Whatever arrives at a replica, however malformed: there is an answer, and nothing gets past the edge that a core could
// stumble over.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Entry } from "#log/entry.ts";
import {
  BALLOT_JUMP_MAX,
  ENTRY_LETTERS_MAX,
  ID_LETTERS_MAX,
  PAGE_ENTRIES_MAX,
  REPLICAS_MAX,
  WRITE_ENTRIES_MAX,
} from "#log/limits.ts";
import { LOG_MESSAGE_VERSION, type ReplicaMessage } from "#log/messages.ts";
import { parseEnvelope } from "#log/parse-message.ts";
import {
  ballot,
  catchUp,
  confirming,
  enlist,
  learn,
  membershipOf,
  named,
  NOP,
  noticing,
  promise,
  R1,
  R2,
  R3,
  read,
  record,
  seating,
  start,
  TestReplica,
  tombstone,
  truncateTo,
  value,
  VOTE,
  write,
} from "./sample.ts";

const MESSAGES: readonly ReplicaMessage[] = [
  promise(ballot(1)),
  noticing(write(ballot(1), 3, NOP, value("a"), truncateTo(5), seating(R1, R2)), 2),
  learn(ballot(1), 2),
  catchUp([record(1, ballot(1)), record(2, ballot(1), seating(R1, R2))], tombstone(1)),
  read(1, 7),
  confirming(ballot(1)),
  enlist(R1),
  start(R1),
  VOTE,
];

const parsed = (message: unknown) => parseEnvelope({ v: LOG_MESSAGE_VERSION, message });

type Path = readonly (string | number)[];
/** Every place in a message at which something stands, but its own type. */
function pathsOf(value: unknown, at: Path = []): readonly Path[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.keys(value).flatMap((key): readonly Path[] => {
    const here = [...at, Array.isArray(value) ? Number(key) : key];
    const below = pathsOf((value as Record<string, unknown>)[key], here);
    return at.length === 0 && key === "type" ? [] : [here, ...below];
  });
}
function replacedAt(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by;
  const copied = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string | number, unknown>;
  copied[key] = replacedAt(copied[key], rest, by);
  return copied;
}
function withoutField(value: unknown, [key, ...rest]: Path): unknown {
  if (key === undefined) return value;
  const copied = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string | number, unknown>;
  if (rest.length > 0) copied[key] = withoutField(copied[key], rest);
  else delete copied[key];
  return copied;
}

/** A list of which nothing but the length is there. It crosses between objects as it is. */
function emptyPlaces<Item>(length: number): Item[] {
  const list: Item[] = [];
  list.length = length;
  return list;
}

/** What may be left out, or be empty. */
const OPTIONAL = /^(?:chosenThrough|tombstone|to)$/;
const EMPTY_ALLOWED = /(?:data|candidate|nonce)$/;
const WRONG = [null, true, Number.NaN, -1, 0.5, -Infinity, 2 ** 53, [], [[]], {}, 10n, "", Symbol("s"), () => {}];

describe("every field of every message", () => {
  test.each(MESSAGES)("[L13] $type without any one of them is invalid", (message) => {
    for (const path of pathsOf(message)) {
      if (typeof path.at(-1) === "number") continue;
      const name = path.join(".");
      expect(parsed(withoutField(message, path)).type, name).toBe(OPTIONAL.test(name) ? "message" : "invalid");
    }
  });

  test.each(MESSAGES)("[L13] $type with any one of them of another type is invalid", (message) => {
    for (const path of pathsOf(message)) {
      const name = path.join(".");
      for (const wrong of WRONG) {
        if (wrong === "" && EMPTY_ALLOWED.test(name)) continue;
        if (Array.isArray(wrong) && wrong.length === 0 && name === "records") continue;
        const { type } = parsed(replacedAt(message, path, wrong));
        expect(type, `${name} is of type ${typeof wrong}`).toBe("invalid");
      }
    }
  });

  test.each(MESSAGES)("[L13] $type with whatever for any one of them makes nothing throw", (message) => {
    const anything = fc.anything({ withNullPrototype: true, withSparseArray: true, withDate: true, withMap: true });
    fc.assert(
      fc.property(fc.constantFrom(...pathsOf(message)), anything, (path, one) => {
        parsed(replacedAt(message, path, one));
      }),
      { numRuns: 300 },
    );
  });
});

describe("what is too much", () => {
  const long = "n".repeat(ID_LETTERS_MAX + 1);
  const entries = (count: number, data = ""): Entry[] => Array.from({ length: count }, () => value(data));
  test.each([
    ["a candidate with a long name", promise(ballot(1, long))],
    ["a ballot with a long nonce", promise(ballot(1, "master-1", long))],
    ["a ballot of 0", promise(ballot(0))],
    ["a long cluster id", { ...promise(ballot(1)), clusterId: long }],
    ["a replica with a long name", enlist(long as typeof R1)],
    ["position 0", write(ballot(1), 0, NOP)],
    ["position 2^53", write(ballot(1), 2 ** 53, NOP)],
    ["no entries", write(ballot(1), 2)],
    ["too many entries", write(ballot(1), 2, ...entries(WRITE_ENTRIES_MAX + 1))],
    ["too long an entry", write(ballot(1), 2, ...entries(1, "x".repeat(ENTRY_LETTERS_MAX + 1)))],
    ["too many letters", write(ballot(1), 2, ...entries(5, "x".repeat(ENTRY_LETTERS_MAX)))],
    [
      "too many records",
      catchUp(Array.from({ length: PAGE_ENTRIES_MAX + 1 }, (_, index) => record(index + 1, ballot(1)))),
    ],
    [
      "too many letters of records",
      catchUp(entries(5, "x".repeat(ENTRY_LETTERS_MAX)).map((one, at) => record(at + 1, ballot(1), one))),
    ],
    ["records with a gap", catchUp([record(1, ballot(1)), record(3, ballot(1))])],
    ["a record twice", catchUp([record(1, ballot(1)), record(1, ballot(1))])],
    ["a membership of nobody", start(R1, membershipOf())],
    ["a membership with a replica twice", start(R1, membershipOf(R1, R1))],
    ["too many seats", start(R1, membershipOf(...Array.from({ length: REPLICAS_MAX + 1 }, (_, at) => named(at + 1))))],
    ["a billion empty places", { ...write(ballot(1), 2), entries: { length: 1e9 } }],
    ["a list of the greatest length", { ...write(ballot(1), 2), entries: emptyPlaces(2 ** 32 - 1) }],
  ])("[L13] %s is invalid", (_what, message) => {
    expect(parsed(message)).toMatchObject({ type: "invalid" });
  });

  test("[L13] the longest write and the longest entry pass", () => {
    expect(parsed(write(ballot(1), 2, ...entries(WRITE_ENTRIES_MAX))).type).toBe("message");
    expect(parsed(write(ballot(1), 2, ...entries(1, "€".repeat(ENTRY_LETTERS_MAX)))).type).toBe("message");
  });
});

describe("tricks", () => {
  test.each([
    ["nothing", undefined],
    ["null", null],
    ["a text", "promise"],
    ["a list", [promise(ballot(1))]],
    ["no type", {}],
    ["an unknown type", { type: "surprise" }],
    ["a type of the prototype", { type: "constructor" }],
    ["a type that is no text", { type: { toString: 1 } }],
    ["a type without a prototype", { type: Object.create(null) }],
  ])("[L13] %s instead of a message is invalid", (_what, message) => {
    expect(parsed(message)).toMatchObject({ type: "invalid" });
  });

  test.each([
    ["nothing", undefined],
    ["null", null],
    ["no version", { message: { type: "status" } }],
    ["a version that is a text", { v: String(LOG_MESSAGE_VERSION), message: { type: "status" } }],
    ["a version that cannot be written", { v: { toString: 1 }, message: { type: "status" } }],
    ["the version of release 0.1", { v: 1, message: { type: "status" } }],
  ])("[L13] %s instead of an envelope is invalid", (_what, raw) => {
    expect(parseEnvelope(raw)).toMatchObject({ type: "invalid" });
  });

  test("[L13] an entry whose type cannot be written is invalid", () => {
    const entry = { type: { toString: 1 } } as unknown as Entry;
    expect(parsed(write(ballot(1), 2, entry))).toMatchObject({ type: "invalid" });
  });

  test.each([
    ["entries", { ...write(ballot(1), 2), entries: emptyPlaces(3) }],
    ["records", { ...catchUp([]), records: emptyPlaces(1) }],
    ["seats", { ...start(R1), membership: { seats: emptyPlaces(1) } }],
    ["seats of an entry", write(ballot(1), 2, { type: "membership", membership: { seats: emptyPlaces(1) } })],
  ])("[L13] a list of %s with empty places is invalid", (_what, message) => {
    expect(parsed(structuredClone(message))).toMatchObject({ type: "invalid" });
  });

  test("[L13] fields that nobody asked for are left behind, and the prototype stays what it was", () => {
    const hostile = JSON.parse(
      '{"type":"status","__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}',
    );
    const status = parsed(hostile);
    expect(status.type === "message" && status.message).toEqual({ type: "status" });
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
    const entry = JSON.parse('{"type":"append","data":"a","__proto__":{"to":1},"position":9}');
    expect(parsed(write(ballot(1), 2, entry))).toMatchObject({ message: { entries: [{ type: "append", data: "a" }] } });
  });

  test("[L13] what is wrong with it is told in few words, however long it is", () => {
    for (const message of [
      { type: "x".repeat(100_000) },
      write(ballot(1), 2, { type: "x".repeat(100_000) } as never),
    ]) {
      const answer = parsed(message);
      expect(answer.type === "invalid" && answer.reason.length).toBeLessThan(1_000);
    }
  });
});

describe("a ballot from the future", () => {
  test("[L1] [L13] one that leaves no room above it is invalid: the next counter must still be a whole number", () => {
    const last = Number.MAX_SAFE_INTEGER;
    for (const message of [promise(ballot(last)), confirming(ballot(last)), write(ballot(last), 2, NOP)]) {
      expect(parsed(message)).toMatchObject({ type: "invalid" });
    }
  });

  test("[L37] one that no election leads to is invalid, whatever asks for it, and raises no promise", () => {
    const replica = new TestReplica(R1, membershipOf(R1, R2, R3));
    replica.deliver(promise(ballot(7)));
    const future = ballot(7 + BALLOT_JUMP_MAX + 1);
    for (const message of [promise(future), confirming(future), write(future, 2, NOP)]) {
      expect(replica.deliver(message)).toMatchObject({
        type: "invalid",
        reason: expect.stringContaining("from the future"),
      });
    }
    expect(replica.state.promised).toEqual(ballot(7));
    expect(replica.deliver(promise(ballot(7 + BALLOT_JUMP_MAX)))).toMatchObject({ type: "promised" });
  });

  test("[L1] whatever ballot a replica promises, a higher one can still be promised", () => {
    const replica = new TestReplica(R1, membershipOf(R1, R2, R3));
    for (let exponent = 1; exponent <= 53; exponent++) {
      const message = parsed(promise(ballot(2 ** exponent - 1)));
      if (message.type === "message") replica.deliver(message.message);
    }
    const above = parsed(promise(ballot(replica.state.promised.counter + 1)));
    expect(above).toMatchObject({ type: "message" });
  });
});

test("[L13] whatever arrives, a replica answers", () => {
  const replica = new TestReplica(R1, membershipOf(R1, R2, R3));
  fc.assert(
    fc.property(fc.constantFrom(...MESSAGES), fc.nat(), fc.anything(), (message, at, one) => {
      const paths = pathsOf(message);
      const path = paths[at % paths.length] ?? [];
      const found = parsed(replacedAt(message, path, one));
      if (found.type === "message") expect(replica.step(found.message).answer).toHaveProperty("standing");
    }),
    { numRuns: 500 },
  );
});
