// `mesoflare kill`: only a framework can kill its tasks, so this takes over the framework of a detached run, kills, waits
// for the last update, and tears the framework down when it was its only task. A framework that somebody else is
// connected as is left alone: a second subscription would oust its scheduler.
import type { Command } from "commander";
import { isTerminal, type TaskStatus } from "#protocol/task.ts";
import { SchedulerClient, type FrameworkRequest } from "#scheduler/index.ts";
import { loadContext } from "../context.ts";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { Failure } from "../failure.ts";
import { findTask, type FrameworkJson, type TaskJson } from "../mesos-json.ts";
import { Plane } from "../plane.ts";
import { DETACHED_LABEL } from "../run/run.ts";
import { contextSearch, printJson, warn } from "./shared-options.ts";

/** How long the last update may take, ms: an agent gives a task 3 s between its two signals. */
const KILL_MS_MAX = 30_000;
/** Time for the scheduler of a framework that was recovered to come back after our kill, s: a week. */
const RECOVERED_FAILOVER_S = 604_800;

interface KillOptions {
  readonly force?: boolean;
  readonly json?: boolean;
}

export function addKill(program: Command): void {
  program
    .command("kill")
    .summary("kill a task")
    .description(
      "Kills a task of a detached run and waits until it has ended. A task whose framework is connected belongs to that " +
        "framework's scheduler; --force takes the framework over, and its scheduler loses its subscription.",
    )
    .argument("<task>", "id of the task, or its name when that is unique")
    .option("--force", "take over the framework even if its scheduler is connected")
    .option("--json", "the result as one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async (wanted: string, options: KillOptions, self: Command) => {
      const context = await loadContext(contextSearch(self), warn);
      const plane = new Plane(context);
      const task = await findTask(plane, wanted);
      const framework = await ownerOf(plane, task);
      if (framework.connected && !isDetached(framework) && options.force !== true) {
        throw new Failure(
          `task ${task.id} belongs to framework ${framework.id} (${framework.name}), whose scheduler is connected: it must kill ` +
            "the task itself. With --force its subscription is taken over.",
        );
      }
      const client = new SchedulerClient({ plane: context.plane, credential: context, frameworkId: framework.id });
      const state = isTerminal(task.state) ? task.state : await killAndWait(client, framework, task);
      const isOnlyTask = framework.tasks.every(({ id, state: other }) => id === task.id || isTerminal(other));
      if (isOnlyTask) await removeFramework(client, framework);
      if (options.json === true)
        printJson({ task_id: task.id, state, framework_id: framework.id, framework_removed: isOnlyTask });
      else process.stdout.write(`${task.id}: ${state}${isOnlyTask ? `, framework ${framework.id} removed` : ""}\n`);
    });
}

async function ownerOf(plane: Plane, task: TaskJson): Promise<FrameworkJson> {
  const { frameworks } = await plane.get<{ frameworks: FrameworkJson[] }>("/frameworks");
  const owner = frameworks.find(({ id }) => id === task.framework_id);
  if (owner === undefined)
    throw new Failure(`task ${task.id} is ${task.state}, and its framework ${task.framework_id} is gone`);
  return owner;
}

/** A detached run has left for good, though the plane may take some heartbeats to notice that its stream is closed. */
const isDetached = ({ labels }: FrameworkJson): boolean =>
  labels?.some(({ key }) => key === DETACHED_LABEL.key) ?? false;

/** Subscribes as the framework itself: its own user, name, roles and capabilities, so that nothing changes but the stream. */
export function requestOf(framework: FrameworkJson): FrameworkRequest {
  const { user, name, failover_timeout, capabilities = [], roles, labels } = framework;
  return {
    user,
    name,
    // What it was before the masters changed nobody may know; with 0 its other tasks would end with our stream.
    failover_timeout: framework.recovered === true && failover_timeout === 0 ? RECOVERED_FAILOVER_S : failover_timeout,
    roles: roles && [...roles],
    capabilities: capabilities.map((type) => ({ type })),
    labels: labels && { labels },
  };
}

async function killAndWait(
  client: SchedulerClient,
  framework: FrameworkJson,
  task: TaskJson,
): Promise<TaskStatus["state"]> {
  const signal = AbortSignal.timeout(KILL_MS_MAX);
  try {
    for await (const event of client.subscribe(requestOf(framework), { signal })) {
      if (event.type === "ERROR") throw new Failure(`the plane refused: ${event.error.message}`);
      if (event.type === "SUBSCRIBED") await client.kill({ taskId: task.id, agentId: task.slave_id });
      if (event.type === "OFFERS") await client.decline(event.offers.offers.map(({ id }) => id.value));
      if (event.type !== "UPDATE") continue;
      const { status } = event.update;
      await client.acknowledge(status);
      if (status.task_id.value === task.id && isTerminal(status.state)) return status.state;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  throw new Failure(`task ${task.id} has not ended within ${KILL_MS_MAX / 1000} s; its agent may be unreachable`);
}

/** A framework without tasks that nobody will come back for. TEARDOWN needs a subscription of its own: the last one is closed. */
async function removeFramework(client: SchedulerClient, framework: FrameworkJson): Promise<void> {
  for await (const event of client.subscribe(requestOf(framework), { signal: AbortSignal.timeout(KILL_MS_MAX) })) {
    if (event.type === "SUBSCRIBED") {
      await client.teardown(); // before the stream closes: a disconnected framework may not call
      return;
    }
    if (event.type === "ERROR") throw new Failure(`the plane refused: ${event.error.message}`);
  }
}
