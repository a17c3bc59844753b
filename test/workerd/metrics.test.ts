// /metrics/snapshot of the whole cluster: every key of a 0.19 master, with true values.
import { beforeEach, expect, test } from "vitest";
import { MASTER_KEYS_0_19 } from "../metrics/master-keys-0.19.ts";
import { initialise, register, request, TestSocket } from "./plane.ts";

beforeEach(initialise);

const snapshot = async (): Promise<Record<string, number>> =>
  (await request("/metrics/snapshot", { as: "reader" })).json<Record<string, number>>();

test("all keys of 0.19, true values, system/* as the sum over agents", async () => {
  const sockets = [];
  for (const host of [1, 2, 3]) {
    const socket = await TestSocket.open(host);
    await socket.authenticate();
    await socket.next("authenticated");
    const system = {
      cpus_total: host,
      load_1min: 0.5,
      load_5min: 0,
      load_15min: 0,
      mem_total_bytes: 1000,
      mem_free_bytes: 10,
    };
    socket.send(register({ system }));
    await socket.next("registered");
    sockets.push(socket);
  }
  const metrics = await snapshot();
  expect(MASTER_KEYS_0_19.filter((key) => typeof metrics[key] !== "number")).toEqual([]);
  expect(metrics).toMatchObject({
    "master/elected": 1,
    "master/slaves_active": 3,
    "master/slave_registrations": 3,
    "master/messages_authenticate": 3,
    "master/messages_register_slave": 3,
    "master/cpus_total": 6,
    "master/mem_total": 3000,
    "master/cpus_used": 0,
    "system/cpus_total": 6,
    "system/load_1min": 1.5,
    "system/mem_total_bytes": 3000,
    "system/mem_free_bytes": 30,
    "registrar/log/ensemble_size": 3,
  });
  expect(Object.keys(metrics)).toEqual(Object.keys(metrics).toSorted());
  for (const socket of sockets) socket.close();
});
