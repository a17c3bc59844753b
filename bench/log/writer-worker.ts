// A Worker with nothing but the log: three ReplicaDOs, the RegistrarWorker, and one object that writes. It is what the
// benchmark of the log and the test that kills it talk to: appends by a WebSocket from outside, or from inside the object.
import { DurableObject } from "cloudflare:workers";
import { millis } from "#base/time.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import type { RegistrarCalls, Unavailable } from "#log/calls.ts";
import {
  coordinate,
  type Coordinator,
  type CoordinatorEffect,
  type CoordinatorInput,
  createCoordinator,
  nextWake,
} from "#log/coordinator.ts";
import { type ClusterId, FIRST_POSITION, position } from "#log/entry.ts";
import type { ReplicaDO } from "../../src/durable-objects/replica-do.ts";

export { RegistrarWorker } from "../../src/durable-objects/registrar-worker.ts";
export { ReplicaDO } from "../../src/durable-objects/replica-do.ts";

interface Env {
  readonly REPLICA: DurableObjectNamespace<ReplicaDO>;
  readonly WRITER: DurableObjectNamespace<WriterDO>;
}

const CLUSTER = "bench" as ClusterId;
const READ_ENTRIES_MAX = 2_000;

type Settled =
  | { readonly type: "appended"; readonly position: number }
  | { readonly type: "lost"; readonly reason: string };

