// The shell of one log replica: takes a message, steps the core, stores what it asks, answers. It decides nothing.
import { DurableObject } from "cloudflare:workers";
import type { Incarnation } from "#log/entry.ts";
import type { ReplicaMessage } from "#log/messages.ts";
import { parseEnvelopeText } from "#log/parse-message.ts";
import { invalid, openReplica, type ReplicaState, step } from "#log/replica.ts";
import { SqlLogStorage } from "./sql-log-storage.ts";

/** Answers, to whoever asks, from which data centre the question came. */
const TRACE_URL = "https://www.cloudflare.com/cdn-cgi/trace";
const TRACE_TIMEOUT_MS = 2_000;

/** How long a message that nobody waits for may wait for others to be stored with, ms. A network may take as long. */
const PATIENCE_MS = 5;
/** Messages that wait, at most. */
const WAITING_MAX = 64;

interface Waiting {
  readonly message: ReplicaMessage;
  readonly resolve: (answer: string) => void;
  readonly reject: (error: unknown) => void;
}

const newIncarnation = (): Incarnation => crypto.randomUUID() as Incarnation;

export class ReplicaDO<Env = unknown> extends DurableObject<Env> {
  readonly #storage: SqlLogStorage;
  #state: ReplicaState;
  readonly #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#storage = new SqlLogStorage(ctx.storage);
    this.#state = openReplica(this.#storage, newIncarnation);
  }

  /** One message in, one answer out, both as JSON; see `Envelope` and `ReplicaAnswer`. The only way into a replica. */
  deliver(raw: unknown): string | Promise<string> {
    const parsed = parseEnvelopeText(raw);
    if (parsed.type === "invalid") return JSON.stringify(invalid(this.#state, parsed.reason));
    if (parsed.isPatient) return this.#later(parsed.message);
    this.#takeWaiting(); // in the order in which they came
    return this.#take(parsed.message);
  }

  #take(message: ReplicaMessage): string {
    const { state, effects, answer } = step(this.#state, message, { reader: this.#storage, newIncarnation });
    this.#storage.persist(effects);
    this.#state = state; // after the write, so that memory never runs ahead of disk
    return JSON.stringify(answer); // the output gate holds it until the write is durable
  }

  /** To be taken with what comes next: all that one turn stores is one commit. */
  #later(message: ReplicaMessage): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    this.#waiting.push({ message, resolve, reject });
    if (this.#waiting.length === WAITING_MAX) this.#takeWaiting();
    else this.#timer ??= setTimeout(() => this.#takeWaiting(), PATIENCE_MS);
    return promise;
  }

  #takeWaiting(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { message, resolve, reject } of this.#waiting.splice(0)) {
      try {
        resolve(this.#take(message));
      } catch (error) {
        reject(error);
      }
    }
  }

  /** The data centre that this object runs in, e.g. "AMS"; undefined when it cannot be found out. */
  async colo(): Promise<string | undefined> {
    const response = await fetch(TRACE_URL, { signal: AbortSignal.timeout(TRACE_TIMEOUT_MS) });
    return /^colo=([A-Z]{3})$/m.exec(await response.text())?.[1];
  }
}
