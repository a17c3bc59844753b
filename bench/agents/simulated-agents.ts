// Thousands of simulated agents in this process, on real sockets, and what became of them: who is connected and registered,
// what was ordered, which task was launched twice, why sockets were closed, and how long registering took.
//
// One socket is one descriptor here and one in the plane: for ten thousand, `ulimit -n` must be 20,000 or so.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "#base/random.ts";
import type { AgentCapability, FrameworkSummary } from "#protocol/agent.ts";
import type { Credential } from "#protocol/credentials.ts";
import type { AgentId, ContainerId, FrameworkId, HostKey, TaskId } from "#protocol/ids.ts";
import type { Resource } from "#protocol/resource.ts";
import type { ScramCrypto } from "#protocol/scram.ts";
import type { TaskInfo } from "#protocol/task.ts";
import { type AgentState, apply, NEW_AGENT } from "../../agent-node/checkpoint/state.ts";
import { nodeScramCrypto } from "../../agent-node/connection/node-crypto.ts";
import { PING_INTERVAL_MS } from "#protocol/agent.ts";
import { SimulatedAgent, type Fleet, type RegisteredEvent } from "./simulated-agent.ts";

/** How often agents are looked at whose time has come, ms. */
const TICK_MS = 20;
const WAIT_POLL_MS = 20;
/** Addresses of the loopback network that sockets come from: each has some 28,000 ports, and a closed one rests for a minute. */
const LOCAL_ADDRESSES = 8;
/** Frameworks that own the synthetic tasks. */
const FRAMEWORKS = 10;

const scalar = (name: string, value: number): Resource => ({ name, type: "SCALAR", scalar: { value }, role: "*" });
const AGENT_RESOURCES = [scalar("cpus", 16), scalar("mem", 32_768), scalar("disk", 100_000)];
const TASK_RESOURCES = [scalar("cpus", 0.1), scalar("mem", 32)];
const TASK_COMMAND = { value: "sleep infinity", arguments: [], uris: [] };

export interface SimulatedAgentsOptions {
  readonly plane: string;
  readonly credential: Credential;
  readonly count: number;
  /** Running tasks that each agent brings along. */
  readonly tasksEach: number;
  readonly pingIntervalMs?: number;
  readonly random?: Random;
}

export interface Counts {
  readonly connected: number;
  readonly registered: number;
  /** Registrations so far, and those of them by an agent that had an id. */
  readonly registrations: number;
  readonly reregistrations: number;
  /** Agents that were given another id than the one they had. */
  readonly changedIds: number;
  readonly orders: number;
  /** Launches that were done, and those of a task that had been launched before, here or on another agent. */
  readonly launches: number;
  readonly duplicateLaunches: number;
  /** Agents that will not come back: refused, removed, or with a wrong credential. */
  readonly stopped: number;
}

