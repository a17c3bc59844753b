// One simulated agent: everything of a real one that is pure (its session, its checkpointed state, its orders, its status
// updates), on a real socket, without a disk and without processes. A task that is launched runs at once and for ever.
import { randomBytes } from "node:crypto";
import WebSocket from "ws";
import { unreachable } from "#base/assert.ts";
import type { Random } from "#base/random.ts";
import { millis } from "#base/time.ts";
import { type AgentInfo, type AgentMessage, type ExecutorReport, FRAME_BYTES_MAX, PING } from "#protocol/agent.ts";
import type { Credential } from "#protocol/credentials.ts";
import type { HostKey } from "#protocol/ids.ts";
import { clientFinal, type ScramCrypto } from "#protocol/scram.ts";
import { fromResources } from "#resources/resources.ts";
import { type AgentState, apply, type CheckpointedTask, type Registration } from "../../agent-node/checkpoint/state.ts";
import { inputOf, socketUrl } from "../../agent-node/connection/connection.ts";
import {
  type Effect,
  type Input,
  nextWake,
  NOT_STARTED,
  type Session,
  step,
  type StopReason,
  type Traffic,
} from "../../agent-node/connection/session.ts";
import { liveExecutors } from "../../agent-node/executors.ts";
import { type Action, isCurrent, planOrders } from "../../agent-node/orders.ts";
import { registerMessages } from "../../agent-node/register-messages.ts";
import { OperationUpdateManager, StatusUpdateManager } from "../../agent-node/status-updates/manager.ts";
import {
  containerIdFrom,
  endStatus,
  runningStatus,
  type Stamp,
  unknownTaskStatus,
} from "../../agent-node/task-status.ts";
import { exitAfter, exitOf, exitsSince } from "./simulated-executor.ts";

/** What the agents of one fleet share, and what they tell it. */
export interface Fleet {
  readonly plane: string;
  readonly credential: Credential;
  readonly crypto: ScramCrypto;
  readonly info: AgentInfo;
  readonly pingIntervalMs: number;
  readonly random: Random;
  /** The address that this agent's sockets come from: one address has too few ports for ten thousand that come again. */
  localAddressOf(index: number): string;
  onRegistered(agent: SimulatedAgent, event: RegisteredEvent): void;
  onLaunch(key: string): void;
  onOrders(count: number): void;
  /** A line of the session's log: why a socket was given up. */
  onTrouble(text: string): void;
  onStopped(agent: SimulatedAgent, why: StopReason): void;
}

export interface RegisteredEvent {
  readonly before: Registration | undefined;
  readonly registration: Registration;
  /** From opening the socket, ms. */
  readonly sinceOpenMs: number;
  /** From sending the last frame of `register`, ms. */
  readonly sinceRegisterMs: number;
}

const SYSTEM = { cpus_total: 8, load_1min: 1, load_5min: 1, load_15min: 1, mem_total_bytes: 1e10, mem_free_bytes: 1e9 };
const LAUNCHED_STATUS = { type: "signaled", signal: 15 } as const;
/** A socket that does not answer its close keeps its descriptor no longer than this, ms. */
const CLOSE_MS_MAX = 2_000;

export class SimulatedAgent {
  readonly hostKey: HostKey;
  readonly #fleet: Fleet;
  readonly #index: number;
  readonly #updates = new StatusUpdateManager();
  readonly #operationUpdates = new OperationUpdateManager();
  #state: AgentState;
  #session: Session = NOT_STARTED;
  #socket: WebSocket | undefined;
  #openedAt = 0;
  #registerAt = 0;
  #containers = 0;
  /** What the last report said of executors. */
  #reported: readonly ExecutorReport[] = [];
  /** When {@link tick} has something to do next. */
  wakeAt = Number.POSITIVE_INFINITY;

  constructor(
    fleet: Fleet,
    index: number,
    { hostKey, state }: { readonly hostKey: HostKey; readonly state: AgentState },
  ) {
    this.#fleet = fleet;
    this.#index = index;
    this.hostKey = hostKey;
    this.#state = state;
  }

