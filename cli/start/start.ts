// `mesoflare start`: a whole cluster on this machine, from nothing to ready and back to nothing. It decides the order:
// lock, port, state, plane, bootstrap, agents; and the other way round at the end, so that tasks are reported killed
// while the plane can still write it down.
import { availableParallelism, totalmem } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { MESOFLARE_VERSION } from "#protocol/version.ts";
import { EXIT } from "../exit-codes.ts";
import { Failure, reasonOf } from "../failure.ts";
import { initialise } from "../initialise.ts";
import { hasRegisteredSince, listAgents } from "../mesos-json.ts";
import { Plane } from "../plane.ts";
import { readFile } from "node:fs/promises";
import { AgentProcess, STOP_MS_MAX } from "./agent-process.ts";
import type { StartOptions } from "./arguments.ts";
import { clearStaleLock, HeldLock } from "./lock.ts";
import { builtFile } from "./package-files.ts";
import { isPortFree, PlaneProcess } from "./plane-process.ts";
import { shareOf } from "./split-host.ts";
import type { LocalCluster, StateDirectory } from "./state-directory.ts";

/** The first local agent's port; the next ones count up. Source: Mesos. */
const AGENT_PORT = 5051;
const REPLICAS_DEFAULT = 3;
/** How often and how long registration is looked for before the log file is named, ms. */
const REGISTERED_POLL_MS = 50;
const REGISTERED_MS_MAX = 20_000;

export interface StartShell {
  readonly say: (line: string) => void;
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly stop: AbortSignal;
  /** The command that shows the cluster at work, for a person to try. */
  readonly tryNext: string;
}

/** Runs until `stop`, or until the plane dies. Returns the exit code; nothing it started is left. */
export async function start(options: StartOptions, state: StateDirectory, shell: StartShell): Promise<number> {
  const ended = await clearStaleLock(state.lock);
  if (ended > 0) shell.say(`ended ${ended} process${ended === 1 ? "" : "es"} that an earlier cluster had left behind`);
  const known = await state.readCluster();
  const replicas = options.replicas ?? known?.cluster.replicas ?? REPLICAS_DEFAULT;
  if (known !== undefined && known.cluster.replicas !== replicas) {
    throw new Failure(
      `this state directory has ${known.cluster.replicas} replicas, not ${replicas}; leave --replicas out, or choose another --state`,
    );
  }
  if (!(await isPortFree(options.port)))
    throw new Failure(`port ${options.port} on 127.0.0.1 is taken; choose another with --port`);
  await state.make();
  const lock = await HeldLock.take(state.lock);
  try {
    return await serve({ ...options, replicas }, state, shell, lock);
  } finally {
    await lock.release();
  }
}

type Options = StartOptions & { readonly replicas: 3 | 5 };

async function serve(options: Options, state: StateDirectory, shell: StartShell, lock: HeldLock): Promise<number> {
  const url = `http://127.0.0.1:${options.port}`;
  const context = await state.prepareCredentials(url);
  shell.say(`mesoflare ${MESOFLARE_VERSION}, state in ${state.path}`);
  const plane = await PlaneProcess.start(
    {
      worker: builtFile("worker.js"),
      port: options.port,
      persist: state.plane,
      bindings: await bindingsOf(options, state),
    },
    state.planeLog,
  );
  let agents: readonly AgentProcess[] = [];
  // The plane going is an order to stop, as Ctrl-C is; only the agents are stopped in another way.
  const planeDied = new AbortController();
  const over = AbortSignal.any([shell.stop, planeDied.signal]);
  const watching = plane.died(shell.stop).then(() => planeDied.abort());
  try {
    await lock.setPlane(plane.host, plane.workerd);
    const cluster = await bootstrapOnce(new Plane(context), state, options.replicas);
    shell.say(`plane    ${url} (cluster ${cluster.cluster_id}, ${cluster.replicas} replicas, log ${state.planeLog})`);
    const agentsStartedAt = Date.now();
    agents = startAgents(options, url, state, shell, lock);
    await sayRegistered(new Plane(context), agents, agentsStartedAt, state, shell, over);
    if (!over.aborted) {
      shell.say(`ready in ${(performance.now() / 1000).toFixed(1)} s; Ctrl-C ends the cluster and its tasks`);
      shell.say(`next: ${shell.tryNext}`);
    }
    await watching;
    if (shell.stop.aborted) return EXIT.ok;
    shell.say(`the plane died (see ${state.planeLog}); stopping the agents, their tasks run on`);
    return EXIT.failed;
  } finally {
    const byPerson = shell.stop.aborted;
    if (byPerson) shell.say("stopping: the agents kill their tasks");
    await Promise.all(agents.map((agent) => stopAgent(agent, byPerson ? "SIGUSR1" : "SIGTERM", shell)));
    await plane.stop();
    if (byPerson) shell.say("stopped");
  }
}

