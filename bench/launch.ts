// `bench -- launch`: how fast tasks go through plane and one agent, by a v1 framework as anybody could write one; and through the plane alone,
// to simulated agents.
import { randomUUID } from "node:crypto";
import { userInfo } from "node:os";
import type { TaskId } from "#protocol/ids.ts";
import type { Offer } from "#protocol/scheduler.ts";
import {
  amountOf,
  isTerminal,
  launch as launchOperation,
  SchedulerClient,
  scalar,
  type TaskRequest,
} from "#scheduler/index.ts";
import { LaunchPlane } from "./launch/simulated.ts";
import { LocalCluster, watchRss } from "./local-cluster.ts";
import { percentile, rounded, type Figure, type Report } from "./report.ts";

const TASK = { cpus: 0.01, memMb: 32 };
/** Tasks that are launched one at a time, for the latencies. */
const SINGLE_TASKS = 40;
/** Simulated agents; launches to them, and how often. */
const FLEETS = [1, 10, 100];
/** One simulated agent copies its state with each change: with ten thousand tasks it is what is measured. */
const SIZES = [
  { name: "1k", tasks: 1_000, runs: 5, agentsMin: 1 },
  { name: "10k", tasks: 10_000, runs: 1, agentsMin: 10 },
];
const PER_ACCEPT = 50;
const WARM_TASKS = 500;
/** A framework that does not hurry, for the latencies. */
const PACED = { tasks: 5_000, perSecond: 500, perAccept: 10 };
/** A run that takes longer is broken, ms. */
const RUN_MS_MAX = 300_000;
/** Apache Mesos, head of its master branch, -O2, POSIX launcher, measured on this kind of machine, the same 200 tasks. */
const MESOS = { name: "Apache Mesos", measured: "earlier, on this kind of machine" };

interface Times {
  launchedAt: number;
  runningAt?: number;
  finishedAt?: number;
}

export async function launch({ tasks }: { readonly tasks: number }): Promise<Report> {
  const real = await throughAgent(tasks);
  return { ...real, method: `${real.method}; ${SIMULATED}`, figures: [...real.figures, ...(await throughPlane())] };
}

const SIMULATED =
  `simulated: tasks that start nothing, on ${FLEETS.join(", ")} simulated agents on real sockets, ${PER_ACCEPT} in one ACCEPT, each acknowledged: launches_per_s until the last ` +
  `agent has its last order, running_per_s until the last acknowledgement is taken; 1k: medians of ${SIZES[0]?.runs} runs; accept_agent: from sending ACCEPT to the order at the agent, ` +
  `at ${PACED.perSecond} launches a second, ${PACED.perAccept} in one ACCEPT, on ${FLEETS.at(-1)} agents`;

async function throughPlane(): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const agents of FLEETS) {
    const plane = await LaunchPlane.start(agents);
    try {
      await plane.launch({ tasks: WARM_TASKS, perAccept: PER_ACCEPT });
      for (const { name, tasks, runs, agentsMin } of SIZES) {
        if (agents < agentsMin) continue;
        const rates: { readonly launches: number; readonly running: number }[] = [];
        for (let run = 0; run < runs; run++) {
          const { seconds, secondsToRunning } = await plane.launch({ tasks, perAccept: PER_ACCEPT });
          rates.push({ launches: tasks / seconds, running: tasks / secondsToRunning });
          process.stderr.write(`${agents} agents, ${tasks}: ${JSON.stringify(rates.at(-1))}\n`);
        }
        const isMain = agents === FLEETS.at(-1) && name === "10k";
        const at = isMain ? "" : `_${name}_${agents}`;
        const of = (value: (rate: (typeof rates)[number]) => number): number =>
          rounded(percentile(rates.map(value), 0.5));
        figures.push({
          name: `launches_per_s${at}`,
          value: of(({ launches }) => launches),
          unit: "1/s",
          ...(isMain ? { aim: 1_000 } : {}),
        });
        figures.push({ name: `running_per_s${at}`, value: of(({ running }) => running), unit: "1/s" });
      }
      if (agents !== FLEETS.at(-1)) continue;
      const { acceptAgentMs } = await plane.launch(PACED);
      figures.push({ name: "accept_agent_ms_p50", value: rounded(percentile(acceptAgentMs, 0.5)), unit: "ms" });
      figures.push({
        name: "accept_agent_ms_p99",
        value: rounded(percentile(acceptAgentMs, 0.99)),
        unit: "ms",
        aim: 100,
      });
    } finally {
      await plane.stop();
    }
  }
  return figures;
}

