// The shell of one log replica: takes a message, steps the core, stores what it asks, answers. It decides nothing.
import { DurableObject } from "cloudflare:workers";
import type { ReplicaAnswer } from "#log/messages.ts";
import { parseEnvelope } from "#log/parse-message.ts";
import { invalid, loadReplica, type ReplicaState, step } from "#log/replica.ts";
import { SqlLogStorage } from "./sql-log-storage.ts";

export class ReplicaDO<Env = unknown> extends DurableObject<Env> {
  readonly #storage: SqlLogStorage;
  #state: ReplicaState;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#storage = new SqlLogStorage(ctx.storage);
    this.#state = loadReplica(this.#storage);
  }

  /** One message in, one answer out; see `Envelope` and `ReplicaAnswer`. The only way into a replica. */
  deliver(raw: unknown): ReplicaAnswer {
    const parsed = parseEnvelope(raw);
    if (parsed.type === "invalid") return invalid(this.#state, parsed.reason);
    const { state, effects, answer } = step(this.#state, parsed.message, this.#storage);
    this.#storage.persist(effects);
    this.#state = state; // after the write, so that memory never runs ahead of disk
    return answer; // the output gate holds it until the write is durable
  }
}
