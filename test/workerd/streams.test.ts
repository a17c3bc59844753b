// Streams to readers that read, that read late, and that do not read. Only the platform knows when a write is done.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { StreamId } from "#protocol/ids.ts";
import { JSON_TYPE, PROTOBUF_TYPE, type MediaType } from "#protocol/media-type.ts";
import { fromBinary } from "#protocol/mesos-binary.ts";
import { RecordReader } from "#protocol/record-io.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import {
  CLOSE_MS_MAX,
  HELD_MAX,
  QUEUED_BYTES_MAX,
  QUEUED_BYTES_MAX_OF_ALL,
  QUEUED_RECORDS_MAX,
  Streams,
} from "../../src/durable-objects/streams.ts";

let gone: [StreamId, string][];
let streams: Streams;
beforeEach(() => {
  gone = [];
  streams = new Streams((streamId, reason) => gone.push([streamId, reason]));
});
afterEach(() => void vi.useRealTimers());

const id = (name: string): StreamId => name as StreamId;
const open = (name: string, contentType: MediaType = JSON_TYPE) =>
  (streams.open(id(name), contentType) as ReadableStream<Uint8Array>).getReader();
const error = (letters: number): SchedulerEvent => ({ type: "ERROR", error: { message: "x".repeat(letters) } });
const MEBI = 1024 * 1024;

/** Until what was written has been handed on, as far as it can be. */
const turns = () => scheduler.wait(0);

test("one record per write, in the form that its reader takes", async () => {
  const json = open("json");
  const binary = open("binary", PROTOBUF_TYPE);
  for (const name of ["json", "binary"]) {
    streams.send(id(name), { type: "ERROR", error: { message: "é" } });
  }
  streams.heartbeat();
  const text = async () => new TextDecoder().decode((await json.read()).value);
  // 40 letters, and one of them has two bytes.
  expect(await text()).toBe('41\n{"type":"ERROR","error":{"message":"é"}}');
  expect(await text()).toBe('20\n{"type":"HEARTBEAT"}');
  const event = async () => {
    const read = new RecordReader().push((await binary.read()).value ?? new Uint8Array(0));
    if (read.type === "refused" || read.records.length !== 1) throw new Error("not one record in one chunk");
    return fromBinary("scheduler.Event", read.records[0] ?? new Uint8Array(0));
  };
  expect(await event()).toEqual({ type: "plain", value: { type: "ERROR", error: { message: "é" } } });
  expect(await event()).toEqual({ type: "plain", value: { type: "HEARTBEAT" } });
});

test("a reader that does not read is cut at its bound of bytes, with a reason, and others go on", async () => {
  const other = open("other");
  const reader = open("slow");
  for (let sent = 0; sent < QUEUED_BYTES_MAX - MEBI; sent += MEBI) streams.send(id("slow"), error(MEBI));
  expect(gone).toEqual([]);
  for (let i = 0; i < 3; i++) streams.send(id("slow"), error(MEBI));
  expect(gone).toEqual([
    [id("slow"), expect.stringMatching(/^the client reads too slowly: 15 records of 157\d+ bytes/)],
  ]);
  expect(streams.size).toBe(1);
  await expect(reader.read()).rejects.toThrow("too slowly");
  streams.heartbeat();
  expect((await other.read()).value?.length).toBe(23);
});

test("a reader that does not read is cut at its bound of records", async () => {
  const reader = open("slow");
  for (let i = 0; i < QUEUED_RECORDS_MAX; i++) streams.heartbeat();
  expect(gone).toEqual([]);
  streams.heartbeat();
  expect(gone).toEqual([[id("slow"), expect.stringContaining(`${QUEUED_RECORDS_MAX} records`)]]);
  await expect(reader.read()).rejects.toThrow("too slowly");
});

test("what has been read counts no more", async () => {
  const reader = open("steady");
  for (let i = 0; i < 40; i++) {
    streams.send(id("steady"), error(MEBI));
    for (let bytes = 0; bytes < MEBI;) bytes += (await reader.read()).value?.length ?? 0;
  }
  await turns();
  expect(gone).toEqual([]);
});

