// Mesos' messages as protobuf, both ways. The library reads and writes single values; going through a message is here, because what a
// client sends comes at once to the one plain form, with a path for what is wrong with it and bounds for what it may cost.
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { fromBase64, toBase64 } from "#base/base64.ts";
import { parseInt64 } from "./int64.ts";
import {
  DEPTH_MAX,
  fits,
  planOf,
  VALUES_MAX,
  type Decoded,
  type FieldPlan,
  type MessageName,
  type MessagePlan,
  type Plain,
  type Scalar,
  type ValuePlan,
} from "./message-plan.ts";

/** The bytes cannot be this message. Thrown and caught in this module only, as is what the library throws at a cut value. */
class Refusal extends Error {}

type Fields = Record<string, unknown>;

interface Reading {
  readonly reader: BinaryReader;
  readonly path: string[];
  values: number;
}

export function fromBinary(name: MessageName, bytes: Uint8Array): Decoded {
  const reading: Reading = { reader: new BinaryReader(bytes), path: [], values: 0 };
  try {
    const plan = planOf(name);
    const plain = readMessage(plan, {}, bytes.length, reading, 1);
    checkRequired(plan, plain, reading.path);
    return { type: "plain", value: plain };
  } catch (error) {
    const path = reading.path.join(".");
    const reason = error instanceof Refusal ? error.message : "is cut short or is no protobuf";
    return { type: "problem", reason: path === "" ? `the message ${reason}` : `${path}: ${reason}` };
  }
}

/** Reads up to `end` into `plain`, which is what came of the field before: a message that is sent in parts is one. */
function readMessage(plan: MessagePlan, plain: Fields, end: number, reading: Reading, depth: number): Fields {
  if (depth > DEPTH_MAX) throw new Refusal(`is nested deeper than ${DEPTH_MAX} messages`);
  const { reader } = reading;
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const field = plan.byNumber.get(number);
    if (field === undefined) skip(reader, wireType);
    else {
      reading.path.push(field.name);
      readField(field, wireType, plain, reading, depth);
      reading.path.pop();
      if (field.rivals.length > 0 && plain[field.name] !== undefined)
        for (const rival of field.rivals) delete plain[rival];
    }
    // Here, so that a field which reaches over the end of its message is not read on.
    if (reader.pos > end) throw new Refusal("is cut short");
  }
  return plain;
}

function skip(reader: BinaryReader, wireType: WireType): void {
  if (wireType === WireType.StartGroup || wireType === WireType.EndGroup)
    throw new Refusal("has a group, which none has");
  reader.skip(wireType);
}

function count(reading: Reading): void {
  if (++reading.values > VALUES_MAX) throw new Refusal(`has more than ${VALUES_MAX} values in all`);
}

function readField(field: FieldPlan, wireType: WireType, plain: Fields, reading: Reading, depth: number): void {
  const { name, shape, value: plan } = field;
  const { reader } = reading;
  count(reading);
  if (shape === "map") {
    expectType(wireType, WireType.LengthDelimited);
    const [key, value] = readEntry(plan, endOf(reader), reading, depth);
    const map = (plain[name] ??= {}) as Fields;
    // Not by assignment: a key may be "__proto__".
    if (value !== undefined)
      Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
    return;
  }
  if (shape === "list") {
    const items = (plain[name] ?? []) as unknown[];
    if (wireType === WireType.LengthDelimited && wireTypeOf(plan) !== WireType.LengthDelimited) {
      const end = endOf(reader);
      while (reader.pos < end) {
        count(reading);
        add(items, readValue(plan, undefined, reading, depth));
      }
      if (reader.pos > end) throw new Refusal("is cut short");
    } else {
      expectType(wireType, wireTypeOf(plan));
      add(items, readValue(plan, undefined, reading, depth));
    }
    if (items.length > 0) plain[name] = items;
    return;
  }
  expectType(wireType, wireTypeOf(plan));
  const value = readValue(plan, plain[name], reading, depth);
  // The number of an enum's value that we do not know reads as unset, and unsets nothing.
  if (value !== undefined) plain[name] = value;
}

function add(items: unknown[], value: unknown): void {
  if (value !== undefined) items.push(value);
}

function readEntry(plan: ValuePlan, end: number, reading: Reading, depth: number): [key: string, value: unknown] {
  const { reader } = reading;
  let key = "";
  let value: unknown;
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    if (number === 1) {
      expectType(wireType, WireType.LengthDelimited);
      key = readText(reader);
    } else if (number === 2) {
      expectType(wireType, wireTypeOf(plan));
      value = readValue(plan, value, reading, depth);
    } else skip(reader, wireType);
    if (reader.pos > end) throw new Refusal("is cut short");
  }
  return [key, value ?? emptyOf(plan)];
}

/** What an entry without a value means. */
const emptyOf = (plan: ValuePlan): unknown =>
  plan.kind === "message" ? {} : plan.kind === "scalar" && plan.scalar === "string" ? "" : undefined;

/** The end of a length-delimited value that begins here. */
function endOf(reader: BinaryReader): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new Refusal("is cut short");
  return end;
}

