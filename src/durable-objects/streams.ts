// The v1 streams that a master holds open: one record per write, bounded queues, and a word when a reader is gone.
import { encodeRecord } from "#protocol/record-io.ts";
import type { StreamId } from "#protocol/ids.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";

/** Bytes that may wait for a slow reader before it is cut off. */
export const QUEUED_BYTES_MAX = 16 * 1024 * 1024;

interface Stream {
  readonly writer: WritableStreamDefaultWriter<Uint8Array>;
  queuedBytes: number;
  /** Something was sent: a client expects SUBSCRIBED before the first HEARTBEAT, and that may wait for the registry. */
  hasBegun: boolean;
}

const encoder = new TextEncoder();
const HEARTBEAT: SchedulerEvent = { type: "HEARTBEAT" };

export class Streams {
  readonly #streams = new Map<StreamId, Stream>();
  readonly #onGone: (streamId: StreamId, reason: string) => void;

  /** `onGone` hears of each stream that ends without {@link close}. */
  constructor(onGone: (streamId: StreamId, reason: string) => void) {
    this.#onGone = onGone;
  }

  get size(): number {
    return this.#streams.size;
  }

  open(streamId: StreamId): ReadableStream {
    const { readable, writable } = new IdentityTransformStream();
    this.#streams.set(streamId, { writer: writable.getWriter(), queuedBytes: 0, hasBegun: false });
    return readable;
  }

  send(streamId: StreamId, event: SchedulerEvent): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    const record = encodeRecord(encoder.encode(JSON.stringify(event)));
    if (stream.queuedBytes + record.length > QUEUED_BYTES_MAX) {
      this.#gone(streamId, "the client reads too slowly");
      return;
    }
    stream.queuedBytes += record.length;
    stream.hasBegun = true;
    stream.writer.write(record).then(
      () => (stream.queuedBytes -= record.length),
      (error: unknown) => this.#gone(streamId, String(error)),
    );
  }

  /** A write is also how a client that left is noticed. */
  heartbeat(): void {
    for (const [streamId, { hasBegun }] of [...this.#streams]) if (hasBegun) this.send(streamId, HEARTBEAT);
  }

  #gone(streamId: StreamId, reason: string): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#streams.delete(streamId);
    void stream.writer.abort(reason).catch(() => undefined);
    this.#onGone(streamId, reason);
  }

  /** Ends a stream after what was sent. */
  close(streamId: StreamId): void {
    const stream = this.#streams.get(streamId);
    if (stream === undefined) return;
    this.#streams.delete(streamId);
    void stream.writer.close().catch(() => undefined);
  }

  closeAll(): StreamId[] {
    const ids = [...this.#streams.keys()];
    for (const id of ids) this.close(id);
    return ids;
  }
}