test("many that are slow together: the one that is behind most is cut", () => {
  const each = QUEUED_BYTES_MAX - 2 * MEBI;
  const readers = ["a", "b", "c"].map((name) => {
    const reader = open(name);
    for (let sent = 0; sent < each; sent += MEBI) streams.send(id(name), error(MEBI));
    return reader;
  });
  streams.send(id("b"), error(MEBI));
  readers.push(open("d"));
  expect(gone).toEqual([]);
  for (let sent = 0; sent < QUEUED_BYTES_MAX_OF_ALL - 3 * each; sent += MEBI) streams.send(id("d"), error(MEBI));
  expect(gone).toEqual([[id("b"), expect.stringContaining("memory")]]);
  expect(streams.size).toBe(3);
});

test("a closed stream is read to its end, and nobody hears that it is gone", async () => {
  const reader = open("done");
  streams.heartbeat();
  streams.close(id("done"));
  streams.send(id("done"), error(1));
  expect((await reader.read()).value?.length).toBe(23);
  expect((await reader.read()).done).toBe(true);
  expect([gone, streams.size]).toEqual([[], 0]);
});

test("a closed stream that nobody reads is not kept", async () => {
  vi.useFakeTimers();
  const reader = open("left");
  streams.send(id("left"), error(MEBI));
  expect(streams.closeAll()).toEqual(["left"]);
  vi.advanceTimersByTime(CLOSE_MS_MAX);
  await expect(reader.read()).rejects.toThrow("not read to its end");
  expect(gone).toEqual([]);
});

test("a client that leaves is noticed at the next write", async () => {
  const reader = open("gone");
  await reader.cancel("bye");
  streams.heartbeat();
  await turns();
  expect(gone).toEqual([[id("gone"), expect.any(String)]]);
});

test("[M74] what is told as its reader takes it cuts nobody, however much it is, and is made only then", async () => {
  const reader = open("big");
  let made = 0;
  function* many(): Iterable<SchedulerEvent> {
    for (; made < QUEUED_RECORDS_MAX + 5_000; made++) yield error(1);
  }
  streams.sendEach(id("big"), many());
  streams.sendEach(id("big"), [{ type: "HEARTBEAT" }]);
  await turns();
  expect(made).toBeLessThanOrEqual(1_000);
  // What is said meanwhile does not wait behind it.
  streams.send(id("big"), { type: "RESCIND", rescind: { offer_id: { value: "o" as never } } });
  const records = new RecordReader();
  const types: string[] = [];
  while (types.length < QUEUED_RECORDS_MAX + 5_000 + 2) {
    const read = records.push((await reader.read()).value ?? new Uint8Array(0));
    if (read.type === "refused") throw new Error(read.reason);
    for (const record of read.records)
      types.push((JSON.parse(new TextDecoder().decode(record)) as { type: string }).type);
  }
  expect(types.indexOf("RESCIND")).toBeLessThanOrEqual(1_001);
  expect(types.at(-1)).toBe("HEARTBEAT");
  expect([made, gone]).toEqual([QUEUED_RECORDS_MAX + 5_000, []]);
}, 60_000);

test("[M74] a failure while it is made ends the stream, and nothing else", async () => {
  const other = open("other");
  void open("broken");
  // eslint-disable-next-line require-yield -- it fails before its first event
  function* failing(): Iterable<SchedulerEvent> {
    throw new Error("a row is missing");
  }
  streams.sendEach(id("broken"), failing());
  expect(gone).toEqual([[id("broken"), expect.stringContaining("a row is missing")]]);
  streams.send(id("other"), { type: "HEARTBEAT" });
  expect((await other.read()).done).toBe(false);
});

test("[M74] who asks again and again, and does not read what it is answered, is cut: its questions wait as well", () => {
  void open("asks");
  function* answers(): Iterable<SchedulerEvent> {
    for (;;) yield error(1);
  }
  for (let asked = 0; asked <= HELD_MAX; asked += 10_000) {
    expect(gone).toEqual([]);
    streams.sendEach(id("asks"), answers(), 10_000);
  }
  expect(gone).toEqual([[id("asks"), expect.stringContaining("reads too slowly")]]);
});
