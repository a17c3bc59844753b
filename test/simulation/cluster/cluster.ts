// A whole cluster in one thread on virtual time, from one seed: the shipped objects (MasterDO with its candidate and tables, GatewayDO, the
// search for the leader) on the log's real replicas, agents with their real cores, hosts with processes, frameworks and an operator. First
// everything goes wrong that may; then it is healed, and everybody must agree on what runs where.
import { millis } from "#base/time.ts";
import { InvariantError } from "#base/assert.ts";
import { integerBetween, pick, type Random, seededRandom } from "#base/random.ts";
import { bootstrap } from "#log/bootstrap.ts";
import type { ClusterId, ReplicaId } from "#log/entry.ts";
import type { ReplicaAnswer, ReplicaMessage } from "#log/messages.ts";
import { compareBallots } from "#log/ballot.ts";
import type { AgentId, FrameworkId, HostKey, Principal } from "#protocol/ids.ts";
import type { PlaneMessage } from "#protocol/agent.ts";
import { isTerminal, type TaskState } from "#protocol/task.ts";
import type { NotLeading } from "#protocol/leadership.ts";
import { equal, fromResources, toResources } from "#resources/resources.ts";
import { onSocketClosed } from "../../../src/master/absence.ts";
import type { AgentRecord, CallAnswer, Master } from "../../../src/master/state.ts";
import { taskKey } from "../../../agent-node/checkpoint/state.ts";
import { liveExecutors } from "../../../agent-node/executors.ts";
import { withTotal } from "../../../agent-node/resources/total.ts";
import { Checker as LogChecker } from "../checker.ts";
import { FaultCounts } from "../faults.ts";
import { type Caller, CALM, Network } from "../network.ts";
import { ReplicaHost } from "../replica-host.ts";
import { Schedule } from "../schedule.ts";
import { Host } from "./agent.ts";
import { breakPlane, type Breakage } from "./break-plane.ts";
import type { ClusterRule } from "./broken-rules.ts";
import { ClusterChecker } from "./checker.ts";
import { type ClusterFault, ClusterFaultCounts } from "./faults.ts";
import { Framework, type KnownTask } from "./framework.ts";
import { installGlobals, Isolate, type World } from "./isolate.ts";
import { CALM_CALLS, type GatewayHost, type MasterHost, Plane } from "./plane.ts";
import { LeaderFinder, type MasterObject } from "./shells.ts";
import { SocketPair } from "./socket.ts";
import { EventStream } from "./stream.ts";
import { Truth } from "./truth.ts";

const CLUSTER = "simulated" as ClusterId;
/** Time with faults, ms. */
const FAULTY_MS = { from: 60_000, to: 240_000 } as const;
/** Time in which a healed cluster must agree, ms: the plane gives whoever was away ten minutes. */
const CONVERGE_MS_MAX = 1_500_000;
const CONVERGE_STEP_MS = 5_000;
/** Where virtual time begins, ms. */
const BEGIN_MS = 1_000_000_000;

export interface ClusterOptions {
  readonly broken?: ClusterRule | undefined;
  /** Everything that happens, as lines. */
  readonly trace?: ((line: string) => void) | undefined;
  /** Without any fault. */
  readonly isCalm?: boolean;
}

export interface ClusterResult {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly faults: Readonly<Record<ClusterFault, number>>;
  readonly simulatedMs: number;
  readonly calls: number;
  readonly logMessages: number;
  readonly epochs: number;
  readonly counts: ClusterChecker["counts"];
}

type Machine = Pick<Host["options"], "hostname" | "hostKey" | "cpus">;

/** A replica that knows when it last heard the ballot that it has promised, as the shell of the shipped one does. */
class TimedReplica extends ReplicaHost {
  now: () => number = () => 0;
  #heardAt = 0;

