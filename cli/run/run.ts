// The shell of `run`: stays subscribed, makes the calls that progress.ts decides on, and copies the task's output.
//
// How long the framework outlives its stream is the one decision here. Attached, it is a minute: a connection that breaks
// must not cost the task, and a command line that was killed must not leave a task behind. On a regular end it is torn
// down. Detached, nobody is there to come back, and the tasks of a removed framework are killed: so a year.
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { unreachable } from "#base/assert.ts";
import { millis, type Millis } from "#base/time.ts";
import type { Context } from "#protocol/credentials.ts";
import type { AgentId, FrameworkId, TaskId } from "#protocol/ids.ts";
import {
  isWorthRetrying,
  launch,
  mayHaveHappened,
  Scheduler,
  type FrameworkRequest,
  type TaskRequest,
  type TaskStatus,
} from "#scheduler/index.ts";
import { EXIT } from "../exit-codes.ts";
import { Failure, reasonOf } from "../failure.ts";
import { followFile } from "../output-follower.ts";
import { Plane } from "../plane.ts";
import type { Ending, StopCause } from "./ending.ts";
import type { RunOptions } from "./options.ts";
import { initialProgress, step, type Effect, type Input, type Progress } from "./progress.ts";
import type { Report } from "./report.ts";

export const FAILOVER_SECONDS_ATTACHED = 60;
export const FAILOVER_SECONDS_DETACHED = 31_536_000;
/** Says that nobody will come back for this framework: `kill` need not ask whether its stream is still open. */
export const DETACHED_LABEL = { key: "mesoflare.detached", value: "true" } as const;
/** A plane that takes no first subscription for this long is given up, ms. Later ones are waited for without end. */
const FIRST_SUBSCRIPTION_MS_MAX = 10_000;
/** A person is waiting: shorter pauses than a scheduler that runs for months would take. */
const RESUBSCRIBE = { firstMs: 200, maxMs: 5_000 };
/** For the answer to TEARDOWN, ms: without one the failover timeout does the same, later. */
const TEARDOWN_MS_MAX = 5_000;
/** How often the core is told the time, ms. */
const TICK_MS = 1000;

export const frameworkOf = ({ user, name, detach }: RunOptions): FrameworkRequest => ({
  user,
  name,
  failover_timeout: detach ? FAILOVER_SECONDS_DETACHED : FAILOVER_SECONDS_ATTACHED,
  capabilities: [{ type: "PARTITION_AWARE" }, { type: "TASK_KILLING_STATE" }],
  labels: detach ? { labels: [DETACHED_LABEL] } : undefined,
});

export class TaskRun {
  readonly #context: Context;
  readonly #options: RunOptions;
  readonly #taskId: TaskId;
  readonly #report: Report;
  readonly #scheduler: Scheduler;
  readonly #leaving = new AbortController();
  readonly #taskEnded = new AbortController();
  readonly #startedAt = now();
  #progress: Progress;
  /** Calls are made one after the other, in the order in which they were decided. */
  #calls: Promise<void> = Promise.resolve();
  #followers: readonly Promise<string | undefined>[] = [];
  #launchedOn: AgentId | undefined;
  #started = false;
  #subscribedOnce = false;
  /** An interruption is told once, not once for every attempt. */
  #interrupted = false;
  /** The command is over: what the stream still says, or its end, concerns nobody. */
  #isLeaving = false;
  #failure: Error | undefined;

