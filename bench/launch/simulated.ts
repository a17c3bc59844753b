// Launches through a plane to simulated agents on real sockets: what the plane does, without the processes that a real agent starts.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { TaskId } from "#protocol/ids.ts";
import type { Offer } from "#protocol/scheduler.ts";
import { launch as launchOperation, SchedulerClient, scalar, type TaskRequest } from "#scheduler/index.ts";
import { SimulatedAgents, type SimulatedAgentsOptions } from "../agents/simulated-agents.ts";
import { BenchPlane } from "../bench-plane.ts";
import { shortLivedFetch } from "./connections.ts";

const GATEWAYS = 4;
const MS_MAX = 300_000;
/** Calls of the framework that wait for their answer at once. */
const CALLS_MAX = 16;
/** So small that ten thousand of them fit on one agent. */
const RESOURCES = [scalar("cpus", 0.001), scalar("mem", 1)];

/** Agents that note when each task was launched. */
class TimedAgents extends SimulatedAgents {
  readonly launchedAt = new Map<string, number>();

  override onLaunch(key: string): void {
    super.onLaunch(key);
    this.launchedAt.set(key.slice(key.indexOf("/") + 1), performance.now());
  }
}

export interface Launched {
  /** From the first ACCEPT until the last agent has its last task; and until the framework has acknowledged that it runs. */
  readonly seconds: number;
  readonly secondsToRunning: number;
  /** From sending each task's ACCEPT until its agent has the order, ms. */
  readonly acceptAgentMs: readonly number[];
}

/** How a framework launches: `perAccept` tasks in one call; `perSecond` of them, or as many as there are offers for. */
interface Pace {
  readonly tasks: number;
  readonly perAccept: number;
  readonly perSecond?: number;
}

export class LaunchPlane {
  readonly plane: BenchPlane;
  readonly #agents: TimedAgents;

  private constructor(plane: BenchPlane, agents: TimedAgents) {
    this.plane = plane;
    this.#agents = agents;
  }

  static async start(count: number): Promise<LaunchPlane> {
    const plane = await BenchPlane.start({ gateways: GATEWAYS });
    const credential = await plane.agentCredential();
    const options: SimulatedAgentsOptions = { plane: plane.url, credential, count, tasksEach: 0 };
    const agents = new TimedAgents(options);
    agents.start();
    await agents.untilAllRegistered({ msMax: MS_MAX });
    return new LaunchPlane(plane, agents);
  }

  async stop(): Promise<void> {
    this.#agents.stop();
    await this.plane.stop();
  }

  /** By a framework of its own, which is torn down again. */
  async launch({ tasks, perAccept, perSecond }: Pace): Promise<Launched> {
    const { launchedAt } = this.#agents;
    launchedAt.clear();
    const { context } = this.plane;
    const client = new SchedulerClient({ plane: context.plane, credential: context, fetch: shortLivedFetch() });
    const acceptedAt = new Map<string, number>();
    const offers: Offer[] = [];
    const done = Promise.withResolvers<void>();
    const failed = Promise.withResolvers<never>();
    const calls: (() => Promise<void>)[] = [];
    let inFlight = 0;
    const next = (): void => {
      for (; inFlight < CALLS_MAX && calls.length > 0; inFlight++) void make(calls.shift());
    };
    const make = async (call: (() => Promise<void>) | undefined): Promise<void> => {
      try {
        await call?.();
      } catch (error) {
        failed.reject(error);
      }
      inFlight--;
      next();
    };
    /** ACCEPTs first: launching is what is measured. */
    const send = (call: () => Promise<void>, isUrgent = false): void => {
      if (isUrgent) calls.unshift(call);
      else calls.push(call);
      next();
    };
    let running = 0;
    let endedAt = 0;

    const launchOn = (offer: Offer): void => {
      const requests = Array.from({ length: Math.min(perAccept, tasks - acceptedAt.size) }, () => taskOn(offer));
      const now = performance.now();
      for (const { task_id } of requests) acceptedAt.set(task_id.value, now);
      send(() => client.accept([offer.id.value], [launchOperation(requests)], 0), true);
    };
    const pace = async (first: number, rate: number): Promise<void> => {
      while (acceptedAt.size < tasks) {
        const due = Math.min(tasks, ((performance.now() - first) / 1000) * rate);
        while (acceptedAt.size < due) {
          const offer = offers.shift();
          if (offer === undefined) break;
          launchOn(offer);
        }
        await sleep(1);
      }
    };
    const framework = { user: "nobody", name: "bench", capabilities: [{ type: "PARTITION_AWARE" }] };
    const follow = async (): Promise<void> => {
      for await (const event of client.subscribe(framework, { signal: AbortSignal.timeout(MS_MAX) })) {
        if (event.type === "ERROR") throw new Error(event.error.message);
        if (event.type === "OFFERS") {
          const isFirst = acceptedAt.size === 0 && offers.length === 0;
          offers.push(...event.offers.offers);
          if (perSecond !== undefined && isFirst) pace(performance.now(), perSecond).catch(failed.reject);
          if (perSecond === undefined)
            for (const offer of offers.splice(0)) if (acceptedAt.size < tasks) launchOn(offer);
        }
        if (event.type !== "UPDATE") continue;
        const { status } = event.update;
        if (status.state !== "TASK_RUNNING") throw new Error(`${status.state}: ${status.message ?? ""}`);
        send(async () => {
          await repeated(() => client.acknowledge(status));
          if (++running < tasks) return;
          endedAt = performance.now();
          done.resolve();
        });
      }
      throw new Error("the stream ended");
    };
    await Promise.race([follow(), failed.promise, done.promise]);
    // The stream is still open: there is no call without one.
    await client.teardown();
    const startedAt = Math.min(...acceptedAt.values());
    if (launchedAt.size !== tasks) throw new Error(`${launchedAt.size} launches of ${tasks}`);
    return {
      seconds: (Math.max(...launchedAt.values()) - startedAt) / 1000,
      secondsToRunning: (endedAt - startedAt) / 1000,
      acceptAgentMs: [...acceptedAt].map(([id, at]) => (launchedAt.get(id) ?? Number.NaN) - at),
    };
  }
}

/** A connection that was kept open may be closed from the other side just when it is used again. */
const repeated = (call: () => Promise<void>): Promise<void> => call().catch(call);

const taskOn = (offer: Offer): TaskRequest => ({
  name: "simulated",
  task_id: { value: randomUUID() as string as TaskId },
  agent_id: offer.agent_id,
  resources: RESOURCES,
  command: { shell: false, value: "true", arguments: ["true"] },
});
