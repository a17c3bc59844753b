// The registry: the only durable truth of the plane. Rebuilt from the log by applying its entries in order.
import type { AgentInfo } from "#protocol/agent.ts";
import type { AgentId, Epoch, HostKey, MasterId, Principal } from "#protocol/ids.ts";
import type { Millis } from "#base/time.ts";

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
