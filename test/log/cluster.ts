// A few replicas and a way to hold conversations with them at once, with chosen replicas away. No time, no loss: for
// those there is the simulation.
import type { Concluded, Conversation } from "#log/conversation.ts";
import type { ReplicaId } from "#log/entry.ts";
import type { ReplicaMessage } from "#log/messages.ts";
import type { Heard, Send } from "#log/round.ts";
import { REPLICAS, TestReplica } from "./sample.ts";

export class TestCluster {
  readonly replicas = new Map<ReplicaId, TestReplica>();
  /** Replicas that answer nothing. */
  readonly away = new Set<ReplicaId>();
  readonly sent: Send[] = [];

  constructor(status: "voting" | "empty" = "voting", ids: readonly ReplicaId[] = REPLICAS) {
    for (const id of ids) this.replicas.set(id, new TestReplica(id, status));
  }

  replica(id: ReplicaId): TestReplica {
    const found = this.replicas.get(id);
    if (found === undefined) throw new Error(`no ${id}`);
    return found;
  }

  /** Holds the conversation to its end; its background work too, unless told otherwise. */
  call<Answer>(conversation: Conversation<Concluded<Answer>>, { background = true } = {}): Answer {
    const concluded = this.converse(conversation);
    if (background && concluded.background !== undefined) this.converse(concluded.background);
    return concluded.answer;
  }

  converse<Result>(conversation: Conversation<Result>): Result {
    for (;;) {
      const next = conversation.next();
      if (next.done === true) return next.value;
      const round = next.value;
      const open = [...round.open()];
      for (let send = open.shift(); send !== undefined; send = open.shift()) {
        this.sent.push(send);
        open.push(...round.hear(send.to, this.#deliver(send.to, send.message)));
      }
      round.expire();
    }
  }

  #deliver(to: ReplicaId, message: ReplicaMessage): Heard {
    if (this.away.has(to)) return { type: "unreachable", reason: "Error: away" };
    return { type: "answer", answer: this.replica(to).deliver(structuredClone(message)) };
  }
}
