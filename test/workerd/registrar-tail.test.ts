// The tail of the plane's own log on real objects: read through the RegistrarWorker, also when the master is gone.
import { createExecutionContext, env, runInDurableObject } from "cloudflare:test";
import { beforeAll, expect, test } from "vitest";
import { position, type ClusterId } from "#log/entry.ts";
import type { Env } from "../../src/durable-objects/env.ts";
import { RegistrarWorker } from "../../src/durable-objects/registrar-worker.ts";
import { CLUSTER_ID, initialise, request } from "./plane.ts";

const bindings = env as unknown as Env;
const clusterId = CLUSTER_ID as ClusterId;
const worker = () => new RegistrarWorker(createExecutionContext(), bindings);
const lead = () =>
  expect.poll(async () => (await request("/state", { as: "operator" })).status, { timeout: 10_000 }).toBe(200);
const replica = (number: number) => bindings.REPLICA.get(bindings.REPLICA.idFromName(`replica-${number}`));
const promises = async () => {
  const { replicas } = await (await request("/mesoflare/log", { as: "operator" })).json<{ replicas: unknown[] }>();
  return replicas;
};

beforeAll(initialise);

test("[R16] it names the leader, raises no promise, and does without one of the replicas and without a master", async () => {
  expect(await worker().readTail({ clusterId })).toEqual({ type: "tail", leader: undefined, decidedTo: position(2) });
  await lead();
  const found = await worker().readTail({ clusterId });
  expect(found).toMatchObject({ type: "tail", leader: { candidate: "master-1", epoch: 2 }, decidedTo: 3 });
  const before = await promises();
  await runInDurableObject(bindings.MASTER.get(bindings.MASTER.idFromName("master-1")), (_, state) =>
    state.abort("a test took it away"),
  ).catch(() => undefined);
  await runInDurableObject(replica(3), async (_, { storage }) => storage.deleteAll());
  await runInDurableObject(replica(3), (_, state) => state.abort("restarted by a test")).catch(() => undefined);
  expect(await worker().readTail({ clusterId })).toEqual(found);
  expect((await promises()).slice(0, 2)).toEqual(before.slice(0, 2));
  const other = await worker().readTail({ clusterId: "another" as ClusterId });
  expect(other).toMatchObject({ type: "unavailable" });
});
