// What may come over an agent's socket: every message is read back as it was written, and whatever else comes is refused.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  agentMessageSchema,
  FRAME_BYTES_MAX,
  FRAME_ITEMS_MAX,
  MESSAGE_LETTERS_MAX,
  OPERATION_LETTERS_MAX,
  parseFrame,
  planeMessageSchema,
} from "#protocol/agent.ts";

const order = { sequence: 1, order: { type: "shutdown-framework", frameworkId: "f" } };
const system = { cpus_total: 1, load_1min: 0, load_5min: 0, load_15min: 0, mem_total_bytes: 1, mem_free_bytes: 1 };
const info = { hostname: "h", port: 5051, resources: [], attributes: [] };
const status = { task_id: { value: "t" }, state: "TASK_RUNNING", uuid: "AAAAAAAAAAAAAAAAAAAAAA==" };

const operationUuid = "AQIDBAUGBwgJCgsMDQ4PEA==";
const disk = { name: "disk", type: "SCALAR", scalar: { value: 8 }, reservations: [{ type: "DYNAMIC", role: "web" }] };
const long = { ...disk, reservations: [{ role: "web", principal: "p".repeat(OPERATION_LETTERS_MAX / 200) }] };
const operation = {
  operationUuid,
  frameworkId: "f",
  operationId: "o",
  operation: { type: "RESERVE", resources: [disk] },
};
const ended = { state: "OPERATION_FINISHED", converted_resources: [disk], uuid: { value: status.uuid } };
const framework = { id: "f", name: "n", user: "", partitionAware: true };
const executor = { executor_id: { value: "e" }, resources: [] };
const said = { session: "s", frameworkId: "f", executorId: "e", data: "aGk=" };

const AGENT_MESSAGES: readonly object[] = [
  {
    type: "authenticate",
    protocolVersion: 1,
    agentVersion: "0.1.0",
    mechanism: "SCRAM-SHA-256",
    clientFirst: "n,,n=a,r=b",
    epochSeen: 0,
  },
  { type: "authentication-step", clientFinal: "c=biws" },
  { type: "register", info, tasks: [], part: 1, more: false, system },
  {
    type: "register",
    info: {
      ...info,
      capabilities: ["OPERATIONS", "FLYING"],
      domain: { fault_domain: { region: { name: "eu" }, zone: { name: "a" } } },
    },
    tasks: [],
    operations: [{ ...operation, status: ended }],
    executors: [{ framework, executor }],
    part: 1,
    more: false,
    system,
  },
  { type: "acted", session: "s", sequence: 0 },
  { type: "operation-updates", session: "s", updates: [{ operationUuid, status: ended }] },
  { type: "executor-exited", session: "s", frameworkId: "f", executorId: "e", status: 256 },
  { type: "framework-message", ...said },
  { type: "updates", session: "s", updates: [{ frameworkId: "f", status, latest: "TASK_RUNNING" }] },
  { type: "statistics", system },
  { type: "response", requestId: "1", status: 200, headers: {}, body: "" },
];
const PLANE_MESSAGES: readonly object[] = [
  { type: "authentication-step", serverFirst: "r=" },
  { type: "authenticated", serverFinal: "v=" },
  { type: "authentication-failed", reason: "no" },
  { type: "authentication-error", reason: "later" },
  { type: "registered", agentId: "a", epoch: 1, session: "s" },
  { type: "unavailable", reason: "no leader" },
  { type: "refused", reason: "gone" },
  { type: "orders", epoch: 1, session: "s", orders: [order] },
  { type: "acknowledge", epoch: 1, session: "s", acknowledgements: [{ frameworkId: "f", taskId: "t", uuid: "u" }] },
  { type: "request", requestId: "1", path: "/state" },
  { type: "acknowledge-operations", epoch: 1, session: "s", acknowledgements: [{ operationUuid, uuid: "u" }] },
  { type: "executor-message", epoch: 1, ...said },
  ...[
    { type: "operation", ...operation },
    { type: "operation", operationUuid, operation: { type: "UNRESERVE", resources: [disk] } },
    { type: "operation", operationUuid, operation: { type: "CREATE", volumes: [disk] } },
    { type: "operation", operationUuid, operation: { type: "DESTROY", volumes: [disk] } },
    { type: "operation", operationUuid, operation: { type: "GROW_VOLUME", volume: disk, addition: disk } },
    { type: "operation", operationUuid, operation: { type: "SHRINK_VOLUME", volume: disk, subtractMb: 1 } },
    { type: "launch-group", framework, executor, tasks: [] },
    { type: "shutdown-executor", frameworkId: "f", executorId: "e" },
  ].map((given) => ({ type: "orders", epoch: 1, session: "s", orders: [{ sequence: 1, order: given }] })),
];

test.each(AGENT_MESSAGES)("an agent's message is read: %j", (message) => {
  expect(parseFrame(agentMessageSchema, JSON.stringify(message))).toMatchObject({ type: "parsed", value: message });
});
test.each(PLANE_MESSAGES)("a plane's message is read: %j", (message) => {
  expect(parseFrame(planeMessageSchema, JSON.stringify(message))).toMatchObject({ type: "parsed", value: message });
});

const frame = (value: unknown): string => JSON.stringify(value);
const orders = (given: unknown): string =>
  frame({ type: "orders", epoch: 1, session: "s", orders: [{ sequence: 1, order: given }] });
