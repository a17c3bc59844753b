// The framework: subscribes, launches what waits on every offer that has room, writes down what it hears, and removes
// itself when all has ended.
import {
  asFrameworkId,
  cut,
  isWorthRetrying,
  launch,
  mayHaveHappened,
  Scheduler,
  SubscriptionEndedError,
  type Offer,
  type ReconcileOptions,
  type SchedulerOptions,
  type TaskId,
  type TaskRequest,
  type TaskStatus,
} from "mesoflare/scheduler";
import {
  afterUpdate,
  cancelled,
  indexOf,
  isOver,
  launched,
  notLaunched,
  openTasks,
  taskIdOf,
  waitingIn,
  type Batch,
  type NumberedCommand,
} from "./batch.ts";
import { Problem } from "./problem.ts";
import type { StateFile } from "./state-file.ts";
import { resultOf } from "./summary.ts";

/** How long the tasks wait for us after we were killed, s: a week. Then the plane ends them. */
const FAILOVER_SECONDS = 7 * 24 * 3600;
/** Keeps one call below the plane's 4 MB, with lines of {@link LINE_BYTES_MAX}. */
const TASKS_PER_ACCEPT_MAX = 100;
export const LINE_BYTES_MAX = 16 * 1024;
/** How long an offer without room is not wanted again, s: other tasks end, and there is room. */
const NO_ROOM_SECONDS = 5;
/** The same while nothing waits to be launched. */
const NOTHING_WAITS_SECONDS = 60;
/** Tasks are asked for this often even if nothing seems wrong, ms. Source: tasks-offers-and-operators §8.4. */
const RECONCILE_EVERY_MS = 15 * 60_000;

export interface BatchOptions {
  readonly connection: Pick<SchedulerOptions, "plane" | "credential" | "bounds">;
  readonly user: string;
  readonly name: string;
  readonly cpus: number;
  readonly memMb: number;
  /** Ends everything instead of going on. */
  readonly cancel: boolean;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Resolves when the batch is over, or when the signal is aborted: then its tasks run on. */
export async function runBatch(file: StateFile, options: BatchOptions): Promise<void> {
  if (file.batch.removed) return;
  // Nothing was ever launched: that is not done before the framework's id is written down.
  if (options.cancel && file.batch.frameworkId === undefined) return file.save(asRemoved(file.batch));
  await new BatchRun(file, options).run();
}

class BatchRun {
  readonly #file: StateFile;
  readonly #options: BatchOptions;
  readonly #scheduler: Scheduler;
  readonly #leaving = new AbortController();
  /** Launches that the plane has not answered. To ask for such a task is too early: it would seem not to have arrived. */
  readonly #accepting = new Set<TaskId>();
  readonly #withoutRoom = new Set<string>();
  #reconciling = new AbortController();
  #removal: Promise<void> | undefined;

