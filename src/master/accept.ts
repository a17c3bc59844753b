// ACCEPT: the offers first, all or nothing; then its operations in order, each by itself, upon what is left of the offers. Every task
// of every ACCEPT gets exactly one of: a record in TASK_STAGING and an order, or one terminal update [M13].
import { assert, present } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { ResourceOperation } from "#protocol/agent.ts";
import { idProblem, type AgentId, type OfferId } from "#protocol/ids.ts";
import type { Operation } from "#protocol/operation.ts";
import type { Resource } from "#protocol/resource.ts";
import type { Call } from "#protocol/scheduler.ts";
import { isTerminal, type ExecutorInfo, type TaskInfo, type TaskState, type TaskStatusReason } from "#protocol/task.ts";
import { convert, volumeKeys } from "#resources/conversion.ts";
import { isEmpty, type ResourceSet, subtract, sum } from "#resources/resources.ts";
import { convertAllocated, recover } from "./allocation.ts";
import { addExecutor, liveExecutor } from "./executors.ts";
import { checkOperation } from "./operation-checks.ts";
import { operationStatus, orderOperation, tellOperation } from "./operations.ts";
import { decline, dropOffer, refusal, removeOffer } from "./offers.ts";
import { checkGroup, checkTask, type LaunchContext, withoutAllocation } from "./task-checks.ts";
import { summaryOf, type AgentRecord, type FrameworkRecord, type Ids, type Master, type OfferRecord } from "./state.ts";
import { give, tell } from "./effects.ts";
import { addTask, masterStatus, stateFor } from "./tasks.ts";

type Accept = NonNullable<Call["accept"]>;

/** What one ACCEPT works on. */
interface Acceptance {
  readonly master: Master;
  readonly framework: FrameworkRecord;
  readonly agent: AgentRecord;
  readonly role: string;
  /** What is left of the offers for the operations to come. */
  remaining: ResourceSet;
  /** Ids of the framework's operations, on whatever agent; undefined until one is asked for. */
  operationIds: Set<string> | undefined;
  readonly ids: Ids;
  readonly now: Millis;
}

export function accept(master: Master, framework: FrameworkRecord, call: Accept, ids: Ids, now: Millis): void {
  const offerIds = call.offer_ids.map((id) => id.value);
  if (call.operations.length === 0) {
    decline(master, framework, offerIds, call.filters?.refuse_seconds, now);
    return;
  }
  const checked = checkOffers(master, framework, offerIds);
  if (checked.type === "refused") {
    for (const id of offerIds) {
      const offer = master.offers.get(id);
      // [M12] Nobody discards what was offered to somebody else.
      if (offer?.frameworkId === framework.id) removeOffer(master, offer, { rescind: false });
    }
    refuseAll(master, framework, call.operations, checked, now);
    return;
  }
  const { offers, agent, role } = checked;
  for (const offer of offers) dropOffer(master, offer);
  const offered = sum(offers.map(({ resources }) => resources));
  const acceptance: Acceptance = {
    master,
    framework,
    agent,
    role,
    remaining: offered,
    operationIds: undefined,
    ids,
    now,
  };
  const held: ResourceSet[] = [];
  for (const operation of call.operations) {
    const resized = apply(acceptance, operation);
    if (resized !== undefined) held.push(resized);
  }
  const unused = sum([acceptance.remaining, ...held]);
  if (isEmpty(unused)) return;
  const filter = refusal(call.filters?.refuse_seconds, now);
  recover(master, { agentId: agent.agentId, frameworkId: framework.id, role, resources: unused }, filter);
}

type OffersChecked =
  | {
      readonly type: "valid";
      readonly offers: readonly OfferRecord[];
      readonly agent: AgentRecord;
      readonly role: string;
    }
  | { readonly type: "refused"; readonly reason: TaskStatusReason; readonly message: string };

function checkOffers(master: Master, framework: FrameworkRecord, ids: readonly OfferId[]): OffersChecked {
  const invalid = (message: string): OffersChecked => ({ type: "refused", reason: "REASON_INVALID_OFFERS", message });
  const offers: OfferRecord[] = [];
  for (const id of ids) {
    const offer = master.offers.get(id);
    if (offer === undefined || offer.frameworkId !== framework.id) return invalid(`offer ${id} is no longer valid`);
    offers.push(offer);
  }
  const [first] = offers;
  if (first === undefined) return invalid("the call names no offer");
  if (offers.some(({ agentId }) => agentId !== first.agentId)) return invalid("the offers are of different agents");
  if (offers.some(({ role }) => role !== first.role)) return invalid("the offers are of different roles");
  if (new Set(ids).size !== ids.length) return invalid("the call names an offer twice");
  const agent = master.agents.get(first.agentId);
  if (agent === undefined) return { type: "refused", reason: "REASON_AGENT_REMOVED", message: "the agent was removed" };
  if (agent.connection === undefined) {
    return { type: "refused", reason: "REASON_AGENT_DISCONNECTED", message: "the agent is disconnected" };
  }
  return { type: "valid", offers, agent, role: first.role };
}

