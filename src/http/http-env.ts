// What the routes need of the plane. The entry hands it in, so that no route knows how objects are named or found.
import type { CredentialRole } from "#protocol/credentials.ts";
import type { HostKey, Principal } from "#protocol/ids.ts";
import type { Env } from "../durable-objects/env.ts";
import type { GatewayDO } from "../durable-objects/gateway-do.ts";
import type { MasterDO } from "../durable-objects/master-do.ts";
import type { RegistrarCalls } from "../log/calls.ts";
import type { RegistryCalls } from "../registrar/calls.ts";

export interface Plane {
  /** A fresh stub for each call: one that threw is broken for good. */
  master(): DurableObjectStub<MasterDO>;
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
