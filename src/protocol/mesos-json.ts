// Mesos' own mapping between JSON and its messages (http-api-v1 §7), both ways. It is not protobuf's: names stay as they are in the
// schema, 64-bit integers are numbers, defaults are written, a bare value may stand for a list.
import { fromBase64, toBase64 } from "#base/base64.ts";
import { parseInt64 } from "./int64.ts";
import {
  DEPTH_MAX,
  fits,
  INT32_MAX,
  INT32_MIN,
  planOf,
  UINT32_MAX,
  VALUES_MAX,
  type Decoded,
  type FieldPlan,
  type MessageName,
  type MessagePlan,
  type Plain,
  type Scalar,
  type ValuePlan,
} from "./message-plan.ts";

/** What a client sent cannot be this message. Thrown and caught in this module only: nesting makes returning it dear. */
class Refusal extends Error {}

interface Reading {
  /** Names and places of lists down to the value that is being read. */
  readonly path: (string | number)[];
  values: number;
}

/** Reads a value as `parseJson` gives it. */
export function fromJson(name: MessageName, json: unknown): Decoded {
  const reading: Reading = { path: [], values: 0 };
  try {
    return { type: "plain", value: readMessage(planOf(name), json, reading, 1) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const path = reading.path.join(".");
    return { type: "problem", reason: path === "" ? error.message : `${path}: ${error.message}` };
  }
}

function readMessage(plan: MessagePlan, json: unknown, reading: Reading, depth: number): Plain {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw new Refusal("must be an object");
  if (depth > DEPTH_MAX) throw new Refusal(`messages may be nested ${DEPTH_MAX} deep`);
  count(reading);
  const members = json as Plain;
  const plain: Record<string, unknown> = {};
  for (const field of plan.fields) {
    const member = members[field.name];
    let value: unknown;
    if (member !== undefined && member !== null) {
      reading.path.push(field.name);
      value = readField(field, member, reading, depth);
      reading.path.pop();
    }
    if (value !== undefined) plain[field.name] = value;
    else if (field.required) {
      reading.path.push(field.name);
      // Of a required field only an enum can be there and have no value.
      throw new Refusal(
        member === undefined || member === null ? "is missing" : "is a name that this field does not have",
      );
    }
  }
  if (plan.hasOneof) keepLast(plan, members, plain);
  return plain;
}

/** Of a oneof the member counts that the text has last. */
function keepLast(plan: MessagePlan, members: Plain, plain: Record<string, unknown>): void {
  const rivals = new Map(plan.fields.map((field) => [field.name, field.rivals]));
  const seen = new Set<string>();
  for (const name of Object.keys(members)) {
    if (!rivals.has(name) || plain[name] === undefined) continue;
    for (const rival of rivals.get(name) ?? []) if (seen.has(rival)) delete plain[rival];
    seen.add(name);
  }
}

function readField({ shape, value: plan }: FieldPlan, member: unknown, reading: Reading, depth: number): unknown {
  if (shape === "one") return readValue(plan, member, reading, depth);
  if (shape === "map") return readMap(plan, member, reading, depth);
  if (!Array.isArray(member)) {
    const only = readValue(plan, member, reading, depth);
    return only === undefined ? undefined : [only];
  }
  const items: unknown[] = [];
  for (const [index, item] of member.entries()) {
    if (item === null) continue;
    count(reading);
    reading.path.push(index);
    const value = readValue(plan, item, reading, depth);
    reading.path.pop();
    // A name of an enum that we do not know is dropped.
    if (value !== undefined) items.push(value);
  }
  return items.length === 0 ? undefined : items;
}

function readMap(plan: ValuePlan, member: unknown, reading: Reading, depth: number): unknown {
  if (typeof member !== "object" || Array.isArray(member)) throw new Refusal("must be an object");
  const entries: [string, unknown][] = [];
  for (const [key, entry] of Object.entries(member as Plain)) {
    if (entry === null) continue;
    count(reading);
    reading.path.push(key);
    const value = readValue(plan, entry, reading, depth);
    reading.path.pop();
    if (value !== undefined) entries.push([wellFormed(key), value]);
  }
  // Not by assignment: a key may be "__proto__".
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function count(reading: Reading): void {
  if (++reading.values > VALUES_MAX) throw new Refusal(`a message may have at most ${VALUES_MAX} values in all`);
}

function readValue(plan: ValuePlan, json: unknown, reading: Reading, depth: number): unknown {
  switch (plan.kind) {
    case "message":
      return readMessage(plan.message, json, reading, depth + 1);
    case "enum":
      if (typeof json !== "string") throw new Refusal("must be the name of one of its values");
      return plan.enum.numberOf.has(json) ? json : undefined;
    case "scalar":
      return readScalar(plan.scalar, json);
  }
}

function readScalar(scalar: Scalar, json: unknown): unknown {
  switch (scalar) {
    case "string":
      if (typeof json !== "string") throw new Refusal("must be a string");
      return wellFormed(json);
    case "bytes":
      return readBytes(json);
    case "bool":
      if (typeof json === "boolean") return json;
      if (json === "true" || json === "false") return json === "true";
      throw new Refusal("must be true or false");
    case "double":
      return readDouble(json);
    case "int32":
      return readInt32(json, INT32_MIN, INT32_MAX);
    case "uint32":
      return readInt32(json, 0, UINT32_MAX);
    case "int64":
      return readInt64(json, "signed");
    case "uint64":
      return readInt64(json, "unsigned");
  }
}

/** Half of a pair of surrogates is no text that UTF-8 can carry. */
function wellFormed(text: string): string {
  if (/\p{Surrogate}/u.test(text)) throw new Refusal("must be a string of whole characters");
  return text;
}

/** As others write it: padded, without spaces. Then it needs no second look. */
const CANONICAL_BASE64 = /^[A-Za-z0-9+/]*(?:[AQgw]==|[AEIMQUYcgkosw048]=)?$/;

function readBytes(json: unknown): string {
  if (typeof json !== "string") throw new Refusal("must be a string of base64");
  if (json.length % 4 === 0 && CANONICAL_BASE64.test(json)) return json;
  const bytes = fromBase64(json);
  if (bytes === undefined) throw new Refusal("must be a string of standard base64");
  return toBase64(bytes);
}

function readDouble(json: unknown): number | string {
  const value =
    typeof json === "bigint" || (typeof json === "string" && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(json))
      ? Number(json)
      : json;
  if (value === "Infinity" || value === Infinity) return "Infinity";
  if (value === "-Infinity" || value === -Infinity) return "-Infinity";
  if (typeof value !== "number") throw new Refusal("must be a number");
  return value;
}

function readInt32(json: unknown, min: number, max: number): number {
  const value = typeof json === "string" && /^-?\d{1,10}$/.test(json) ? Number(json) : json;
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value + 0;
  throw new Refusal(`must be an integer from ${min} to ${max}`);
}

function readInt64(json: unknown, sign: "signed" | "unsigned"): number | string {
  // A number that is no safe integer here was rounded on its way, or is none.
  const isDigits = typeof json === "bigint" || typeof json === "string" || Number.isSafeInteger(json);
  const value = isDigits ? parseInt64(String(json), sign) : undefined;
  if (value === undefined) throw new Refusal(`must be an integer of 64 bits, ${sign}`);
  return value;
}

/** One line. What the schema does not have is left out. */
export function toJson(name: MessageName, plain: Plain): string {
  return writeMessage(planOf(name), plain);
}

function writeMessage(plan: MessagePlan, plain: Plain): string {
  let text = "{";
  for (const field of plan.fields) {
    const value = plain[field.name] ?? field.default;
    if (value === undefined) continue;
    const written = writeField(field, value);
    if (written !== undefined) text += `${text === "{" ? "" : ","}"${field.name}":${written}`;
  }
  return `${text}}`;
}

function writeField({ shape, value: plan }: FieldPlan, value: unknown): string | undefined {
  if (shape === "one") return writeValue(plan, value);
  const parts: string[] = [];
  if (shape === "list") {
    for (const item of value as readonly unknown[]) {
      const written = writeValue(plan, item);
      if (written !== undefined) parts.push(written);
    }
    return parts.length === 0 ? undefined : `[${parts.join(",")}]`;
  }
  for (const [key, entry] of Object.entries(value as Plain)) {
    const written = entry === undefined ? undefined : writeValue(plan, entry);
    if (written !== undefined) parts.push(`${JSON.stringify(key)}:${written}`);
  }
  return parts.length === 0 ? undefined : `{${parts.join(",")}}`;
}

function writeValue(plan: ValuePlan, value: unknown): string | undefined {
  switch (plan.kind) {
    case "message":
      return writeMessage(plan.message, value as Plain);
    case "enum":
      return plan.enum.numberOf.has(value as string) ? `"${value as string}"` : undefined;
    case "scalar":
      return fits(plan.scalar, value) ? writeScalar(plan.scalar, value as string | number | boolean) : undefined;
  }
}

function writeScalar(scalar: Scalar, value: string | number | boolean): string {
  switch (scalar) {
    case "string":
    case "bytes":
      return JSON.stringify(value);
    case "bool":
    case "int32":
    case "uint32":
    case "int64":
    case "uint64":
      return String(value);
    case "double":
      return writeDouble(value);
  }
}

/** Whole ones with `.0`, as Mesos has them. A bare Infinity, as Mesos writes it, would be no JSON: readers take the text as well. */
function writeDouble(value: string | number | boolean): string {
  if (value === Infinity || value === "Infinity") return '"Infinity"';
  if (value === -Infinity || value === "-Infinity") return '"-Infinity"';
  const digits = Object.is(value, -0) ? "-0" : String(value);
  return /^-?\d+$/.test(digits) ? `${digits}.0` : digits;
}
