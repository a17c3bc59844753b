// An agent in the simulation, and the host that it runs on. The agent's own cores decide (session, orders, checkpoint, register, status
// updates); this is the shell of agent-node/agent.ts on virtual time: a journal that is durable after a while, tasks that are processes of
// the host and outlive the agent, and every way for either to die. Authentication is left out: a socket opens authenticated.
import { unreachable } from "#base/assert.ts";
import { integerBetween, pick, type Random } from "#base/random.ts";
import { millis, type Millis } from "#base/time.ts";
import {
  type AgentInfo,
  type AgentMessage,
  type ExecutorReport,
  PING,
  type PlaneMessage,
  PONG,
} from "#protocol/agent.ts";
import type { ContainerId, FrameworkId, HostKey } from "#protocol/ids.ts";
import { fromResources } from "#resources/resources.ts";
import { type ExitStatus, isTerminal, type TaskStatus } from "#protocol/task.ts";
import {
  type AgentState,
  apply,
  type CheckpointedTask,
  type JournalRecord,
  latestState,
  NEW_AGENT,
  type Registration,
  type Removal,
  type TaskKey,
  taskKey,
} from "../../../agent-node/checkpoint/state.ts";
import {
  type Effect,
  type Input,
  nextWake,
  NOT_STARTED,
  type Session,
  step,
  type StopReason,
  type Traffic,
} from "../../../agent-node/connection/session.ts";
import type { Outcome } from "../../../agent-node/containerizer/containerizer.ts";
import { liveExecutors } from "../../../agent-node/executors.ts";
import { type Action, isCurrent, type OrdersMessage, planOrders } from "../../../agent-node/orders.ts";
import { registerMessages } from "../../../agent-node/register-messages.ts";
import { removalGraceMs } from "../../../agent-node/removal.ts";
import { OperationUpdateManager, StatusUpdateManager } from "../../../agent-node/status-updates/manager.ts";
import {
  containerIdFrom,
  endStatus,
  runningStatus,
  type Stamp,
  unknownTaskStatus,
} from "../../../agent-node/task-status.ts";
import { type Place, placeOf } from "../../../agent-node/volumes/place.ts";
import { exitAfter, exitOf, exitsSince } from "../../../bench/agents/simulated-executor.ts";
import type { ClusterRule } from "./broken-rules.ts";
import type { World } from "./isolate.ts";
import type { Plane } from "./plane.ts";
import type { Link } from "./socket.ts";

export const SYSTEM = {
  cpus_total: 8,
  load_1min: 1,
  load_5min: 1,
  load_15min: 1,
  mem_total_bytes: 1e10,
  mem_free_bytes: 1e9,
};
/** What of the plane's words may come back. */
const HEARD_MAX = 40;
const TERMINATED: ExitStatus = { type: "signaled", signal: 15 };

/** Looks on at agents and hosts. */
export interface AgentObserver {
  onStarted(host: Host, task: CheckpointedTask): void;
  onEnding(host: Host, task: CheckpointedTask, why: "order" | "removal"): void;
  onActed(host: Host, message: OrdersMessage): void;
  onRegistered(host: Host, registration: Registration, epochBefore: number): void;
  onStopped(host: Host, why: StopReason): void;
  onRegistering(host: Host): void;
  onLog(host: Host, text: string): void;
}

/** A container as the host has it: it does not depend on any agent. */
export interface Container {
  readonly task: CheckpointedTask;
  state: "told" | "claimed" | "running" | "ended";
  status: ExitStatus | undefined;
  /** When it is ended by force. */
  endsAt: number;
}

export interface HostOptions {
  readonly world: World;
  readonly random: Random;
  readonly plane: Plane;
  readonly observer: AgentObserver;
  readonly broken: ClusterRule | undefined;
  readonly hostKey: HostKey;
  readonly hostname: string;
  readonly cpus: number;
  /** How long its tasks run by themselves. */
  readonly taskMs: () => number;
}

