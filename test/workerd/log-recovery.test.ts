// What becomes of a replica whose object lost its storage, or has a bit flipped in it: on real objects, with the plane's own
// leader. It elects anew when its object does, and looks after the members at once.
import { env, runInDurableObject } from "cloudflare:test";
import { beforeAll, expect, test } from "vitest";
import type { Env } from "../../src/durable-objects/env.ts";
import { initialise, request } from "./plane.ts";

const { REPLICA, MASTER } = env as unknown as Env;
const replicaOf = (number: number) => REPLICA.get(REPLICA.idFromName(`replica-${number}`));

interface Report {
  readonly status: string;
  readonly incarnation: string;
  readonly end: number;
  readonly missing_from: number;
}
async function reports(): Promise<readonly Report[]> {
  const response = await request("/mesoflare/log", { as: "operator" });
  const { replicas } = await response.json<{ readonly replicas: readonly Report[] }>();
  return replicas;
}
const verify = async () => {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ from: 1 });
  const response = await request("/mesoflare/log/verify", { as: "operator", method: "POST", headers, body });
  return (await response.json<{ readonly findings: readonly { readonly type: string }[] }>()).findings;
};

/** The object begins anew from what it has stored, as after a deploy. */
async function restart(stub: DurableObjectStub): Promise<void> {
  await runInDurableObject(stub, (_, state) => state.abort("restarted by a test")).catch(() => undefined);
}

async function electAnew(): Promise<void> {
  await restart(MASTER.get(MASTER.idFromName("master-1")));
  await expect.poll(async () => (await request("/state", { as: "operator" })).status, { timeout: 10_000 }).toBe(200);
}

beforeAll(initialise);

test("[L22] [L27] a replica that lost its storage is seated again as another life of it, and has everything", async () => {
  await electAnew();
  const before = await reports();
  await runInDurableObject(replicaOf(2), async (_, { storage }) => storage.deleteAll());
  await restart(replicaOf(2));
  expect((await reports())[1]).toMatchObject({ status: "empty" });
  await electAnew();
  await expect.poll(async () => (await reports())[1]?.status, { timeout: 10_000 }).toBe("voting");
  const after = await reports();
  expect(after[1]?.incarnation).not.toBe(before[1]?.incarnation);
  await expect.poll(verify, { timeout: 10_000 }).toEqual([]);
});

test("[L12] a flipped bit is found by verification, keeps the replica from voting, and is repaired", async () => {
  const [, , before] = await reports();
  await runInDurableObject(replicaOf(3), (_, { storage }) => {
    storage.sql.exec("UPDATE log_run SET entries = replace(entries, 'seats', 'sests') WHERE first = 1");
  });
  expect(await verify()).toContainEqual(expect.objectContaining({ replica: "replica-3", type: "damage", position: 1 }));
  expect((await reports())[2]).toMatchObject({ status: "recovering" });
  await electAnew();
  await expect.poll(async () => (await reports())[2]?.status, { timeout: 10_000 }).toBe("voting");
  expect((await reports())[2]?.incarnation).toBe(before?.incarnation);
  await expect.poll(verify, { timeout: 10_000 }).toEqual([]);
});
