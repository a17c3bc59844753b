// Mesos' JSON mapping, row by row of http-api-v1 §7, and what a real Mesos wrote.
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseJson } from "#protocol/json-text.ts";
import { fromBinary, toBinary } from "#protocol/mesos-binary.ts";
import { fromJson, toJson } from "#protocol/mesos-json.ts";
import { DEPTH_MAX, type MessageName, VALUES_MAX } from "#protocol/message-plan.ts";
import { arbitraryMessage } from "./arbitrary-message.ts";

/** What comes of a text, or what is wrong with it. */
function read(name: MessageName, text: string): unknown {
  const json = parseJson(text);
  if (json.type === "problem") return `no JSON: ${json.reason}`;
  const decoded = fromJson(name, json.value);
  return decoded.type === "plain" ? decoded.value : decoded.reason;
}
const framework = (more: object): string => JSON.stringify({ user: "u", name: "n", ...more });
const readFramework = (more: object): unknown => read("FrameworkInfo", framework(more));
const withNames = (more: object): object => ({ user: "u", name: "n", ...more });

const RECORDED = JSON.parse(
  readFileSync(new URL("recorded-messages.json", import.meta.url), "utf8"),
) as readonly (readonly [name: MessageName, text: string])[];

test.each(RECORDED)("a real Mesos' %s comes back letter by letter, also over protobuf: %.60s", (name, text) => {
  const plain = read(name, text) as Record<string, unknown>;
  expect(toJson(name, plain)).toBe(text);
  expect(fromBinary(name, toBinary(name, plain))).toEqual({ type: "plain", value: plain });
});

