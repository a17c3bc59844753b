// A long view goes to its reader in slices [M53] [M54]: a slice is little work and little text, other turns come between two of them, and the
// next one is made when the last has been taken. The bound is one of size: a deployed object's clock stands still while it works.
import type { Pieces } from "./json-pieces.ts";

/** Letters at which a slice is full; its last piece may go beyond. Some milliseconds of work. */
export const SLICE_LETTERS = 128 * 1024;
/** Pieces in a slice: finding that nothing is left of many tasks is work, too. */
export const SLICE_PIECES_MAX = 64;
/** Time that a reader has to take a slice, ms. */
export const SLICE_MS_MAX = 30_000;

export interface Slice {
  readonly text: string;
  readonly isLast: boolean;
}

export class Slices {
  readonly #pieces: Iterator<string>;

  constructor(pieces: Pieces) {
    this.#pieces = pieces[Symbol.iterator]();
  }

  next(): Slice {
    let text = "";
    for (let pieces = 0; text.length < SLICE_LETTERS && pieces < SLICE_PIECES_MAX; pieces++) {
      const piece = this.#pieces.next();
      if (piece.done === true) return { text, isLast: true };
      text += piece.value;
    }
    return { text, isLast: false };
  }
}

/** Who reads a view, and what goes on around it. */
export interface Reader {
  /** Resolves when it has taken the text; rejects when it is gone. */
  take(text: string): Promise<void>;
  end(): Promise<void>;
  /** Resolves when other turns have had their chance. */
  rest(): Promise<void>;
  /** Why the rest of the view may not be shown any more; undefined while it may. */
  refusal(): Promise<string | undefined>;
  /** Rings once unless it is called off by what this returns. */
  alarm(ms: number, ring: () => void): () => void;
}

/** left: the reader is gone. What had begun and cannot go on is cut, so that nobody takes it for the whole. */
export type Poured =
  | { readonly type: "whole" }
  | { readonly type: "left" }
  | { readonly type: "cut"; readonly reason: string };

const LATE: Poured = { type: "cut", reason: `the reader has not read for ${SLICE_MS_MAX / 1000} s` };

/** Never rejects. `first` was made by the caller. */
export async function pour(first: Slice, slices: Slices, reader: Reader): Promise<Poured> {
  try {
    for (let slice = first; ; slice = slices.next()) {
      if (slice.text !== "") {
        const end = await inTime(reader, reader.take(slice.text));
        if (end !== undefined) return end;
      }
      if (slice.isLast) return (await inTime(reader, reader.end())) ?? { type: "whole" };
      await reader.rest();
      const reason = await reader.refusal();
      if (reason !== undefined) return { type: "cut", reason };
    }
  } catch (error) {
    return { type: "cut", reason: String(error) };
  }
}

/** Undefined when it was taken. */
function inTime(reader: Reader, taken: Promise<void>): Promise<Poured | undefined> {
  return new Promise((resolve) => {
    const callOff = reader.alarm(SLICE_MS_MAX, () => resolve(LATE));
    const settle = (poured: Poured | undefined): void => {
      callOff();
      resolve(poured);
    };
    taken.then(
      () => settle(undefined),
      () => settle({ type: "left" }),
    );
  });
}
