// The scheduler's calls after SUBSCRIBE: who may ask (http-api-v1 §4, rows 14 to 19), then what each call does.
import { unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { FrameworkId, Principal, StreamId } from "#protocol/ids.ts";
import { CALL_ITEMS_MAX, type Call, type CallType } from "#protocol/scheduler.ts";
import { isTerminal } from "#protocol/task.ts";
import { accept } from "./accept.ts";
import { messageExecutor, shutdownExecutor } from "./executors.ts";
import { requestRemoval } from "./frameworks.ts";
import { decline } from "./offers.ts";
import { onOperationAcknowledged, reconcileOperationQueries } from "./operations.ts";
import { reconcile } from "./reconciliation.ts";
import { orderKill } from "./report.ts";
import { acknowledge } from "./sockets.ts";
import { reviveOffers, suppressOffers, updateFramework, type Subscription } from "./subscriptions.ts";
import type { CallAnswer, FrameworkRecord, Ids, Master } from "./state.ts";
import { markTask } from "./task-records.ts";
import { onAcknowledged } from "./tasks.ts";

const ACCEPTED: CallAnswer = { status: 202, text: "" };

export interface CallRequest {
  readonly call: Call & { readonly type: Exclude<CallType, "SUBSCRIBE"> };
  readonly principal: Principal | undefined;
  readonly streamId: StreamId | undefined;
}

/** Undefined: an `answer` effect under `requestId` follows, once the registry has decided. */
export function onCall(
  master: Master,
  request: CallRequest,
  requestId: number,
  ids: Ids,
  now: Millis,
): CallAnswer | undefined {
  const { call } = request;
  const checked = checkSender(master, request, call.framework_id?.value);
  if (checked.type === "refused") return checked.answer;
  const { framework } = checked;
  switch (call.type) {
    case "ACCEPT":
      return onAccept(master, framework, call, ids, now);
    case "DECLINE":
      master.counters["master/messages_launch_tasks"]++;
      if (call.decline !== undefined) {
        const ids = call.decline.offer_ids.map((id) => id.value);
        decline(master, framework, ids, call.decline.filters?.refuse_seconds, now);
      }
      return ACCEPTED;
    case "KILL":
      return onKill(master, framework, call, now);
    case "ACKNOWLEDGE":
      return onAcknowledge(master, framework, call);
    case "RECONCILE": {
      master.counters["master/messages_reconcile_tasks"]++;
      const queries = (call.reconcile?.tasks ?? []).map((task) => ({
        taskId: task.task_id.value,
        agentId: task.agent_id?.value,
      }));
      reconcile(master, framework, queries, now);
      return ACCEPTED;
    }
    case "TEARDOWN":
      master.counters["master/messages_unregister_framework"]++;
      requestRemoval(master, framework, { who: request.principal ?? "framework", why: "TEARDOWN" }, requestId);
      return undefined;
    case "UNKNOWN":
      return { status: 501, text: "A call of type UNKNOWN does nothing." };
    case "REVIVE":
      master.counters["master/messages_revive_offers"]++;
      reviveOffers(master, framework, call.revive?.roles ?? []);
      return ACCEPTED;
    case "SUPPRESS":
      master.counters["master/messages_suppress_offers"]++;
      suppressOffers(master, framework, call.suppress?.roles ?? []);
      return ACCEPTED;
    case "SHUTDOWN":
      if (call.shutdown !== undefined) {
        const { agent_id, executor_id } = call.shutdown;
        shutdownExecutor(master, framework, { agentId: agent_id.value, executorId: executor_id.value }, now);
      }
      return ACCEPTED;
    case "MESSAGE":
      if (call.message !== undefined) {
        const { agent_id, executor_id, data } = call.message;
        messageExecutor(master, framework, { agentId: agent_id.value, executorId: executor_id.value, data });
      }
      return ACCEPTED;
    case "REQUEST":
      // Taken, and without effect, as with Mesos' own allocator.
      master.counters["master/messages_resource_request"]++;
      return ACCEPTED;
    case "ACCEPT_INVERSE_OFFERS":
    case "DECLINE_INVERSE_OFFERS":
      // No inverse offer is ever made: whatever is named is stale, and stale ones are passed over.
      return ACCEPTED;
    case "ACKNOWLEDGE_OPERATION_STATUS":
      return onAcknowledgeOperation(master, framework, call);
    case "RECONCILE_OPERATIONS": {
      const queries = (call.reconcile_operations?.operations ?? []).map((operation) => ({
        operationId: operation.operation_id.value,
        agentId: operation.agent_id?.value,
      }));
      reconcileOperationQueries(master, framework, queries);
      return ACCEPTED;
    }
    case "UPDATE_FRAMEWORK":
      return call.update_framework === undefined
        ? ACCEPTED
        : updateFramework(master, framework, subscriptionOf(call.update_framework));
    default:
      return unreachable(call.type);
  }
}

type Checked =
  | { readonly type: "sender"; readonly framework: FrameworkRecord }
  | { readonly type: "refused"; readonly answer: CallAnswer };

function checkSender(master: Master, { principal, streamId }: CallRequest, id: FrameworkId | undefined): Checked {
  const refuse = (status: 400 | 403, text: string): Checked => ({ type: "refused", answer: { status, text } });
  const framework = id === undefined ? undefined : master.frameworks.get(id);
  if (framework === undefined || framework.status.state === "removed") return refuse(400, "Framework cannot be found");
  if (framework.principal !== undefined && framework.principal !== principal) {
    return refuse(400, "The authenticated principal differs from that of the framework's subscription");
  }
  if (framework.status.state !== "connected") return refuse(403, "Framework is not subscribed");
  if (streamId === undefined) return refuse(400, "All calls but SUBSCRIBE need the 'Mesos-Stream-Id' header");
  if (streamId !== framework.status.streamId) {
    return refuse(400, "The stream id in this request is not that of the framework's current subscription");
  }
  return { type: "sender", framework };
}

function onAccept(master: Master, framework: FrameworkRecord, call: Call, ids: Ids, now: Millis): CallAnswer {
  if (call.accept === undefined) return ACCEPTED;
  const tasks = call.accept.operations.reduce(
    (sum, { launch, launch_group: group }) =>
      sum + (launch?.task_infos.length ?? 0) + (group?.task_group.tasks.length ?? 0),
    0,
  );
  if (tasks > CALL_ITEMS_MAX)
    return { status: 400, text: `One ACCEPT may launch at most ${CALL_ITEMS_MAX} tasks, this one has ${tasks}` };
  master.counters["master/messages_launch_tasks"]++;
  accept(master, framework, call.accept, ids, now);
  return ACCEPTED;
}

function onKill(master: Master, framework: FrameworkRecord, call: Call, now: Millis): CallAnswer {
  master.counters["master/messages_kill_task"]++;
  if (call.kill === undefined) return ACCEPTED;
  const { task_id, agent_id, kill_policy } = call.kill;
  const away = framework.unreachableTasks.get(task_id.value);
  if (away !== undefined && (agent_id === undefined || agent_id.value === away.agentId)) {
    // Remembered all the same: the agent hears of it when it comes back.
    away.kill = { policy: kill_policy };
    markTask(master, away);
  }
  const task = framework.tasks.get(task_id.value);
  if (task === undefined) {
    reconcile(master, framework, [{ taskId: task_id.value, agentId: agent_id?.value }], now);
    return ACCEPTED;
  }
  if ((agent_id !== undefined && agent_id.value !== task.agentId) || isTerminal(task.latest)) return ACCEPTED;
  // Remembered until the task has ended, so that an agent that is away hears of it when it is back.
  task.kill = { policy: kill_policy };
  markTask(master, task);
  const agent = master.agents.get(task.agentId);
  if (agent !== undefined) orderKill(master, agent, task, now);
  return ACCEPTED;
}

function onAcknowledge(master: Master, framework: FrameworkRecord, call: Call): CallAnswer {
  master.counters["master/messages_status_update_acknowledgement"]++;
  if (call.acknowledge === undefined) return ACCEPTED;
  const { agent_id, task_id, uuid } = call.acknowledge;
  const agent = master.agents.get(agent_id.value);
  if (agent?.connection === undefined || agent.session === undefined) {
    // Not passed on: the agent repeats its update, and the framework acknowledges again.
    master.counters["master/invalid_status_update_acknowledgements"]++;
    return ACCEPTED;
  }
  master.counters["master/valid_status_update_acknowledgements"]++;
  onAcknowledged(master, framework, task_id.value, uuid);
  acknowledge(master, agent, { frameworkId: framework.id, taskId: task_id.value }, [uuid]);
  return ACCEPTED;
}

const subscriptionOf = (update: NonNullable<Call["update_framework"]>): Subscription => ({
  info: update.framework_info,
  suppressedRoles: update.suppressed_roles,
  offerConstraints: update.offer_constraints,
});

function onAcknowledgeOperation(master: Master, framework: FrameworkRecord, call: Call): CallAnswer {
  master.counters["master/messages_operation_status_update_acknowledgement"]++;
  const { agent_id, operation_id, uuid } = call.acknowledge_operation_status ?? {};
  const agent = agent_id === undefined ? undefined : master.agents.get(agent_id.value);
  if (agent === undefined || operation_id === undefined || uuid === undefined) return ACCEPTED;
  onOperationAcknowledged(master, framework, agent, { operationId: operation_id.value, uuid });
  return ACCEPTED;
}
