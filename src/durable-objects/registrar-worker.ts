// The shell of the log's calls: delivers the rounds of a conversation to the replicas and keeps their deadlines. It
// holds nothing between calls. What a call decides is in src/log/{elect,append,confirm,settle,prepare,read,…}.ts.
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
  PrepareAnswer,
  PrepareCall,
  ReadAnswer,
  ReadCall,
  RegistrarCalls,
  SettleAnswer,
  SettleCall,
  StatusCall,
  VerifyAnswer,
  VerifyCall,
} from "#log/calls.ts";
import { confirm } from "#log/confirm.ts";
import { type Conversation, RESEND_MS, ROUND_DEADLINE_MS } from "#log/conversation.ts";
import { elect } from "#log/elect.ts";
import type { ReplicaId } from "#log/entry.ts";
import { envelope, type ReplicaAnswer, type ReplicaMessage } from "#log/messages.ts";
import { prepare } from "#log/prepare.ts";
import { read } from "#log/read.ts";
import type { Heard, Round, Send } from "#log/round.ts";
import { settle } from "#log/settle.ts";
import { status } from "#log/status.ts";
import { verify } from "#log/verify.ts";
import { history, registryAt } from "#registrar/audit.ts";
import type {
  HistoryAnswer,
  HistoryCall,
  RegistryAnswer,
  RegistryCall,
  RegistryCalls,
  TailAnswer,
  TailCall,
} from "#registrar/calls.ts";
import { tail } from "#registrar/tail.ts";
import type { ReplicaDO } from "./replica-do.ts";

export interface RegistrarWorkerEnv {
  readonly REPLICA: DurableObjectNamespace<ReplicaDO>;
  /** How many replicas a new cluster has: "1", "3" or "5". A cluster that exists knows its own set. */
  readonly REPLICAS?: string;
  /** Location hints, comma-separated, the first for `replica-1`; empty places give no hint. */
  readonly REPLICA_HINTS?: string;
}

const REPLICAS_DEFAULT = 3;
/** Pause before a replica whose stub threw is asked once more, ms. */
const RETRY_MS = 100;

/** The replicas that a cluster is made with: `replica-1` to `replica-N`. */
export function replicaIds(replicas: string | undefined): readonly ReplicaId[] {
  const count = replicas === undefined || replicas === "" ? REPLICAS_DEFAULT : Number(replicas);
  if (count !== 1 && count !== 3 && count !== 5) throw new Error(`REPLICAS is "${replicas}", expected 1, 3 or 5`);
  return Array.from({ length: count }, (_, index) => `replica-${index + 1}` as ReplicaId);
}

/** An id is a hash of the name: made once for each isolate, not for each message. */
const ids = new WeakMap<DurableObjectNamespace<ReplicaDO>, Map<ReplicaId, DurableObjectId>>();

function idOf(namespace: DurableObjectNamespace<ReplicaDO>, replica: ReplicaId): DurableObjectId {
  let known = ids.get(namespace);
  if (known === undefined) ids.set(namespace, (known = new Map()));
  let id = known.get(replica);
  if (id === undefined) known.set(replica, (id = namespace.idFromName(replica)));
  return id;
}

