import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ENTRY_LETTERS_MAX, PAGE_ENTRIES_MAX, WRITE_ENTRIES_MAX } from "#log/limits.ts";
import { envelope, LOG_MESSAGE_VERSION, type ReplicaMessage } from "#log/messages.ts";
import { parseEntryText, parseEnvelope } from "#log/parse-message.ts";
import { entryText } from "#log/record.ts";
import { ballot, CLUSTER, HEADER, learn, MEMBERSHIP, NOP, promise, R1, read, value, write } from "./sample.ts";

const messages: readonly ReplicaMessage[] = [
  promise(ballot(1)),
  write(ballot(1), 2, NOP, value("a")),
  learn(ballot(1), 2),
  read(1),
  { ...HEADER, type: "confirm", ballot: ballot(1) },
  { ...HEADER, type: "catch-up", records: [{ position: HEADER.membershipPosition, performed: ballot(1), entry: NOP }] },
  { type: "status" },
  { type: "bootstrap-start", clusterId: CLUSTER, replicaId: R1, membership: MEMBERSHIP },
  { type: "bootstrap-vote", clusterId: CLUSTER },
];

describe("what a replica takes", () => {
  test.each(messages)("[L13] $type comes through as it was sent", (message) => {
    expect(parseEnvelope(structuredClone(envelope(message)))).toEqual({ type: "message", message });
  });

  test("[L13] a newer version is refused clearly", () => {
    expect(parseEnvelope({ v: LOG_MESSAGE_VERSION + 1, message: { type: "status" } })).toEqual({
      type: "invalid",
      reason: `message version ${LOG_MESSAGE_VERSION + 1}, this replica reads ${LOG_MESSAGE_VERSION}`,
    });
  });

  test.each([
    ["nothing", undefined],
    ["a text", "promise"],
    ["no type", {}],
    ["an unknown type", { type: "surprise" }],
    ["no cluster", { ...promise(ballot(1)), clusterId: undefined }],
    ["an empty cluster id", { ...promise(ballot(1)), clusterId: "" }],
    ["a ballot of 0", promise(ballot(0))],
    ["a ballot that is no number", promise(ballot(Number.NaN))],
    ["a ballot with a long nonce", promise(ballot(1, "master-1", "n".repeat(256)))],
    ["position 0", write(ballot(1), 0, NOP)],
    ["a position with a fraction", write(ballot(1), 1.5, NOP)],
    ["a position beyond safe integers", write(ballot(1), 2 ** 53, NOP)],
    ["no entries", write(ballot(1), 2)],
    ["too many entries", write(ballot(1), 2, ...Array.from({ length: WRITE_ENTRIES_MAX + 1 }, () => NOP))],
    ["too long an entry", write(ballot(1), 2, value("x".repeat(ENTRY_LETTERS_MAX + 1)))],
    ["too many letters", write(ballot(1), 2, ...Array.from({ length: 5 }, () => value("x".repeat(ENTRY_LETTERS_MAX))))],
    ["a written membership", write(ballot(1), 2, { type: "membership", membership: MEMBERSHIP })],
    ["a written truncation", write(ballot(1), 2, { type: "truncate", to: HEADER.membershipPosition })],
    ["a membership of nobody", { ...messages[7], membership: { replicas: [] } }],
    ["a membership with a replica twice", { ...messages[7], membership: { replicas: [R1, R1] } }],
    [
      "records with a gap",
      {
        ...HEADER,
        type: "catch-up",
        records: [1, 3].map((at) => ({ position: at, performed: ballot(1), entry: NOP })),
      },
    ],
    [
      "too many records",
      {
        ...HEADER,
        type: "catch-up",
        records: Array.from({ length: PAGE_ENTRIES_MAX + 1 }, (_, at) => ({
          position: at + 1,
          performed: ballot(1),
          entry: NOP,
        })),
      },
    ],
  ])("[L13] %s is answered as invalid", (_what, message) => {
    expect(parseEnvelope({ v: LOG_MESSAGE_VERSION, message })).toMatchObject({ type: "invalid" });
  });

  test("[L13] nothing that arrives makes it throw", () => {
    fc.assert(
      fc.property(fc.anything(), (raw) => {
        parseEnvelope(raw);
        parseEnvelope({ v: LOG_MESSAGE_VERSION, message: raw });
        for (const message of messages) {
          for (const key of Object.keys(message)) {
            if (key !== "type") parseEnvelope({ v: LOG_MESSAGE_VERSION, message: { ...message, [key]: raw } });
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  test("[L12] an entry reads back from its text, and anything else is no entry", () => {
    for (const entry of [NOP, value("\ud800 \u2028"), { type: "membership", membership: MEMBERSHIP } as const]) {
      expect(parseEntryText(entryText(entry))).toEqual(entry);
    }
    for (const text of ["", "null", "{}", '{"type":"append"}', '{"type":"nop"'])
      expect(parseEntryText(text)).toBeUndefined();
  });
});
