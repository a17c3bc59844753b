// The shell of one log replica: takes a message, steps the core, stores what it asks, answers. It decides nothing.
import { DurableObject } from "cloudflare:workers";
import type { Incarnation } from "#log/entry.ts";
import type { ReplicaAnswer } from "#log/messages.ts";
import { parseEnvelope } from "#log/parse-message.ts";
import { invalid, openReplica, type ReplicaState, step } from "#log/replica.ts";
import { SqlLogStorage } from "./sql-log-storage.ts";

/** Answers, to whoever asks, from which data centre the question came. */
const TRACE_URL = "https://www.cloudflare.com/cdn-cgi/trace";
const TRACE_TIMEOUT_MS = 2_000;

const newIncarnation = (): Incarnation => crypto.randomUUID() as Incarnation;

export class ReplicaDO<Env = unknown> extends DurableObject<Env> {
  readonly #storage: SqlLogStorage;
  #state: ReplicaState;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#storage = new SqlLogStorage(ctx.storage);
    this.#state = openReplica(this.#storage, newIncarnation);
  }

  /** One message in, one answer out; see `Envelope` and `ReplicaAnswer`. The only way into a replica. */
  deliver(raw: unknown): ReplicaAnswer {
    const parsed = parseEnvelope(raw);
    if (parsed.type === "invalid") return invalid(this.#state, parsed.reason);
    const { state, effects, answer } = step(this.#state, parsed.message, { reader: this.#storage, newIncarnation });
    this.#storage.persist(effects);
    this.#state = state; // after the write, so that memory never runs ahead of disk
    return answer; // the output gate holds it until the write is durable
  }

  /** The data centre that this object runs in, e.g. "AMS"; undefined when it cannot be found out. */
  async colo(): Promise<string | undefined> {
    const response = await fetch(TRACE_URL, { signal: AbortSignal.timeout(TRACE_TIMEOUT_MS) });
    return /^colo=([A-Z]{3})$/m.exec(await response.text())?.[1];
  }
}
