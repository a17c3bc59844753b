// The Worker: tells the routes where the objects are, and exports the objects.
import { GATEWAYS_MAX, gatewayOf } from "./agent/gateway-of.ts";
import { gatewayStub, masterStub } from "./durable-objects/peers.ts";
import { authenticate } from "./durable-objects/principals.ts";
import { app } from "./http/app.ts";
import type { RegistrarCalls } from "./log/calls.ts";
import type { RegistryCalls } from "./registrar/calls.ts";

export { GatewayDO } from "./durable-objects/gateway-do.ts";
export { MasterDO } from "./durable-objects/master-do.ts";
export { RegistrarWorker } from "./durable-objects/registrar-worker.ts";
export { ReplicaDO } from "./durable-objects/replica-do.ts";

export default app((env, exports) => ({
  master: () => masterStub(env),
  registrar: () => (exports as { readonly RegistrarWorker: RegistrarCalls & RegistryCalls }).RegistrarWorker,
  gateway: (name) => gatewayStub(env, name),
  gatewayNameOf: (hostKey) => gatewayOf(hostKey, Math.min(Number(env.GATEWAYS ?? "1"), GATEWAYS_MAX)),
  authenticate: (principal, secret) => authenticate(env, principal, secret),
}));
