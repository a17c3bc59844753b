// What the platform gives to one instance of an object or a Worker: a clock, timers, chance. The shells under src/durable-objects are
// run as they are, so that their globals are replaced here: whoever runs inside an isolate gets virtual time and seeded chance,
// everybody else (the test runner, say) the real ones.
import { AsyncLocalStorage } from "node:async_hooks";
import type { Random } from "#base/random.ts";
import type { Schedule } from "../schedule.ts";

/** How far a clock is from the true time, ms: it may leap. */
export interface Clock {
  skewMs: number;
}

/** What all isolates of one simulation share. */
export interface World {
  readonly schedule: Schedule;
  readonly random: Random;
  /** A promise may have been settled: before the next event what waits for it must run. */
  stir(): void;
  /** A line of the plane's log. */
  note(isolate: Isolate, text: string): void;
}

const INSIDE = new AsyncLocalStorage<Isolate>();

/** The isolate whose code runs now. */
export const inside = (): Isolate | undefined => INSIDE.getStore();

class Timer {
  isCleared = false;
}

export class Isolate {
  readonly name: string;
  readonly world: World;
  readonly clock: Clock;
  isAlive = true;
  /** Whoever waits for an answer of this isolate hears of its death. */
  readonly onDeath = new Set<() => void>();

  constructor(name: string, world: World, clock: Clock = { skewMs: 0 }) {
    this.name = name;
    this.world = world;
    this.clock = clock;
  }

  get now(): number {
    return Math.floor(this.world.schedule.now + this.clock.skewMs);
  }

  enter<T>(run: () => T): T {
    this.world.stir();
    return INSIDE.run(this, run);
  }

  /** It never runs again: its timers do not ring, and what it waits for does not come. */
  die(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    for (const hear of this.onDeath) hear();
    this.onDeath.clear();
  }

  after(ms: number, run: () => void): Timer {
    const timer = new Timer();
    this.world.schedule.after(Math.max(0, ms), () => {
      if (this.isAlive && !timer.isCleared) this.enter(run);
    });
    return timer;
  }

  every(ms: number, run: () => void): Timer {
    const timer = new Timer();
    const ring = (): void => {
      if (!this.isAlive || timer.isCleared) return;
      this.enter(run);
      this.world.schedule.after(ms, ring);
    };
    this.world.schedule.after(ms, ring);
    return timer;
  }

  uuid(): string {
    const digits = (count: number): string => {
      let text = "";
      while (text.length < count) text += Math.floor(this.world.random.next() * 16).toString(16);
      return text;
    };
    return `${digits(8)}-${digits(4)}-4${digits(3)}-8${digits(3)}-${digits(12)}`;
  }
}

/** A Response as far as the objects make one: a body that is passed on, and headers. */
class PlainResponse {
  readonly body: unknown;
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly webSocket: unknown;

  constructor(
    body: unknown,
    init: {
      readonly status?: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly webSocket?: unknown;
    } = {},
  ) {
    this.body = body;
    this.status = init.status ?? 200;
    this.headers = new Map(Object.entries(init.headers ?? {}));
    this.webSocket = init.webSocket;
  }

  async text(): Promise<string> {
    return String(this.body);
  }
}
export type ObjectResponse = PlainResponse;

let isInstalled = false;

/** Replaces what the shells take from their platform. Outside of an isolate all of it is as it was. */
export function installGlobals(made: {
  readonly WebSocketPair: unknown;
  readonly IdentityTransformStream: unknown;
}): void {
  if (isInstalled) return;
  isInstalled = true;
  const real = {
    now: Date.now,
    random: Math.random,
    uuid: crypto.randomUUID.bind(crypto),
    setTimeout,
    setInterval,
    clearTimeout,
    clearInterval,
    warn: console.warn.bind(console),
    Response: globalThis.Response,
  };
  const target = globalThis as unknown as Record<string, unknown>;
  Date.now = () => inside()?.now ?? real.now.call(Date);
  Math.random = () => inside()?.world.random.next() ?? real.random.call(Math);
  Object.defineProperty(crypto, "randomUUID", { value: () => inside()?.uuid() ?? real.uuid(), configurable: true });
  console.warn = (...texts: unknown[]) => {
    const isolate = inside();
    if (isolate === undefined) real.warn(...texts);
    else isolate.world.note(isolate, texts.map(String).join(" "));
  };
  target["setTimeout"] = Object.assign(
    (run: () => void, ms = 0, ...more: unknown[]) =>
      inside()?.after(ms, run) ?? (real.setTimeout as (...all: unknown[]) => unknown)(run, ms, ...more),
    real.setTimeout,
  );
  target["setInterval"] = (run: () => void, ms = 0, ...more: unknown[]) =>
    inside()?.every(ms, run) ?? (real.setInterval as (...all: unknown[]) => unknown)(run, ms, ...more);
  const clear = (otherwise: (handle: never) => void) => (handle: unknown) => {
    if (handle instanceof Timer) handle.isCleared = true;
    else otherwise(handle as never);
  };
  target["clearTimeout"] = clear(real.clearTimeout);
  target["clearInterval"] = clear(real.clearInterval);
  target["scheduler"] = {
    wait: (ms: number) => new Promise<void>((resolve) => void inside()?.after(ms, resolve)),
  };
  target["Response"] = new Proxy(real.Response, {
    construct: (made_, args: [unknown, object?]) =>
      inside() === undefined ? Reflect.construct(made_, args) : new PlainResponse(...args),
  });
  target["WebSocketRequestResponsePair"] = Object;
  target["WebSocketPair"] = made.WebSocketPair;
  target["IdentityTransformStream"] = made.IdentityTransformStream;
}