export class Host {
  readonly options: HostOptions;
  /** The journal, folded. */
  state: AgentState = NEW_AGENT;
  readonly containers = new Map<ContainerId, Container>();
  /** Directories of persistent volumes, and whether a task has been in them. */
  readonly volumes = new Map<string, "empty" | "used">();
  /** Who the host is: it is on its disk. */
  hostKey: HostKey;
  agent: Agent | undefined;
  /** The last that a plane said to it. */
  readonly heard: PlaneMessage[] = [];
  isUp = true;
  /** Its disk is a copy of another host's. */
  isCopy = false;
  /** Nothing passes to or from the plane before this time. */
  cutUntil = 0;
  #boots = 0;
  #containers = 0;
  #boot: "same-boot" | "other-boot" = "same-boot";

  constructor(options: HostOptions) {
    this.options = options;
    this.hostKey = options.hostKey;
  }

  get now(): Millis {
    return millis(Math.floor(this.options.world.schedule.now));
  }

  get info(): AgentInfo {
    const { hostname, cpus } = this.options;
    const resources = [
      { name: "cpus", type: "SCALAR", scalar: { value: cpus } },
      { name: "mem", type: "SCALAR", scalar: { value: 4096 } },
      { name: "disk", type: "SCALAR", scalar: { value: 8192 } },
    ] as unknown as AgentInfo["resources"];
    return { hostname, port: 5051, resources, attributes: [], capabilities: ["OPERATIONS", "EXECUTORS"] };
  }

  newContainerId(): ContainerId {
    return containerIdFrom(`${this.options.hostname}-${this.#boots}-${++this.#containers}`);
  }

  startAgent(): void {
    if (!this.isUp || this.agent?.isAlive === true) return;
    this.agent = new Agent(this);
    const boot = this.#boot;
    this.#boot = "same-boot";
    this.agent.start(boot);
  }

  /** kill -9, or its end: what is not durable is gone, tasks go on. */
  killAgent(): void {
    this.agent?.die({ isTold: true });
    this.agent = undefined;
  }

  /** The machine is gone, and nobody is told. */
  lose(): void {
    this.isUp = false;
    this.agent?.die({ isTold: false });
    this.agent = undefined;
    for (const container of this.containers.values()) {
      if (container.state === "running" || container.state === "told") {
        container.state = "ended";
        container.status = undefined;
      }
    }
  }

  /** The machine is gone with its disk: who comes up under its name is another host. */
  loseWithDisk(hostKey: HostKey): void {
    this.lose();
    this.state = NEW_AGENT;
    this.hostKey = hostKey;
    this.volumes.clear();
    this.containers.clear();
    this.heard.length = 0;
  }

  boot(): void {
    if (this.isUp) return;
    this.isUp = true;
    this.#boots += 1;
    this.#boot = "other-boot";
    this.startAgent();
  }

  /** As the agent does it on its disk: an empty directory that is there is taken. */
  makeVolume({ path }: Place): string | undefined {
    if (this.volumes.get(path) === "used") return `${path} is not empty`;
    this.volumes.set(path, "empty");
    return undefined;
  }

  runsTask(key: TaskKey): boolean {
    return [...this.containers.values()].some(
      ({ state, task }) => state === "running" && taskKey(task.framework.id, task.task.task_id.value) === key,
    );
  }

  // ---- containers

