import { env } from "cloudflare:test";
import { expect, test } from "vitest";
import type { HostKey } from "#protocol/ids.ts";
import { gatewayOf } from "../../src/agent/gateway-of.ts";
import type { Env } from "../../src/durable-objects/env.ts";
import { initialise, register, request, TestSocket } from "./plane.ts";

test("a gateway knows its own name: agents of another shard than the first register and are reached", async () => {
  await initialise();
  const { GATEWAY } = env as unknown as Env;
  const host = "0".repeat(31) + "7";
  const name = "gateway-5";
  expect(gatewayOf(host as HostKey, 1)).toBe("gateway-1");
  const stub = GATEWAY.get(GATEWAY.idFromName(name));
  const response = await stub.fetch(`http://gateway/agent/socket/${host}`, { headers: { upgrade: "websocket" } });
  if (response.webSocket === null) throw new Error("no socket");
  const socket = new TestSocket(response.webSocket);
  await socket.authenticate();
  await socket.next("authenticated");
  socket.send(register());
  const { agentId } = await socket.next("registered");
  const answer = request(`/agents/${agentId}/health`, { as: "reader" });
  const { requestId } = await socket.next("request");
  socket.send({ type: "response", requestId, status: 200, headers: {}, body: "" });
  expect((await answer).status).toBe(200);
  socket.close();
});
