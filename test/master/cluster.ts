// A master with agents and frameworks that a test moves by hand: registry outcomes, sockets and ids are under its control.
import { millis, type Millis } from "#base/time.ts";
import { present } from "#base/assert.ts";
import type { AgentMessage, PlaneMessage, SystemStatistics, TaskReport } from "#protocol/agent.ts";
import type {
  AgentId,
  ClusterId,
  Epoch,
  FrameworkId,
  HostKey,
  MasterId,
  OperationUuid,
  Principal,
  SessionId,
  StreamId,
  TaskId,
} from "#protocol/ids.ts";
import type { Call, FrameworkInfo, Offer, SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskInfo, TaskState, TaskStatus } from "#protocol/task.ts";
import { onAgentMessage } from "../../src/master/agents.ts";
import { onOutcome } from "../../src/master/outcomes.ts";
import { tick } from "../../src/master/deadlines.ts";
import { DEFAULT_SETTINGS, type MasterSettings } from "../../src/master/settings.ts";
import { applyOperation } from "#registrar/operations.ts";
import { emptyRegistry, type Registry } from "#registrar/registry.ts";
import { onCall } from "../../src/master/calls.ts";
import { makeOffers } from "../../src/master/offers.ts";
import { subscribe, type SubscribeRequest } from "../../src/master/subscriptions.ts";
import { MemoryTaskStore } from "../../src/master/memory-task-store.ts";
import {
  clearMarks,
  newMaster,
  type CallAnswer,
  type Connection,
  type FrameworkRecord,
  type Master,
  type MasterEffect,
} from "../../src/master/state.ts";
import { taskChanges } from "../../src/master/task-store.ts";

export const SYSTEM: SystemStatistics = {
  cpus_total: 2,
  load_1min: 0.5,
  load_5min: 0.4,
  load_15min: 0.3,
  mem_total_bytes: 1000,
  mem_free_bytes: 400,
};
const PRINCIPAL = "scheduler" as Principal;
export const CLUSTER_ID = "cluster" as ClusterId;

export type Subscribed = { readonly streamId: StreamId } & (
  | { readonly type: "subscribed"; readonly framework: FrameworkRecord }
  | { readonly type: "refused"; readonly message: string }
);

type RegistryEffect = Extract<MasterEffect, { type: "registry" }>;

