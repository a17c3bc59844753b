// Protobuf: against the library's own codec as a second implementation, and against bytes that are none.
import { fromBinary as libraryFromBinary, toBinary as libraryToBinary, type DescMessage } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { present } from "#base/assert.ts";
import { DEPTH_MAX, type MessageName, VALUES_MAX } from "#protocol/message-plan.ts";
import { fromBinary, toBinary } from "#protocol/mesos-binary.ts";
import { toJson } from "#protocol/mesos-json.ts";
import { readDescriptors } from "../../scripts/proto.ts";
import { arbitraryMessage } from "./arbitrary-message.ts";

function read(name: MessageName, bytes: Uint8Array | BinaryWriter): unknown {
  const decoded = fromBinary(name, bytes instanceof BinaryWriter ? bytes.finish() : bytes);
  return decoded.type === "plain" ? decoded.value : decoded.reason;
}
const text = (number: number, value: string): BinaryWriter =>
  new BinaryWriter().tag(number, WireType.LengthDelimited).string(value);
const nested = (number: number, ...parts: readonly BinaryWriter[]): BinaryWriter => {
  const writer = new BinaryWriter().tag(number, WireType.LengthDelimited).fork();
  for (const part of parts) writer.raw(part.finish());
  return writer.join();
};
const joined = (...parts: readonly BinaryWriter[]): Uint8Array => {
  const writer = new BinaryWriter();
  for (const part of parts) writer.raw(part.finish());
  return writer.finish();
};

const registry = readDescriptors();
const descriptor = (name: MessageName): DescMessage => present(registry.getMessage(`mesos.v1.${name}`), name);

test.each(["scheduler.Call", "scheduler.Event", "TaskInfo"] as const)(
  "the library's own codec reads what ours writes, and the other way round: %s",
  (name) => {
    const desc = descriptor(name);
    fc.assert(
      fc.property(arbitraryMessage(name), (plain) => {
        const message = libraryFromBinary(desc, toBinary(name, plain));
        expect(message.$unknown).toBeUndefined();
        expect(read(name, libraryToBinary(desc, message))).toEqual(plain);
      }),
      { numRuns: 150 },
    );
  },
);

