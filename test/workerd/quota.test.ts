// Quotas and weights on a real Worker: the endpoints and calls with their codes and shapes, hostile bodies, and that what was answered is
// there with the next master.
import { env } from "cloudflare:test";
import { beforeAll, describe, expect, test } from "vitest";
import { initialise, register, request, TestSocket } from "./plane.ts";

Object.assign(env, { MASTERS: "2" });

type As = NonNullable<NonNullable<Parameters<typeof request>[1]>["as"]>;

const JSON_HEADERS = { "content-type": "application/json" };
const text = (body: unknown): string => (typeof body === "string" ? body : JSON.stringify(body));
const call = (body: unknown, headers: Record<string, string> = {}) =>
  request("/api/v1", { as: "operator", method: "POST", body: text(body), headers: { ...JSON_HEADERS, ...headers } });
const scalar = (value: unknown) => ({ value });
const resource = (name: string, value: unknown) => ({ name, type: "SCALAR", scalar: { value } });
const updateQuota = (quota_configs: unknown, force?: unknown) =>
  call({ type: "UPDATE_QUOTA", update_quota: { force, quota_configs } });
const updateWeights = (weight_infos: unknown) => call({ type: "UPDATE_WEIGHTS", update_weights: { weight_infos } });
const postQuota = (body: unknown, headers: Record<string, string> = {}) =>
  request("/quota", { as: "operator", method: "POST", body: text(body), headers });
const putWeights = (body: unknown, path = "/weights") =>
  request(path, { as: "operator", method: "PUT", body: text(body) });
const deleteQuota = (role: string) => request(`/quota/${role}`, { as: "operator", method: "DELETE" });
const get = async (path: string, as: As = "operator"): Promise<unknown> => (await request(path, { as })).json();
const outcome = async (response: Response) => [
  response.status,
  response.headers.get("content-type"),
  await response.text(),
];
const DONE = [200, null, ""];

test("before 'mesoflare init' nobody leads: 503, whatever else is wrong", async () => {
  for (const answer of [
    await updateQuota([]),
    await call({ type: "GET_QUOTA" }),
    await call({ type: "UPDATE_WEIGHTS" }),
    await postQuota("{"),
    await postQuota({ role: "a", guarantee: [resource("cpus", 1)] }),
    await putWeights([]),
    await request("/quota", { as: "operator" }),
    await request("/weights", { as: "operator", method: "DELETE" }),
    await deleteQuota("a"),
  ])
    expect([answer.status, await answer.text()]).toEqual([503, expect.stringContaining("mesoflare init")]);
});

