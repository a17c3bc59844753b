// proto/ says what Mesos' schema says, and the tables that are committed are what is made of it.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ENUMS, type FieldRow, MESSAGES } from "#protocol/mesos-schema.ts";
import { readDescriptors, SCHEMA_FILE, schemaText } from "../../scripts/proto.ts";

interface Fact {
  readonly number: number;
  readonly name: string;
  readonly type: string;
  readonly label: "required" | "optional" | "repeated" | "map" | "oneof";
  readonly default?: string;
  readonly deprecated?: boolean;
  readonly oneof?: string;
  readonly value?: string;
}
/** Names, numbers, types and labels of Mesos' own schema, in the part that scheduler.Call and scheduler.Event reach. */
const FACTS = JSON.parse(readFileSync(new URL("mesos-fields.json", import.meta.url), "utf8")) as {
  readonly messages: Readonly<Record<string, readonly Fact[]>>;
  readonly enums: Readonly<Record<string, Readonly<Record<string, number>>>>;
};

const registry = readDescriptors();
const tables: Readonly<Record<string, readonly FieldRow[]>> = MESSAGES;

function rowOf({ name, number, type, label, value, oneof, default: preset, deprecated }: Fact): FieldRow {
  const isText = type === "string" || type in ENUMS;
  const row = [name, number, label === "oneof" ? `oneof ${oneof}` : label, value ?? type] as const;
  if (preset === undefined || deprecated === true) return row as FieldRow;
  return [...row, isText ? preset : (JSON.parse(preset) as number | boolean)] as unknown as FieldRow;
}
const byNumber = (a: FieldRow, b: FieldRow): number => a[1] - b[1];

test("every message is here, and no other but the one that only holds others", () => {
  const names = Object.keys(tables).filter((name) => name !== "Value");
  expect(names.toSorted()).toEqual(Object.keys(FACTS.messages).toSorted());
  expect(Object.keys(ENUMS).toSorted()).toEqual(Object.keys(FACTS.enums).toSorted());
});

test.each(Object.entries(FACTS.messages))("%s has Mesos' names, numbers, types and labels", (name, facts) => {
  expect(tables[name]?.toSorted(byNumber)).toEqual(facts.map(rowOf).toSorted(byNumber));
});

test.each(Object.entries(FACTS.enums))("%s has Mesos' values, in their order", (name, facts) => {
  expect(Object.entries(ENUMS[name] ?? {})).toEqual(Object.entries(facts));
});

test("what is deprecated in Mesos' schema is in ours, and no field is packed", () => {
  for (const [name, facts] of Object.entries(FACTS.messages)) {
    for (const field of registry.getMessage(`mesos.v1.${name}`)?.fields ?? []) {
      const isDeprecated = facts.find((fact) => fact.name === field.name)?.deprecated === true;
      expect([field.toString(), field.deprecated]).toEqual([field.toString(), isDeprecated]);
      expect(field.fieldKind === "list" && field.packed).toBe(false);
    }
  }
});

test("the tables are what `npm run proto` makes of proto/ now", () => {
  expect(readFileSync(SCHEMA_FILE, "utf8")).toBe(schemaText(registry));
});
