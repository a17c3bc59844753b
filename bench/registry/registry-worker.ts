// A Worker with a log and one candidate's Registrar on it: three ReplicaDOs, the RegistrarWorker, and one object that admits agents one by one
// and then, as a new candidate, recovers what it admitted from the log alone.
import { DurableObject } from "cloudflare:workers";
import { millis } from "#base/time.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import type { RegistrarCalls, Unavailable } from "#log/calls.ts";
import type { ClusterId } from "#log/entry.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { AgentId, HostKey, MasterId, Principal } from "#protocol/ids.ts";
import type { AuditedOperation } from "#registrar/operations.ts";
import {
  createRegistrar,
  nextWake,
  type Registrar,
  type RegistrarEffect,
  type RegistrarInput,
  registrySizeBytes,
  step,
} from "#registrar/registrar.ts";
import type { ReplicaDO } from "../../src/durable-objects/replica-do.ts";

export { RegistrarWorker } from "../../src/durable-objects/registrar-worker.ts";
export { ReplicaDO } from "../../src/durable-objects/replica-do.ts";

interface Env {
  readonly REPLICA: DurableObjectNamespace<ReplicaDO>;
  readonly CANDIDATE: DurableObjectNamespace<CandidateDO>;
}

const CLUSTER = "bench" as ClusterId;
const random = { next: () => Math.random() };

/** What the registry is when a new candidate leads. */
interface Recovered {
  readonly ms: number;
  readonly agents: number;
  readonly registryBytes: number;
  readonly reads: number;
}

export class CandidateDO extends DurableObject<Env> {
  #registrar: Registrar | undefined;
  /** Its ballot is kept in memory only: nothing here outlives the process. */
  #ballot: Ballot | undefined;
  readonly #outcomes = new Map<number, (refusal: string | undefined) => void>();
  readonly #latencies: number[] = [];
  #onLeading: ((reason: string | undefined) => void) | undefined;
  #lastId = 0;
  #reads = 0;
  #wake: ReturnType<typeof setTimeout> | undefined;

