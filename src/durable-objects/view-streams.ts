// Long views on their way to their readers, a slice at a time (slices.ts). Each holds what it has taken down of the books, and a slice.
import { pour, type Slice, type Slices } from "../master/slices.ts";

/** Views that are read at the same time: each holds up to some MB of the 128 that an object has. */
export const VIEW_STREAMS_MAX = 8;

const encoder = new TextEncoder();

export class ViewStreams {
  #open = 0;
  readonly #onCut: (reason: string) => void;

  constructor(onCut: (reason: string) => void) {
    this.#onCut = onCut;
  }

  get isFull(): boolean {
    return this.#open >= VIEW_STREAMS_MAX;
  }

  /** Before each slice `refusal` says why no more may be shown, or undefined. `done` when the reader has all of it, or it was cut. */
  open(
    first: Slice,
    slices: Slices,
    refusal: () => Promise<string | undefined>,
  ): { readonly readable: ReadableStream; readonly done: Promise<void> } {
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    this.#open += 1;
    const poured = pour(first, slices, {
      take: (text) => writer.write(encoder.encode(text)),
      end: () => writer.close(),
      rest: () => scheduler.wait(0),
      refusal,
      alarm: (ms, ring) => {
        const timer = setTimeout(ring, ms);
        return () => clearTimeout(timer);
      },
    });
    const done = poured.then((outcome) => {
      this.#open -= 1;
      if (outcome.type === "whole") return;
      const reason = outcome.type === "cut" ? outcome.reason : "the reader is gone";
      if (outcome.type === "cut") this.#onCut(reason);
      void writer.abort(reason).catch(() => undefined);
    });
    return { readable, done };
  }
}