describe("with an agent of 2 CPUs and 1,000 MB", () => {
  beforeAll(async () => {
    await initialise();
    const socket = await TestSocket.open();
    await socket.authenticate();
    await socket.next("authenticated");
    socket.send(register());
    await socket.next("registered");
  });

  test("nothing is there at first, in the shapes of Mesos", async () => {
    for (const prefix of ["", "/master"]) {
      expect(await get(`${prefix}/quota`)).toEqual({});
      expect(await get(`${prefix}/quota/`)).toEqual({});
      expect(await get(`${prefix}/weights`)).toEqual([]);
      expect(await get(`${prefix}/roles`, "reader")).toEqual({ roles: [] });
    }
    const answer = await call({ type: "GET_QUOTA" });
    const body = await answer.text();
    expect([answer.headers.get("content-type"), answer.headers.get("content-length"), body]).toEqual([
      "application/json",
      String(body.length),
      '{"type":"GET_QUOTA","get_quota":{"status":{}}}',
    ]);
    expect(await (await call({ type: "GET_WEIGHTS" })).json()).toEqual({ type: "GET_WEIGHTS" });
    expect(await (await call({ type: "GET_ROLES" })).json()).toEqual({ type: "GET_ROLES" });
  });

  test("who may: an operator, and nobody else; the checks in their order", async () => {
    for (const [path, method] of [
      ["/quota", "GET"],
      ["/quota", "POST"],
      ["/quota/a", "DELETE"],
      ["/weights", "GET"],
      ["/weights", "PUT"],
      ["/api/v1", "POST"],
    ] as const) {
      const anonymous = await request(path, { method });
      expect([anonymous.status, anonymous.headers.get("www-authenticate")]).toEqual([
        401,
        'Basic realm="mesos-master-readwrite"',
      ]);
      for (const as of ["reader", "scheduler", "agent"] as const)
        expect((await request(path, { as, method })).status).toBe(403);
    }
    for (const [path, method, allow] of [
      ["/quota", "PUT", "GET, POST, DELETE"],
      ["/master/quota", "PATCH", "GET, POST, DELETE"],
      ["/quota/a", "POST", "DELETE"],
      ["/weights", "POST", "GET, PUT"],
      ["/master/weights", "DELETE", "GET, PUT"],
    ] as const) {
      const answer = await request(path, { as: "operator", method });
      expect([answer.status, answer.headers.get("allow")]).toEqual([405, allow]);
    }
    expect((await call({ type: "GET_QUOTA" }, { accept: "text/html" })).status).toBe(406);
    expect((await call({ type: "UPDATE_QUOTA" }, { accept: "text/html" })).status).toBe(400);
  });

  test("SET_QUOTA and POST /quota: once, not more than there is, and removed by REMOVE_QUOTA and DELETE", async () => {
    expect(await outcome(await postQuota({ role: "web", guarantee: [resource("cpus", 1.5)] }))).toEqual(DONE);
    const one = { role: "web", guarantee: [resource("cpus", 1.5)] };
    expect(await get("/quota")).toEqual({
      infos: [one],
      configs: [{ role: "web", guarantees: { cpus: scalar(1.5) }, limits: { cpus: scalar(1.5) } }],
    });
    const again = await postQuota(one);
    expect([again.status, await again.text()]).toEqual([400, expect.stringContaining("already has a quota")]);
    const set = (quota_request: object) => call({ type: "SET_QUOTA", set_quota: { quota_request } });
    const more = await set({ role: "db", guarantee: resource("cpus", "0.6") });
    expect([more.status, await more.text()]).toEqual([409, expect.stringContaining("'force'")]);
    expect(await outcome(await set({ role: "db", guarantee: resource("cpus", "0.6"), force: "true" }))).toEqual(DONE);
    expect(await outcome(await call({ type: "REMOVE_QUOTA", remove_quota: { role: "web" } }))).toEqual(DONE);
    expect((await call({ type: "REMOVE_QUOTA", remove_quota: { role: "web" } })).status).toBe(400);
    expect(await outcome(await deleteQuota("db"))).toEqual(DONE);
    expect((await deleteQuota("db")).status).toBe(400);
    expect(await get("/quota")).toEqual({});
    const named = "\u00fc ber".replace(" ", "_");
    expect(await outcome(await postQuota({ role: named, guarantee: [resource("cpus", 1)] }))).toEqual(DONE);
    const path = `/master/quota/${encodeURIComponent(named)}`;
    expect((await request(path, { as: "operator", method: "DELETE" })).status).toBe(200);
    for (const wrong of ["", "a/b", "%2A", "%00", "%ff", "..%2f..", "x".repeat(5000)])
      expect((await deleteQuota(wrong)).status).toBe(400);
  });

  test("UPDATE_QUOTA: several roles or none, floors and ceilings, forced or not", async () => {
    const configs = [
      { role: "a", guarantees: { cpus: scalar(0.5) }, limits: { cpus: scalar("1"), gpus: scalar(0) } },
      { role: "b", limits: { mem: scalar(64.0004) } },
    ];
    expect(await outcome(await updateQuota(configs))).toEqual(DONE);
    const stored = [
      { role: "a", guarantees: { cpus: scalar(0.5) }, limits: { cpus: scalar(1), gpus: scalar(0) } },
      { role: "b", limits: { mem: scalar(64) } },
    ];
    expect(await (await call({ type: "GET_QUOTA" })).json()).toEqual({
      type: "GET_QUOTA",
      get_quota: { status: { infos: [{ role: "a", guarantee: [resource("cpus", 0.5)] }], configs: stored } },
    });
    const over = await updateQuota([{ role: "b" }, { role: "c", guarantees: { cpus: scalar(1.501) } }]);
    expect([over.status, await over.text()]).toEqual([400, expect.stringContaining("2.001")]);
    expect(await get("/quota")).toMatchObject({ configs: stored });
    const forced = await updateQuota([{ role: "b" }, { role: "c", guarantees: { cpus: scalar(1.501) } }], true);
    expect(await outcome(forced)).toEqual(DONE);
    expect(await get("/quota")).toMatchObject({ configs: [{ role: "a" }, { role: "c" }] });
    expect(await get("/roles", "reader")).toMatchObject({
      roles: [
        { name: "a", weight: 1, quota: { role: "a", guarantee: { cpus: 0.5 }, limit: { cpus: 1, gpus: 0 } } },
        { name: "c", quota: { guarantee: { cpus: 1.501 } } },
      ],
    });
    expect(await outcome(await updateQuota([{ role: "a" }, { role: "c" }]))).toEqual(DONE);
    // A single value is a list of one, null and nothing are no list.
    expect(await outcome(await updateQuota({ role: "a", guarantees: null }))).toEqual(DONE);
    for (const none of [null, [], undefined]) expect(await outcome(await updateQuota(none))).toEqual(DONE);
    expect(await get("/quota")).toEqual({});
  });

  test("weights by PUT and by call", async () => {
    const infos = [
      { role: "a/b", weight: 2 },
      { role: "*", weight: 0.5 },
    ];
    expect(await outcome(await putWeights(infos))).toEqual(DONE);
    expect(await outcome(await putWeights([], "/master/weights"))).toEqual(DONE);
    expect(await outcome(await updateWeights({ role: "c", weight: "1" }))).toEqual(DONE);
    const all = [...infos, { role: "c", weight: 1 }];
    expect(await get("/weights")).toEqual(all);
    expect(await (await call({ type: "GET_WEIGHTS" })).json()).toEqual({
      type: "GET_WEIGHTS",
      get_weights: { weight_infos: all },
    });
    expect(await (await call({ type: "GET_ROLES" })).json()).toEqual({
      type: "GET_ROLES",
      get_roles: {
        roles: [
          { name: "*", weight: 0.5 },
          { name: "a/b", weight: 2 },
          { name: "c", weight: 1 },
        ],
      },
    });
    for (const wrong of [
      "{}",
      '{"role":"a","weight":1}',
      "null",
      "7",
      '"x"',
      "",
      "{",
      [{ role: "a" }],
      [{ weight: 1 }],
    ])
      expect((await putWeights(wrong)).status).toBe(400);
  });

  const HOSTILE = [-1, "-0.5", "NaN", "Infinity", 1e308, "1e999", null, true, [], {}, "one", ""];
  test.each(HOSTILE)("an amount of %j is a 400 everywhere and changes nothing", async (value) => {
    const before = [await get("/quota"), await get("/weights")];
    for (const answer of [
      await updateQuota([{ role: "q", guarantees: { cpus: scalar(value) } }], true),
      await updateQuota([{ role: "q", limits: { cpus: scalar(value) } }], true),
      await postQuota({ role: "q", guarantee: [resource("cpus", value)], force: true }),
      await putWeights([{ role: "q", weight: value }]),
      await updateWeights([{ role: "q", weight: value }]),
    ])
      expect([answer.status, (await answer.text()).length < 500]).toEqual([400, true]);
    expect([await get("/quota"), await get("/weights")]).toEqual(before);
  });

  const ROLES = ["", ".", "..", "-a", "a b", "a//b", "/a", "a/", "a\b", "x".repeat(300), 7, null, {}, ["a"]];
  test.each(ROLES)("the role %j is a 400 everywhere", async (role) => {
    const before = [await get("/quota"), await get("/weights")];
    for (const answer of [
      await updateQuota([{ role, limits: { cpus: scalar(1) } }], true),
      await postQuota({ role, guarantee: [resource("cpus", 1)] }),
      await putWeights([{ role, weight: 1 }]),
      await updateWeights([{ role, weight: 1 }]),
      await call({ type: "REMOVE_QUOTA", remove_quota: { role } }),
    ])
      expect(answer.status).toBe(400);
    expect([await get("/quota"), await get("/weights")]).toEqual(before);
  });

  test("other wrong shapes, huge ones, and names that JavaScript has a use for", async () => {
    const ranges = { name: "ports", type: "RANGES", ranges: { range: [{ begin: 1, end: 2 }] } };
    for (const guarantee of [
      [ranges],
      [{ name: "cpus", type: "SCALAR" }],
      [{ ...resource("cpus", 1), type: "RANGES" }],
      [{ ...resource("cpus", 1), role: "a" }],
      [{ ...resource("cpus", 1), revocable: {} }],
      [{ ...resource("cpus", 1), disk: { persistence: { id: "x" } } }],
      [{ ...resource("cpus", 1), reservations: [{}] }],
      [resource("cpus", 1), resource("cpus", 1)],
      [{ scalar: { value: 1 } }],
      ["cpus"],
      "cpus",
      [],
    ])
      expect((await postQuota({ role: "a", guarantee, force: true })).status).toBe(400);
    for (const body of ["", "{", "[]", "null", "7", "{}", { role: "a" }, { guarantee: [resource("cpus", 1)] }])
      expect((await postQuota(body)).status).toBe(400);
    for (const configs of [
      [{ role: "a", guarantees: [] }],
      [{ role: "a", guarantees: "x" }],
      [{ role: "a", guarantees: { cpus: 1 } }],
      [{ role: "a", limits: { cpus: null } }],
      [{ role: "*", limits: { cpus: scalar(1) } }],
      [{ role: "a/b", limits: { cpus: scalar(1) } }],
      [{ role: "a" }, { role: "a" }],
      [{ guarantees: {} }],
      ["a"],
      "a",
    ])
      expect((await updateQuota(configs, true)).status).toBe(400);
    for (const body of [
      { type: "UPDATE_QUOTA" },
      { type: "SET_QUOTA" },
      { type: "SET_QUOTA", set_quota: {} },
      { type: "REMOVE_QUOTA", remove_quota: {} },
      { type: "UPDATE_WEIGHTS" },
    ])
      expect((await call(body)).status).toBe(400);
    expect((await updateQuota([{ role: "a" }], "maybe")).status).toBe(400);

    const kinds = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`r${n}`, scalar(n)]));
    for (const count of [33, 101, 50_000])
      expect((await updateQuota([{ role: "a", limits: kinds(count) }])).status).toBe(400);
    expect((await updateQuota(Array.from({ length: 2001 }, (_, n) => ({ role: `r${n}` })))).status).toBe(400);
    expect((await putWeights(Array.from({ length: 10_001 }, (_, n) => ({ role: `r${n}`, weight: 1 })))).status).toBe(
      400,
    );
    // It fits the registry but no entry of its log.
    const many = Array.from({ length: 2000 }, (_, n) => ({
      role: `r${n}${"x".repeat(200)}`,
      limits: { cpus: scalar(1) },
    }));
    const large = await updateQuota(many);
    expect([large.status, await large.text()]).toEqual([400, expect.stringContaining("operation-too-large")]);
    expect((await postQuota(`{"role":"${"x".repeat(5_000_000)}"}`)).status).toBe(413);
    expect((await putWeights(Array.from({ length: 3_000_000 }, () => 1))).status).toBe(413);

    const names = '{"__proto__":{"value":1},"constructor":{"value":2},"toString":{"value":3}}';
    const raw = `{"type":"UPDATE_QUOTA","update_quota":{"quota_configs":{"role":"__proto__","limits":${names}}}}`;
    expect((await call(raw)).status).toBe(200);
    const shown = await (await request("/quota", { as: "operator" })).text();
    expect(shown).toContain(`{"role":"__proto__","limits":${names}}`);
    expect(await outcome(await deleteQuota("__proto__"))).toEqual(DONE);
  });

  test("a page of another origin is refused, as is one that hides it; curl and our own pages are not", async () => {
    const body = { role: "a", guarantee: [resource("cpus", 1)] };
    for (const origin of ["https://elsewhere.test", "null", "http://plane.test", "http://plane.test:5051"])
      expect((await postQuota(body, { origin })).status).toBe(403);
    expect((await postQuota(body, { origin: "http://plane.test:5050" })).status).toBe(200);
    const headers = { origin: "https://elsewhere.test" };
    expect((await request("/quota/a", { as: "operator", method: "DELETE", headers })).status).toBe(403);
    expect((await request("/weights", { as: "operator", method: "PUT", body: "[]", headers })).status).toBe(403);
    expect((await deleteQuota("a")).status).toBe(200);
  });

  test("what was answered is there with the next master, in Mesos' registry, in ours, and in the history", async () => {
    expect(
      (await updateQuota([{ role: "web", guarantees: { cpus: scalar(1) }, limits: { cpus: scalar(2) } }])).status,
    ).toBe(200);
    expect((await putWeights([{ role: "web", weight: 3 }])).status).toBe(200);
    const before = [await get("/quota"), await get("/weights")];
    const failover = await request("/mesoflare/masters/failover", {
      as: "operator",
      method: "POST",
      body: JSON.stringify({ to: "master-2" }),
      headers: JSON_HEADERS,
    });
    expect(await failover.json()).toMatchObject({ leader: "master-2" });
    expect([await get("/quota"), await get("/weights")]).toEqual(before);
    expect(await get("/registrar(1)/registry", "reader")).toMatchObject({
      quotas: [{ info: { role: "web" } }],
      quota_configs: [{ role: "web", limits: { cpus: { value: 2 } } }],
      weights: expect.arrayContaining([{ info: { role: "web", weight: 3 } }]),
      minimum_capabilities: [{ capability: "QUOTA_V2" }],
    });
    expect(await get("/mesoflare/registry", "reader")).toMatchObject({
      quotas: [{ role: "web", guarantees: { cpus: 1 }, limits: { cpus: 2 } }],
      weights: expect.arrayContaining([{ role: "web", weight: 3 }]),
    });
    const { entries } = (await get("/mesoflare/registry?history=true", "reader")) as {
      entries: readonly { readonly changes?: readonly Record<string, unknown>[] }[];
    };
    const changes = entries.flatMap((entry) => entry.changes ?? []);
    expect(changes.findLast(({ type }) => type === "update-quota")).toMatchObject({
      quotas: [{ role: "web", guarantees: { cpus: 1 }, limits: { cpus: 2 } }],
      who: "operator",
      why: "UPDATE_QUOTA",
    });
    expect(changes.at(-1)).toMatchObject({
      type: "update-weights",
      weights: [{ role: "web", weight: 3 }],
      who: "operator",
    });
    // Who addresses the one that does not lead is sent to the one that does, whatever he brings.
    for (const init of [{ method: "POST", body: "{" }, { method: "GET" }] as const) {
      const answer = await request("/masters/master-1/quota", { as: "operator", ...init });
      expect([answer.status, answer.headers.get("location")]).toEqual([307, "//plane.test:5050/quota"]);
    }
    // No agent has registered with this master: there is nothing that it could promise.
    expect((await updateQuota([{ role: "db", guarantees: { cpus: scalar(0.001) } }])).status).toBe(400);
    expect((await updateQuota([{ role: "web", guarantees: { cpus: scalar(0.5) } }])).status).toBe(200);
  });
});
