// What a plane's variables say about time, on a real Worker: how often a principal may call, and how long an offer stands.
import { env } from "cloudflare:test";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { id, launch, post, task, TestAgent, TestFramework } from "./framework.ts";
import { initialise, request } from "./plane.ts";

const [QPS, CAPACITY] = [2, 3];
Object.assign(env, {
  RATE_LIMITS: JSON.stringify({ limits: [{ principal: "scheduler", qps: QPS, capacity: CAPACITY }] }),
  OFFER_TIMEOUT: "1secs",
});

beforeAll(initialise);
afterEach(() => TestFramework.endAll());

describe("[M63] a principal with a limit", () => {
  /** A call whose execution is seen on the stream. */
  const ask = (framework: TestFramework, taskId: string) =>
    framework.call({ type: "RECONCILE", reconcile: { tasks: [{ task_id: id(taskId) }] } });
  const told = (framework: TestFramework) =>
    framework.events.flatMap((event) => (event.type === "UPDATE" ? [event.update.status.task_id.value] : []));

  test("calls go in order and apart; beyond the capacity 429, and what was refused is never done", async () => {
    const framework = await TestFramework.subscribe();
    await scheduler.wait(1000 / QPS);
    const before = Date.now();
    const names = ["a", "b", "c", "d", "e", "f", "g"];
    const answers: Promise<Response>[] = [];
    for (const name of names) {
      answers.push(ask(framework, name));
      await scheduler.wait(10); // so that they arrive in this order
    }
    const statuses = await Promise.all(answers.map(async (answer) => (await answer).status));
    const tookMs = Date.now() - before;
    // One at once, and as many as may wait.
    expect(statuses).toEqual([202, 202, 202, 202, 429, 429, 429]);
    expect(tookMs).toBeGreaterThanOrEqual((CAPACITY * 1000) / QPS - 10);
    const [refused] = answers.slice(-1);
    expect(await (await refused)?.text()).toContain(`${CAPACITY} calls of this principal wait already`);
    expect((await ask(framework, "last")).status).toBe(202);
    await framework.next("UPDATE", ({ update }) => update.status.task_id.value === "last");
    expect(told(framework)).toEqual(["a", "b", "c", "d", "last"]);
  });

  test("SUBSCRIBE is a call as well; nobody else waits for it: other principals, operators, agents", async () => {
    const framework = await TestFramework.subscribe();
    const waiting = Array.from({ length: CAPACITY }, (_, at) => ask(framework, `w${at}`));
    await scheduler.wait(20);
    let isWaiting = true;
    const waited = Promise.all(waiting).finally(() => (isWaiting = false));
    const subscribe = { type: "SUBSCRIBE", subscribe: { framework_info: { user: "nobody", name: "test" } } };
    expect((await post(subscribe)).status).toBe(429);
    const other = await TestFramework.subscribe({ as: "operator" });
    expect((await ask(other, "x")).status).toBe(202);
    expect((await request("/state", { as: "reader" })).status).toBe(200);
    const agent = await TestAgent.start(1);
    expect(isWaiting).toBe(true);
    for (const answer of await waited) expect(answer.status).toBe(202);
    agent.socket.close();
  });
});

test("[M72] an offer that nobody answers for OFFER_TIMEOUT is rescinded, cannot be taken any more, and is made anew", async () => {
  const agent = await TestAgent.start(2);
  const framework = await TestFramework.subscribe({ as: "operator" });
  const offer = await framework.offerOf(agent.agentId);
  const { rescind } = await framework.next("RESCIND");
  expect(rescind.offer_id).toEqual(offer.id);
  await framework.accept([offer.id.value], [launch(task("late", agent.agentId))]);
  expect((await framework.next("UPDATE")).update.status).toMatchObject({
    task_id: id("late"),
    state: "TASK_LOST",
    reason: "REASON_INVALID_OFFERS",
  });
  const isAnew = (one: { readonly id: { readonly value: string } }) => one.id.value !== offer.id.value;
  const anew =
    framework.events.flatMap((event) => (event.type === "OFFERS" ? event.offers.offers : [])).find(isAnew) ??
    (await framework.offerOf(agent.agentId));
  expect(anew.resources).toEqual(offer.resources);
  await framework.accept([anew.id.value], [launch(task("t", agent.agentId))]);
  expect(await agent.order()).toMatchObject({ type: "launch", task: { task_id: id("t") } });
});
