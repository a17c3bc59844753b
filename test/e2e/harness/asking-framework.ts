// A framework that runs tasks on the agents that a test names, and asks the plane what became of them.
import { expect } from "vitest";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskState, TaskStatus } from "#protocol/task.ts";
import { launch, type Offer, scalar, SchedulerClient, staySubscribed } from "#scheduler/index.ts";
import type { TestPlane } from "./plane.ts";
import { onEnd } from "./workspace.ts";

export interface Question {
  readonly taskId: string;
  readonly agentId?: string;
}

interface Wanted {
  readonly taskId: string;
  readonly agentId: string;
  readonly command: string;
}

export class AskingFramework {
  readonly client: SchedulerClient;
  readonly events: SchedulerEvent[] = [];
  readonly #isAcknowledged: (status: TaskStatus) => boolean;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  #wanted: readonly Wanted[] = [];
  #questions = 0;

  constructor(
    plane: TestPlane,
    { isAware, isAcknowledged = () => true }: { isAware: boolean; isAcknowledged?: (status: TaskStatus) => boolean },
  ) {
    this.client = new SchedulerClient({ plane: plane.url, credential: plane.context });
    this.#isAcknowledged = isAcknowledged;
    const framework = {
      user: "root",
      name: isAware ? "aware" : "unaware",
      failover_timeout: 600,
      capabilities: isAware ? [{ type: "PARTITION_AWARE" }] : [],
    };
    this.#ended = this.#run(framework);
    onEnd(() => this.stop());
  }

  async #run(framework: Parameters<typeof staySubscribed>[1]): Promise<void> {
    const bounds = { firstMs: 100, maxMs: 500 };
    for await (const event of staySubscribed(this.client, framework, { signal: this.#stop.signal, bounds })) {
      this.events.push(event);
      if (event.type === "UPDATE" && this.#isAcknowledged(event.update.status))
        await this.client.acknowledge(event.update.status).catch(() => undefined);
      if (event.type === "OFFERS")
        for (const offer of event.offers.offers) await this.#use(offer).catch(() => undefined);
    }
  }

  /** Its stream ends, and its tasks stay. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async #use(offer: Offer): Promise<void> {
    const tasks = this.#wanted.filter(({ agentId }) => agentId === offer.agent_id.value);
    // It comes again after a second.
    if (tasks.length === 0) return this.client.decline([offer.id.value], 0);
    this.#wanted = this.#wanted.filter((one) => !tasks.includes(one));
    const infos = tasks.map(({ taskId, command }) => ({
      name: taskId,
      task_id: { value: taskId as never },
      agent_id: offer.agent_id,
      resources: [scalar("cpus", 0.1), scalar("mem", 32)],
      command: { value: command },
    }));
    return this.client.accept([offer.id.value], [launch(infos)], 0);
  }

  /** Launches them all, and waits until it was told of each. */
  async launch(tasks: readonly (Wanted & { readonly until?: TaskState })[]): Promise<void> {
    this.#wanted = tasks;
    for (const { taskId, until = "TASK_RUNNING" } of tasks) await this.hears(taskId, until);
  }

  get statuses(): readonly TaskStatus[] {
    return this.events.flatMap((event) => (event.type === "UPDATE" ? [event.update.status] : []));
  }

  async hears(taskId: string, state: TaskState, timeout = 20_000): Promise<void> {
    const last = () => this.statuses.findLast(({ task_id }) => task_id.value === taskId)?.state;
    await expect.poll(last, { timeout, interval: 50 }).toBe(state);
  }

  /**
   * What the plane answers to these questions, or to none of them for an implicit reconciliation. A last one, to which an answer is due
   * whatever happens, shows that no more will come: nobody waits for silence.
   */
  async asks(questions: readonly Question[]): Promise<readonly TaskStatus[]> {
    const from = this.statuses.length;
    const last = `last-${this.#questions++}`;
    const queries = questions.map(({ taskId, agentId }) => ({ taskId: taskId as never, agentId: agentId as never }));
    await this.client.reconcile(queries);
    await this.client.reconcile([{ taskId: last as never, agentId: "nobody" as never }]);
    const isLast = ({ task_id }: TaskStatus): boolean => task_id.value === last;
    await expect.poll(() => this.statuses.some(isLast), { timeout: 10_000, interval: 20 }).toBe(true);
    return this.statuses.slice(from).filter((status) => status.reason === "REASON_RECONCILIATION" && !isLast(status));
  }
}