test.each([
  ["nothing", ""],
  ["no JSON", "{"],
  ["no object", "null"],
  ["a list", "[]"],
  ["no type", "{}"],
  ["an unknown type", frame({ type: "launch" })],
  ["a type of the prototype", frame({ type: "__proto__" })],
  ["an order without a number", frame({ type: "orders", epoch: 1, session: "s", orders: [{ order: order.order }] })],
  ["order number 0", frame({ type: "orders", epoch: 1, session: "s", orders: [{ ...order, sequence: 0 }] })],
  ["half an order number", frame({ type: "orders", epoch: 1, session: "s", orders: [{ ...order, sequence: 1.5 }] })],
  [
    "an unsafe order number",
    frame({ type: "orders", epoch: 1, session: "s", orders: [{ ...order, sequence: 2 ** 53 }] }),
  ],
  [
    "too many orders",
    frame({ type: "orders", epoch: 1, session: "s", orders: Array.from({ length: FRAME_ITEMS_MAX + 1 }, () => order) }),
  ],
  [
    "an unknown order",
    frame({ type: "orders", epoch: 1, session: "s", orders: [{ sequence: 1, order: { type: "reboot" } }] }),
  ],
  ["a negative epoch", frame({ type: "registered", agentId: "a", epoch: -1, session: "s" })],
  ["an epoch in text", frame({ type: "registered", agentId: "a", epoch: "1", session: "s" })],
  ["an id that is too long", frame({ type: "registered", agentId: "a".repeat(5000), epoch: 1, session: "s" })],
  ["a path that is none", frame({ type: "request", requestId: "1", path: "state" })],
  ["a path that is too long", frame({ type: "request", requestId: "1", path: `/${"a".repeat(9000)}` })],
  [
    "a uuid that is too long",
    frame({
      type: "acknowledge",
      epoch: 1,
      session: "s",
      acknowledgements: [{ frameworkId: "f", taskId: "t", uuid: "u".repeat(25) }],
    }),
  ],
  ["an operation of no kind", orders({ type: "operation", operationUuid, operation: { type: "LAUNCH" } })],
  ["an operation without a uuid", orders({ ...operation, type: "operation", operationUuid: undefined })],
  ["an operation with half a uuid", orders({ ...operation, type: "operation", operationUuid: "AQIDBAUGBwg=" })],
  [
    "an operation that is too long",
    orders({
      type: "operation",
      operationUuid,
      operation: { type: "CREATE", volumes: Array.from({ length: 200 }, () => long) },
    }),
  ],
  [
    "a message that is too long",
    frame({ type: "executor-message", epoch: 1, ...said, data: "A".repeat(MESSAGE_LETTERS_MAX + 1) }),
  ],
  ["too many bytes", `"${"x".repeat(FRAME_BYTES_MAX)}"`],
  ["deep nesting", "[".repeat(100_000)],
])("a plane's frame with %s is refused with a reason", (_, text) => {
  const result = parseFrame(planeMessageSchema, text);
  expect(result).toEqual({ type: "refused", reason: expect.stringMatching(/./) });
});

test.each([
  [
    "a task without an id",
    frame({
      type: "register",
      info,
      tasks: [{ framework: {}, task: {}, latest: "TASK_RUNNING", statuses: [] }],
      part: 1,
      more: false,
      system,
    }),
  ],
  [
    "an unknown task state",
    frame({
      type: "updates",
      session: "s",
      updates: [{ frameworkId: "f", status: { ...status, state: "TASK_HAPPY" }, latest: "TASK_RUNNING" }],
    }),
  ],
  [
    "too many updates",
    frame({
      type: "updates",
      session: "s",
      updates: Array.from({ length: FRAME_ITEMS_MAX + 1 }, () => ({
        frameworkId: "f",
        status,
        latest: "TASK_RUNNING",
      })),
    }),
  ],
  ["figures that are no numbers", frame({ type: "statistics", system: { ...system, cpus_total: null } })],
  ["port 70000", frame({ type: "register", info: { ...info, port: 70_000 }, tasks: [], part: 1, more: false, system })],
  [
    "no host name",
    frame({ type: "register", info: { ...info, hostname: "" }, tasks: [], part: 1, more: false, system }),
  ],
  ["a status beyond HTTP", frame({ type: "response", requestId: "1", status: 1000, headers: {}, body: "" })],
  ["a plane's message", frame({ type: "registered", agentId: "a", epoch: 1, session: "s" })],
])("an agent's frame with %s is refused with a reason", (_, text) => {
  const result = parseFrame(agentMessageSchema, text);
  expect(result).toEqual({ type: "refused", reason: expect.stringMatching(/./) });
});

test("no frame makes the reader throw", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(["parsed", "refused"]).toContain(parseFrame(planeMessageSchema, text).type);
      expect(["parsed", "refused"]).toContain(parseFrame(agentMessageSchema, text).type);
    }),
  );
});

test("any one value changed in a message is read or refused, and never thrown", () => {
  const anything = fc.anything();
  fc.assert(
    fc.property(fc.constantFrom(...PLANE_MESSAGES, ...AGENT_MESSAGES), fc.nat(), anything, (message, which, value) => {
      const keys = Object.keys(message);
      const changed = { ...message, [keys[which % keys.length] ?? "type"]: value };
      let text: string | undefined;
      try {
        text = JSON.stringify(changed);
      } catch {
        return; // not JSON at all, e.g. a bigint
      }
      if (text !== undefined) expect(["parsed", "refused"]).toContain(parseFrame(planeMessageSchema, text).type);
    }),
  );
});
