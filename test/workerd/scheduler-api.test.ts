// The scheduler API on a real Worker: each row of http-api-v1 §4 in order, both forms of a call, and streams. Rows 3 to 5 are in
// masters.test.ts, where one candidate of several is addressed, and in http.test.ts, where nobody leads yet.
import { env } from "cloudflare:test";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { present } from "#base/assert.ts";
import { parseJson } from "#protocol/json-text.ts";
import { JSON_TYPE, PROTOBUF_TYPE, type MediaType } from "#protocol/media-type.ts";
import { fromBinary, toBinary } from "#protocol/mesos-binary.ts";
import { RecordReader } from "#protocol/record-io.ts";
import { CALL_BYTES_MAX, CALL_ITEMS_MAX, type Offer, type SchedulerEvent } from "#protocol/scheduler.ts";
import type { Env } from "../../src/durable-objects/env.ts";
import { HELD_MAX } from "../../src/durable-objects/streams.ts";
import { initialise, register, request, TestSocket } from "./plane.ts";

const PATH = "/api/v1/scheduler";
const UUID = "AAECAwQFBgcICQoLDA0ODw==";

type As = "scheduler" | "operator" | "reader" | "agent";
type Plain = Readonly<Record<string, unknown>>;
interface Sent {
  readonly as?: As | undefined;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const send = (body: string | Uint8Array<ArrayBuffer>, { as = "scheduler", path = PATH, headers }: Sent = {}) =>
  request(path, { as, method: "POST", body, headers: { "content-type": JSON_TYPE, ...headers } });
const json = (call: Plain, sent: Sent = {}) => send(JSON.stringify(call), sent);
const binary = (call: Plain, { headers, ...sent }: Sent = {}) =>
  send(toBinary("scheduler.Call", call), { ...sent, headers: { "content-type": PROTOBUF_TYPE, ...headers } });

const info = (more: Plain = {}): Plain => ({ user: "nobody", name: "test", failover_timeout: 3600, ...more });
const SUBSCRIBE = { type: "SUBSCRIBE", subscribe: { framework_info: info() } };
const outcome = async (response: Promise<Response> | Response) => {
  const answer = await response;
  return [answer.status, await answer.text()];
};

/** A framework on its stream. */
class Subscriber {
  readonly contentType: MediaType;
  readonly response: Response;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #records = new RecordReader();
  readonly #events: SchedulerEvent[] = [];
  id = "";

  constructor(response: Response, contentType: MediaType) {
    this.response = response;
    this.contentType = contentType;
    this.#reader = present(response.body as ReadableStream<Uint8Array> | null, "a stream").getReader();
  }

  static async open(contentType: MediaType = JSON_TYPE, more: Plain = {}, call: Plain = {}): Promise<Subscriber> {
    const framework_info = info(more);
    const subscribe = { type: "SUBSCRIBE", framework_id: more["id"], subscribe: { framework_info, ...call } };
    const response = await (contentType === JSON_TYPE ? json : binary)(subscribe, { headers: { accept: contentType } });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    const subscriber = new Subscriber(response, contentType);
    const { subscribed } = await subscriber.next("SUBSCRIBED");
    subscriber.id = subscribed.framework_id.value;
    return subscriber;
  }

  get streamId(): string {
    return this.response.headers.get("mesos-stream-id") ?? "";
  }

  async chunk(): Promise<Uint8Array | undefined> {
    return (await this.#reader.read()).value;
  }

  #parse(record: Uint8Array): SchedulerEvent {
    if (this.contentType === JSON_TYPE) return JSON.parse(new TextDecoder().decode(record)) as SchedulerEvent;
    const decoded = fromBinary("scheduler.Event", record);
    if (decoded.type === "problem") throw new Error(decoded.reason);
    return decoded.value as SchedulerEvent;
  }

