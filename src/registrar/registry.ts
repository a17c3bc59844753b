// The registry: the only durable truth of the plane. Rebuilt from the log by applying its entries in order. What it holds is
// immutable record by record: an edit replaces a record, so that a snapshot may be taken of the records as they are.
import type { Millis } from "#base/time.ts";
import type { Position } from "#log/entry.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { CredentialRole } from "#protocol/credentials.ts";
import type { AgentId, Epoch, FrameworkId, HostKey, MasterId, Principal } from "#protocol/ids.ts";

export interface AdmittedAgent {
  readonly agentId: AgentId;
  readonly info: AgentInfo;
  /** Ties the id to its host: a registration that claims this id from another host is refused. Not shown on endpoints. */
  readonly hostKey: HostKey;
  readonly principal: Principal;
  readonly admittedAt: Millis;
}

/** An agent that was given up for now. It may come back under its id, with a description of its own. */
export interface UnreachableAgent {
  readonly agentId: AgentId;
  readonly hostname: string;
  readonly hostKey: HostKey;
  readonly principal: Principal;
  readonly admittedAt: Millis;
  /** When it was marked. Source: Mesos unreachable_time. */
  readonly at: Millis;
}

/** An agent that never comes back, by an operator's word. */
export interface GoneAgent {
  readonly agentId: AgentId;
  readonly hostname: string;
  readonly at: Millis;
}

/** What must be known of a framework for longer than any master lives. */
export type DurableFramework =
  /** Whose it is, from before its first SUBSCRIBED on, and also while it is disconnected. */
  | {
      readonly state: "registered";
      readonly frameworkId: FrameworkId;
      readonly principal: Principal;
      readonly failoverTimeoutMs: number;
    }
  | {
      readonly state: "disconnected";
      readonly frameworkId: FrameworkId;
      readonly principal?: Principal | undefined;
      /** When it is removed unless it subscribes before. */
      readonly deadline: Millis;
    }
  | { readonly state: "removed"; readonly frameworkId: FrameworkId; readonly at: Millis };

/** A SCRAM verifier as text: base64, as in the plane's CREDENTIALS. */
export interface StoredVerifier {
  readonly salt: string;
  readonly iterations: number;
  readonly storedKey: string;
  readonly serverKey: string;
}

export interface StoredCredential {
  readonly principal: Principal;
  readonly role: CredentialRole;
  /** Newest first, at most {@link VERIFIERS_MAX}: the one before stays valid while it is being replaced. */
  readonly verifiers: readonly StoredVerifier[];
}

export interface Weight {
  readonly role: string;
  /** Above 0. A role without one has 1. */
  readonly weight: number;
}

/** An amount of one kind of scalar resource in its own unit, at three decimals. */
export interface Quantity {
  readonly name: string;
  readonly value: number;
}

/** What a role is sure to get, and what it may have at most. A list and no object: names are chosen by people, also `__proto__`. */
export interface QuotaConfig {
  readonly role: string;
  /** A kind that is not named: nothing is held back. */
  readonly guarantees: readonly Quantity[];
  /** A kind that is not named: without end. */
  readonly limits: readonly Quantity[];
}

/** Who leads: written first by each new leader, so that a predecessor's write in flight must fail. */
export interface Leader {
  readonly candidate: string;
  readonly masterId: MasterId;
  readonly epoch: Epoch;
}

/** Most admitted agents; a stolen credential must not fill the registry without end. */
export const ADMITTED_AGENTS_MAX = 100_000;
/** Frameworks that subscribed and were not removed: no stolen credential fills the registry without end. */
export const REGISTERED_FRAMEWORKS_MAX = 10_000;
/** Removed frameworks that are remembered; the oldest is dropped. */
export const REMOVED_FRAMEWORKS_MAX = 10_000;
/** Principals with verifiers in the registry. */
export const CREDENTIALS_MAX = 10_000;
/** Verifiers of one principal that are valid at a time. */
export const VERIFIERS_MAX = 2;
/** Roles with a weight of their own. */
export const WEIGHTS_MAX = 10_000;
/** Roles with a quota. */
export const QUOTAS_MAX = 2_000;
/** Kinds of resources that a role's guarantees may name, and its limits. */
export const QUANTITIES_MAX = 32;
/** Largest amount in a quota, in its own unit. Source: Mesos quota.cpp, about. */
export const QUANTITY_MAX = 1e12;
/** Bounds of a weight: beyond them a share divided by it says nothing any more. Mesos has only "above 0". */
export const WEIGHT_MIN = 1e-9;
export const WEIGHT_MAX = 1e9;

/** What operations need of a table: the map of the registry itself, or a draft over it. Order is that of insertion. */
export interface Table<K, V> {
  readonly size: number;
  get(key: K): V | undefined;
  set(key: K, value: V): unknown;
  delete(key: K): unknown;
  /** The key that was inserted first. */
  first(): K | undefined;
}

