// Operations on the registry: validated before they edit, so that a refusal changes nothing. Rules [R1] and [R2].
import { unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { AgentId, HostKey, Principal } from "#protocol/ids.ts";
import type { AdmittedAgent } from "./registry.ts";

/** Who asked for a change, when and why: each entry of the log is its own audit record. */
export interface Audit {
  readonly who: string;
  readonly when: Millis;
  readonly why: string;
}

export type RegistryOperation =
  | {
      readonly type: "admit-agent";
      readonly agentId: AgentId;
      readonly info: AgentInfo;
      readonly hostKey: HostKey;
      readonly principal: Principal;
    }
  /** Replaces the info of an admitted agent (Mesos: UpdateSlave). */
  | { readonly type: "update-agent"; readonly agentId: AgentId; readonly info: AgentInfo };

export type Refusal =
  | "agent-already-admitted"
  | "agent-unknown"
  /** Its text does not fit one entry of the log. */
  | "operation-too-large"
  /** It would not read back from the log as it was given: nobody may write what no candidate can replay. */
  | "operation-invalid"
  /** Too many operations wait already: come back later. */
  | "registrar-full";

export interface AuditedOperation {
  readonly operation: RegistryOperation;
  readonly audit: Audit;
}

/** Whether an operation changed the registry. "unchanged" is a success: the registry was already as asked. */
export type Applied =
  | { readonly type: "changed" }
  | { readonly type: "unchanged" }
  | { readonly type: "refused"; readonly reason: Refusal };

/** Where operations read and edit: the registry's own map, or a draft over it. */
export interface AdmittedTable {
  get(agentId: AgentId): AdmittedAgent | undefined;
  set(agentId: AgentId, agent: AdmittedAgent): unknown;
}

/** Applies one operation to `admitted`. The same operations in the same order give the same table on every candidate. */
export function applyOperation(admitted: AdmittedTable, { operation, audit }: AuditedOperation): Applied {
  switch (operation.type) {
    case "admit-agent": {
      const { agentId, info, hostKey, principal } = operation;
      if (admitted.get(agentId) !== undefined) return { type: "refused", reason: "agent-already-admitted" };
      admitted.set(agentId, { agentId, info, hostKey, principal, admittedAt: audit.when });
      return { type: "changed" };
    }
    case "update-agent": {
      const agent = admitted.get(operation.agentId);
      if (agent === undefined) return { type: "refused", reason: "agent-unknown" };
      if (JSON.stringify(agent.info) === JSON.stringify(operation.info)) return { type: "unchanged" };
      admitted.set(operation.agentId, { ...agent, info: operation.info });
      return { type: "changed" };
    }
    default:
      return unreachable(operation);
  }
}