  /** The next event of this type; others before it are dropped. */
  async next<Type extends SchedulerEvent["type"]>(type: Type): Promise<Extract<SchedulerEvent, { type: Type }>> {
    for (;;) {
      const event = this.#events.shift();
      if (event?.type === type) return event as Extract<SchedulerEvent, { type: Type }>;
      if (event !== undefined) continue;
      const chunk = await this.chunk();
      if (chunk === undefined) throw new Error(`the stream ended before ${type}`);
      const read = this.#records.push(chunk);
      if (read.type === "refused") throw new Error(read.reason);
      this.#events.push(...read.records.map((record) => this.#parse(record)));
    }
  }

  call(call: Plain, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    const sent = { headers: { "mesos-stream-id": this.streamId, ...headers } };
    return (this.contentType === JSON_TYPE ? json : binary)({ framework_id: { value: this.id }, ...call }, sent);
  }

  /** So that tests do not share offers. */
  async end(): Promise<void> {
    await this.call({ type: "TEARDOWN" });
  }

  async leave(): Promise<void> {
    await this.#reader.cancel("done");
  }
}

beforeAll(initialise);
afterEach(() => void vi.restoreAllMocks());

describe("checks in their order, on both paths", () => {
  const withoutType = { as: "scheduler", method: "POST", body: new Uint8Array([1]) } as const;
  test.each([PATH, "/master/api/v1/scheduler"])("%s", async (path) => {
    const row1 = await request(path, { method: "POST", body: "{" });
    expect([row1.status, row1.headers.get("www-authenticate")]).toEqual([401, 'Basic realm="mesos-master-scheduler"']);
    for (const as of ["reader", "agent"] as const) expect((await send("{", { as, path })).status).toBe(403);
    for (const method of ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const row6 = await request(path, { as: "scheduler", method });
      expect([method, row6.status, row6.headers.get("allow")]).toEqual([method, 405, "POST"]);
    }
    expect(await outcome(request(path, withoutType))).toEqual([400, expect.stringContaining("'Content-Type'")]);
    const row8 = await send("{", { path, headers: { "content-type": "text/plain" } });
    expect([row8.status, row8.headers.get("content-type")]).toEqual([415, "text/plain; charset=utf-8"]);
    expect((await send("{", { path })).status).toBe(400);
  });

  test("no path but these", async () => {
    for (const path of [`${PATH}/`, `${PATH}/x`, "/api/v2/scheduler", "/slave(1)/api/v1/scheduler"])
      expect([path, (await json(SUBSCRIBE, { path })).status]).toEqual([path, 404]);
  });

  test("each check comes before the next", async () => {
    const bad = { accept: "text/html", "mesos-stream-id": "x" };
    const unnamed = { type: "TEARDOWN" };
    expect((await json(unnamed, { headers: { ...bad, "content-type": "text/xml" } })).status).toBe(415);
    expect((await json(unnamed, { headers: bad })).status).toBe(400);
    expect((await json(SUBSCRIBE, { headers: bad })).status).toBe(406);
    expect((await json(SUBSCRIBE, { headers: { "mesos-stream-id": "x" } })).status).toBe(400);
  });
});

describe("row 9: a body that is no Call", () => {
  const deep = `${'{"parent":'.repeat(50_000)}{}${"}".repeat(50_000)}`;
  test.each([
    ["cut JSON", "{", "Failed to parse body into JSON: "],
    ["no JSON at all", "", "Failed to parse body into JSON: "],
    ["nesting without end", "[".repeat(1_000_000), "Failed to parse body into JSON: "],
    ["bytes that are not UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "it is not UTF-8"],
    ["a list", "[]", "must be an object"],
    ["a number for an enum", '{"type":3}', "type: must be the name"],
    ["a wrong type", '{"type":"KILL","kill":{"task_id":7}}', "kill.task_id: must be an object"],
    ["a missing field", '{"type":"KILL","kill":{}}', "kill.task_id: is missing"],
    [
      "a number beyond all",
      '{"type":"KILL","kill":{"task_id":{"value":"t"},"kill_policy":{"grace_period":{"nanoseconds":1e400}}}}',
      "kill.kill_policy.grace_period.nanoseconds: must be an integer of 64 bits",
    ],
    [
      "messages in messages",
      `{"type":"SUBSCRIBE","accept":{"operations":[{"launch_group":{"executor":{"executor_id":{"value":${deep}}}}}]}}`,
      "value: must be a string",
    ],
  ])("JSON: %s", async (_, body, words) => {
    expect(await outcome(send(body))).toEqual([400, expect.stringContaining(words)]);
  });

  test.each([
    ["a length beyond the end", [0x0a, 0x7f], "framework_id: is cut short"],
    ["a cut varint", [0x10, 0x80], "type: is cut short or is no protobuf"],
    ["text for a number", [0x12, 0x01, 0x41], "type: is of the wrong wire type"],
    ["a group", [0x0b], "framework_id: is of the wrong wire type"],
    ["JSON", [...'{"type":"TEARDOWN"}'].map((letter) => letter.charCodeAt(0)), "Failed to parse body into a Call"],
    ["a missing field", [0x10, 0x06, 0x32, 0x00], "kill.task_id: is missing"],
  ])("protobuf: %s", async (_, bytes, words) => {
    const sent = { headers: { "content-type": PROTOBUF_TYPE } };
    expect(await outcome(send(new Uint8Array(bytes), sent))).toEqual([400, expect.stringContaining(words)]);
  });

  test("a body beyond all bounds is 413", async () => {
    expect((await send(`{"type":"SUBSCRIBE","x":"${"y".repeat(CALL_BYTES_MAX)}"}`)).status).toBe(413);
    expect((await binary({ type: "KILL", kill: { task_id: { value: "y".repeat(CALL_BYTES_MAX) } } })).status).toBe(413);
  });

  test("bounds of the schema hold for both forms", async () => {
    const call = { type: "SUBSCRIBE", subscribe: { framework_info: info({ name: "n".repeat(5000) }) } };
    for (const form of [json, binary])
      expect(await outcome(form(call))).toEqual([400, expect.stringContaining("subscribe.framework_info.name")]);
  });
});

describe("row 10: a call that is not valid", () => {
  const id = { framework_id: { value: "x" } };
  const framework_info = (more: Plain) => ({ subscribe: { framework_info: info(more) } });
  test.each([
    [{}, "'type'"],
    [{ type: "SUBSCRIBE" }, "'subscribe'"],
    [{ type: "SUBSCRIBE", ...id, ...framework_info({}) }, "differs"],
    [{ type: "SUBSCRIBE", ...framework_info({ id: { value: "x" } }) }, "differs"],
    [{ type: "SUBSCRIBE", ...id, ...framework_info({ id: { value: "y" } }) }, "differs"],
    [{ type: "SUBSCRIBE", ...framework_info({ principal: "operator" }) }, "principal 'scheduler' differs"],
    [{ type: "TEARDOWN" }, "'framework_id'"],
    ...[
      "ACCEPT",
      "DECLINE",
      "ACCEPT_INVERSE_OFFERS",
      "DECLINE_INVERSE_OFFERS",
      "KILL",
      "SHUTDOWN",
      "ACKNOWLEDGE",
      "ACKNOWLEDGE_OPERATION_STATUS",
      "RECONCILE",
      "RECONCILE_OPERATIONS",
      "MESSAGE",
      "REQUEST",
      "UPDATE_FRAMEWORK",
    ].map((type): [Plain, string] => [{ type, ...id }, `'${type.toLowerCase()}'`]),
    [
      { type: "ACKNOWLEDGE", ...id, acknowledge: { agent_id: { value: "a" }, task_id: { value: "t" }, uuid: "AAAA" } },
      "16 bytes",
    ],
    [
      {
        type: "ACKNOWLEDGE_OPERATION_STATUS",
        ...id,
        acknowledge_operation_status: { uuid: UUID, operation_id: { value: "o" } },
      },
      "agent_id",
    ],
    [{ type: "UPDATE_FRAMEWORK", ...id, update_framework: { framework_info: info() } }, "differs"],
  ] satisfies [Plain, string][])("%j", async (call, words) => {
    for (const form of [json, binary]) expect(await outcome(form(call))).toEqual([400, expect.stringContaining(words)]);
  });

  test("an enum's name that we do not know is none", async () => {
    expect(await outcome(json({ type: "DANCE", ...id }))).toEqual([400, expect.stringContaining("'type'")]);
  });
});

describe("rows 11 to 13: SUBSCRIBE", () => {
  test.each([
    [JSON_TYPE, JSON_TYPE],
    [PROTOBUF_TYPE, PROTOBUF_TYPE],
    ["*/*", JSON_TYPE],
    [`${PROTOBUF_TYPE}, ${JSON_TYPE};q=0.1`, JSON_TYPE],
    [`${JSON_TYPE};q=0, */*`, PROTOBUF_TYPE],
  ] as const)("Accept: %s gives %s, whatever the call's own form", async (accept, expected) => {
    for (const form of [json, binary]) {
      const response = await form(SUBSCRIBE, { headers: { accept } });
      const { status, headers } = response;
      expect([status, headers.get("content-type"), headers.get("content-length")]).toEqual([200, expected, null]);
      expect(headers.get("mesos-stream-id")).toMatch(/^[0-9a-f-]{36}$/);
      const subscriber = new Subscriber(response, expected);
      subscriber.id = (await subscriber.next("SUBSCRIBED")).subscribed.framework_id.value;
      await subscriber.end();
    }
  });

  test.each(["text/html", `${JSON_TYPE};q=0, ${PROTOBUF_TYPE};q=0`])("Accept: '%s' gives 406", async (accept) => {
    expect(await outcome(json(SUBSCRIBE, { headers: { accept } }))).toEqual([406, expect.stringContaining("'Accept'")]);
  });

  test("SUBSCRIBED, then HEARTBEAT at once, one record in each chunk, to the letter", async () => {
    const response = await json(SUBSCRIBE);
    const subscriber = new Subscriber(response, JSON_TYPE);
    const chunk = async () => new TextDecoder().decode(await subscriber.chunk());
    const [length = "", ...rest] = (await chunk()).split("\n");
    expect(rest).toHaveLength(1);
    expect(Number(length)).toBe(new TextEncoder().encode(rest[0]).length);
    expect(rest[0]).toMatch(
      /^\{"type":"SUBSCRIBED","subscribed":\{"framework_id":\{"value":"[^"]+"\},"heartbeat_interval_seconds":15\.0,"master_info":\{"id":"/,
    );
    expect(JSON.parse(rest[0] ?? "")).toMatchObject({
      subscribed: { master_info: { hostname: "plane.test", port: 5050, pid: "master@plane.test:5050" } },
    });
    expect(await chunk()).toBe('20\n{"type":"HEARTBEAT"}');
    await subscriber.leave();
  });

  test("in protobuf: the same two, in two chunks", async () => {
    const response = await binary(SUBSCRIBE, { headers: { accept: PROTOBUF_TYPE } });
    const subscriber = new Subscriber(response, PROTOBUF_TYPE);
    const event = async () => {
      const read = new RecordReader().push((await subscriber.chunk()) ?? new Uint8Array(0));
      if (read.type === "refused" || read.records.length !== 1) throw new Error("not one record in one chunk");
      return fromBinary("scheduler.Event", read.records[0] ?? new Uint8Array(0));
    };
    expect(await event()).toMatchObject({
      type: "plain",
      value: { type: "SUBSCRIBED", subscribed: { heartbeat_interval_seconds: 15, master_info: { port: 5050 } } },
    });
    expect(await event()).toEqual({ type: "plain", value: { type: "HEARTBEAT" } });
    await subscriber.leave();
  });

  test.each([
    [{ role: "a b" }, {}, "role"],
    [{ failover_timeout: 1e300 }, {}, "failover_timeout"],
    [{ failover_timeout: "Infinity" }, {}, "failover_timeout"],
    [{ id: { value: "a/b" } }, {}, "framework_id"],
    [{}, { suppressed_roles: ["other"] }, "suppressed_roles"],
    [{}, { offer_constraints: { role_constraints: { other: {} } } }, "offer_constraints"],
  ] as readonly [Plain, Plain, string][])(
    "wrong in itself: an ERROR event on a 200 stream, which ends: %j %j",
    async (more, call, words) => {
      for (const form of [json, binary]) {
        const subscribe = { framework_info: info(more), ...call };
        const response = await form({ type: "SUBSCRIBE", framework_id: more["id"], subscribe });
        const text = await response.text();
        expect([response.status, text]).toEqual([200, expect.stringContaining('"type":"ERROR"')]);
        expect(text).toContain(words);
      }
    },
  );

  test("the newer stream wins; a removed id is told so", async () => {
    const first = await Subscriber.open();
    const second = await Subscriber.open(PROTOBUF_TYPE, { id: { value: first.id } });
    expect(second.id).toBe(first.id);
    expect((await first.next("ERROR")).error.message).toBe("Framework failed over");
    await expect(first.next("HEARTBEAT")).rejects.toThrow("the stream ended");
    expect((await first.call({ type: "REVIVE" })).status).toBe(400);
    expect((await second.call({ type: "REVIVE" })).status).toBe(202);
    await second.end();
    const framework_id = { value: first.id };
    const again = await json({ ...SUBSCRIBE, framework_id, subscribe: { framework_info: info({ id: framework_id }) } });
    expect(await outcome(again)).toEqual([200, expect.stringContaining("Framework has been removed")]);
  });
});

describe.each([JSON_TYPE, PROTOBUF_TYPE] as const)("rows 14 to 23, %s", (contentType) => {
  const form = contentType === JSON_TYPE ? json : binary;

  test("row 14: an id that nobody has", async () => {
    expect((await form({ type: "TEARDOWN", framework_id: { value: "nobody" } })).status).toBe(400);
  });

  test("row 15: of another principal", async () => {
    const framework = await Subscriber.open(contentType);
    const call = { type: "TEARDOWN", framework_id: { value: framework.id } };
    const headers = { "mesos-stream-id": framework.streamId };
    expect(await outcome(form(call, { as: "operator", headers }))).toEqual([400, expect.stringContaining("principal")]);
    await framework.end();
  });

  test("row 16: that has left, however it names its stream", async () => {
    const framework = await Subscriber.open(contentType);
    await framework.leave();
    const reconcile = { type: "RECONCILE", reconcile: { tasks: [{ task_id: { value: "nobody" } }] } };
    // Each answer is a write to the stream, which is how the plane notices.
    await vi.waitUntil(async () => (await framework.call(reconcile)).status !== 202, { timeout: 5_000 });
    expect((await framework.call(reconcile)).status).toBe(403);
    expect((await framework.call(reconcile, { "mesos-stream-id": "x" })).status).toBe(403);
  });

  test("rows 18 and 19: without the stream's id, or with another", async () => {
    const framework = await Subscriber.open(contentType);
    const call = { type: "REVIVE", framework_id: { value: framework.id } };
    expect(await outcome(form(call))).toEqual([400, expect.stringContaining("Mesos-Stream-Id")]);
    for (const streamId of ["x", `${framework.streamId}x`, framework.streamId.padEnd(300, "x")])
      expect((await form(call, { headers: { "mesos-stream-id": streamId } })).status).toBe(400);
    expect((await form(call, { headers: { "mesos-stream-id": framework.streamId } })).status).toBe(202);
    await framework.end();
  });

  test("row 20: UPDATE_FRAMEWORK is done when it is answered", async () => {
    const framework = await Subscriber.open(contentType);
    const update = (more: Plain) => {
      const framework_info = info({ id: { value: framework.id }, ...more });
      return framework.call({ type: "UPDATE_FRAMEWORK", update_framework: { framework_info } });
    };
    const done = await update({ name: "renamed" });
    const { headers } = done;
    expect([done.status, headers.get("content-length"), headers.get("content-type")]).toEqual([200, "0", null]);
    const frameworks = await (await request("/frameworks", { as: "reader" })).text();
    expect(frameworks).toContain('"renamed"');
    expect(await outcome(update({ user: "other" }))).toEqual([400, expect.stringContaining("user")]);
    await framework.end();
  });

  test("row 21: RECONCILE_OPERATIONS needs a form for its answers", async () => {
    const framework = await Subscriber.open(contentType);
    const call = { type: "RECONCILE_OPERATIONS", reconcile_operations: {} };
    expect((await framework.call(call, { accept: "text/html" })).status).toBe(406);
    expect((await framework.call(call, { accept: PROTOBUF_TYPE })).status).toBe(202);
    await framework.end();
  });

  test("row 22: UNKNOWN", async () => {
    const framework = await Subscriber.open(contentType);
    expect((await framework.call({ type: "UNKNOWN" })).status).toBe(501);
    await framework.end();
  });

  test.each([
    { type: "DECLINE", decline: { offer_ids: [{ value: "stale" }], filters: { refuse_seconds: 0 } } },
    { type: "ACCEPT", accept: { offer_ids: [{ value: "stale" }] } },
    { type: "REVIVE" },
    { type: "REVIVE", revive: { roles: ["*"] } },
    { type: "SUPPRESS", suppress: {} },
    { type: "KILL", kill: { task_id: { value: "nobody" } } },
    { type: "SHUTDOWN", shutdown: { executor_id: { value: "e" }, agent_id: { value: "a" } } },
    { type: "ACKNOWLEDGE", acknowledge: { agent_id: { value: "a" }, task_id: { value: "t" }, uuid: UUID } },
    { type: "RECONCILE", reconcile: {} },
    { type: "MESSAGE", message: { agent_id: { value: "a" }, executor_id: { value: "e" }, data: "AAH/" } },
    { type: "REQUEST", request: { requests: [] } },
    { type: "ACCEPT_INVERSE_OFFERS", accept_inverse_offers: { inverse_offer_ids: [{ value: "stale" }] } },
    { type: "DECLINE_INVERSE_OFFERS", decline_inverse_offers: { inverse_offer_ids: [{ value: "stale" }] } },
    {
      type: "ACKNOWLEDGE_OPERATION_STATUS",
      acknowledge_operation_status: { agent_id: { value: "a" }, uuid: UUID, operation_id: { value: "o" } },
    },
    { type: "TEARDOWN" },
  ])("row 23: 202, with nothing in it: $type", async (call) => {
    const framework = await Subscriber.open(contentType);
    // What Accept says is not looked at.
    const answer = await framework.call(call, { accept: "text/html" });
    const { status, headers } = answer;
    expect([status, headers.get("content-length"), headers.get("content-type"), await answer.text()]).toEqual([
      202,
      "0",
      null,
      "",
    ]);
    if (call.type !== "TEARDOWN") await framework.end();
  });
});

let hosts = 0;

describe.each([JSON_TYPE, PROTOBUF_TYPE] as const)("a task's life in %s", (contentType) => {
  test("offer, launch, update, acknowledgement", async () => {
    const socket = await TestSocket.open(++hosts);
    await socket.authenticate();
    await socket.next("authenticated");
    socket.send(register());
    const { agentId, session } = await socket.next("registered");
    const framework = await Subscriber.open(contentType);
    const { offers } = (await framework.next("OFFERS")).offers;
    const offer: Offer = present(
      offers.find((one) => one.agent_id.value === agentId),
      "an offer",
    );
    expect(offer).toMatchObject({
      hostname: "host",
      url: { scheme: "http", path: "/slave(1)" },
      resources: expect.arrayContaining([expect.objectContaining({ name: "cpus", scalar: { value: 2 } })]),
    });
    const task = {
      name: "täsk",
      task_id: { value: "t" },
      agent_id: offer.agent_id,
      resources: [
        { name: "cpus", type: "SCALAR", scalar: { value: 0.5 } },
        { name: "mem", type: "SCALAR", scalar: { value: 32 } },
      ],
      command: { value: "true", environment: { variables: [{ name: "A", value: "ß" }] } },
      data: "AAEC/w==",
    };
    const launch = { type: "LAUNCH", launch: { task_infos: [task] } };
    expect(
      (await framework.call({ type: "ACCEPT", accept: { offer_ids: [offer.id], operations: [launch] } })).status,
    ).toBe(202);
    const { orders } = await socket.next("orders");
    const order = present(orders[0], "an order");
    expect(order.order).toMatchObject({
      type: "launch",
      task: { name: "täsk", data: "AAEC/w==", command: { value: "true", environment: task.command.environment } },
    });
    const status = {
      task_id: task.task_id,
      state: "TASK_RUNNING",
      source: "SOURCE_EXECUTOR",
      agent_id: offer.agent_id,
      timestamp: 1_700_000_000.25,
      uuid: UUID,
    };
    socket.send({ type: "acted", session, sequence: order.sequence });
    // As an agent has it in its journal.
    const updates = [{ frameworkId: framework.id, status, latest: "TASK_RUNNING" }];
    socket.sendRaw(JSON.stringify({ type: "updates", session, updates }));
    expect((await framework.next("UPDATE")).update.status).toEqual(status);
    const acknowledge = { agent_id: offer.agent_id, task_id: task.task_id, uuid: UUID };
    expect((await framework.call({ type: "ACKNOWLEDGE", acknowledge })).status).toBe(202);
    const { acknowledgements } = await socket.next("acknowledge");
    expect(acknowledgements).toEqual([{ frameworkId: framework.id, taskId: "t", uuid: UUID }]);
    await framework.end();
    socket.close();
  });
});

test("this runtime's JSON keeps the digits of long numbers", () => {
  expect(parseJson('{"nanoseconds":9007199254740993}')).toEqual({
    type: "value",
    value: { nanoseconds: 9007199254740993n },
  });
});

test("a Worker of the release before says less, and gets JSON", async () => {
  const subscribe = {
    info: { user: "u", name: "n", roles: [], capabilities: [] },
    principal: "scheduler",
    streamId: crypto.randomUUID(),
    reachedAt: "127.0.0.1:5050",
  };
  const { MASTER } = env as Env;
  const init = { method: "POST", body: JSON.stringify(subscribe) };
  const response = await MASTER.get(MASTER.idFromName("master-1")).fetch("http://master/subscribe", init);
  expect(response.headers.get("content-type")).toBe(JSON_TYPE);
  const subscriber = new Subscriber(response, JSON_TYPE);
  expect((await subscriber.next("SUBSCRIBED")).subscribed.heartbeat_interval_seconds).toBe(15);
  await subscriber.leave();
});

test("a framework that does not read is cut, the log says why, and it may subscribe again", async () => {
  const lines = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const framework = await Subscriber.open();
  const tasks = Array.from({ length: CALL_ITEMS_MAX }, (_, i) => ({ task_id: { value: `task-${i}` } }));
  const reconcile = () => framework.call({ type: "RECONCILE", reconcile: { tasks } });
  const statuses: number[] = [];
  for (let asked = 0; asked <= HELD_MAX + CALL_ITEMS_MAX; asked += CALL_ITEMS_MAX)
    statuses.push((await reconcile()).status);
  expect(statuses.slice(0, 4)).toEqual([202, 202, 202, 202]);
  expect(statuses.at(-1)).toBe(403);
  const words = lines.mock.calls.map(([line]) => String(line)).filter((line) => line.includes(framework.streamId));
  expect(words).toEqual([expect.stringContaining("reads too slowly")]);
  const again = await Subscriber.open(JSON_TYPE, { id: { value: framework.id } });
  expect(again.id).toBe(framework.id);
  await again.end();
});
