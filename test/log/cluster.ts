// A few replicas and a way to hold conversations with them at once, with chosen replicas away, messages lost, and
// something happening before a message arrives. No time: for that there is the simulation.
import type { Conversation } from "#log/conversation.ts";
import type { ReplicaId } from "#log/entry.ts";
import { envelope, type ReplicaAnswer, type ReplicaMessage } from "#log/messages.ts";
import { parseEnvelope } from "#log/parse-message.ts";
import { invalid } from "#log/replica.ts";
import type { Heard, Round, Send } from "#log/round.ts";
import { membershipOf, REPLICAS, TestReplica } from "./sample.ts";

export class TestCluster {
  readonly replicas = new Map<ReplicaId, TestReplica>();
  /** Replicas that answer nothing. */
  readonly away = new Set<ReplicaId>();
  /** Messages that do not arrive. */
  isLost: (send: Send) => boolean = () => false;
  /** What happens just before a message arrives. */
  before: (send: Send) => void = () => {};
  readonly sent: Send[] = [];

  /** The members vote from the beginning; `newcomers` are EMPTY. */
  constructor(members: readonly ReplicaId[] = REPLICAS, newcomers: readonly ReplicaId[] = []) {
    for (const id of members) this.replicas.set(id, new TestReplica(id, membershipOf(...members)));
    for (const id of newcomers) this.replicas.set(id, new TestReplica(id));
  }

  replica(id: ReplicaId): TestReplica {
    const found = this.replicas.get(id);
    if (found === undefined) throw new Error(`no ${id}`);
    return found;
  }

  call<Result>(conversation: Conversation<Result>): Result {
    for (;;) {
      const next = conversation.next();
      if (next.done === true) return next.value;
      this.hold(next.value);
    }
  }

  /** Delivers all messages of a round one by one; who did not answer then is silent to its end. */
  hold(round: Round): void {
    const open = [...round.open()];
    for (let send = open.shift(); send !== undefined; send = open.shift()) {
      open.push(...round.hear(send.to, this.deliver(send)));
    }
    // One that has been getting pages is given as long again.
    for (let deadlines = 0; deadlines < 2; deadlines++) round.expire();
  }

  deliver(send: Send): Heard {
    this.sent.push(send);
    this.before(send);
    const { to, message } = send;
    if (this.away.has(to) || this.isLost(send)) return { type: "unreachable", reason: "Error: away" };
    const replica = this.replicas.get(to);
    if (replica === undefined) return { type: "unreachable", reason: "Error: no such object" };
    return { type: "answer", answer: structuredClone(answerOf(replica, message)) };
  }

  /** Messages of one type since the last `forget`. */
  sentOf(type: ReplicaMessage["type"]): readonly Send[] {
    return this.sent.filter(({ message }) => message.type === type);
  }

  forget(): void {
    this.sent.length = 0;
  }
}

/** Through the edge, as in the object: what a conversation sends is also what a replica takes. */
function answerOf(replica: TestReplica, message: ReplicaMessage): ReplicaAnswer {
  const parsed = parseEnvelope(structuredClone(envelope(message)));
  return parsed.type === "invalid" ? invalid(replica.state, parsed.reason) : replica.deliver(parsed.message);
}

/** Loses every message that `isLost` names until the returned function is called. */
export function losing(cluster: TestCluster, isLost: (send: Send) => boolean): () => void {
  cluster.isLost = isLost;
  return () => {
    cluster.isLost = () => false;
  };
}
