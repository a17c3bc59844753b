import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { position } from "#log/entry.ts";
import {
  decodeEntry,
  decodeHead,
  decodeOperation,
  encodeEntry,
  encodeOperation,
  encodeOperations,
  FRAME_LETTERS_MAX,
  type RegistrarEntry,
} from "#registrar/codec.ts";
import { type FrameworkId, ID_BYTES_MAX, type MasterId, type Principal } from "#protocol/ids.ts";
import type { AuditedOperation, RegistryOperation } from "#registrar/operations.ts";
import { QUANTITIES_MAX, QUANTITY_MAX, WEIGHT_MAX, WEIGHT_MIN } from "#registrar/registry.ts";
import { admit, info, leader, update } from "./sample.ts";

const snapshot = position(90);
const at = (operation: RegistryOperation): AuditedOperation => ({ operation, audit: admit(1).audit });
const registerFramework = at({
  type: "register-framework",
  frameworkId: "m-0001" as FrameworkId,
  principal: "p" as Principal,
  failoverTimeoutMs: 0,
});
const updateWeights = at({ type: "update-weights", infos: [{ role: "a/b", weight: WEIGHT_MIN }] });
const updateQuota = at({
  type: "update-quota",
  configs: [
    { role: "a", guarantees: [{ name: "__proto__", value: 0.001 }], limits: [{ name: "cpus", value: QUANTITY_MAX }] },
    { role: "b", guarantees: [], limits: [] },
  ],
});
const entries: readonly RegistrarEntry[] = [
  { type: "leader", candidate: "master-1", masterId: "uuid" as MasterId },
  { type: "leader", candidate: "master-1", masterId: "uuid" as MasterId, snapshot },
  { type: "operations", leader: leader(), operations: [] },
  {
    type: "operations",
    leader: leader(),
    snapshot,
    operations: [admit(1), update(1, info('a "host" \u2028 \ud83d\ude00'))],
  },
  { type: "operations", leader: leader(), operations: [registerFramework, updateWeights, updateQuota] },
];

