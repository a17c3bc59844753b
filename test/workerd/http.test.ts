// Who may see what, and the plane's own endpoints, on a real Worker. The scheduler API has its own file.
import { expect, test } from "vitest";
import { initialise, ORIGIN, request } from "./plane.ts";

const PATH = "/api/v1/scheduler";
const SUBSCRIBE = JSON.stringify({ type: "SUBSCRIBE", subscribe: { framework_info: { user: "root", name: "test" } } });
const post = (
  body: string,
  headers: Record<string, string> = {},
  as: "scheduler" | "reader" | "agent" | undefined = "scheduler",
) =>
  request(PATH, {
    ...(as === undefined ? {} : { as }),
    method: "POST",
    body,
    headers: { "content-type": "application/json", ...headers },
  });

test("before 'mesoflare init' there is no leader: 503 with what to do", async () => {
  for (const path of ["/state", "/redirect"]) {
    const response = await request(path, { as: "reader" });
    expect([response.status, await response.text()]).toEqual([503, expect.stringContaining("mesoflare init")]);
  }
  expect((await post(SUBSCRIBE)).status).toBe(503);
  expect((await post("{")).status).toBe(503);
  expect((await post("{", { "content-type": "text/plain" })).status).toBe(503);
  expect((await request(PATH, { as: "scheduler" })).status).toBe(503);
});

test("open to everybody: /health, /version, /redirect; nothing else", async () => {
  await initialise();
  expect((await request("/health")).status).toBe(200);
  expect(await (await request("/version")).json()).toMatchObject({ version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
  const redirect = await request("/redirect");
  expect([redirect.status, redirect.headers.get("location")]).toEqual([307, "//plane.test:5050"]);
  for (const path of [
    "/state",
    "/slaves",
    "/frameworks",
    "/tasks",
    "/metrics/snapshot",
    "/registrar(1)/registry",
    "/agents/x/state",
    PATH,
  ]) {
    const response = await request(path);
    expect([path, response.status]).toEqual([path, 401]);
    expect(response.headers.get("www-authenticate")).toMatch(/^Basic realm="mesos-master-/);
  }
});

test("a plane of one candidate has nobody to fail over to, and says what to do", async () => {
  await initialise();
  const headers = { "content-type": "application/json" };
  const answer = await request("/mesoflare/masters/failover", { as: "operator", method: "POST", body: "{}", headers });
  expect([answer.status, await answer.text()]).toEqual([409, expect.stringContaining("MASTERS of 2 or more")]);
});

test("roles: an agent's secret opens nothing on HTTP, a reader may not schedule", async () => {
  await initialise();
  expect((await request("/state", { as: "agent" })).status).toBe(403);
  expect((await post(SUBSCRIBE, {}, "reader")).status).toBe(403);
  expect((await request("/mesoflare/init", { as: "reader", method: "POST", body: "{}" })).status).toBe(403);
});

test.each([
  ["Basic", 401],
  ["Basic !!!!", 401],
  [`Basic ${btoa("operator:wrong-secret")}`, 401],
  [`Basic ${btoa("operator:with:colon")}`, 401],
  [`Basic ${btoa("no-colon")}`, 401],
  ["Digest abc", 401],
  [`Basic ${"A".repeat(20_000)}`, 401],
  [`Bearer ${btoa("operator:operator-secret-1")}`, 200],
])("Authorization %.40s gives %i", async (authorization, status) => {
  await initialise();
  expect((await request("/state", { headers: { authorization } })).status).toBe(status);
});

test("GET endpoints in Mesos' shapes and old names; jsonp; a timeout that is none", async () => {
  await initialise();
  const get = async (path: string) => request(path, { as: "reader" });
  for (const name of ["state", "slaves", "frameworks", "tasks"]) {
    for (const path of [`/${name}`, `/${name}.json`, `/master/${name}`, `/master/${name}.json`]) {
      const response = await get(path);
      expect([path, response.status, response.headers.get("content-type")]).toEqual([path, 200, "application/json"]);
    }
  }
  expect((await get("/registrar%281%29/registry")).status).toBe(200);
  expect(await (await get("/tasks?jsonp=show")).text()).toBe('show({"tasks":[]});');
  expect((await get("/tasks?jsonp=alert(1)//")).status).toBe(400);
  expect((await get("/tasks?limit=many&offset=-1&order=sideways")).status).toBe(200);
  expect((await get("/metrics/snapshot?timeout=5s")).status).toBe(400);
  expect((await get("/metrics/snapshot?timeout=5secs")).status).toBe(200);
  expect((await get("/nothing")).status).toBe(404);
  for (const method of ["POST", "PUT", "DELETE"]) {
    const response = await request("/state", { as: "reader", method });
    expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  }
  expect((await get("/agents/nobody/files/read?path=/")).status).toBe(404);
  expect((await get("/agents/nobody/etc/passwd")).status).toBe(404);
});

test("init: once; again with the same id; never with another, nor with nonsense", async () => {
  await initialise();
  await initialise();
  const init = (body: string) => request("/mesoflare/init", { as: "operator", method: "POST", body });
  const other = await init('{"cluster_id":"7b9f7e9e-6d0e-4d8e-9a51-1f0c6b6f3c99"}');
  expect([other.status, await other.text()]).toEqual([409, expect.stringContaining("already")]);
  for (const body of ["", "{}", '{"cluster_id":"x"}', "x".repeat(5000)]) expect((await init(body)).status).toBe(400);
});

test("the agents' socket wants a host key and an upgrade", async () => {
  expect((await request("/agent/socket/short")).status).toBe(400);
  expect((await request(`/agent/socket/${"0".repeat(32)}`)).status).toBe(426);
  expect(ORIGIN).toContain("5050");
});
