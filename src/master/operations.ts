// Operations on resources that an agent carries out: from the order to the last acknowledgement (http-api-v1 §5.10, §5.14). The
// agent repeats its update until somebody has it: the framework, if it gave the operation an id, else the master.
import type { Millis } from "#base/time.ts";
import type { AgentMessage, ResourceOperation } from "#protocol/agent.ts";
import type { AgentId, FrameworkId, OperationUuid } from "#protocol/ids.ts";
import type { OperationState, OperationStatus } from "#protocol/operation.ts";
import { reply } from "./sockets.ts";
import type { AgentRecord, FrameworkRecord, Master, OperationRecord } from "./state.ts";
import { give, tell } from "./effects.ts";

export type OperationUpdate = Extract<AgentMessage, { type: "operation-updates" }>["updates"][number];
export type OperationReport = NonNullable<Extract<AgentMessage, { type: "register" }>["operations"]>[number];

/** Enters an operation into the books and orders it. */
export function orderOperation(
  master: Master,
  agent: AgentRecord,
  asked: {
    readonly uuid: OperationUuid;
    readonly frameworkId: FrameworkId | undefined;
    readonly operationId: string | undefined;
    readonly operation: ResourceOperation;
  },
  now: Millis,
): void {
  agent.operations.set(asked.uuid, { ...asked, agentId: agent.agentId, status: undefined });
  master.marked.agents.add(agent.agentId);
  const { uuid, frameworkId, operationId, operation } = asked;
  give(master, agent, { type: "operation", operationUuid: uuid, frameworkId, operationId, operation }, now);
}

/** A status that the master makes: no uuid, told once, not acknowledged. */
export function operationStatus(
  state: OperationState,
  of: { readonly operationId: string | undefined; readonly agentId: AgentId | undefined },
  message: string,
): OperationStatus {
  return {
    state,
    message,
    converted_resources: [],
    ...(of.operationId === undefined ? {} : { operation_id: { value: of.operationId } }),
    ...(of.agentId === undefined ? {} : { agent_id: { value: of.agentId } }),
  };
}

export function tellOperation(master: Master, framework: FrameworkRecord | undefined, status: OperationStatus): void {
  // Without an id the framework did not ask to hear of it.
  if (framework === undefined || status.operation_id === undefined) return;
  tell(master, framework, { type: "UPDATE_OPERATION_STATUS", update_operation_status: { status } });
}

/** What the agent says of an operation, whether it says so now or when it registers. */
export function onOperationUpdate(master: Master, agent: AgentRecord, update: OperationUpdate): void {
  const { operationUuid, frameworkId, operationId, status } = update;
  const known = agent.operations.get(operationUuid);
  const framework = frameworkId === undefined ? undefined : master.frameworks.get(frameworkId);
  const isHeard = operationId !== undefined && framework !== undefined && framework.status.state !== "removed";
  if (!isHeard) {
    // Nobody else is there who could acknowledge it. A framework that is not here yet may come: the agent repeats.
    const mayCome = operationId !== undefined && frameworkId !== undefined && !isOver(master, frameworkId);
    if (mayCome) return;
    agent.operations.delete(operationUuid);
    master.marked.agents.add(agent.agentId);
    acknowledgeOperation(master, agent, operationUuid, status.uuid?.value);
    return;
  }
  const told: OperationStatus = { ...status, operation_id: { value: operationId }, agent_id: { value: agent.agentId } };
  if (known !== undefined) {
    known.status = told;
    master.marked.agents.add(agent.agentId);
  }
  tellOperation(master, framework, told);
}

const isOver = (master: Master, frameworkId: FrameworkId): boolean =>
  master.frameworks.get(frameworkId)?.status.state === "removed" ||
  master.registry.removedFrameworks.has(frameworkId) ||
  master.completedFrameworks.some(({ id }) => id === frameworkId);

/** The framework has the update. */
export function onOperationAcknowledged(
  master: Master,
  framework: FrameworkRecord,
  agent: AgentRecord,
  { operationId, uuid }: { readonly operationId: string; readonly uuid: string },
): void {
  for (const record of agent.operations.values()) {
    if (
      record.frameworkId !== framework.id ||
      record.operationId !== operationId ||
      record.status?.uuid?.value !== uuid
    )
      continue;
    agent.operations.delete(record.uuid);
    master.marked.agents.add(agent.agentId);
    acknowledgeOperation(master, agent, record.uuid, uuid);
    return;
  }
}

