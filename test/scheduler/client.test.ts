import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { encodeRecord } from "#protocol/record-io.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import {
  CallRefusedError,
  isWorthRetrying,
  mayHaveHappened,
  PlaneUnreachableError,
  SchedulerClient,
  staySubscribed,
  StreamBrokenError,
  type Interruption,
} from "#scheduler/index.ts";

const framework = { user: "nobody", name: "test" };
const SUBSCRIBED = {
  type: "SUBSCRIBED",
  subscribed: { framework_id: { value: "f-1" }, heartbeat_interval_seconds: 2, master_info: {} },
};
const HEARTBEAT = { type: "HEARTBEAT" };

interface Sent {
  readonly url: string;
  readonly headers: Headers;
  readonly call: { readonly type: string; readonly [member: string]: unknown };
}
interface Stream {
  readonly send: (text: string | object) => void;
  readonly close: () => void;
}

/** Stands for the network: `answer` decides, `requests` remembers. */
class FakeNetwork {
  readonly requests: Sent[] = [];
  readonly streams: Stream[] = [];
  answer: (request: Sent) => Response | undefined = () => undefined;

  readonly fetch: typeof fetch = async (input, init) => {
    const request = {
      url: input instanceof Request ? input.url : input.toString(),
      headers: new Headers(init?.headers),
      call: JSON.parse(init?.body as string) as Sent["call"],
    };
    this.requests.push(request);
    const answer = this.answer(request);
    if (answer !== undefined) return answer;
    if (request.call.type !== "SUBSCRIBE") return new Response(null, { status: 202 });
    return this.#open(init?.signal ?? undefined);
  };

  #open(signal: AbortSignal | undefined): Response {
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
    signal?.addEventListener("abort", () => controller?.error(signal.reason));
    const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
    const stream: Stream = {
      send: (item) =>
        controller?.enqueue(typeof item === "string" ? encode(item) : encodeRecord(encode(JSON.stringify(item)))),
      close: () => controller?.close(),
    };
    this.streams.push(stream);
    stream.send(SUBSCRIBED);
    return new Response(body, { status: 200, headers: { "Mesos-Stream-Id": `s-${this.streams.length}` } });
  }
}

let network: FakeNetwork;
let client: SchedulerClient;
beforeEach(() => {
  network = new FakeNetwork();
  client = new SchedulerClient({
    plane: "http://plane:5050",
    credential: { principal: "p", secret: "s" },
    fetch: network.fetch,
  });
});
afterEach(() => void vi.useRealTimers());

const next = async (events: AsyncGenerator<SchedulerEvent>): Promise<string | undefined> =>
  (await events.next()).value?.type;

test("events come in order, and the ids of the subscription are remembered", async () => {
  const events = client.subscribe(framework);
  expect(await next(events)).toBe("SUBSCRIBED");
  network.streams[0]?.send(HEARTBEAT);
  expect(await next(events)).toBe("HEARTBEAT");
  expect(client.frameworkId).toBe("f-1");
  await client.teardown();
  const [subscribe, teardown] = network.requests;
  expect(subscribe?.url).toBe("http://plane:5050/api/v1/scheduler");
  expect(subscribe?.headers.get("Authorization")).toBe(`Basic ${btoa("p:s")}`);
  expect(subscribe?.headers.has("Mesos-Stream-Id")).toBe(false);
  expect(teardown?.headers.get("Mesos-Stream-Id")).toBe("s-1");
  expect(teardown?.call).toEqual({ type: "TEARDOWN", framework_id: { value: "f-1" } });
});

test("a second subscription carries the framework id in both places", async () => {
  const first = client.subscribe(framework);
  await next(first);
  await first.return();
  await next(client.subscribe(framework));
  expect(network.requests[1]?.call).toMatchObject({
    framework_id: { value: "f-1" },
    subscribe: { framework_info: { id: { value: "f-1" } } },
  });
});

test("an ERROR event is the last one", async () => {
  const events = client.subscribe(framework);
  await next(events);
  network.streams[0]?.send({ type: "ERROR", error: { message: "Framework failed over" } });
  expect(await next(events)).toBe("ERROR");
  expect((await events.next()).done).toBe(true);
});

