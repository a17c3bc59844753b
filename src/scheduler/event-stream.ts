// Turns the body of a SUBSCRIBE answer into events. It decides when a stream is dead: silence for five heartbeats, a
// broken record, or the end of the body. What to do then is the caller's choice.
import { RecordReader } from "#protocol/record-io.ts";
import { HEARTBEAT_INTERVAL_SECONDS, type SchedulerEvent } from "#protocol/scheduler.ts";
import type { Clock } from "./clock.ts";
import { StreamBrokenError } from "./errors.ts";

/** Heartbeats that may be missed before a stream counts as dead. Source: http-api-v1 §4.2, what clients commonly take. */
export const MISSED_HEARTBEATS_MAX = 5;

/**
 * The events of one stream in order. Ends after an ERROR event, which is final; every other end throws
 * {@link StreamBrokenError}. `abandon` is called when the reader must let the connection go.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  abandon: (reason: Error) => void,
  clock: Clock,
): AsyncGenerator<SchedulerEvent, void, undefined> {
  const records = new RecordReader();
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const reader = body.getReader();
  let silenceMs = HEARTBEAT_INTERVAL_SECONDS * MISSED_HEARTBEATS_MAX * 1000;
  try {
    for (;;) {
      const chunk = await readBeforeSilence(reader, { silenceMs, abandon, clock });
      const result = records.push(chunk);
      if (result.type === "refused") throw new StreamBrokenError(`not RecordIO: ${result.reason}`);
      for (const record of result.records) {
        const event = parseEvent(decoder, record);
        if (event.type === "SUBSCRIBED") {
          silenceMs = event.subscribed.heartbeat_interval_seconds * MISSED_HEARTBEATS_MAX * 1000;
        }
        yield event;
        if (event.type === "ERROR") return;
      }
    }
  } finally {
    abandon(new StreamBrokenError("the reader left"));
    reader.cancel().catch(() => undefined); // already broken or aborted: there is nothing left to let go of
  }
}

async function readBeforeSilence(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  {
    silenceMs,
    abandon,
    clock,
  }: { readonly silenceMs: number; readonly abandon: (reason: Error) => void; readonly clock: Clock },
): Promise<Uint8Array> {
  const silent = new StreamBrokenError(`nothing came for ${Math.round(silenceMs / 1000)} s`);
  const stop = clock.after(silenceMs, () => abandon(silent));
  try {
    const { value, done } = await reader.read();
    if (done || value === undefined) throw new StreamBrokenError("the plane closed the stream");
    return value;
  } catch (error) {
    if (error instanceof StreamBrokenError) throw error;
    throw new StreamBrokenError(`the stream broke: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    stop();
  }
}

/** Mesos adds event types over time: a reader must let those that it does not know pass, so only `type` is checked. */
function parseEvent(decoder: TextDecoder, record: Uint8Array): SchedulerEvent {
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(record));
  } catch {
    throw new StreamBrokenError("a record is not JSON");
  }
  if (typeof json !== "object" || json === null || !("type" in json) || typeof json.type !== "string") {
    throw new StreamBrokenError("a record is not an event");
  }
  return json as SchedulerEvent;
}
