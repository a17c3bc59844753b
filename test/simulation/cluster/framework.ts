// A framework in the simulation: it subscribes through a Worker that looks for the leader as the shipped one does, takes offers, launches,
// kills, acknowledges now or later, reconciles as the published algorithm says, and remembers all that it was ever told.
import { integerBetween, pick, type Random } from "#base/random.ts";
import { millis } from "#base/time.ts";
import type { AgentId, Epoch, ExecutorId, FrameworkId, Principal, StreamId, TaskId } from "#protocol/ids.ts";
import { isNotLeading, type NotLeading } from "#protocol/leadership.ts";
import type { Operation, OperationStatus } from "#protocol/operation.ts";
import type { Resource } from "#protocol/resource.ts";
import type { Call, FrameworkInfo, Offer, SchedulerEvent } from "#protocol/scheduler.ts";
import { isTerminal, type TaskInfo, type TaskState, type TaskStatus } from "#protocol/task.ts";
import type { CallRequest } from "../../../src/master/calls.ts";
import type { CallAnswer } from "../../../src/master/state.ts";
import type { SubscribeRequest } from "../../../src/master/subscriptions.ts";
import { Isolate, type World } from "./isolate.ts";
import { wishesFor } from "./operations.ts";
import type { Plane } from "./plane.ts";
import { LeaderFinder, type MasterObject } from "./shells.ts";
import type { EventStream } from "./stream.ts";

const PRINCIPAL = "scheduler" as Principal;
const EXECUTOR_CPUS = 0.25;

export interface KnownTask {
  readonly taskId: TaskId;
  readonly agentId: AgentId;
  /** Under which it was launched. */
  readonly frameworkId: FrameworkId;
  /** The last state that it was told; undefined before the first. */
  told: TaskState | undefined;
  /** A last update of the agent: it never changes. */
  end: TaskStatus | undefined;
  isKillAsked: boolean;
  /** Its ACCEPT is not on its way any more: whether it was executed may still not be known. */
  isPlaced: boolean;
  /** The master's own word that it has ended, and cannot come back. */
  endByMaster: TaskStatus | undefined;
  readonly acceptedAt: number;
  /** Told since the last explicit question. */
  isAnswered: boolean;
}

export interface FrameworkObserver {
  onTold(framework: Framework, status: TaskStatus): void;
  onOperationTold(framework: Framework, status: OperationStatus): void;
}

export interface FrameworkOptions {
  readonly name: string;
  readonly world: World;
  readonly random: Random;
  readonly plane: Plane;
  readonly candidates: readonly string[];
  readonly observer: FrameworkObserver;
  readonly isPartitionAware: boolean;
  readonly failoverTimeout: number;
  /** Share of updates that it acknowledges at once, during the faults. */
  readonly diligence: number;
  readonly tasksMax: number;
}

type Finder = InstanceType<typeof LeaderFinder<MasterObject>>;

export class Framework {
  readonly options: FrameworkOptions;
  id: FrameworkId | undefined;
  /** All that it ever launched, also under ids that ended. */
  readonly tasks = new Map<TaskId, KnownTask>();
  /** Ids under which it was before, each of which was removed. */
  readonly formerIds = new Set<FrameworkId>();
  isTearingDown = false;
  isFinished = false;
  /** From now on it does everything right, and launches nothing new. */
  isCalm = false;
  #stream: EventStream | undefined;
  #streamId: StreamId | undefined;
  #isSubscribing = false;
  #heardAt = 0;
  #subscriptions = 0;
  #launched = 0;
  #operated = 0;
  readonly #worker: Isolate;
  readonly #finder: Finder;

