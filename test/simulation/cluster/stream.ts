// A scheduler's event stream, from the master that opens it to the framework that reads it: ordered, and lost as a whole.
import { integerBetween } from "#base/random.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import { inside, type Isolate } from "./isolate.ts";

export interface StreamReader {
  readonly onEvent: (event: SchedulerEvent) => void;
  readonly onEnd: () => void;
}

const decoder = new TextDecoder();
const DELAY_MS_MAX = 20;

/** `new IdentityTransformStream()`: made by the master, read by whoever has its `readable`. */
export class EventStream {
  /** Sees each event as it leaves the master; set once for a simulation. */
  static onLeaving: (isolate: Isolate, stream: EventStream, event: SchedulerEvent) => void = () => {};

  readonly readable = this;
  readonly writable = { getWriter: () => this.#writer };
  readonly isolate: Isolate;
  /** Whose stream it is, for whoever looks on. */
  framework: string | undefined;
  #reader: StreamReader | undefined;
  readonly #waiting: (SchedulerEvent | "end")[] = [];
  #arrivesAt = 0;
  isBroken = false;
  readonly #writer = {
    write: (record: Uint8Array): Promise<void> => {
      const text = decoder.decode(record);
      const event = JSON.parse(text.slice(text.indexOf("\n") + 1)) as SchedulerEvent;
      if (!this.isolate.isAlive) return Promise.resolve();
      if (this.isBroken) return Promise.reject(new Error("the client is gone"));
      EventStream.onLeaving(this.isolate, this, event);
      // It may have died over it.
      if (this.isolate.isAlive) this.#pass(event);
      return Promise.resolve();
    },
    close: (): Promise<void> => {
      this.#pass("end");
      return Promise.resolve();
    },
    abort: (): Promise<void> => {
      this.#pass("end");
      return Promise.resolve();
    },
  };

  constructor() {
    const isolate = inside();
    if (isolate === undefined) throw new Error("a stream is opened by an object");
    this.isolate = isolate;
    const { schedule, random } = isolate.world;
    isolate.onDeath.add(() => {
      // The client hears that its connection is reset, or nothing at all.
      if (random.next() < 0.7) schedule.after(integerBetween(random, 1, 2_000), () => this.#take("end"));
    });
  }

  /** Undefined: the client has gone away. */
  read(reader: StreamReader | undefined): void {
    this.#reader = reader;
    if (reader === undefined) this.isBroken = true;
    else for (const waiting of this.#waiting.splice(0)) this.#take(waiting);
  }

  #pass(what: SchedulerEvent | "end"): void {
    const { schedule, random } = this.isolate.world;
    this.#arrivesAt = Math.max(this.#arrivesAt, schedule.now + integerBetween(random, 1, DELAY_MS_MAX));
    schedule.after(this.#arrivesAt - schedule.now, () => this.#take(what));
  }

  #take(what: SchedulerEvent | "end"): void {
    if (this.#reader === undefined) {
      if (!this.isBroken) this.#waiting.push(what);
      return;
    }
    if (what === "end") this.#reader.onEnd();
    else this.#reader.onEvent(what);
  }
}
