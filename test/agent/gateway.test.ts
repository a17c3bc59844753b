// What a gateway decides about its sockets together: batches, what becomes of them, the live set, epochs, and when it asks who leads.
import { describe, expect, test } from "vitest";
import { present } from "#base/assert.ts";
import { millis } from "#base/time.ts";
import type { AgentMessage } from "#protocol/agent.ts";
import { GATEWAY_BATCH_MAX, type GatewayBatch, type GatewayItem } from "#protocol/gateway.ts";
import type { AgentId, Epoch, ExecutorId, FrameworkId, HostKey, Principal, SessionId } from "#protocol/ids.ts";
import {
  BATCH_BYTES_MAX,
  BEST_EFFORT_BYTES_MAX,
  CHECK_IN_INTERVAL_MS,
  enqueue,
  hearOf,
  isOutdated,
  ITEM_BYTES,
  KEPT_CLOSINGS_MAX,
  newGateway,
  onNotTaken,
  onTaken,
  QUEUED_BYTES_MAX,
  takeBatch,
  takeCheckIn,
  type Gateway,
} from "../../src/agent/gateway.ts";
import type { Session } from "../../src/agent/session.ts";
import { SWEEP_INTERVAL_MS } from "../../src/agent/sweep.ts";
import { register, SYSTEM } from "../master/cluster.ts";

const session: SessionId = "session" as SessionId;
const STATISTICS: AgentMessage = { type: "statistics", system: SYSTEM };

const said = (socketId: string, message: AgentMessage, epochSeen = 0): GatewayItem => ({
  type: "message",
  socketId,
  hostKey: "0".repeat(32) as HostKey,
  principal: "agent" as Principal,
  epochSeen: epochSeen as Epoch,
  message,
});
const acted = (socketId: string): GatewayItem => said(socketId, { type: "acted", session, sequence: 1 });
const executor = { frameworkId: "f" as FrameworkId, executorId: "e" as ExecutorId };
const frameworkMessage: AgentMessage = { type: "framework-message", session, ...executor, data: "d29yZA==" };
const executorExited: AgentMessage = { type: "executor-exited", session, ...executor, status: 9 };
const operationUpdates: AgentMessage = { type: "operation-updates", session, updates: [] };
const closed = (socketId: string): GatewayItem => ({ type: "closed", socketId });

const fresh = (more: Partial<Parameters<typeof newGateway>[1]> = {}): Gateway =>
  newGateway("gateway-1", { incarnation: 1, owesLive: true, sessions: [], epoch: 0 as Epoch, ...more });
const take = (gateway: Gateway, { live = [], retry = false }: { live?: readonly string[]; retry?: boolean } = {}) =>
  takeBatch(gateway, () => live, { retry });
const taken = (gateway: Gateway, live: readonly string[] = []): GatewayBatch =>
  present(take(gateway, { live }), "a batch");
/** One that has told its live set. */
function told(): Gateway {
  const gateway = fresh();
  onTaken(gateway, present(take(gateway, { retry: true }), "a batch"), undefined);
  return gateway;
}

describe("[G11] what waits is bounded", () => {
  test("by bytes, small items included; closings are always taken", () => {
    const gateway = told();
    let items = 0;
    while (enqueue(gateway, acted(`s${items}`), 60)) items++;
    expect(items).toBe(Math.floor(QUEUED_BYTES_MAX / (60 + ITEM_BYTES)));
    expect(enqueue(gateway, closed("s1"), 0)).toBe(true);
    expect(enqueue(gateway, acted("s1"), 60)).toBe(false);
  });

  test("a batch is bounded by items and by bytes, keeps the order, and frees its room", () => {
    const gateway = told();
    for (let i = 0; i < GATEWAY_BATCH_MAX + 1; i++) enqueue(gateway, acted(`s${i}`), 60);
    expect(taken(gateway).items.map(({ socketId }) => socketId)).toEqual(
      Array.from({ length: GATEWAY_BATCH_MAX }, (_, i) => `s${i}`),
    );
    expect(taken(gateway).items).toHaveLength(1);
    expect(gateway.queuedBytes).toBe(0);
    const frame = BATCH_BYTES_MAX / 8;
    for (let i = 0; i < 9; i++) enqueue(gateway, acted(`s${i}`), frame);
    expect(taken(gateway).items).toHaveLength(7);
    expect(taken(gateway).items).toHaveLength(2);
    expect(take(gateway)).toBeUndefined();
  });
});

