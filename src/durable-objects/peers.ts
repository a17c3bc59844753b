// Stubs of the other objects. A stub that threw is broken for good, so every call gets a fresh one.
import type { Env } from "./env.ts";

export const MASTER_NAME = "master-1";

export function masterStub(env: Env) {
  const hint =
    env.MASTER_HINT === undefined || env.MASTER_HINT === ""
      ? {}
      : { locationHint: env.MASTER_HINT as DurableObjectLocationHint };
  return env.MASTER.get(env.MASTER.idFromName(MASTER_NAME), hint);
}

export function gatewayStub(env: Env, name: string) {
  return env.GATEWAY.get(env.GATEWAY.idFromName(name));
}
