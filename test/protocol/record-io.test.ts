import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeRecord, RECORD_BYTES_MAX, RecordReader } from "#protocol/record-io.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const texts = (records: readonly Uint8Array[]): string[] => records.map((record) => new TextDecoder().decode(record));

function readAll(chunks: readonly Uint8Array[]): string[] {
  const reader = new RecordReader();
  return chunks.flatMap((chunk) => {
    const result = reader.push(chunk);
    if (result.type === "refused") throw new Error(result.reason);
    return texts(result.records);
  });
}

test("a record is its length in bytes, a line feed, and the payload", () => {
  expect(new TextDecoder().decode(encodeRecord(bytes('{"type":"HEARTBEAT"}')))).toBe('20\n{"type":"HEARTBEAT"}');
});

test("the length counts bytes, not characters", () => {
  expect(new TextDecoder().decode(encodeRecord(bytes("é")))).toBe("2\né");
  expect(readAll([bytes("2\né1\na")])).toEqual(["é", "a"]);
});

test("chunk borders carry no meaning", () => {
  const payload = fc.uint8Array({ minLength: 1, maxLength: 300 });
  fc.assert(
    fc.property(
      fc.array(payload, { maxLength: 8 }),
      fc.array(fc.nat({ max: 50 }), { maxLength: 20 }),
      (payloads, cuts) => {
        const stream = new Uint8Array(payloads.flatMap((one) => [...encodeRecord(one)]));
        const chunks: Uint8Array[] = [];
        let at = 0;
        for (const cut of cuts) chunks.push(stream.slice(at, (at += cut)));
        chunks.push(stream.slice(at));
        const reader = new RecordReader();
        const records = chunks.flatMap((chunk) => {
          const result = reader.push(chunk);
          return result.type === "records" ? [...result.records] : [];
        });
        expect(records).toEqual(payloads);
      },
    ),
  );
});

test("half a record at the end is kept back", () => {
  expect(readAll([bytes("3\nab")])).toEqual([]);
  expect(readAll([bytes("1")])).toEqual([]);
});

test.each([
  ["an empty record", "0\n"],
  ["no length", "\nabc"],
  ["a sign", "-1\na"],
  ["a space", " 1\na"],
  ["hexadecimal", "0x1\na"],
  ["a carriage return", "1\r\na"],
  ["a length over the bound", `${RECORD_BYTES_MAX + 1}\n`],
  ["a length without end", "9".repeat(40)],
])("%s is refused", (_, text) => {
  expect(new RecordReader().push(bytes(text)).type).toBe("refused");
});

test("after a refusal nothing is read any more", () => {
  const reader = new RecordReader();
  reader.push(bytes("x"));
  expect(reader.push(bytes("1\na")).type).toBe("refused");
});

test("any bytes are read or refused, and nothing throws", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (chunks) => {
      const reader = new RecordReader();
      for (const chunk of chunks) reader.push(chunk);
    }),
  );
});

test("the longest record is read", () => {
  const longest = new Uint8Array(RECORD_BYTES_MAX).fill(0x61);
  const result = new RecordReader().push(encodeRecord(longest));
  expect(result.type === "records" && result.records[0]?.length).toBe(RECORD_BYTES_MAX);
});