test("the end of the stream, bytes that are no record, and records that are no event throw", async () => {
  for (const breakIt of [
    (stream: Stream) => stream.close(),
    (stream: Stream) => stream.send("abc"),
    (stream: Stream) => stream.send("3\n[1]"),
    (stream: Stream) => stream.send("2\n{]"),
  ]) {
    const events = client.subscribe(framework);
    await next(events);
    const stream = network.streams.at(-1);
    if (stream !== undefined) breakIt(stream);
    await expect(events.next()).rejects.toBeInstanceOf(StreamBrokenError);
  }
});

test("five missed heartbeats are the end of a stream, and any byte is a sign of life", async () => {
  vi.useFakeTimers();
  const events = client.subscribe(framework);
  await next(events);
  const heartbeat = next(events);
  await vi.advanceTimersByTimeAsync(9_900);
  network.streams[0]?.send(HEARTBEAT);
  expect(await heartbeat).toBe("HEARTBEAT");
  const silent = expect(events.next()).rejects.toThrow("nothing came for 10 s");
  await vi.advanceTimersByTimeAsync(10_100);
  await silent;
});

test("a refusal has status and text, no answer is another error", async () => {
  await next(client.subscribe(framework));
  network.answer = () => new Response("Framework is not subscribed", { status: 403 });
  await expect(client.decline([])).rejects.toMatchObject({
    name: "CallRefusedError",
    status: 403,
    text: "Framework is not subscribed",
  });
  network.answer = () => {
    throw new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") });
  };
  const failure = client.decline([]);
  await expect(failure).rejects.toBeInstanceOf(PlaneUnreachableError);
  await expect(failure).rejects.toThrow("ECONNREFUSED");
});

test("staySubscribed comes back after 503 and broken streams, and says so each time", async () => {
  let failures = 2;
  network.answer = () => (failures-- > 0 ? new Response("no quorum", { status: 503 }) : undefined);
  const interruptions: Interruption[] = [];
  const events = staySubscribed(client, framework, {
    bounds: { firstMs: 1, maxMs: 1 },
    onInterruption: (one) => interruptions.push(one),
  });
  expect(await next(events)).toBe("SUBSCRIBED");
  network.streams[0]?.close();
  expect(await next(events)).toBe("SUBSCRIBED");
  expect(interruptions.map(({ error }) => (error as Error).name)).toEqual([
    "CallRefusedError",
    "CallRefusedError",
    "StreamBrokenError",
  ]);
});

test("staySubscribed gives up on an answer that will not change, and on its signal", async () => {
  network.answer = () => new Response("unknown principal", { status: 401 });
  await expect(next(staySubscribed(client, framework))).rejects.toBeInstanceOf(CallRefusedError);
  network.answer = () => new Response("no quorum", { status: 503 });
  const leaving = new AbortController();
  const events = staySubscribed(client, framework, { signal: leaving.signal, onInterruption: () => leaving.abort() });
  expect((await events.next()).done).toBe(true);
});

test.each([
  [307, true],
  [400, false],
  [401, false],
  [403, true],
  [429, true],
  [500, true],
  [501, false],
  [503, true],
])("an answer of %i is worth another try: %s", (status, worth) => {
  expect(isWorthRetrying(new CallRefusedError("ACCEPT", status, ""))).toBe(worth);
});

test.each([
  [new PlaneUnreachableError("no answer"), true],
  [new CallRefusedError("ACCEPT", 500, ""), true],
  [new CallRefusedError("ACCEPT", 503, ""), true],
  [new CallRefusedError("ACCEPT", 501, ""), false],
  [new CallRefusedError("ACCEPT", 400, ""), false],
  [new CallRefusedError("ACCEPT", 307, ""), false],
  [new StreamBrokenError("over"), false],
])("after %s the call may have happened: %s", (error, may) => {
  expect(mayHaveHappened(error)).toBe(may);
});

test("a call that an older subscription has sent is told apart from one that is wrong", async () => {
  const first = client.subscribe(framework);
  await next(first);
  network.answer = ({ call }) => {
    if (call.type === "SUBSCRIBE") return undefined;
    client.interrupt("for the test");
    return new Response("not the current stream", { status: 400 });
  };
  await expect(client.decline([])).rejects.toBeInstanceOf(StreamBrokenError);
  await first.next().catch(() => undefined);
  network.answer = () => undefined;
  const second = client.subscribe(framework);
  await next(second);
  network.answer = () => new Response("a bad call", { status: 400 });
  await expect(client.decline([])).rejects.toBeInstanceOf(CallRefusedError);
});

test("a forbidden subscription stays forbidden", () => {
  expect(isWorthRetrying(new CallRefusedError("SUBSCRIBE", 403, ""))).toBe(false);
});