async function bindingsOf(
  { replicas, masters, gateways, port }: Options,
  state: StateDirectory,
): Promise<Record<string, string>> {
  return {
    REPLICAS: String(replicas),
    MASTERS: String(masters),
    GATEWAYS: String(gateways),
    AUTHENTICATE_HTTP_READONLY: "false",
    CREDENTIALS: await readFile(state.verifiers, "utf8"),
    ADVERTISE: `127.0.0.1:${port}`,
  };
}

/** Only ever for a directory without a bootstrapped cluster: an empty log elsewhere is a loss, not a beginning. */
async function bootstrapOnce(plane: Plane, state: StateDirectory, replicas: 3 | 5): Promise<LocalCluster> {
  const known = await state.readCluster();
  if (known?.bootstrapped === true) return known.cluster;
  const cluster = known?.cluster ?? (await state.planCluster(replicas));
  const result = await initialise(plane, cluster.cluster_id);
  if (result.type !== "initialised") throw new Failure(`cannot bootstrap the log: ${result.reason}`);
  await state.markBootstrapped();
  return cluster;
}

function startAgents(
  options: Options,
  plane: string,
  state: StateDirectory,
  { say }: StartShell,
  lock: HeldLock,
): readonly AgentProcess[] {
  const host = { cpus: availableParallelism(), memMb: totalmem() / 1024 / 1024 };
  return Array.from({ length: options.agents }, (_, index) => {
    const name = `agent-${index + 1}`;
    const resources = shareOf(host, index, options.agents);
    const agent = new AgentProcess(
      { name, plane, credential: state.agentCredential, ...state.agent(name), port: AGENT_PORT + index, resources },
      { say, started: (identity) => lock.setAgent(name, identity) },
    );
    agent.supervise().catch((error: unknown) => say(`${name} cannot be started: ${reasonOf(error)}`));
    return agent;
  });
}

/** Says each agent's id once it is there; an agent that takes too long is named with its log, and not waited for. */
async function sayRegistered(
  plane: Plane,
  agents: readonly AgentProcess[],
  startedAt: number,
  state: StateDirectory,
  { say }: StartShell,
  over: AbortSignal,
): Promise<void> {
  const waiting = new Set(agents.map(({ name }) => name));
  const deadline = Date.now() + REGISTERED_MS_MAX;
  while (waiting.size > 0 && !over.aborted && Date.now() < deadline) {
    const known = await listAgents(plane).catch(() => []); // 503 while the first election runs
    for (const agent of known) {
      if (hasRegisteredSince(agent, startedAt) && waiting.delete(agent.hostname))
        say(`${agent.hostname}  registered as ${agent.id}`);
    }
    if (waiting.size > 0) await sleep(REGISTERED_POLL_MS, undefined, { signal: over }).catch(() => undefined);
  }
  if (over.aborted) return;
  for (const name of waiting) say(`${name} has not registered yet; see ${state.agent(name).log}`);
}

async function stopAgent(agent: AgentProcess, signal: "SIGUSR1" | "SIGTERM", { say }: StartShell): Promise<void> {
  if (await agent.stop(signal)) return;
  say(`${agent.name} did not stop within ${STOP_MS_MAX / 1000} s and was killed; its tasks may run on`);
}
