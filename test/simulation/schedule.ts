// Virtual time: events in order of their due time, and among equals in the order they were made.
import { present } from "#base/assert.ts";

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

const isBefore = (a: Event, b: Event): boolean => (a.at === b.at ? a.order < b.order : a.at < b.at);

export class Schedule {
  now = 1_000;
  #made = 0;
  /** A binary heap, the soonest first. */
  readonly #heap: Event[] = [];

  after(delayMs: number, run: () => void): void {
    const heap = this.#heap;
    heap.push({ at: this.now + delayMs, order: this.#made++, run });
    for (let at = heap.length - 1; at > 0;) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfBefore(at, parent)) break;
      at = parent;
    }
  }

  /** Runs everything that is due up to `until`, and leaves the time there. */
  runUntil(until: number): void {
    while (this.runNext(until));
  }

  /** Runs the next event if it is due up to `until`. False when there is none: then the time is left there. */
  runNext(until: number): boolean {
    const first = this.#heap[0];
    if (first === undefined || first.at > until) {
      this.now = until;
      return false;
    }
    this.#removeFirst();
    this.now = first.at;
    first.run();
    return true;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = present(heap.pop(), "an event");
    if (heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && isBefore(present(heap[child], "child"), present(heap[least], "least")))
          least = child;
      }
      if (least === at) return;
      this.#swapIfBefore(least, at);
      at = least;
    }
  }

  #swapIfBefore(lower: number, upper: number): boolean {
    const [a, b] = [present(this.#heap[lower], "event"), present(this.#heap[upper], "event")];
    if (!isBefore(a, b)) return false;
    this.#heap[lower] = b;
    this.#heap[upper] = a;
    return true;
  }
}
