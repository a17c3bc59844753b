// A framework's life beside its subscriptions: known from agents only, disconnected, excused, removed (tasks-offers-and-operators §1.3, §1.4).
import { millis, type Millis } from "#base/time.ts";
import type { FrameworkId, Principal } from "#protocol/ids.ts";
import type { FrameworkInfo } from "#protocol/scheduler.ts";
import type { FrameworkSummary } from "#protocol/agent.ts";
import { isTerminal } from "#protocol/task.ts";
import { frameworkHasLeft, frameworkIs, frameworkIsAway } from "./allocation.ts";
import { removeOffersTo } from "./offers.ts";
import { acknowledge } from "./sockets.ts";
import type { FrameworkRecord, Master, TaskRecord } from "./state.ts";
import { askRegistry, forgetWord, give } from "./effects.ts";
import { newTally } from "./tally.ts";
import { completeTask, retire } from "./tasks.ts";

/** After the plane itself was away, a framework has at least this long to come back, ms. Source: Mesos agent_reregister_timeout. */
export const RESUBSCRIBE_GRACE_MS = 600_000;
/** A deadline that is found this late, ms, was not looked at in time: the plane itself was away. Alarms come within less. */
const OVERDUE_MS = 2_000;

export function newFramework(
  id: FrameworkId,
  info: FrameworkInfo,
  principal: Principal | undefined,
  now: Millis,
): FrameworkRecord {
  return {
    id,
    info: { ...info, id: { value: id } },
    principal,
    status: { state: "recovered" },
    registeredAt: now,
    reregisteredAt: undefined,
    suppressedRoles: new Set(),
    offerConstraints: undefined,
    undelivered: new Map(),
    tasks: new Map(),
    unreachableTasks: new Map(),
    used: newTally(),
  };
}

/** A framework that only an agent's report names. It may subscribe with its id later. */
export function recoverFramework(master: Master, summary: FrameworkSummary, now: Millis): FrameworkRecord {
  // What the registry knows is from the framework itself; an agent repeats what it was told.
  const registered = master.registry.registeredFrameworks.get(summary.id);
  const failoverTimeoutMs = registered?.failoverTimeoutMs ?? summary.failoverTimeoutMs;
  const info: FrameworkInfo = {
    user: summary.user,
    name: summary.name,
    id: { value: summary.id },
    failover_timeout: failoverTimeoutMs === undefined ? undefined : failoverTimeoutMs / 1000,
    checkpoint: true,
    role: undefined,
    roles: [],
    hostname: undefined,
    principal: undefined,
    webui_url: undefined,
    labels: undefined,
    capabilities: summary.partitionAware ? [{ type: "PARTITION_AWARE" }] : [],
  };
  const principal = registered?.principal ?? (summary.principal as Principal | undefined);
  const framework = newFramework(summary.id, info, principal, now);
  const durable = master.registry.disconnectedFrameworks.get(summary.id);
  const removed = master.registry.removedFrameworks.get(summary.id);
  // [M29] What an earlier master promised or decided holds: a deadline, though not sooner than anybody could subscribe here.
  if (removed !== undefined) framework.status = { state: "removed", at: removed.at };
  else if (durable !== undefined) {
    const fair = master.electedAt + RESUBSCRIBE_GRACE_MS;
    framework.status = { state: "disconnected", deadline: millis(Math.max(durable.deadline, fair)) };
  } else if (failoverTimeoutMs !== undefined) {
    // It was connected when its master fell: nobody could note a deadline, and without one its tasks would run for ever.
    framework.status = { state: "recovered", deadline: deadlineAfterFailover(master, failoverTimeoutMs) };
  }
  master.frameworks.set(framework.id, framework);
  master.marked.frameworks.add(framework.id);
  if (framework.status.state !== "removed") frameworkIs(master, framework);
  return framework;
}

export const failoverMs = (framework: FrameworkRecord): number => (framework.info.failover_timeout ?? 0) * 1000;
/** When a framework that was connected to an earlier master is removed, unless it subscribes before. */
export const deadlineAfterFailover = ({ electedAt }: Master, failoverTimeoutMs: number): Millis =>
  millis(electedAt + Math.max(failoverTimeoutMs, RESUBSCRIBE_GRACE_MS));

export function disconnect(master: Master, framework: FrameworkRecord, timeoutMs: number, now: Millis): void {
  framework.status = { state: "disconnected", deadline: millis(now + timeoutMs) };
  master.marked.frameworks.add(framework.id);
  frameworkIsAway(master, framework.id);
  removeOffersTo(master, framework.id, { rescind: false });
  if (timeoutMs === 0)
    requestRemoval(master, framework, { who: "master", why: "it is gone, and its failover_timeout is 0" });
  else noteDeadline(master, framework);
}

/** The deadline outlives this master, once the registry has it. */
function noteDeadline(master: Master, { id, principal, status }: FrameworkRecord): void {
  if (status.state !== "disconnected") return;
  if (master.registry.disconnectedFrameworks.get(id)?.deadline === status.deadline) return;
  const operation = { type: "disconnect-framework", frameworkId: id, principal, deadline: status.deadline } as const;
  askRegistry(master, { type: "noted" }, operation, { who: "master", why: "it is not connected" });
}