/** The offers do not stand: nothing of the call is done, and each part of it is answered. */
function refuseAll(
  master: Master,
  framework: FrameworkRecord,
  operations: readonly Operation[],
  why: { readonly reason: TaskStatusReason; readonly message: string },
  now: Millis,
): void {
  for (const operation of operations) {
    for (const task of tasksIn(operation))
      refuseTask(master, framework, task, stateFor(framework, "TASK_DROPPED"), why, now);
    if (operation.type === "LAUNCH" || operation.type === "LAUNCH_GROUP") continue;
    const of = { operationId: operation.id?.value, agentId: undefined };
    tellOperation(master, framework, operationStatus("OPERATION_ERROR", of, why.message));
  }
}

const tasksIn = ({ type, launch, launch_group }: Operation): readonly TaskInfo[] =>
  type === "LAUNCH"
    ? (launch?.task_infos ?? [])
    : type === "LAUNCH_GROUP"
      ? (launch_group?.task_group.tasks ?? [])
      : [];

function refuseTask(
  master: Master,
  framework: FrameworkRecord,
  task: TaskInfo,
  state: TaskState,
  why: { readonly reason: TaskStatusReason; readonly message: string },
  now: Millis,
): void {
  const status = masterStatus(task.task_id.value, state, now, { agentId: task.agent_id.value, ...why });
  if (state === "TASK_ERROR") master.counters["master/tasks_error"]++;
  tell(master, framework, { type: "UPDATE", update: { status } });
}

/** Applies one operation. What it returns belongs to the offers, but no later operation of this call may use it. */
function apply(acceptance: Acceptance, operation: Operation): ResourceSet | undefined {
  switch (operation.type) {
    case "LAUNCH":
      launch(acceptance, operation);
      return undefined;
    case "LAUNCH_GROUP":
      launchGroup(acceptance, operation);
      return undefined;
    case "UNKNOWN":
      return undefined;
    default:
      return convertResources(acceptance, operation);
  }
}

/** Operation ids are for operations with news of their own; a launch's news are its tasks'. */
const LAUNCH_ID = { reason: "REASON_TASK_INVALID", message: "a launch may not have an operation id" } as const;

function launch(acceptance: Acceptance, operation: Operation): void {
  const { master, framework, agent, role, now } = acceptance;
  for (const task of operation.launch?.task_infos ?? []) {
    if (operation.id !== undefined) {
      refuseTask(master, framework, task, "TASK_ERROR", LAUNCH_ID, now);
      continue;
    }
    const checked = checkTask(task, contextOf(acceptance));
    if (checked.type === "invalid") {
      const why = { reason: "REASON_TASK_INVALID", message: checked.message } as const;
      refuseTask(master, framework, task, "TASK_ERROR", why, now);
      continue;
    }
    const { executor } = task;
    const isNew = executor !== undefined && liveExecutor(agent, framework.id, executor.executor_id.value) === undefined;
    const info: TaskInfo = {
      ...task,
      resources: allocatedTo(task.resources, role),
      ...(executor === undefined ? {} : { executor: ownedBy(executor, framework, role) }),
    };
    if (isNew && info.executor !== undefined) {
      addExecutor(master, agent, { frameworkId: framework.id, info: info.executor, role });
    }
    acceptance.remaining = subtract(subtract(acceptance.remaining, checked.resources), checked.executorResources);
    addTask(master, framework, agent, info, now);
    give(master, agent, { type: "launch", framework: summaryOf(framework), task: info }, now);
  }
}

function launchGroup(acceptance: Acceptance, operation: Operation): void {
  const { master, framework, agent, role, now } = acceptance;
  const { executor, task_group: group } = operation.launch_group ?? {};
  if (executor === undefined || group === undefined) return;
  const refuse = (message: string): void => {
    const why = { reason: "REASON_TASK_GROUP_INVALID", message } as const;
    for (const task of group.tasks) refuseTask(master, framework, task, "TASK_ERROR", why, now);
  };
  if (operation.id !== undefined) return refuse(LAUNCH_ID.message);
  const checked = checkGroup(executor, group.tasks, contextOf(acceptance));
  if (checked.type === "invalid") return refuse(checked.message);
  const own = ownedBy(executor, framework, role);
  const live = liveExecutor(agent, framework.id, executor.executor_id.value);
  if (live === undefined) addExecutor(master, agent, { frameworkId: framework.id, info: own, role });
  const tasks = group.tasks.map((task) => ({ ...task, executor: own, resources: allocatedTo(task.resources, role) }));
  acceptance.remaining = subtract(acceptance.remaining, sum([...checked.resources, checked.executorResources]));
  for (const info of tasks) addTask(master, framework, agent, info, now);
  give(master, agent, { type: "launch-group", framework: summaryOf(framework), executor: own, tasks }, now);
}

function contextOf({ framework, agent, role, remaining }: Acceptance): LaunchContext {
  return {
    frameworkId: framework.id,
    agentId: agent.agentId,
    agentCapabilities: agent.info.capabilities ?? [],
    role,
    taskInUse: (id) =>
      framework.tasks.has(id) ? "live" : framework.unreachableTasks.has(id) ? "unreachable" : undefined,
    liveExecutor: (id) => liveExecutor(agent, framework.id, id)?.info,
    remaining,
  };
}