describe("the text of an entry", () => {
  test.each(entries)("[R2] $type reads back as it was written", (entry) => {
    expect(decodeEntry(encodeEntry(entry))).toEqual({ type: "entry", entry });
  });

  test("[R3] an entry put together from single texts is the same", () => {
    const operations = [admit(1), update(1, info("other"))];
    const head = { leader: leader(), snapshot };
    const whole = encodeEntry({ type: "operations", ...head, operations });
    expect(encodeOperations(operations.map(encodeOperation), head, 2)).toBe(whole);
    const { v, ...entry } = JSON.parse(whole);
    expect({ v, entry }).toEqual({ v: 2, entry: { type: "operations", ...head, operations } });
  });

  test("[R3] the frame of an entry is bounded, whatever the names in it are", () => {
    const name = "\u0001".repeat(ID_BYTES_MAX);
    const by = leader(Number.MAX_SAFE_INTEGER, name, name);
    const text = encodeOperations([], { leader: by, snapshot: position(Number.MAX_SAFE_INTEGER) }, 2);
    expect(text.length).toBeLessThan(FRAME_LETTERS_MAX);
    expect(decodeEntry(text)).toMatchObject({ type: "entry", entry: { leader: by } });
  });

  test("[R15] entries of release 0.1.0 still read: strict, and without a head", () => {
    const { operation, audit } = admit(1);
    const { strict, ...older } = operation as typeof operation & { readonly strict: boolean };
    expect(strict).toBe(true);
    const text = JSON.stringify({ v: 1, type: "operations", operations: [{ operation: older, audit }] });
    expect(decodeEntry(text)).toEqual({ type: "entry", entry: { type: "operations", operations: [admit(1)] } });
    const led = { type: "leader", candidate: "master-1", masterId: "uuid" };
    expect(decodeEntry(JSON.stringify({ v: 1, ...led }))).toEqual({ type: "entry", entry: led });
  });

  test("[R32] an entry has the lowest version that reads it rightly: the release before applies what it knows, and refuses the rest", () => {
    const versionOf = (entry: RegistrarEntry): unknown => (JSON.parse(encodeEntry(entry)) as { v: unknown }).v;
    expect(entries.map(versionOf)).toEqual([2, 2, 2, 2, 3]);
    for (const operation of [registerFramework, updateWeights, updateQuota]) {
      expect(versionOf({ type: "operations", leader: leader(), operations: [admit(1), operation] })).toBe(3);
    }
    const chunk = { type: "snapshot", leader: leader(), chunk: 0, last: true } as const;
    expect(versionOf({ ...chunk, tables: { admitted: [] } })).toBe(2);
    expect(versionOf({ ...chunk, tables: { admitted: [], weights: [{ role: "a", weight: 2 }] } })).toBe(3);
    expect(versionOf({ ...chunk, tables: { quotas: [] } })).toBe(3);
    expect(versionOf({ ...chunk, tables: { registeredFrameworks: [] } })).toBe(3);
  });

  const quota = (quantities: readonly object[], role: unknown = "a") => ({
    type: "update-quota",
    configs: [{ role, guarantees: quantities, limits: [] }],
  });
  const weight = (value: unknown, role: unknown = "a") => ({
    type: "update-weights",
    infos: [{ role, weight: value }],
  });
  test.each([
    quota([{ name: "cpus", value: -1 }]),
    quota([{ name: "cpus", value: QUANTITY_MAX * 1.01 }]),
    quota([{ name: "cpus", value: null }]),
    quota([{ name: "cpus" }]),
    quota([{ name: "", value: 1 }]),
    quota([{ name: "x".repeat(256), value: 1 }]),
    quota(Array.from({ length: QUANTITIES_MAX + 1 }, (_, n) => ({ name: `r${n}`, value: 1 }))),
    quota([], ""),
    quota([], 7),
    { type: "update-quota", configs: [...quota([]).configs, ...quota([]).configs] },
    { type: "update-weights", infos: [...weight(1).infos, ...weight(2).infos] },
    weight(0),
    weight(-1),
    weight("2"),
    weight(WEIGHT_MIN / 2),
    weight(WEIGHT_MAX * 2),
    weight(1, "r".repeat(256)),
    { ...registerFramework.operation, principal: undefined },
    { ...registerFramework.operation, failoverTimeoutMs: -1 },
  ])("[R14] [R29] [R30] [R31] %j is not read", (operation) => {
    const text = encodeOperation({ operation: operation as unknown as RegistryOperation, audit: admit(1).audit });
    expect(decodeOperation(text)).toBeUndefined();
    expect(decodeEntry(`{"v":1,"type":"operations","operations":[${text}]}`).type).toBe("unreadable");
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
    ['{"v":4,"type":"leader","candidate":"a","masterId":"b"}', "version 4, this release reads up to 3: upgrade"],
    ['{"v":2,"type":"operations","operations":[]}', "who led"],
    ['{"v":2,"type":"operations","leader":{"candidate":"a"},"operations":[]}', "leader.masterId"],
    ['{"v":2,"type":"leader","candidate":"a","masterId":"b","snapshot":0}', "snapshot"],
    ['{"v":1,"type":"surprise"}', "type"],
    ['{"v":1,"type":"snapshot"}', "chunk"],
    ['{"v":2,"type":"snapshot","chunk":0,"last":true,"tables":{}}', "who led"],
    ['{"v":1,"type":"leader","candidate":"","masterId":"b"}', "candidate"],
    ['{"v":1,"type":"leader","candidate":"a"}', "masterId"],
    ['{"v":1,"type":"operations"}', "operations"],
    [
      '{"v":1,"type":"operations","operations":[{"operation":{"type":"no-such-thing"}}]}',
      "operations.0.operation.type",
    ],
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
        decodeHead(position(1), data);
        decodeHead(position(1), `{"v":2,"type":"leader","candidate":${data}}`);
      }),
    );
  });
});

describe("the head of an entry", () => {
  test("[R15] it says who led, and where the newest snapshot begins; a leader entry is its own epoch", () => {
    for (const entry of entries) {
      const by = entry.type === "leader" ? leader(7, "master-1", "uuid") : leader();
      const head = { leader: by, snapshot: entry.snapshot };
      expect(decodeHead(position(7), encodeEntry(entry))).toEqual({ type: "head", head });
    }
  });

  test("[R15] an operations entry of release 0.1.0 has none, its leader entry has one", () => {
    expect(decodeHead(position(7), '{"v":1,"type":"operations","operations":[]}')).toEqual({ type: "head" });
    const led = decodeHead(position(7), '{"v":1,"type":"leader","candidate":"a","masterId":"b"}');
    expect(led).toEqual({ type: "head", head: { leader: leader(7, "a", "b"), snapshot: undefined } });
  });

  test("[R15] of a newer release the head reads although the rest does not", () => {
    const text = JSON.stringify({ v: 9, type: "surprise", leader: leader(), snapshot: 90, more: [1] });
    expect(decodeHead(position(7), text)).toEqual({ type: "head", head: { leader: leader(), snapshot: 90 } });
    expect(decodeEntry(text)).toMatchObject({ type: "unreadable" });
  });

  test.each([
    ["{", "no JSON"],
    ['{"v":2,"type":"operations","operations":[]}', "who led"],
    ['{"v":9,"type":"surprise"}', "who led"],
    ['{"v":2,"type":"leader","candidate":"a"}', "masterId"],
    ['{"v":2,"type":"operations","leader":{"candidate":"a","masterId":"b","epoch":0}}', "epoch"],
  ])("[R15] %s has none and says why", (text, reason) => {
    const decoded = decodeHead(position(7), text);
    expect(decoded).toMatchObject({ type: "unreadable", reason: expect.stringContaining(reason) });
  });
});