  launch(task: CheckpointedTask): void {
    const { world, random } = this.options;
    const container: Container = { task, state: "told", status: undefined, endsAt: Number.POSITIVE_INFINITY };
    this.containers.set(task.containerId, container);
    const boots = this.#boots;
    world.schedule.after(integerBetween(random, 1, 40), () => {
      if (container.state !== "told" || boots !== this.#boots || !this.isUp) return;
      container.state = "running";
      this.options.observer.onStarted(this, task);
      for (const path of volumesOf(task)) this.volumes.set(path, "used");
      this.agent?.onContainer(task.containerId, { type: "started" });
      const runsMs = this.options.taskMs();
      world.schedule.after(runsMs, () => {
        const code = random.next() < 0.8 ? 0 : 1;
        this.#end(container, boots, { type: "exited", code });
      });
    });
  }

  /** SIGTERM, then SIGKILL after the grace. */
  kill(containerId: ContainerId, graceMs: number): void {
    const container = this.containers.get(containerId);
    if (container === undefined) return;
    const { world, random } = this.options;
    const boots = this.#boots;
    if (container.state === "told") {
      container.state = "claimed";
      world.schedule.after(1, () =>
        this.agent?.onContainer(containerId, { type: "ended", outcome: { type: "cancelled" } }),
      );
      return;
    }
    if (container.state !== "running") return;
    const takesMs = random.next() < 0.7 ? random.next() * Math.min(100, graceMs) : graceMs;
    world.schedule.after(takesMs, () => this.#end(container, boots, TERMINATED));
  }

  #end(container: Container, boots: number, status: ExitStatus): void {
    if (container.state !== "running" || boots !== this.#boots || !this.isUp) return;
    container.state = "ended";
    container.status = status;
    this.agent?.onContainer(container.task.containerId, {
      type: "ended",
      outcome: { type: "ended", status, memoryLimitMb: undefined },
    });
  }

  /** What a new agent finds of a container. */
  recover({ containerId }: CheckpointedTask, boot: "same-boot" | "other-boot"): ContainerEvent | undefined {
    const container = this.containers.get(containerId);
    if (container === undefined || container.state === "told" || container.state === "claimed") {
      if (container !== undefined) container.state = "claimed";
      return { type: "ended", outcome: { type: "never-started" } };
    }
    if (container.state === "ended") {
      const { status } = container;
      if (status === undefined)
        return { type: "ended", outcome: { type: "vanished", message: "The host was restarted" } };
      return { type: "ended", outcome: { type: "ended", status, memoryLimitMb: undefined } };
    }
    if (boot === "other-boot")
      return { type: "ended", outcome: { type: "vanished", message: "The host was restarted" } };
    return { type: "started" };
  }
}

type ContainerEvent = { readonly type: "started" } | { readonly type: "ended"; readonly outcome: Outcome };

/** Where a task finds what it keeps. */
export const volumesOf = ({ task }: CheckpointedTask): readonly string[] =>
  [...fromResources(task.resources).pools.values()].flatMap(({ pool }) =>
    pool.disk?.persistence === undefined ? [] : [placeOf(pool).path],
  );

interface Append {
  readonly records: readonly JournalRecord[];
  readonly onDurable: () => void;
}

export class Agent {
  readonly host: Host;
  isAlive = true;
  readonly #updates = new StatusUpdateManager();
  readonly #operationUpdates = new OperationUpdateManager();
  #session: Session = NOT_STARTED;
  #link: Link | undefined;
  /** Counts sockets: what an older one says is not listened to. */
  #sockets = 0;
  readonly #appends: Append[] = [];
  #isAppending = false;
  readonly #turns: ((done: () => void) => void)[] = [];
  #isInTurn = false;
  #isRemoved = false;
  readonly #ended = new Set<ContainerId>();
  /** What the last report said of executors. */
  #reported: readonly ExecutorReport[] = [];
  #wakeAt: number | undefined;
  #updatesAt: number | undefined;

  constructor(host: Host) {
    this.host = host;
  }

  get session(): Session {
    return this.#session;
  }
  get isRegistered(): boolean {
    return this.isAlive && this.#session.state === "registered";
  }
  /** Its socket is open, and what is said on it arrives. */
  get isConnected(): boolean {
    return this.#link !== undefined && !this.#link.isDead && this.#link.socket.readyState === 1;
  }

  get #options(): HostOptions {
    return this.host.options;
  }
  get #state(): AgentState {
    return this.host.state;
  }