  override deliver(
    message: ReplicaMessage,
    how: { readonly crashBeforeStore?: boolean } = {},
  ): ReplicaAnswer | undefined {
    const answer = super.deliver(message, how);
    if (answer === undefined) return undefined;
    if ("ballot" in message && compareBallots(message.ballot, this.state.promised) === 0) this.#heardAt = this.now();
    return answer.type === "status" ? { ...answer, silentMs: this.now() - this.#heardAt } : answer;
  }
}

const OPERATOR = "operator" as Principal;

export class ClusterSimulation {
  readonly #seed: number;
  readonly #random: Random;
  readonly #schedule = new Schedule();
  readonly #faults = new ClusterFaultCounts();
  readonly #logChecker: LogChecker;
  readonly #truth: Truth;
  readonly #checker: ClusterChecker;
  readonly #world: World;
  readonly #replicas = new Map<ReplicaId, TimedReplica>();
  readonly #network: Network;
  readonly #plane: Plane;
  readonly #candidates: readonly string[];
  readonly #hosts: Host[] = [];
  readonly #clones: Host[] = [];
  readonly #frameworks: Framework[] = [];
  readonly #broken: ClusterRule | undefined;
  readonly #isCalm: boolean;
  readonly #trace: ((line: string) => void) | undefined;
  readonly #breakage: Breakage;
  /** The books of each instance that leads or has led. */
  readonly #masters = new Map<Isolate, Master>();
  readonly #operator: Isolate;
  #isStirred = false;
  #isFaulty = true;
  #duplicateShare = 0;
  #ghostShare = 0;

