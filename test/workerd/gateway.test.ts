import { env, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { beforeEach, expect, test } from "vitest";
import { AUTHENTICATION_MS_MAX } from "../../src/agent/session.ts";
import type { Env } from "../../src/durable-objects/env.ts";
import { initialise, register, request, TestSocket } from "./plane.ts";

const bindings = env as unknown as Env;
const gateway = () => bindings.GATEWAY.get(bindings.GATEWAY.idFromName("gateway-1"));
const master = () => bindings.MASTER.get(bindings.MASTER.idFromName("master-1"));

beforeEach(initialise);

test("an agent authenticates, registers, and is in the registry", async () => {
  const socket = await TestSocket.open();
  await socket.authenticate();
  expect((await socket.next("authenticated")).serverFinal).toMatch(/^v=/);
  socket.send(register());
  const registered = await socket.next("registered");
  const registry = await (
    await request("/registrar(1)/registry", { as: "reader" })
  ).json<{ slaves: { slaves: { info: { id: unknown } }[] } }>();
  expect(registry.slaves.slaves.map(({ info }) => info.id)).toEqual([{ value: registered.agentId }]);
  expect(JSON.stringify(registry)).not.toContain("hostKey");
  socket.close();
});

test.each([
  ["a wrong secret", "agent", "wrong-secret"],
  ["an unknown principal", "nobody", "agent-secret-1"],
  ["a principal that is no agent", "operator", "operator-secret-1"],
])("[G2] %s fails for good, in the same words", async (_, principal, secret) => {
  const socket = await TestSocket.open();
  await socket.authenticate(principal, secret);
  expect(await socket.next("authentication-failed")).toEqual({
    type: "authentication-failed",
    reason: "unknown principal or wrong secret",
  });
  expect((await socket.closed()).code).toBe(1008);
});

test.each([
  ["garbage", "\u0000\u0001garbage"],
  ["an array", "[]"],
  ["an unknown type", '{"type":"reboot"}'],
  ["binary", new ArrayBuffer(8)],
])("[G7] a frame that is %s closes the socket", async (_, frame) => {
  const socket = await TestSocket.open();
  socket.sendRaw(frame);
  expect(await socket.closed()).toMatchObject({ code: 1008, reason: expect.stringContaining("bad frame") });
});

test("[G1] an update before authentication reaches nobody", async () => {
  const socket = await TestSocket.open();
  socket.send(register());
  expect((await socket.next("authentication-error")).reason).toContain("not allowed");
  expect((await socket.closed()).code).toBe(1013);
});

test("[G4] a socket that never says anything is closed by the sweep", async () => {
  const socket = await TestSocket.open();
  await runInDurableObject(gateway(), (_, ctx) => {
    for (const server of ctx.getWebSockets()) {
      const session = server.deserializeAttachment() as { openedAt: number };
      server.serializeAttachment({ ...session, openedAt: session.openedAt - AUTHENTICATION_MS_MAX });
    }
  });
  expect(await runDurableObjectAlarm(gateway())).toBe(true);
  expect((await socket.closed()).reason).toContain("too long");
});

test("a gateway that was evicted goes on with the sessions of its sockets", async () => {
  const socket = await TestSocket.open();
  await socket.authenticate();
  await socket.next("authenticated");
  socket.send(register());
  const { session } = await socket.next("registered");
  await evictDurableObject(gateway());
  socket.send({ type: "acted", session, sequence: 0 });
  socket.send(register({ lastSession: session }));
  expect((await socket.next("registered")).session).not.toBe(session);
  socket.close();
});

test("a master that was evicted keeps its epoch and its agents, and nobody registers again", async () => {
  const socket = await TestSocket.open(2);
  await socket.authenticate();
  await socket.next("authenticated");
  socket.send(register());
  const before = await socket.next("registered");
  await evictDurableObject(master());
  const slaves = await (
    await request("/slaves", { as: "reader" })
  ).json<{ slaves: { id: string; active: boolean }[]; recovered_slaves: unknown[] }>();
  expect(slaves.slaves.find(({ id }) => id === before.agentId)).toMatchObject({ active: true });
  expect(slaves.recovered_slaves).toEqual([]);
  socket.send(register({ agentId: before.agentId, lastSession: before.session }));
  expect((await socket.next("registered")).epoch).toBe(before.epoch);
  socket.close();
});

test("a tunnelled request ends with its socket, not with its time", async () => {
  const socket = await TestSocket.open(3);
  await socket.authenticate();
  await socket.next("authenticated");
  socket.send(register());
  const { agentId } = await socket.next("registered");
  const answer = request(`/agents/${agentId}/files/read?path=/x`, { as: "reader" });
  expect((await socket.next("request")).path).toBe("/files/read?path=/x");
  socket.close();
  expect((await answer).status).toBe(504);
});

test("a tunnelled answer passes as plain data that no browser runs", async () => {
  const socket = await TestSocket.open(4);
  await socket.authenticate();
  await socket.next("authenticated");
  socket.send(register());
  const { agentId } = await socket.next("registered");
  const answer = request(`/agents/${agentId}/files/download?path=/x`, {
    as: "reader",
    headers: { range: "bytes=0-9" },
  });
  const { requestId, range } = await socket.next("request");
  expect(range).toBe("bytes=0-9");
  const headers = { "content-type": "text/html", "set-cookie": "a=b", "content-range": "bytes 0-4/5" };
  socket.send({ type: "response", requestId, status: 206, headers, body: btoa("hello") });
  const response = await answer;
  expect([response.status, await response.text()]).toEqual([206, "hello"]);
  expect(
    Object.fromEntries(
      ["content-type", "set-cookie", "content-range", "content-security-policy"].map((name) => [
        name,
        response.headers.get(name),
      ]),
    ),
  ).toEqual({
    "content-type": "application/octet-stream",
    "set-cookie": null,
    "content-range": "bytes 0-4/5",
    "content-security-policy": "sandbox",
  });
  for (const bad of ["bytes=0-1,5-6", "lines=1-2", `bytes=${"9".repeat(200)}-`]) {
    expect(
      (await request(`/agents/${agentId}/files/download?path=/x`, { as: "reader", headers: { range: bad } })).status,
    ).toBe(400);
  }
  expect((await request(`/agents/${agentId}/files/read?path=/${"x".repeat(9000)}`, { as: "reader" })).status).toBe(414);
  socket.close();
});