export class RegistrarWorker<Env extends RegistrarWorkerEnv = RegistrarWorkerEnv>
  extends WorkerEntrypoint<Env>
  implements RegistrarCalls, RegistryCalls
{
  #written: { readonly message: ReplicaMessage; readonly text: string } | undefined;

  bootstrap(call: BootstrapCall): Promise<BootstrapAnswer> {
    return this.#converse(bootstrap(call, this.#seeds()));
  }

  async status(call?: StatusCall): Promise<LogStatus> {
    const found = await this.#converse(status(this.#seeds(), call));
    if (call?.placeless === true) return found;
    return { ...found, replicas: await Promise.all(found.replicas.map((report) => this.#located(report))) };
  }

  elect(call: ElectCall): Promise<ElectAnswer> {
    return this.#converse(elect(call, this.#seeds()));
  }

  append(call: AppendCall): Promise<AppendAnswer> {
    return this.#converse(append(call));
  }

  confirm(call: ConfirmCall): Promise<ConfirmAnswer> {
    return this.#converse(confirm(call));
  }

  settle(call: SettleCall): Promise<SettleAnswer> {
    return this.#converse(settle(call));
  }

  prepare(call: PrepareCall): Promise<PrepareAnswer> {
    return this.#converse(prepare(call));
  }

  read(call: ReadCall): Promise<ReadAnswer> {
    return this.#converse(read(call, this.#seeds()));
  }

  verify(call: VerifyCall): Promise<VerifyAnswer> {
    return this.#converse(verify(call, this.#seeds()));
  }

  readTail(call: TailCall): Promise<TailAnswer> {
    return this.#converse(tail(call, this.#seeds()));
  }

  registry(call: RegistryCall): Promise<RegistryAnswer> {
    return this.#converse(registryAt(call, this.#seeds()));
  }

  history(call: HistoryCall): Promise<HistoryAnswer> {
    return this.#converse(history(call, this.#seeds()));
  }

  #seeds(): readonly ReplicaId[] {
    return replicaIds(this.env.REPLICAS);
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
      const deliver = async (send: Send, patient = false): Promise<void> => {
        let heard = await this.#deliver(send, patient);
        if (heard.type === "unreachable" && !round.isOver) {
          // An object that moves, or was just deployed, throws once. Every message may be repeated.
          await scheduler.wait(RETRY_MS);
          if (!round.isOver) heard = await this.#deliver(send, patient);
        }
        const followUps = round.hear(send.to, heard);
        endIfOver();
        await Promise.all(followUps.map((followUp) => deliver(followUp)));
      };
      const deliverAll = (sends: readonly Send[]): void => {
        if (sends.length > 0) this.ctx.waitUntil(Promise.all(sends.map((send) => deliver(send))));
      };
      let leftMs = ROUND_DEADLINE_MS;
      const lookAgain = (): void => {
        if (leftMs > 0) deliverAll(round.resend());
        else {
          round.expire();
          leftMs = ROUND_DEADLINE_MS;
        }
        timer = wait();
        endIfOver();
      };
      const wait = (): ReturnType<typeof setTimeout> => {
        const ms = Math.min(RESEND_MS, leftMs);
        leftMs -= ms;
        return setTimeout(lookAgain, ms);
      };
      let timer = wait();
      const endIfOver = (): void => {
        if (!round.isOver) return;
        clearTimeout(timer);
        resolve();
      };
      const first = round.open();
      const waited = first[0]?.message.type === "write" ? Math.floor(first.length / 2) + 1 : first.length;
      deliverAll(first.slice(0, waited));
      // The write goes to all at once, but a quorum is enough: the others may take it together with the next ones.
      for (const send of first.slice(waited)) this.ctx.waitUntil(deliver(send, true));
      endIfOver(); // a round may have nobody to ask
    });
  }

  async #deliver({ to, message }: Send, patient: boolean): Promise<Heard> {
    try {
      const answer = await this.#replica(to).deliver(this.#textOf(message, patient));
      return { type: "answer", answer: JSON.parse(answer) as ReplicaAnswer }; // our own replicas: same script, same types
    } catch (error) {
      return { type: "unreachable", reason: String(error) };
    }
  }

  /** JSON, written once for all who get the message: cheaper than to clone it for each of them. */
  #textOf(message: ReplicaMessage, patient: boolean): string {
    if (this.#written?.message !== message) {
      this.#written = { message, text: JSON.stringify(envelope(message)) };
    }
    const { text } = this.#written;
    return patient ? `${text.slice(0, -1)},"patient":true}` : text;
  }

  /** A fresh stub for each call: one that threw once stays broken. The hint matters at the object's first call only. */
  #replica(replica: ReplicaId): DurableObjectStub<ReplicaDO> {
    const namespace = this.env.REPLICA;
    const locationHint = this.#locationHint(replica);
    return namespace.get(idOf(namespace, replica), locationHint === undefined ? {} : { locationHint });
  }

  #locationHint(replica: ReplicaId): DurableObjectLocationHint | undefined {
    const index = Number(replica.slice("replica-".length)) - 1;
    const hint = (this.env.REPLICA_HINTS ?? "").split(",")[index]?.trim();
    return hint === undefined || hint === "" ? undefined : (hint as DurableObjectLocationHint);
  }

  /** Where a replica that was given a hint really runs: a hint is a wish, and an object never moves. */
  async #located(report: LogStatus["replicas"][number]): Promise<LogStatus["replicas"][number]> {
    const hint = this.#locationHint(report.id);
    if (hint === undefined || report.status === "unreachable") return report;
    try {
      return { ...report, hint, colo: await this.#replica(report.id).colo() };
    } catch {
      return { ...report, hint };
    }
  }
}
