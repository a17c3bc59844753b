// A plane for tests: authenticates with the real SCRAM code, registers, sends what it is told and remembers what it hears.
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { present } from "#base/assert.ts";
import {
  type AgentMessage,
  agentMessageSchema,
  type OperationUpdate,
  type Order,
  parseFrame,
  type PlaneMessage,
  PING,
  PONG,
  type ResourceOperation,
  type Update,
} from "#protocol/agent.ts";
import type { AgentId, ClusterId, Epoch, FrameworkId, OperationUuid, SessionId, TaskId } from "#protocol/ids.ts";
import type { OperationStatus } from "#protocol/operation.ts";
import {
  checkProof,
  makeVerifier,
  parseClientFirst,
  type ScramVerifier,
  type ServerExchange,
  serverFirst,
} from "#protocol/scram.ts";
import type { TaskState } from "#protocol/task.ts";
import { nodeScramCrypto } from "../../agent-node/connection/node-crypto.ts";

export const PRINCIPAL = "agents";
export const SECRET = "a-secret-for-tests";
export const FRAMEWORK = { id: "framework-1" as FrameworkId, name: "tests", user: "", partitionAware: true };

const crypto = nodeScramCrypto();
type Register = Extract<AgentMessage, { readonly type: "register" }>;
type Response = Extract<AgentMessage, { readonly type: "response" }>;

export class FakePlane {
  readonly received: AgentMessage[] = [];
  /** What the agent's last, whole registration said; several frames joined. */
  readonly registrations: Register[] = [];
  #register: Register | undefined;
  readonly updates: Update[] = [];
  readonly paths: string[] = [];
  sockets = 0;
  pings = 0;
  epoch = 7 as Epoch;
  session = "" as SessionId;
  /** What `registered` says of it. */
  clusterId: ClusterId | undefined;
  /** The id of the next agent that comes without one, and of the last that registered. */
  agentId = "agent-S0" as AgentId;
  /** Whether `unregister` is answered with the agent's end. */
  unregisters = true;
  /** What a `register` is answered with; the plane registers the agent when this gives nothing. */
  onRegister: (message: Register) => PlaneMessage | undefined = () => undefined;
  acknowledges = true;
  /** How operations ended, as often as it was told. */
  readonly operationUpdates: OperationUpdate[] = [];
  acknowledgesOperations = true;
  /** Set to answer with another server signature: a server that does not know the secret. */
  forgesSignature = false;
  /** Set to answer authentication with this. */
  authenticationAnswer: PlaneMessage | undefined;
  /** Whether pings are answered. */
  pongs = true;
  #sequence = 0;
  #socket: WebSocket | undefined;
  readonly #server: Server;
  readonly #verifier: ScramVerifier;