async function throughAgent(tasks: number): Promise<Report> {
  const cluster = await LocalCluster.start();
  try {
    const agentPid = Object.values(cluster.lock.agents)[0]?.pid ?? 0;
    const plane = watchRss(cluster.lock.workerd?.pid ?? 0);
    const agent = watchRss(agentPid);
    await launchTasks(cluster, { count: 5, atATime: 1 }); // warm: both sides have compiled their code
    const single = await launchTasks(cluster, { count: SINGLE_TASKS, atATime: 1 });
    const many = await launchTasks(cluster, { count: tasks, atATime: tasks });
    const seconds =
      (Math.max(...many.map(({ finishedAt = 0 }) => finishedAt)) -
        Math.min(...many.map(({ launchedAt }) => launchedAt))) /
      1000;
    const running = single.map(({ launchedAt, runningAt = Number.NaN }) => runningAt - launchedAt);
    const finished = single.map(({ launchedAt, finishedAt = Number.NaN }) => finishedAt - launchedAt);
    return {
      bench: "launch",
      method:
        `${tasks} 'true' tasks (${TASK.cpus} cpus, ${TASK.memMb} MB each) by one v1 framework on one local agent, as many at a time as the offer holds; ` +
        `latencies from ${SINGLE_TASKS} tasks one at a time, from sending ACCEPT to receiving the update; RSS is the largest of workerd and of the agent's process`,
      figures: [
        { name: "tasks_per_s", value: rounded(tasks / seconds), unit: "1/s", aim: 60, peer: { ...MESOS, value: 6.1 } },
        {
          name: "launch_running_ms_p50",
          value: rounded(percentile(running, 0.5)),
          unit: "ms",
          aim: 50,
          peer: { ...MESOS, value: 183 },
        },
        { name: "launch_running_ms_p99", value: rounded(percentile(running, 0.99)), unit: "ms" },
        { name: "launch_finished_ms_p50", value: rounded(percentile(finished, 0.5)), unit: "ms" },
        { name: "plane_rss_mb", value: rounded(plane.stop()), unit: "MB" },
        { name: "agent_rss_mb", value: rounded(agent.stop()), unit: "MB", aim: 100, peer: { ...MESOS, value: 110 } },
      ],
    };
  } finally {
    await cluster.stop();
  }
}

/** Launches `count` tasks, no more than `atATime` of them alive, and returns when each of them has finished. */
async function launchTasks(
  { context }: LocalCluster,
  { count, atATime }: { readonly count: number; readonly atATime: number },
): Promise<readonly Times[]> {
  const client = new SchedulerClient({ plane: context.plane, credential: context });
  const framework = { user: userInfo().username, name: "bench", capabilities: [{ type: "PARTITION_AWARE" }] };
  const times = new Map<string, Times>();
  const calls: Promise<void>[] = [];
  const call = (made: Promise<void>): void => {
    made.catch(() => undefined); // looked at when all are awaited, below
    calls.push(made);
  };
  let alive = 0;

  const onOffer = (offer: Offer): void => {
    const fitting = Math.min(
      count - times.size,
      atATime - alive,
      Math.floor(amountOf(offer.resources, "cpus") / TASK.cpus),
      Math.floor(amountOf(offer.resources, "mem") / TASK.memMb),
    );
    if (fitting <= 0) {
      call(client.decline([offer.id.value], 0));
      return;
    }
    const requests = Array.from({ length: fitting }, () => taskOn(offer));
    for (const { task_id } of requests) times.set(task_id.value, { launchedAt: performance.now() });
    alive += fitting;
    call(client.accept([offer.id.value], [launchOperation(requests)], 0));
  };

  for await (const event of client.subscribe(framework, { signal: AbortSignal.timeout(RUN_MS_MAX) })) {
    if (event.type === "ERROR") throw new Error(event.error.message);
    if (event.type === "OFFERS") event.offers.offers.forEach(onOffer);
    if (event.type !== "UPDATE") continue;
    const { status } = event.update;
    const task = times.get(status.task_id.value);
    call(client.acknowledge(status));
    if (task === undefined) continue;
    if (status.state === "TASK_RUNNING") task.runningAt ??= performance.now();
    if (!isTerminal(status.state)) continue;
    if (status.state !== "TASK_FINISHED") throw new Error(`${status.state}: ${status.message ?? ""}`);
    task.finishedAt ??= performance.now();
    alive--;
    if ([...times.values()].filter(({ finishedAt }) => finishedAt !== undefined).length === count) {
      await Promise.all(calls);
      await client.teardown();
      break;
    }
  }
  return [...times.values()];
}

function taskOn(offer: Offer): TaskRequest {
  return {
    name: "true",
    task_id: { value: randomUUID() as string as TaskId },
    agent_id: offer.agent_id,
    resources: [scalar("cpus", TASK.cpus), scalar("mem", TASK.memMb)],
    command: { shell: false, value: "true", arguments: ["true"] },
  };
}
