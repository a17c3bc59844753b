// Long views on a real Worker: they come in slices while other calls go on, and a reader that is slow, gone or one too many costs the
// plane nothing. Only the platform knows when a slice was taken.
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { present } from "#base/assert.ts";
import type { AgentId, FrameworkId, TaskId } from "#protocol/ids.ts";
import { Candidate } from "../../src/durable-objects/candidate.ts";
import { TaskTables } from "../../src/durable-objects/task-tables.ts";
import { VIEW_STREAMS_MAX, ViewStreams } from "../../src/durable-objects/view-streams.ts";
import { SLICE_LETTERS, SLICE_MS_MAX, Slices } from "../../src/master/slices.ts";
import { initialise, register, request, TestSocket } from "./plane.ts";

/** Of some 2,100 letters each: the view is more than any buffer on its way. */
const TASKS = 4_000;
const TASKS_IN_FRAME = 400;
const LETTERS = TASKS * 2_000;

/** What a reader that reads nothing can cause: buffers between the objects and the client hold some more than a slice. */
const SLICES_UNREAD_MAX = 8;

const report = (n: number) => ({
  framework: { id: "f" as FrameworkId, name: "f", user: "nobody", partitionAware: true },
  task: {
    name: "é",
    task_id: { value: `t${n}` as TaskId },
    agent_id: { value: "a" as AgentId },
    resources: [{ name: "cpus", type: "SCALAR" as const, scalar: { value: 0.001 } }],
    command: { value: "true", arguments: [], uris: [] },
    labels: { labels: [1, 2].map((n) => ({ key: `k${n}`, value: "x".repeat(1_000) })) },
  },
  latest: "TASK_RUNNING" as const,
  statuses: [{ task_id: { value: `t${n}` as TaskId }, state: "TASK_RUNNING" as const, timestamp: 1 }],
});

vi.setConfig({ testTimeout: 30_000 });

let socket: TestSocket;
let agentId = "";
beforeAll(async () => {
  await initialise();
  socket = await TestSocket.open(1);
  await socket.authenticate();
  await socket.next("authenticated");
  for (let at = 0; at < TASKS; at += TASKS_IN_FRAME) {
    const tasks = Array.from({ length: TASKS_IN_FRAME }, (_, i) => report(at + i));
    socket.send(register({ tasks, part: at / TASKS_IN_FRAME + 1, more: at + TASKS_IN_FRAME < TASKS }));
  }
  ({ agentId } = await socket.next("registered"));
});
afterEach(() => void vi.restoreAllMocks());

const asked = (path = "/state") => request(path, { as: "reader" });
async function opened(path = "/state") {
  const response = await asked(path);
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return present(response.body as ReadableStream<Uint8Array> | null, "a body").getReader();
}
type Reader = Awaited<ReturnType<typeof opened>>;

async function rest(reader: Reader, before = ""): Promise<string> {
  const decoder = new TextDecoder();
  let text = before;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return text;
    text += decoder.decode(value, { stream: true });
  }
}

async function first(reader: Reader): Promise<string> {
  const { value } = await reader.read();
  return new TextDecoder().decode(value);
}

interface StateJson {
  readonly slaves: readonly { readonly id: string }[];
  readonly frameworks: readonly { readonly tasks: readonly { readonly id: string }[] }[];
}
const tasksOf = (text: string): string[] =>
  (JSON.parse(text) as StateJson).frameworks.flatMap(({ tasks }) => tasks.map(({ id }) => id));
const ALL = Array.from({ length: TASKS }, (_, n) => `t${n}`);

/** Until nothing moves any more. */
const still = () => scheduler.wait(200);
/** Until every view has ended: what a test leaves is not the next one's. */
const free = () =>
  vi.waitFor(async () => {
    const readers = await Promise.all(Array.from({ length: VIEW_STREAMS_MAX }, () => asked()));
    const statuses = readers.map(({ status }) => status);
    for (const { body } of readers) await body?.cancel();
    expect(statuses).toEqual(readers.map(() => 200));
  });

