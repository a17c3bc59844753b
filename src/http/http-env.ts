// What the routes need of the plane. The entry hands it in, so that no route knows how objects are named or found.
import type { CredentialRole } from "#protocol/credentials.ts";
import type { HostKey, Principal } from "#protocol/ids.ts";
import type { KnownLeader, NotLeading } from "#protocol/leadership.ts";
import type { Env } from "../durable-objects/env.ts";
import type { GatewayDO } from "../durable-objects/gateway-do.ts";
import type { Master } from "../durable-objects/peers.ts";
import type { RegistrarCalls } from "../log/calls.ts";
import type { RegistryCalls } from "../registrar/calls.ts";

/** The master that leads, wherever it is. "not-leading" when there is none now. */
export interface LeaderCalls {
  /** For calls that change nothing: they may be made more than once. */
  read<T>(call: (master: Master) => Promise<T>): Promise<T | NotLeading>;
  /** For all others: made again only when it is certain that nobody executed it. */
  write<T>(call: (master: Master) => Promise<T>): Promise<T | NotLeading>;
  learn(leader: KnownLeader): void;
}

export interface Plane {
  readonly leader: LeaderCalls;
  /** The candidate that the path names: it answers itself, or says who leads. Undefined for the usual paths. */
  readonly addressed: string | undefined;
  readonly candidates: readonly string[];
  /** A fresh stub for each call: one that threw is broken for good. */
  readonly candidate: (name: string) => Master;
  /** The log itself, also while no master leads. */
  registrar(): Pick<RegistrarCalls, "status" | "verify"> & Pick<RegistryCalls, "registry" | "history">;
  gateway(name: string): DurableObjectStub<GatewayDO>;
  gatewayNameOf(hostKey: HostKey): string;
  authenticate(
    principal: string,
    secret: string,
  ): Promise<{ readonly principal: Principal; readonly role: CredentialRole } | undefined>;
}

/** What hono's handlers get: the Worker's bindings, the plane behind them, and who asks. */
export interface HttpEnv {
  readonly Bindings: Env;
  readonly Variables: { plane: Plane; principal: Principal };
}
