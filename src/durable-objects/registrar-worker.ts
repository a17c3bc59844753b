// The shell of the log's calls: delivers the rounds of a conversation to the replicas and keeps their deadlines. It
// holds nothing between calls. What a call decides is in src/log/{elect,append,confirm,read,bootstrap,status}.ts.
import { WorkerEntrypoint } from "cloudflare:workers";
import { append } from "#log/append.ts";
import { bootstrap } from "#log/bootstrap.ts";
import type {
  AppendAnswer,
  AppendCall,
  BootstrapAnswer,
  BootstrapCall,
  ConfirmAnswer,
  ConfirmCall,
  ElectAnswer,
  ElectCall,
  LogStatus,
  ReadAnswer,
  ReadCall,
  RegistrarCalls,
} from "#log/calls.ts";
import { confirm } from "#log/confirm.ts";
import { type Concluded, type Conversation, ROUND_DEADLINE_MS } from "#log/conversation.ts";
import { elect } from "#log/elect.ts";
import type { ReplicaId } from "#log/entry.ts";
import { envelope, type ReplicaAnswer } from "#log/messages.ts";
import { read } from "#log/read.ts";
import type { Heard, Round, Send } from "#log/round.ts";
import { status } from "#log/status.ts";
import type { ReplicaDO } from "./replica-do.ts";

export interface RegistrarWorkerEnv {
  readonly REPLICA: DurableObjectNamespace<ReplicaDO>;
  /** How many replicas a new cluster has: "1", "3" or "5". A cluster that exists knows its own set. */
  readonly REPLICAS?: string;
  /** Location hints, comma-separated, the first for `replica-1`; empty places give no hint. */
  readonly REPLICA_HINTS?: string;
}

const REPLICAS_DEFAULT = 3;

/** The replicas that a cluster is made with: `replica-1` to `replica-N`. */
export function replicaIds(replicas: string | undefined): readonly ReplicaId[] {
  const count = replicas === undefined || replicas === "" ? REPLICAS_DEFAULT : Number(replicas);
  if (count !== 1 && count !== 3 && count !== 5) throw new Error(`REPLICAS is "${replicas}", expected 1, 3 or 5`);
  return Array.from({ length: count }, (_, index) => `replica-${index + 1}` as ReplicaId);
}

export class RegistrarWorker<Env extends RegistrarWorkerEnv = RegistrarWorkerEnv>
  extends WorkerEntrypoint<Env>
  implements RegistrarCalls
{
  bootstrap(call: BootstrapCall): Promise<BootstrapAnswer> {
    return this.#conclude(bootstrap(call, this.#seeds()));
  }

  status(): Promise<LogStatus> {
    return this.#conclude(status(this.#seeds()));
  }

  elect(call: ElectCall): Promise<ElectAnswer> {
    return this.#conclude(elect(call, this.#seeds()));
  }

  append(call: AppendCall): Promise<AppendAnswer> {
    return this.#conclude(append(call, this.#seeds()));
  }

  confirm(call: ConfirmCall): Promise<ConfirmAnswer> {
    return this.#conclude(confirm(call, this.#seeds()));
  }

  read(call: ReadCall): Promise<ReadAnswer> {
    return this.#conclude(read(call, this.#seeds()));
  }

  #seeds(): readonly ReplicaId[] {
    return replicaIds(this.env.REPLICAS);
  }

  async #conclude<Answer>(conversation: Conversation<Concluded<Answer>>): Promise<Answer> {
    const { answer, background } = await this.#converse(conversation);
    if (background !== undefined) this.ctx.waitUntil(this.#converse(background));
    return answer;
  }

  async #converse<Result>(conversation: Conversation<Result>): Promise<Result> {
    for (;;) {
      const next = conversation.next();
      if (next.done === true) return next.value;
      await this.#hold(next.value);
    }
  }

  /** Resolves when the round is over, at the latest at its deadline; laggards finish behind the answer. */
  #hold(round: Round): Promise<void> {
    return new Promise((resolve) => {
      const deadline = setTimeout(() => {
        round.expire();
        resolve();
      }, ROUND_DEADLINE_MS);
      const endIfOver = (): void => {
        if (!round.isOver) return;
        clearTimeout(deadline);
        resolve();
      };
      const deliver = async (send: Send): Promise<void> => {
        const heard = await this.#deliver(send);
        const followUps = round.hear(send.to, heard);
        endIfOver();
        await Promise.all(followUps.map(deliver));
      };
      const deliveries = Promise.all(round.open().map(deliver));
      this.ctx.waitUntil(deliveries);
      endIfOver(); // a round may have nobody to ask
    });
  }

  async #deliver({ to, message }: Send): Promise<Heard> {
    try {
      const namespace = this.env.REPLICA;
      const locationHint = this.#locationHint(to);
      // A fresh stub for each call: one that threw once stays broken.
      const stub = namespace.get(namespace.idFromName(to), locationHint === undefined ? {} : { locationHint });
      const answer: ReplicaAnswer = await stub.deliver(envelope(message));
      return { type: "answer", answer };
    } catch (error) {
      return { type: "unreachable", reason: String(error) };
    }
  }

  #locationHint(replica: ReplicaId): DurableObjectLocationHint | undefined {
    const index = Number(replica.slice("replica-".length)) - 1;
    const hint = (this.env.REPLICA_HINTS ?? "").split(",")[index]?.trim();
    return hint === undefined || hint === "" ? undefined : (hint as DurableObjectLocationHint);
  }
}
