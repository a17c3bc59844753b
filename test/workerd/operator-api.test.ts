// POST /api/v1: MARK_AGENT_GONE on a real Worker, the checks before it in their order, and hostile bodies.
import { beforeAll, expect, test } from "vitest";
import { initialise, register, request, TestSocket } from "./plane.ts";

const post = (body: unknown, { as = "operator" as const, headers = {} } = {}) =>
  request("/api/v1", {
    as,
    method: "POST",
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "application/json", ...headers },
  });
const gone = (id: unknown) => ({ type: "MARK_AGENT_GONE", mark_agent_gone: { agent_id: { value: id } } });

beforeAll(initialise);

async function agent(host: number): Promise<{ readonly socket: TestSocket; readonly agentId: string }> {
  const socket = await TestSocket.open(host);
  await socket.authenticate();
  await socket.next("authenticated");
  socket.send(register());
  const { agentId } = await socket.next("registered");
  return { socket, agentId };
}

test("an agent that is marked gone is told to shut down, is in the registry's list, and 200 is repeatable", async () => {
  const { socket, agentId } = await agent(1);
  const shutdown = socket.next("shutdown");
  const answer = await post(gone(agentId));
  expect([answer.status, answer.headers.get("content-type"), await answer.text()]).toEqual([200, null, ""]);
  expect(await shutdown).toMatchObject({ agentId });
  const registry = await (await request("/registrar(1)/registry", { as: "reader" })).json();
  expect(registry).toMatchObject({ slaves: { slaves: [] }, gone: { slaves: [{ id: { value: agentId } }] } });
  const listed = await (await request("/mesoflare/agents", { as: "reader" })).json();
  expect(listed).toMatchObject({ agents: [{ id: agentId, state: "gone", hostname: "host" }] });
  expect((await post(gone(agentId))).status).toBe(200);
  // It comes back with the same id: the registry refuses, and only then it is told again.
  const again = await TestSocket.open(1);
  await again.authenticate();
  await again.next("authenticated");
  again.send(register({ agentId: agentId as never }));
  expect(await again.next("shutdown")).toMatchObject({ agentId, reason: expect.stringContaining("gone") });
});

test("the checks in their order", async () => {
  expect((await request("/api/v1", { method: "POST" })).status).toBe(401);
  expect((await post(gone("x"), { as: "reader" as never })).status).toBe(403);
  expect((await request("/api/v1", { as: "operator" })).status).toBe(405);
  expect((await post(gone("x"), { headers: { "content-type": "text/plain" } })).status).toBe(415);
  for (const body of ["{", "[]", "{}", '{"type":"MARK_AGENT_GONE"}', gone(7), gone({}), '{"type":"NEVER_HEARD"}']) {
    expect((await post(body)).status).toBe(400);
  }
  expect((await post({ type: "UNKNOWN" })).status).toBe(501);
  expect((await post({ type: "GET_AGENTS" })).status).toBe(501);
  expect((await post(`{"type":"MARK_AGENT_GONE","x":"${"x".repeat(5_000_000)}"}`)).status).toBe(413);
  for (const id of ["nobody", "", "../..", "x".repeat(1000)]) expect((await post(gone(id))).status).toBe(404);
});
