// What a framework keeps on an agent: a reservation and a volume that outlive tasks and the agent's process, until they are given up.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { OperationState } from "#protocol/operation.ts";
import type { Resource } from "#protocol/resource.ts";
import type { Offer, SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskState } from "#protocol/task.ts";
import {
  create,
  destroy,
  launch,
  type OperationRequest,
  reserve,
  scalar,
  SchedulerClient,
  staySubscribed,
  unreserve,
} from "#scheduler/index.ts";
import { startCluster } from "./harness/cluster.ts";
import type { TestPlane } from "./harness/plane.ts";
import { onEnd } from "./harness/workspace.ts";

const ROLE = "web";

class VolumeFramework {
  readonly events: SchedulerEvent[] = [];
  readonly #principal: string;
  readonly #client: SchedulerClient;
  readonly #stop = new AbortController();
  readonly #offers = new Map<string, Offer>();

  constructor({ url, context }: TestPlane) {
    this.#principal = context.principal;
    this.#client = new SchedulerClient({ plane: url, credential: context });
    const running = this.#run();
    onEnd(() => {
      this.#stop.abort();
      return running;
    });
  }

  async #run(): Promise<void> {
    const framework = {
      user: "root",
      name: "keeper",
      principal: this.#principal,
      roles: [ROLE],
      capabilities: [{ type: "MULTI_ROLE" }, { type: "RESERVATION_REFINEMENT" }, { type: "PARTITION_AWARE" }],
    };
    const bounds = { firstMs: 100, maxMs: 500 };
    for await (const event of staySubscribed(this.#client, framework, { signal: this.#stop.signal, bounds })) {
      this.events.push(event);
      if (event.type === "UPDATE") await this.#client.acknowledge(event.update.status).catch(() => undefined);
      if (event.type === "UPDATE_OPERATION_STATUS")
        await this.#client.acknowledgeOperationStatus(event.update_operation_status.status).catch(() => undefined);
      if (event.type === "OFFERS") for (const offer of event.offers.offers) this.#offers.set(offer.id.value, offer);
      if (event.type === "RESCIND") this.#offers.delete(event.rescind.offer_id.value);
    }
  }

  get reservation() {
    return { type: "DYNAMIC" as const, role: ROLE, principal: this.#principal };
  }

  reserved(name: string, value: number): Resource {
    return { name, type: "SCALAR", scalar: { value }, reservations: [this.reservation] };
  }

  volume(value: number): Resource {
    const disk = { persistence: { id: "data" }, volume: { mode: "RW" as const, container_path: "data" } };
    return { ...this.reserved("disk", value), disk };
  }

  /** All that it is offered, of the one agent that there is. */
  get offered(): readonly Resource[] {
    return [...this.#offers.values()].flatMap(({ resources }) => resources);
  }

  /** Waits until it is offered so much disk of that kind, and takes all of its offers for these operations. */
  async take(
    kind: (resource: Resource) => boolean,
    diskMb: number,
    operations: (agentId: Offer["agent_id"]) => readonly OperationRequest[],
  ): Promise<void> {
    const there = (): number =>
      this.offered
        .filter((one) => one.name === "disk" && kind(one))
        .reduce((sum, { scalar: of }) => sum + (of?.value ?? 0), 0);
    await expect.poll(there, { timeout: 20_000, interval: 50 }).toBeGreaterThanOrEqual(diskMb);
    const offers = [...this.#offers.values()];
    const [first] = offers;
    if (first === undefined) throw new Error("an offer");
    this.#offers.clear();
    const ids = offers.map(({ id }) => id.value);
    await this.#client.accept(ids, operations(first.agent_id), 0);
  }

  async runInVolume(taskId: string, command: string): Promise<void> {
    const task = {
      name: taskId,
      task_id: { value: taskId as never },
      resources: [scalar("cpus", 0.1), scalar("mem", 32), this.volume(64)],
      command: { value: command },
    };
    await this.take(isVolume, 64, (agent_id) => [launch([{ ...task, agent_id }])]);
    const states = (): TaskState | undefined =>
      this.events
        .flatMap((event) => (event.type === "UPDATE" ? [event.update.status] : []))
        .findLast(({ task_id }) => task_id.value === taskId)?.state;
    await expect.poll(states, { timeout: 20_000, interval: 50 }).toBe("TASK_FINISHED");
  }

  async operated(id: string, state: OperationState): Promise<void> {
    const last = (): OperationState | undefined =>
      this.events
        .flatMap((event) => (event.type === "UPDATE_OPERATION_STATUS" ? [event.update_operation_status.status] : []))
        .findLast(({ operation_id }) => operation_id?.value === id)?.state;
    await expect.poll(last, { timeout: 20_000, interval: 50 }).toBe(state);
  }
}

const isFree = ({ reservations = [] }: Resource): boolean => reservations.length === 0;
const isVolume = ({ disk }: Resource): boolean => disk?.persistence?.id === "data";
const isReserved = (resource: Resource): boolean => !isFree(resource) && resource.disk?.persistence === undefined;

test("a volume is made, outlives its task and kill -9 of the agent, is read by the next task, and ends without a trace", async () => {
  const { plane, agent } = await startCluster();
  const framework = new VolumeFramework(plane);
  const path = join(agent.workDirectory, "volumes/roles", ROLE, "data");

  await framework.take(isFree, 100, () => [
    reserve([framework.reserved("disk", 100)], "reserve"),
    create([framework.volume(64)], "create"),
  ]);
  await framework.operated("reserve", "OPERATION_FINISHED");
  await framework.operated("create", "OPERATION_FINISHED");
  await framework.runInVolume("writer", "echo precious > data/file");
  expect(readFileSync(join(path, "file"), "utf8")).toBe("precious\n");

  const killedAt = Date.now();
  await agent.killHard();
  agent.startAgain();
  await agent.registered(plane.operator, { since: killedAt });
  await framework.runInVolume("reader", 'test "$(cat data/file)" = precious');

  await framework.take(isVolume, 64, () => [destroy([framework.volume(64)], "destroy")]);
  await framework.operated("destroy", "OPERATION_FINISHED");
  await framework.take(isReserved, 100, () => [unreserve([framework.reserved("disk", 100)], "unreserve")]);
  await framework.operated("unreserve", "OPERATION_FINISHED");
  await expect.poll(() => existsSync(path), { timeout: 10_000, interval: 50 }).toBe(false);
  const removed = join(agent.workDirectory, "volumes/removed");
  await expect.poll(() => readdirSync(removed), { timeout: 10_000, interval: 50 }).toEqual([]);
  // Nothing of it is held by anybody: what is offered now is as it was at first.
  await expect.poll(() => framework.offered.some(isFree), { timeout: 20_000, interval: 50 }).toBe(true);
  expect(framework.offered.filter((one) => !isFree(one))).toEqual([]);
});