describe("read", () => {
  test("names are as in the schema; camelCase and other unknown fields are ignored", () => {
    expect(readFramework({ failoverTimeout: 3, fancy: { deep: [1] }, webui_url: "x" })).toEqual(
      withNames({ webui_url: "x" }),
    );
  });

  test("null is the same as left out, also in a list", () => {
    expect(readFramework({ hostname: null, roles: null, capabilities: [null, {}] })).toEqual(
      withNames({ capabilities: [{}] }),
    );
  });

  test("missing, null and [] are the same list, and so are an empty map and none", () => {
    for (const roles of [undefined, null, []])
      expect(readFramework({ roles, offer_filters: {} })).toEqual(withNames({}));
  });

  test("one value without brackets is a list of one; a list in a list is refused", () => {
    expect(readFramework({ roles: "prod", capabilities: { type: "MULTI_ROLE" } })).toEqual(
      withNames({ roles: ["prod"], capabilities: [{ type: "MULTI_ROLE" }] }),
    );
    expect(readFramework({ roles: [["prod"]] })).toBe("roles.0: must be a string");
  });

  test("enums are names; a number is refused", () => {
    expect(read("scheduler.Call", '{"type":"KILL"}')).toEqual({ type: "KILL" });
    expect(read("scheduler.Call", '{"type":6}')).toBe("type: must be the name of one of its values");
  });

  test("an unknown name of an enum: unset where optional, dropped from a list, refused where required", () => {
    expect(read("scheduler.Call", '{"type":"DANCE"}')).toEqual({});
    expect(read("CapabilityInfo", '{"capabilities":["CHOWN","FLY","KILL"]}')).toEqual({
      capabilities: ["CHOWN", "KILL"],
    });
    expect(read("ContainerInfo", '{"type":"JAIL"}')).toBe("type: is a name that this field does not have");
  });

  test.each([
    ['"AAH+/w=="', "AAH+/w=="],
    ['"AAH+/w"', "AAH+/w=="],
    ['"AAH+\\n /w=="', "AAH+/w=="],
    ['"AAH+/x=="', "AAH+/w=="],
    ['""', ""],
    ['"AAH-_w=="', "refused"],
    ['"A"', "refused"],
    ['"AAH*"', "refused"],
    ["[1,2]", "refused"],
    ["7", "refused"],
  ])(
    "bytes %s: standard base64, spaces and missing padding tolerated, the URL's alphabet refused",
    (text, expected) => {
      const result = read("UUID", `{"value":${text}}`);
      expect(typeof result === "string" ? "refused" : result).toEqual(
        expected === "refused" ? expected : { value: expected },
      );
    },
  );

  test.each([
    ["5", 5],
    ["-5", -5],
    ['"5"', 5],
    ["5.0", 5],
    ["9007199254740991", 9007199254740991],
    ["9007199254740993", "9007199254740993"],
    ['"9007199254740993"', "9007199254740993"],
    ["9223372036854775807", "9223372036854775807"],
    ["-9223372036854775808", "-9223372036854775808"],
    ["9223372036854775808", "refused"],
    ["1e18", "refused"],
    ["5.5", "refused"],
    ['"5.5"', "refused"],
    ['"five"', "refused"],
    ['""', "refused"],
    ["true", "refused"],
    ["99999999999999999999999999", "refused"],
  ])("an int64 %s is kept to its last digit, or refused", (text, expected) => {
    const result = read("TimeInfo", `{"nanoseconds":${text}}`);
    expect(typeof result === "string" ? "refused" : result).toEqual(
      expected === "refused" ? expected : { nanoseconds: expected },
    );
  });

  test.each([
    ["0", 0],
    ["18446744073709551615", "18446744073709551615"],
    ["-1", "refused"],
    ["18446744073709551616", "refused"],
  ])("a uint64 %s", (text, expected) => {
    const result = read("Value.Range", `{"begin":0,"end":${text}}`);
    expect(typeof result === "string" ? "refused" : result).toEqual(
      expected === "refused" ? expected : { begin: 0, end: expected },
    );
  });

  test("digits in a string stay a string", () => {
    expect(read("TaskID", '{"value":"12345678901234567890"}')).toEqual({ value: "12345678901234567890" });
    expect(read("TaskID", '{"value":12345678901234567890}')).toBe("value: must be a string");
  });

  test.each([
    ["1", 1],
    ["1.5e3", 1500],
    ['"1.5"', 1.5],
    ['"Infinity"', "Infinity"],
    ['"-Infinity"', "-Infinity"],
    ["1e999", "Infinity"],
    ["12345678901234567890", 12345678901234567000],
    ['"NaN"', "refused"],
    ['"1.5s"', "refused"],
    ["{}", "refused"],
  ])("a double %s", (text, expected) => {
    const result = read("Value.Scalar", `{"value":${text}}`);
    expect(typeof result === "string" ? "refused" : result).toEqual(
      expected === "refused" ? expected : { value: expected },
    );
  });

  test("32-bit integers have their range", () => {
    expect(read("Address", '{"port":"5050"}')).toEqual({ port: 5050 });
    expect(read("Address", '{"port":2147483648}')).toContain("port: must be an integer");
    expect(read("CheckInfo.Tcp", '{"port":-1}')).toContain("port: must be an integer");
    expect(read("CheckInfo.Tcp", '{"port":4294967295}')).toEqual({ port: 4294967295 });
    expect(read("CheckInfo.Tcp", '{"port":80.5}')).toContain("port: must be an integer");
  });

  test("booleans may be text", () => {
    expect(readFramework({ checkpoint: "true" })).toEqual(withNames({ checkpoint: true }));
    expect(readFramework({ checkpoint: "false" })).toEqual(withNames({ checkpoint: false }));
    for (const checkpoint of ["yes", 1, "TRUE"]) expect(readFramework({ checkpoint })).toContain("checkpoint: must be");
  });

  test("a required field that is missing is named with its path", () => {
    const task = { name: "n", task_id: { value: "t" }, agent_id: {} };
    const accept = { operations: [{ type: "LAUNCH", launch: { task_infos: [task] } }] };
    expect(read("scheduler.Call", JSON.stringify({ type: "ACCEPT", accept }))).toBe(
      "accept.operations.0.launch.task_infos.0.agent_id.value: is missing",
    );
    expect(read("FrameworkInfo", '{"user":null,"name":"n"}')).toBe("user: is missing");
  });

  test.each([
    ["a list where an object belongs", '{"framework_id":[]}', "framework_id: must be an object"],
    ["text where an object belongs", '{"framework_id":"x"}', "framework_id: must be an object"],
    ["a list as the whole", "[]", "must be an object"],
    ["null as the whole", "null", "must be an object"],
    ["a number as the whole", "7", "must be an object"],
    [
      "a duration as text",
      '{"kill":{"task_id":{"value":"t"},"kill_policy":{"grace_period":"5secs"}}}',
      "kill.kill_policy.grace_period: must be an object",
    ],
  ])("%s is refused", (_, text, reason) => {
    expect(read("scheduler.Call", text)).toBe(reason);
  });

  test("a map is an object, its values are checked, and a key may be any text", () => {
    const text = '{"quantities":{"cpus":{"value":1},"__proto__":{"value":2},"gone":null}}';
    const plain = read("OfferFilters.ResourceQuantities", text) as { quantities: object };
    expect(Object.entries(plain.quantities)).toEqual([
      ["cpus", { value: 1 }],
      ["__proto__", { value: 2 }],
    ]);
    expect(({} as Record<string, unknown>)["value"]).toBeUndefined();
    expect(read("OfferFilters.ResourceQuantities", '{"quantities":[{"value":1}]}')).toContain("must be an object");
    expect(read("OfferFilters.ResourceQuantities", '{"quantities":{"cpus":{}}}')).toBe(
      "quantities.cpus.value: is missing",
    );
  });

  test("of a oneof the last member counts", () => {
    const selector = (text: string) => read("scheduler.AttributeConstraint.Selector", text);
    expect(selector('{"attribute_name":"a","pseudoattribute_type":"ZONE"}')).toEqual({ pseudoattribute_type: "ZONE" });
    expect(selector('{"pseudoattribute_type":"ZONE","attribute_name":"a"}')).toEqual({ attribute_name: "a" });
    expect(selector('{"pseudoattribute_type":"ZONE","attribute_name":null}')).toEqual({ pseudoattribute_type: "ZONE" });
  });

  test("half a character is refused: no other form could carry it", () => {
    expect(read("TaskID", '{"value":"\\ud800"}')).toContain("value: must be a string of whole characters");
    expect(read("TaskID", '{"value":"\\ud83d\\ude00"}')).toEqual({ value: "😀" });
  });

  test("nesting is bounded, and so is the number of values", () => {
    const chain = (depth: number): string =>
      '{"value":"c","parent":'.repeat(depth - 1) + '{"value":"c"}' + "}".repeat(depth - 1);
    expect(read("ContainerID", chain(DEPTH_MAX))).toMatchObject({ value: "c" });
    expect(read("ContainerID", chain(DEPTH_MAX + 1))).toContain("nested");
    expect(read("ContainerID", chain(200_000))).toContain("nested");
    expect(read("Labels", `{"labels":[${'{"key":""},'.repeat(VALUES_MAX)}{"key":""}]}`)).toContain("values in all");
  });

  test("nesting without end is no more than an error, also among long numbers", () => {
    for (const text of ["[".repeat(1_000_000), `${"[".repeat(100_000)}1234567890123456789${"]".repeat(100_000)}`]) {
      expect(typeof read("scheduler.Call", `{"x":${text}}`)).not.toBe("undefined");
    }
  });

  test("no JSON is an error in words", () => {
    for (const text of ["", "{", "{'a':1}", '{"a":1,}', "NaN", "{}x"]) {
      expect(read("scheduler.Call", text)).toContain("no JSON: ");
    }
  });
});

