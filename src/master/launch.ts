// ACCEPT: offers checked first, all or nothing; then each task by itself. Every task of every ACCEPT gets exactly one of: a
// record in TASK_STAGING and an order, or one terminal update [M13].
import type { Millis } from "#base/time.ts";
import { idProblem, type AgentId, type OfferId } from "#protocol/ids.ts";
import type { Call } from "#protocol/scheduler.ts";
import type { TaskInfo, TaskStatusReason } from "#protocol/task.ts";
import {
  contains,
  fromResources,
  isEmpty,
  resourceProblem,
  type ResourceSet,
  subtract,
  sum,
} from "#resources/resources.ts";
import { decline, dropOffer, recover, refusalMs, removeOffer } from "./offers.ts";
import {
  give,
  summaryOf,
  tell,
  type AgentRecord,
  type FrameworkRecord,
  type Master,
  type OfferRecord,
} from "./state.ts";
import { addTask, masterStatus, stateFor } from "./tasks.ts";

type Accept = NonNullable<Call["accept"]>;

export function accept(master: Master, framework: FrameworkRecord, call: Accept, now: Millis): void {
  const offerIds = call.offer_ids.map((id) => id.value);
  const tasks = call.operations.flatMap((operation) => operation.launch?.task_infos ?? []);
  if (call.operations.length === 0) {
    decline(master, framework, offerIds, call.filters?.refuse_seconds, now);
    return;
  }
  const offers = checkOffers(master, framework, offerIds);
  if (offers.type === "refused") {
    for (const id of offerIds) {
      const offer = master.offers.get(id);
      if (offer !== undefined && offer.frameworkId === framework.id) removeOffer(master, offer, { rescind: false });
    }
    for (const task of tasks)
      refuseLaunch(master, framework, task, now, { reason: offers.reason, message: offers.message });
    return;
  }
  for (const offer of offers.offers) dropOffer(master, offer);
  let remaining = sum(offers.offers.map(({ resources }) => resources));
  for (const task of tasks) {
    const problem = taskProblem(framework, offers.agent.agentId, task, remaining);
    if (problem !== undefined) {
      const status = masterStatus(task.task_id.value, "TASK_ERROR", now, {
        agentId: task.agent_id.value,
        reason: "REASON_TASK_INVALID",
        message: problem,
      });
      tell(master, framework, { type: "UPDATE", update: { status } });
      continue;
    }
    remaining = subtract(remaining, fromResources(task.resources));
    addTask(master, framework, offers.agent, task, now);
    give(master, offers.agent, { type: "launch", framework: summaryOf(framework), task }, now);
  }
  const unused = { agentId: offers.agent.agentId, resources: remaining };
  recover(master, framework, unused, { refuseMs: refusalMs(call.filters?.refuse_seconds), firmMs: 0 }, now);
}

type OffersChecked =
  | { readonly type: "valid"; readonly offers: readonly OfferRecord[]; readonly agent: AgentRecord }
  | { readonly type: "refused"; readonly reason: TaskStatusReason; readonly message: string };

function checkOffers(master: Master, framework: FrameworkRecord, ids: readonly OfferId[]): OffersChecked {
  const invalid = (message: string): OffersChecked => ({ type: "refused", reason: "REASON_INVALID_OFFERS", message });
  if (ids.length === 0) return invalid("the call names no offer");
  if (new Set(ids).size !== ids.length) return invalid("the call names an offer twice");
  const offers: OfferRecord[] = [];
  for (const id of ids) {
    const offer = master.offers.get(id);
    if (offer === undefined || offer.frameworkId !== framework.id) return invalid(`offer ${id} is no longer valid`);
    offers.push(offer);
  }
  const agentId = offers[0]?.agentId;
  if (offers.some((offer) => offer.agentId !== agentId)) return invalid("the offers are of different agents");
  const agent = agentId === undefined ? undefined : master.agents.get(agentId);
  if (agent === undefined) return { type: "refused", reason: "REASON_AGENT_REMOVED", message: "the agent was removed" };
  if (agent.connection === undefined) {
    return { type: "refused", reason: "REASON_AGENT_DISCONNECTED", message: "the agent is disconnected" };
  }
  return { type: "valid", offers, agent };
}

function refuseLaunch(
  master: Master,
  framework: FrameworkRecord,
  task: TaskInfo,
  now: Millis,
  why: { readonly reason: TaskStatusReason; readonly message: string },
): void {
  const agentId = task.agent_id.value;
  const status = masterStatus(task.task_id.value, stateFor(framework, "TASK_DROPPED"), now, { agentId, ...why });
  tell(master, framework, { type: "UPDATE", update: { status } });
}

/** Longest description of one task, letters of JSON: it must fit a row, a frame and a report with room to spare. */
export const TASK_LETTERS_MAX = 192 * 1024;

const NOT_YET = ["executor", "container", "health_check", "check", "max_completion_time", "limits"] as const;

/** Why a task may not be launched, for people; undefined when it may. The checks of tasks-offers-and-operators §4.2, in order. */
export function taskProblem(
  framework: FrameworkRecord,
  agentId: AgentId,
  task: TaskInfo,
  remaining: ResourceSet,
): string | undefined {
  if (JSON.stringify(task).length > TASK_LETTERS_MAX)
    return `a task may have at most ${TASK_LETTERS_MAX} letters of JSON`;
  const badId = idProblem(task.task_id.value);
  if (badId !== undefined) return `task_id: ${badId}`;
  if (task.agent_id.value !== agentId) return `agent_id is ${task.agent_id.value}, but the offers are of ${agentId}`;
  if (framework.tasks.has(task.task_id.value))
    return `task_id ${task.task_id.value} is in use by a live task of this framework`;
  if (framework.unreachableTasks.has(task.task_id.value))
    return `task_id ${task.task_id.value} is in use by a task of this framework whose agent is unreachable`;
  if (task.resources.length === 0) return "a task needs resources";
  for (const resource of task.resources) {
    const problem = resourceProblem(resource);
    if (problem !== undefined) return `resource ${resource.name}: ${problem}`;
  }
  const wanted = fromResources(task.resources);
  if (isEmpty(wanted)) return "a task needs resources";
  if (!contains(remaining, wanted)) return "the task wants more than what is left of the offers";
  const unsupported = NOT_YET.find((field) => task[field] !== undefined);
  if (unsupported !== undefined) return `${unsupported} is not supported by this release: only command tasks run`;
  if (task.command === undefined) return "a task needs a command";
  if (task.command.uris.length > 0) return "command.uris is not supported by this release";
  if ((task.command.value ?? "") === "") return "command.value is missing";
  return commandProblem(task.command);
}

function commandProblem(command: NonNullable<TaskInfo["command"]>): string | undefined {
  for (const { name, value } of command.environment?.variables ?? []) {
    if (name === "" || /[=\u0000]/.test(name))
      return "environment: a variable's name may not be empty nor contain '=' or NUL";
    if (value === undefined) return `environment: ${name} has no value`;
    if (value.includes("\u0000")) return `environment: the value of ${name} contains NUL`;
  }
  const texts = [command.value ?? "", command.user ?? "", ...command.arguments];
  return texts.some((text) => text.includes("\u0000")) ? "command: NUL is not allowed" : undefined;
}
