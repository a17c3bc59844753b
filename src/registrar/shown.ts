// The registry as it may be shown to people: without what ties an id to its host, and without anything of a secret. Whatever leaves for an
// endpoint goes through here, so that a new field is hidden until somebody adds it.
import { unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { CredentialRole } from "#protocol/credentials.ts";
import type { AgentId, FrameworkId, Principal } from "#protocol/ids.ts";
import type { Audit, RegistryOperation } from "./operations.ts";
import type { GoneAgent, QuotaConfig, Registry, Weight } from "./registry.ts";

export interface ShownRegistry {
  readonly admitted: readonly {
    readonly agentId: AgentId;
    readonly info: AgentInfo;
    readonly principal: Principal;
    readonly admittedAt: Millis;
  }[];
  readonly unreachable: readonly {
    readonly agentId: AgentId;
    readonly hostname: string;
    readonly principal: Principal;
    readonly admittedAt: Millis;
    readonly at: Millis;
  }[];
  readonly gone: readonly GoneAgent[];
  readonly registeredFrameworks: readonly {
    readonly frameworkId: FrameworkId;
    readonly principal: Principal;
    readonly failoverTimeoutMs: number;
  }[];
  readonly disconnectedFrameworks: readonly {
    readonly frameworkId: FrameworkId;
    readonly principal: Principal | undefined;
    readonly deadline: Millis;
  }[];
  readonly removedFrameworks: readonly { readonly frameworkId: FrameworkId; readonly at: Millis }[];
  readonly credentials: readonly {
    readonly principal: Principal;
    readonly role: CredentialRole;
    /** How many secrets are valid. */
    readonly verifiers: number;
  }[];
  readonly weights: readonly Weight[];
  readonly quotas: readonly QuotaConfig[];
}

export const shownRegistry = (registry: Registry): ShownRegistry => ({
  admitted: [...registry.admitted.values()].map(({ agentId, info, principal, admittedAt }) => ({
    agentId,
    info,
    principal,
    admittedAt,
  })),
  unreachable: [...registry.unreachable.values()].map(({ agentId, hostname, principal, admittedAt, at }) => ({
    agentId,
    hostname,
    principal,
    admittedAt,
    at,
  })),
  gone: [...registry.gone.values()].map(({ agentId, hostname, at }) => ({ agentId, hostname, at })),
  registeredFrameworks: [...registry.registeredFrameworks.values()].map(
    ({ frameworkId, principal, failoverTimeoutMs }) => ({ frameworkId, principal, failoverTimeoutMs }),
  ),
  disconnectedFrameworks: [...registry.disconnectedFrameworks.values()].map(({ frameworkId, principal, deadline }) => ({
    frameworkId,
    principal,
    deadline,
  })),
  removedFrameworks: [...registry.removedFrameworks.values()].map(({ frameworkId, at }) => ({ frameworkId, at })),
  credentials: [...registry.credentials.values()].map(({ principal, role, verifiers }) => ({
    principal,
    role,
    verifiers: verifiers.length,
  })),
  weights: [...registry.weights.values()].map(({ role, weight }) => ({ role, weight })),
  quotas: [...registry.quotas.values()].map(({ role, guarantees, limits }) => ({ role, guarantees, limits })),
});

/** What was done, with what, and to whom. */
export interface ShownOperation {
  readonly type: RegistryOperation["type"];
  readonly agentIds: readonly AgentId[];
  readonly frameworkId?: FrameworkId;
  readonly principal?: Principal;
  readonly role?: CredentialRole;
  readonly hostname?: string;
  readonly deadline?: Millis;
  readonly failoverTimeoutMs?: number;
  /** False in write-only mode. */
  readonly strict?: boolean;
  readonly weights?: readonly Weight[];
  /** One without guarantees and limits ended the role's quota. */
  readonly quotas?: readonly QuotaConfig[];
}
export interface ShownChange {
  readonly operation: ShownOperation;
  readonly audit: Audit;
}

export function shownOperation(operation: RegistryOperation): ShownOperation {
  const { type } = operation;
  switch (operation.type) {
    case "admit-agent":
    case "readmit-agent": {
      const { agentId, info, principal, strict } = operation;
      return { type, agentIds: [agentId], hostname: info.hostname, principal, strict };
    }
    case "mark-agent-reachable": {
      const { agentId, info, principal } = operation;
      return { type, agentIds: [agentId], hostname: info.hostname, principal };
    }
    case "update-agent":
      return { type, agentIds: [operation.agentId], hostname: operation.info.hostname };
    case "remove-agent":
      return { type, agentIds: [operation.agentId], strict: operation.strict };
    case "mark-agent-unreachable":
    case "mark-agent-gone":
      return { type, agentIds: [operation.agentId] };
    case "prune":
      return { type, agentIds: [...operation.unreachable, ...operation.gone] };
    case "register-framework": {
      const { frameworkId, principal, failoverTimeoutMs } = operation;
      return { type, agentIds: [], frameworkId, principal, failoverTimeoutMs };
    }
    case "disconnect-framework": {
      const { frameworkId, principal, deadline } = operation;
      return { type, agentIds: [], frameworkId, deadline, ...(principal === undefined ? {} : { principal }) };
    }
    case "reconnect-framework":
    case "remove-framework":
      return { type, agentIds: [], frameworkId: operation.frameworkId };
    case "set-credential":
      return { type, agentIds: [], principal: operation.principal, role: operation.role };
    case "revoke-credential":
      return { type, agentIds: [], principal: operation.principal };
    case "update-weights":
      return { type, agentIds: [], weights: operation.infos };
    case "update-quota":
      return { type, agentIds: [], quotas: operation.configs };
    default:
      return unreachable(operation);
  }
}