  get isConnected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }
  get isRegistered(): boolean {
    return this.#session.state === "registered";
  }
  get state(): AgentState {
    return this.#state;
  }

  start(): void {
    this.#step({ type: "start" });
  }
  stop(): void {
    this.#step({ type: "stop" });
    this.#socket?.terminate();
  }

  /** Loses the socket without a word, as a machine does whose network ends. */
  drop(): void {
    this.#socket?.terminate();
  }

  tick(): void {
    if (this.#session.state === "registered") this.#sendUpdates();
    this.#step({ type: "tick" });
  }

  #step(input: Input): void {
    const { credential, random, pingIntervalMs } = this.#fleet;
    const { epochSeen, registration } = this.#state;
    const [session, effects] = step(this.#session, input, {
      now: millis(Date.now()),
      random,
      principal: credential.principal,
      nonce: randomBytes(24).toString("base64"),
      epochSeen,
      agentId: registration?.agentId,
      clusterId: registration?.clusterId,
      pingIntervalMs,
    });
    this.#session = session;
    for (const effect of effects) this.#do(effect);
    this.#setWake();
  }

  #setWake(): void {
    const session = nextWake(this.#session) ?? Number.POSITIVE_INFINITY;
    const managers = this.isRegistered ? [this.#updates, this.#operationUpdates] : [];
    this.wakeAt = Math.min(session, ...managers.map((manager) => manager.nextDue(this.#state) ?? session));
  }

  #do(effect: Effect): void {
    switch (effect.type) {
      case "open":
        return this.#open();
      case "close":
        return this.#close();
      case "send":
        return this.#send(effect.message);
      case "ping":
        return this.isConnected ? this.#socket?.send(PING) : undefined;
      case "make-proof":
        return void this.#prove(effect);
      case "register":
        return this.#register();
      case "registered":
        return this.#onRegistered(effect.registration);
      case "traffic":
        return this.#onTraffic(effect.message);
      case "log":
        return effect.level === "warn" ? this.#fleet.onTrouble(effect.text) : undefined;
      case "stopped":
        return this.#fleet.onStopped(this, effect.why);
      default:
        return unreachable(effect);
    }
  }

  #open(): void {
    this.#close();
    this.#openedAt = performance.now();
    const socket = new WebSocket(socketUrl(this.#fleet.plane, this.hostKey), {
      maxPayload: 2 * FRAME_BYTES_MAX,
      perMessageDeflate: false,
      localAddress: this.#fleet.localAddressOf(this.#index),
    });
    this.#socket = socket;
    const current = (input: Input): void => {
      if (this.#socket === socket) this.#step(input);
    };
    let failure: string | undefined;
    socket.on("open", () => current({ type: "opened" }));
    socket.on("error", (error) => (failure = error.message === "" ? error.name : error.message));
    socket.on("close", (code, reason) =>
      current({ type: "closed", reason: failure ?? `${code} ${reason.toString()}` }),
    );
    socket.on("message", (data: Buffer) => current(inputOf(data.toString())));
  }

  #close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return;
    if (socket.readyState === WebSocket.CONNECTING) return socket.terminate();
    socket.close(1000);
    setTimeout(() => socket.terminate(), CLOSE_MS_MAX).unref();
  }

  #send(message: AgentMessage): void {
    if (this.isConnected) this.#socket?.send(JSON.stringify(message));
  }

  async #prove({ nonce, serverFirst }: Extract<Effect, { readonly type: "make-proof" }>): Promise<void> {
    const { principal, secret } = this.#fleet.credential;
    const proof = await clientFinal(this.#fleet.crypto, { principal, secret, nonce, serverFirst });
    this.#step(
      proof.type === "refused"
        ? { type: "no-proof", nonce, reason: proof.reason }
        : { type: "proof", nonce, clientFinal: proof.message, serverFinal: proof.serverFinal },
    );
  }

  #register(): void {
    this.#reported = liveExecutors(this.#state);
    for (const message of registerMessages(this.#state, this.#fleet.info, SYSTEM)) this.#send(message);
    this.#registerAt = performance.now();
  }

  #onRegistered(registration: Registration): void {
    const before = this.#state.registration;
    this.#state = apply(this.#state, { type: "registered", ...registration });
    this.#send({ type: "acted", session: registration.session, sequence: 0 });
    this.#updates.resendAll();
    this.#operationUpdates.resendAll();
    this.#sendUpdates();
    for (const exit of exitsSince(this.#reported, this.#state, registration.session)) this.#send(exit);
    const now = performance.now();
    this.#fleet.onRegistered(this, {
      before,
      registration,
      sinceOpenMs: now - this.#openedAt,
      sinceRegisterMs: now - this.#registerAt,
    });
  }

  #onTraffic(message: Traffic): void {
    switch (message.type) {
      case "orders":
        return this.#onOrders(message);
      case "acknowledge": {
        if (!isCurrent(this.#state, message)) return;
        for (const acknowledgement of message.acknowledgements)
          this.#state = apply(this.#state, { type: "acknowledged", ...acknowledgement });
        return this.#sendUpdates();
      }
      case "request": {
        const { requestId } = message;
        return this.#send({ type: "response", requestId, status: 404, headers: {}, body: "" });
      }
      case "acknowledge-operations": {
        if (!isCurrent(this.#state, message)) return;
        for (const one of message.acknowledgements)
          this.#state = apply(this.#state, { type: "operation-acknowledged", ...one });
        return;
      }
      case "executor-message": {
        // A simulated executor answers with the same words.
        if (!isCurrent(this.#state, message)) return;
        const { session, frameworkId, executorId, data } = message;
        return this.#send({ type: "framework-message", session, frameworkId, executorId, data });
      }
      default:
        return unreachable(message);
    }
  }

  #onOrders(message: Extract<Traffic, { readonly type: "orders" }>): void {
    const plan = planOrders(this.#state, message, {
      containerId: () => containerIdFrom(`c${this.#containers++}`),
      stamp: () => this.#stamp(),
      given: fromResources(this.#fleet.info.resources),
      runsExecutors: true,
      makeVolume: () => undefined,
    });
    if (plan.type === "void") return;
    if (plan.type === "take") {
      const { sequence } = this.#state;
      this.#state = plan.records.reduce<AgentState>(apply, this.#state);
      this.#fleet.onOrders(this.#state.sequence - sequence);
      for (const action of plan.actions) this.#act(action);
      if (plan.more) return this.#onOrders(message);
    }
    this.#send({ type: "acted", session: message.session, sequence: this.#state.sequence });
    this.#sendUpdates();
  }

  #act(action: Action): void {
    const stamp = this.#stamp();
    switch (action.type) {
      case "launch": {
        this.#fleet.onLaunch(action.key);
        const status = runningStatus(action.task, stamp);
        this.#state = apply(this.#state, { type: "update", frameworkId: action.task.framework.id, status });
        return;
      }
      case "kill": {
        const task = this.#state.tasks.get(action.key);
        if (task === undefined) return;
        const status = endStatus(task, { type: "ended", status: LAUNCHED_STATUS, memoryLimitMb: undefined }, stamp);
        this.#state = apply(this.#state, { type: "update", frameworkId: task.framework.id, status });
        return this.#tellExit(task);
      }
      case "report-unknown": {
        const { frameworkId, taskId, partitionAware } = action;
        const status = unknownTaskStatus(taskId, partitionAware, stamp);
        this.#state = apply(this.#state, { type: "update", frameworkId, status });
        return;
      }
      case "report-exited":
        if (this.#session.state === "registered")
          this.#send(exitOf(action.frameworkId, action.executorId, this.#session.registration.session));
        return;
      case "remove-volume":
        this.#state = apply(this.#state, { type: "volume-removed", path: action.place.path });
        return;
      case "complain":
        return this.#fleet.onTrouble(action.problem);
      default:
        return unreachable(action);
    }
  }

  /** Behind the update that ended the executor's last task. */
  #tellExit(task: CheckpointedTask): void {
    if (this.#session.state !== "registered") return;
    const exit = exitAfter(this.#state, task, this.#session.registration.session);
    if (exit === undefined) return;
    this.#sendUpdates();
    this.#send(exit);
  }

  #stamp(): Stamp {
    const { registration } = this.#state;
    return { agentId: registration?.agentId, now: millis(Date.now()), uuid: randomBytes(16).toString("base64") };
  }

  #sendUpdates(): void {
    if (this.#session.state !== "registered") return;
    const { session } = this.#session.registration;
    const now = millis(Date.now());
    for (const updates of this.#updates.takeDue(this.#state, now)) this.#send({ type: "updates", session, updates });
    for (const updates of this.#operationUpdates.takeDue(this.#state, now))
      this.#send({ type: "operation-updates", session, updates });
  }
}