  constructor(options: FrameworkOptions) {
    this.options = options;
    const { plane, candidates, world, name } = options;
    this.#worker = new Isolate(`worker of ${name}`, world);
    this.#finder = new LeaderFinder<MasterObject>({
      candidates,
      stub: (candidate) => plane.masterStub(candidate),
      now: () => millis(this.options.world.schedule.now),
    });
  }

  get role(): string {
    return this.options.name;
  }

  get isSubscribed(): boolean {
    return this.#stream !== undefined && this.id !== undefined;
  }

  start(): void {
    this.#subscribe();
    const tend = (): void => {
      if (this.isFinished) return;
      this.#tend();
      this.options.world.schedule.after(integerBetween(this.options.random, 1_000, 4_000), tend);
    };
    this.options.world.schedule.after(1_000, tend);
  }

  /** What a scheduler does between events. */
  #tend(): void {
    const { world, random } = this.options;
    // Heartbeats come every 15 s: without any for three of them the stream is dead.
    if (this.#stream !== undefined && world.schedule.now - this.#heardAt > 50_000) this.disconnect();
    if (this.#stream === undefined) return this.#subscribe();
    if (this.isTearingDown) return this.#teardown();
    const open = [...this.tasks.values()].filter((task) => this.#isLive(task));
    // One that is still being launched is not asked for: the answer would be of before.
    const placed = open.filter(({ isPlaced }) => isPlaced);
    if (!this.isCalm && random.next() < 0.05) this.#call({ type: "SUPPRESS", suppress: { roles: [] } });
    if (random.next() < 0.1) this.#call({ type: "REVIVE", revive: { roles: pick(random, [[], [this.role]]) } });
    if (!this.isCalm && placed.length > 0 && random.next() < 0.1) this.kill(pick(random, placed).taskId);
    if (random.next() < (this.isCalm ? 0.5 : 0.15)) this.reconcile();
  }

  /** Drops the stream, as a client that dies or whose connection breaks. */
  disconnect(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#streamId = undefined;
    this.#subscriptions += 1;
    stream?.read(undefined);
  }

  tearDown(): void {
    this.isTearingDown = true;
    this.#teardown();
  }

  #info(): FrameworkInfo {
    const { name, isPartitionAware, failoverTimeout } = this.options;
    return {
      user: "root",
      name,
      id: this.id === undefined ? undefined : { value: this.id },
      failover_timeout: failoverTimeout,
      checkpoint: true,
      role: undefined,
      roles: [this.role],
      hostname: undefined,
      principal: undefined,
      webui_url: undefined,
      labels: undefined,
      capabilities: [
        { type: "MULTI_ROLE" },
        { type: "RESERVATION_REFINEMENT" },
        ...(isPartitionAware ? [{ type: "PARTITION_AWARE" } as const] : []),
      ],
    };
  }

  #subscribe(): void {
    if (this.#isSubscribing || this.isFinished) return;
    this.#isSubscribing = true;
    const subscription = ++this.#subscriptions;
    const streamId = this.#worker.uuid() as StreamId;
    const request: SubscribeRequest & { readonly reachedAt: string } = {
      info: this.#info(),
      principal: PRINCIPAL,
      streamId,
      suppressedRoles: [],
      offerConstraints: undefined,
      reachedAt: "plane:80",
    };
    const asked = this.#worker.enter(() =>
      this.#finder.write(async (master): Promise<{ readonly body: unknown } | NotLeading> => {
        const response = await master.fetch({ json: async () => structuredClone(request) });
        if (response.status !== 503) return response;
        const candidate = response.headers.get("mesoflare-leader");
        const epoch = Number(response.headers.get("mesoflare-epoch")) as Epoch;
        const reason = await response.text();
        return { type: "not-leading", reason, ...(candidate === undefined ? {} : { leader: { candidate, epoch } }) };
      }),
    );
    void asked.then((answer) => {
      this.#isSubscribing = false;
      if (isNotLeading(answer)) return;
      const stream = answer.body as EventStream;
      if (subscription !== this.#subscriptions) return stream.read(undefined);
      this.#stream = stream;
      this.#streamId = streamId;
      this.#heardAt = this.options.world.schedule.now;
      const isCurrent = (): boolean => this.#stream === stream;
      stream.read({
        onEvent: (event) => {
          if (isCurrent()) this.#onEvent(event);
        },
        onEnd: () => {
          if (isCurrent()) this.disconnect();
        },
      });
    });
  }

  #onEvent(event: SchedulerEvent): void {
    this.#heardAt = this.options.world.schedule.now;
    switch (event.type) {
      case "SUBSCRIBED":
        this.id = event.subscribed.framework_id.value;
        return this.reconcile();
      case "OFFERS":
        return event.offers.offers.forEach((offer) => this.#onOffer(offer));
      case "UPDATE":
        return this.#onUpdate(event.update.status);
      case "UPDATE_OPERATION_STATUS":
        return this.#onOperationUpdate(event.update_operation_status.status);
      case "ERROR":
        this.disconnect();
        if (/removed/.test(event.error.message)) this.#begone();
        return;
      default:
    }
  }

  /** Its id has ended. Its scheduler begins anew, as another framework. */
  #begone(): void {
    if (this.id === undefined) return;
    this.formerIds.add(this.id);
    this.id = undefined;
    this.isTearingDown = false;
    if (this.isCalm) this.isFinished = true;
  }

  #onOffer(offer: Offer): void {
    const { random, world, tasksMax } = this.options;
    const open = [...this.tasks.values()].filter((task) => this.#isLive(task));
    const waitMs = this.isCalm ? 1 : integerBetween(random, 1, pick(random, [50, 50, 3_000, 20_000]));
    const cpus = cpusIn(offer);
    if (this.isCalm || this.isTearingDown || open.length >= tasksMax || cpus < 1 || random.next() < 0.2) {
      const filters = { refuse_seconds: this.isCalm ? 60 : pick(random, [1, 5, 20]) };
      world.schedule.after(waitMs, () =>
        this.#call({ type: "DECLINE", decline: { offer_ids: [{ value: offer.id.value }], filters } }),
      );
      return;
    }
    const count = Math.min(integerBetween(random, 1, 2), Math.floor(cpus), tasksMax - open.length);
    world.schedule.after(waitMs, () => this.#accept(offer, count));
  }

  #accept(offer: Offer, count: number): void {
    if (this.id === undefined || this.isTearingDown) return;
    const { name, random } = this.options;
    const agentId = offer.agent_id.value;
    const fresh = (): string => `${name}-operation-${++this.#operated}`;
    const wishes = wishesFor(offer.resources, { role: this.role, random, fresh });
    // Beside the tasks, for an executor.
    const hasRoom = cpusIn(offer) - count >= EXECUTOR_CPUS;
    const tasks: TaskInfo[] = [];
    for (let i = 0; i < count; i++) {
      const taskId = `${name}-${++this.#launched}` as TaskId;
      tasks.push(taskInfo(taskId, agentId, i === 0 ? wishes.volume : undefined));
      this.tasks.set(taskId, {
        taskId,
        agentId,
        frameworkId: this.id,
        told: undefined,
        end: undefined,
        isKillAsked: false,
        isPlaced: false,
        endByMaster: undefined,
        acceptedAt: this.options.world.schedule.now,
        isAnswered: false,
      });
    }
    const operations = [
      ...wishes.operations,
      hasRoom && random.next() < 0.5 ? this.#launchGroup(tasks) : launch(tasks),
    ];
    const accept = { offer_ids: [{ value: offer.id.value }], operations, filters: { refuse_seconds: 1 } };
    this.#call({ type: "ACCEPT", accept }, () => {
      for (const { task_id } of tasks) {
        const known = this.tasks.get(task_id.value);
        if (known !== undefined) known.isPlaced = true;
      }
    });
  }

  #launchGroup(tasks: TaskInfo[]): Operation {
    const executor = {
      type: "DEFAULT" as const,
      executor_id: { value: `${this.options.name}-executor-${this.#launched}` as ExecutorId },
      resources: [scalar("cpus", EXECUTOR_CPUS), scalar("mem", 32), scalar("disk", 1)],
    };
    return { type: "LAUNCH_GROUP", launch_group: { executor, task_group: { tasks } } };
  }

  #onOperationUpdate(status: OperationStatus): void {
    this.options.observer.onOperationTold(this, status);
    const { uuid, agent_id, operation_id } = status;
    if (uuid === undefined || operation_id === undefined) return;
    const acknowledge_operation_status = { agent_id, resource_provider_id: undefined, uuid: uuid.value, operation_id };
    if (this.isCalm || this.options.random.next() < this.options.diligence)
      this.#call({ type: "ACKNOWLEDGE_OPERATION_STATUS", acknowledge_operation_status });
  }

  #onUpdate(status: TaskStatus): void {
    this.options.observer.onTold(this, status);
    const task = this.tasks.get(status.task_id.value);
    if (task !== undefined) {
      if (task.end === undefined) task.told = status.state;
      task.isAnswered = true;
      if (status.uuid !== undefined && isTerminal(status.state)) task.end ??= status;
      // LOST may be the word for an agent that is unreachable, and comes back.
      else if (isTerminal(status.state) && status.state !== "TASK_LOST") task.endByMaster ??= status;
    }
    const { uuid, agent_id } = status;
    if (uuid === undefined || agent_id === undefined) return;
    const { random, world, diligence } = this.options;
    const acknowledge = (): void =>
      this.#call({ type: "ACKNOWLEDGE", acknowledge: { agent_id, task_id: status.task_id, uuid } });
    if (this.isCalm || random.next() < diligence) return acknowledge();
    // Late, or never: then the agent says it again.
    if (random.next() < 0.5) world.schedule.after(integerBetween(random, 500, 20_000), acknowledge);
  }

  kill(taskId: TaskId): void {
    const task = this.tasks.get(taskId);
    if (task === undefined) return;
    task.isKillAsked = true;
    this.#call({
      type: "KILL",
      kill: { task_id: { value: taskId }, agent_id: { value: task.agentId }, kill_policy: undefined },
    });
  }

  /** Explicitly, all tasks of which it does not know the end. */
  reconcile(): void {
    const open = [...this.tasks.values()].filter((task) => task.isPlaced && this.isOpen(task));
    if (open.length === 0) return;
    const tasks = open.map(({ taskId, agentId }) => ({ task_id: { value: taskId }, agent_id: { value: agentId } }));
    this.#call({ type: "RECONCILE", reconcile: { tasks } });
  }

  /** Whether its end is not known for good. LOST is no end for a framework that is not partition-aware: the task may come back. */
  isOpen({ end, told, frameworkId }: KnownTask): boolean {
    if (end !== undefined || frameworkId !== this.id) return false;
    return told === undefined || !isTerminal(told) || told === "TASK_LOST";
  }

  #isLive(task: KnownTask): boolean {
    return this.isOpen(task) && task.told !== "TASK_LOST";
  }

  #teardown(): void {
    const { id } = this;
    this.#call({ type: "TEARDOWN" }, (answer) => {
      if (isNotLeading(answer) || answer.status !== 202 || this.id !== id) return;
      this.disconnect();
      this.#begone();
    });
  }

  #call(
    call: Partial<Call> & { readonly type: CallRequest["call"]["type"] },
    onOver: (answer: CallAnswer | NotLeading) => void = () => {},
  ): void {
    const { id } = this;
    if (id === undefined || this.#streamId === undefined)
      return onOver({ type: "not-leading", reason: "not subscribed" });
    const request = {
      call: { ...call, framework_id: { value: id } } as CallRequest["call"],
      principal: PRINCIPAL,
      streamId: this.#streamId,
    };
    const asked = this.#worker.enter(() => this.#finder.write((master) => master.call(request)));
    void asked.then((answer) => {
      onOver(answer);
      if (isNotLeading(answer)) return;
      // The published rule: a stream that the master does not know is to be opened again.
      if (answer.status === 403 || (answer.status === 400 && /stream id|cannot be found/.test(answer.text))) {
        if (request.streamId === this.#streamId) this.disconnect();
      }
    });
  }
}

const cpusIn = ({ resources }: Offer): number => resources.find(({ name }) => name === "cpus")?.scalar?.value ?? 0;

const scalar = (name: string, value: number): Resource => ({ name, type: "SCALAR", scalar: { value } });

const launch = (tasks: TaskInfo[]): Operation => ({ type: "LAUNCH", launch: { task_infos: tasks } });

function taskInfo(taskId: TaskId, agentId: AgentId, volume: Resource | undefined): TaskInfo {
  const resources = [scalar("cpus", 1), scalar("mem", 64), ...(volume === undefined ? [] : [volume])];
  return {
    name: taskId,
    task_id: { value: taskId },
    agent_id: { value: agentId },
    resources,
    command: { value: "sleep 1", arguments: [], shell: true, user: undefined, environment: undefined, uris: [] },
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
  };
}