  #log(): RegistrarCalls {
    return (this.ctx.exports as unknown as { RegistrarWorker: RegistrarCalls }).RegistrarWorker;
  }

  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const number = (name: string): number => Number(url.searchParams.get(name));
    switch (url.pathname) {
      case "/init":
        return Response.json(await this.#log().bootstrap({ clusterId: CLUSTER }));
      case "/recover":
        return Response.json(await this.#recover());
      case "/admit":
        return Response.json(await this.#admitAll(number("from"), number("count"), number("concurrent")));
      default:
        return new Response("no such path\n", { status: 404 });
    }
  }

  /** A candidate that has nothing but the log: from standing to leading. */
  async #recover(): Promise<Recovered> {
    const nonce = crypto.randomUUID();
    this.#registrar = createRegistrar({
      candidate: "bench" as CandidateId,
      nonce,
      newMasterId: () => nonce as MasterId,
      clusterId: CLUSTER,
      ...(this.#ballot === undefined ? {} : { storedBallot: this.#ballot }),
    });
    this.#reads = 0;
    const startedAt = Date.now();
    const reason = await new Promise<string | undefined>((resolve) => {
      this.#onLeading = resolve;
      this.#input({ type: "stand", forced: true });
    });
    if (reason !== undefined) throw new Error(reason);
    const ms = Date.now() - startedAt;
    const registrar = this.#registrar;
    return {
      ms,
      agents: registrar.registry.admitted.size,
      registryBytes: registrySizeBytes(registrar),
      reads: this.#reads,
    };
  }

  async #admitAll(from: number, count: number, concurrent: number): Promise<{ ms: number; p99Ms: number }> {
    let next = from;
    this.#latencies.length = 0;
    const startedAt = Date.now();
    const work = async (): Promise<void> => {
      while (next < from + count) {
        const number = next++;
        const id = ++this.#lastId;
        const begunAt = Date.now();
        const refusal = await new Promise<string | undefined>((resolve) => {
          this.#outcomes.set(id, resolve);
          this.#input({ type: "apply", id, audited: admission(number) });
        });
        if (refusal !== undefined) throw new Error(refusal);
        this.#latencies.push(Date.now() - begunAt);
      }
    };
    await Promise.all(Array.from({ length: concurrent }, work));
    const ms = Date.now() - startedAt;
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    return { ms, p99Ms: sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN };
  }

  #input(input: RegistrarInput): void {
    const registrar = this.#registrar;
    if (registrar === undefined) throw new Error("nobody leads: ask for /recover first");
    for (const effect of step(registrar, input, millis(Date.now()), random)) this.#do(effect);
    const at = nextWake(registrar);
    if (this.#wake !== undefined || at === undefined) return;
    this.#wake = setTimeout(
      () => {
        this.#wake = undefined;
        this.#input({ type: "tick" });
      },
      Math.max(1, at - Date.now()),
    );
  }

  #do(effect: RegistrarEffect): void {
    switch (effect.type) {
      case "store-ballot":
        this.#ballot = effect.ballot;
        return;
      case "elect":
        return this.#ask(
          (log) => log.elect(effect.call),
          (answer) => ({ type: "elect-answered", ballot: effect.call.ballot, answer }),
        );
      case "append":
        return this.#ask(
          (log) => log.append(effect.call),
          (answer) => ({ type: "append-answered", ballot: effect.call.ballot, answer }),
        );
      case "settle":
        return this.#ask(
          (log) => log.settle(effect.call),
          (answer) => ({ type: "settle-answered", ballot: effect.call.ballot, answer }),
        );
      case "read":
        this.#reads += 1;
        return this.#ask(
          (log) => log.read(effect.call),
          (answer) => ({ type: "read-answered", ballot: effect.ballot, answer }),
        );
      case "gather":
        setTimeout(() => this.#input({ type: "gathered" }), 0);
        return;
      case "leading":
        this.#onLeading?.(undefined);
        return;
      case "not-leading":
        this.#onLeading?.(effect.reason);
        for (const id of effect.ids) this.#settle(id, effect.reason);
        return;
      case "outcome":
        this.#settle(effect.id, effect.outcome.type === "refused" ? effect.outcome.reason : undefined);
        return;
      case "confirm":
      case "confirmed":
      case "prepare":
      case "membership-changed":
        return;
    }
  }

  #settle(id: number, refusal: string | undefined): void {
    this.#outcomes.get(id)?.(refusal);
    this.#outcomes.delete(id);
  }

  #ask<T>(call: (log: RegistrarCalls) => Promise<T>, inputOf: (answer: T | Unavailable) => RegistrarInput): void {
    void call(this.#log())
      .catch((error: unknown): Unavailable => ({
        type: "unavailable",
        reason: String(error),
        reachable: 0,
        replicas: 0,
      }))
      .then((answer) => this.#input(inputOf(answer)));
  }
}

const scalar = (name: string, value: number): AgentInfo["resources"][number] => ({
  name,
  type: "SCALAR",
  scalar: { value },
});

/** As an agent with four resources and two attributes registers: about 650 letters in the log. */
function admission(number: number): AuditedOperation {
  const info: AgentInfo = {
    hostname: `worker-${number}.rack-${number % 40}.example.internal`,
    port: 5051,
    resources: [
      scalar("cpus", 16),
      scalar("mem", 64_000),
      scalar("disk", 900_000),
      { name: "ports", type: "RANGES", ranges: { range: [{ begin: 31_000, end: 32_000 }] } },
    ],
    attributes: [
      { name: "rack", type: "TEXT", text: { value: `rack-${number % 40}` } },
      { name: "zone", type: "TEXT", text: { value: "eu-west-1a" } },
    ],
  };
  return {
    operation: {
      type: "admit-agent",
      agentId: `6f1c9a54-0b5e-4b8e-9f1a-3d2c1b0a9e8d-S${number}` as AgentId,
      info,
      hostKey: number.toString(16).padStart(32, "0") as HostKey,
      principal: "agents" as Principal,
      strict: true,
    },
    audit: { who: "agents", when: millis(1_764_000_000_000 + number), why: "it registered" },
  };
}

export default {
  fetch: (request: Request, env: Env): Promise<Response> =>
    env.CANDIDATE.get(env.CANDIDATE.idFromName("candidate")).fetch(request),
};
