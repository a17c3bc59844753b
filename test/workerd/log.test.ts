// The routes of the log on a real Worker: what they refuse, and a membership that really changes.
import { beforeAll, describe, expect, test } from "vitest";
import { CLUSTER_ID, initialise, request } from "./plane.ts";

const MEMBERS = "/mesoflare/log/members";
const VERIFY = "/mesoflare/log/verify";

type As = "operator" | "scheduler" | "reader" | "agent";

interface Replica {
  readonly id: string;
  readonly status: string;
  readonly member: boolean;
  readonly [name: string]: unknown;
}
interface Status {
  readonly cluster_id?: string;
  readonly membership?: readonly string[];
  readonly membership_position?: number;
  readonly replicas: readonly Replica[];
}

function post(
  path: string,
  body: BodyInit,
  { as = "operator", headers = {} }: { as?: As | undefined; headers?: object } = {},
) {
  const all = { "content-type": "application/json", ...headers };
  return request(path, { as, method: "POST", body, headers: all });
}
const change = (body: unknown, as: As = "operator") => post(MEMBERS, JSON.stringify(body), { as });
const verify = async (from: number) => (await post(VERIFY, JSON.stringify({ from }))).json<Record<string, unknown>>();
const status = async () => (await request("/mesoflare/log", { as: "reader" })).json<Status>();

test("before 'mesoflare init': every replica is empty, nothing can be changed or verified", async () => {
  const { cluster_id, membership, replicas } = await status();
  expect([cluster_id, membership]).toEqual([undefined, undefined]);
  expect(replicas.map(({ id, status, member }) => [id, status, member])).toEqual([
    ["replica-1", "empty", true],
    ["replica-2", "empty", true],
    ["replica-3", "empty", true],
  ]);
  const added = await change({ type: "add", replica: "replica-4" });
  expect([added.status, await added.text()]).toEqual([503, expect.stringContaining("mesoflare init")]);
  expect((await post(VERIFY, '{"from":1}')).status).toBe(503);
});

describe("hostile values", () => {
  beforeAll(initialise);

  test.each([
    ["no JSON", "{"],
    ["nothing", ""],
    ["a list", "[]"],
    ["null", "null"],
    ["a text", '"add"'],
    ["an unknown type", '{"type":"destroy","replica":"replica-4"}'],
    ["a type that is none", '{"type":{},"replica":"replica-4"}'],
    ["no type", '{"replica":"replica-4"}'],
    ["no replica", '{"type":"add"}'],
    ["replica-0", '{"type":"add","replica":"replica-0"}'],
    ["replica-01", '{"type":"add","replica":"replica-01"}'],
    ["replica-1000", '{"type":"add","replica":"replica-1000"}'],
    ["another object", '{"type":"add","replica":"master-1"}'],
    ["a path", '{"type":"add","replica":"../x"}'],
    ["a line break", String.raw`{"type":"add","replica":"replica-4\n"}`],
    ["300 letters", JSON.stringify({ type: "add", replica: `replica-${"4".repeat(300)}` })],
    ["an object", '{"type":"add","replica":{"name":"replica-4"}}'],
    ["a list of one", '{"type":"add","replica":["replica-4"]}'],
    ["a number", '{"type":"remove","replica":4}'],
    ["the prototype", '{"type":"add","__proto__":{"replica":"replica-4"}}'],
    ["replace without a successor", '{"type":"replace","replica":"replica-3"}'],
    ["add with a successor", '{"type":"add","replica":"replica-4","by":"replica-5"}'],
  ])("members: %s is 400", async (_, body) => {
    const response = await post(MEMBERS, body);
    expect([response.status, (await response.text()).length < 2000]).toEqual([400, true]);
  });

  test.each([
    "",
    "{}",
    "1",
    '{"from":0}',
    '{"from":-1}',
    '{"from":1.5}',
    '{"from":1e300}',
    '{"from":"1"}',
    '{"from":null}',
    '{"from":1,"to":2}',
  ])("verify: %s is 400", async (body) => {
    expect((await post(VERIFY, body)).status).toBe(400);
  });

  test.each([MEMBERS, VERIFY])("%s: bytes, lengths and types that are not expected", async (path) => {
    expect((await post(path, new Uint8Array([0xff, 0xfe, 0x00]))).status).toBe(400);
    expect((await post(path, " ".repeat(5000))).status).toBe(413);
    const endless = new ReadableStream<Uint8Array>({ pull: (to) => to.enqueue(new Uint8Array(512)) });
    expect((await post(path, endless)).status).toBe(413);
    for (const contentType of ["text/plain", "application/x-www-form-urlencoded", ""]) {
      expect((await post(path, "{}", { headers: { "content-type": contentType } })).status).toBe(415);
    }
  });

  test("who may: readers look, operators change, agents nothing", async () => {
    const added = JSON.stringify({ type: "add", replica: "replica-4" });
    for (const path of [MEMBERS, VERIFY]) {
      const response = await request(path, {
        method: "POST",
        body: added,
        headers: { "content-type": "application/json" },
      });
      expect([path, response.status]).toEqual([path, 401]);
      expect(response.headers.get("www-authenticate")).toContain("mesos-master-readwrite");
      for (const as of ["agent", "reader", "scheduler"] as const) {
        expect([path, as, (await post(path, added, { as })).status]).toEqual([path, as, 403]);
      }
    }
    expect((await request("/mesoflare/log")).status).toBe(401);
    expect((await request("/mesoflare/log", { as: "agent" })).status).toBe(403);
    for (const as of ["reader", "scheduler", "operator"] as const) {
      expect((await request("/mesoflare/log", { as })).status).toBe(200);
    }
    expect((await status()).membership).toEqual(["replica-1", "replica-2", "replica-3"]);
  });

  test("other methods and paths", async () => {
    for (const method of ["POST", "PUT", "DELETE"]) {
      const response = await request("/mesoflare/log", { as: "operator", method });
      expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
    }
    for (const path of [MEMBERS, VERIFY]) {
      const response = await request(path, { as: "operator" });
      expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
    }
    for (const path of ["/mesoflare/log/", "/mesoflare/log/members/replica-1", "/mesoflare/log/x"]) {
      expect((await request(path, { as: "operator" })).status).toBe(404);
    }
  });
});

