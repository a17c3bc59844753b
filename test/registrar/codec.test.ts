import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeEntry, encodeEntry, encodeOperation, encodeOperations, type RegistrarEntry } from "#registrar/codec.ts";
import type { MasterId } from "#protocol/ids.ts";
import { admit, info, update } from "./sample.ts";

const entries: readonly RegistrarEntry[] = [
  { type: "leader", candidate: "master-1", masterId: "uuid" as MasterId },
  { type: "operations", operations: [] },
  { type: "operations", operations: [admit(1), update(1, info('a "host" \u2028 \ud83d\ude00'))] },
];

describe("the text of an entry", () => {
  test.each(entries)("[R2] $type reads back as it was written", (entry) => {
    expect(decodeEntry(encodeEntry(entry))).toEqual({ type: "entry", entry });
  });

  test("[R3] an entry put together from single texts is the same", () => {
    const operations = [admit(1), update(1, info("other"))];
    expect(encodeOperations(operations.map(encodeOperation))).toBe(encodeEntry({ type: "operations", operations }));
  });

  test.each([
    ["", "no JSON"],
    ["null", ""],
    ["[]", ""],
    ['"leader"', ""],
    ["{}", "v"],
    ['{"v":0,"type":"leader"}', "v"],
    ['{"v":1.5,"type":"leader"}', "v"],
    ['{"v":"1","type":"leader"}', "v"],
    ['{"v":2,"type":"leader","candidate":"a","masterId":"b"}', "version 2, this release reads up to 1: upgrade"],
    ['{"v":1,"type":"snapshot"}', "type"],
    ['{"v":1,"type":"leader","candidate":"","masterId":"b"}', "candidate"],
    ['{"v":1,"type":"leader","candidate":"a"}', "masterId"],
    ['{"v":1,"type":"operations"}', "operations"],
    ['{"v":1,"type":"operations","operations":[{"operation":{"type":"remove-agent"}}]}', "operations.0.operation.type"],
    ['{"v":1,"type":"operations","operations":[null]}', "operations.0"],
  ])("[R14] %s is unreadable and says why", (data, reason) => {
    const decoded = decodeEntry(data);
    expect(decoded.type).toBe("unreadable");
    expect(decoded).toHaveProperty("reason", expect.stringContaining(reason));
  });

  test("[R14] nothing that is stored makes it throw", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (data) => {
        decodeEntry(data);
        decodeEntry(`{"v":1,"type":"operations","operations":[${data}]}`);
      }),
    );
  });
});
