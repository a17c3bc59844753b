// What `--resources` may say: the text that people write, or Mesos' JSON, which also knows disks of their own. What only an operation can
// make has no place in it.
import * as v from "valibot";
import { describeIssue } from "#protocol/json.ts";
import { type Resource, RESOURCES_MAX, resourceSchema } from "#protocol/resource.ts";
import { isDynamic } from "#resources/pool.ts";
import { resourceProblem } from "#resources/resources.ts";
import { parseResources, type ParsedText } from "#resources/text.ts";
import { unknownField } from "./unknown-field.ts";

export function parseResourcesFlag(text: string): ParsedText<Resource> {
  if (!text.trimStart().startsWith("[")) return parseResources(text);
  const refused = (reason: string): ParsedText<Resource> => ({ type: "refused", reason });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return refused("begins like a JSON list and is none");
  }
  const parsed = v.safeParse(listSchema, json);
  if (!parsed.success) return refused(describeIssue(parsed.issues));
  // A misspelt `disk` would be a volume that is none.
  const unknown = unknownField(json, parsed.output);
  if (unknown !== undefined) return refused(`${unknown}: no such field`);
  for (const resource of parsed.output) {
    const problem = resourceProblem(resource) ?? flagProblem(resource);
    if (problem !== undefined) return refused(problem);
  }
  return { type: "parsed", value: parsed.output };
}

const listSchema = v.pipe(v.array(resourceSchema), v.maxLength(RESOURCES_MAX, `at most ${RESOURCES_MAX} resources`));

/** As in the text form: nothing that would end the name there. */
const ROLE = /^(?:\*|[^\s()*:;]+)$/;

function flagProblem({
  name,
  role = "*",
  reservation,
  reservations = [],
  disk,
  ...more
}: Resource): string | undefined {
  if (reservation !== undefined || reservations.some(isDynamic))
    return `'${name}' has a dynamic reservation: here only static ones may be, e.g. "role": "web"`;
  const wrong = [role, ...reservations.map((layer) => layer.role ?? "")].find((one) => !ROLE.test(one));
  if (wrong !== undefined) return `'${name}': '${wrong}' is no role`;
  if (disk?.persistence !== undefined) return `'${name}' is a persistent volume: those are made by CREATE only`;
  if (disk?.source?.type === "PATH" && (disk.source.path?.root ?? "") === "")
    return `'${name}' is a disk of source PATH and has no path.root`;
  if (disk?.source?.type === "MOUNT" && (disk.source.mount?.root ?? "") === "")
    return `'${name}' is a disk of source MOUNT and has no mount.root`;
  for (const field of ["revocable", "shared", "provider_id", "allocation_info"] as const)
    if (more[field] !== undefined) return `'${name}' may not have '${field}' here`;
  return undefined;
}