  start(boot: "same-boot" | "other-boot"): void {
    const state = this.#state;
    this.#isRemoved = state.removal !== undefined;
    for (const task of state.tasks.values()) {
      if (this.#hasEnded(task)) continue;
      const found = this.host.recover(task, boot);
      if (found !== undefined) this.onContainer(task.containerId, found);
      if (task.killGraceMs !== undefined) this.#end(task, task.killGraceMs, "order");
    }
    if (state.removal !== undefined) this.#endTasksAndForget(state.removal);
    else this.#step({ type: "start" });
  }

  die({ isTold }: { readonly isTold: boolean }): void {
    this.isAlive = false;
    const link = this.#link;
    this.#link = undefined;
    if (link === undefined) return;
    if (isTold) link.closedByAgent();
    else link.isDead = true;
  }

  /** The network between the host and the plane is gone: both ends stay as they are. */
  cutOff(): void {
    if (this.#link !== undefined) this.#link.isDead = true;
  }

  /** The connection breaks, and both ends are told. */
  dropSocket(): void {
    const link = this.#link;
    if (link === undefined) return;
    this.#link = undefined;
    link.closedByAgent();
    this.#step({ type: "closed", reason: "reset" });
  }

  /** Leaves for good, as on SIGUSR2. */
  unregister(): void {
    if (this.#session.state === "registered")
      this.#send({ type: "unregister", session: this.#session.registration.session });
  }

  // ---- the session

  #step(input: Input): void {
    if (!this.isAlive) return;
    const { epochSeen, registration } = this.#state;
    const { broken, random } = this.#options;
    const [session, effects] = step(this.#session, input, {
      now: this.host.now,
      random,
      principal: "agents",
      nonce: "nonce",
      epochSeen: broken === "epoch-fence" ? (0 as typeof epochSeen) : epochSeen,
      agentId: registration?.agentId,
      clusterId: registration?.clusterId,
    });
    this.#session = session;
    for (const effect of effects) this.#do(effect);
    this.#setWake();
  }

  #setWake(): void {
    const at = nextWake(this.#session);
    if (at === undefined || this.#wakeAt === at) return;
    this.#wakeAt = at;
    const { schedule } = this.#options.world;
    schedule.after(Math.max(1, at - schedule.now + 1), () => {
      if (!this.isAlive || this.#wakeAt !== at) return;
      this.#wakeAt = undefined;
      this.#step({ type: "tick" });
    });
  }

  #do(effect: Effect): void {
    switch (effect.type) {
      case "open":
        return this.#open();
      case "close": {
        const link = this.#link;
        this.#link = undefined;
        this.#sockets += 1;
        return link?.closedByAgent();
      }
      case "send":
        // The exchange of proofs is left out: see Plane.openSocket.
        if (effect.message.type === "authenticate" || effect.message.type === "authentication-step") return;
        return this.#send(effect.message);
      case "ping":
        return this.#link?.toGateway(PING);
      case "make-proof":
        return;
      case "register":
        return this.#register();
      case "registered":
        return this.#onRegistered(effect.registration);
      case "traffic":
        return this.#onTraffic(effect.message);
      case "log":
        return this.#options.observer.onLog(this.host, effect.text);
      case "stopped":
        return this.#onStopped(effect.why);
      default:
        return unreachable(effect);
    }
  }

  #open(): void {
    const { plane, world } = this.#options;
    const { hostKey } = this.host;
    const socket = ++this.#sockets;
    const isCurrent = (): boolean => this.isAlive && this.#sockets === socket;
    if (this.host.cutUntil > world.schedule.now) return;
    const onText = (text: string): void => {
      if (!isCurrent()) return;
      if (text === PONG) return this.#step({ type: "pong" });
      this.#hear(JSON.parse(text) as PlaneMessage);
    };
    const onClosed = (): void => {
      if (!isCurrent()) return;
      this.#link = undefined;
      this.#step({ type: "closed", reason: "closed by the plane" });
    };
    plane.openSocket(hostKey, this.#state.epochSeen, { host: this.host, onText, onClosed }, (link) => {
      if (link !== undefined && !isCurrent()) return link.closedByAgent();
      if (!isCurrent()) return;
      if (link === undefined) return this.#step({ type: "closed", reason: "the plane cannot be reached" });
      this.#link = link;
      this.#step({ type: "opened" });
      this.#step({ type: "proof", nonce: "nonce", clientFinal: "", serverFinal: "" });
      this.#step({ type: "message", message: { type: "authenticated", serverFinal: "" } });
    });
  }