describe("read", () => {
  test("an unknown field is skipped, whatever its wire type", () => {
    const bytes = joined(
      new BinaryWriter().tag(99, WireType.Varint).uint32(1),
      new BinaryWriter().tag(99, WireType.Bit64).double(1),
      new BinaryWriter().tag(99, WireType.Bit32).fixed32(1),
      text(99, "later"),
      text(1, "x"),
    );
    expect(read("TaskID", bytes)).toEqual({ value: "x" });
  });

  test("the last of a field counts, and a message in parts is one", () => {
    expect(read("TaskID", joined(text(1, "x"), text(1, "y")))).toEqual({ value: "y" });
    const task = (part: BinaryWriter) => nested(6, part);
    const bytes = joined(task(nested(1, text(1, "t"))), task(nested(2, text(1, "a"))));
    expect(read("scheduler.Call", bytes)).toEqual({ kill: { task_id: { value: "t" }, agent_id: { value: "a" } } });
  });

  test("of a oneof the last counts, and repeated parts of it are one", () => {
    const bytes = joined(new BinaryWriter().tag(1, WireType.Varint).int32(3), text(2, "rack"));
    expect(read("scheduler.AttributeConstraint.Selector", bytes)).toEqual({ attribute_name: "rack" });
  });

  test("repeated numbers may be packed or not", () => {
    const packed = new BinaryWriter().tag(4, WireType.LengthDelimited).fork().uint32(200).uint32(300).join();
    const single = new BinaryWriter().tag(4, WireType.Varint).uint32(404);
    const port = new BinaryWriter().tag(1, WireType.Varint).uint32(80);
    expect(read("HealthCheck.HTTPCheckInfo", joined(port, packed, single))).toEqual({
      port: 80,
      statuses: [200, 300, 404],
    });
  });

  test("an enum's number that we do not know: unset where optional, dropped from a list, refused where required", () => {
    const unknown = (number: number) => new BinaryWriter().tag(number, WireType.Varint).int32(77);
    expect(read("scheduler.Call", unknown(2))).toEqual({});
    const known = new BinaryWriter().tag(1, WireType.Varint).int32(1005);
    expect(read("CapabilityInfo", joined(unknown(1), known))).toEqual({ capabilities: ["KILL"] });
    expect(read("CapabilityInfo", unknown(1))).toEqual({});
    expect(read("ContainerInfo", unknown(1))).toBe("type: is missing");
  });

  test("64-bit integers, to the last digit; infinities as text; no NaN", () => {
    expect(read("TimeInfo", new BinaryWriter().tag(1, WireType.Varint).int64(-(2n ** 63n)))).toEqual({
      nanoseconds: "-9223372036854775808",
    });
    const double = (value: number) => new BinaryWriter().tag(1, WireType.Bit64).double(value);
    expect(read("Value.Scalar", double(-Infinity))).toEqual({ value: "-Infinity" });
    expect(read("Value.Scalar", double(NaN))).toBe("value: is not a number");
  });

  test("a map's entry without key or value has empty ones; of two with one key the last counts", () => {
    const empty = read("Volume.Source.CSIVolume.StaticProvisioning", nested(5));
    expect(empty).toBe("volume_id: is missing");
    const scalar = (value: number) => nested(2, new BinaryWriter().tag(1, WireType.Bit64).double(value));
    const entry = (value: number) => nested(1, text(1, "cpus"), scalar(value));
    expect(read("OfferFilters.ResourceQuantities", joined(entry(1), entry(2)))).toEqual({
      quantities: { cpus: { value: 2 } },
    });
    expect(read("OfferFilters.ResourceQuantities", nested(1, text(1, "cpus")))).toBe(
      "quantities.cpus.value: is missing",
    );
    const proto = nested(1, text(1, "__proto__"), scalar(1));
    const plain = read("OfferFilters.ResourceQuantities", proto) as { quantities: object };
    expect(Object.keys(plain.quantities)).toEqual(["__proto__"]);
  });

  test("what is missing is named with its path", () => {
    const launch = nested(2, nested(1, text(1, "name")));
    expect(read("scheduler.Call", nested(4, nested(2, launch)))).toBe(
      "accept.operations.0.launch.task_infos.0.task_id: is missing",
    );
  });
});