describe("write", () => {
  test("the order is the schema's, whatever the object's, and the type stands near the front", () => {
    const kill = { agent_id: { value: "a" }, task_id: { value: "t" } };
    expect(toJson("scheduler.Call", { kill, type: "KILL", framework_id: { value: "f" } })).toBe(
      '{"framework_id":{"value":"f"},"type":"KILL","kill":{"task_id":{"value":"t"},"agent_id":{"value":"a"}}}',
    );
  });

  test("defaults are written, unless they are marked deprecated", () => {
    const defaults = (name: MessageName, plain: object): unknown => JSON.parse(toJson(name, { ...plain }));
    expect(defaults("CommandInfo", {})).toEqual({ shell: true });
    expect(defaults("CommandInfo.URI", { value: "x" })).toEqual({ value: "x", extract: true });
    expect(toJson("FrameworkInfo", { user: "u", name: "n" })).toBe(
      '{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}',
    );
    expect(defaults("MasterInfo", { id: "m", ip: 0 })).toEqual({ id: "m", ip: 0, port: 5050 });
    expect(defaults("ContainerInfo.DockerInfo", { image: "i" })).toEqual({
      image: "i",
      network: "HOST",
      privileged: false,
    });
    expect(defaults("Resource", { name: "cpus", type: "SCALAR" })).toEqual({ name: "cpus", type: "SCALAR" });
    expect(toJson("Filters", {})).toBe('{"refuse_seconds":5.0}');
    expect(toJson("HealthCheck", {})).toBe(
      '{"delay_seconds":15.0,"interval_seconds":10.0,"timeout_seconds":20.0,"consecutive_failures":3,"grace_period_seconds":10.0}',
    );
  });

  test.each([
    [15, "15.0"],
    [0, "0.0"],
    [-0, "-0.0"],
    [0.1, "0.1"],
    [1e21, "1e+21"],
    [123456789012345680000, "123456789012345680000.0"],
    [Infinity, '"Infinity"'],
    ["-Infinity", '"-Infinity"'],
  ])("the double %s is %s", (value, text) => {
    expect(toJson("Value.Scalar", { value })).toBe(`{"value":${text}}`);
  });

  test("64-bit integers are numbers, to the last digit", () => {
    expect(toJson("TimeInfo", { nanoseconds: "9223372036854775807" })).toBe('{"nanoseconds":9223372036854775807}');
    // A time of the plane's own: milliseconds, as a double.
    expect(toJson("TimeInfo", { nanoseconds: 1_790_000_000_123 * 1e6 })).toBe('{"nanoseconds":1790000000123000000}');
  });

  test("empty lists and maps, undefined members and what the schema does not have are left out", () => {
    const plain = { resources: [], attributes: [], executor_ids: undefined, fancy: 1, hostname: "h" };
    expect(toJson("Offer", plain)).toBe('{"hostname":"h"}');
    expect(toJson("OfferFilters.ResourceQuantities", { quantities: {} })).toBe("{}");
    expect(toJson("FrameworkInfo.Capability", { type: "TIME_TRAVEL" })).toBe("{}");
  });

  test("text is escaped to one line, and a slash is as it is", () => {
    const text = toJson("TaskID", { value: 'a/"\n\u0001\u2028é' });
    expect(text).toBe('{"value":"a/\\"\\n\\u0001\u2028é"}');
  });
});