function expectType(wireType: WireType, expected: WireType): void {
  if (wireType !== expected) throw new Refusal("is of the wrong wire type");
}

function wireTypeOf(plan: ValuePlan): WireType {
  if (plan.kind === "message") return WireType.LengthDelimited;
  if (plan.kind === "enum") return WireType.Varint;
  switch (plan.scalar) {
    case "string":
    case "bytes":
      return WireType.LengthDelimited;
    case "double":
      return WireType.Bit64;
    case "bool":
    case "int32":
    case "int64":
    case "uint32":
    case "uint64":
      return WireType.Varint;
  }
}

function readValue(plan: ValuePlan, before: unknown, reading: Reading, depth: number): unknown {
  const { reader } = reading;
  switch (plan.kind) {
    case "message": {
      const end = endOf(reader);
      return readMessage(plan.message, (before ?? {}) as Fields, end, reading, depth + 1);
    }
    case "enum":
      return plan.enum.nameOf.get(reader.int32());
    case "scalar":
      return readScalar(plan.scalar, reader);
  }
}

function readScalar(scalar: Scalar, reader: BinaryReader): unknown {
  switch (scalar) {
    case "string":
      return readText(reader);
    case "bytes":
      return toBase64(reader.bytes());
    case "bool":
      return reader.bool();
    case "int32":
      return reader.int32();
    case "uint32":
      return reader.uint32();
    case "int64":
      return parseInt64(String(reader.int64()), "signed");
    case "uint64":
      return parseInt64(String(reader.uint64()), "unsigned");
    case "double":
      return readDouble(reader);
  }
}

function readText(reader: BinaryReader): string {
  const start = reader.pos;
  endOf(reader);
  reader.pos = start;
  try {
    return reader.string(true);
  } catch {
    throw new Refusal("is not UTF-8");
  }
}

function readDouble(reader: BinaryReader): number | string {
  const value = reader.double();
  // JSON has no word for it, and no field a use.
  if (Number.isNaN(value)) throw new Refusal("is not a number");
  return value === Infinity ? "Infinity" : value === -Infinity ? "-Infinity" : value;
}

/** After the whole message, because its parts may have come one by one. */
function checkRequired(plan: MessagePlan, plain: Fields, path: string[]): void {
  for (const { name, shape, value: of, required } of plan.fields) {
    const value = plain[name];
    if (value === undefined) {
      if (!required) continue;
      path.push(name);
      throw new Refusal("is missing");
    }
    if (of.kind !== "message") continue;
    path.push(name);
    if (shape === "one") checkRequired(of.message, value as Fields, path);
    else {
      for (const [key, item] of Object.entries(value as Readonly<Record<string, Fields>>)) {
        path.push(key);
        checkRequired(of.message, item, path);
        path.pop();
      }
    }
    path.pop();
  }
}

/** What the schema does not have is left out. */
export function toBinary(name: MessageName, plain: Plain): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  writeMessage(planOf(name), plain, writer);
  return writer.finish();
}

function writeMessage(plan: MessagePlan, plain: Plain, writer: BinaryWriter): void {
  for (const { name, number, shape, value: of } of plan.fields) {
    const value = plain[name];
    if (value === undefined || value === null) continue;
    if (shape === "one") writeValue(of, number, value, writer);
    else if (shape === "list") for (const item of value as readonly unknown[]) writeValue(of, number, item, writer);
    else {
      for (const [key, entry] of Object.entries(value as Plain)) {
        writer.tag(number, WireType.LengthDelimited).fork();
        writer.tag(1, WireType.LengthDelimited).string(key);
        writeValue(of, 2, entry, writer);
        writer.join();
      }
    }
  }
}

function writeValue(plan: ValuePlan, number: number, value: unknown, writer: BinaryWriter): void {
  switch (plan.kind) {
    case "message":
      writer.tag(number, WireType.LengthDelimited).fork();
      writeMessage(plan.message, value as Plain, writer);
      writer.join();
      return;
    case "enum": {
      const known = plan.enum.numberOf.get(value as string);
      if (known !== undefined) writer.tag(number, WireType.Varint).int32(known);
      return;
    }
    case "scalar":
      if (fits(plan.scalar, value)) writeScalar(plan, number, value as string & number & boolean, writer);
      return;
  }
}

function writeScalar(
  plan: Extract<ValuePlan, { kind: "scalar" }>,
  number: number,
  value: string & number & boolean,
  writer: BinaryWriter,
): void {
  const bytes = plan.scalar === "bytes" ? fromBase64(value) : undefined;
  if (plan.scalar === "bytes" && bytes === undefined) return;
  writer.tag(number, wireTypeOf(plan));
  switch (plan.scalar) {
    case "string":
      writer.string(value);
      return;
    case "bytes":
      if (bytes !== undefined) writer.bytes(bytes);
      return;
    case "bool":
      writer.bool(value);
      return;
    case "int32":
      writer.int32(value);
      return;
    case "uint32":
      writer.uint32(value);
      return;
    // By their digits, as in JSON.
    case "int64":
      writer.int64(String(value));
      return;
    case "uint64":
      writer.uint64(String(value));
      return;
    case "double":
      writer.double(Number(value));
      return;
  }
}
