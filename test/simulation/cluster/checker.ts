// Watches every message of a cluster and says which promise it breaks. It goes by the log as it is chosen, by what runs on the hosts, and
// by what was said before; it knows none of the cores. Numbers in brackets are those of the analysis of Mesos (registrar §13, tasks §25).
import type { NumberedOrder, PlaneMessage } from "#protocol/agent.ts";
import type { GatewayBatch } from "#protocol/gateway.ts";
import type { AgentId, FrameworkId, OfferId, SessionId } from "#protocol/ids.ts";
import { isSubrole, reservationRole } from "#resources/pool.ts";
import { quantities, unreserved } from "#resources/resources.ts";
import type { AppendCall } from "#log/calls.ts";
import type { OperationState, OperationStatus } from "#protocol/operation.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskStatus } from "#protocol/task.ts";
import { roleView } from "../../../src/master/allocator/hierarchical.ts";
import { booksProblem } from "../../master/books.ts";
import type { Master } from "../../../src/master/state.ts";
import {
  type TaskKey,
  taskKey,
  type CheckpointedTask,
  type Registration,
} from "../../../agent-node/checkpoint/state.ts";
import { type Host, volumesOf } from "./agent.ts";
import type { Framework } from "./framework.ts";
import type { Isolate } from "./isolate.ts";
import type { Link } from "./socket.ts";
import type { Truth } from "./truth.ts";

const VIOLATIONS_MAX = 12;
/** Longest time that a leader which was deposed may still speak, ms: the age of a confirmation, and what the last one took. */
const STALE_MS_MAX = 5_000 + 100;

const RUNS: ReadonlySet<string> = new Set(["TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"]);
const NEWS: ReadonlySet<string> = new Set(["TASK_UNREACHABLE", "TASK_GONE_BY_OPERATOR"]);

interface Booked {
  readonly session: SessionId;
  readonly sessionBefore: SessionId | undefined;
  readonly isConfirmed: boolean;
  readonly socketId: string | undefined;
}

export class ClusterChecker {
  readonly violations: string[] = [];
  /** Ids of which a copy was rightly taken for the original: two hosts speak for them. */
  readonly ambiguous = new Set<AgentId>();
  readonly #now: () => number;
  readonly #truth: Truth;
  /** How often each task was started, anywhere. */
  readonly #starts = new Map<TaskKey, number>();
  readonly #offered = new Set<OfferId>();
  /** What each epoch has said "registered" to, and how far the log was then. */
  readonly #registeredAt = new Map<string, number>();
  /** Ballots under which an append has failed. */
  readonly #failed = new Map<Isolate, Set<string>>();
  /** What the books said of each agent last, and before each session began. */
  readonly #books = new Map<string, Booked>();
  readonly #sessionBefore = new Map<SessionId, Booked>();
  /** The last word on each operation: of its agent if it has a uuid. */
  readonly #operations = new Map<string, { readonly state: OperationState; readonly uuid: string | undefined }>();
  counts = { registered: 0, started: 0, news: 0, ended: 0, shutdowns: 0, told: 0, operations: 0, offers: 0 };

  constructor(now: () => number, truth: Truth) {
    this.#now = now;
    this.#truth = truth;
  }

  violated(rule: string): void {
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push(`at ${Math.round(this.#now())} ms: ${rule}`);
  }

