// Operations on the registry: validated before they edit, so that a refusal changes nothing.
import type { Millis } from "#base/time.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { AgentId, HostKey, Principal } from "#protocol/ids.ts";

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

export type Refusal = "agent-already-admitted" | "agent-unknown";

export interface AuditedOperation {
  readonly operation: RegistryOperation;
  readonly audit: Audit;
}
