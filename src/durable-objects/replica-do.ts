// The shell of one log replica: takes a message, steps the core, stores what it asks, answers. It decides nothing.
import { DurableObject } from "cloudflare:workers";
import { compareBallots } from "#log/ballot.ts";
import type { Incarnation } from "#log/entry.ts";
import type { ReplicaMessage } from "#log/messages.ts";
import { parseEnvelopeText } from "#log/parse-message.ts";
import { invalid, openReplica, type ReplicaState, step } from "#log/replica.ts";
import { ownColo } from "./colo.ts";
import { SqlLogStorage } from "./sql-log-storage.ts";

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
  /** When the ballot that is promised was last heard; an instance that has just begun knows nothing of before. */
  #heardAt = Date.now();

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
    if ("ballot" in message && compareBallots(message.ballot, state.promised) === 0) this.#heardAt = Date.now();
    if (answer.type === "status") return JSON.stringify({ ...answer, silentMs: Date.now() - this.#heardAt });
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

  colo(): Promise<string | undefined> {
    return ownColo();
  }
}
