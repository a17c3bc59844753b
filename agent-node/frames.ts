// Lists that are cut into frames: the plane takes so many items and so many bytes at once.
import { FRAME_BYTES_MAX, FRAME_ITEMS_MAX } from "#protocol/agent.ts";

/** What may be in a frame besides its items, bytes. */
export const ENVELOPE_BYTES = 16 * 1024;

export const byteLength = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

/** The items in their order, in frames of at most FRAME_ITEMS_MAX and `bytesMax`; what is longer by itself has its own. */
export function inFrames<T>(items: Iterable<T>, bytesMax = FRAME_BYTES_MAX - ENVELOPE_BYTES): T[][] {
  const frames: T[][] = [];
  let bytes = 0;
  for (const item of items) {
    const size = byteLength(item);
    const last = frames.at(-1);
    if (last === undefined || last.length >= FRAME_ITEMS_MAX || bytes + size > bytesMax) {
      frames.push([item]);
      bytes = size;
    } else {
      last.push(item);
      bytes += size;
    }
  }
  return frames;
}
