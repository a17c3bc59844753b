// Stubs of the other objects. A stub that threw is broken for good, so every call gets a fresh one.
import type { Env } from "./env.ts";
import type { MasterDO } from "./master-do.ts";
import { settingsOf } from "./settings.ts";

/** A candidate as its callers see it: each method a call to the object. */
export type Master = Omit<MasterDO, "alarm">;

/** The hint matters at the object's first call only: an object never moves. */
export function masterStub(env: Env, name: string): Master {
  const locationHint = masterHint(env, name);
  const stub = env.MASTER.get(env.MASTER.idFromName(name), locationHint === undefined ? {} : { locationHint });
  // The stub's own type makes of each union a union of promises, which nothing can be written against.
  return stub as unknown as Master;
}

export function masterHint(env: Env, name: string): DurableObjectLocationHint | undefined {
  const { candidates, masterHints } = settingsOf(env);
  return masterHints[candidates.indexOf(name)];
}

export function gatewayStub(env: Env, name: string) {
  return env.GATEWAY.get(env.GATEWAY.idFromName(name));
}
