// The Worker: tells the routes where the objects are, and exports the objects.
import { millis } from "#base/time.ts";
import { gatewayOf } from "./agent/gateway-of.ts";
import type { Env } from "./durable-objects/env.ts";
import { LeaderFinder } from "./master/leader-finder.ts";
import { gatewayStub, type Master, masterStub } from "./durable-objects/peers.ts";
import { settingsOf } from "./durable-objects/settings.ts";
import { authenticate } from "./durable-objects/principals.ts";
import { app } from "./http/app.ts";
import type { RegistrarCalls } from "./log/calls.ts";
import type { RegistryCalls } from "./registrar/calls.ts";

export { GatewayDO } from "./durable-objects/gateway-do.ts";
export { MasterDO } from "./durable-objects/master-do.ts";
export { RegistrarWorker } from "./durable-objects/registrar-worker.ts";
export { ReplicaDO } from "./durable-objects/replica-do.ts";

/** Who led last, for each isolate: every call of the Worker goes there first. */
const finders = new WeakMap<Env, LeaderFinder<Master>>();

function leaderOf(env: Env): LeaderFinder<Master> {
  let finder = finders.get(env);
  if (finder === undefined) {
    const { candidates } = settingsOf(env);
    finders.set(
      env,
      (finder = new LeaderFinder({ candidates, stub: (name) => masterStub(env, name), now: () => millis(Date.now()) })),
    );
  }
  return finder;
}

export default app((env, exports) => ({
  leader: leaderOf(env),
  addressed: undefined,
  candidates: settingsOf(env).candidates,
  candidate: (name) => masterStub(env, name),
  registrar: () => (exports as { readonly RegistrarWorker: RegistrarCalls & RegistryCalls }).RegistrarWorker,
  gateway: (name) => gatewayStub(env, name),
  gatewayNameOf: (hostKey) => gatewayOf(hostKey, settingsOf(env).gateways),
  authenticate: (principal, secret) => authenticate(env, principal, secret),
}));
