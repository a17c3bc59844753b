// What waits for a gateway: in order, one call at a time, bounded, and without holes.
import { expect, test } from "vitest";
import type { DeliveryItem } from "#protocol/gateway.ts";
import type { Epoch, ExecutorId, FrameworkId, SessionId } from "#protocol/ids.ts";
import { BEST_EFFORT_WAITING_MAX, GatewayOutbox, WAITING_MAX } from "../../src/durable-objects/gateway-outbox.ts";

const item = (socketId: string, reason: string): DeliveryItem => ({ type: "close", socketId, reason });

function outbox(deliver: (items: readonly DeliveryItem[]) => Promise<void>) {
  const lost: { readonly gateway: string; readonly socketIds: readonly string[]; readonly reason: string }[] = [];
  const box = new GatewayOutbox(
    (_, items) => deliver(items),
    (gateway, socketIds, reason) => lost.push({ gateway, socketIds, reason }),
  );
  return { box, lost };
}

test("one call at a time, in order; what comes meanwhile makes the next batch", async () => {
  const calls: string[][] = [];
  let under = 0;
  const { box } = outbox(async (items) => {
    expect(++under).toBe(1);
    calls.push(items.map(({ socketId }) => socketId));
    await Promise.resolve();
    under--;
  });
  box.push("gateway-1", item("s1", "a"));
  const first = box.flush();
  for (let i = 2; i <= 151; i++) box.push("gateway-1", item(`s${i}`, "b"));
  await Promise.all([first, box.flush()]);
  expect(calls.map((call) => call.length)).toEqual([1, 100, 50]);
  expect(calls.flat()).toEqual(Array.from({ length: 151 }, (_, i) => `s${i + 1}`));
});

test("a batch that was not taken loses its sockets, and what waits for them: after a hole nothing is said", async () => {
  const delivered: DeliveryItem[] = [];
  let isFirst = true;
  const { box, lost } = outbox(async (items) => {
    await Promise.resolve();
    if (isFirst) {
      isFirst = false;
      throw new Error("moved");
    }
    delivered.push(...items);
  });
  box.push("gateway-1", item("s1", "first"));
  const flushed = box.flush();
  box.push("gateway-1", item("s1", "second"));
  box.push("gateway-1", item("s2", "other"));
  await flushed;
  expect(lost).toEqual([{ gateway: "gateway-1", socketIds: ["s1"], reason: "Error: moved" }]);
  expect(delivered).toEqual([item("s2", "other")]);
  // Said after it was lost: a new registration of the same socket.
  box.push("gateway-1", item("s1", "again"));
  await box.flush();
  expect(delivered).toEqual([item("s2", "other"), item("s1", "again")]);
});

test("[G19] messages to executors take half of the room; beyond that they are dropped, and no socket is lost", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const delivered: DeliveryItem[] = [];
  const { box, lost } = outbox(async (items) => {
    await promise;
    delivered.push(...items);
  });
  const message: DeliveryItem = {
    type: "message",
    socketId: "s1",
    message: {
      type: "executor-message",
      epoch: 1 as Epoch,
      session: "s" as SessionId,
      frameworkId: "f" as FrameworkId,
      executorId: "e" as ExecutorId,
      data: "",
    },
  };
  for (let i = 0; i < WAITING_MAX; i++) box.push("gateway-1", message);
  box.push("gateway-1", item("s1", "order"));
  resolve();
  await box.flush();
  expect(lost).toEqual([]);
  expect(delivered).toHaveLength(BEST_EFFORT_WAITING_MAX + 1);
  expect(delivered.at(-1)).toEqual(item("s1", "order"));
});

test("what waits for a gateway that does not answer is bounded, and other gateways do not notice", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const delivered: DeliveryItem[] = [];
  const lost: string[] = [];
  const box = new GatewayOutbox(
    async (gateway, items) => {
      if (gateway === "gateway-1") await promise;
      delivered.push(...items);
    },
    (_, socketIds) => lost.push(...socketIds),
  );
  box.push("gateway-1", item("s0", "on its way"));
  const hanging = box.flush();
  for (let i = 0; i < WAITING_MAX + 5; i++) box.push("gateway-1", item(`s${i % 100}`, String(i)));
  box.push("gateway-2", item("t1", "hello"));
  const flushed = box.flush();
  expect(lost).toEqual(["s0", "s1", "s2", "s3", "s4"]);
  await Promise.resolve();
  expect(delivered).toEqual([item("t1", "hello")]);
  resolve();
  await Promise.all([hanging, flushed]);
  // Of the lost ones only what was on its way.
  expect(delivered.filter(({ socketId }) => lost.includes(socketId))).toEqual([item("s0", "on its way")]);
  expect(delivered).toHaveLength(2 + (95 * WAITING_MAX) / 100);
});
