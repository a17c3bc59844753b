// Two candidates in one plane: who leads, who says so, how one takes the other's place, and how gateways and agents follow.
import {
  abortAllDurableObjects,
  env,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { present } from "#base/assert.ts";
import type { GatewayBatch } from "#protocol/gateway.ts";
import type { Epoch } from "#protocol/ids.ts";
import type { Leadership } from "#protocol/leadership.ts";
import type { Env } from "../../src/durable-objects/env.ts";
import { GatewayDO } from "../../src/durable-objects/gateway-do.ts";
import { MasterDO } from "../../src/durable-objects/master-do.ts";
import { RegistrarWorker } from "../../src/durable-objects/registrar-worker.ts";
import type { Ballot } from "../../src/log/ballot.ts";
import { initialise, register, request, TestSocket } from "./plane.ts";

Object.assign(env, { MASTERS: "2", LEADER_SILENCE: "1secs" });
const bindings = env as unknown as Env;
const gateway = () => bindings.GATEWAY.get(bindings.GATEWAY.idFromName("gateway-1"));
const master = (number: number) => bindings.MASTER.get(bindings.MASTER.idFromName(`master-${number}`));
const standInstead = (number: number, epoch: number): Promise<Leadership> => master(number).stand(epoch as Epoch);

const nameOf = (object: MasterDO): string => (object as unknown as { ctx: DurableObjectState }).ctx.id.name ?? "";
const CALLS = [
  "fetch",
  "view",
  "call",
  "fromGateway",
  "checkIn",
  "stand",
  "leadership",
  "defend",
  "status",
  "hearOf",
] as const;
const hearOf: MasterDO["hearOf"] = Reflect.get(MasterDO.prototype, "hearOf");

/** From now on every call to this candidate throws, as one to an object in a colo that is gone does; it knows nothing of that. */
function cutOff(candidate: string): void {
  for (const name of CALLS) {
    const original = Reflect.get(MasterDO.prototype, name) as (...args: unknown[]) => Promise<unknown>;
    vi.spyOn(MasterDO.prototype, name).mockImplementation(async function (this: MasterDO, ...args: unknown[]) {
      if (nameOf(this) === candidate) throw new Error(`${candidate} is cut off`);
      return original.apply(this, args) as never;
    });
  }
}

interface MasterJson {
  readonly name: string;
  readonly state: string;
  readonly epoch?: number;
  readonly leader?: string;
  readonly ballot?: number;
  readonly since?: number;
  readonly confirmed_at?: number;
  readonly reason?: string;
}
interface MastersJson {
  readonly leader?: string;
  readonly epoch?: number;
  readonly masters: readonly MasterJson[];
}
const masters = async (): Promise<MastersJson> => (await request("/mesoflare/masters", { as: "reader" })).json();
const epochNow = async (): Promise<number> => (await masters()).epoch ?? 0;

const failover = (body: unknown): Promise<Response> =>
  request("/mesoflare/masters/failover", {
    as: "operator",
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  });

/** A framework's stream, read up to a word or to its end. */
async function subscribe(as: "scheduler" | "operator", id?: string) {
  const framework_id = id === undefined ? undefined : { value: id };
  const framework_info = { user: "root", name: "test", id: framework_id };
  const response = await request("/api/v1/scheduler", {
    as,
    method: "POST",
    body: JSON.stringify({ type: "SUBSCRIBE", framework_id, subscribe: { framework_info } }),
    headers: { "content-type": "application/json" },
  });
  if (response.status !== 200 || response.body === null) throw new Error(`${response.status} ${await response.text()}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  return {
    async until(word?: string): Promise<string> {
      for (;;) {
        if (word !== undefined && text.includes(word)) return text;
        const { value, done } = await reader.read();
        if (done) return text;
        text += value;
      }
    },
  };
}

/** Each agent is of a host of its own: tests share the plane. */
let hosts = 0;

async function registered(): Promise<{ socket: TestSocket; epoch: number; session: string; agentId: string }> {
  const socket = await TestSocket.open(++hosts);
  await socket.authenticate();
  await socket.next("authenticated");
  socket.send(register());
  return { socket, ...(await socket.next("registered")) };
}

beforeEach(async () => {
  await initialise();
  await masters();
  if ((await failover({ to: "master-1" })).status !== 200) throw new Error("master-1 does not lead");
});
afterEach(() => void vi.restoreAllMocks());

describe("[M40] a candidate that is merely called", () => {
  test("does not lead, and says who does; the one that leads serves", async () => {
    expect((await request("/masters/master-1/state", { as: "reader" })).status).toBe(200);
    const answer = await request("/masters/master-2/tasks?limit=1", { as: "reader" });
    expect([answer.status, answer.headers.get("location")]).toEqual([307, "//plane.test:5050/tasks?limit=1"]);
    expect(await masters()).toMatchObject({
      leader: "master-1",
      masters: [
        {
          name: "master-1",
          state: "leads",
          ballot: expect.any(Number),
          since: expect.any(Number),
          confirmed_at: expect.any(Number),
        },
        { name: "master-2", state: "follows", leader: "master-1" },
      ],
    });
  });

  test("refuses in the published order: credentials, then who leads, then method and body", async () => {
    await request("/state", { as: "reader" });
    const at = (path: string, init: Parameters<typeof request>[1]) => request(`/masters/master-2${path}`, init);
    expect((await at("/api/v1/scheduler", {})).status).toBe(401);
    for (const init of [{ method: "GET" }, { method: "POST", body: "{" }] as const) {
      const answer = await at("/api/v1/scheduler", { as: "scheduler", ...init });
      expect([answer.status, answer.headers.get("location")]).toEqual([
        307,
        "//plane.test:5050/master/api/v1/scheduler",
      ]);
    }
    expect((await at("/state", { as: "reader", method: "DELETE" })).status).toBe(307);
    const redirect = await at("/redirect", {});
    expect([redirect.status, redirect.headers.get("location")]).toEqual([307, "//plane.test:5050"]);
    // Of each candidate's own, and not redirected.
    expect((await at("/health", {})).status).toBe(200);
    expect(await (await at("/metrics/snapshot", { as: "reader" })).json()).toMatchObject({ "master/elected": 0 });
    // The leader looks at method and body.
    const headers = { "content-type": "application/json" };
    const bad = { as: "scheduler", method: "POST", body: "{", headers } as const;
    expect((await request("/masters/master-1/api/v1/scheduler", bad)).status).toBe(400);
    for (const path of ["/masters/master-3/state", "/masters/master-1/masters/master-1/state"]) {
      expect((await request(path, { as: "reader" })).status).toBe(404);
    }
  });
});

test("a restart of the same candidate: the same epoch, and nobody registers again", async () => {
  const { socket, epoch, agentId, session } = await registered();
  await evictDurableObject(master(1));
  expect(await masters()).toMatchObject({ leader: "master-1", epoch });
  const { slaves } = await (await request("/slaves", { as: "reader" })).json<{ slaves: unknown[] }>();
  expect(slaves).toMatchObject([{ id: agentId, active: true }]);
  socket.send({ type: "acted", session: session as never, sequence: 0 });
  socket.send(register({ agentId: agentId as never, lastSession: session as never }));
  expect((await socket.next("registered")).epoch).toBe(epoch);
});

describe("asked to stand", () => {
  test("[M41] [M42] it looks, finds the leader, and does nothing; also in haste and by many", async () => {
    const epoch = await epochNow();
    const answers = await Promise.all([0, epoch, epoch, epoch].map((insteadOf) => standInstead(2, insteadOf)));
    for (const answer of answers)
      expect(answer).toMatchObject({ type: "not-leading", leader: { candidate: "master-1", epoch } });
    const tails = vi.spyOn(RegistrarWorker.prototype, "readTail");
    for (let i = 0; i < 10; i++) expect(await standInstead(2, epoch)).toEqual(answers.at(-1));
    expect(tails).not.toHaveBeenCalled(); // many who ask are no load on the log
    expect(await standInstead(1, epoch)).toMatchObject({ type: "leading", epoch });
    expect(await epochNow()).toBe(epoch);
  });

  test("[M43] one slow colo deposes nobody: we cannot reach the leader, its replicas hear it", async () => {
    const epoch = await epochNow();
    cutOff("master-1");
    const done = new AbortController();
    const others = (async () => {
      // Who can reach it makes it confirm, as a busy plane does.
      while (!done.signal.aborted) {
        await runInDurableObject(master(1), (object: MasterDO) =>
          hearOf.call(object, { candidate: "nobody", epoch: 1_000_000 as Epoch }),
        );
        await scheduler.wait(100);
      }
    })();
    expect(await standInstead(2, epoch)).toMatchObject({
      type: "not-leading",
      leader: { candidate: "master-1", epoch },
    });
    done.abort();
    await others;
    vi.restoreAllMocks();
    expect(await masters()).toMatchObject({ leader: "master-1", epoch });
  });

  test("[M43] [M48] a leader that nobody hears is replaced; it serves nothing afterwards, and its agents follow", async () => {
    const { socket, epoch, session, agentId } = await registered();
    cutOff("master-1");
    // The first caller hears that it is being looked for; whoever asks later is served by another.
    await vi.waitFor(async () => expect((await request("/state", { as: "reader" })).status).toBe(200), 8_000);
    expect((await socket.closed()).reason).toContain("register again");
    const again = await TestSocket.open(hosts);
    await again.authenticate();
    await again.next("authenticated");
    again.send(register({ agentId: agentId as never, lastSession: session as never }));
    const after = await again.next("registered");
    expect(after).toMatchObject({ agentId });
    expect(after.epoch).toBeGreaterThan(epoch);
    vi.restoreAllMocks();
    // With the silence of 10 s that a plane has, its last confirmation would be too old to show anything; here a word is needed.
    await master(1).hearOf({ candidate: "master-2", epoch: after.epoch });
    expect((await request("/masters/master-1/state", { as: "reader" })).status).toBe(307);
    expect(await masters()).toMatchObject({
      leader: "master-2",
      epoch: after.epoch,
      masters: [{ state: "follows", leader: "master-2" }, { state: "leads" }],
    });
  }, 15_000);
});

test("[M43] a leader that answers, but is cut off from the log, is replaced by one that is not", async () => {
  const epoch = await epochNow();
  for (const name of ["elect", "append", "confirm"] as const) {
    const original = Reflect.get(RegistrarWorker.prototype, name) as (call: object) => Promise<unknown>;
    vi.spyOn(RegistrarWorker.prototype, name).mockImplementation(async function (
      this: RegistrarWorker,
      call: { readonly ballot: Ballot },
    ) {
      if (call.ballot.candidate === "master-1") throw new Error("cut off from the replicas");
      return original.call(this, call) as never;
    });
  }
  await vi.waitFor(
    async () => {
      // A read takes what was confirmed within 5 s, also at a leader that is cut off by now; to look on is no reason to stand.
      expect((await request("/state", { as: "reader" })).status).toBe(200);
      expect(await masters()).toMatchObject({ leader: "master-2" });
    },
    { timeout: 10_000, interval: 200 },
  );
  expect(await epochNow()).toBeGreaterThan(epoch);
}, 15_000);

describe("[M49] planned failover", () => {
  test("[M48] the other leads at once; the first one ends its streams and shows nothing", async () => {
    const epoch = await epochNow();
    const stream = await subscribe("scheduler");
    await stream.until("SUBSCRIBED");
    const answer = await failover({ to: "master-2" });
    expect(await answer.json()).toMatchObject({ leader: "master-2", from: "master-1", epoch: expect.any(Number) });
    expect(await epochNow()).toBeGreaterThan(epoch);
    expect(await stream.until()).toContain("SUBSCRIBED"); // and it has ended
    expect((await request("/masters/master-1/frameworks", { as: "reader" })).status).toBe(307);
    const { frameworks } = await (
      await request("/frameworks", { as: "reader" })
    ).json<{ frameworks: readonly unknown[] }>();
    expect(frameworks).toEqual([]);
  });

  test("[M57] a framework's id is its principal's with the next master too, whoever comes first", async () => {
    const told = await (await subscribe("scheduler")).until("SUBSCRIBED");
    const id = /"framework_id":\{"value":"([^"]+)"/.exec(told)?.[1];
    expect(told).toMatch(/^\d+\n\{"type":"SUBSCRIBED"/);
    await failover({ to: "master-2" });
    const stranger = await subscribe("operator", id);
    expect(await stranger.until()).toMatch(/"type":"ERROR".*principal differs/);
    const owner = await subscribe("scheduler", id);
    expect(await owner.until("SUBSCRIBED")).toContain(`"framework_id":{"value":"${id}"}`);
    expect(await (await request("/mesoflare/registry", { as: "reader" })).json()).toMatchObject({
      frameworks: { registered: expect.arrayContaining([{ id, principal: "scheduler", failover_timeout: 0 }]) },
    });
  });

  test("one that leads twice, with another between, gives no agent an id that it has given before", async () => {
    const first = await registered();
    await failover({ to: "master-2" });
    await failover({ to: "master-1" });
    const second = await registered();
    expect(second.agentId).not.toBe(first.agentId);
    expect(second.epoch).toBeGreaterThan(first.epoch);
  });

  test("is done once: whom it names may lead already; nobody named is the next one", async () => {
    await epochNow();
    const { epoch } = await (await failover({ to: "master-2" })).json<{ epoch: number }>();
    expect(await (await failover({ to: "master-2" })).json()).toMatchObject({ leader: "master-2", epoch });
    const back = await (await failover({})).json<{ leader: string; epoch: number }>();
    expect(back.leader).toBe("master-1");
    expect(back.epoch).toBeGreaterThan(epoch);
    // It led before: nothing of that epoch is left.
    expect(await epochNow()).toBe(back.epoch);
  });

  test("is refused in words", async () => {
    expect((await failover({ to: "master-3" })).status).toBe(404);
    expect((await failover({ from: "master-1" })).status).toBe(400);
    expect((await request("/mesoflare/masters/failover", { as: "reader", method: "POST" })).status).toBe(403);
    expect((await request("/mesoflare/masters/failover", { as: "operator" })).status).toBe(405);
    cutOff("master-2");
    vi.spyOn(MasterDO.prototype, "failover").mockRejectedValue(new Error("cut off"));
    await masters();
    const answer = await failover({ to: "master-2" });
    expect([answer.status, await answer.text()]).toEqual([503, expect.stringContaining("master-2 did not answer")]);
  });
});

test("[M47] a leader that was replaced behind its back finds out from the first agent that knows", async () => {
  const epoch = await epochNow();
  vi.spyOn(MasterDO.prototype, "hearOf").mockResolvedValue(undefined);
  vi.spyOn(GatewayDO.prototype, "announce").mockRejectedValue(new Error("not heard"));
  expect(await master(2).failover()).toMatchObject({ type: "leading" });
  // Its confirmation is young, and a read alone would still be answered.
  expect(await master(1).leadership()).toMatchObject({ type: "leading", epoch });
  const { socket, epoch: after } = await registeredHavingSeen(epoch + 1);
  expect(after).toBeGreaterThan(epoch);
  expect(await master(1).leadership()).toMatchObject({ type: "not-leading", leader: { candidate: "master-2" } });
  socket.close();
});

async function registeredHavingSeen(epochSeen: number): Promise<{ socket: TestSocket; epoch: number }> {
  const socket = await TestSocket.open(++hosts);
  await socket.authenticate("agent", undefined, epochSeen);
  await socket.next("authenticated");
  socket.send(register());
  return { socket, epoch: (await socket.next("registered")).epoch };
}

describe("a gateway", () => {
  /** Another incarnation, without the sockets of tests before. */
  beforeEach(abortAllDurableObjects);

  /** The batches that any master gets from now on. */
  function batches(): GatewayBatch[] {
    const all: GatewayBatch[] = [];
    const original: MasterDO["fromGateway"] = Reflect.get(MasterDO.prototype, "fromGateway");
    vi.spyOn(MasterDO.prototype, "fromGateway").mockImplementation(function (this: MasterDO, batch) {
      all.push(structuredClone(batch));
      return original.call(this, batch);
    });
    return all;
  }

  test("[G16] [G6] that missed the new leader's word asks at its sweep, and its agents register again", async () => {
    const { socket, epoch } = await registered();
    vi.spyOn(GatewayDO.prototype, "announce").mockRejectedValue(new Error("not heard"));
    expect((await failover({ to: "master-2" })).status).toBe(200);
    // It may have asked a moment ago, at a sweep of its own.
    const clock = Date.now;
    vi.spyOn(Date, "now").mockImplementation(() => clock() + 61_000);
    expect(await runDurableObjectAlarm(gateway())).toBe(true);
    expect((await socket.closed()).reason).toContain("another master leads");
    vi.mocked(Date.now).mockRestore();
    expect((await registered()).epoch).toBeGreaterThan(epoch);
  });

  test("[G15] does not take the word of a leader that it knows to be deposed", async () => {
    const { socket, epoch, agentId, session } = await registered();
    const answer = await gateway().announce({ epoch: (epoch - 1) as Epoch, candidate: "master-2", known: [] });
    expect(answer.newer?.epoch).toBe(epoch);
    socket.send(register({ agentId: agentId as never, lastSession: session as never }));
    expect((await socket.next("registered")).epoch).toBe(epoch);
    // Also not in an instance that has just woken: its sockets know.
    await evictDurableObject(gateway());
    const woken = await gateway().announce({ epoch: (epoch - 1) as Epoch, candidate: "master-2", known: [] });
    expect(woken.newer?.epoch).toBe(epoch);
    socket.close();
  });

  test("[G12] [G17] tells its live set once, not again when it wakes; a ping costs nothing, a sweep one row", async () => {
    const all = batches();
    const { socket } = await registered();
    expect(all.filter(({ live }) => live !== undefined)).toMatchObject([{ live: [expect.any(String)] }]);
    await evictDurableObject(gateway());
    const said = vi.spyOn(GatewayDO.prototype, "webSocketMessage");
    socket.sendRaw("ping");
    await vi.waitFor(async () =>
      expect(
        await runInDurableObject(gateway(), (_, ctx) =>
          ctx.getWebSockets().map((server) => ctx.getWebSocketAutoResponseTimestamp(server)),
        ),
      ).toEqual([expect.any(Date)]),
    );
    expect(said).not.toHaveBeenCalled();
    const rows = await runInDurableObject(gateway(), async (object: GatewayDO, ctx) => {
      await ctx.storage.deleteAlarm();
      const alarms = vi.spyOn(ctx.storage, "setAlarm");
      const kept = vi.spyOn(ctx.storage.kv, "put");
      await object.alarm();
      return [alarms.mock.calls.length, kept.mock.calls.length];
    });
    expect(rows).toEqual([1, 0]);
    const { system } = register() as Extract<ReturnType<typeof register>, { type: "register" }>;
    socket.send({ type: "statistics", system });
    await vi.waitFor(() => expect(all.at(-1)?.items[0]).toMatchObject({ message: { type: "statistics" } }));
    expect(all.filter(({ live }) => live !== undefined)).toHaveLength(1);
    expect(await runDurableObjectAlarm(gateway())).toBe(true);
    expect(await runInDurableObject(gateway(), (_, ctx) => ctx.storage.getAlarm())).toBeGreaterThan(Date.now());
    socket.close();
  });

  test("[G12] that was killed is missed although no agent ever comes back: its alarm was set", async () => {
    await registered();
    await abortAllDurableObjects();
    const all = batches();
    expect(await runDurableObjectAlarm(gateway())).toBe(true);
    expect(all).toMatchObject([{ items: [], live: [] }]);
    expect(await runInDurableObject(gateway(), (_, ctx) => ctx.storage.getAlarm())).toBeNull();
  });

  test("[G11] gives an overloaded master the same batch again, and closes nothing", async () => {
    const { socket, agentId, session, epoch } = await registered();
    const all = batches();
    const patched: MasterDO["fromGateway"] = Reflect.get(MasterDO.prototype, "fromGateway");
    const mocked = vi.mocked(patched);
    const real = mocked.getMockImplementation();
    let refusals = 2;
    mocked.mockImplementation(async function (this: MasterDO, batch) {
      if (refusals-- > 0) throw Object.assign(new Error("too many requests"), { overloaded: true });
      return present(real, "the real one").call(this, batch);
    });
    socket.send(register({ agentId: agentId as never, lastSession: session as never }));
    expect((await socket.next("registered")).epoch).toBe(epoch);
    expect(all).toHaveLength(1);
    expect(await epochNow()).toBe(epoch);
    socket.close();
  });

  test("[G5] closes a silent socket and says since when it was", async () => {
    const all = batches();
    const { socket } = await registered();
    const openedAt = await runInDurableObject(gateway(), (_, ctx) => {
      const [server] = ctx.getWebSockets();
      const session = server?.deserializeAttachment() as { openedAt: number };
      server?.serializeAttachment({ ...session, openedAt: session.openedAt - 75_000 });
      return session.openedAt - 75_000;
    });
    expect(await runDurableObjectAlarm(gateway())).toBe(true);
    expect((await socket.closed()).reason).toContain("silent");
    await vi.waitFor(() => {
      const told = all.flatMap(({ items }) => items).find(({ type }) => type === "closed");
      expect(told).toMatchObject({ type: "closed", silentSince: openedAt });
    });
  });
});
