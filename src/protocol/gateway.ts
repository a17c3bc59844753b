// What crosses between a gateway and the master: batches both ways. Both run the same build or the one before, so these are
// plain types; a version field comes with the first change.
import type { Millis } from "#base/time.ts";
import type { AgentMessage, PlaneMessage } from "./agent.ts";
import type { AgentId, Epoch, HostKey, Principal } from "./ids.ts";
import type { KnownLeader, Leadership, NotLeading } from "./leadership.ts";

/** Most items in one call to the master. */
export const GATEWAY_BATCH_MAX = 1000;

export type GatewayItem =
  | {
      readonly type: "message";
      readonly socketId: string;
      readonly hostKey: HostKey;
      readonly principal: Principal;
      readonly epochSeen: Epoch;
      readonly message: AgentMessage;
    }
  | {
      readonly type: "closed";
      readonly socketId: string;
      /** When the agent was last heard, for a socket that fell silent: its deadline runs from there. */
      readonly silentSince?: Millis;
    };

export interface GatewayBatch {
  readonly gateway: string;
  readonly items: readonly GatewayItem[];
  /** Authentications that were started since the last batch. */
  readonly authentications: number;
  /**
   * The gateway's whole live set, once in each of its incarnations and after a batch that was not taken: what is not in it is
   * gone. Sockets whose `closed` is in the same batch are still in it.
   */
  readonly live?: readonly string[];
  /** The highest epoch that the gateway has heard of. */
  readonly epochKnown?: Epoch;
  /** 1, 2, 3… of the gateway's incarnations: a call of one that has died may arrive behind its successor's. */
  readonly incarnation?: number;
}

/** Not leading: the gateway tells registering agents to wait, and lets the others come again. */
export type BatchAnswer = { readonly type: "taken"; readonly epoch?: Epoch } | NotLeading;

/** Once a minute: who leads, and does the master have what the gateway has? */
export interface CheckIn {
  readonly gateway: string;
  readonly epochKnown: Epoch;
  readonly incarnation?: number;
  /** Open sockets of registered agents. */
  readonly sockets: number;
}
/** `tellLive`: the books have more, so that the gateway shall tell its live set again. */
export type CheckInAnswer = (Leadership & { readonly type: "leading"; readonly tellLive: boolean }) | NotLeading;

export type DeliveryItem =
  | { readonly type: "message"; readonly socketId: string; readonly message: PlaneMessage }
  | { readonly type: "close"; readonly socketId: string; readonly reason: string };

/**
 * A leader's word to a gateway: which of its sockets the master has in its books under this epoch. The gateway closes every
 * other socket that believes itself registered, so that its agent registers again, and answers with what is alive.
 */
export interface Announcement {
  readonly epoch: Epoch;
  readonly candidate?: string;
  readonly known: readonly string[];
}
export interface AnnouncementAnswer {
  readonly live: readonly string[];
  /** The announcement was not taken: the gateway has heard of this leader, of a higher epoch. */
  readonly newer?: KnownLeader;
}

/** A GET that was tunnelled to an agent. */
export interface TunnelRequest {
  readonly socketId: string;
  readonly path: string;
  readonly range: string | undefined;
}
export type TunnelAnswer =
  | {
      readonly type: "answered";
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Uint8Array;
    }
  | { readonly type: "gone"; readonly reason: string };

/** Where an agent's socket is. */
export type Located =
  | { readonly type: "located"; readonly gateway: string; readonly socketId: string; readonly agentId: AgentId }
  | { readonly type: "absent"; readonly status: 404 | 503; readonly reason: string };