/** Where operations read and edit. */
export interface RegistryTables {
  readonly admitted: Table<AgentId, AdmittedAgent>;
  readonly unreachable: Table<AgentId, UnreachableAgent>;
  readonly gone: Table<AgentId, GoneAgent>;
  readonly registeredFrameworks: Table<FrameworkId, Extract<DurableFramework, { state: "registered" }>>;
  readonly disconnectedFrameworks: Table<FrameworkId, Extract<DurableFramework, { state: "disconnected" }>>;
  readonly removedFrameworks: Table<FrameworkId, Extract<DurableFramework, { state: "removed" }>>;
  readonly credentials: Table<Principal, StoredCredential>;
  /** By role. */
  readonly weights: Table<string, Weight>;
  /** By role. None of them is without guarantees and limits. */
  readonly quotas: Table<string, QuotaConfig>;
}

/** A map that also tells its oldest key. */
export class OrderedMap<K, V> extends Map<K, V> implements Table<K, V> {
  first(): K | undefined {
    return this.keys().next().value;
  }
}

export type RegistryMaps = {
  readonly [Name in keyof RegistryTables]: RegistryTables[Name] extends Table<infer K, infer V>
    ? OrderedMap<K, V>
    : never;
};

export interface Registry extends RegistryMaps {
  leader: Leader | undefined;
  /** Where the newest complete snapshot of the registry begins in the log. */
  snapshot: Position | undefined;
}

export const emptyRegistry = (): Registry => ({
  leader: undefined,
  snapshot: undefined,
  admitted: new OrderedMap(),
  unreachable: new OrderedMap(),
  gone: new OrderedMap(),
  registeredFrameworks: new OrderedMap(),
  disconnectedFrameworks: new OrderedMap(),
  removedFrameworks: new OrderedMap(),
  credentials: new OrderedMap(),
  weights: new OrderedMap(),
  quotas: new OrderedMap(),
});

export const TABLE_NAMES = [
  "admitted",
  "unreachable",
  "gone",
  "registeredFrameworks",
  "disconnectedFrameworks",
  "removedFrameworks",
  "credentials",
  "weights",
  "quotas",
] as const satisfies readonly (keyof RegistryTables)[];

/** A table as it will be once a batch is chosen: edits stay here, the one below is only read. */
class DraftTable<K, V> implements Table<K, V> {
  readonly #below: OrderedMap<K, V>;
  /** New records, and those that replace one below. */
  readonly #edits = new OrderedMap<K, V>();
  /** Keys that were deleted below. One that is set again comes after all others, as in a map. */
  readonly #dropped = new Set<K>();
  #size: number;

  constructor(below: OrderedMap<K, V>) {
    this.#below = below;
    this.#size = below.size;
  }

  get size(): number {
    return this.#size;
  }

  get(key: K): V | undefined {
    return this.#edits.get(key) ?? (this.#dropped.has(key) ? undefined : this.#below.get(key));
  }

  set(key: K, value: V): void {
    if (this.get(key) === undefined) this.#size += 1;
    this.#edits.set(key, value);
  }

  delete(key: K): void {
    if (this.get(key) === undefined) return;
    this.#size -= 1;
    this.#edits.delete(key);
    if (this.#below.has(key)) this.#dropped.add(key);
  }

  first(): K | undefined {
    for (const key of this.#below.keys()) if (!this.#dropped.has(key)) return key;
    return this.#edits.first();
  }
}

/** The registry as it will be once a batch is chosen. Thrown away afterwards: the entry itself is applied. */
export function draftOf(registry: Registry): RegistryTables {
  return {
    admitted: new DraftTable(registry.admitted),
    unreachable: new DraftTable(registry.unreachable),
    gone: new DraftTable(registry.gone),
    registeredFrameworks: new DraftTable(registry.registeredFrameworks),
    disconnectedFrameworks: new DraftTable(registry.disconnectedFrameworks),
    removedFrameworks: new DraftTable(registry.removedFrameworks),
    credentials: new DraftTable(registry.credentials),
    weights: new DraftTable(registry.weights),
    quotas: new DraftTable(registry.quotas),
  };
}

const sizes = new WeakMap<object, number>();

/** Size of the registry as JSON text, in letters, which for our data is bytes. A record is measured once. */
export function registryLetters(registry: Registry): number {
  let letters = registry.leader === undefined ? 0 : JSON.stringify(registry.leader).length;
  for (const name of TABLE_NAMES) {
    for (const record of registry[name].values()) {
      let size = sizes.get(record);
      if (size === undefined) sizes.set(record, (size = JSON.stringify(record).length));
      letters += size;
    }
  }
  return letters;
}