export class SimulatedAgents implements Fleet {
  readonly plane: string;
  readonly credential: Credential;
  readonly crypto = withRememberedKeys(nodeScramCrypto());
  readonly info = {
    hostname: "simulated",
    port: 5051,
    resources: AGENT_RESOURCES,
    attributes: [],
    capabilities: ["OPERATIONS", "EXECUTORS"] satisfies AgentCapability[],
  };
  readonly pingIntervalMs: number;
  readonly random: Random;
  readonly agents: readonly SimulatedAgent[];
  /** How often each task was launched, by `<framework>/<task>`. */
  readonly launches = new Map<string, number>();
  /** Why sockets were given up, and how often. */
  readonly troubles = new Map<string, number>();
  /** Of every registration since the last {@link forgetLatencies}. */
  latencies: { readonly sinceOpenMs: number; readonly sinceRegisterMs: number }[] = [];
  #registrations = 0;
  #reregistrations = 0;
  #changedIds = 0;
  #orders = 0;
  #stopped = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ plane, credential, count, tasksEach, pingIntervalMs, random }: SimulatedAgentsOptions) {
    this.plane = plane;
    this.credential = credential;
    this.pingIntervalMs = pingIntervalMs ?? PING_INTERVAL_MS;
    this.random = random ?? { next: Math.random };
    this.agents = Array.from({ length: count }, (_, index) => {
      const hostKey = randomBytes(16).toString("hex") as HostKey;
      return new SimulatedAgent(this, index, { hostKey, state: withTasks(hostKey, index, tasksEach) });
    });
  }

  /** All at once; or, as a fleet of machines is installed, spread evenly over some time. */
  start({ spreadMs = 0 }: { readonly spreadMs?: number } = {}): void {
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    for (const [i, agent] of this.agents.entries()) {
      if (spreadMs === 0) agent.start();
      else setTimeout(() => agent.start(), (i * spreadMs) / this.agents.length);
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const agent of this.agents) agent.stop();
  }

  /** Every socket is lost in one moment. The agents come back by themselves, each after its own random pause. */
  dropAll(): void {
    for (const agent of this.agents) agent.drop();
  }

  get counts(): Counts {
    let [connected, registered] = [0, 0];
    for (const agent of this.agents) {
      if (agent.isConnected) connected++;
      if (agent.isRegistered) registered++;
    }
    let [launches, duplicateLaunches] = [0, 0];
    for (const times of this.launches.values()) {
      launches += times;
      duplicateLaunches += times - 1;
    }
    return {
      connected,
      registered,
      registrations: this.#registrations,
      reregistrations: this.#reregistrations,
      changedIds: this.#changedIds,
      orders: this.#orders,
      launches,
      duplicateLaunches,
      stopped: this.#stopped,
    };
  }

  /** Resolves when `done`; tells the counts once a second on the way. Throws after `msMax`, saying how far it came. */
  async until(
    done: (counts: Counts) => boolean,
    { msMax, onSecond }: { readonly msMax: number; readonly onSecond?: (counts: Counts, ms: number) => void },
  ): Promise<void> {
    const startedAt = performance.now();
    let toldAt = startedAt;
    for (;;) {
      const counts = this.counts;
      if (done(counts)) return;
      const now = performance.now();
      if (now - toldAt >= 1_000) {
        toldAt = now;
        onSecond?.(counts, now - startedAt);
      }
      if (now - startedAt > msMax)
        throw new Error(`after ${msMax / 1000} s: ${JSON.stringify({ ...counts, troubles: this.worstTroubles() })}`);
      await sleep(WAIT_POLL_MS);
    }
  }

  untilAllRegistered(options: Parameters<SimulatedAgents["until"]>[1]): Promise<void> {
    return this.until(({ registered, stopped }) => registered === this.agents.length && stopped === 0, options);
  }

  worstTroubles(): (readonly [string, number])[] {
    return [...this.troubles].toSorted(([, a], [, b]) => b - a).slice(0, 8);
  }

  forgetLatencies(): void {
    this.latencies = [];
  }

  #tick(): void {
    const now = Date.now();
    for (const agent of this.agents) if (agent.wakeAt <= now) agent.tick();
  }

  // --- what the agents ask and tell ---

  localAddressOf(index: number): string {
    return `127.0.0.${1 + (index % LOCAL_ADDRESSES)}`;
  }

  onRegistered(_: SimulatedAgent, { before, registration, sinceOpenMs, sinceRegisterMs }: RegisteredEvent): void {
    this.#registrations++;
    if (before !== undefined) this.#reregistrations++;
    if (before !== undefined && before.agentId !== registration.agentId) this.#changedIds++;
    this.latencies.push({ sinceOpenMs, sinceRegisterMs });
  }

  onLaunch(key: string): void {
    this.launches.set(key, (this.launches.get(key) ?? 0) + 1);
  }

  onOrders(count: number): void {
    this.#orders += count;
  }

  onTrouble(text: string): void {
    this.troubles.set(text, (this.troubles.get(text) ?? 0) + 1);
  }

  onStopped(_: SimulatedAgent, why: Parameters<Fleet["onStopped"]>[1]): void {
    if (why.type === "asked") return;
    this.#stopped++;
    this.onTrouble(`stopped, ${why.type}: ${why.reason}`);
  }
}

/** Every agent has the same secret: stretching it once for each of them would be most of what this process does. */
function withRememberedKeys(crypto: ScramCrypto): ScramCrypto {
  const keys = new Map<string, Promise<Uint8Array>>();
  return {
    ...crypto,
    stretch: (secret, salt, iterations) => {
      const name = `${Buffer.from(secret).toString("hex")}/${Buffer.from(salt).toString("hex")}/${iterations}`;
      const key = keys.get(name) ?? crypto.stretch(secret, salt, iterations);
      keys.set(name, key);
      return key;
    },
  };
}

/** An agent that is new to the plane and has tasks that run, each acknowledged as running. */
function withTasks(hostKey: HostKey, index: number, tasksEach: number): AgentState {
  let state = NEW_AGENT;
  const launches = Array.from({ length: tasksEach }, (_, i) => {
    const task: TaskInfo = {
      name: "simulated",
      task_id: { value: `${hostKey.slice(0, 12)}-${i}` as TaskId },
      agent_id: { value: "simulated" as AgentId },
      resources: TASK_RESOURCES,
      command: TASK_COMMAND,
    };
    const framework = frameworkOf((index + i) % FRAMEWORKS);
    return { framework, task, containerId: `s${i}` as ContainerId };
  });
  state = apply(state, { type: "orders", sequence: 0, launches, kills: [] });
  for (const { framework, task } of launches) {
    const taskId = task.task_id;
    const uuid = randomBytes(16).toString("base64");
    const status = { task_id: taskId, state: "TASK_RUNNING", timestamp: Date.now() / 1000, uuid } as const;
    state = apply(state, { type: "update", frameworkId: framework.id, status });
    state = apply(state, { type: "acknowledged", frameworkId: framework.id, taskId: taskId.value, uuid });
  }
  return state;
}

const frameworks = new Map<number, FrameworkSummary>();
function frameworkOf(n: number): FrameworkSummary {
  const made = { id: `simulated-${n}` as FrameworkId, name: "simulated", user: "nobody", partitionAware: true };
  const framework = frameworks.get(n) ?? made;
  frameworks.set(n, framework);
  return framework;
}
