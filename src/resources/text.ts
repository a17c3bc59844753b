// Resources and attributes as people write them in flags: `cpus:2;mem(web):1024;ports:[31000-32000]`, `rack:r1;zone:{a,b}`.
// The text form is Mesos' (docs/attributes-resources.md): a role in parentheses is a static reservation.
import { type Attribute, type Resource, RESOURCES_MAX } from "#protocol/resource.ts";
import { parseRanges, type Range } from "./ranges.ts";
import { resourceProblem } from "./resources.ts";

export type ParsedText<T> =
  | { readonly type: "parsed"; readonly value: readonly T[] }
  | { readonly type: "refused"; readonly reason: string };

/** Each name at most once for each role. Refuses text values and whatever {@link resourceProblem} refuses. */
export function parseResources(text: string): ParsedText<Resource> {
  return parseItems(text, (key, value): Resource | string => {
    const [, name = key, role = "*"] = /^([^()]+)\(([^()]+)\)$/.exec(key) ?? [];
    if (value.type === "TEXT") return `'${name}': '${value.text}' is not a number, a list [1-2, 5-9] or a set {a, b}`;
    const resource: Resource = { name, role, ...memberOf(value) };
    return resourceProblem(resource) ?? resource;
  });
}

/** As {@link parseResources}, and a value that is nothing else is text. */
export function parseAttributes(text: string): ParsedText<Attribute> {
  return parseItems(text, (name, value): Attribute | string => {
    if (name.includes("(")) return `'${name}': an attribute has no role`;
    if (value.type !== "TEXT") return { name, ...memberOf(value) };
    return value.text === "" ? `'${name}' has no value` : { name, type: "TEXT", text: { value: value.text } };
  });
}

/** The attributes object of Mesos' HTTP endpoints (endpoints §3.2). */
export function attributesObject(attributes: readonly Attribute[]): Record<string, number | string> {
  const object: Record<string, number | string> = {};
  for (const { name, scalar, ranges, set, text } of attributes) {
    if (scalar !== undefined) object[name] = scalar.value;
    else if (ranges !== undefined)
      object[name] = `[${ranges.range.map(({ begin, end }) => `${begin}-${end}`).join(", ")}]`;
    else if (set !== undefined) object[name] = `{${set.item.join(", ")}}`;
    else if (text !== undefined) object[name] = text.value;
  }
  return object;
}

type Value =
  | { readonly type: "SCALAR"; readonly scalar: number }
  | { readonly type: "RANGES"; readonly ranges: readonly Range[] }
  | { readonly type: "SET"; readonly items: readonly string[] }
  | { readonly type: "TEXT"; readonly text: string };

function parseValue(text: string): Value {
  if (/^\d+(\.\d+)?$/.test(text)) return { type: "SCALAR", scalar: Number(text) };
  const ranges = parseRanges(text);
  if (ranges !== undefined) return { type: "RANGES", ranges };
  const inner = /^\{([^{}]*)\}$/.exec(text)?.[1];
  if (inner === undefined) return { type: "TEXT", text };
  const items = inner.split(",").map((item) => item.trim());
  return { type: "SET", items: items.filter((item) => item !== "") };
}

function memberOf(value: Exclude<Value, { readonly type: "TEXT" }>) {
  switch (value.type) {
    case "SCALAR":
      return { type: value.type, scalar: { value: value.scalar } };
    case "RANGES":
      return { type: value.type, ranges: { range: [...value.ranges] } };
    default:
      return { type: value.type, set: { item: [...value.items] } };
  }
}

function parseItems<T>(text: string, make: (name: string, value: Value) => T | string): ParsedText<T> {
  const items: T[] = [];
  const seen = new Set<string>();
  for (const part of text.split(";").map((item) => item.trim())) {
    if (part === "") continue; // a trailing semicolon is common
    const match = /^([A-Za-z0-9_][A-Za-z0-9_./-]{0,127}(?:\([^\s()*:;]{1,256}\))?):(.*)$/s.exec(part);
    if (match === null) return { type: "refused", reason: `'${part}' is not 'name:value'` };
    const name = match[1] ?? "";
    if (seen.has(name)) return { type: "refused", reason: `'${name}' is there twice` };
    seen.add(name);
    const item = make(name, parseValue((match[2] ?? "").trim()));
    if (typeof item === "string") return { type: "refused", reason: item };
    items.push(item);
  }
  if (items.length > RESOURCES_MAX) return { type: "refused", reason: `at most ${RESOURCES_MAX} names` };
  return { type: "parsed", value: items };
}