  constructor(file: StateFile, options: BatchOptions) {
    this.#file = file;
    this.#options = options;
    const { frameworkId } = file.batch;
    this.#scheduler = new Scheduler({
      ...options.connection,
      frameworkId: frameworkId === undefined ? undefined : asFrameworkId(frameworkId),
      framework: {
        user: options.user,
        name: options.name,
        failover_timeout: FAILOVER_SECONDS,
        capabilities: [{ type: "PARTITION_AWARE" }],
      },
      onSubscribed: (subscribed) => this.#onSubscribed(subscribed.frameworkId),
      onUpdate: (status) => this.#onUpdate(status),
      onInterruption: ({ error, waitMs }) =>
        options.say(`${reasonOf(error)}; trying again in ${Math.ceil(waitMs / 1000)} s`),
    });
  }

  async run(): Promise<void> {
    this.#file.save(this.#file.batch); // a file that cannot be written is better noticed now
    const again = setInterval(() => this.#reconcile(), RECONCILE_EVERY_MS);
    const signal = AbortSignal.any([this.#leaving.signal, this.#options.signal]);
    try {
      await Promise.all([this.#scheduler.run({ signal }), this.#takeOffers()]);
      await this.#removal;
    } catch (error) {
      this.#onEnd(error);
    } finally {
      clearInterval(again);
      this.#leaving.abort();
    }
  }

  /** The id first: without it a killed batch would not find its tasks again. Offers wait until it is written down. */
  #onSubscribed(frameworkId: string): void {
    if (frameworkId !== this.#file.batch.frameworkId) this.#file.save({ ...this.#file.batch, frameworkId });
    if (this.#options.cancel || isOver(this.#file.batch)) this.#remove();
    else this.#reconcile();
  }

  /** What became of our tasks while we did not listen. The answers are updates like all others. */
  #reconcile(): void {
    this.#reconciling.abort();
    this.#reconciling = new AbortController();
    const tasks = openTasks(this.#file.batch).filter(({ taskId }) => !this.#accepting.has(taskId));
    const implicit: ReconcileOptions["implicit"] = {
      knows: (taskId) => indexOf(this.#file.batch, taskId) !== undefined,
      onUnknown: ({ task_id, agent_id }) => {
        this.#options.say(`${task_id.value} is none of ours: killing it`);
        void this.#scheduler.client.kill({ taskId: task_id.value, agentId: agent_id?.value }).catch(() => undefined);
      },
    };
    void this.#scheduler.reconcile(tasks, { implicit, signal: this.#reconciling.signal });
  }

  async #takeOffers(): Promise<void> {
    for await (const offer of this.#scheduler.offers()) await this.#use(offer);
  }

  async #use(offer: Offer): Promise<void> {
    const waiting = waitingIn(this.#file.batch);
    const tasks = this.#tasksFor(offer, waiting.slice(0, TASKS_PER_ACCEPT_MAX));
    if (tasks.length === 0 || this.#removal !== undefined) {
      if (waiting.length > 0) this.#sayNoRoom(offer);
      const seconds = waiting.length > 0 ? NO_ROOM_SECONDS : NOTHING_WAITS_SECONDS;
      await this.#scheduler.decline([offer], seconds).catch(() => undefined); // it comes back: no harm done
      return;
    }
    const indexes = waiting.slice(0, tasks.length).map(({ index }) => index);
    const ids = tasks.map(({ task_id }) => task_id.value);
    for (const id of ids) this.#accepting.add(id);
    this.#file.save(launched(this.#file.batch, indexes, offer.agent_id.value));
    try {
      await this.#scheduler.accept([offer], [launch(tasks)], waiting.length > tasks.length ? 0 : undefined);
      for (const index of indexes) this.#options.say(`${index + 1} launched on ${offer.hostname}`);
    } catch (error) {
      // Maybe done, maybe not: the scheduler subscribes again, and then we ask.
      if (mayHaveHappened(error)) return;
      this.#file.save(notLaunched(this.#file.batch, indexes));
      if (!isWorthRetrying(error)) throw error;
    } finally {
      for (const id of ids) this.#accepting.delete(id);
    }
  }

  /** As many of the commands, from the first on, as there is room for. */
  #tasksFor(offer: Offer, commands: readonly NumberedCommand[]): readonly TaskRequest[] {
    const tasks: TaskRequest[] = [];
    let left = offer.resources;
    for (const { index, attempts, line } of commands) {
      const piece = cut(left, { cpus: this.#options.cpus, mem: this.#options.memMb });
      if (piece.type === "misfit") break;
      left = piece.left;
      tasks.push({
        name: `${this.#options.name} ${index + 1}`,
        task_id: { value: taskIdOf(index, attempts + 1) },
        agent_id: offer.agent_id,
        resources: piece.taken,
        command: { value: line, user: this.#options.user },
      });
    }
    return tasks;
  }

  #sayNoRoom({ hostname, resources }: Offer): void {
    const { cpus, memMb, say } = this.#options;
    const piece = cut(resources, { cpus, mem: memMb });
    if (piece.type === "cut" || this.#withoutRoom.has(hostname)) return;
    this.#withoutRoom.add(hostname);
    say(`${hostname} offers ${piece.offered} of ${piece.wanted} ${piece.name}; waiting for more`);
  }

  /** When it returns, the update is acknowledged: by then it is written down. */
  #onUpdate(status: TaskStatus): void {
    const before = this.#file.batch;
    const after = afterUpdate(before, status);
    if (after === before) return;
    this.#file.save(after);
    const index = indexOf(after, status.task_id.value);
    const progress = index === undefined ? undefined : after.commands[index]?.progress;
    if (index === undefined || progress === undefined || progress.state === "launched") return;
    this.#options.say(`${index + 1} ${resultOf(progress)}`);
    // Offers that we did not want while nothing waited.
    if (progress.state === "waiting") void this.#scheduler.client.revive().catch(() => undefined);
    if (isOver(after)) setImmediate(() => this.#remove()); // after the acknowledgement of this update
  }

  #remove(): void {
    this.#removal ??= this.#scheduler.teardown().then(() => {
      // Left in the middle of it: the next life asks again, and hears whether it was done.
      if (!this.#options.signal.aborted) this.#file.save(asRemoved(this.#file.batch));
    });
    this.#removal.catch(() => undefined); // run() waits for it, and hears of it
  }

  #onEnd(error: unknown): void {
    if (error instanceof SubscriptionEndedError && error.end === "removed") {
      // We did it, and were killed before we could write that down.
      if (isOver(this.#file.batch) || this.#options.cancel) return this.#file.save(asRemoved(this.#file.batch));
      throw new Problem(
        "the plane has removed this batch and ended its tasks: what has not ended may have run in part",
      );
    }
    if (error instanceof SubscriptionEndedError && error.end === "failed-over")
      throw new Problem("somebody else goes on with this batch");
    throw error;
  }
}

/** With it go its tasks: what has not ended never will. */
const asRemoved = (batch: Batch): Batch => ({ ...cancelled(batch), removed: true });

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
