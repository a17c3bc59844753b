// The registry once more, slow and obvious: one flat list of rows, searched and filtered, written from the table in
// docs/registry-and-failover.md and not from the code. What both say is right.
import type { AuditedOperation } from "#registrar/operations.ts";
import {
  QUOTAS_MAX,
  REGISTERED_FRAMEWORKS_MAX,
  REMOVED_FRAMEWORKS_MAX,
  TABLE_NAMES,
  WEIGHTS_MAX,
} from "#registrar/registry.ts";

type Table = (typeof TABLE_NAMES)[number];
interface Row {
  readonly table: Table;
  readonly key: string;
  record: Record<string, unknown>;
}

export class ModelRegistry {
  #rows: Row[] = [];

  tables(): unknown[][] {
    return TABLE_NAMES.map((table) => this.#rows.filter((row) => row.table === table).map(({ record }) => record));
  }

  #find(table: Table, key: string): Row | undefined {
    return this.#rows.find((row) => row.table === table && row.key === key);
  }

  /** In its old place, if it has one. */
  #put(table: Table, key: string, record: Record<string, unknown>): void {
    const old = this.#find(table, key);
    if (old === undefined) this.#rows.push({ table, key, record });
    else old.record = record;
  }

  #drop(table: Table, key: string): boolean {
    const before = this.#rows.length;
    this.#rows = this.#rows.filter((row) => row.table !== table || row.key !== key);
    return this.#rows.length < before;
  }

  /** One after the other on a copy, which counts only if it is not too large in the end; null drops the record. */
  #putAll(table: Table, records: readonly (readonly [key: string, record: object | null])[], max: number): string {
    const [before, text] = [this.#rows, JSON.stringify(this.tables())];
    this.#rows = before.map((row) => ({ ...row }));
    for (const [key, record] of records) {
      if (record === null) this.#drop(table, key);
      else this.#put(table, key, { ...record });
    }
    const changed = JSON.stringify(this.tables()) !== text;
    if (this.#rows.filter((row) => row.table === table).length <= max) return changed ? "changed" : "unchanged";
    this.#rows = before;
    return "registry-full";
  }

  /** "changed", "unchanged", or the refusal. */
  apply({ operation, audit: { when } }: AuditedOperation): string {
    const isIn = (table: Table, key: string): boolean => this.#find(table, key) !== undefined;
    const describe = ({ agentId, info, hostKey, principal }: Extract<typeof operation, { hostKey: unknown }>) => ({
      agentId,
      info,
      hostKey,
      principal,
    });
    if ("agentId" in operation) {
      const { agentId } = operation;
      const place = (["admitted", "unreachable", "gone"] as const).find((table) => isIn(table, agentId)) ?? "nowhere";
      const refusal = {
        nowhere: "agent-unknown",
        admitted: "agent-already-admitted",
        unreachable: "agent-unreachable",
        gone: "agent-gone",
      }[place];
      const isLax = "strict" in operation && !operation.strict;
      const allowed = {
        "admit-agent": isLax ? ["nowhere", "admitted", "unreachable"] : ["nowhere"],
        "readmit-agent": isLax ? ["nowhere", "admitted", "unreachable"] : ["admitted"],
        "update-agent": ["admitted"],
        "mark-agent-unreachable": ["admitted"],
        "mark-agent-reachable": ["unreachable", "admitted"],
        "mark-agent-gone": ["admitted", "unreachable"],
        "remove-agent": isLax ? ["admitted", "unreachable", "nowhere", "gone"] : ["admitted", "unreachable"],
      }[operation.type];
      if (!allowed.includes(place)) return refusal;
      const old = this.#find("admitted", agentId)?.record ?? this.#find("unreachable", agentId)?.record;
      switch (operation.type) {
        case "mark-agent-unreachable": {
          this.#drop("admitted", agentId);
          const { info, ...rest } = old as { info: { hostname: string } };
          this.#put("unreachable", agentId, { ...rest, hostname: info.hostname, at: when });
          return "changed";
        }
        case "mark-agent-gone": {
          this.#drop("admitted", agentId);
          this.#drop("unreachable", agentId);
          const { info, hostname } = old as { info?: { hostname: string }; hostname?: string };
          this.#put("gone", agentId, { agentId, hostname: info?.hostname ?? hostname, at: when });
          return "changed";
        }
        case "remove-agent":
          return [this.#drop("admitted", agentId), this.#drop("unreachable", agentId)].includes(true)
            ? "changed"
            : "unchanged";
        default: {
          if (place === "admitted") {
            if (operation.type === "admit-agent") return "unchanged";
            if (JSON.stringify(old?.["info"]) === JSON.stringify(operation.info)) return "unchanged";
            this.#put("admitted", agentId, { ...old, info: operation.info });
            return "changed";
          }
          this.#drop("unreachable", agentId);
          if (!("hostKey" in operation)) throw new Error("only a described agent is admitted");
          this.#put("admitted", agentId, { ...describe(operation), admittedAt: old?.["admittedAt"] ?? when });
          return "changed";
        }
      }
    }
    switch (operation.type) {
      case "prune": {
        const dropped = [
          ...operation.unreachable.map((agentId) => this.#drop("unreachable", agentId)),
          ...operation.gone.map((agentId) => this.#drop("gone", agentId)),
        ];
        return dropped.includes(true) ? "changed" : "unchanged";
      }
      case "register-framework": {
        const { frameworkId, principal, failoverTimeoutMs } = operation;
        if (isIn("removedFrameworks", frameworkId)) return "framework-removed";
        const old = this.#find("registeredFrameworks", frameworkId);
        const away = this.#find("disconnectedFrameworks", frameworkId);
        const owner = (old ?? away)?.record["principal"];
        if (owner !== undefined && owner !== principal) return "framework-of-another";
        if (old?.record["failoverTimeoutMs"] === failoverTimeoutMs) return "unchanged";
        const registered = this.#rows.filter(({ table }) => table === "registeredFrameworks");
        if (old === undefined && registered.length === REGISTERED_FRAMEWORKS_MAX) return "registry-full";
        const record = { state: "registered", frameworkId, principal, failoverTimeoutMs };
        this.#put("registeredFrameworks", frameworkId, record);
        return "changed";
      }
      case "disconnect-framework": {
        const { frameworkId, principal, deadline } = operation;
        if (isIn("removedFrameworks", frameworkId)) return "framework-removed";
        const old = this.#find("disconnectedFrameworks", frameworkId);
        if (old?.record["deadline"] === deadline) return "unchanged";
        const record = { state: "disconnected", frameworkId, principal, deadline };
        this.#put("disconnectedFrameworks", frameworkId, record);
        return "changed";
      }
      case "reconnect-framework":
        if (isIn("removedFrameworks", operation.frameworkId)) return "framework-removed";
        return this.#drop("disconnectedFrameworks", operation.frameworkId) ? "changed" : "unchanged";
      case "remove-framework": {
        const { frameworkId } = operation;
        if (isIn("removedFrameworks", frameworkId)) return "unchanged";
        this.#drop("disconnectedFrameworks", frameworkId);
        this.#drop("registeredFrameworks", frameworkId);
        this.#put("removedFrameworks", frameworkId, { state: "removed", frameworkId, at: when });
        const removed = this.#rows.filter(({ table }) => table === "removedFrameworks");
        if (removed.length > REMOVED_FRAMEWORKS_MAX) this.#drop("removedFrameworks", removed[0]?.key ?? "");
        return "changed";
      }
      case "set-credential": {
        const { principal, role, verifier } = operation;
        const old = this.#find("credentials", principal)?.record as { verifiers: (typeof verifier)[] } | undefined;
        const others = (old?.verifiers ?? []).filter(({ storedKey }) => storedKey !== verifier.storedKey);
        const record = { principal, role, verifiers: [verifier, ...others].slice(0, 2) };
        if (JSON.stringify(record) === JSON.stringify(old)) return "unchanged";
        this.#put("credentials", principal, record);
        return "changed";
      }
      case "revoke-credential":
        return this.#drop("credentials", operation.principal) ? "changed" : "credential-unknown";
      case "update-weights":
        return this.#putAll(
          "weights",
          operation.infos.map((info) => [info.role, info]),
          WEIGHTS_MAX,
        );
      case "update-quota":
        return this.#putAll(
          "quotas",
          operation.configs.map((config) => [
            config.role,
            config.guarantees.length === 0 && config.limits.length === 0 ? null : config,
          ]),
          QUOTAS_MAX,
        );
    }
  }
}
