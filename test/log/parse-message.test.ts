import { describe, expect, test } from "vitest";
import { position } from "#log/entry.ts";
import { envelope, LOG_MESSAGE_VERSION, type ReplicaMessage } from "#log/messages.ts";
import { parseEntriesText, parseEnvelope } from "#log/parse-message.ts";
import { entryText } from "#log/record.ts";
import {
  ballot,
  catchUp,
  confirming,
  enlist,
  learn,
  MEMBERSHIP,
  NOP,
  noticing,
  promise,
  R1,
  R2,
  read,
  record,
  seating,
  start,
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
  catchUp([record(1, ballot(0, "", "")), record(2, ballot(1))], tombstone(1)),
  read(1, 7),
  confirming(ballot(1)),
  enlist(R1),
  { type: "status" },
  start(R1),
  VOTE,
];

const taken = (raw: unknown): ReplicaMessage | undefined => {
  const parsed = parseEnvelope(raw);
  return parsed.type === "message" ? parsed.message : undefined;
};

describe("what a replica takes", () => {
  test.each(MESSAGES)("[L13] $type comes through as it was sent", (message) => {
    expect(taken(structuredClone(envelope(message)))).toEqual(message);
  });

  test("[L13] what is not there stays out", () => {
    for (const message of [write(ballot(1), 2, NOP), catchUp([record(1, ballot(1))]), read(1)]) {
      expect(taken(JSON.parse(JSON.stringify(envelope(message))))).toEqual(message);
    }
  });

  test("[L13] a page that is longer than asked for is cut, not refused", () => {
    expect(parseEnvelope(envelope({ ...read(1), entriesMax: 1e9 }))).toMatchObject({
      message: { entriesMax: 2_000 },
    });
  });

  test("[L13] a newer version is refused clearly", () => {
    expect(parseEnvelope({ v: LOG_MESSAGE_VERSION + 1, message: { type: "status" } })).toEqual({
      type: "invalid",
      reason: `message version ${LOG_MESSAGE_VERSION + 1}, this replica reads ${LOG_MESSAGE_VERSION}`,
    });
  });

  test("[L24] a membership entry is the last of its write", () => {
    expect(parseEnvelope(envelope(write(ballot(1), 2, seating(R1), value("a"))))).toEqual({
      type: "invalid",
      reason: "a membership entry is the last of its write",
    });
    expect(parseEnvelope(envelope(write(ballot(1), 2, value("a"), seating(R1)))).type).toBe("message");
  });

  test("[L25] a truncation keeps its own position", () => {
    expect(parseEnvelope(envelope(write(ballot(1), 2, NOP, truncateTo(3)))).type).toBe("message");
    expect(parseEnvelope(envelope(write(ballot(1), 2, NOP, truncateTo(4))))).toEqual({
      type: "invalid",
      reason: "a truncation keeps its own position",
    });
  });

  test("[L25] so does one that catch-up brings", () => {
    expect(parseEnvelope(envelope(catchUp([record(2, ballot(1), truncateTo(2))]))).type).toBe("message");
    expect(parseEnvelope(envelope(catchUp([record(2, ballot(1), truncateTo(3))]))).type).toBe("invalid");
  });
});

describe("the text of entries", () => {
  test("[L12] they read back, and anything else is none", () => {
    const entries = [NOP, value("\ud800 \u2028 \u0000"), seating(R1, R2), truncateTo(7)];
    expect(parseEntriesText(`[${entries.map(entryText).join(",")}]`)).toEqual(entries);
    for (const text of ["", "null", "{}", "[{}]", '[{"type":"append"}]', '[{"type":"nop"}', "[null]"]) {
      expect(parseEntriesText(text)).toBeUndefined();
    }
  });

  test("[L36] an entry of a later release is not read, whatever else is there", () => {
    expect(parseEntriesText('[{"type":"nop"},{"type":"snapshot"}]')).toBeUndefined();
  });

  test("[L7] the same value has one text, in whatever order its fields came", () => {
    const seat = { incarnation: MEMBERSHIP.seats[0]?.incarnation, replica: R1 } as (typeof MEMBERSHIP.seats)[number];
    expect(entryText({ type: "membership", membership: { seats: [seat] } })).toBe(entryText(seating(R1)));
    expect(entryText({ to: position(7), type: "truncate" })).toBe(entryText(truncateTo(7)));
  });
});