  constructor(context: Context, options: RunOptions, taskId: TaskId, report: Report) {
    this.#context = context;
    this.#options = options;
    this.#taskId = taskId;
    this.#report = report;
    this.#scheduler = new Scheduler({
      plane: context.plane,
      credential: context,
      framework: frameworkOf(options),
      bounds: RESUBSCRIBE,
      onSubscribed: () => this.#onSubscribed(),
      onUpdate: (status) => this.#take({ type: "update", status }),
      onInterruption: ({ error }) => this.#onInterruption(error),
    });
    const { cpus, memMb, agentId } = options;
    this.#progress = initialProgress({ cpus, memMb, agentId }, { detach: options.detach, now: this.#startedAt });
  }

  /** Runs to the end and returns the exit code. */
  async run(): Promise<number> {
    const ticking = setInterval(() => this.#take({ type: "tick" }), TICK_MS);
    const { timeoutMs } = this.#options;
    const timeout = timeoutMs === undefined ? undefined : setTimeout(() => this.stop({ type: "timeout" }), timeoutMs);
    try {
      await Promise.all([this.#scheduler.run({ signal: this.#leaving.signal }), this.#takeOffers()]);
      await this.#calls;
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error));
    } finally {
      clearInterval(ticking);
      clearTimeout(timeout);
      this.#taskEnded.abort();
    }
    const { exitCode, message } = this.#ending();
    this.#report.ended(exitCode, message);
    return exitCode;
  }

  /** Asks for the task's end; `run` returns when its last update is here. */
  stop(cause: StopCause): void {
    this.#take({ type: "stop", cause });
  }

  async #takeOffers(): Promise<void> {
    for await (const offer of this.#scheduler.offers()) this.#take({ type: "offer", offer });
  }

  #onSubscribed(): void {
    this.#subscribedOnce = true;
    this.#interrupted = false;
    this.#take({ type: "subscribed" });
  }

  #ending(): Ending {
    if (this.#progress.current.phase === "over") return this.#progress.current.ending;
    return { exitCode: EXIT.planeFailed, message: this.#failure?.message ?? "the subscription ended" };
  }

  #take(input: Input): void {
    const [next, effects] = step(this.#progress, input, now());
    this.#progress = next;
    for (const effect of effects) this.#calls = this.#calls.then(() => this.#perform(effect));
  }

  async #perform(effect: Effect): Promise<void> {
    if (this.#leaving.signal.aborted) return;
    switch (effect.type) {
      case "say":
        return this.#report.say(effect.text);
      case "state":
        return this.#onState(effect.status);
      case "leave":
        return this.#leave(effect);
      default:
        return this.#call(effect);
    }
  }

  async #call(effect: Exclude<Effect, { readonly type: "say" | "state" | "leave" }>): Promise<void> {
    switch (effect.type) {
      case "launch":
        return this.#launch(effect);
      case "decline":
        // Without it the offer is not lost for long: it comes back with the next subscription.
        return this.#scheduler.decline([effect.offer], effect.refuseSeconds).catch(() => undefined);
      case "reconcile":
        // Not waited for: the calls after it shall not wait until the agent is back.
        void this.#scheduler.reconcile([{ taskId: this.#taskId, agentId: effect.agentId }]);
        return;
      case "kill":
        return this.#scheduler.client.kill({ taskId: this.#taskId, agentId: effect.agentId }).catch(() => undefined); // the core repeats it
      default:
        return unreachable(effect);
    }
  }

  async #launch({ offer, resources }: Extract<Effect, { type: "launch" }>): Promise<void> {
    const agentId = offer.agent_id.value;
    this.#launchedOn = agentId;
    try {
      await this.#scheduler.accept([offer], [launch([this.#taskFor(agentId, resources)])]);
    } catch (error) {
      if (mayHaveHappened(error)) return; // the next subscription asks what became of it
      if (!isWorthRetrying(error)) return this.#fail(error);
      this.#take({ type: "not-launched" });
    }
  }

  #taskFor(agentId: AgentId, resources: TaskRequest["resources"]): TaskRequest {
    const { name, environment, argv } = this.#options;
    return {
      name,
      task_id: { value: this.#taskId },
      agent_id: { value: agentId },
      resources,
      command: {
        shell: false,
        value: argv[0],
        arguments: argv,
        user: this.#options.user,
        environment: environment.length === 0 ? undefined : { variables: environment },
      },
    };
  }

  #onState(status: TaskStatus): void {
    const { frameworkId } = this.#scheduler;
    const agentId = this.#launchedOn;
    const wasRefused = status.state === "TASK_ERROR" || status.state === "TASK_DROPPED";
    if (!this.#started && !wasRefused && frameworkId !== undefined && agentId !== undefined) {
      this.#started = true;
      this.#report.started({ taskId: this.#taskId, frameworkId, agentId });
      if (!this.#options.detach) this.#follow(agentId, frameworkId);
    }
    this.#report.state(status);
  }

  #follow(agentId: AgentId, frameworkId: FrameworkId): void {
    const plane = new Plane(this.#context);
    this.#followers = (["stdout", "stderr"] as const).map((name) =>
      followFile(
        plane,
        { agentId, frameworkId, executorId: this.#taskId, name },
        { write: (bytes) => this.#report.output(name, bytes), ended: this.#taskEnded.signal },
      ).catch(reasonOf),
    );
  }

  /** The output first: a framework that is torn down takes its sandboxes' names with it. */
  async #leave({ teardown, drainMs }: Extract<Effect, { type: "leave" }>): Promise<void> {
    this.#isLeaving = true;
    this.#taskEnded.abort();
    const late = sleep(drainMs, ["the plane does not answer"], { ref: false });
    const problems =
      this.#followers.length === 0 ? [] : new Set(await Promise.race([Promise.all(this.#followers), late]));
    for (const problem of problems) {
      if (problem !== undefined) this.#report.say(`some output may be missing: ${problem}`);
    }
    await nextTurn(); // the update that has ended the task is acknowledged in this one
    if (!teardown) return this.#scheduler.close();
    await this.#scheduler.teardown({ signal: AbortSignal.timeout(TEARDOWN_MS_MAX) }).catch(() => undefined);
  }

  #onInterruption(error: unknown): void {
    if (!this.#subscribedOnce && now() - this.#startedAt > FIRST_SUBSCRIPTION_MS_MAX)
      throw new Failure(reasonOf(error));
    if (this.#interrupted || this.#isLeaving) return;
    this.#interrupted = true;
    this.#take({ type: "interrupted", reason: reasonOf(error) });
    this.#report.say(`${reasonOf(error)}; trying again`);
  }

  #fail(error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#leaving.abort();
  }
}

const now = (): Millis => millis(Date.now());
