// The flags of `mesoflare start`, checked before anything is touched.
import { resolve } from "node:path";
import * as v from "valibot";
import { describeIssue } from "#protocol/json.ts";
import { MASTERS_MAX } from "#protocol/leadership.ts";
import { UsageError } from "../failure.ts";

/** Agents on one machine: more than this says more about the machine than about a cluster. */
export const LOCAL_AGENTS_MAX = 64;
/** One for each local agent is the most that makes sense. */
export const LOCAL_GATEWAYS_MAX = LOCAL_AGENTS_MAX;

const wholeNumber = (flag: string, from: number, to: number) => {
  const problem = `${flag} must be a whole number from ${from} to ${to}`;
  return v.pipe(
    v.string(),
    v.regex(/^\d{1,6}$/, problem),
    v.transform(Number),
    v.minValue(from, problem),
    v.maxValue(to, problem),
  );
};

const startSchema = v.object({
  port: wholeNumber("--port", 1, 65_535),
  masters: wholeNumber("--masters", 1, MASTERS_MAX),
  gateways: wholeNumber("--gateways", 1, LOCAL_GATEWAYS_MAX),
  agents: wholeNumber("--agents", 0, LOCAL_AGENTS_MAX),
  replicas: v.optional(
    v.pipe(
      v.picklist(["3", "5"], "--replicas must be 3 or 5"),
      v.transform((text) => (text === "3" ? 3 : 5)),
    ),
  ),
  state: v.pipe(
    v.string(),
    v.minLength(1, "--state must name a directory"),
    v.transform((path) => resolve(path)),
  ),
});
export type StartOptions = v.InferOutput<typeof startSchema>;

export function parseStartOptions(given: unknown): StartOptions {
  const result = v.safeParse(startSchema, given);
  if (!result.success) throw new UsageError(result.issues[0]?.message ?? describeIssue(result.issues));
  return result.output;
}