export class Cluster {
  readonly master: Master;
  readonly registry: Registry;
  readonly effects: MasterEffect[] = [];
  readonly store = new MemoryTaskStore();
  now: Millis = millis(1_000_000);
  #uuids = 0;
  #sockets = 0;
  #requests = 0;
  readonly ids = {
    uuid: () => `uuid-${++this.#uuids}`,
    operationUuid: () => uuidText(++this.#uuids) as OperationUuid,
  };

  constructor(
    settings: Partial<MasterSettings> = {},
    { registry = emptyRegistry(), masterId = "m" }: { readonly registry?: Registry; readonly masterId?: string } = {},
  ) {
    this.registry = registry;
    this.master = newMaster({
      clusterId: CLUSTER_ID,
      settings: { ...DEFAULT_SETTINGS, ...settings },
      registry,
      masterId: masterId as MasterId,
      epoch: 7 as Epoch,
      info: {
        id: "m" as MasterId,
        ip: 0,
        port: 5050,
        pid: "master@127.0.0.1:5050",
        hostname: "127.0.0.1",
        version: "0.0.0",
        address: { hostname: "127.0.0.1", ip: "127.0.0.1", port: 5050 },
        capabilities: [],
      },
      store: this.store,
      // The first one first: what a test expects does not depend on a draw.
      random: { next: () => 0.999 },
      startedAt: this.now,
      electedAt: this.now,
    });
  }

  /** What has left since the last call, after offers that were due; the turn is saved. */
  settle(): MasterEffect[] {
    makeOffers(this.master, this.now);
    this.store.apply(taskChanges(this.master));
    clearMarks(this.master);
    const left = this.master.effects
      .splice(0)
      .flatMap((effect): MasterEffect[] =>
        effect.type === "events"
          ? [...effect.events].map((event) => ({ type: "event", streamId: effect.streamId, event }))
          : [effect],
      );
    this.effects.push(...left);
    return left;
  }

  socket(): Connection {
    return { gateway: "gateway-1", socketId: `socket-${++this.#sockets}` };
  }

  say(from: Connection, message: AgentMessage, host = 1): MasterEffect[] {
    onAgentMessage(
      this.master,
      { from, hostKey: hostKey(host), principal: "agent" as Principal },
      message,
      this.ids,
      this.now,
    );
    return this.settle();
  }

  /** Decides on the operation, as the Registrar would. */
  commit({ id, operation, who, why }: RegistryEffect): MasterEffect[] {
    const applied = applyOperation(this.registry, { operation, audit: { who, why, when: this.now } });
    const outcome = applied.type === "refused" ? applied : ({ type: "committed" } as const);
    onOutcome(this.master, id, outcome, this.ids, this.now);
    return this.settle();
  }

  /** Decides on everything that is asked, and on what follows from it; returns all effects. */
  commitAll(effects: readonly MasterEffect[] = this.settle()): MasterEffect[] {
    return effects.flatMap((effect) => (effect.type === "registry" ? this.commitAll(this.commit(effect)) : [effect]));
  }

  /** Time passes, and what falls due is done. */
  pass(ms: number): MasterEffect[] {
    this.now = millis(this.now + ms);
    tick(this.master, this.now);
    return this.settle();
  }

  /** A registered agent of 2 cpus and 1000 MB. */
  agent(host = 1): TestAgent {
    const socket = this.socket();
    const commit = this.say(socket, register({}), host).find((effect) => effect.type === "registry");
    const registered = sent(this.commit(present(commit, "admission")), "registered")[0];
    return { socket, host, ...present(registered, "registered") };
  }

  /** What came of it, when the registry has decided. */
  subscribe(
    info: Partial<FrameworkInfo> = {},
    streamId = `stream-${++this.#uuids}` as StreamId,
    more: Partial<SubscribeRequest> = {},
  ): Subscribed {
    const request = {
      info: frameworkInfo(info),
      principal: PRINCIPAL,
      streamId,
      suppressedRoles: [],
      offerConstraints: undefined,
      ...more,
    };
    subscribe(this.master, request, this.now);
    for (const effect of this.commitAll()) {
      if (effect.type !== "event" || effect.streamId !== streamId) continue;
      const { event } = effect;
      if (event.type === "ERROR") return { type: "refused", message: event.error.message, streamId };
      if (event.type !== "SUBSCRIBED") continue;
      const framework = present(this.master.frameworks.get(event.subscribed.framework_id.value), "framework");
      return { type: "subscribed", framework, streamId };
    }
    throw new Error("nothing was said on the stream");
  }

  framework(info: Partial<FrameworkInfo> = {}, more: Partial<SubscribeRequest> = {}): TestFramework {
    const result = this.subscribe(info, undefined, more);
    if (result.type !== "subscribed") throw new Error(result.message);
    return { id: result.framework.id, streamId: result.streamId };
  }

  call(
    framework: TestFramework,
    call: Partial<Call>,
    more: { principal?: Principal; streamId?: StreamId | undefined } = {},
  ): CallAnswer {
    const request = {
      call: { framework_id: { value: framework.id }, ...call },
      principal: PRINCIPAL,
      streamId: framework.streamId,
      ...more,
    };
    const answer = onCall(this.master, request as Parameters<typeof onCall>[1], ++this.#requests, this.ids, this.now);
    const later = this.commitAll().find((effect) => effect.type === "answer" && effect.requestId === this.#requests);
    if (answer !== undefined) return answer;
    if (later?.type !== "answer") throw new Error("no answer");
    return later.answer;
  }

  events(framework: TestFramework): SchedulerEvent[] {
    return this.effects.flatMap((effect) =>
      effect.type === "event" && effect.streamId === framework.streamId ? [effect.event] : [],
    );
  }

  offers(framework: TestFramework): Offer[] {
    return this.events(framework)
      .flatMap((event) => (event.type === "OFFERS" ? event.offers.offers : []))
      .filter((offer) => this.master.offers.has(offer.id.value));
  }

  updates(framework: TestFramework): TaskStatus[] {
    return this.events(framework).flatMap((event) => (event.type === "UPDATE" ? [event.update.status] : []));
  }

  launch(framework: TestFramework, tasks: readonly TaskInfo[], offerIds?: readonly string[]): CallAnswer {
    const ids = offerIds ?? this.offers(framework).map((offer) => offer.id.value);
    return this.call(framework, {
      type: "ACCEPT",
      accept: {
        offer_ids: ids.map((value) => ({ value })),
        operations: [{ type: "LAUNCH", id: undefined, launch: { task_infos: tasks } }],
        filters: { refuse_seconds: 0 },
      },
    } as unknown as Partial<Call>);
  }

  update(
    agent: TestAgent,
    framework: TestFramework,
    taskId: string,
    state: TaskState,
    latest: TaskState = state,
    uuid = uuidText(this.#uuids++),
  ): string {
    const status: TaskStatus = { ...status0(taskId, state), agent_id: { value: agent.agentId }, uuid };
    this.say(
      agent.socket,
      { type: "updates", session: agent.session, updates: [{ frameworkId: framework.id, status, latest }] },
      agent.host,
    );
    return uuid;
  }
}

export interface TestAgent {
  readonly socket: Connection;
  readonly host: number;
  readonly agentId: AgentId;
  readonly session: SessionId;
}
export interface TestFramework {
  readonly id: FrameworkId;
  readonly streamId: StreamId;
}

export const hostKey = (host: number): HostKey => String(host).padStart(32, "0") as HostKey;
export const uuidText = (n: number): string => Buffer.from(String(n).padStart(16, "0")).toString("base64");

export function status0(taskId: string, state: TaskState): TaskStatus {
  return {
    task_id: { value: taskId as TaskId },
    state,
    message: undefined,
    agent_id: undefined,
    timestamp: 1,
    executor_id: undefined,
    source: "SOURCE_EXECUTOR",
    reason: undefined,
    uuid: undefined,
    container_status: undefined,
  };
}

const scalarOf = (name: string, value: number) => ({
  name,
  type: "SCALAR" as const,
  scalar: { value },
  ranges: undefined,
  set: undefined,
  role: undefined,
  allocation_info: undefined,
});

export function register(more: Partial<Extract<AgentMessage, { type: "register" }>>): AgentMessage {
  return {
    type: "register",
    info: { hostname: "host", port: 5051, resources: [scalarOf("cpus", 2), scalarOf("mem", 1000)], attributes: [] },
    tasks: [],
    part: 1,
    more: false,
    system: SYSTEM,
    ...more,
  };
}

export function frameworkInfo(more: Partial<FrameworkInfo>): FrameworkInfo {
  return {
    user: "root",
    name: "test",
    id: undefined,
    failover_timeout: 60,
    checkpoint: undefined,
    role: undefined,
    roles: [],
    hostname: undefined,
    principal: undefined,
    webui_url: undefined,
    labels: undefined,
    capabilities: [],
    ...more,
  };
}

export function task(id: string, agentId: AgentId, more: Partial<TaskInfo> = {}, cpus = 0.5): TaskInfo {
  return {
    name: id,
    task_id: { value: id as TaskId },
    agent_id: { value: agentId },
    resources: [scalarOf("cpus", cpus), scalarOf("mem", 100)],
    command: { value: "true", arguments: [], shell: undefined, user: undefined, environment: undefined, uris: [] },
    labels: undefined,
    kill_policy: undefined,
    executor: undefined,
    container: undefined,
    health_check: undefined,
    check: undefined,
    max_completion_time: undefined,
    limits: undefined,
    data: undefined,
    discovery: undefined,
    ...more,
  };
}

export function report(
  framework: TestFramework,
  info: TaskInfo,
  latest: TaskState,
  statuses: TaskStatus[] = [],
): TaskReport {
  return {
    framework: { id: framework.id, name: "test", user: "root", partitionAware: false },
    task: info,
    latest,
    statuses,
  };
}

/** The messages of one type that went to agents. */
export function sent<Type extends PlaneMessage["type"]>(
  effects: readonly MasterEffect[],
  type: Type,
): Extract<PlaneMessage, { type: Type }>[] {
  return effects.flatMap((effect) =>
    effect.type === "send" && effect.message.type === type
      ? [effect.message as Extract<PlaneMessage, { type: Type }>]
      : [],
  );
}