test.each([
  ["calls", "scheduler.Call"],
  ["events", "scheduler.Event"],
  ["tasks", "TaskInfo"],
  ["resources", "Resource"],
] as const)("random %s: JSON → plain → protobuf → plain → JSON changes nothing", (_, name) => {
  fc.assert(
    fc.property(arbitraryMessage(name), (plain) => {
      const text = toJson(name, plain);
      expect(text).not.toContain("\n");
      expect(read(name, text)).toEqual(plain);
      const decoded = fromBinary(name, toBinary(name, plain));
      expect(decoded).toEqual({ type: "plain", value: plain });
    }),
    { numRuns: 150 },
  );
});

test("any JSON is read or refused, and nothing throws", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), (text) => {
      read("scheduler.Call", text);
    }),
  );
  // Much nearer to the schema: a good call with something else in place of one of its values.
  fc.assert(
    fc.property(arbitraryMessage("scheduler.Call"), fc.jsonValue(), fc.nat(), (plain, other, place) => {
      let at = 0;
      const text = toJson("scheduler.Call", plain).replace(/:("[^"\\]*"|-?\d+)/g, (found) =>
        at++ === place % 20 ? `:${JSON.stringify(other)}` : found,
      );
      read("scheduler.Call", text);
    }),
    { numRuns: 150 },
  );
});
