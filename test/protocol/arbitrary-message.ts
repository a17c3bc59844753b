// Random messages in the plain form, from a descriptor: every field of every type occurs, with the values at its bounds.
import fc from "fast-check";
import { toBase64 } from "#base/base64.ts";
import {
  type MessageName,
  type MessagePlan,
  type Plain,
  planOf,
  type Scalar,
  type ValuePlan,
} from "#protocol/message-plan.ts";

const int64 = (min: bigint, max: bigint) =>
  fc.bigInt({ min, max }).map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : `${value}`));

const SCALARS: Readonly<Record<Scalar, fc.Arbitrary<unknown>>> = {
  bool: fc.boolean(),
  bytes: fc.uint8Array({ maxLength: 40 }).map(toBase64),
  double: fc
    .double({ noNaN: true })
    .map((value) => (value === Infinity ? "Infinity" : value === -Infinity ? "-Infinity" : value)),
  int32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  int64: int64(-(2n ** 63n), 2n ** 63n - 1n),
  string: fc.string({ unit: "grapheme", maxLength: 20 }),
  uint32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  uint64: int64(0n, 2n ** 64n - 1n),
};

/** What is unset is absent, and what a schema has a default for is set: written JSON has it. */
export function arbitraryMessage(name: MessageName): fc.Arbitrary<Plain> {
  return message(planOf(name), 0);
}

/** Deeper than this only what is required is there. */
const DEEP = 5;

function message(plan: MessagePlan, depth: number): fc.Arbitrary<Plain> {
  const isThin = depth > DEEP;
  const fields = plan.fields.map(({ name, shape, value, required, default: preset, rivals }) => {
    const one = (): fc.Arbitrary<unknown> => valueOf(value, depth);
    const absent = fc.constant(undefined);
    if (isThin && !required && preset === undefined) return fc.tuple(fc.constant(name), absent);
    if (shape === "list")
      return fc.tuple(
        fc.constant(name),
        fc.option(fc.array(one(), { minLength: 1, maxLength: 2 }), { nil: undefined }),
      );
    if (shape === "map") {
      const entries = fc.dictionary(fc.oneof(SCALARS.string as fc.Arbitrary<string>, fc.constant("__proto__")), one(), {
        minKeys: 1,
        maxKeys: 2,
      });
      return fc.tuple(fc.constant(name), fc.option(entries, { nil: undefined }));
    }
    if (required || preset !== undefined) return fc.tuple(fc.constant(name), one());
    // Of a oneof only the first of its fields, at most.
    const isFirst = plan.fields.find((field) => field.name === name || rivals.includes(field.name))?.name === name;
    return fc.tuple(fc.constant(name), isFirst ? fc.option(one(), { nil: undefined }) : absent);
  });
  return fc
    .tuple(...fields)
    .map((pairs) => Object.fromEntries(pairs.filter(([, value]) => value !== undefined)) as Plain);
}

function valueOf(plan: ValuePlan, depth: number): fc.Arbitrary<unknown> {
  switch (plan.kind) {
    case "message":
      return fc.constant(undefined).chain(() => message(plan.message, depth + 1));
    case "enum":
      return fc.constantFrom(...plan.enum.numberOf.keys());
    case "scalar":
      return SCALARS[plan.scalar];
  }
}