describe("[G12] the live set", () => {
  test("goes with the first batch that is taken, and with no other", () => {
    const gateway = fresh();
    enqueue(gateway, acted("s1"), 60);
    const first = taken(gateway, ["s1", "s2"]);
    expect(first.live).toEqual(["s1", "s2"]);
    onTaken(gateway, first, undefined);
    enqueue(gateway, acted("s1"), 60);
    expect(taken(gateway, ["s1"]).live).toBeUndefined();
  });

  test("is told alone when nobody says anything, but only when asked to retry", () => {
    const gateway = fresh();
    expect(take(gateway)).toBeUndefined();
    expect(take(gateway, { retry: true })).toMatchObject({ items: [], live: [] });
    expect(take(told(), { retry: true })).toBeUndefined();
  });

  test("is owed again after any batch that was not taken, until one with it is", () => {
    const gateway = told();
    enqueue(gateway, said("s1", STATISTICS), 60);
    onNotTaken(gateway, taken(gateway));
    enqueue(gateway, acted("s1"), 60);
    const before = taken(gateway, ["s1"]);
    onNotTaken(gateway, before);
    expect(before.live).toEqual(["s1"]);
    expect(take(gateway, { live: ["s2"], retry: true })?.live).toEqual(["s2"]);
  });

  test("a batch that was under way when it came to be owed does not settle it", () => {
    const gateway = told();
    enqueue(gateway, acted("s1"), 60);
    const underWay = taken(gateway);
    gateway.owesLive = true;
    onTaken(gateway, underWay, undefined);
    expect(gateway.owesLive).toBe(true);
  });
});

describe("[G13] closings", () => {
  test("are not missing from the live set of their batch, nor those that still wait", () => {
    const gateway = fresh();
    enqueue(gateway, closed("s1"), 0);
    for (let i = 0; i < GATEWAY_BATCH_MAX; i++) enqueue(gateway, acted("s2"), 60);
    enqueue(gateway, closed("s3"), 0);
    expect(taken(gateway, ["s2"]).live).toEqual(["s2", "s1", "s3"]);
  });

  test("that were not taken lead the next batch, since when included; at most so many", () => {
    const gateway = told();
    const silent: GatewayItem = { type: "closed", socketId: "s1", silentSince: millis(7) };
    enqueue(gateway, silent, 0);
    onNotTaken(gateway, taken(gateway));
    expect(take(gateway)).toBeUndefined();
    enqueue(gateway, acted("s2"), 60);
    expect(taken(gateway, ["s2"])).toMatchObject({ items: [silent, acted("s2")], live: ["s2", "s1"] });
    for (let i = 0; i < 2 * KEPT_CLOSINGS_MAX; i++) {
      enqueue(gateway, closed(`s${i}`), 0);
      onNotTaken(gateway, taken(gateway));
    }
    expect(gateway.kept.length).toBe(KEPT_CLOSINGS_MAX);
  });
});

test("[G10] of a batch that was not taken registrations wait, statistics are dropped, others register again", () => {
  const gateway = told();
  gateway.authentications = 3;
  for (const item of [said("s1", register({})), acted("s2"), said("s3", STATISTICS), closed("s4")]) {
    enqueue(gateway, item, 60);
  }
  const batch = taken(gateway);
  expect(batch.authentications).toBe(3);
  expect(onNotTaken(gateway, batch)).toEqual([
    { socketId: "s1", what: "unavailable" },
    { socketId: "s2", what: "close" },
  ]);
  expect(gateway.authentications).toBe(3);
});

test("[G10] how operations and executors ended is told again by the next registration", () => {
  const gateway = told();
  for (const [i, message] of [operationUpdates, executorExited].entries()) enqueue(gateway, said(`s${i}`, message), 60);
  const batch = taken(gateway);
  expect(batch.items).toEqual([said("s0", operationUpdates), said("s1", executorExited)]);
  expect(onNotTaken(gateway, batch)).toEqual([
    { socketId: "s0", what: "close" },
    { socketId: "s1", what: "close" },
  ]);
});