describe("[M54] a long view", () => {
  test("comes whole, in slices, and other calls are answered in between", async () => {
    const next = vi.spyOn(Slices.prototype, "next");
    const response = await asked();
    expect([response.status, response.headers.get("content-type"), response.headers.get("content-length")]).toEqual([
      200,
      "application/json",
      null,
    ]);
    const reader = present(response.body as ReadableStream<Uint8Array> | null, "a body").getReader();
    let text = "";
    for (let calls = 0; calls < 10; calls++) {
      text += await first(reader);
      expect(text.length).toBeLessThan(LETTERS / 2);
      expect((await request("/redirect")).status).toBe(307);
    }
    text = await rest(reader, text);
    expect(tasksOf(text)).toEqual(ALL);
    expect(next.mock.calls.length).toBeGreaterThan(LETTERS / SLICE_LETTERS / 4);
  });

  test("for a reader that does not read a few slices are made, and no more", async () => {
    const next = vi.spyOn(Slices.prototype, "next");
    const reader = await opened();
    await still();
    expect(next.mock.calls.length).toBeLessThan(SLICES_UNREAD_MAX);
    expect((await request("/redirect")).status).toBe(307);
    expect(tasksOf(await rest(reader))).toEqual(ALL);
  });

  test("a reader that is gone frees its place", async () => {
    const next = vi.spyOn(Slices.prototype, "next");
    for (let readers = 0; readers < VIEW_STREAMS_MAX; readers++) await (await opened()).cancel("bye");
    await free();
    await still();
    const { length } = next.mock.calls;
    await still();
    expect(next.mock.calls.length).toBe(length);
  });

  test("too many at once: 503 for the next long one, while short ones are answered", async () => {
    await free();
    const readers = await Promise.all(Array.from({ length: VIEW_STREAMS_MAX }, () => opened()));
    const refused = await asked();
    expect([refused.status, refused.headers.get("retry-after"), await refused.text()]).toEqual([
      503,
      "1",
      `${VIEW_STREAMS_MAX} long views are being read already\n`,
    ]);
    for (const path of ["/slaves", "/tasks?limit=3", "/mesoflare/agents", "/roles"])
      expect((await asked(path)).status).toBe(200);
    const texts = await Promise.all(readers.map((reader) => rest(reader)));
    for (const text of texts) expect(tasksOf(text)).toEqual(ALL);
    expect((await asked("/tasks?limit=10000")).status).toBe(200);
    await free();
  });

  test("a reader that stops reading is cut, and what it was told ends without its end", async () => {
    const { setTimeout: original } = globalThis;
    // Its time runs faster; the clock of an object cannot be moved from outside.
    vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms?: number) =>
      original(run, ms === SLICE_MS_MAX ? 50 : ms)) as typeof setTimeout);
    const warned = vi.spyOn(console, "warn");
    const reader = await opened();
    await vi.waitFor(() => expect(warned.mock.calls.flat().join()).toContain("the reader has not read for 30 s"));
    await expect(rest(reader)).rejects.toThrow();
    vi.restoreAllMocks();
    await free();
  });

  test("with jsonp, too; a HEAD or a bad callback leave nobody waiting", async () => {
    const jsonp = await asked("/state?jsonp=cb");
    expect(jsonp.headers.get("content-type")).toBe("text/javascript");
    const text = await jsonp.text();
    expect([text.slice(0, 4), text.slice(-3)]).toEqual(["cb({", "});"]);
    expect(tasksOf(text.slice(3, -2))).toEqual(ALL);
    for (let times = 0; times < VIEW_STREAMS_MAX; times++) {
      expect((await asked("/state?jsonp=1-1")).status).toBe(400);
      const head = await request("/state", { as: "reader", method: "HEAD" });
      expect([head.status, await head.text()]).toEqual([200, ""]);
    }
    const left = await opened("/state?jsonp=cb");
    await left.cancel("bye");
    await free();
  });
});

describe("what cannot go on is cut", () => {
  test("[M48] leadership is lost in the middle", async () => {
    const reader = await opened();
    const begun = await first(reader);
    const lead = vi.spyOn(Candidate.prototype, "lead").mockResolvedValue({ type: "not-leading", reason: "deposed" });
    const warned = vi.spyOn(console, "warn");
    await expect(rest(reader, begun)).rejects.toThrow();
    expect(lead).toHaveBeenCalled();
    expect(warned.mock.calls.flat().join()).toMatch(/a view was cut.*not leading any more/);
    expect((await asked()).status).toBe(503);
    lead.mockRestore();
    expect(tasksOf(await (await asked()).text())).toEqual(ALL);
  });

  test.each(["/state", "/state?jsonp=cb"])(
    "[M54] a failure in the middle of %s, and the master lives on",
    async (path) => {
      const original = present(Reflect.get(TaskTables.prototype, "shown") as TaskTables["shown"] | undefined, "shown");
      let pages = 0;
      vi.spyOn(TaskTables.prototype, "shown").mockImplementation(function (this: TaskTables, ...args) {
        if (++pages > 10) throw new Error("no such page");
        return original.apply(this, args);
      });
      const reader = await opened(path);
      await expect(rest(reader)).rejects.toThrow();
      vi.restoreAllMocks();
      expect(tasksOf(await (await asked()).text())).toEqual(ALL);
    },
  );
});

test("[M53] the agent is gone in the middle: every task once, as it was", async () => {
  const reader = await opened();
  const begun = await first(reader);
  const answer = await request("/api/v1", {
    as: "operator",
    method: "POST",
    body: JSON.stringify({ type: "MARK_AGENT_GONE", mark_agent_gone: { agent_id: { value: agentId } } }),
    headers: { "content-type": "application/json" },
  });
  expect(answer.status).toBe(200);
  expect(await (await asked("/slaves")).json()).toMatchObject({ slaves: [] });
  const text = await rest(reader, begun);
  expect((JSON.parse(text) as StateJson).slaves).toMatchObject([{ id: agentId }]);
  const tasks = tasksOf(text);
  expect(new Set(tasks).size).toBe(tasks.length);
  // A history is bounded: of those that ended while they were not yet read, the oldest are not known any more.
  expect(tasks.length).toBeGreaterThanOrEqual(1_000);
  expect(ALL).toEqual(expect.arrayContaining(tasks));
});

test("ViewStreams counts what is open", async () => {
  const streams = new ViewStreams(() => undefined);
  const slices = () => new Slices(["[", "]"]);
  const all = Array.from({ length: VIEW_STREAMS_MAX }, () => {
    const one = slices();
    return streams.open(one.next(), one, async () => undefined);
  });
  expect(streams.isFull).toBe(true);
  expect(await new Response(all[0]?.readable).text()).toBe("[]");
  await all[0]?.done;
  expect(streams.isFull).toBe(false);
});