describe("hostile", () => {
  const tag = (number: number, type: WireType): BinaryWriter => new BinaryWriter().tag(number, type);
  test.each([
    ["a length beyond the end", joined(tag(1, WireType.LengthDelimited).uint32(1000)), "framework_id: is cut short"],
    ["a length of 4 GiB", joined(tag(1, WireType.LengthDelimited).uint32(0xffffffff)), "framework_id: is cut short"],
    [
      "a length beyond the message around it",
      joined(nested(1, tag(1, WireType.LengthDelimited).uint32(5)), text(1, "enough")),
      "framework_id: is cut short",
    ],
    ["a varint without end", new Uint8Array(100).fill(0xff), "the message is cut short or is no protobuf"],
    ["a cut varint", new Uint8Array([0x10, 0x80]), "type: is cut short or is no protobuf"],
    ["field 0", new Uint8Array([0x02, 0x00]), "the message is cut short or is no protobuf"],
    ["wire type 6", new Uint8Array([0x0e]), "the message is cut short or is no protobuf"],
    [
      "a group",
      joined(tag(99, WireType.StartGroup), tag(99, WireType.EndGroup)),
      "the message has a group, which none has",
    ],
    ["the end of a group", joined(tag(99, WireType.EndGroup)), "the message has a group, which none has"],
    ["a group where a message belongs", joined(tag(1, WireType.StartGroup)), "framework_id: is of the wrong wire type"],
    [
      "a number where text belongs",
      joined(nested(1, tag(1, WireType.Varint).uint32(1))),
      "framework_id.value: is of the wrong wire type",
    ],
    ["text where a number belongs", joined(text(2, "KILL")), "type: is of the wrong wire type"],
    [
      "text that is not UTF-8",
      joined(nested(1, tag(1, WireType.LengthDelimited).bytes(new Uint8Array([0xff])))),
      "framework_id.value: is not UTF-8",
    ],
    [
      "cut UTF-8",
      joined(nested(1, tag(1, WireType.LengthDelimited).bytes(new Uint8Array([0xc3])))),
      "framework_id.value: is not UTF-8",
    ],
    [
      "a surrogate in UTF-8",
      joined(nested(1, tag(1, WireType.LengthDelimited).bytes(new Uint8Array([0xed, 0xa0, 0x80])))),
      "framework_id.value: is not UTF-8",
    ],
  ])("%s", (_, bytes, reason) => {
    expect(read("scheduler.Call", bytes)).toBe(reason);
  });

  test("nesting is bounded", () => {
    const chain = (depth: number): Uint8Array => {
      let inner: Uint8Array = text(1, "c").finish();
      for (let i = 1; i < depth; i++) inner = joined(text(1, "c"), tag(2, WireType.LengthDelimited).bytes(inner));
      return inner;
    };
    expect(read("ContainerID", chain(DEPTH_MAX))).toMatchObject({ value: "c" });
    expect(read("ContainerID", chain(DEPTH_MAX + 1))).toContain("is nested deeper");
    expect(read("ContainerID", chain(2000))).toContain("is nested deeper");
  });

  test("two bytes each do not become objects without end", () => {
    const bytes = new Uint8Array(2 * (VALUES_MAX + 1));
    for (let i = 0; i < bytes.length; i += 2) bytes[i] = 0x52;
    expect(read("FrameworkInfo", bytes)).toContain("values in all");
    const packed = tag(4, WireType.LengthDelimited).bytes(new Uint8Array(VALUES_MAX + 1));
    expect(read("HealthCheck.HTTPCheckInfo", packed)).toContain("values in all");
  });

  test("any bytes are read or refused, and nothing throws", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void read("scheduler.Call", bytes)),
      { numRuns: 2000 },
    );
  });

  test("a good call that is cut, or has other bytes in it, is read or refused, and nothing throws", () => {
    const changed = fc.tuple(
      arbitraryMessage("scheduler.Call"),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 3 }),
      fc.nat(),
    );
    fc.assert(
      fc.property(changed, ([plain, changes, cut]) => {
        const bytes = toBinary("scheduler.Call", plain);
        if (bytes.length === 0) return;
        for (const [place, value] of changes) bytes[place % bytes.length] = value;
        read("scheduler.Call", bytes);
        read("scheduler.Call", bytes.subarray(0, cut % bytes.length));
      }),
      { numRuns: 300 },
    );
  });
});

describe("write", () => {
  test("a time of the plane's own is the same number as in JSON", () => {
    const bytes = toBinary("TimeInfo", { nanoseconds: 1_790_000_000_123 * 1e6 });
    expect(read("TimeInfo", bytes)).toEqual({ nanoseconds: "1790000000123000000" });
  });

  test("what the schema does not have, and bytes that are none, are left out", () => {
    const plain = { task_id: { value: "t" }, state: "TASK_RUNNING", reason: "REASON_MOON", uuid: "*", fancy: 1 };
    expect(read("TaskStatus", toBinary("TaskStatus", plain))).toEqual({
      task_id: { value: "t" },
      state: "TASK_RUNNING",
    });
  });

  test("what the wire cannot hold is left out, and nothing throws, in either form", () => {
    const status = {
      healthy: "yes",
      timestamp: NaN,
      message: 7,
      data: 7,
      source: 3,
      unreachable_time: { nanoseconds: 1.5 },
    };
    expect(read("TaskStatus", toBinary("TaskStatus", { task_id: { value: "t" }, state: "TASK_LOST", ...status }))).toBe(
      "unreachable_time.nanoseconds: is missing",
    );
    expect(toJson("TaskStatus", status)).toBe('{"unreachable_time":{}}');
    for (const [name, field, value] of [
      ["ContainerStatus", "executor_pid", -1],
      ["ContainerStatus", "executor_pid", 1.5],
      ["ContainerStatus", "executor_pid", 2 ** 32],
      ["scheduler.Event.Failure", "status", 2 ** 31],
      ["scheduler.Event.Failure", "status", "1"],
      ["DurationInfo", "nanoseconds", 1e30],
      ["DurationInfo", "nanoseconds", "soon"],
      ["Value.Range", "end", -1],
    ] as const) {
      expect([field, value, toBinary(name, { [field]: value }).length]).toEqual([field, value, 0]);
      expect([field, value, toJson(name, { [field]: value })]).toEqual([field, value, "{}"]);
    }
  });
});
