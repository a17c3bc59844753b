// The registry's route on a real Worker: what it refuses, what it shows, and that it needs neither a master nor all of the replicas.
import { env, runInDurableObject } from "cloudflare:test";
import { beforeAll, describe, expect, test } from "vitest";
import type { Env } from "../../src/durable-objects/env.ts";
import { CLUSTER_ID, initialise, register, request, TestSocket } from "./plane.ts";

const PATH = "/mesoflare/registry";
const { REPLICA, MASTER } = env as unknown as Env;

interface Registry {
  readonly position: number;
  readonly decided_to: number;
  readonly leader?: { readonly candidate: string; readonly epoch: number };
  readonly agents: Record<"admitted" | "unreachable" | "gone", readonly Record<string, unknown>[]>;
}
interface History {
  readonly entries: readonly {
    readonly position: number;
    readonly type: string;
    readonly changes?: readonly object[];
  }[];
}
const get = (query = "", as: "operator" | "reader" | "agent" = "reader") => request(`${PATH}${query}`, { as });
const registry = async (query = "") => (await get(query)).json<Registry>();
const history = async (query = "") => (await get(`?history=true${query}`)).json<History>();
const promises = async () => {
  const { replicas } = await (
    await request("/mesoflare/log", { as: "reader" })
  ).json<{
    replicas: { readonly id: string; readonly promised?: unknown }[];
  }>();
  return replicas.map(({ id, promised }) => [id, promised]);
};
const lost = (stub: DurableObjectStub) =>
  runInDurableObject(stub, (_, state) => state.abort("a test took it away")).catch(() => undefined);

test("before 'mesoflare init' there is nothing to be shown, and it says what to look at", async () => {
  const answer = await get();
  expect([answer.status, await answer.text()]).toEqual([503, expect.stringContaining("mesoflare log status")]);
});

describe("after it", () => {
  beforeAll(async () => {
    await initialise();
    const socket = await TestSocket.open();
    await socket.authenticate();
    socket.send(register());
    await socket.next("registered");
  });

  test.each([
    ["?at=0", "at"],
    ["?at=-1", "at"],
    ["?at=1.5", "at"],
    ["?at=1e3", "at"],
    ["?at=9007199254740993", "at"],
    ["?at=99999999999999999999", "at"],
    ["?at=", "at"],
    ["?at=1&at=2", "given 2 times"],
    ["?history=yes", "history"],
    ["?history", "history"],
    ["?from=1", "history=true"],
    ["?history=true&from=x", "from"],
    ["?agent=", "agent"],
    ["?agent=..", "agent"],
    [`?agent=${"x".repeat(300)}`, "agent"],
    ["?agent=%00", "agent"],
    ["?part=1/0&at=1", "part"],
    ["?part=4/4&at=1", "part"],
    ["?part=1/9999&at=1", "part"],
    ["?part=1/2", "at"],
    ["?part=1/2&at=1&history=true", "history"],
    ["?nonsense=1", "nonsense"],
    ["?__proto__=1", "__proto__"],
    ["?constructor=1", "constructor"],
  ])("%s is refused in words", async (query, words) => {
    const answer = await get(query);
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain(words);
  });

  test("who may: a reader and an operator, not an agent and nobody", async () => {
    expect((await get("", "operator")).status).toBe(200);
    expect((await get("", "agent")).status).toBe(403);
    expect((await request(PATH)).status).toBe(401);
    const posted = await request(PATH, { as: "operator", method: "POST" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  test("[R26] [R27] the agent, since when, by whom and why; and the registry before it", async () => {
    const now = await registry();
    expect(now).toMatchObject({
      cluster_id: CLUSTER_ID,
      begin: 1,
      leader: { candidate: "master-1", epoch: 2 },
      agents: { admitted: [{ hostname: "host", port: 5051, principal: "agent" }], unreachable: [], gone: [] },
      frameworks: { disconnected: [], removed: [] },
      credentials: [],
    });
    expect(now.position).toBe(now.decided_to - 1);
    const [agent] = now.agents.admitted;
    expect(Date.now() - Date.parse(String(agent?.["admitted_at"]))).toBeLessThan(60_000);
    expect((await registry("?at=2")).agents.admitted).toEqual([]);
    expect(await registry(`?agent=${String(agent?.["id"])}`)).toMatchObject({ agents: now.agents });
    expect((await registry("?agent=nobody")).agents.admitted).toEqual([]);

    const { entries } = await history();
    expect(entries.map(({ type }) => type)).toEqual(["membership", "leader", "operations"]);
    expect(entries[2]?.changes).toMatchObject([
      { type: "admit-agent", agents: [agent?.["id"]], hostname: "host", who: "agent", when: expect.any(String) },
    ]);
    expect((await history("&agent=nobody")).entries).toEqual([]);
    expect((await history("&from=3&at=3")).entries.map(({ position }) => position)).toEqual([3]);
    const gone = await get("?at=99");
    expect([gone.status, await gone.text()]).toEqual([409, expect.stringContaining("there is no entry 99 yet")]);
  });

  test("[R28] no host key and no secret in either", async () => {
    for (const query of ["", "?history=true"]) {
      const text = await (await get(query)).text();
      for (const hidden of ["host_key", "hostKey", "0".repeat(31), "salt", "stored"])
        expect(text).not.toContain(hidden);
    }
  });

  test("[R28] without a master and with two of three replicas it says the same, and no promise is raised", async () => {
    const before = [await registry(), await history()];
    const promised = await promises();
    await lost(MASTER.get(MASTER.idFromName("master-1")));
    await runInDurableObject(REPLICA.get(REPLICA.idFromName("replica-3")), async (_, { storage }) =>
      storage.deleteAll(),
    );
    await lost(REPLICA.get(REPLICA.idFromName("replica-3")));
    expect([await registry(), await history()]).toEqual(before);
    expect((await promises()).slice(0, 2)).toEqual(promised.slice(0, 2));
  });
});
