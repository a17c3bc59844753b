// Makes src/protocol/mesos-schema.ts of proto/: run it after a change there (npm run proto). The plane does not take the descriptors
// themselves: to build those of 163 messages costs every isolate some 30 ms at its start, and these tables cost none.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createFileRegistry, fromBinary, ScalarType, type DescField, type FileRegistry } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const SCHEMA_FILE = join(ROOT, "src/protocol/mesos-schema.ts");

const HEAD = `// Made of proto/ by \`npm run proto\`: do not edit. The messages of Mesos' v1 schema as tables, names without "mesos.v1.".

/**
 * A field: its name, its number, its label ("oneof" with the name of the oneof), its type, and its default. A map's type is that of its
 * values; its keys are strings. A default that is marked deprecated is left out: JSON does not show it.
 */
export type FieldRow = readonly [
  name: string,
  number: number,
  label: "required" | "optional" | "repeated" | "map" | \`oneof \${string}\`,
  type: string,
  default_?: string | number | boolean,
];
`;

/** The descriptors of everything in proto/. */
export function readDescriptors(): FileRegistry {
  const buf = join(ROOT, "node_modules", ".bin", "buf");
  const image = execFileSync(buf, ["build", "proto", "-o", "-#format=binpb"], { cwd: ROOT });
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
}

/** The text of {@link SCHEMA_FILE}. */
export function schemaText(registry: FileRegistry): string {
  const messages: string[] = [];
  const enums: string[] = [];
  for (const desc of registry) {
    if (desc.kind === "message") {
      const rows = desc.fields.map(
        (field) =>
          `    [${rowOf(field)
            .map((cell) => JSON.stringify(cell))
            .join(", ")}],\n`,
      );
      messages.push(`  ${quoted(desc.typeName)}: [${rows.length === 0 ? "" : `\n${rows.join("")}  `}],\n`);
    } else if (desc.kind === "enum") {
      const values = desc.values.map(({ name, number }) => `    ${name}: ${number},\n`);
      enums.push(`  ${quoted(desc.typeName)}: {\n${values.join("")}  },\n`);
    }
  }
  return `${HEAD}
/** Fields in the order in which they are declared, which is that of JSON. */
export const MESSAGES = {
${messages.join("")}} as const satisfies Readonly<Record<string, readonly FieldRow[]>>;

export const ENUMS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
${enums.join("")}};
`;
}

const shortName = (typeName: string): string => typeName.replace(/^mesos\.v1\./, "");
const quoted = (typeName: string): string => JSON.stringify(shortName(typeName));

function rowOf(field: DescField): (string | number | boolean)[] {
  const type = field.message ?? field.enum;
  const always = [
    field.name,
    field.number,
    labelOf(field),
    type === undefined ? scalarOf(field) : shortName(type.typeName),
  ];
  if (field.deprecated || (field.fieldKind !== "scalar" && field.fieldKind !== "enum")) return always;
  const preset = field.getDefaultValue();
  if (preset === undefined) return always;
  if (field.fieldKind === "enum") return [...always, field.enum.value[Number(preset)]?.name ?? ""];
  if (typeof preset === "object" || typeof preset === "bigint")
    throw new Error(`${field.toString()}: no such default is known`);
  return [...always, preset];
}

function labelOf(field: DescField): string {
  if (field.fieldKind === "list") return "repeated";
  if (field.fieldKind === "map") {
    if (field.mapKey !== ScalarType.STRING) throw new Error(`${field.toString()}: keys must be strings`);
    return "map";
  }
  if (field.oneof !== undefined) return `oneof ${field.oneof.name}`;
  return field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED ? "required" : "optional";
}

const scalarOf = (field: DescField): string => ScalarType[field.scalar ?? 0]?.toLowerCase() ?? "";

if (import.meta.main) writeFileSync(SCHEMA_FILE, schemaText(readDescriptors()));
