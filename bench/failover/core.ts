// The master's core alone, without sockets: agents with their tasks register with a master that has just begun its epoch on
// the registry of an earlier one. What is measured is the master's own work on each registration.
import { millis } from "#base/time.ts";
import type { AgentMessage, TaskReport } from "#protocol/agent.ts";
import type { AgentId, ClusterId, Epoch, HostKey, MasterId, OperationUuid, Principal } from "#protocol/ids.ts";
import { emptyRegistry, type Registry } from "#registrar/registry.ts";
import { onAgentMessage } from "../../src/master/agents.ts";
import { adoptRegistry } from "../../src/master/registration.ts";
import { DEFAULT_SETTINGS } from "../../src/master/settings.ts";
import { MemoryTaskStore } from "../../src/master/memory-task-store.ts";
import type { TaskStore } from "../../src/master/task-store.ts";
import { clearMarks, newMaster, type Master } from "../../src/master/state.ts";

const scalar = (name: string, value: number) => ({ name, type: "SCALAR" as const, scalar: { value } });
const INFO = { hostname: "host", port: 5051, resources: [scalar("cpus", 32), scalar("mem", 65536)], attributes: [] };
export const NOW = millis(1_000_000);
const FRAMEWORKS = 10;

const agentIdOf = (n: number): AgentId => `before-S${n}` as AgentId;
/** Padded text is a tree of texts; off a wire it is one. */
export const hostKeyOf = (n: number): HostKey =>
  JSON.parse(JSON.stringify(n.toString(16).padStart(32, "0"))) as HostKey;

/** Nothing is shared between two of them, as in a registry that was read from the log. */
export function admit(registry: Registry, n: number): void {
  const info = structuredClone(INFO);
  const agent = { agentId: agentIdOf(n), info, hostKey: hostKeyOf(n), principal: "agent" as Principal };
  registry.admitted.set(agent.agentId, { ...agent, admittedAt: NOW });
}

function registryOf(agents: number): Registry {
  const registry = emptyRegistry();
  for (let n = 0; n < agents; n++) admit(registry, n);
  return registry;
}

/** As it comes off the wire: parsed anew, nothing is shared between two of them. */
export function registerText(n: number, tasks: number, taskIdOf = (i: number): string => `t-${n}-${i}`): string {
  const ids = Array.from({ length: tasks }, (_, i) => taskIdOf(i));
  const reports = Array.from({ length: tasks }, (_, i) => ({
    framework: { id: `f-${(n + i) % FRAMEWORKS}`, name: "bench", user: "root", partitionAware: true },
    task: {
      name: "task",
      task_id: { value: ids[i] },
      agent_id: { value: agentIdOf(n) },
      resources: [scalar("cpus", 1), scalar("mem", 128)],
      command: { value: "sleep 1000", arguments: [], uris: [] },
    },
    latest: "TASK_RUNNING",
    statuses: [
      {
        task_id: { value: ids[i] },
        state: "TASK_RUNNING",
        timestamp: 1,
        source: "SOURCE_EXECUTOR",
        uuid: "AAAAAAAAAAAAAAAAAAAAAA==",
      },
    ] as unknown as TaskReport["statuses"],
  }));
  return JSON.stringify({
    type: "register",
    agentId: agentIdOf(n),
    lastSession: "older",
    info: INFO,
    tasks: reports,
    part: 1,
    more: false,
    system: { cpus_total: 32, load_1min: 0, load_5min: 0, load_15min: 0, mem_total_bytes: 1, mem_free_bytes: 1 },
  });
}

/** Seconds until all are in, without the parsing of their messages, which is the gateways' work. */
export function coreFailoverSeconds(agents: number, tasksEach: number): number {
  const registry = registryOf(agents);
  const messages = Array.from({ length: agents }, (_, n) => JSON.parse(registerText(n, tasksEach)) as AgentMessage);
  let uuids = 0;
  const ids = { uuid: () => `session-${++uuids}`, operationUuid: () => `operation-${++uuids}` as OperationUuid };
  const startedAt = performance.now();
  const master = freshMaster(registry);
  adoptRegistry(master, NOW);
  for (const [n, message] of messages.entries()) {
    const from = { gateway: `gateway-${1 + (n % 40)}`, socketId: `socket-${n}` };
    onAgentMessage(master, { from, hostKey: hostKeyOf(n), principal: "agent" as Principal }, message, ids, NOW);
    // A turn ends with each batch of a gateway: its effects leave, its marks are rows.
    if (n % 500 === 499) endTurn(master);
  }
  endTurn(master);
  const seconds = (performance.now() - startedAt) / 1000;
  const registered = [...master.agents.values()].filter(({ session }) => session !== undefined).length;
  if (registered !== agents) throw new Error(`only ${registered} of ${agents} agents are registered`);
  return seconds;
}

function endTurn(master: Master): void {
  master.effects.length = 0;
  clearMarks(master);
}

/** A store that stays empty is enough where nothing is read back. */
export function freshMaster(registry: Registry, store: TaskStore = new MemoryTaskStore()): Master {
  return newMaster({
    masterId: "after" as MasterId,
    epoch: 9 as Epoch,
    clusterId: "bench" as ClusterId,
    settings: DEFAULT_SETTINGS,
    registry,
    store,
    random: { next: () => Math.random() },
    info: {
      id: "after" as MasterId,
      ip: 0,
      port: 5050,
      pid: "master@127.0.0.1:5050",
      hostname: "127.0.0.1",
      version: "0.0.0",
      address: { hostname: "127.0.0.1", ip: "127.0.0.1", port: 5050 },
      capabilities: [],
    },
    startedAt: NOW,
    electedAt: NOW,
  });
}
