// Operations on the registry: validated before they edit, so that a refusal changes nothing. Rules [R1], [R2], [R17] to [R20]
// and [R29] to [R31].
import { unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { CredentialRole } from "#protocol/credentials.ts";
import type { AgentId, FrameworkId, HostKey, Principal } from "#protocol/ids.ts";
import {
  ADMITTED_AGENTS_MAX,
  type AdmittedAgent,
  CREDENTIALS_MAX,
  QUOTAS_MAX,
  type QuotaConfig,
  REGISTERED_FRAMEWORKS_MAX,
  type RegistryTables,
  REMOVED_FRAMEWORKS_MAX,
  type StoredCredential,
  type StoredVerifier,
  type Table,
  VERIFIERS_MAX,
  type Weight,
  WEIGHTS_MAX,
} from "./registry.ts";

/** Who asked for a change, when and why: each entry of the log is its own audit record. */
export interface Audit {
  readonly who: string;
  readonly when: Millis;
  readonly why: string;
}

/** An agent as it describes itself, and the host that it is bound to. */
interface Described {
  readonly agentId: AgentId;
  readonly info: AgentInfo;
  readonly hostKey: HostKey;
  readonly principal: Principal;
}
/** False in write-only mode: what contradicts the registry is no reason to refuse. Part of the operation, so that a replay needs no configuration. */
interface Strictness {
  readonly strict: boolean;
}

export type RegistryOperation =
  /** A new agent (Mesos: AdmitSlave). */
  | ({ readonly type: "admit-agent" } & Described & Strictness)
  /** An agent that says it was admitted (Mesos: ReadmitSlave). */
  | ({ readonly type: "readmit-agent" } & Described & Strictness)
  /** Replaces the info of an admitted agent (Mesos: UpdateSlave). */
  | { readonly type: "update-agent"; readonly agentId: AgentId; readonly info: AgentInfo }
  /** Forgets an agent: its id is unknown from now on (Mesos: RemoveSlave). */
  | ({ readonly type: "remove-agent"; readonly agentId: AgentId } & Strictness)
  | { readonly type: "mark-agent-unreachable"; readonly agentId: AgentId }
  | ({ readonly type: "mark-agent-reachable" } & Described)
  | { readonly type: "mark-agent-gone"; readonly agentId: AgentId }
  /** Ids that are there no more are passed over: of two leaders both may have wanted it. */
  | { readonly type: "prune"; readonly unreachable: readonly AgentId[]; readonly gone: readonly AgentId[] }
  /** Whose the id is, from now on until it is removed; again when the timeout is another. */
  | {
      readonly type: "register-framework";
      readonly frameworkId: FrameworkId;
      readonly principal: Principal;
      readonly failoverTimeoutMs: number;
    }
  | {
      readonly type: "disconnect-framework";
      readonly frameworkId: FrameworkId;
      readonly principal?: Principal | undefined;
      readonly deadline: Millis;
    }
  | { readonly type: "reconnect-framework"; readonly frameworkId: FrameworkId }
  | { readonly type: "remove-framework"; readonly frameworkId: FrameworkId }
  | {
      readonly type: "set-credential";
      readonly principal: Principal;
      readonly role: CredentialRole;
      readonly verifier: StoredVerifier;
    }
  | { readonly type: "revoke-credential"; readonly principal: Principal }
  /** Of several roles, all or none. Other roles keep theirs. */
  | { readonly type: "update-weights"; readonly infos: readonly Weight[] }
  /** Of several roles, all or none. A config without guarantees and limits ends the role's quota. */
  | { readonly type: "update-quota"; readonly configs: readonly QuotaConfig[] };

export type Refusal =
  | "agent-already-admitted"
  /** Neither admitted nor unreachable: it was removed, pruned, or was never here. */
  | "agent-unknown"
  | "agent-unreachable"
  | "agent-gone"
  | "framework-removed"
  /** Its id belongs to another principal. */
  | "framework-of-another"
  | "credential-unknown"
  /** As many are there already as the table may hold: see the bounds in registry.ts. */
  | "registry-full"
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

const CHANGED: Applied = { type: "changed" };
const UNCHANGED: Applied = { type: "unchanged" };
const refused = (reason: Refusal): Applied => ({ type: "refused", reason });

/** Applies one operation. The same operations in the same order give the same registry on every candidate. */
export function applyOperation(tables: RegistryTables, { operation, audit }: AuditedOperation): Applied {
  switch (operation.type) {
    case "admit-agent": {
      const known = whereIs(tables, operation.agentId);
      if (known === undefined) return admit(tables, operation, audit.when);
      if (known === "agent-gone") return refused(known);
      if (operation.strict) return refused(known);
      // [R18] Write-only: what is there already is no reason to refuse, and none to change it.
      return known === "agent-already-admitted" ? UNCHANGED : readmit(tables, operation, audit.when);
    }
    case "readmit-agent": {
      const known = whereIs(tables, operation.agentId);
      if (known === "agent-gone") return refused(known);
      if (known !== "agent-already-admitted" && operation.strict) return refused(known ?? "agent-unknown");
      return readmit(tables, operation, audit.when);
    }
    case "update-agent":
      return update(tables, operation.agentId, operation.info);
    case "remove-agent": {
      const { agentId } = operation;
      const { admitted, unreachable: away } = tables;
      if (admitted.get(agentId) === undefined && away.get(agentId) === undefined) {
        return operation.strict ? refused(whereIs(tables, agentId) ?? "agent-unknown") : UNCHANGED;
      }
      admitted.delete(agentId);
      away.delete(agentId);
      return CHANGED;
    }
    case "mark-agent-unreachable": {
      const agent = tables.admitted.get(operation.agentId);
      if (agent === undefined) return refused(whereIs(tables, operation.agentId) ?? "agent-unknown");
      const { agentId, hostKey, principal, admittedAt } = agent;
      const { hostname } = agent.info;
      tables.admitted.delete(agentId);
      tables.unreachable.set(agentId, { agentId, hostname, hostKey, principal, admittedAt, at: audit.when });
      return CHANGED;
    }
    case "mark-agent-reachable": {
      const known = whereIs(tables, operation.agentId);
      if (known === "agent-gone" || known === undefined) return refused(known ?? "agent-unknown");
      return readmit(tables, operation, audit.when);
    }
    case "mark-agent-gone": {
      const { agentId } = operation;
      const hostname = tables.admitted.get(agentId)?.info.hostname ?? tables.unreachable.get(agentId)?.hostname;
      if (hostname === undefined) return refused(whereIs(tables, agentId) ?? "agent-unknown");
      tables.admitted.delete(agentId);
      tables.unreachable.delete(agentId);
      tables.gone.set(agentId, { agentId, hostname, at: audit.when });
      return CHANGED;
    }
    case "prune": {
      const before = tables.unreachable.size + tables.gone.size;
      for (const agentId of operation.unreachable) tables.unreachable.delete(agentId);
      for (const agentId of operation.gone) tables.gone.delete(agentId);
      return tables.unreachable.size + tables.gone.size === before ? UNCHANGED : CHANGED;
    }
    case "register-framework":
      return registerFramework(tables, operation);
    case "disconnect-framework": {
      const { frameworkId, principal, deadline } = operation;
      if (tables.removedFrameworks.get(frameworkId) !== undefined) return refused("framework-removed");
      if (tables.disconnectedFrameworks.get(frameworkId)?.deadline === deadline) return UNCHANGED;
      tables.disconnectedFrameworks.set(frameworkId, { state: "disconnected", frameworkId, principal, deadline });
      return CHANGED;
    }
    case "reconnect-framework": {
      const { frameworkId } = operation;
      if (tables.removedFrameworks.get(frameworkId) !== undefined) return refused("framework-removed");
      if (tables.disconnectedFrameworks.get(frameworkId) === undefined) return UNCHANGED;
      tables.disconnectedFrameworks.delete(frameworkId);
      return CHANGED;
    }
    case "remove-framework":
      return removeFramework(tables, operation.frameworkId, audit.when);
    case "set-credential": {
      const { principal, role, verifier } = operation;
      const before = tables.credentials.get(principal);
      if (before === undefined && tables.credentials.size >= CREDENTIALS_MAX) return refused("registry-full");
      const older = (before?.verifiers ?? []).filter(({ storedKey }) => storedKey !== verifier.storedKey);
      const after: StoredCredential = { principal, role, verifiers: [verifier, ...older].slice(0, VERIFIERS_MAX) };
      if (JSON.stringify(after) === JSON.stringify(before)) return UNCHANGED;
      tables.credentials.set(principal, after);
      return CHANGED;
    }
    case "revoke-credential": {
      if (tables.credentials.get(operation.principal) === undefined) return refused("credential-unknown");
      tables.credentials.delete(operation.principal);
      return CHANGED;
    }
    case "update-weights":
      return put(tables.weights, new Map(operation.infos.map((info) => [info.role, info])), WEIGHTS_MAX);
    case "update-quota": {
      const after = operation.configs.map((config) => [config.role, isNoQuota(config) ? undefined : config] as const);
      return put(tables.quotas, new Map(after), QUOTAS_MAX);
    }
    default:
      return unreachable(operation);
  }
}

/** The refusal that names where an id is; undefined when it is nowhere. */
function whereIs({ admitted, unreachable: away, gone }: RegistryTables, agentId: AgentId): Refusal | undefined {
  if (admitted.get(agentId) !== undefined) return "agent-already-admitted";
  if (away.get(agentId) !== undefined) return "agent-unreachable";
  return gone.get(agentId) === undefined ? undefined : "agent-gone";
}

function admit(
  { admitted }: RegistryTables,
  { agentId, info, hostKey, principal }: Described,
  admittedAt: Millis,
): Applied {
  if (admitted.size >= ADMITTED_AGENTS_MAX) return refused("registry-full");
  admitted.set(agentId, { agentId, info, hostKey, principal, admittedAt });
  return CHANGED;
}

/** Admits an agent that was admitted before, wherever it is now. It stays as old as it was. */
function readmit(tables: RegistryTables, agent: Described, now: Millis): Applied {
  if (tables.admitted.get(agent.agentId) !== undefined) return update(tables, agent.agentId, agent.info);
  const away = tables.unreachable.get(agent.agentId);
  const applied = admit(tables, agent, away?.admittedAt ?? now);
  if (applied.type === "changed") tables.unreachable.delete(agent.agentId);
  return applied;
}

function update(tables: RegistryTables, agentId: AgentId, info: AgentInfo): Applied {
  const agent: AdmittedAgent | undefined = tables.admitted.get(agentId);
  if (agent === undefined) return refused(whereIs(tables, agentId) ?? "agent-unknown");
  if (JSON.stringify(agent.info) === JSON.stringify(info)) return UNCHANGED;
  tables.admitted.set(agentId, { ...agent, info });
  return CHANGED;
}

function registerFramework(
  { registeredFrameworks, disconnectedFrameworks, removedFrameworks }: RegistryTables,
  { frameworkId, principal, failoverTimeoutMs }: Extract<RegistryOperation, { type: "register-framework" }>,
): Applied {
  if (removedFrameworks.get(frameworkId) !== undefined) return refused("framework-removed");
  const known = registeredFrameworks.get(frameworkId);
  // The deadline is from before frameworks were registered, or from before this one was.
  const owner = known?.principal ?? disconnectedFrameworks.get(frameworkId)?.principal;
  if (owner !== undefined && owner !== principal) return refused("framework-of-another");
  if (known?.failoverTimeoutMs === failoverTimeoutMs) return UNCHANGED;
  if (known === undefined && registeredFrameworks.size >= REGISTERED_FRAMEWORKS_MAX) return refused("registry-full");
  registeredFrameworks.set(frameworkId, { state: "registered", frameworkId, principal, failoverTimeoutMs });
  return CHANGED;
}

function removeFramework(tables: RegistryTables, frameworkId: FrameworkId, at: Millis): Applied {
  const { removedFrameworks, disconnectedFrameworks, registeredFrameworks } = tables;
  if (removedFrameworks.get(frameworkId) !== undefined) return UNCHANGED;
  disconnectedFrameworks.delete(frameworkId);
  registeredFrameworks.delete(frameworkId);
  removedFrameworks.set(frameworkId, { state: "removed", frameworkId, at });
  const oldest = removedFrameworks.first();
  if (removedFrameworks.size > REMOVED_FRAMEWORKS_MAX && oldest !== undefined) removedFrameworks.delete(oldest);
  return CHANGED;
}

export const isNoQuota = ({ guarantees, limits }: QuotaConfig): boolean => guarantees.length + limits.length === 0;

/** Sets records, or drops those that are undefined: all of them, or none when there would be more than `max`. */
function put<V extends object>(
  table: Table<string, V>,
  after: ReadonlyMap<string, V | undefined>,
  max: number,
): Applied {
  let size = table.size;
  for (const [key, record] of after) {
    if (record === undefined) size -= table.get(key) === undefined ? 0 : 1;
    else size += table.get(key) === undefined ? 1 : 0;
  }
  if (size > max) return refused("registry-full");
  let isChanged = false;
  for (const [key, record] of after) {
    const before = table.get(key);
    if (JSON.stringify(before) === JSON.stringify(record)) continue;
    isChanged = true;
    if (record === undefined) table.delete(key);
    else table.set(key, record);
  }
  return isChanged ? CHANGED : UNCHANGED;
}
