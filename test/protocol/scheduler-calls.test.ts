import { expect, test } from "vitest";
import * as v from "valibot";
import { callSchema } from "#protocol/scheduler.ts";
import { exitMessage, parseExitMessage } from "#protocol/task.ts";

const parse = (json: unknown) => v.safeParse(callSchema, json);
const subscribe = (more: object) => ({
  type: "SUBSCRIBE",
  subscribe: { framework_info: { user: "u", name: "n", ...more } },
});

test("a bare value is a list of one, null is absent, numbers may be text, unknown fields are ignored", () => {
  const parsed = parse(
    subscribe({ roles: "prod", hostname: null, failover_timeout: "3.5", checkpoint: "true", fancy: 1 }),
  );
  expect(parsed.output).toMatchObject({
    type: "SUBSCRIBE",
    subscribe: {
      framework_info: {
        roles: ["prod"],
        hostname: undefined,
        failover_timeout: 3.5,
        checkpoint: true,
        capabilities: [],
      },
    },
  });
});

test("an unknown call type counts as absent, a number is refused", () => {
  expect(parse({ type: "DANCE" }).output).toMatchObject({ type: undefined });
  expect(parse({ type: 3 }).success).toBe(false);
});

test("an unknown capability or operation becomes UNKNOWN, an unknown enum in a required field is refused", () => {
  expect(parse(subscribe({ capabilities: [{ type: "TIME_TRAVEL" }, {}] })).output).toMatchObject({
    subscribe: { framework_info: { capabilities: [{ type: "UNKNOWN" }, { type: "UNKNOWN" }] } },
  });
  expect(parse({ type: "ACCEPT", accept: { operations: { type: "FLY" } } }).output).toMatchObject({
    accept: { operations: [{ type: "UNKNOWN" }] },
  });
  const container = { type: "CHROOT" };
  const task = { name: "n", task_id: { value: "t" }, agent_id: { value: "a" }, container };
  const operations = [{ type: "LAUNCH", launch: { task_infos: [task] } }];
  expect(parse({ type: "ACCEPT", accept: { operations } }).success).toBe(false);
});

test("64-bit numbers are numbers where that is exact and text otherwise; nothing is rounded", () => {
  const kill = (nanoseconds: unknown) =>
    parse({ type: "KILL", kill: { task_id: { value: "t" }, kill_policy: { grace_period: { nanoseconds } } } });
  const read = (nanoseconds: unknown) => {
    const parsed = kill(nanoseconds);
    return parsed.success ? parsed.output.kill?.kill_policy?.grace_period?.nanoseconds : "refused";
  };
  expect(read(5e9)).toBe(5e9);
  expect(read("5000000000")).toBe(5e9);
  expect(read("-9007199254740993")).toBe("-9007199254740993");
  expect(read("9223372036854775807")).toBe("9223372036854775807");
  expect(read("0009223372036854775807")).toBe("refused");
  expect(read("9223372036854775808")).toBe("refused");
  for (const wrong of ["", "1.5", 1.5, "1e3", "0x10", {}, true, "9".repeat(100)]) expect(read(wrong)).toBe("refused");
});

test("an infinite time is beyond every bound, not a text", () => {
  const parsed = parse(subscribe({ failover_timeout: "Infinity" }));
  expect(parsed.output).toMatchObject({ subscribe: { framework_info: { failover_timeout: Number.MAX_VALUE } } });
});

test.each([
  ["a list where an object belongs", { type: "TEARDOWN", framework_id: [] }],
  ["a framework id that is text", { type: "TEARDOWN", framework_id: "x" }],
  ["a missing required field", { type: "SUBSCRIBE", subscribe: { framework_info: { user: "u" } } }],
  ["text where a number belongs", subscribe({ failover_timeout: "soon" })],
  ["a name without end", subscribe({ name: "n".repeat(5000) })],
  ["roles without end", subscribe({ roles: Array.from({ length: 1000 }, (_, i) => `r${i}`) })],
  ["an id without end", { type: "TEARDOWN", framework_id: { value: "x".repeat(5000) } }],
  ["null", null],
  ["a number", 7],
])("hostile: %s is refused", (_, json) => {
  expect(parse(json).success).toBe(false);
});

test("__proto__ in a call pollutes nothing", () => {
  parse(
    JSON.parse(
      '{"type":"TEARDOWN","__proto__":{"polluted":true},"framework_id":{"value":"x","__proto__":{"polluted":true}}}',
    ),
  );
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

test("an exit message is read back, and nothing else is", () => {
  for (const status of [
    { type: "exited", code: 3 },
    { type: "signaled", signal: 9 },
  ] as const) {
    expect(parseExitMessage(exitMessage(status))).toEqual(status);
  }
  for (const text of [undefined, "", "Command exited with status 3 ", "Command exited with status 3000", "exited 3"]) {
    expect(parseExitMessage(text)).toBeUndefined();
  }
});
