// A Worker with one object: a master's core and its task tables on the object's SQLite, and /state as the master streams it. Nothing else
// is in its isolate.
import { DurableObject } from "cloudflare:workers";
import type { AgentMessage } from "#protocol/agent.ts";
import type { OperationUuid, Principal } from "#protocol/ids.ts";
import { emptyRegistry } from "#registrar/registry.ts";
import { TASK_TABLES, TaskTables } from "../../src/durable-objects/task-tables.ts";
import { ViewStreams } from "../../src/durable-objects/view-streams.ts";
import { onAgentMessage } from "../../src/master/agents.ts";
import { adoptRegistry } from "../../src/master/registration.ts";
import { Slices } from "../../src/master/slices.ts";
import { clearMarks, type Master } from "../../src/master/state.ts";
import { taskChanges } from "../../src/master/task-store.ts";
import { statePieces } from "../../src/master/views.ts";
import { admit, freshMaster, hostKeyOf, NOW, registerText } from "../failover/core.ts";

interface Env {
  readonly MASTER: DurableObjectNamespace<MemoryDO>;
}

/** Agents in one turn, as a batch of a gateway has them. */
const TURN = 50;

export class MemoryDO extends DurableObject<Env> {
  readonly #registry = emptyRegistry();
  readonly #tables: TaskTables;
  readonly #master: Master;
  readonly #views = new ViewStreams((reason) => console.error(reason));
  #agents = 0;
  #uuids = 0;
  readonly #ids = {
    uuid: () => crypto.randomUUID(),
    operationUuid: () => `operation-${++this.#uuids}` as OperationUuid,
  };

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.storage.sql.exec(TASK_TABLES);
    this.#tables = new TaskTables(ctx.storage.sql);
    this.#master = freshMaster(this.#registry, this.#tables);
  }

  #turn(agents: number, tasksEach: number): void {
    const from = this.#agents;
    this.#agents += agents;
    for (let n = from; n < this.#agents; n++) admit(this.#registry, n);
    adoptRegistry(this.#master, NOW);
    for (let n = from; n < this.#agents; n++) {
      // Parsed anew for each: nothing is shared between two of them, as when it comes off a wire.
      const message = JSON.parse(registerText(n, tasksEach, () => crypto.randomUUID())) as AgentMessage;
      const socket = { gateway: `gateway-${1 + (n % 10)}`, socketId: crypto.randomUUID() };
      const speaker = { from: socket, hostKey: hostKeyOf(n), principal: "agent" as Principal };
      onAgentMessage(this.#master, speaker, message, this.#ids, NOW);
    }
    this.#endTurn();
  }

  #endTurn(): void {
    this.ctx.storage.transactionSync(() => this.#tables.apply(taskChanges(this.#master)));
    this.#master.effects.length = 0;
    clearMarks(this.#master);
  }

  override async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/register") {
      const [agents, tasks] = [Number(searchParams.get("agents")), Number(searchParams.get("tasks"))];
      for (let n = 0; n < agents; n += TURN) {
        this.#turn(Math.min(TURN, agents - n), tasks);
        await scheduler.wait(0);
      }
      return new Response("registered");
    }
    if (pathname === "/collect") {
      // There by a flag of V8.
      const { gc } = globalThis as { readonly gc?: () => void };
      if (gc === undefined) return new Response("no gc()", { status: 500 });
      gc();
      return new Response("collected");
    }
    const slices = new Slices(statePieces(this.#master));
    const { readable, done } = this.#views.open(slices.next(), slices, async () => undefined);
    this.ctx.waitUntil(done);
    return new Response(readable);
  }
}

export default {
  fetch: (request: Request, env: Env) => env.MASTER.get(env.MASTER.idFromName("master-1")).fetch(request),
};