  constructor(seed: number, { broken, trace, isCalm = false }: ClusterOptions = {}) {
    installGlobals({ WebSocketPair: SocketPair, IdentityTransformStream: EventStream });
    this.#seed = seed;
    this.#broken = broken;
    this.#trace = trace;
    this.#isCalm = isCalm;
    const random = (this.#random = seededRandom(seed));
    const schedule = this.#schedule;
    schedule.now = BEGIN_MS;
    const now = (): number => schedule.now - BEGIN_MS;
    this.#logChecker = new LogChecker(now, undefined);
    this.#truth = new Truth(this.#logChecker.chosen, (rule) => this.#checker.violated(rule));
    this.#checker = new ClusterChecker(now, this.#truth);
    this.#world = {
      schedule,
      random,
      stir: () => (this.#isStirred = true),
      note: (isolate, text) => this.#say(() => `${isolate.name}: ${text}`),
    };
    this.#operator = new Isolate("operator", this.#world);
    const seeds = ["replica-1", "replica-2", "replica-3"] as ReplicaId[];
    for (const id of seeds) {
      const replica = new TimedReplica(id, this.#logChecker, undefined, Infinity);
      replica.now = () => schedule.now;
      this.#replicas.set(id, replica);
    }
    this.#network = new Network({
      schedule,
      random,
      replicas: this.#replicas,
      faults: new FaultCounts(),
      delayMs: { from: 1, to: 4 },
      onCrash: (replica) => this.#crashReplica(replica),
    });
    this.#candidates = Array.from({ length: pick(random, [1, 2, 2, 3]) }, (_, i) => `master-${i + 1}`);
    this.#breakage = breakPlane(broken);
    this.#plane = new Plane({
      world: this.#world,
      random,
      faults: this.#faults,
      network: this.#network,
      logChecker: this.#logChecker,
      seeds,
      candidates: this.#candidates,
      gateways: integerBetween(random, 1, 2),
      environment: this.#drawEnvironment(),
      observer: {
        onDeliver: (_host, isolate, items) => {
          this.#say(() => `${isolate.name} delivers ${JSON.stringify(items)}`);
          return this.#twice(items);
        },
        onBatch: (isolate, batch) => {
          this.#say(() => `${isolate.name} is given ${JSON.stringify(batch)}`);
          return this.#breakage.onBatch(this.#masters.get(isolate), batch);
        },
        onCheckIn: (checkIn) => this.#breakage.onCheckIn(checkIn),
        onTaken: (isolate, batch) => {
          const books = this.#masters.get(isolate);
          if (books !== undefined && isolate.isAlive) this.#checker.onTaken(books, batch);
        },
        onAppend: (isolate, call) => this.#checker.onAppend(isolate, call),
        onAppendFailed: (isolate, call) => this.#checker.onAppendFailed(isolate, call),
        onException: (where, error) => this.#onException(where, error),
      },
    });
    for (let i = 1; i <= integerBetween(random, 2, 5); i++) {
      const cpus = integerBetween(random, 2, 4);
      this.#hosts.push(this.#host({ hostname: `host-${i}`, hostKey: this.#hostKey(), cpus }));
    }
    for (let i = 1; i <= integerBetween(random, 1, 3); i++) this.#frameworks.push(this.#framework(`framework-${i}`));
  }

  async run(): Promise<ClusterResult> {
    const isHere = (isolate: Isolate | undefined): isolate is Isolate => isolate?.world === this.#world;
    const restore = this.#breakage.install({
      isHere,
      onLoad: (isolate, master) => void this.#masters.set(isolate, master),
      onSaved: (isolate, master, marked) => this.#checker.onTurn(isolate, master, marked, this.#plane.links),
    });
    EventStream.onLeaving = (isolate, _stream, event) => {
      this.#say(() => `${isolate.name} tells ${JSON.stringify(event)}`);
      this.#plane.mayDie(isolate);
    };
    const onRejection = (error: unknown): void => this.#onException("a promise", error);
    const others = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", onRejection);
    try {
      await this.#runAll();
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error;
      this.#checker.violated(`assertion: ${error.message}`);
    } finally {
      restore();
      process.off("unhandledRejection", onRejection);
      for (const listener of others) process.on("unhandledRejection", listener);
    }
    return {
      seed: this.#seed,
      violations: [...this.#logChecker.violations, ...this.#checker.violations],
      faults: this.#faults.counts,
      simulatedMs: this.#schedule.now - BEGIN_MS,
      calls: this.#plane.calls,
      logMessages: this.#network.messages,
      epochs: this.#truth.leaders.size,
      counts: this.#checker.counts,
    };
  }

  #say(line: () => string): void {
    this.#trace?.(`${Math.round(this.#schedule.now - BEGIN_MS)} ${line()}`);
  }

  #onException(where: string, error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#say(() => `exception in ${where}: ${text}`);
    this.#checker.violated(`exception in ${where}: ${text.split("\n").slice(0, 3).join(" ")}`);
  }

  async #runAll(): Promise<void> {
    const random = this.#random;
    await this.#bootstrap();
    for (const host of this.#hosts) this.#schedule.after(integerBetween(random, 1, 3_000), () => host.startAgent());
    for (const framework of this.#frameworks)
      this.#schedule.after(integerBetween(random, 1, 5_000), () => framework.start());
    if (!this.#isCalm) this.#drawWeather();
    if (!this.#isCalm) this.#disturb(integerBetween(random, 1_500, 12_000));
    await this.#runFor(integerBetween(random, FAULTY_MS.from, FAULTY_MS.to));
    this.#heal();
    await this.#converge();
  }

  async #runFor(ms: number): Promise<void> {
    const until = this.#schedule.now + ms;
    while (this.#checker.violations.length === 0 && this.#logChecker.violations.length === 0) {
      const isMore = this.#schedule.runNext(until);
      if (this.#isStirred) {
        this.#isStirred = false;
        // All that is settled runs to its end before time goes on.
        await new Promise((resolve) => void setImmediate(resolve));
      }
      if (!isMore) return;
    }
  }

  async #bootstrap(): Promise<void> {
    const operator: Caller = { cutTo: new Set(), cutFrom: new Set(), pausedUntil: 0 };
    this.#network.converse(operator, bootstrap({ clusterId: CLUSTER }, [...this.#replicas.keys()]), (answer) => {
      if (answer.type === "bootstrapped") this.#logChecker.bootstrapped(answer.membership);
      else this.#checker.violated(`the bootstrap said ${answer.type}: ${answer.reason}`);
    });
    await this.#runFor(1_000);
  }

  #drawEnvironment(): Readonly<Record<string, string>> {
    const random = this.#random;
    return {
      MASTERS: String(this.#candidates.length),
      LEADER_SILENCE: pick(random, ["2secs", "6secs", "10secs"]),
      AGENT_PING_TIMEOUT: "3secs",
      MAX_AGENT_PING_TIMEOUTS: "5",
      AGENT_REREGISTER_TIMEOUT: pick(random, ["20secs", "60secs"]),
      REGISTRY_GC_INTERVAL: "60secs",
      REGISTRY_MAX_AGENT_AGE: pick(random, ["90secs", "3600secs"]),
      AGENT_UNREACHABLE_RATE_LIMIT: pick(random, ["", "", "1/20secs"]),
      ADVERTISE: "plane:80",
    };
  }

  #hostKey(): HostKey {
    let key = "";
    for (let i = 0; i < 32; i++) key += Math.floor(this.#random.next() * 16).toString(16);
    return key as HostKey;
  }

  #host({ hostname, hostKey, cpus }: Machine): Host {
    const random = this.#random;
    const longest = pick(random, [5_000, 60_000, 3_600_000]);
    const host = new Host({
      world: this.#world,
      random,
      plane: this.#plane,
      broken: this.#broken,
      hostKey,
      hostname,
      cpus,
      taskMs: () => integerBetween(random, 100, longest),
      observer: {
        onStarted: (on, task) => {
          this.#say(() => `${on.options.hostname} starts ${task.task.task_id.value}`);
          this.#checker.onStarted(on, task);
        },
        onActed: (on, message) => this.#checker.onActed(on, message),
        onEnding: (on, task, why) => {
          this.#say(() => `${on.options.hostname} ends ${task.task.task_id.value}: ${why}`);
          this.#checker.onEnding(on, task, why, (id) => this.#frameworkOf(id));
        },
        onRegistered: (on, registration, epochBefore) => {
          this.#say(() => `${on.options.hostname} is registered: ${JSON.stringify(registration)}`);
          this.#checker.onAgentRegistered(on, registration, epochBefore);
          this.#schedule.after(integerBetween(random, 0, 2_000), () =>
            this.#haunt(on, (message) => message.type === "orders" && message.session !== registration.session),
          );
        },
        onRegistering: (on) =>
          this.#haunt(on, (message) => message.type === "registered" && message.epoch < on.state.epochSeen),
        onLog: (on, text) => this.#say(() => `${on.options.hostname}: ${text}`),
        onStopped: (on, why) => this.#say(() => `${on.options.hostname} stops: ${JSON.stringify(why)}`),
      },
    });
    return host;
  }

  #frameworkOf(id: FrameworkId): Framework | undefined {
    return this.#frameworks.find((framework) => framework.id === id || framework.formerIds.has(id));
  }

  #framework(name: string): Framework {
    const random = this.#random;
    return new Framework({
      name,
      world: this.#world,
      random,
      plane: this.#plane,
      candidates: this.#candidates,
      isPartitionAware: random.next() < 0.6,
      failoverTimeout: pick(random, [0, 60, 3_600, 3_600]),
      diligence: pick(random, [1, 0.7, 0.3]),
      tasksMax: integerBetween(random, 1, 6),
      observer: {
        onTold: (framework, status) => {
          this.#say(
            () =>
              `${name} hears ${status.task_id.value} ${status.state} ${status.reason ?? ""} ${status.message ?? ""}`,
          );
          this.#checker.onTold(framework, status);
        },
        onOperationTold: (framework, status) => {
          this.#say(() => `${name} hears ${status.operation_id?.value} ${status.state} ${status.message ?? ""}`);
          this.#checker.onOperationTold(framework, status);
        },
      },
    });
  }

  /**
   * What an older master, or an older session, once said to this host is said again. No transport of ours does that either: it is the agent's
   * own fence that must hold.
   */
  #haunt(host: Host, which: (message: PlaneMessage) => boolean): void {
    if (this.#random.next() >= this.#ghostShare) return;
    const ghosts = host.heard.filter(which);
    if (ghosts.length === 0) return;
    this.#faults.count("ghost");
    host.agent?.hearAgain(pick(this.#random, ghosts));
  }

  /** Orders that arrive twice: no transport of ours does that, and no agent may mind. */
  #twice(items: Parameters<Plane["options"]["observer"]["onDeliver"]>[2]): typeof items {
    if (this.#duplicateShare === 0) return items;
    return items.flatMap((item) =>
      item.type === "message" && item.message.type === "orders" && this.#random.next() < this.#duplicateShare
        ? [item, item]
        : [item],
    );
  }

  // ---- what goes wrong

  #drawWeather(): void {
    const random = this.#random;
    const severity = random.next();
    const share = (most: number): number => (random.next() < 0.4 ? 0 : random.next() * most * severity);
    this.#plane.weather = {
      lost: share(0.05),
      answerLost: share(0.05),
      late: share(0.05),
      overloaded: share(0.05),
      death: share(0.01),
      alarmLate: share(0.3),
    };
    this.#duplicateShare = share(0.2);
    this.#ghostShare = share(0.5);
    this.#network.weather = { ...CALM, loss: share(0.1), late: share(0.1), duplicate: share(0.1), error: share(0.02) };
  }

  #crashReplica(replica: ReplicaHost): void {
    if (!replica.isUp) return;
    this.#faults.count("replica-crash");
    replica.isUp = false;
    this.#schedule.after(integerBetween(this.#random, 50, 8_000), () => {
      if (!replica.isUp) replica.restart();
    });
  }

  #leader(): MasterHost | undefined {
    const { leader } = this.#truth.follow(this.#schedule.now - BEGIN_MS).registry;
    return leader === undefined ? undefined : this.#plane.masters.get(leader.candidate);
  }

  #disturb(everyMs: number): void {
    if (!this.#isFaulty) return;
    this.#strike();
    if (this.#random.next() < 0.2) this.#burst();
    this.#schedule.after(integerBetween(this.#random, 1, 2 * everyMs), () => this.#disturb(everyMs));
  }

  /** A storm seldom comes alone: for a moment calls are lost, just when everybody registers again. */
  #burst(): void {
    this.#faults.count("burst");
    this.#plane.burstUntil = this.#schedule.now + integerBetween(this.#random, 200, 4_000);
  }

  #strike(): void {
    const random = this.#random;
    const master = random.next() < 0.7 ? (this.#leader() ?? this.#anyMaster()) : this.#anyMaster();
    const gateway = pick(random, [...this.#plane.gateways.values()]);
    const host = pick(random, this.#hosts);
    const framework = pick(random, this.#frameworks);
    const count = (kind: ClusterFault): void => {
      this.#faults.count(kind);
      this.#say(() => `FAULT ${kind}`);
    };
    switch (integerBetween(random, 0, 25)) {
      case 0:
      case 1:
        count("leader-crash");
        return master.stop();
      case 2:
        return this.#secondInstance(master, count);
      case 3:
        if (this.#candidates.length === 1) return;
        count("forced-failover");
        return this.#asOperator(async () => void (await this.#plane.masterStub(this.#anyMaster().name).failover()));
      case 4:
      case 5:
        count("leader-cut-off");
        return this.#cutOff(master, integerBetween(random, 1_000, 40_000));
      case 6:
        count("clock-leap");
        master.clock.skewMs += pick(random, [-1, 1]) * pick(random, [1_000, 20_000, 400_000]);
        return;
      case 7:
        if (random.next() < 0.6) return this.#hibernate(gateway, count);
        count("gateway-cut-off");
        // Its sockets stay, longer perhaps than the masters wait for a word of it.
        gateway.cutUntil = this.#schedule.now + pick(random, [10_000, 60_000, 300_000]);
        return;
      case 8:
      case 9:
        count("gateway-crash");
        // Now and then together with an agent's host, so that nobody is left who could tell of its end.
        if (random.next() < 0.3) this.#loseHost(host, count);
        return gateway.crash(() => random.next() < 0.7);
      case 10:
        count("deploy");
        return this.#deploy();
      case 11:
      case 12:
        if (host.agent === undefined) return;
        count("agent-kill");
        host.killAgent();
        this.#schedule.after(integerBetween(random, 10, 30_000), () => host.startAgent());
        return;
      case 13:
        count("agent-socket-lost");
        return host.agent?.dropSocket();
      case 14:
        return this.#loseHost(host, count);
      case 15:
        if (host.agent === undefined) return;
        count("host-cut-off");
        host.cutUntil = this.#schedule.now + integerBetween(random, 1_000, 120_000);
        return host.agent.cutOff();
      case 16:
        return this.#clone(host, count);
      case 17:
      case 18:
        count("framework-gone");
        return framework.disconnect();
      case 19:
        if (random.next() < 0.5) return;
        count("teardown");
        return framework.tearDown();
      case 20:
        return this.#markGone(host, count);
      case 21:
        if (random.next() < 0.5 || host.agent?.isRegistered !== true) return;
        count("unregister");
        return host.agent.unregister();
      case 22:
        if (random.next() < 0.5) return this.#forgetSocket();
        return this.#crashReplica(pick(random, [...this.#replicas.values()]));
      case 23:
      case 24:
        return random.next() < 0.7 ? this.#changeQuota(count) : this.#changeWeights(count);
      default:
        count("restart");
        return master.stop();
    }
  }

  #anyMaster(): MasterHost {
    return pick(this.#random, [...this.#plane.masters.values()]);
  }

  /** A new instance has the object; the old one goes on until its storage tells it, at its next transaction. */
  #secondInstance(master: MasterHost, count: (kind: ClusterFault) => void): void {
    if (!master.isRunning) return;
    count("second-instance");
    const old = master.forget();
    this.#schedule.after(integerBetween(this.#random, 100, 8_000), () => old?.die());
  }

  #cutOff(master: MasterHost, ms: number): void {
    const until = this.#schedule.now + ms;
    const isAlsoCalled = this.#random.next() < 0.5;
    if (isAlsoCalled) master.cutUntil = until;
    for (const id of this.#replicas.keys()) {
      master.caller.cutTo.add(id);
      master.caller.cutFrom.add(id);
    }
    this.#schedule.after(ms, () => {
      master.caller.cutTo.clear();
      master.caller.cutFrom.clear();
    });
  }

  #hibernate(gateway: GatewayHost, count: (kind: ClusterFault) => void): void {
    if (!gateway.isRunning || gateway.isolate === undefined || gateway.isolate.onDeath.size > 0) return;
    count("gateway-hibernation");
    // Nothing is under way in it: only then the platform lets it sleep. Its sockets stay.
    gateway.stop();
  }

  #deploy(): void {
    for (const master of this.#plane.masters.values()) master.stop();
    for (const gateway of this.#plane.gateways.values()) gateway.crash(() => true);
  }

  #loseHost(host: Host, count: (kind: ClusterFault) => void): void {
    if (!host.isUp) return;
    const random = this.#random;
    if (random.next() < 0.2) {
      count("disk-loss");
      host.loseWithDisk(this.#hostKey());
    } else {
      count("host-loss");
      host.lose();
    }
    if (random.next() < 0.7) this.#schedule.after(integerBetween(random, 2_000, 200_000), () => this.#reboot(host));
  }

  /** The books give up a socket that is open, as races between a gateway's lives can make them. */
  #forgetSocket(): void {
    const isolate = this.#leader()?.isolate;
    const books = isolate === undefined ? undefined : this.#masters.get(isolate);
    if (isolate === undefined || books === undefined) return;
    const connected = [...books.agents.values()].flatMap(({ connection }) => connection ?? []);
    if (connected.length === 0) return;
    this.#faults.count("forgotten-socket");
    isolate.enter(() => onSocketClosed(books, pick(this.#random, connected), millis(isolate.now), { type: "gateway" }));
  }

  /** The last that goes wrong: a host and its gateway at once, and whoever comes back finds the gateway new. */
  #loseTogether(): void {
    const host = pick(this.#random, this.#hosts);
    if (!host.isUp) return;
    this.#faults.count("host-loss");
    this.#faults.count("gateway-crash");
    host.lose();
    for (const gateway of this.#plane.gateways.values()) gateway.crash(() => true);
  }

  #reboot(host: Host): void {
    if (host.isUp) return;
    this.#faults.count("host-reboot");
    host.boot();
  }

  /**
   * A copy of the host's disk, as an image that was taken of a running machine, starts beside it after a while. Should the original be
   * away just then, the plane cannot tell them apart: what is said of its tasks from then on is not looked at.
   */
  #clone(host: Host, count: (kind: ClusterFault) => void): void {
    const random = this.#random;
    const { registration } = host.state;
    if (registration === undefined || this.#clones.length > 1) return;
    const copy = this.#host({ ...host.options, hostKey: host.hostKey });
    for (const [path, content] of host.volumes) copy.volumes.set(path, content);
    copy.state = host.state;
    copy.isCopy = true;
    copy.isUp = false;
    this.#clones.push(copy);
    const begin = (attempt: number): void => {
      if (!this.#isFaulty) return;
      // One that is as new as the original is the original, to everybody: that is beyond what a session can tell apart.
      const { registration: now } = host.state;
      const isOutdated = now?.agentId === registration.agentId && now.session !== registration.session;
      if (!isOutdated || host.agent?.isConnected !== true) {
        if (attempt < 40) this.#schedule.after(integerBetween(random, 1_000, 8_000), () => begin(attempt + 1));
        return;
      }
      count("cloned-disk");
      copy.boot();
      this.#schedule.after(integerBetween(random, 500, 30_000), () => copy.lose());
    };
    this.#schedule.after(integerBetween(random, 1_000, 20_000), () => begin(0));
  }

  #markGone(host: Host, count: (kind: ClusterFault) => void): void {
    const agentId = host.state.registration?.agentId;
    if (agentId === undefined || this.#random.next() < 0.5) return;
    count("marked-gone");
    this.#askLeader((master) => master.markAgentGone(agentId, "operator"));
  }

  /** What a role is sure to get, and the most that it may have; sometimes nothing of both. */
  #changeQuota(count: (kind: ClusterFault) => void): void {
    const random = this.#random;
    const { role } = pick(random, this.#frameworks);
    const cpus = integerBetween(random, 0, 4);
    const amounts = (value: number) => (value === 0 ? [] : [{ name: "cpus", value }]);
    const config = { role, guarantees: amounts(pick(random, [0, 0, Math.min(1, cpus)])), limits: amounts(cpus) };
    count("quota-changed");
    const force = random.next() < 0.7;
    this.#askLeader((master) => master.updateQuota({ type: "update", configs: [config], force }, OPERATOR));
  }

  #changeWeights(count: (kind: ClusterFault) => void): void {
    const { role } = pick(this.#random, this.#frameworks);
    const weight = pick(this.#random, [0.5, 1, 2, 10]);
    count("weights-changed");
    this.#askLeader((master) => master.updateWeights([{ role, weight }], OPERATOR));
  }

  #askLeader(ask: (master: MasterObject) => Promise<CallAnswer | NotLeading>): void {
    const finder = new LeaderFinder<MasterObject>({
      candidates: this.#candidates,
      stub: (candidate) => this.#plane.masterStub(candidate),
      now: () => millis(this.#schedule.now),
    });
    this.#asOperator(async () => void (await finder.write(ask)));
  }

  #asOperator(ask: () => Promise<void>): void {
    this.#operator.enter(ask).catch(() => undefined);
  }

  // ---- healing

  #heal(): void {
    this.#say(() => "HEAL");
    this.#plane.burstUntil = 0;
    if (!this.#isCalm && this.#random.next() < 0.2) this.#loseTogether();
    if (!this.#isCalm && this.#random.next() < 0.2) this.#forgetSocket();
    this.#isFaulty = false;
    this.#duplicateShare = 0;
    this.#ghostShare = 0;
    this.#plane.weather = CALM_CALLS;
    this.#network.weather = CALM;
    for (const replica of this.#replicas.values()) if (!replica.isUp) replica.restart();
    for (const master of this.#plane.masters.values()) {
      master.cutUntil = 0;
      master.caller.cutTo.clear();
      master.caller.cutFrom.clear();
    }
    for (const clone of this.#clones) clone.lose();
    for (const host of this.#hosts) {
      host.cutUntil = 0;
      if (host.isUp) host.startAgent();
      else if (this.#random.next() < 0.5) this.#reboot(host);
    }
    for (const framework of this.#frameworks) framework.isCalm = true;
  }

  async #converge(): Promise<void> {
    let missing: readonly string[] = [];
    for (let ms = 0; ms < CONVERGE_MS_MAX; ms += CONVERGE_STEP_MS) {
      await this.#runFor(CONVERGE_STEP_MS);
      if (this.#checker.violations.length > 0 || this.#logChecker.violations.length > 0) return;
      missing = this.#whatIsMissing();
      if (missing.length === 0) return;
    }
    this.#checker.violated(`liveness: after ${CONVERGE_MS_MAX / 1000} s ${missing.join("; ")}`);
  }

  #whatIsMissing(): readonly string[] {
    const truth = this.#truth.follow(this.#schedule.now - BEGIN_MS);
    const { leader } = truth.registry;
    const master = this.#leader();
    if (leader === undefined || master === undefined) return ["nobody leads"];
    const books = master.isolate === undefined ? undefined : this.#masters.get(master.isolate);
    if (books?.epoch !== leader.epoch) return [`${leader.candidate} does not lead under epoch ${leader.epoch}`];
    const missing: string[] = [];
    for (const host of this.#hosts) {
      const { hostname } = host.options;
      const { registration } = host.state;
      if (!host.isUp) {
        if (registration !== undefined && truth.where(registration.agentId) === "admitted")
          missing.push(`${hostname} is dead, and ${registration.agentId} is admitted`);
        continue;
      }
      const booked = registration === undefined ? undefined : books.agents.get(registration.agentId);
      if (registration === undefined || host.agent?.isRegistered !== true)
        missing.push(`${hostname} is not registered`);
      else if (registration.epoch !== leader.epoch)
        missing.push(`${hostname} is registered under ${registration.epoch}`);
      else if (booked?.connection === undefined || booked.session !== registration.session)
        missing.push(`${hostname} is registered, the books do not have its session`);
      else missing.push(...differences(host, booked));
    }
    for (const framework of this.#frameworks) missing.push(...this.#missingOf(framework));
    return missing;
  }

  #missingOf(framework: Framework): readonly string[] {
    const { name } = framework.options;
    if (framework.isFinished) return this.#strays(framework);
    if (!framework.isSubscribed) return [`${name} is not subscribed`];
    const missing = [...this.#strays(framework)];
    for (const task of framework.tasks.values()) {
      if (task.frameworkId !== framework.id || this.#checker.ambiguous.has(task.agentId)) continue;
      const problem = this.#problemOf(task);
      if (problem !== undefined) missing.push(`${task.taskId} of ${name} was told as ${task.told}, ${problem}`);
    }
    return missing;
  }

  /** What still runs of frameworks that were removed, on agents that are there. */
  #strays(framework: Framework): readonly string[] {
    return [...framework.tasks.values()].flatMap((task) => {
      if (task.frameworkId === framework.id) return [];
      const host = this.#hostOf(task.agentId);
      return host?.runsTask(taskKey(task.frameworkId, task.taskId)) === true
        ? [`${task.taskId} of ${task.frameworkId} runs, its framework was removed`]
        : [];
    });
  }

  #hostOf(agentId: AgentId): Host | undefined {
    return this.#hosts.find((host) => host.isUp && host.state.registration?.agentId === agentId);
  }

  #problemOf(task: KnownTask): string | undefined {
    const host = this.#hostOf(task.agentId);
    const { told } = task;
    const isAlive: readonly (TaskState | undefined)[] = [
      "TASK_STAGING",
      "TASK_STARTING",
      "TASK_RUNNING",
      "TASK_KILLING",
    ];
    if (host?.runsTask(taskKey(task.frameworkId, task.taskId)) === true)
      return isAlive.includes(told) ? undefined : "and it runs";
    if (told !== undefined && isTerminal(told)) return undefined;
    const where = this.#truth.where(task.agentId);
    if (where === "unreachable") return told === "TASK_UNREACHABLE" ? undefined : "and its agent is unreachable";
    if (where === "unknown" && told === "TASK_UNKNOWN") return undefined;
    return `and it does not run (its agent is ${where})`;
  }
}

/** What the books have wrong of what the agent has. */
function differences(host: Host, booked: AgentRecord): readonly string[] {
  const { hostname } = host.options;
  const wrong: string[] = [];
  const total = fromResources(withTotal(host.info, host.state.converted).resources);
  if (!equal(total, booked.total))
    wrong.push(
      `${hostname} has ${JSON.stringify(toResources(total))}, the books have ${JSON.stringify(toResources(booked.total))}`,
    );
  const live = liveExecutors(host.state).map(({ executor }) => executor.executor_id.value);
  const known = [...booked.executors.values()].map(({ executorId }) => executorId);
  if (live.toSorted().join(" ") !== known.toSorted().join(" "))
    wrong.push(`${hostname} runs executors ${live.join(" ")}, the books have ${known.join(" ")}`);
  return wrong;
}