  static async start(port = 0): Promise<FakePlane> {
    const salt = new Uint8Array(16).fill(7);
    const plane = new FakePlane(await makeVerifier(crypto, SECRET, { salt, iterations: 4096 }));
    plane.#server.listen(port, "127.0.0.1");
    await once(plane.#server, "listening");
    return plane;
  }

  private constructor(verifier: ScramVerifier) {
    this.#verifier = verifier;
    this.#server = createServer((_, response) => void response.writeHead(404).end());
    const sockets = new WebSocketServer({ server: this.#server });
    sockets.on("connection", (socket, request) => {
      this.paths.push(request.url ?? "");
      this.sockets++;
      this.#socket = socket;
      let exchange: ServerExchange | undefined;
      socket.on("error", () => {});
      socket.on("message", (data: Buffer) => {
        const text = data.toString();
        if (text === PING) {
          this.pings++;
          if (this.pongs) socket.send(PONG);
          return;
        }
        const parsed = parseFrame(agentMessageSchema, text);
        if (parsed.type === "refused") throw new Error(`the agent sent a frame that is refused: ${parsed.reason}`);
        this.received.push(parsed.value);
        void this.#onMessage(socket, parsed.value, exchange).then((next) => (exchange = next ?? exchange));
      });
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  send(message: PlaneMessage): void {
    present(this.#socket, "a socket").send(JSON.stringify(message));
  }

  sendText(text: string): void {
    present(this.#socket, "a socket").send(text);
  }

  /** Sends orders with the next numbers of the session. */
  order(...orders: readonly Order[]): void {
    this.send({
      type: "orders",
      epoch: this.epoch,
      session: this.session,
      orders: orders.map((order) => ({ sequence: ++this.#sequence, order })),
    });
  }

  orderWith(sequence: number, order: Order, over: { readonly epoch?: Epoch; readonly session?: SessionId } = {}): void {
    const { epoch = this.epoch, session = this.session } = over;
    this.send({ type: "orders", epoch, session, orders: [{ sequence, order }] });
  }

  /** Ends the agent, unless something of it is wrong. */
  shutdown(over: Partial<Omit<Extract<PlaneMessage, { readonly type: "shutdown" }>, "type">> = {}): void {
    const { agentId, epoch } = this;
    this.send({ type: "shutdown", agentId, epoch, reason: "marked gone", ...over });
  }

  acknowledge(update: Update): void {
    const { frameworkId, status } = update;
    this.send({
      type: "acknowledge",
      epoch: this.epoch,
      session: this.session,
      acknowledgements: [{ frameworkId, taskId: status.task_id.value, uuid: status.uuid ?? "" }],
    });
  }

  acknowledgeOperation({ operationUuid, status }: OperationUpdate): void {
    const acknowledgements = [{ operationUuid, uuid: status.uuid?.value ?? "" }];
    this.send({ type: "acknowledge-operations", epoch: this.epoch, session: this.session, acknowledgements });
  }

  /** How the n-th operation of {@link operation} ended. */
  async operated(n: number): Promise<OperationStatus> {
    const update = await eventually(`the end of operation ${n}`, () =>
      this.operationUpdates.find(({ operationUuid }) => operationUuid === operationUuidOf(n)),
    );
    return update.status;
  }

  async request(path: string, range?: string): Promise<Response> {
    const requestId = `request-${Math.random()}`;
    this.send({ type: "request", requestId, path, range });
    return eventually("a response", () =>
      this.received.find(
        (message): message is Response => message.type === "response" && message.requestId === requestId,
      ),
    );
  }

  states(taskId: string): TaskState[] {
    return this.updatesOf(taskId).map(({ status }) => status.state);
  }

  /** Each update once, however often it was sent. */
  updatesOf(taskId: string): Update[] {
    const seen = new Set<string>();
    return this.updates.filter(({ status }) => {
      const fresh = status.task_id.value === taskId && !seen.has(status.uuid ?? "");
      seen.add(status.uuid ?? "");
      return fresh;
    });
  }

  async state(taskId: string, state: TaskState, timeoutMs?: number): Promise<Update> {
    return eventually(
      `${taskId} ${state}`,
      () => this.updatesOf(taskId).find(({ status }) => status.state === state),
      timeoutMs,
    );
  }

  /** The `acted` numbers of the current session, in order. */
  get acted(): number[] {
    return this.received.flatMap((message) =>
      message.type === "acted" && message.session === this.session ? [message.sequence] : [],
    );
  }

  async registered(count = 1): Promise<Register> {
    await eventually(`registration ${count}`, () =>
      this.registrations.length >= count && this.acted.length > 0 ? true : undefined,
    );
    return present(this.registrations.at(-1), "a registration");
  }

  disconnect(): void {
    this.#socket?.terminate();
  }

  async stop(): Promise<void> {
    this.#socket?.terminate();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #onMessage(
    socket: WebSocket,
    message: AgentMessage,
    exchange: ServerExchange | undefined,
  ): Promise<ServerExchange | undefined> {
    const answer = (reply: PlaneMessage): undefined => {
      socket.send(JSON.stringify(reply));
    };
    switch (message.type) {
      case "authenticate": {
        if (this.authenticationAnswer !== undefined) return answer(this.authenticationAnswer);
        const first = parseClientFirst(message.clientFirst);
        if (first.type === "refused") return answer({ type: "authentication-failed", reason: first.reason });
        const { salt, iterations } = this.#verifier;
        const next = serverFirst(first, { salt, iterations, serverNonce: "server-nonce-of-this-test" });
        answer({ type: "authentication-step", serverFirst: next.serverFirst });
        return next;
      }
      case "authentication-step": {
        const known = present(exchange, "an exchange");
        const verifier = known.principal === PRINCIPAL ? this.#verifier : undefined;
        const verdict = await checkProof(crypto, known, message.clientFinal, verifier);
        if (verdict.type === "refused") answer({ type: "authentication-failed", reason: verdict.reason });
        else answer({ type: "authenticated", serverFinal: this.forgesSignature ? "v=AAAA" : verdict.serverFinal });
        return undefined;
      }
      case "register": {
        this.#register = this.#register === undefined ? message : joined(this.#register, message);
        if (message.more) return undefined;
        const whole = this.#register;
        this.#register = undefined;
        const other = this.onRegister(whole);
        if (other !== undefined) return answer(other);
        this.registrations.push(whole);
        this.session = `session-${this.registrations.length}` as SessionId;
        this.#sequence = 0;
        this.agentId = whole.agentId ?? this.agentId;
        const { agentId, epoch, session, clusterId } = this;
        return answer({ type: "registered", agentId, epoch, session, clusterId });
      }
      case "unregister":
        if (this.unregisters && message.session === this.session) this.shutdown({ reason: "unregistered" });
        return undefined;
      case "updates":
        for (const update of message.updates) {
          this.updates.push(update);
          if (this.acknowledges) this.acknowledge(update);
        }
        return undefined;
      case "operation-updates":
        for (const update of message.updates) {
          this.operationUpdates.push(update);
          if (this.acknowledgesOperations) this.acknowledgeOperation(update);
        }
        return undefined;
      default:
        return undefined;
    }
  }
}

const joined = (first: Register, next: Register): Register => ({
  ...next,
  tasks: [...first.tasks, ...next.tasks],
  operations: [...(first.operations ?? []), ...(next.operations ?? [])],
});

export const operationUuidOf = (n: number): OperationUuid =>
  Buffer.from(String(n).padStart(16, "0")).toString("base64") as OperationUuid;

/** The order of an operation that its framework calls `operation-<n>`. */
export const operation = (n: number, what: ResourceOperation): Order => ({
  type: "operation",
  operationUuid: operationUuidOf(n),
  frameworkId: FRAMEWORK.id,
  operationId: `operation-${n}`,
  operation: what,
});

/** A launch order of a shell line, or of more. */
export function launch(
  taskId: string,
  command: string,
  over: Partial<Extract<Order, { readonly type: "launch" }>["task"]> = {},
): Order {
  return {
    type: "launch",
    framework: FRAMEWORK,
    task: {
      name: taskId,
      task_id: { value: taskId as TaskId },
      agent_id: { value: "agent-S0" as AgentId },
      resources: [
        { name: "cpus", type: "SCALAR", scalar: { value: 0.1 }, role: "*" },
        { name: "mem", type: "SCALAR", scalar: { value: 64 }, role: "*" },
      ],
      command: { value: command, arguments: [], uris: [] },
      ...over,
    },
  };
}

export const kill = (taskId: string, graceMs?: number): Order => ({
  type: "kill",
  frameworkId: FRAMEWORK.id,
  taskId: taskId as TaskId,
  killPolicy: graceMs === undefined ? undefined : { grace_period: { nanoseconds: graceMs * 1e6 } },
});

/** Waits until `look` gives something. Real processes take real time; this is the only way that these tests wait. */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`timed out waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
