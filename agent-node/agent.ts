// The agent: wires connection, checkpoint, containerizer, status updates and HTTP together. What to do is decided in
// orders.ts, task-status.ts, connection/session.ts and status-updates/stream.ts; here it is done, in an order that survives
// a crash at any point: first durable, then acted upon, then told.
import { randomBytes, randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import type { Server } from "node:http";
import { present, unreachable } from "#base/assert.ts";
import { type Millis, millis } from "#base/time.ts";
import type { AgentCapability, AgentInfo, SystemStatistics } from "#protocol/agent.ts";
import type { ContainerId, ExecutorId, FrameworkId } from "#protocol/ids.ts";
import { isTerminal, type TaskStatus } from "#protocol/task.ts";
import { fromResources, type ResourceSet, scalar } from "#resources/resources.ts";
import { Checkpoint } from "./checkpoint/checkpoint.ts";
import { errorText } from "./checkpoint/durable-file.ts";
import { compareBoot, readOrMakeHostKey, rememberBoot } from "./checkpoint/host.ts";
import { type Paths, pathsOf, sandboxPath } from "./checkpoint/paths.ts";
import {
  type CheckpointedTask,
  type JournalRecord,
  latestState,
  type Registration,
  type Removal,
  type TaskKey,
  taskKey,
} from "./checkpoint/state.ts";
import type { Config } from "./config.ts";
import { Connection } from "./connection/connection.ts";
import type { StopReason, Traffic } from "./connection/session.ts";
import type { Containerizer, ContainerEvent, ContainerSpec } from "./containerizer/containerizer.ts";
import { ProcessContainerizer } from "./containerizer/process/process-containerizer.ts";
import { EXIT_CODE, type ExitCode, StartError } from "./exit-code.ts";
import { answer, type Routes, tunnelAnswer } from "./http/routes.ts";
import { listen } from "./http/server.ts";
import { stateObject, type TaskView } from "./http/state.ts";
import { takeLock } from "./lock.ts";
import type { Log } from "./log.ts";
import { type Action, graceMs, isCurrent, type OrdersMessage, planOrders } from "./orders.ts";
import { registerMessages } from "./register-messages.ts";
import { exitAfterRemoval, mayBeAdmitted, removalGraceMs, UNREGISTER_TIMEOUT_MS } from "./removal.ts";
import { pathRoots } from "./resources/disks.ts";
import { fitProblem, withTotal } from "./resources/total.ts";
import { sweepSandboxes, SWEEP_INTERVAL_MS } from "./sandbox-sweep.ts";
import { changedNoticeably, STATISTICS_INTERVAL_MS, systemStatistics } from "./statistics.ts";
import { OperationUpdateManager, StatusUpdateManager } from "./status-updates/manager.ts";
import {
  containerIdFrom,
  endStatus,
  executorIdOf,
  runningStatus,
  type Stamp,
  unknownTaskStatus,
} from "./task-status.ts";
import { type Place, placeOf } from "./volumes/place.ts";
import { Volumes } from "./volumes/volumes.ts";

/** What this agent does besides running commands. */
const CAPABILITIES: readonly AgentCapability[] = ["OPERATIONS"];
/** Of an executor that ended in a way that nobody saw: the wire's own word. */
const STATUS_UNKNOWN = -1;
/** Pause before a checkpoint that the disk refused is tried again, ms. */
const DISK_RETRY_MS = 5_000;
/** Completed tasks that /state remembers. */
const COMPLETED_MAX = 200;
/** After all tasks were told to end (SIGUSR1): time beyond the longest grace for updates to be acknowledged, ms. */
const FAREWELL_MS = 5_000;
/** Time without an acknowledgement after which nobody seems to be there who gives one, ms: then the agent waits no longer. */
const FAREWELL_QUIET_MS = 1_000;
const FAREWELL_POLL_MS = 50;
/** How often an agent that is being removed looks whether all of its tasks have ended, ms. */
const ENDING_POLL_MS = 50;

export class Agent {
  readonly #config: Config;
  readonly #log: Log;
  readonly #paths: Paths;
  readonly #checkpoint: Checkpoint;
  readonly #releaseLock: () => void;
  readonly #containerizer: Containerizer;
  readonly #connection: Connection;
  readonly #updates = new StatusUpdateManager();
  readonly #operationUpdates = new OperationUpdateManager();
  readonly #startedAt = millis(Date.now());
  readonly #keys = new Map<ContainerId, TaskKey>();
  readonly #completed: TaskView[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  /** What the flags say of this agent; operations have made something else of its resources by now. */
  readonly #info: AgentInfo;
  readonly #given: ResourceSet;
  readonly #volumes: Volumes;
  /** Mounts that are just being emptied. */
  readonly #emptying = new Set<string>();
  /** Volumes that were moved aside are deleted one after the other. */
  #deleting: Promise<void> = Promise.resolve();
  readonly #routes: Routes;
  #server: Server | undefined;
  #updateTimer: NodeJS.Timeout | undefined;
  /** Orders and acknowledgements are taken one message after the other: each is durable before the next is looked at. */
  #turn: Promise<void> = Promise.resolve();
  #lastStatistics: SystemStatistics | undefined;
  #resolveEnd: (code: ExitCode) => void = () => {};
  #stopping = false;
  /** Somebody asked this agent to leave the cluster for good. */
  #unregistering = false;
  /** The plane ended this agent's id: nothing is reported any more. */
  #removed = false;
  /** Containers of which the end was heard, though it may not be in the checkpoint yet. */
  readonly #ended = new Set<ContainerId>();
  /** Resolves with the exit code when the agent has stopped. */
  readonly ended: Promise<ExitCode>;

  /** Recovers, listens and starts to connect. Throws {@link StartError} for what a person has to mend. */
  static async start(config: Config, log: Log): Promise<Agent> {
    const paths = pathsOf(config.workDir);
    mkdirSync(paths.workDir, { recursive: true, mode: 0o755 });
    const releaseLock = takeLock(paths.lock, paths.workDir);
    try {
      mkdirSync(paths.sandboxes, { recursive: true, mode: 0o755 });
      const checkpoint = await Checkpoint.open(paths);
      const problem = fitProblem(config.resources, checkpoint.state.converted);
      if (problem !== undefined) throw new StartError(problem);
      const agent = new Agent(config, log, paths, checkpoint, releaseLock);
      await agent.#start();
      return agent;
    } catch (error) {
      releaseLock();
      throw error;
    }
  }

  private constructor(config: Config, log: Log, paths: Paths, checkpoint: Checkpoint, releaseLock: () => void) {
    this.#config = config;
    this.#log = log;
    this.#paths = paths;
    this.#checkpoint = checkpoint;
    this.#releaseLock = releaseLock;
    this.#info = {
      hostname: config.hostname,
      port: config.port,
      resources: config.resources,
      attributes: config.attributes,
      capabilities: [...CAPABILITIES],
      domain: config.domain,
    };
    this.#given = fromResources(config.resources);
    this.#volumes = new Volumes({ workDir: paths.workDir, roots: pathRoots(config.resources) });
    this.#routes = { paths, state: () => stateObject(this.#view()) };
    this.ended = new Promise((resolve) => (this.#resolveEnd = resolve));
    this.#containerizer = new ProcessContainerizer({
      paths,
      cgroupsRoot: config.cgroupsRoot,
      log,
      onEvent: (event) => this.#onContainerEvent(event),
    });
    this.#connection = new Connection({
      plane: config.plane,
      hostKey: readOrMakeHostKey(paths),
      credential: config.credential,
      log,
      known: () => {
        const { epochSeen, registration } = this.#checkpoint.state;
        return { epochSeen, agentId: registration?.agentId, clusterId: registration?.clusterId };
      },
      registerMessages: async () => {
        await this.#turn;
        this.#lastStatistics = systemStatistics();
        return registerMessages(this.#checkpoint.state, this.#info, this.#lastStatistics);
      },
      onRegistered: (registration) => this.#onRegistered(registration),
      onTraffic: (message) => this.#onTraffic(message),
      onStopped: (why) => this.#onConnectionStopped(why),
    });
  }

  async #start(): Promise<void> {
    const { port, plane, workDir } = this.#config;
    if (port !== 0) this.#server = await listen(port, (path, range) => answer(this.#routes, path, range));
    const { state, tornBytes } = this.#checkpoint;
    if (tornBytes > 0) this.#log.warn({ bytes: tornBytes }, "the last write before a crash was cut off");
    this.#removed = state.removal !== undefined;
    this.#recover();
    rememberBoot(this.#paths);
    await this.#removeVolumes([...state.removals.values()]);
    this.#deleteRemoved();
    this.#log.info({ plane, workDir, agentId: state.registration?.agentId, tasks: state.tasks.size }, "agent started");
    if (state.removal !== undefined) return void this.#endTasksAndForget(state.removal);
    this.#every(STATISTICS_INTERVAL_MS, () => this.#sendStatistics());
    this.#every(SWEEP_INTERVAL_MS, () => this.#sweep());
    this.#connection.start();
  }
  #every(ms: number, work: () => void): void {
    this.#timers.push(setInterval(work, ms));
  }

  /** Stops the agent and leaves its tasks alone: the next one on this work directory takes them over. */
  async stop(code: ExitCode = EXIT_CODE.stopped): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#updateTimer);
    this.#connection.stop();
    this.#containerizer.close();
    this.#server?.close();
    this.#server?.closeAllConnections();
    await this.#turn;
    await this.#checkpoint.close();
    this.#releaseLock();
    this.#resolveEnd(code);
  }

  /** Ends all tasks, waits some seconds for their last updates to be acknowledged, and stops. The agent keeps its id. */
  async killAllAndStop(): Promise<void> {
    if (this.#removed) return; // that is what it does already
    this.#log.info("asked to end all tasks and stop");
    await this.#killAll();
    if (this.#removed) return;
    const left = this.#checkpoint.state.tasks.size;
    if (left > 0)
      this.#log.warn({ tasks: left }, "not all last updates were acknowledged: they are sent at the next start");
    await this.stop();
  }

  /** Ends all tasks as {@link killAllAndStop} does, and then this agent's id; says so when the plane does not answer. */
  async unregisterAndStop(): Promise<void> {
    if (this.#unregistering || this.#removed) return;
    this.#unregistering = true;
    this.#log.info("asked to end all tasks and leave the cluster");
    await this.#killAll();
    if (!mayBeAdmitted(this.#checkpoint.state, this.#connection.state)) {
      this.#log.info("this agent was never registered: there is nothing to unregister");
      return this.stop();
    }
    const startedAt = performance.now();
    let askedIn: string | undefined;
    while (!this.#stopping && this.#connection.state !== "stopped") {
      // Once in each session: an older one may have ended before anybody heard it.
      const session = this.#connection.registration?.session;
      if (session !== undefined && session !== askedIn) this.#connection.send({ type: "unregister", session });
      askedIn = session ?? askedIn;
      if (performance.now() - startedAt < UNREGISTER_TIMEOUT_MS) {
        await pause(FAREWELL_POLL_MS);
        continue;
      }
      const { registration } = this.#checkpoint.state;
      this.#log.error(
        { agentId: registration?.agentId },
        `the plane ${this.#config.plane} did not answer in ${UNREGISTER_TIMEOUT_MS / 1000} s: this agent is still registered. Its tasks have ended; start it again to try again`,
      );
      return this.stop(EXIT_CODE.stillRegistered);
    }
  }

  async #killAll(): Promise<void> {
    const tasks = [...this.#checkpoint.state.tasks.values()].filter((task) => !this.#hasEnded(task));
    const kills = tasks.map(({ framework, task }) => ({
      frameworkId: framework.id,
      taskId: task.task_id.value,
      graceMs: graceMs(task.kill_policy),
    }));
    await this.#commit([{ type: "orders", sequence: this.#checkpoint.state.sequence, launches: [], kills }]);
    tasks.forEach(({ containerId }, i) =>
      this.#containerizer.kill(containerId, present(kills[i], "one kill a task").graceMs),
    );
    await this.#farewell(Math.max(0, ...kills.map((kill) => kill.graceMs)) + FAREWELL_MS);
  }

  /** Waits until everything is acknowledged, or nobody acknowledges any more, `msMax` at most. */
  async #farewell(msMax: number): Promise<void> {
    const startedAt = performance.now();
    let seen = this.#checkpoint.state;
    let quietSince = startedAt;
    while (!this.#stopping && !this.#removed && performance.now() - startedAt < msMax) {
      const { state } = this.#checkpoint;
      if (state.tasks.size === 0) return;
      // Every record is another state: an update, an acknowledgement, a registration.
      if (state !== seen || !this.#isAllSaid()) quietSince = performance.now();
      else if (performance.now() - quietSince >= FAREWELL_QUIET_MS) return;
      seen = state;
      await pause(FAREWELL_POLL_MS);
    }
  }

  /** All tasks have ended, and the plane was told in the session that there is now. */
  #isAllSaid(): boolean {
    const { state } = this.#checkpoint;
    const ended = [...state.tasks.values()].every((task) => this.#hasEnded(task));
    return ended && this.#connection.registration !== undefined && this.#updates.allSent(state);
  }

  // --- removal ---

  /** The plane's last word: see removal.ts for the order, and what each step is there for. */
  async #onRemoved(removal: Removal): Promise<void> {
    this.#log.warn({ ...removal }, "the plane removed this agent: its tasks end");
    this.#removed = true;
    try {
      await this.#checkpoint.append([{ type: "shutting-down", ...removal }]);
    } catch (error) {
      // Tasks that may run elsewhere by now do not wait for a disk. After a crash the plane says it again.
      this.#log.error({ error: errorText(error) }, "the removal cannot be checkpointed yet");
    }
    // In a turn of its own: `stop`, at the end, waits for this one.
    void this.#endTasksAndForget(removal);
  }

  async #endTasksAndForget({ epoch }: Removal): Promise<void> {
    const tasks = [...this.#checkpoint.state.tasks.values()];
    const left = tasks.filter((task) => !this.#hasEnded(task));
    for (const task of left) this.#containerizer.kill(task.containerId, removalGraceMs(task));
    while (!this.#stopping && left.some(({ containerId }) => !this.#ended.has(containerId)))
      await pause(ENDING_POLL_MS);
    if (this.#stopping) return; // by a signal: the next agent goes on
    await this.#commit([{ type: "shut-down", epochSeen: epoch }]);
    for (const { containerId } of tasks) this.#containerizer.remove(containerId);
    this.#log.info({ tasks: tasks.length }, "this agent is forgotten; the next start registers as a new one");
    await this.stop(exitAfterRemoval({ unregistering: this.#unregistering }));
  }

  // --- the plane ---

  #onRegistered(registration: Registration): void {
    this.#inTurn(async () => {
      try {
        await this.#checkpoint.append([{ type: "registered", ...registration }]);
      } catch (error) {
        return this.#connection.giveUp(`the registration cannot be checkpointed: ${errorText(error)}`);
      }
      const { agentId, epoch, session } = registration;
      this.#log.info({ agentId, epoch, session }, "registered");
      // Says that this session is kept: from now on it is the last one that this agent knows.
      this.#connection.send({ type: "acted", session, sequence: 0 });
      this.#updates.resendAll();
      this.#operationUpdates.resendAll();
      this.#sendUpdates();
    });
  }

  #onTraffic(message: Traffic): void {
    switch (message.type) {
      case "orders":
        return this.#inTurn(() => this.#onOrders(message));
      case "acknowledge":
        return this.#inTurn(() => this.#onAcknowledge(message));
      case "request":
        return this.#onRequest(message);
      case "acknowledge-operations":
        return this.#inTurn(() => this.#onOperationsAcknowledged(message));
      case "executor-message":
        return this.#log.debug({ executor: message.executorId }, "a message for an executor that is not here");
      default:
        return unreachable(message);
    }
  }

  #inTurn(work: () => Promise<void>): void {
    this.#turn = this.#turn
      .then(work)
      .catch((error: unknown) => this.#log.error({ error: errorText(error) }, "a message could not be handled"));
  }

  async #onOrders(message: OrdersMessage): Promise<void> {
    const plan = planOrders(this.#checkpoint.state, message, {
      containerId: () => containerIdFrom(randomUUID()),
      stamp: () => this.#stamp(),
      given: this.#given,
      runsExecutors: CAPABILITIES.includes("EXECUTORS"),
      makeVolume: (place) => this.#volumes.make(place),
    });
    switch (plan.type) {
      case "void":
        return this.#log.warn(`dropped: ${plan.reason}, which this agent does not obey`);
      case "nothing-new":
        if (plan.gap)
          this.#log.warn({ have: this.#checkpoint.state.sequence }, "orders after a gap are not acted upon");
        break;
      case "take": {
        try {
          await this.#checkpoint.append(plan.records);
        } catch (error) {
          // Nothing was done. A new registration voids these orders, and the plane reports their launches as dropped.
          return this.#connection.giveUp(`orders cannot be checkpointed: ${errorText(error)}`);
        }
        for (const action of plan.actions) this.#act(action);
        await this.#removeVolumes(
          plan.actions.flatMap((action) => (action.type === "remove-volume" ? [action.place] : [])),
        );
        if (plan.tells) this.#sendUpdates();
        if (plan.more) return this.#onOrders(message);
        break;
      }
      default:
        return unreachable(plan);
    }
    this.#connection.send({ type: "acted", session: message.session, sequence: this.#checkpoint.state.sequence });
  }

  #act(action: Action): void {
    switch (action.type) {
      case "launch":
        this.#keys.set(action.task.containerId, action.key);
        return this.#containerizer.launch(this.#spec(action.task));
      case "kill":
        return this.#containerizer.kill(action.containerId, action.graceMs);
      case "report-unknown":
        return void this.#update(
          action.frameworkId,
          unknownTaskStatus(action.taskId, action.partitionAware, this.#stamp()),
        );
      case "report-exited":
        return this.#tellExited(action.frameworkId, action.executorId);
      case "remove-volume":
        return this.#log.info({ path: this.#volumes.pathOf(action.place) }, "a volume was destroyed");
      case "complain":
        return this.#log.warn(action.problem);
      default:
        return unreachable(action);
    }
  }

  /** Of one that never was here. Should it get lost, the next registration says that it is not. */
  #tellExited(frameworkId: FrameworkId, executorId: ExecutorId): void {
    const session = this.#connection.registration?.session;
    if (session === undefined) return;
    this.#connection.send({ type: "executor-exited", session, frameworkId, executorId, status: STATUS_UNKNOWN });
  }

  async #onAcknowledge({
    epoch,
    session,
    acknowledgements,
  }: Extract<Traffic, { readonly type: "acknowledge" }>): Promise<void> {
    if (!isCurrent(this.#checkpoint.state, { epoch, session })) return;
    const { tasks } = this.#checkpoint.state;
    const concerned = acknowledgements.flatMap(({ frameworkId, taskId }) => {
      const key = taskKey(frameworkId, taskId);
      const task = tasks.get(key);
      return task === undefined ? [] : [{ key, view: this.#taskView(key, task) }];
    });
    await this.#commit(acknowledgements.map((acknowledgement) => ({ type: "acknowledged", ...acknowledgement })));
    for (const { key, view } of concerned) if (!this.#checkpoint.state.tasks.has(key)) this.#forget(view);
    this.#sendUpdates(); // the next ones of these streams
  }

  async #onOperationsAcknowledged({
    epoch,
    session,
    acknowledgements,
  }: Extract<Traffic, { readonly type: "acknowledge-operations" }>): Promise<void> {
    if (!isCurrent(this.#checkpoint.state, { epoch, session })) return;
    await this.#commit(
      acknowledgements.map((acknowledgement) => ({ type: "operation-acknowledged", ...acknowledgement })),
    );
  }

  #forget(view: TaskView): void {
    const { containerId } = view.task;
    if (!this.#keys.delete(containerId)) return; // acknowledged twice in one message
    this.#ended.delete(containerId);
    this.#containerizer.remove(containerId);
    this.#completed.push(view);
    if (this.#completed.length > COMPLETED_MAX) this.#completed.shift();
  }

  #onRequest({ requestId, path, range }: Extract<Traffic, { readonly type: "request" }>): void {
    const { status, headers, body } = tunnelAnswer(this.#routes, path, range);
    this.#connection.send({
      type: "response",
      requestId,
      status,
      headers: { ...headers },
      body: body.toString("base64"),
    });
  }

  #onConnectionStopped(why: StopReason): void {
    const { credential, plane } = this.#config;
    switch (why.type) {
      case "asked":
        return;
      case "credential-refused":
        this.#log.error(
          `the plane ${plane} refuses the credential of principal '${credential.principal}': ${why.reason}. Check the credential file, and that the plane knows this principal as an agent`,
        );
        return void this.stop(EXIT_CODE.credentialRefused);
      case "refused":
        this.#log.error(`the plane ${plane} refuses this agent: ${why.reason}`);
        return void this.stop(EXIT_CODE.refusedByPlane);
      case "removed":
        return this.#inTurn(() => this.#onRemoved({ epoch: why.epoch, reason: why.reason }));
      default:
        return unreachable(why);
    }
  }

  #sendStatistics(): void {
    const system = systemStatistics();
    if (this.#lastStatistics !== undefined && !changedNoticeably(this.#lastStatistics, system)) return;
    if (this.#connection.registration === undefined) return;
    this.#lastStatistics = system;
    this.#connection.send({ type: "statistics", system });
  }

  // --- containers ---

  #recover(): void {
    const { tasks } = this.#checkpoint.state;
    const alive = [...tasks].filter(([, task]) => !this.#hasEnded(task));
    for (const [key, { containerId }] of tasks) this.#keys.set(containerId, key);
    // Ended ones are not looked at again: their last update is in the checkpoint.
    this.#containerizer.recover(
      alive.map(([, task]) => this.#spec(task)),
      compareBoot(this.#paths),
    );
    for (const [, { containerId, killGraceMs }] of alive)
      if (killGraceMs !== undefined) this.#containerizer.kill(containerId, killGraceMs);
  }

  #onContainerEvent(event: ContainerEvent): void {
    const key = this.#keys.get(event.containerId);
    const task = key === undefined ? undefined : this.#checkpoint.state.tasks.get(key);
    if (key === undefined || task === undefined) return;
    if (event.type === "ended") this.#ended.add(event.containerId);
    if (this.#removed) return; // nobody is told any more: the id that would speak has ended
    if (event.type === "ended")
      return void this.#update(task.framework.id, endStatus(task, event.outcome, this.#stamp()));
    // A task that was taken over may have said so before.
    if (latestState(this.#checkpoint.state, key) === "TASK_STAGING")
      void this.#update(task.framework.id, runningStatus(task, this.#stamp()));
  }

  #spec({ framework, task, containerId }: CheckpointedTask): ContainerSpec {
    const resources = fromResources(task.resources);
    return {
      containerId,
      frameworkId: framework.id,
      taskId: task.task_id.value,
      command: task.command,
      user: task.command?.user ?? framework.user,
      cpus: scalar(resources, "cpus"),
      memMb: scalar(resources, "mem"),
      volumes: [...resources.pools.values()].flatMap(({ pool }) => {
        const containerPath = pool.disk?.persistence === undefined ? undefined : pool.disk.volume?.container_path;
        return containerPath === undefined ? [] : [{ path: this.#volumes.pathOf(placeOf(pool)), containerPath }];
      }),
      sandbox: this.#sandbox({ framework, task, containerId }),
      agentId: task.agent_id.value,
    };
  }

  /** Under the agent id that the task was launched for: it stays where it is should this agent get another. */
  #sandbox({ framework, task, containerId }: Pick<CheckpointedTask, "framework" | "task" | "containerId">): string {
    const name = {
      agentId: task.agent_id.value,
      frameworkId: framework.id,
      executorId: executorIdOf(task.task_id.value),
    };
    return sandboxPath(this.#paths, name, containerId);
  }

  #hasEnded({ framework, task }: CheckpointedTask): boolean {
    return isTerminal(latestState(this.#checkpoint.state, taskKey(framework.id, task.task_id.value)));
  }

  // --- volumes ---

  /** Frees the places of destroyed volumes. What this host refuses is tried again by the sweep, and by the next agent. */
  async #removeVolumes(places: readonly Place[]): Promise<void> {
    for (const place of places) {
      // A mount takes as long as there is content; orders do not wait for it.
      if (place.isMount) void this.#emptyMount(place);
      else await this.#freePlace(place);
    }
    if (places.length > 0) this.#deleteRemoved();
  }

  async #emptyMount(place: Place): Promise<void> {
    if (this.#emptying.has(place.path)) return;
    this.#emptying.add(place.path);
    await this.#freePlace(place);
    this.#emptying.delete(place.path);
  }

  async #freePlace(place: Place): Promise<void> {
    try {
      await this.#volumes.free(place);
    } catch (error) {
      const path = this.#volumes.pathOf(place);
      return this.#log.error(
        { path, error: errorText(error) },
        "a destroyed volume cannot be removed: see to its disk",
      );
    }
    await this.#commit([{ type: "volume-removed", path: place.path }]);
  }

  #deleteRemoved(): void {
    this.#deleting = this.#deleting
      .then(() => this.#volumes.deleteRemoved())
      .catch((error: unknown) =>
        this.#log.error({ error: errorText(error) }, "what was in a destroyed volume cannot be deleted yet"),
      );
  }

  // --- status updates ---

  #stamp(): Stamp {
    return {
      agentId: this.#checkpoint.state.registration?.agentId,
      now: millis(Date.now()),
      uuid: randomBytes(16).toString("base64"),
    };
  }

  /** Durable first, however long the disk refuses; then it is sent. */
  async #update(frameworkId: FrameworkId, status: TaskStatus): Promise<void> {
    await this.#commit([{ type: "update", frameworkId, status }]);
    this.#log.info(
      { task: status.task_id.value, framework: frameworkId, state: status.state, message: status.message },
      "status update",
    );
    this.#sendUpdates();
  }

  async #commit(records: readonly JournalRecord[]): Promise<void> {
    for (;;) {
      try {
        return await this.#checkpoint.append(records);
      } catch (error) {
        if (this.#stopping || (this.#removed && records.every(({ type }) => type !== "shut-down"))) return;
        this.#log.error(
          { error: errorText(error) },
          "the checkpoint cannot be written: free space on the disk of the work directory",
        );
        await pause(DISK_RETRY_MS);
      }
    }
  }

  #sendUpdates(): void {
    clearTimeout(this.#updateTimer);
    const registration = this.#connection.registration;
    // While alone, updates wait on disk; the next registration sends them all.
    if (registration === undefined || this.#stopping) return;
    const { state } = this.#checkpoint;
    const now = millis(Date.now());
    const { session } = registration;
    for (const updates of this.#updates.takeDue(state, now))
      this.#connection.send({ type: "updates", session, updates });
    for (const updates of this.#operationUpdates.takeDue(state, now))
      this.#connection.send({ type: "operation-updates", session, updates });
    const next = earlier(this.#updates.nextDue(state), this.#operationUpdates.nextDue(state));
    if (next !== undefined) this.#updateTimer = setTimeout(() => this.#sendUpdates(), Math.max(10, next - now));
  }

  // --- what people look at ---

  #view() {
    return {
      state: this.#checkpoint.state,
      info: withTotal(this.#info, this.#checkpoint.state.converted),
      startedAt: this.#startedAt,
      completed: this.#completed,
      directoryOf: (task: CheckpointedTask) => this.#sandbox(task),
    };
  }

  #taskView(key: TaskKey, task: CheckpointedTask): TaskView {
    const { state } = this.#checkpoint;
    const stream = state.streams.get(key);
    const statuses = [...(stream?.acknowledged === undefined ? [] : [stream.acknowledged]), ...(stream?.pending ?? [])];
    return { task, state: latestState(state, key), statuses, directory: this.#sandbox(task) };
  }

  #sweep(): void {
    void this.#removeVolumes([...this.#checkpoint.state.removals.values()]);
    this.#deleteRemoved();
    try {
      const inUse = new Set<string>([...this.#checkpoint.state.tasks.values()].map(({ containerId }) => containerId));
      const removed = sweepSandboxes(this.#paths, inUse, Date.now());
      if (removed > 0) this.#log.info({ removed }, "old sandboxes removed");
    } catch (error) {
      this.#log.warn({ error: errorText(error) }, "old sandboxes cannot be removed");
    }
  }
}

const earlier = (a: Millis | undefined, b: Millis | undefined): Millis | undefined =>
  a === undefined || b === undefined ? (a ?? b) : millis(Math.min(a, b));

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