  #hear(message: PlaneMessage): void {
    if (message.type === "registered" || message.type === "orders") {
      this.host.heard.push(message);
      if (this.host.heard.length > HEARD_MAX) this.host.heard.shift();
    }
    this.#step({ type: "message", message });
  }

  /** Something that was said long ago arrives on the socket that there is now. */
  hearAgain(message: PlaneMessage): void {
    this.#link?.toAgent(JSON.stringify(message));
  }

  #send(message: AgentMessage): void {
    this.#link?.toGateway(JSON.stringify(message));
  }

  #sendRegistered(message: AgentMessage): void {
    if (this.#session.state === "registered") this.#send(message);
  }

  #register(): void {
    const socket = this.#sockets;
    this.#inTurn((done) => {
      if (this.#sockets === socket && this.#session.state === "registering") {
        this.#reported = liveExecutors(this.#state);
        for (const message of this.#registerMessages()) this.#send(message);
        this.#options.observer.onRegistering(this.host);
      }
      done();
    });
  }

  /** One task a frame: what a thousand tasks need, so that there are holes to be noticed. */
  #registerMessages(): readonly AgentMessage[] {
    const [message] = registerMessages(this.#state, this.host.info, SYSTEM);
    if (message?.type !== "register" || message.tasks.length < 2) return message === undefined ? [] : [message];
    const { tasks } = message;
    return tasks.map((task, i) => ({
      ...message,
      tasks: [task],
      operations: i === 0 ? message.operations : undefined,
      part: i + 1,
      more: i < tasks.length - 1,
    }));
  }

  #onRegistered(registration: Registration): void {
    this.#inTurn((done) => {
      const epochBefore = this.#state.epochSeen;
      this.#append([{ type: "registered", ...registration }], () => {
        this.#options.observer.onRegistered(this.host, registration, epochBefore);
        this.#sendRegistered({ type: "acted", session: registration.session, sequence: 0 });
        this.#updates.resendAll();
        this.#operationUpdates.resendAll();
        this.#sendUpdates();
        for (const exit of exitsSince(this.#reported, this.#state, registration.session)) this.#sendRegistered(exit);
        done();
      });
    });
  }

  #onTraffic(message: Traffic): void {
    switch (message.type) {
      case "orders":
        return this.#inTurn((done) => this.#onOrders(message, done));
      case "acknowledge":
        return this.#inTurn((done) => {
          if (!isCurrent(this.#state, message)) return done();
          const records = message.acknowledgements.map((one) => ({ type: "acknowledged", ...one }) as const);
          this.#append(records, () => {
            this.#sendUpdates();
            done();
          });
        });
      case "request":
        return;
      case "acknowledge-operations":
        return this.#inTurn((done) => {
          if (!isCurrent(this.#state, message)) return done();
          const records = message.acknowledgements.map((one) => ({ type: "operation-acknowledged", ...one }) as const);
          this.#append(records, done);
        });
      case "executor-message": {
        // A simulated executor answers with the same words.
        if (!isCurrent(this.#state, message)) return;
        const { session, frameworkId, executorId, data } = message;
        return this.#sendRegistered({ type: "framework-message", session, frameworkId, executorId, data });
      }
      default:
        return unreachable(message);
    }
  }

  #onOrders(asked: OrdersMessage, done: () => void): void {
    const { broken, observer } = this.#options;
    const { registration } = this.#state;
    let message = asked;
    let known = this.#state;
    if (broken === "session-fence" && registration !== undefined && message.session !== registration.session) {
      // It obeys them all the same, as if they were the next ones of its own session.
      const orders = message.orders.map((one, i) => ({ ...one, sequence: known.sequence + 1 + i }));
      message = { ...message, epoch: registration.epoch, session: registration.session, orders };
    }
    if (broken === "sequence")
      known = {
        ...known,
        sequence: Math.min(known.sequence, ...message.orders.map(({ sequence }) => sequence - 1)),
        tasks: new Map(),
      };
    const plan = planOrders(known, message, {
      containerId: () => this.host.newContainerId(),
      stamp: () => this.#stamp(),
      given: fromResources(this.host.info.resources),
      runsExecutors: true,
      makeVolume: (place) => this.host.makeVolume(place),
    });
    const answer = (): void => {
      this.#sendRegistered({ type: "acted", session: asked.session, sequence: this.#state.sequence });
      done();
    };
    if (plan.type === "void") return done();
    if (plan.type === "nothing-new") return answer();
    const act = (): void => {
      observer.onActed(this.host, asked);
      for (const action of plan.actions) this.#act(action);
    };
    if (broken === "durable-orders") act();
    // Without the fence of the sequence it would find the same orders for ever.
    const goOn = (): void => (plan.more && broken !== "sequence" ? this.#onOrders(asked, done) : answer());
    const freed = plan.actions.flatMap((action) => (action.type === "remove-volume" ? [action.place.path] : []));
    this.#append(plan.records, () => {
      if (broken !== "durable-orders") act();
      if (plan.tells) this.#sendUpdates();
      if (freed.length === 0) return goOn();
      for (const path of freed) this.host.volumes.delete(path);
      this.#append(
        freed.map((path) => ({ type: "volume-removed", path })),
        goOn,
      );
    });
  }

  #act(action: Action): void {
    switch (action.type) {
      case "launch":
        return this.host.launch(action.task);
      case "kill": {
        const task = this.#state.tasks.get(action.key);
        if (task !== undefined) this.#end(task, action.graceMs, "order");
        return;
      }
      case "report-unknown":
        return this.#update(action.frameworkId, unknownTaskStatus(action.taskId, action.partitionAware, this.#stamp()));
      case "report-exited":
        if (this.#session.state === "registered")
          this.#send(exitOf(action.frameworkId, action.executorId, this.#session.registration.session));
        return;
      case "remove-volume":
      case "complain":
        return;
      default:
        return unreachable(action);
    }
  }

  #end(task: CheckpointedTask, graceMs: number, why: "order" | "removal"): void {
    this.#options.observer.onEnding(this.host, task, why);
    this.host.kill(task.containerId, graceMs);
  }

  // ---- removal

  #onStopped(why: StopReason): void {
    this.#options.observer.onStopped(this.host, why);
    if (why.type !== "removed") return this.die({ isTold: true });
    const { epoch, reason } = why;
    this.#inTurn((done) => {
      this.#isRemoved = true;
      this.#append([{ type: "shutting-down", epoch, reason }], () => {
        this.#endTasksAndForget({ epoch, reason });
        done();
      });
    });
  }

  #endTasksAndForget({ epoch }: Removal): void {
    const left = [...this.#state.tasks.values()].filter(
      (task) => !this.#hasEnded(task) && !this.#ended.has(task.containerId),
    );
    for (const task of left) this.#end(task, removalGraceMs(task), "removal");
    const look = (): void => {
      if (!this.isAlive) return;
      const alive = left.some(({ containerId }) => {
        const state = this.host.containers.get(containerId)?.state;
        return state === "running" || state === "told";
      });
      if (alive) this.#options.world.schedule.after(50, look);
      else
        this.#append([{ type: "shut-down", epochSeen: epoch }], () => {
          this.die({ isTold: true });
          // Whoever runs the host starts the agent again, as a new one.
          const { schedule } = this.#options.world;
          schedule.after(integerBetween(this.#options.random, 1_000, 20_000), () => this.host.startAgent());
        });
    };
    look();
  }

  // ---- containers

  onContainer(containerId: ContainerId, event: ContainerEvent): void {
    if (!this.isAlive) return;
    const task = [...this.#state.tasks.values()].find((one) => one.containerId === containerId);
    if (task === undefined) return;
    if (event.type === "ended") this.#ended.add(containerId);
    if (this.#isRemoved) return;
    if (event.type === "ended") {
      const status = endStatus(task, event.outcome, this.#stamp());
      return this.#append([{ type: "update", frameworkId: task.framework.id, status }], () => {
        this.#sendUpdates();
        if (this.#session.state !== "registered") return;
        const exit = exitAfter(this.#state, task, this.#session.registration.session);
        if (exit !== undefined) this.#send(exit);
      });
    }
    const key = taskKey(task.framework.id, task.task.task_id.value);
    if (latestState(this.#state, key) === "TASK_STAGING")
      this.#update(task.framework.id, runningStatus(task, this.#stamp()));
  }

  #hasEnded({ framework, task }: CheckpointedTask): boolean {
    return isTerminal(latestState(this.#state, taskKey(framework.id, task.task_id.value)));
  }

  // ---- updates and the journal

  #update(frameworkId: FrameworkId, status: TaskStatus): void {
    this.#append([{ type: "update", frameworkId, status }], () => this.#sendUpdates());
  }

  #stamp(): Stamp {
    const { random } = this.#options;
    const bytes = Uint8Array.from({ length: 16 }, () => Math.floor(random.next() * 256));
    return {
      agentId: this.#state.registration?.agentId,
      now: this.host.now,
      uuid: Buffer.from(bytes).toString("base64"),
    };
  }

  #sendUpdates(): void {
    if (!this.isAlive || this.#session.state !== "registered") return;
    const { session } = this.#session.registration;
    const { schedule } = this.#options.world;
    for (const updates of this.#updates.takeDue(this.#state, this.host.now))
      this.#send({ type: "updates", session, updates });
    for (const updates of this.#operationUpdates.takeDue(this.#state, this.host.now))
      this.#send({ type: "operation-updates", session, updates });
    const dues = [this.#updates.nextDue(this.#state), this.#operationUpdates.nextDue(this.#state)];
    const at = dues.filter((due) => due !== undefined).toSorted((a, b) => a - b)[0];
    if (at === undefined || this.#updatesAt === at) return;
    this.#updatesAt = at;
    schedule.after(Math.max(10, at - schedule.now), () => {
      if (this.#updatesAt !== at) return;
      this.#updatesAt = undefined;
      this.#sendUpdates();
    });
  }

  #inTurn(work: (done: () => void) => void): void {
    this.#turns.push(work);
    this.#takeTurn();
  }

  #takeTurn(): void {
    if (this.#isInTurn) return;
    const work = this.#turns.shift();
    if (work === undefined || !this.isAlive) return;
    this.#isInTurn = true;
    work(() => {
      this.#isInTurn = false;
      this.#takeTurn();
    });
  }

  /** One write at a time; it is durable after a while, and only then anything follows from it. */
  #append(records: readonly JournalRecord[], onDurable: () => void): void {
    this.#appends.push({ records, onDurable });
    if (!this.#isAppending) this.#appendNext();
  }

  #appendNext(): void {
    const next = this.#appends.shift();
    if (next === undefined) return;
    this.#isAppending = true;
    const { world, random } = this.#options;
    world.schedule.after(pick(random, [1, 1, 2, 5, 30]), () => {
      // Killed while it was written: it may be on the disk all the same, or not.
      if (!this.isAlive) {
        if (random.next() < 0.3 && this.host.agent === undefined) this.#fold(next.records);
        return;
      }
      this.#isAppending = false;
      this.#fold(next.records);
      next.onDurable();
      if (!this.#isAppending) this.#appendNext();
    });
  }

  #fold(records: readonly JournalRecord[]): void {
    for (const record of records) this.host.state = apply(this.host.state, record);
  }
}
