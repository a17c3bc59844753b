// What the codecs need of a message, laid out once for each, at its first use: fields in the order of their declaration, and by number.
// Both codecs go between a wire form and one plain object in the shape of Mesos' JSON: names as in the schema, enums by name, bytes in
// base64, 64-bit integers as Int64 says, infinite doubles as the texts "Infinity" and "-Infinity". What is unset is absent, and so are
// empty lists and maps. A schema after it (scheduler.ts and others) gives ids their types and checks bounds.
import { assert, present } from "#base/assert.ts";
import { parseInt64 } from "./int64.ts";
import { ENUMS, type FieldRow, MESSAGES } from "./mesos-schema.ts";

/** How deep messages may be nested. Source: protobuf's own bound. */
export const DEPTH_MAX = 100;
/** Messages and list items that one message may have: what two bytes of hostile input make costs some 50 bytes of memory. */
export const VALUES_MAX = 300_000;

/** A message's name without "mesos.v1.", e.g. `scheduler.Call`. */
export type MessageName = keyof typeof MESSAGES;

/** A message as the plane works with it. */
export type Plain = Readonly<Record<string, unknown>>;

export type Decoded =
  | { readonly type: "plain"; readonly value: Plain }
  /** What is wrong, with the path to it: for the client. */
  | { readonly type: "problem"; readonly reason: string };

export const SCALARS = ["bool", "bytes", "double", "int32", "int64", "string", "uint32", "uint64"] as const;
export type Scalar = (typeof SCALARS)[number];

export interface EnumPlan {
  readonly numberOf: ReadonlyMap<string, number>;
  readonly nameOf: ReadonlyMap<number, string>;
}

/** What one value of a field is. */
export type ValuePlan =
  | { readonly kind: "scalar"; readonly scalar: Scalar }
  | { readonly kind: "enum"; readonly enum: EnumPlan }
  | { readonly kind: "message"; readonly message: MessagePlan };

export interface FieldPlan {
  readonly name: string;
  readonly number: number;
  /** A map's keys are texts. */
  readonly shape: "one" | "list" | "map";
  readonly value: ValuePlan;
  readonly required: boolean;
  /** What JSON shows when the field is unset. */
  readonly default: string | number | boolean | undefined;
  /** The other fields of its oneof: setting one unsets them. */
  readonly rivals: readonly string[];
}

export interface MessagePlan {
  readonly fields: readonly FieldPlan[];
  readonly byNumber: ReadonlyMap<number, FieldPlan>;
  readonly hasOneof: boolean;
}

const plans = new Map<string, MessagePlan>();

export function planOf(name: MessageName): MessagePlan {
  const known = plans.get(name);
  if (known !== undefined) return known;
  const rows: readonly FieldRow[] = MESSAGES[name];
  const fields: FieldPlan[] = [];
  const byNumber = new Map<number, FieldPlan>();
  const plan: MessagePlan = { fields, byNumber, hasOneof: rows.some(([, , label]) => label.startsWith("oneof ")) };
  // Before its fields: a message may be nested in itself.
  plans.set(name, plan);
  for (const row of rows) {
    const field = fieldPlan(row, rows);
    fields.push(field);
    byNumber.set(field.number, field);
  }
  return plan;
}

function fieldPlan([name, number, label, type, preset]: FieldRow, siblings: readonly FieldRow[]): FieldPlan {
  const isOneof = label.startsWith("oneof ");
  return {
    name,
    number,
    shape: label === "repeated" ? "list" : label === "map" ? "map" : "one",
    value: valuePlan(type),
    required: label === "required",
    default: preset,
    rivals: isOneof ? siblings.flatMap(([other, , of]) => (of === label && other !== name ? [other] : [])) : [],
  };
}

function valuePlan(type: string): ValuePlan {
  const scalar = SCALARS.find((one) => one === type);
  if (scalar !== undefined) return { kind: "scalar", scalar };
  if (Object.hasOwn(ENUMS, type)) return { kind: "enum", enum: enumPlan(type) };
  assert(Object.hasOwn(MESSAGES, type), `${type} is a message of the schema`);
  return { kind: "message", message: planOf(type as MessageName) };
}

function enumPlan(type: string): EnumPlan {
  const values = Object.entries(present(ENUMS[type], type));
  return { numberOf: new Map(values), nameOf: new Map(values.map(([name, number]) => [number, name])) };
}

export const INT32_MIN = -(2 ** 31);
export const INT32_MAX = 2 ** 31 - 1;
export const UINT32_MAX = 2 ** 32 - 1;

/**
 * Whether the wire can hold a value that is to be written. What it cannot hold is left out: an agent that reports a port of 1.5 must not
 * end the stream, or the master, that passes its word on.
 */
export function fits(scalar: Scalar, value: unknown): boolean {
  switch (scalar) {
    case "string":
    case "bytes":
      return typeof value === "string";
    case "bool":
      return typeof value === "boolean";
    case "double":
      return typeof value === "number" ? !Number.isNaN(value) : value === "Infinity" || value === "-Infinity";
    case "int32":
      return isWithin(value, INT32_MIN, INT32_MAX);
    case "uint32":
      return isWithin(value, 0, UINT32_MAX);
    // By the digits that it prints: a double of that size stands for the shortest that are nearest to it.
    case "int64":
      return parseInt64(String(value), "signed") !== undefined;
    case "uint64":
      return parseInt64(String(value), "unsigned") !== undefined;
  }
}

const isWithin = (value: unknown, min: number, max: number): boolean =>
  typeof value === "number" && Number.isInteger(value) && value >= min && value <= max;