  get #log(): Truth {
    return this.#truth.follow(this.#now());
  }

  // ---- the log

  /** [24] After a write without an answer nothing more is written under its ballot. */
  onAppend(isolate: Isolate, { ballot }: AppendCall): void {
    if (this.#failed.get(isolate)?.has(`${ballot.counter}/${ballot.nonce}`) === true)
      this.violated(`invariant 24: ${isolate.name} appends under a ballot with which it has failed`);
  }
  onAppendFailed(isolate: Isolate, { ballot }: AppendCall): void {
    const failed = this.#failed.get(isolate) ?? new Set();
    failed.add(`${ballot.counter}/${ballot.nonce}`);
    this.#failed.set(isolate, failed);
  }

  // ---- masters

  /** The books as they are stored, the allocator's beside them: [25.1] [25.2] [25.5]. */
  #onBooks(master: Master, marked: readonly AgentId[]): void {
    for (const agentId of marked) {
      const agent = master.agents.get(agentId);
      if (agent?.session === undefined) continue;
      const { session, sessionBefore, connection } = agent;
      const key = `${master.epoch}/${agentId}`;
      const before = this.#books.get(key);
      if (before !== undefined && before.session !== session) this.#sessionBefore.set(session, before);
      this.#books.set(key, { session, sessionBefore, isConfirmed: agent.confirmed, socketId: connection?.socketId });
    }
    const problem = booksProblem(master);
    if (problem !== undefined) this.violated(problem);
  }

  /** [25.3] [25.15] [25.17] An offer that is made: what is reserved in it is for its role or one above, and the role stays within its quota. */
  #onOffer(master: Master, offerId: OfferId): void {
    const offer = master.offers.get(offerId);
    if (offer === undefined) return this.violated(`offer ${offerId} is told, and the books do not have it`);
    this.counts.offers += 1;
    if (this.#offered.has(offerId)) this.violated(`[25.3] ${offerId} is offered twice`);
    this.#offered.add(offerId);
    const { role, resources } = offer;
    for (const { pool } of resources.pools.values()) {
      const owner = reservationRole(pool);
      if (owner !== "*" && owner !== role && !isSubrole(role, owner))
        this.violated(`[25.15] ${offerId} offers to ${role} what is reserved for ${owner}`);
    }
    const limits = master.registry.quotas.get(role)?.limits ?? [];
    // What is reserved for the role was counted before it was offered.
    const added = quantities(unreserved(resources));
    for (const { name, value } of limits) {
      if (!added.has(name)) continue;
      const consumed = (roleView(master.allocator, role).consumed.get(name) ?? 0) / 1000;
      if (consumed > value)
        this.violated(`[25.17] with ${offerId} ${role} has ${consumed} ${name}, its limit is ${value}`);
    }
  }

  /** Whatever leaves a master: [32], and that its epoch is its own [27]. */
  #speaks(isolate: Isolate, epoch: number, what: string): void {
    const log = this.#log;
    const leader = log.leaders.get(epoch);
    if (leader === undefined)
      return this.violated(`invariant 27: ${isolate.name} speaks for epoch ${epoch}, which the log does not have`);
    if (leader.candidate !== isolate.name)
      this.violated(`invariant 27: ${isolate.name} speaks for epoch ${epoch} of ${leader.candidate}`);
    for (const [newer, { seenAt }] of log.leaders) {
      if (newer > epoch && this.#now() - seenAt > STALE_MS_MAX)
        return this.violated(
          `invariant 32: ${isolate.name} of epoch ${epoch} says ${what} ${Math.round(this.#now() - seenAt)} ms after epoch ${newer} began`,
        );
    }
  }

  /** What a turn of a master has decided to say, before any of it leaves. */
  onTurn(isolate: Isolate, master: Master, marked: readonly AgentId[], links: ReadonlyMap<string, Link>): void {
    this.#onBooks(master, marked);
    for (const effect of master.effects) {
      if (effect.type === "event" && effect.event.type === "OFFERS")
        for (const { id } of effect.event.offers.offers) this.#onOffer(master, id.value);
      if (effect.type === "event") this.#onEvent(isolate, master, effect.event);
      if (effect.type !== "send") continue;
      const { message, to } = effect;
      if (message.type === "registered") {
        this.#onRegistered(isolate, message);
        this.#onSecondSocket(message, to.socketId, links);
      } else if (message.type === "shutdown") this.#onShutdown(isolate, message);
      else if (message.type === "orders") this.#onOrders(isolate, message);
      else if (message.type === "refused") this.violated(`an agent is refused: ${message.reason}`);
    }
  }

  /** Whoever has heard a gateway's whole live set has nobody connected there who is not in it. */
  onTaken({ agents }: Master, { gateway, live, items }: GatewayBatch): void {
    if (live === undefined) return;
    // Of one that is being closed something may still be in the batch; its closing is told with the next.
    const alive = new Set([...live, ...items.map(({ socketId }) => socketId)]);
    for (const { agentId, connection } of agents.values()) {
      if (connection?.gateway === gateway && !alive.has(connection.socketId))
        this.violated(`${agentId} is connected to ${gateway} by a socket that is not in its live set`);
    }
  }

  /** [31] */
  #onRegistered(isolate: Isolate, { agentId, epoch }: Extract<PlaneMessage, { type: "registered" }>): void {
    this.#speaks(isolate, epoch, "registered");
    this.counts.registered += 1;
    const log = this.#log;
    const history = log.agents.get(agentId);
    if (history === undefined)
      return this.violated(`invariant 31: ${agentId} is told that it is registered, and the log does not have it`);
    const left = history.departedAt.findLast((departed) => departed.epoch <= epoch);
    const came = history.admittedAt.findLast((at) => left === undefined || at > left.position);
    // Whoever leads under this epoch has read all that came before it, and has written all of it since.
    if (left !== undefined && came === undefined)
      this.violated(`invariant 31: ${agentId} is told that it is registered, and the log says that it is ${left.what}`);
    this.#registeredAt.set(`${epoch}/${agentId}`, log.next);
  }

  /** Beside a live socket of the same agent only who knows its newest session is taken: no copy of its disk. */
  #onSecondSocket(
    { session, agentId }: Extract<PlaneMessage, { type: "registered" }>,
    socketId: string,
    links: ReadonlyMap<string, Link>,
  ): void {
    const before = this.#sessionBefore.get(session);
    const other = before?.socketId === undefined ? undefined : links.get(before.socketId);
    const own = links.get(socketId);
    if (own?.host.isCopy === true) this.ambiguous.add(agentId);
    if (before === undefined || other === undefined || own === undefined || other === own || !other.isOpen) return;
    const known = own.host.state.registration?.session;
    if (known === before.session || (!before.isConfirmed && known === before.sessionBefore)) return;
    this.violated(
      `${own.host.options.hostname}, which knows session ${known}, is registered beside a live socket of ${other.host.options.hostname} with session ${before.session}`,
    );
  }

  /** An admitted agent ends only by the registry's word. */
  #onShutdown(isolate: Isolate, { agentId, epoch }: Extract<PlaneMessage, { type: "shutdown" }>): void {
    this.#speaks(isolate, epoch, "shutdown");
    this.counts.shutdowns += 1;
    const where = this.#log.where(agentId);
    if (where === "admitted" || where === "unreachable")
      this.violated(`${agentId} is told to shut down, and the registry has it as ${where}`);
  }

  #onOrders(isolate: Isolate, { epoch }: { readonly epoch: number; readonly orders: readonly NumberedOrder[] }): void {
    this.#speaks(isolate, epoch, "orders");
  }

  /** [30], [32] */
  #onEvent(isolate: Isolate, master: Master, event: SchedulerEvent): void {
    if (event.type === "HEARTBEAT" || event.type === "ERROR") return;
    // Its own offers a master may take back at any time, also when another leads.
    if (event.type === "RESCIND") return;
    this.#speaks(isolate, master.epoch, event.type);
    // Of an executor only its agent tells.
    if (event.type === "FAILURE" && event.failure.executor_id === undefined)
      this.#isNews(master, event.failure.agent_id.value, "FAILURE");
    if (event.type === "UPDATE") {
      const { status } = event.update;
      const agentId = status.agent_id?.value;
      const isNews =
        NEWS.has(status.state) ||
        status.reason === "REASON_AGENT_REMOVED_BY_OPERATOR" ||
        (status.reason === "REASON_AGENT_REMOVED" && status.message !== "the agent was removed");
      if (agentId !== undefined && isNews) this.#isNews(master, agentId, status.state);
    }
  }

  #isNews(master: Master, agentId: AgentId, what: string): void {
    this.counts.news += 1;
    const since = this.#registeredAt.get(`${master.epoch}/${agentId}`) ?? 0;
    const departed = this.#log.agents.get(agentId)?.departedAt ?? [];
    if (!departed.some(({ position }) => position >= since))
      this.violated(`invariant 30: a framework hears ${what} of ${agentId}, which no entry of the log says`);
  }

  // ---- agents

  /** A task runs at most once, on whatever host. */
  onStarted(host: Host, { framework, task }: CheckpointedTask): void {
    this.counts.started += 1;
    const key = taskKey(framework.id, task.task_id.value);
    const starts = (this.#starts.get(key) ?? 0) + 1;
    this.#starts.set(key, starts);
    if (starts > 1) this.violated(`task ${key} is started ${starts} times, now on ${host.options.hostname}`);
    const known = host.state.tasks.get(key);
    if (known === undefined)
      this.violated(`task ${key} is started, and the journal of ${host.options.hostname} does not have it`);
    for (const path of known === undefined ? [] : volumesOf(known))
      if (!host.volumes.has(path)) this.violated(`task ${key} is started without its volume ${path}`);
  }

  /** [25.21] */
  onActed(host: Host, { epoch, session }: { readonly epoch: number; readonly session: string }): void {
    const { registration, epochSeen } = host.state;
    if (registration?.session !== session || registration.epoch !== epoch)
      this.violated(
        `${host.options.hostname} acts upon orders of session ${session}, its own is ${registration?.session}`,
      );
    if (epoch < epochSeen)
      this.violated(`${host.options.hostname} acts upon orders of epoch ${epoch}, it has obeyed ${epochSeen}`);
  }

  onEnding(
    host: Host,
    { framework, task }: CheckpointedTask,
    why: "order" | "removal",
    frameworkOf: (id: FrameworkId) => Framework | undefined,
  ): void {
    this.counts.ended += 1;
    const agentId = host.state.registration?.agentId;
    const log = this.#log;
    if (agentId !== undefined) {
      if (this.ambiguous.has(agentId)) return;
      const where = log.where(agentId);
      if (where === "gone" || where === "unknown") return;
    }
    const key = taskKey(framework.id, task.task_id.value);
    if (why === "order") {
      if (log.removedFrameworks.has(framework.id)) return;
      const of = frameworkOf(framework.id);
      if (of === undefined || of.tasks.get(task.task_id.value)?.isKillAsked === true) return;
    }
    this.violated(
      `task ${key} on ${host.options.hostname} is ended by ${why}, which neither its framework nor the registry has asked for`,
    );
  }

  /** An agent never goes back to an older epoch. */
  onAgentRegistered(host: Host, { epoch }: Registration, epochBefore: number): void {
    if (epoch < epochBefore)
      this.violated(`${host.options.hostname} registers under epoch ${epoch}, it has obeyed ${epochBefore}`);
  }

  // ---- frameworks

  /** What an agent says of an operation is its end: it is done once, and never told otherwise. */
  onOperationTold(framework: Framework, status: OperationStatus): void {
    this.counts.operations += 1;
    const { operation_id, agent_id, state, uuid } = status;
    if (operation_id === undefined || (agent_id !== undefined && this.ambiguous.has(agent_id.value))) return;
    const key = `${framework.options.name} ${operation_id.value}`;
    const before = this.#operations.get(key);
    if (uuid === undefined) {
      if (state === "OPERATION_DROPPED") this.#operations.set(key, { state, uuid: before?.uuid });
      if (state === "OPERATION_DROPPED" && before?.uuid !== undefined)
        this.violated(`operation ${operation_id.value} was told as ${before.state}, and now as ${state}`);
      return;
    }
    if (before !== undefined && (before.uuid !== uuid.value || before.state !== state))
      this.violated(
        `operation ${operation_id.value} was told as ${before.state} (${before.uuid}), and now as ${state} (${uuid.value})`,
      );
    this.#operations.set(key, { state, uuid: uuid.value });
  }

  /** A last update of an agent never changes. */
  onTold(framework: Framework, status: TaskStatus): void {
    this.counts.told += 1;
    const task = framework.tasks.get(status.task_id.value);
    if (task === undefined) return;
    const { endByMaster } = task;
    if (endByMaster !== undefined && RUNS.has(status.state) && !this.ambiguous.has(task.agentId))
      this.violated(
        `task ${task.taskId} of ${framework.options.name} was told as ${endByMaster.state} (${endByMaster.message}), and now as ${status.state}`,
      );
    if (task.end === undefined || task.end.state === status.state) return;
    if (this.ambiguous.has(task.agentId)) return;
    // The question, or the kill, may have been on its way while the end was told and acknowledged: the agent has forgotten the task since.
    if (status.reason === "REASON_RECONCILIATION" && !RUNS.has(status.state)) return;
    if (status.source === "SOURCE_AGENT") return;
    this.violated(
      `task ${status.task_id.value} of ${framework.options.name} was told as ${task.end.state}, and now as ${status.state} (${status.message})`,
    );
  }
}
