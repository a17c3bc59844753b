// Slices of long views, on virtual time: how much one is, and how the next one waits for its reader.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Pieces } from "../../src/master/json-pieces.ts";
import { pour, type Reader, SLICE_LETTERS, SLICE_MS_MAX, SLICE_PIECES_MAX, Slices } from "../../src/master/slices.ts";

describe("[M54] a slice", () => {
  test("all of them together are the text, none but the last is short without cause, and the last says so", () => {
    const piece = fc.nat(SLICE_LETTERS / 4).map((letters) => "x".repeat(letters));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const slices = new Slices(pieces);
        let text = "";
        for (;;) {
          const slice = slices.next();
          text += slice.text;
          expect(slice.text.length).toBeLessThan(SLICE_LETTERS + SLICE_LETTERS / 4 + 1);
          if (slice.isLast) break;
          expect(slice.text.length).toBeGreaterThanOrEqual(SLICE_LETTERS);
        }
        expect(text).toBe(pieces.join(""));
      }),
    );
  });

  test("has a bound of pieces, too: looking for what is not there any more is work", () => {
    let made = 0;
    const empty = (function* (): Pieces {
      for (; made < 10 * SLICE_PIECES_MAX; made++) yield "";
    })();
    const slices = new Slices(empty);
    expect([slices.next(), made]).toEqual([{ text: "", isLast: false }, SLICE_PIECES_MAX - 1]);
  });
});

/** Time that a test moves, a reader that reads when it is told to, and what happened in which order. */
class World implements Reader {
  readonly events: string[] = [];
  /** What the reader has taken. */
  text = "";
  why: string | undefined;
  #alarms: { readonly at: number; readonly ring: () => void }[] = [];
  #now = 0;
  #waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  readonly #isFast: boolean;

  constructor({ isFast }: { readonly isFast: boolean }) {
    this.#isFast = isFast;
  }

  /** Some slices of one piece each. */
  pieces(count: number): Slices {
    const { events } = this;
    return new Slices(
      (function* (): Pieces {
        for (let n = 1; n <= count; n++) {
          events.push(`made ${n}`);
          yield String(n).repeat(SLICE_LETTERS);
        }
      })(),
    );
  }

  pour(slices: Slices) {
    return pour(slices.next(), slices, this);
  }

  take(text: string): Promise<void> {
    this.events.push(`given ${text[0]}`);
    return this.#taken().then(() => void (this.text += text[0]));
  }
  end(): Promise<void> {
    this.events.push("end");
    return this.#taken();
  }
  #taken(): Promise<void> {
    return this.#isFast
      ? Promise.resolve()
      : new Promise((resolve, reject) => {
          this.#waiting = { resolve, reject };
        });
  }
  async rest(): Promise<void> {
    this.events.push("rest");
  }
  async refusal(): Promise<string | undefined> {
    return this.why;
  }
  alarm(ms: number, ring: () => void): () => void {
    const alarm = { at: this.#now + ms, ring };
    this.#alarms.push(alarm);
    return () => void (this.#alarms = this.#alarms.filter((other) => other !== alarm));
  }

  get alarms(): number {
    return this.#alarms.length;
  }
  async pass(ms: number): Promise<void> {
    this.#now += ms;
    for (const { at, ring } of this.#alarms) if (at <= this.#now) ring();
    await this.turns();
  }
  async turns(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  }
  async read(): Promise<void> {
    this.#waiting?.resolve();
    await this.turns();
  }
  async leave(): Promise<void> {
    this.#waiting?.reject(new Error("gone"));
    await this.turns();
  }
}

describe("[M54] a view on its way", () => {
  test("other turns come between two slices, and nothing is left behind", async () => {
    const world = new World({ isFast: true });
    expect(await world.pour(world.pieces(2))).toEqual({ type: "whole" });
    expect(world.events).toEqual(["made 1", "given 1", "rest", "made 2", "given 2", "rest", "end"]);
    expect(world.alarms).toBe(0);
  });

  test("no slice is made before the last was taken", async () => {
    const world = new World({ isFast: false });
    const poured = world.pour(world.pieces(3));
    await world.pass(SLICE_MS_MAX - 1);
    expect(world.events).toEqual(["made 1", "given 1"]);
    await world.read();
    expect(world.events.slice(2)).toEqual(["rest", "made 2", "given 2"]);
    // Each has the whole time.
    await world.pass(SLICE_MS_MAX - 1);
    for (let reads = 0; reads < 3; reads++) await world.read();
    expect([await poured, world.text, world.alarms]).toEqual([{ type: "whole" }, "123", 0]);
  });

  test("a reader that does not read is cut when its time is over; also one that does not see the end", async () => {
    for (const readsBefore of [0, 1, 2]) {
      const world = new World({ isFast: false });
      const poured = world.pour(world.pieces(2));
      for (let reads = 0; reads < readsBefore; reads++) await world.read();
      await world.pass(SLICE_MS_MAX);
      const { length } = world.events;
      expect(await poured).toEqual({ type: "cut", reason: expect.stringContaining("has not read for 30 s") });
      await world.read();
      expect([world.events.length, world.alarms]).toEqual([length, 0]);
    }
  });

  test("a reader that is gone ends it, and so does a failure", async () => {
    const world = new World({ isFast: false });
    const poured = world.pour(world.pieces(3));
    await world.leave();
    expect([await poured, world.events]).toEqual([{ type: "left" }, ["made 1", "given 1"]]);
    const failing = new Slices(
      (function* (): Pieces {
        yield "x".repeat(SLICE_LETTERS);
        throw new Error("no such table");
      })(),
    );
    const reader = new World({ isFast: true });
    expect(await reader.pour(failing)).toEqual({ type: "cut", reason: "Error: no such table" });
    expect(reader.events).not.toContain("end");
  });

  test("what may not be shown any more is not even made", async () => {
    const world = new World({ isFast: false });
    const poured = world.pour(world.pieces(3));
    world.why = "another candidate leads";
    await world.read();
    expect([await poured, world.events]).toEqual([
      { type: "cut", reason: "another candidate leads" },
      ["made 1", "given 1", "rest"],
    ]);
  });
});