export class WriterDO extends DurableObject<Env> {
  readonly #coordinator: Coordinator;
  readonly #appends = new Map<number, (settled: Settled) => void>();
  #lastId = 0;
  #wake: ReturnType<typeof setTimeout> | undefined;
  #onElected: ((reason: string | undefined) => void) | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS ballot (id INTEGER PRIMARY KEY, text TEXT NOT NULL)");
    const [row] = ctx.storage.sql.exec<{ text: string }>("SELECT text FROM ballot").toArray();
    this.#coordinator = createCoordinator({
      candidate: "writer" as CandidateId,
      nonce: crypto.randomUUID(),
      clusterId: CLUSTER,
      storedBallot: row === undefined ? undefined : (JSON.parse(row.text) as Ballot),
    });
  }

  #log(): RegistrarCalls {
    return (this.ctx.exports as unknown as { RegistrarWorker: RegistrarCalls }).RegistrarWorker;
  }

  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/init":
        return Response.json(await this.#log().bootstrap({ clusterId: CLUSTER }));
      case "/elect": {
        const reason = await this.#elect();
        return reason === undefined ? Response.json({ elected: true }) : new Response(reason, { status: 503 });
      }
      case "/append":
        return this.#accept();
      case "/inside":
        return Response.json(await this.#appendInside(numbersOf(url, ["count", "concurrent", "letters"])));
      case "/read": {
        const { from = 1 } = numbersOf(url, ["from"]);
        const call = { clusterId: CLUSTER, from: position(from), entriesMax: READ_ENTRIES_MAX };
        return Response.json(await this.#log().read(call));
      }
      case "/replica-id": {
        const { replica } = numbersOf(url, ["replica"]);
        return Response.json({ id: this.env.REPLICA.idFromName(`replica-${replica}`).toString() });
      }
      case "/status":
        return Response.json(await this.#log().status());
      default:
        return new Response("no such path\n", { status: 404 });
    }
  }

  /** Undefined when elected, else why not. */
  #elect(): Promise<string | undefined> {
    if (this.#coordinator.phase.state === "elected") return Promise.resolve(undefined);
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.#onElected = resolve;
    this.#input({ type: "elect", from: FIRST_POSITION });
    return promise;
  }

  /** One message an append, `<id> <value>`; answers carry as many as are settled at once, a line each. */
  #accept(): Response {
    const { 0: client, 1: server } = new WebSocketPair();
    server.accept();
    let settled: string[] = [];
    const flush = (): void => {
      server.send(settled.join("\n"));
      settled = [];
    };
    server.addEventListener("message", ({ data }) => {
      const text = String(data);
      const space = text.indexOf(" ");
      const id = text.slice(0, space);
      this.#append(text.slice(space + 1), (outcome) => {
        if (settled.length === 0) queueMicrotask(flush);
        settled.push(outcome.type === "appended" ? `${id} ${outcome.position}` : `${id} ${outcome.reason}`);
      });
    });
    return new Response(null, { status: 101, webSocket: client });
  }

  async #appendInside({ count = 1, concurrent = 1, letters = 256 }): Promise<{ readonly ms: number }> {
    const value = "v".repeat(letters);
    let left = count;
    const startedAt = Date.now();
    const work = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const settled = await new Promise<Settled>((resolve) => this.#append(value, resolve));
        if (settled.type === "lost") throw new Error(settled.reason);
      }
    };
    await Promise.all(Array.from({ length: concurrent }, work));
    return { ms: Date.now() - startedAt };
  }

  #append(data: string, onSettled: (settled: Settled) => void): void {
    const id = ++this.#lastId;
    this.#appends.set(id, onSettled);
    this.#input({ type: "append", id, entries: [{ type: "append", data }] });
  }

  #settle(id: number, settled: Settled): void {
    this.#appends.get(id)?.(settled);
    this.#appends.delete(id);
  }

  #input(input: CoordinatorInput): void {
    for (const effect of coordinate(this.#coordinator, input, millis(Date.now()))) this.#do(effect);
    const at = nextWake(this.#coordinator);
    if (this.#wake !== undefined || at === undefined) return;
    this.#wake = setTimeout(
      () => {
        this.#wake = undefined;
        this.#input({ type: "tick" });
      },
      Math.max(1, at - Date.now()),
    );
  }

  #do(effect: CoordinatorEffect): void {
    switch (effect.type) {
      case "store-ballot":
        this.ctx.storage.sql.exec("INSERT OR REPLACE INTO ballot VALUES (1, ?)", JSON.stringify(effect.ballot));
        return;
      case "elect": {
        const { ballot } = effect.call;
        void this.#ask(
          (log) => log.elect(effect.call),
          (answer) => this.#input({ type: "elect-answered", ballot, answer }),
        );
        return;
      }
      case "append": {
        const { ballot } = effect.call;
        void this.#ask(
          (log) => log.append(effect.call),
          (answer) => this.#input({ type: "append-answered", ballot, answer }),
        );
        return;
      }
      case "settle": {
        const { ballot } = effect.call;
        void this.#ask(
          (log) => log.settle(effect.call),
          (answer) => this.#input({ type: "settle-answered", ballot, answer }),
        );
        return;
      }
      case "prepare": {
        const { ballot } = effect;
        void this.#ask(
          (log) => log.prepare(effect.call),
          (answer) => this.#input({ type: "prepare-answered", ballot, answer }),
        );
        return;
      }
      case "gather":
        setTimeout(() => this.#input({ type: "gathered" }), 0);
        return;
      case "elected":
        this.#onElected?.(undefined);
        return;
      case "appended":
        this.#settle(effect.id, { type: "appended", position: effect.position });
        return;
      case "lost":
        this.#onElected?.(effect.reason);
        for (const id of effect.ids) this.#settle(id, { type: "lost", reason: effect.reason });
        return;
      case "confirm":
      case "confirmed":
      case "changed":
        return;
    }
  }

  async #ask<T>(call: (log: RegistrarCalls) => Promise<T>, onAnswer: (answer: T | Unavailable) => void): Promise<void> {
    let answer: T | Unavailable;
    try {
      answer = await call(this.#log());
    } catch (error) {
      answer = { type: "unavailable", reason: String(error), reachable: 0, replicas: 0 };
    }
    onAnswer(answer);
  }
}

function numbersOf(url: URL, names: readonly string[]): Record<string, number> {
  const found = names.map((name) => [name, url.searchParams.get(name)] as const);
  return Object.fromEntries(found.flatMap(([name, text]) => (text === null ? [] : [[name, Number(text)]])));
}

export default {
  fetch: (request: Request, env: Env): Promise<Response> =>
    env.WRITER.get(env.WRITER.idFromName("writer")).fetch(request),
};