const allocatedTo = (resources: readonly Resource[], role: string): Resource[] =>
  resources.map((resource) => ({ ...resource, allocation_info: { role } }));

const ownedBy = (executor: ExecutorInfo, framework: FrameworkRecord, role: string): ExecutorInfo => ({
  ...executor,
  framework_id: { value: framework.id },
  resources: allocatedTo(executor.resources, role),
});

/** RESERVE and its kin: the books at once, the agent by an order behind which a launch may rely on it. */
function convertResources(acceptance: Acceptance, operation: Operation): ResourceSet | undefined {
  const { master, framework, agent, role, ids, now } = acceptance;
  const { agentId } = agent;
  const operationId = operation.id?.value;
  const refuse = (message: string): undefined => {
    tellOperation(master, framework, operationStatus("OPERATION_ERROR", { operationId, agentId }, message));
  };
  const badId = operationId === undefined ? undefined : idProblem(operationId);
  if (badId !== undefined) return refuse(`operation id: ${badId}`);
  const idsInUse =
    operationId === undefined ? undefined : (acceptance.operationIds ??= operationIdsOf(master, framework));
  if (operationId !== undefined && idsInUse?.has(operationId) === true)
    return refuse(`operation id '${operationId}' is in use by an operation of this framework`);
  const wanted = resourceOperation(operation);
  if (typeof wanted === "string") return refuse(wanted);
  const checked = checkOperation(wanted, {
    principal: framework.principal,
    role,
    agentCapabilities: agent.info.capabilities ?? [],
    total: agent.total,
    remaining: acceptance.remaining,
    isVolumeInUse: (key) => isVolumeInUse(master, agentId, key),
  });
  if (checked.type === "invalid") return refuse(checked.message);
  const { conversion } = checked;
  const total = present(convert(agent.total, conversion), "what was offered is part of the agent");
  assert(
    convertAllocated(master, { agentId, frameworkId: framework.id, role, conversion }),
    "what was offered is allocated",
  );
  agent.total = total;
  master.marked.agents.add(agentId);
  orderOperation(
    master,
    agent,
    { uuid: ids.operationUuid(), frameworkId: framework.id, operationId, operation: wanted },
    now,
  );
  if (operationId !== undefined) idsInUse?.add(operationId);
  acceptance.remaining = subtract(acceptance.remaining, conversion.consumed);
  if (wanted.type === "GROW_VOLUME" || wanted.type === "SHRINK_VOLUME") return conversion.converted;
  acceptance.remaining = sum([acceptance.remaining, conversion.converted]);
  return undefined;
}

function operationIdsOf({ agents }: Master, framework: FrameworkRecord): Set<string> {
  const ids = new Set<string>();
  for (const { operations } of agents.values()) {
    for (const { frameworkId, operationId } of operations.values())
      if (frameworkId === framework.id && operationId !== undefined) ids.add(operationId);
  }
  return ids;
}

function isVolumeInUse(master: Master, agentId: AgentId, key: string): boolean {
  // One that has ended stays in the books until that is acknowledged, and holds nothing.
  for (const task of master.tasksByAgent.get(agentId) ?? [])
    if (!isTerminal(task.latest) && volumeKeys(task.resources).has(key)) return true;
  const executors = master.agents.get(agentId)?.executors.values() ?? [];
  for (const { resources } of executors) if (volumeKeys(resources).has(key)) return true;
  return false;
}

/** An operation of the API as one on resources; text says why it is none. */
function resourceOperation(operation: Operation): ResourceOperation | string {
  const { type } = operation;
  const missing = `${type}: '${type.toLowerCase()}' is missing`;
  switch (type) {
    case "RESERVE": {
      const { reserve } = operation;
      if (reserve === undefined) return missing;
      if (reserve.source.length > 0) return "RESERVE: 'source' is for operators only";
      return { type, resources: reserve.resources.map(withoutAllocation) };
    }
    case "UNRESERVE":
      return operation.unreserve === undefined
        ? missing
        : { type, resources: operation.unreserve.resources.map(withoutAllocation) };
    case "CREATE":
      return operation.create === undefined
        ? missing
        : { type, volumes: operation.create.volumes.map(withoutAllocation) };
    case "DESTROY":
      return operation.destroy === undefined
        ? missing
        : { type, volumes: operation.destroy.volumes.map(withoutAllocation) };
    case "GROW_VOLUME": {
      const { grow_volume: grow } = operation;
      if (grow === undefined) return missing;
      return { type, volume: withoutAllocation(grow.volume), addition: withoutAllocation(grow.addition) };
    }
    case "SHRINK_VOLUME": {
      const { shrink_volume: shrink } = operation;
      if (shrink === undefined) return missing;
      return { type, volume: withoutAllocation(shrink.volume), subtractMb: shrink.subtract.value };
    }
    default:
      return `${type} needs a storage provider, which this plane does not have`;
  }
}