/**
 * Somebody else took the id after a failover, when nobody knew whose it was: the agents know. The stranger is told, and the owner may
 * subscribe again. Where the registry knows, nobody else could take it, and no agent's word counts.
 */
export function restoreOwner(master: Master, framework: FrameworkRecord, { principal }: FrameworkSummary): void {
  if (principal === undefined || framework.principal === undefined || framework.principal === principal) return;
  if (master.registry.registeredFrameworks.has(framework.id)) return;
  if (framework.status.state === "connected") {
    const { streamId } = framework.status;
    const message = "The framework belongs to another principal";
    master.effects.push({ type: "event", streamId, event: { type: "ERROR", error: { message } } });
    master.effects.push({ type: "close-stream", streamId });
  }
  if (framework.status.state !== "removed") framework.status = { state: "recovered" };
  framework.principal = principal as Principal;
  framework.info = { ...framework.info, principal };
  removeOffersTo(master, framework.id, { rescind: false });
  frameworkIsAway(master, framework.id);
  master.marked.frameworks.add(framework.id);
}

/** What {@link excuseAbsence} changed while nothing could be written. */
export function noteDeadlines(master: Master): void {
  for (const framework of master.frameworks.values())
    if (!master.removals.has(framework.id)) noteDeadline(master, framework);
}

/**
 * The plane was away, or this instance began anew: streams are gone through no fault of the frameworks, and a deadline that
 * passed while nobody could subscribe does not count. `wasAway`: there was no quorum, so that no deadline ran fairly.
 */
export function excuseAbsence(master: Master, now: Millis, { wasAway }: { readonly wasAway: boolean }): void {
  for (const framework of master.frameworks.values()) {
    const { status } = framework;
    if (
      status.state === "recovered" &&
      status.deadline !== undefined &&
      (wasAway || now - status.deadline > OVERDUE_MS)
    ) {
      const deadline = millis(Math.max(status.deadline, now + RESUBSCRIBE_GRACE_MS));
      framework.status = { state: "recovered", deadline };
      master.marked.frameworks.add(framework.id);
    }
    if (status.state === "connected") {
      disconnect(master, framework, Math.max(failoverMs(framework), RESUBSCRIBE_GRACE_MS), now);
    } else if (status.state === "disconnected" && (wasAway || now - status.deadline > OVERDUE_MS)) {
      framework.status = {
        state: "disconnected",
        deadline: millis(Math.max(status.deadline, now + RESUBSCRIBE_GRACE_MS)),
      };
      master.marked.frameworks.add(framework.id);
    }
  }
}

/**
 * TEARDOWN, or the failover timeout. Nothing happens before the registry has it [M28]: an id that was torn down must not come
 * back with the next master. `requestId`: who hears of it.
 */
export function requestRemoval(
  master: Master,
  framework: FrameworkRecord,
  asked: { readonly who: string; readonly why: string },
  requestId?: number,
): void {
  const pending = master.removals.get(framework.id);
  if (pending !== undefined) {
    if (requestId !== undefined) pending.requestIds.push(requestId);
    return;
  }
  const removal = {
    type: "framework-removed",
    frameworkId: framework.id,
    requestIds: requestId === undefined ? [] : [requestId],
  } as const;
  master.removals.set(framework.id, removal);
  askRegistry(master, removal, { type: "remove-framework", frameworkId: framework.id }, asked);
}

/** The registry has it: tasks are told to end, and hold their resources until they have [M16]. */
export function removeFramework(master: Master, framework: FrameworkRecord, now: Millis): void {
  if (framework.status.state === "removed") return;
  if (framework.status.state === "connected") {
    master.effects.push({ type: "close-stream", streamId: framework.status.streamId });
  }
  framework.status = { state: "removed", at: now };
  master.marked.frameworks.add(framework.id);
  removeOffersTo(master, framework.id, { rescind: false });
  frameworkHasLeft(master, framework.id);
  forgetUndelivered(master, framework);
  const agents = new Set([...framework.tasks.values()].map((task) => task.agentId));
  for (const agentId of agents) {
    const agent = master.agents.get(agentId);
    if (agent !== undefined) give(master, agent, { type: "shutdown-framework", frameworkId: framework.id }, now);
  }
  // Of an agent that is away: should it come back, it is told to end what it has of this framework.
  for (const task of [...framework.unreachableTasks.values()]) {
    framework.unreachableTasks.delete(task.taskId);
    completeTask(master, framework, task);
  }
  // What has ended only waited for an acknowledgement, which nobody will send now.
  for (const task of [...framework.tasks.values()]) {
    if (task.unacknowledged !== undefined && task.latest === task.unacknowledged.state)
      completeIfEnded(master, framework, task);
  }
  if (framework.tasks.size === 0 && master.frameworks.has(framework.id)) retire(master, framework);
}

function completeIfEnded(master: Master, framework: FrameworkRecord, task: TaskRecord): void {
  if (!isTerminal(task.latest)) return;
  const agent = master.agents.get(task.agentId);
  const uuid = task.unacknowledged?.uuid;
  if (agent !== undefined && uuid !== undefined) {
    acknowledge(master, agent, { frameworkId: framework.id, taskId: task.taskId }, [uuid]);
  }
  completeTask(master, framework, task);
}

function forgetUndelivered(master: Master, framework: FrameworkRecord): void {
  for (const taskId of [...framework.undelivered.keys()]) forgetWord(master, framework, taskId);
}
