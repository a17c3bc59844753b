// The registry: the only durable truth of the plane. Rebuilt from the log by applying its entries in order.
import type { AgentInfo } from "#protocol/agent.ts";
import type { AgentId, Epoch, HostKey, MasterId, Principal } from "#protocol/ids.ts";
import type { Millis } from "#base/time.ts";
import type { AdmittedTable } from "./operations.ts";

export interface AdmittedAgent {
  readonly agentId: AgentId;
  readonly info: AgentInfo;
  /** Ties the id to its host: a registration that claims this id from another host is refused. Not shown on endpoints. */
  readonly hostKey: HostKey;
  readonly principal: Principal;
  readonly admittedAt: Millis;
}

/** Who leads: written first by each new leader, so that a predecessor's write in flight must fail. */
export interface Leader {
  readonly candidate: string;
  readonly masterId: MasterId;
  readonly epoch: Epoch;
}

export interface Registry {
  leader: Leader | undefined;
  readonly admitted: Map<AgentId, AdmittedAgent>;
}

export const emptyRegistry = (): Registry => ({ leader: undefined, admitted: new Map() });

/** The table as it will be once a batch is chosen: edits stay here, the registry below is only read. */
export class DraftTable implements AdmittedTable {
  readonly #below: AdmittedTable;
  readonly #edits = new Map<AgentId, AdmittedAgent>();

  constructor(below: AdmittedTable) {
    this.#below = below;
  }

  get(agentId: AgentId): AdmittedAgent | undefined {
    return this.#edits.get(agentId) ?? this.#below.get(agentId);
  }

  set(agentId: AgentId, agent: AdmittedAgent): void {
    this.#edits.set(agentId, agent);
  }
}

const sizes = new WeakMap<AdmittedAgent, number>();

/** Size of the registry as JSON text, in letters, which for our data is bytes. An agent is measured once. */
export function registryLetters(registry: Registry): number {
  let letters = registry.leader === undefined ? 0 : JSON.stringify(registry.leader).length;
  for (const agent of registry.admitted.values()) {
    let size = sizes.get(agent);
    if (size === undefined) {
      size = JSON.stringify(agent).length;
      sizes.set(agent, size);
    }
    letters += size;
  }
  return letters;
}