test("status after init: cluster, members, and how far each replica is", async () => {
  await initialise();
  const { cluster_id, membership, membership_position, replicas } = await status();
  expect([cluster_id, membership_position]).toEqual([CLUSTER_ID, 1]);
  expect(membership).toEqual(["replica-1", "replica-2", "replica-3"]);
  for (const replica of replicas) {
    expect(replica).toMatchObject({ status: "voting", member: true, cluster_id: CLUSTER_ID, begin: 1 });
    expect(replica["incarnation"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(replica["missing_from"]).toBeGreaterThan(1);
    expect(Object.keys(replica["promised"] as object)).toEqual(["counter", "candidate"]);
  }
});

test("add, remove, replace; refusals say why and change nothing; verification finds nothing", async () => {
  await initialise();
  const membersAfter = async (body: unknown): Promise<readonly string[]> => {
    const response = await change(body);
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    const answer = await response.json<Status>();
    const { membership, membership_position } = await status();
    expect(answer).toEqual({ membership, membership_position });
    return membership ?? [];
  };
  const refusal = async (body: unknown): Promise<string> => {
    const before = await status();
    const response = await change(body);
    expect(response.status).toBe(409);
    expect((await status()).membership).toEqual(before.membership);
    return response.text();
  };
  expect(await membersAfter({ type: "add", replica: "replica-4" })).toHaveLength(4);
  expect(await refusal({ type: "add", replica: "replica-4" })).toContain("is a member already");
  expect(await membersAfter({ type: "remove", replica: "replica-4" })).toHaveLength(3);
  expect(await refusal({ type: "remove", replica: "replica-4" })).toContain("is no member");
  expect(await membersAfter({ type: "replace", replica: "replica-3", by: "replica-5" })).toEqual([
    "replica-1",
    "replica-2",
    "replica-5",
  ]);
  expect(await refusal({ type: "replace", replica: "replica-1", by: "replica-2" })).toContain("is a member already");

  const { replicas } = await status();
  expect(replicas.find(({ id }) => id === "replica-3")).toMatchObject({ member: false }); // named by REPLICAS
  expect(replicas.find(({ id }) => id === "replica-5")).toMatchObject({ member: true, status: "voting" });
  expect((await request("/slaves", { as: "reader" })).status).toBe(200);

  const verified = await verify(1);
  expect(verified).toMatchObject({ from: 1, findings: [] });
  expect(verified["next"]).toBeUndefined();
  expect(verified["end"]).toBeGreaterThanOrEqual(5);
  expect((verified["replicas"] as string[]).toSorted()).toEqual(["replica-1", "replica-2", "replica-5"]);
  expect(await verify(Number.MAX_SAFE_INTEGER)).toMatchObject({ findings: [] });
});

test("down to one member and up again; the last one stays", async () => {
  await initialise();
  const { membership = [] } = await status();
  const [first, ...others] = membership;
  for (const replica of others) expect((await change({ type: "remove", replica })).status).toBe(200);
  const last = await change({ type: "remove", replica: first });
  expect([last.status, await last.text()]).toEqual([409, expect.stringContaining("last member")]);
  for (const replica of others) expect((await change({ type: "add", replica })).status).toBe(200);
  expect((await status()).membership).toHaveLength(3);
});