describe("[G19] what is sent at best effort", () => {
  test("is passed on in order with all else", () => {
    const gateway = told();
    const items = [acted("s1"), said("s1", frameworkMessage), said("s1", executorExited)];
    for (const item of items) enqueue(gateway, item, 60);
    expect(taken(gateway).items).toEqual(items);
  });

  test("takes half of the room; beyond that it is dropped, its socket stays, and the rest has room", () => {
    const gateway = told();
    const frame = 200_000;
    const fits = Math.floor(BEST_EFFORT_BYTES_MAX / (frame + ITEM_BYTES));
    for (let i = 0; i < 3 * fits; i++) expect(enqueue(gateway, said("s1", frameworkMessage), frame)).toBe(true);
    expect(enqueue(gateway, said("s2", STATISTICS), frame)).toBe(true);
    expect(gateway.queue).toHaveLength(fits);
    expect(enqueue(gateway, said("s2", operationUpdates), frame)).toBe(true);
    expect(gateway.queue).toHaveLength(fits + 1);
  });

  test("is dropped with a batch that was not taken", () => {
    const gateway = told();
    enqueue(gateway, said("s1", frameworkMessage), 60);
    expect(onNotTaken(gateway, taken(gateway))).toEqual([]);
  });
});

describe("epochs", () => {
  const registered = (epoch: number): Session => ({
    socketId: "s1" as Session["socketId"],
    hostKey: "0".repeat(32) as HostKey,
    openedAt: millis(0),
    state: "registered",
    principal: "agent" as Principal,
    epochSeen: 0 as Epoch,
    agentId: "a" as AgentId,
    epoch: epoch as Epoch,
  });

  test("[G14] the highest that it has heard of goes with each batch: from its sockets, its memory, or the master", () => {
    const gateway = fresh({ sessions: [registered(5), registered(7)], epoch: 6 as Epoch });
    expect(take(gateway, { retry: true })?.epochKnown).toBe(7);
    const batch = present(take(gateway, { retry: true }), "a batch");
    onTaken(gateway, batch, 9 as Epoch);
    enqueue(gateway, acted("s1"), 60);
    expect(taken(gateway).epochKnown).toBe(9);
    expect(hearOf(gateway, 8 as Epoch)).toBe(false);
    expect(gateway.epoch).toBe(9);
  });

  test("[G6] sockets of lower epochs are outdated, and only registered ones", () => {
    const gateway = fresh({ epoch: 7 as Epoch });
    expect(isOutdated(gateway, registered(6))).toBe(true);
    expect(isOutdated(gateway, registered(7))).toBe(false);
    const { agentId: _, epoch: __, ...rest } = registered(1) as Extract<Session, { state: "registered" }>;
    expect(isOutdated(gateway, { ...rest, state: "authenticated" })).toBe(false);
  });
});

describe("[G16] asking who leads", () => {
  const woken = (): Gateway => fresh({ incarnation: 1, owesLive: false });

  test("at the first sweep of an incarnation, which knows nothing", () => {
    expect(takeCheckIn(fresh(), millis(59_000))).toBe(true);
  });

  test("once a minute, while the instance lives", () => {
    const gateway = fresh();
    const minute = 1_000 * CHECK_IN_INTERVAL_MS;
    const asked = [0, 5_000, 30_000, 60_000, 61_000, 119_999, 120_000].filter((ms) =>
      takeCheckIn(gateway, millis(minute + ms)),
    );
    expect(asked).toEqual([0, 60_000, 120_000]);
  });

  test.each([0, 7_000, 29_999])(
    "about once a minute also when every sweep wakes a new instance, and never more seldom (%i ms)",
    (phase) => {
      let last: number | undefined;
      let count = 0;
      let now = phase;
      for (let sweep = 0; sweep < 200; sweep++) {
        now += SWEEP_INTERVAL_MS + (sweep % 7) * 100; // alarms come late
        if (!takeCheckIn(woken(), millis(now))) continue;
        expect(now - (last ?? now)).toBeLessThan(CHECK_IN_INTERVAL_MS + SWEEP_INTERVAL_MS + 5_000);
        last = now;
        count++;
      }
      expect(count).toBeGreaterThan(90);
      expect(count).toBeLessThan(130);
    },
  );
});
