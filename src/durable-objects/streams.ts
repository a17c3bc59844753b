// The v1 streams that a master holds open: one record per write, each in the form that its reader takes, and bounded queues, because a
// reader that does not read would otherwise cost the master its memory. Whoever ends without being closed is told about.
import { encodeRecord } from "#protocol/record-io.ts";
import type { StreamId } from "#protocol/ids.ts";
import { PROTOBUF_TYPE, type MediaType } from "#protocol/media-type.ts";
import { toBinary } from "#protocol/mesos-binary.ts";
import { toJson } from "#protocol/mesos-json.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";

/** Bytes, and records, that may wait for one slow reader before it is cut off. */
export const QUEUED_BYTES_MAX = 16 * 1024 * 1024;
export const QUEUED_RECORDS_MAX = 50_000;
/** Questions of one reader that may wait to be answered: a hundred bytes each. */
export const HELD_MAX = 200_000;
/** Bytes that may wait for all readers together, of the 128 MiB that an object has: then the one that is behind most is cut off. */
export const QUEUED_BYTES_MAX_OF_ALL = 48 * 1024 * 1024;
/** Records, and bytes, that may wait when more is made of what {@link Streams.sendEach} was given. */
const ROOM = { records: 1_000, bytes: 1024 * 1024 };
/** Time that a reader has to take the rest of a stream that was closed, ms. */
export const CLOSE_MS_MAX = 30_000;

interface Stream {
  readonly id: StreamId;
  readonly contentType: MediaType;
  readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  queuedBytes: number;
  queuedRecords: number;
  /** What is told when there is room for it. */
  readonly sources: Source[];
  /** What these hold in memory. */
  held: number;
}

interface Source {
  readonly events: Iterator<SchedulerEvent>;
  readonly holds: number;
}

const HEARTBEAT: SchedulerEvent = { type: "HEARTBEAT" };

export class Streams {
  readonly #streams = new Map<StreamId, Stream>();
  /** Closed, but not yet read to their end. */
  readonly #closing = new Set<Stream>();
  #queuedBytes = 0;
  readonly #onGone: (streamId: StreamId, reason: string) => void;

  /** `onGone` hears of each stream that ends without {@link close}. */
  constructor(onGone: (streamId: StreamId, reason: string) => void) {
    this.#onGone = onGone;
  }

  get size(): number {
    return this.#streams.size;
  }

  open(id: StreamId, contentType: MediaType): ReadableStream {
    const { readable, writable } = new IdentityTransformStream();
    this.#streams.set(id, {
      id,
      contentType,
      writer: writable.getWriter(),
      queuedBytes: 0,
      queuedRecords: 0,
      sources: [],
      held: 0,
    });
    return readable;
  }

  send(streamId: StreamId, event: SchedulerEvent): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) this.#write(stream, recordOf(event, stream.contentType));
  }

  /**
   * One after the other, each made when its reader has room for it: however many they are, they cut off nobody. `holds`: what waits in memory
   * until they are made, of which there may be {@link HELD_MAX}.
   */
  sendEach(streamId: StreamId, events: Iterable<SchedulerEvent>, holds = 1): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    if (stream.held + holds > HELD_MAX) return this.#end(stream, slow(stream));
    stream.sources.push({ events: events[Symbol.iterator](), holds });
    stream.held += holds;
    this.#fill(stream);
  }

  #fill(stream: Stream): void {
    const { sources, contentType } = stream;
    for (let [source] = sources; source !== undefined; [source] = sources) {
      if (this.#streams.get(stream.id) !== stream) return;
      if (stream.queuedRecords >= ROOM.records || stream.queuedBytes >= ROOM.bytes) return;
      let next: IteratorResult<SchedulerEvent>;
      try {
        next = source.events.next();
      } catch (error) {
        return this.#end(stream, `it could not be told what it has missed: ${String(error)}`);
      }
      if (next.done === true) {
        sources.shift();
        stream.held -= source.holds;
      } else this.#write(stream, recordOf(next.value, contentType));
    }
  }

  /** A write is also how a client that left is noticed. */
  heartbeat(): void {
    for (const stream of [...this.#streams.values()]) this.#write(stream, recordOf(HEARTBEAT, stream.contentType));
  }

  #write(stream: Stream, record: Uint8Array): void {
    if (stream.queuedBytes + record.length > QUEUED_BYTES_MAX || stream.queuedRecords + 1 > QUEUED_RECORDS_MAX) {
      this.#end(stream, slow(stream));
      return;
    }
    this.#count(stream, record.length, 1);
    stream.writer.write(record).then(
      () => {
        this.#count(stream, -record.length, -1);
        if (stream.queuedRecords * 2 <= ROOM.records) this.#fill(stream);
      },
      (error: unknown) => {
        this.#count(stream, -record.length, -1);
        this.#end(stream, String(error));
      },
    );
    while (this.#queuedBytes > QUEUED_BYTES_MAX_OF_ALL) {
      const slowest = this.#slowest();
      this.#end(slowest, `${slow(slowest)}, and the plane's memory is short`);
    }
  }

  #count(stream: Stream, bytes: number, records: number): void {
    stream.queuedBytes += bytes;
    stream.queuedRecords += records;
    if (this.#streams.get(stream.id) === stream || this.#closing.has(stream)) this.#queuedBytes += bytes;
  }

  #slowest(): Stream {
    return [...this.#streams.values(), ...this.#closing].reduce((most, stream) =>
      stream.queuedBytes > most.queuedBytes ? stream : most,
    );
  }

  /** At once, and what waits is thrown away. */
  #end(stream: Stream, reason: string): void {
    const isOpen = this.#streams.get(stream.id) === stream;
    if (!isOpen && !this.#closing.has(stream)) return;
    this.#forget(stream);
    void stream.writer.abort(reason).catch(() => undefined);
    if (isOpen) this.#onGone(stream.id, reason);
  }

  #forget(stream: Stream): void {
    this.#streams.delete(stream.id);
    this.#closing.delete(stream);
    this.#queuedBytes -= stream.queuedBytes;
  }

  /** Ends a stream after what was sent. */
  close(streamId: StreamId): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#streams.delete(streamId);
    this.#closing.add(stream);
    const late = setTimeout(() => this.#end(stream, "closed, and not read to its end"), CLOSE_MS_MAX);
    void stream.writer
      .close()
      .catch(() => undefined)
      .finally(() => {
        clearTimeout(late);
        if (this.#closing.has(stream)) this.#forget(stream);
      });
  }

  closeAll(): StreamId[] {
    const ids = [...this.#streams.keys()];
    for (const id of ids) this.close(id);
    return ids;
  }
}

const encoder = new TextEncoder();

const recordOf = (event: SchedulerEvent, contentType: MediaType): Uint8Array =>
  encodeRecord(
    contentType === PROTOBUF_TYPE
      ? toBinary("scheduler.Event", { ...event })
      : encoder.encode(toJson("scheduler.Event", { ...event })),
  );

const slow = ({ queuedBytes, queuedRecords, held }: Stream): string =>
  `the client reads too slowly: ${queuedRecords} records of ${queuedBytes} bytes wait for it, and ${held} of its questions`;
