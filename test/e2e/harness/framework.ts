// A framework of the test's own: subscribes, launches one task at a time, acknowledges, and remembers what it was told.
import { expect } from "vitest";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskState, TaskStatus } from "#protocol/task.ts";
import { launch, scalar, SchedulerClient, staySubscribed } from "#scheduler/index.ts";
import type { TestPlane } from "./plane.ts";
import { onEnd } from "./workspace.ts";

export class TestFramework {
  readonly client: SchedulerClient;
  readonly events: SchedulerEvent[] = [];
  readonly #stop = new AbortController();
  #wanted: { readonly taskId: string; readonly command: string } | undefined;

  constructor(plane: TestPlane, { partitionAware }: { readonly partitionAware: boolean }) {
    this.client = new SchedulerClient({ plane: plane.url, credential: plane.context });
    const framework = {
      user: "root",
      name: partitionAware ? "aware" : "unaware",
      failover_timeout: 600,
      capabilities: partitionAware ? [{ type: "PARTITION_AWARE" }] : [],
    };
    const running = this.#run(framework);
    onEnd(() => {
      this.#stop.abort();
      return running;
    });
  }

  async #run(framework: Parameters<typeof staySubscribed>[1]): Promise<void> {
    const bounds = { firstMs: 100, maxMs: 500 };
    for await (const event of staySubscribed(this.client, framework, { signal: this.#stop.signal, bounds })) {
      this.events.push(event);
      if (event.type === "UPDATE" && event.update.status.uuid !== undefined)
        await this.client.acknowledge(event.update.status).catch(() => undefined);
      if (event.type !== "OFFERS") continue;
      const [offer] = event.offers.offers;
      const wanted = this.#wanted;
      if (wanted === undefined || offer === undefined) continue;
      this.#wanted = undefined;
      const task = {
        name: wanted.taskId,
        task_id: { value: wanted.taskId as never },
        agent_id: offer.agent_id,
        resources: [scalar("cpus", 0.1), scalar("mem", 32)],
        command: { value: wanted.command },
      };
      await this.client.accept([offer.id.value], [launch([task])], 0);
    }
  }

  async launch(taskId: string, command: string): Promise<void> {
    this.#wanted = { taskId, command };
    await this.hears(taskId, "TASK_RUNNING");
  }

  get statuses(): readonly TaskStatus[] {
    return this.events.flatMap((event) => (event.type === "UPDATE" ? [event.update.status] : []));
  }

  statesOf(taskId: string): readonly TaskState[] {
    return this.statuses.filter(({ task_id }) => task_id.value === taskId).map(({ state }) => state);
  }

  /** Agents that it was told are lost. */
  get lost(): readonly string[] {
    return this.events.flatMap((event) => (event.type === "FAILURE" ? [event.failure.agent_id.value] : []));
  }

  get subscriptions(): number {
    return this.events.filter(({ type }) => type === "SUBSCRIBED").length;
  }

  async hears(taskId: string, state: TaskState, timeout = 20_000): Promise<void> {
    await expect.poll(() => this.statesOf(taskId).at(-1), { timeout, interval: 50 }).toBe(state);
  }
}