function acknowledgeOperation(
  master: Master,
  agent: AgentRecord,
  operationUuid: OperationUuid,
  uuid: string | undefined,
): void {
  if (agent.connection === undefined || agent.session === undefined || uuid === undefined) return;
  reply(master, agent.connection, {
    type: "acknowledge-operations",
    epoch: master.epoch,
    session: agent.session,
    acknowledgements: [{ operationUuid, uuid }],
  });
}

/**
 * A registration's report. The agent is right about its operations, as about its tasks: one that it did not act upon was dropped, one
 * that it does not know any more was acknowledged, or its disk is older than that.
 */
export function reconcileOperations(
  master: Master,
  agent: AgentRecord,
  reports: readonly OperationReport[],
  neverActed: ReadonlySet<string>,
): void {
  const reported = new Set(reports.map(({ operationUuid }) => operationUuid));
  for (const record of [...agent.operations.values()]) {
    if (reported.has(record.uuid)) continue;
    agent.operations.delete(record.uuid);
    const framework = record.frameworkId === undefined ? undefined : master.frameworks.get(record.frameworkId);
    const status = neverActed.has(record.uuid)
      ? operationStatus(
          "OPERATION_DROPPED",
          record,
          "The agent registered again without having received this operation",
        )
      : operationStatus("OPERATION_UNKNOWN", record, "The agent registered again and does not know this operation");
    tellOperation(master, framework, status);
  }
  for (const report of reports) {
    const { operationUuid: uuid, frameworkId, operationId, operation, status } = report;
    if (!agent.operations.has(uuid)) {
      agent.operations.set(uuid, {
        uuid,
        agentId: agent.agentId,
        frameworkId,
        operationId,
        operation,
        status: undefined,
      });
    }
    onOperationUpdate(master, agent, { operationUuid: uuid, frameworkId, operationId, status });
  }
  master.marked.agents.add(agent.agentId);
}

/** The agent has been given up, for now or for ever: what was told of it, and what it will say, comes with its return. */
export function leaveOperations(master: Master, agent: AgentRecord, state: OperationState, message: string): void {
  for (const record of agent.operations.values()) {
    const framework = record.frameworkId === undefined ? undefined : master.frameworks.get(record.frameworkId);
    tellOperation(master, framework, operationStatus(state, record, message));
  }
}

export interface OperationQuery {
  readonly operationId: string;
  readonly agentId: AgentId | undefined;
}

/** RECONCILE_OPERATIONS: the newest status of each, or what the absence of its agent means. */
export function reconcileOperationQueries(
  master: Master,
  framework: FrameworkRecord,
  queries: readonly OperationQuery[],
): void {
  const mine = [...master.agents.values()].flatMap(({ operations }) =>
    [...operations.values()].filter(
      ({ frameworkId, operationId }) => frameworkId === framework.id && operationId !== undefined,
    ),
  );
  if (queries.length === 0) {
    for (const record of mine) tellOperation(master, framework, latestOf(record));
    return;
  }
  const byId = new Map(mine.map((record) => [record.operationId, record]));
  for (const query of queries) {
    const record = byId.get(query.operationId);
    const status = record === undefined ? unknownOperation(master, query) : latestOf(record);
    tellOperation(master, framework, status);
  }
}

/** As it was last passed on, without its uuid: an answer is not acknowledged. */
function latestOf(record: OperationRecord): OperationStatus {
  if (record.status === undefined)
    return operationStatus("OPERATION_PENDING", record, "Reconciliation: the agent has not carried it out yet");
  const { uuid: _, ...status } = record.status;
  return status;
}

function unknownOperation({ agents, recovered, registry }: Master, query: OperationQuery): OperationStatus {
  const { agentId } = query;
  const agent = agentId === undefined ? undefined : agents.get(agentId);
  const isExpected = agentId === undefined ? recovered.size > 0 : agent !== undefined && agent.session === undefined;
  if (isExpected)
    return operationStatus("OPERATION_RECOVERING", query, "Reconciliation: the agent has not registered yet");
  if (agentId !== undefined && registry.unreachable.has(agentId))
    return operationStatus("OPERATION_UNREACHABLE", query, "Reconciliation: the agent is unreachable");
  if (agentId !== undefined && registry.gone.has(agentId))
    return operationStatus("OPERATION_GONE_BY_OPERATOR", query, "Reconciliation: the agent was marked gone");
  return operationStatus("OPERATION_UNKNOWN", query, "Reconciliation: the operation is unknown");
}
