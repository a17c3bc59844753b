// The agent's configuration: one schema for flags and environment alike, and what is taken when nothing was said.
import { readFileSync, statSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { type Domain, domainSchema } from "#protocol/agent.ts";
import type { Attribute, Resource } from "#protocol/resource.ts";
import { type Credential, credentialSchema } from "#protocol/credentials.ts";
import { describeIssue } from "#protocol/json.ts";
import { listProblem } from "#resources/size.ts";
import { parseAttributes } from "#resources/text.ts";
import { errorText } from "./checkpoint/durable-file.ts";
import { StartError } from "./exit-code.ts";
import { byteLength } from "./frames.ts";
import { LOG_LEVELS } from "./log.ts";
import { hostFacts, withDefaults } from "./resource-detection.ts";
import { diskProblem } from "./resources/disks.ts";
import { parseResourcesFlag } from "./resources/flag.ts";
import { unknownField } from "./resources/unknown-field.ts";

/** Longest list of attributes, bytes of JSON: they are in every frame of a registration. */
const ATTRIBUTES_BYTES_MAX = 64 * 1024;
/** Longest file that a flag names, bytes. */
const FLAG_FILE_BYTES_MAX = 1024 * 1024;

/** The text itself, or that of the file that it names, as `file:///path`. */
const flagText = <T>(parse: (text: string) => { readonly type: "parsed"; readonly value: T } | Refused) =>
  v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }): T => {
      const text = contentOf(dataset.value);
      const parsed = typeof text === "string" ? parse(text) : text;
      if (parsed.type === "parsed") return parsed.value;
      addIssue({ message: parsed.reason });
      return NEVER;
    }),
  );
interface Refused {
  readonly type: "refused";
  readonly reason: string;
}

function contentOf(value: string): string | Refused {
  if (!value.startsWith("file://")) return value;
  const path = value.slice("file://".length);
  if (!path.startsWith("/")) return { type: "refused", reason: `${value}: a file is named as file:///absolute/path` };
  try {
    const stats = statSync(path);
    if (!stats.isFile()) return { type: "refused", reason: `${path} is no file` };
    if (stats.size > FLAG_FILE_BYTES_MAX)
      return { type: "refused", reason: `${path} has more than ${FLAG_FILE_BYTES_MAX} bytes` };
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    return { type: "refused", reason: `${path} cannot be read (${errorText(error)})` };
  }
}

function parseDomain(text: string): { readonly type: "parsed"; readonly value: Domain } | Refused {
  const form = '{"fault_domain": {"region": {"name": "…"}, "zone": {"name": "…"}}}';
  try {
    const json: unknown = JSON.parse(text);
    const value = v.parse(domainSchema, json);
    const unknown = unknownField(json, value);
    if (unknown === undefined) return { type: "parsed", value };
    return { type: "refused", reason: `${unknown}: no such field, the form is ${form}` };
  } catch (error) {
    const why = error instanceof v.ValiError ? describeIssue(error.issues) : "it is no JSON";
    return { type: "refused", reason: `must be ${form} (${why})` };
  }
}

const optionsSchema = v.object({
  plane: v.pipe(v.string(), v.url("must be a URL"), v.regex(/^https?:\/\//, "must begin with http:// or https://")),
  credential: v.pipe(v.string(), v.nonEmpty("may not be empty")),
  workDir: v.optional(v.pipe(v.string(), v.nonEmpty("may not be empty"))),
  hostname: v.optional(
    v.pipe(v.string(), v.nonEmpty("may not be empty"), v.maxLength(255, "may have at most 255 characters")),
  ),
  port: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,5}$/, "must be a number, 0 for no port"),
      v.transform(Number),
      v.maxValue(65_535, "must be at most 65535"),
    ),
    "5051",
  ),
  resources: v.optional(flagText<readonly Resource[]>(parseResourcesFlag), ""),
  attributes: v.optional(flagText<readonly Attribute[]>(parseAttributes), ""),
  domain: v.optional(flagText<Domain>(parseDomain)),
  cgroupsRoot: v.optional(
    v.pipe(v.string(), v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/, "must be one plain name, e.g. mesoflare")),
    "mesoflare",
  ),
  logFormat: v.optional(v.picklist(["pretty", "json"], "must be pretty or json")),
  logLevel: v.optional(v.picklist(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(", ")}`), "info"),
});
/** Options as flags or environment give them: all text. */
export type Options = v.InferInput<typeof optionsSchema>;

export interface Config {
  readonly plane: string;
  readonly credential: Credential;
  readonly workDir: string;
  readonly hostname: string;
  readonly port: number;
  readonly resources: Resource[];
  readonly attributes: Attribute[];
  readonly domain: Domain | undefined;
  readonly cgroupsRoot: string;
  readonly logFormat: "pretty" | "json";
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** What is odd but no reason not to start. */
  readonly warnings: readonly string[];
}

/** Throws {@link StartError}, which names the flag. */
export function readConfig(options: unknown): Config {
  const parsed = v.safeParse(optionsSchema, options);
  if (!parsed.success) throw new StartError(describeOption(parsed.issues));
  const { credential: credentialFile, ...given } = parsed.output;
  const workDir = resolve(given.workDir ?? defaultWorkDir());
  const warnings: string[] = [];
  const name = given.hostname ?? hostname();
  if (new URL(given.plane).protocol === "http:" && !isLoopback(new URL(given.plane).hostname))
    warnings.push("the plane is spoken to without TLS: orders can be read and forged on the way");
  const resources = withDefaults(given.resources, hostFacts(nearestExisting(workDir)));
  const problem = listProblem(resources) ?? diskProblem(resources, workDir);
  if (problem !== undefined) throw new StartError(`--resources: ${problem}`);
  if (byteLength(given.attributes) > ATTRIBUTES_BYTES_MAX)
    throw new StartError(`--attributes may have at most ${ATTRIBUTES_BYTES_MAX} bytes as JSON`);
  return {
    ...given,
    credential: readCredential(credentialFile, warnings),
    workDir,
    hostname: name === "" ? "localhost" : name,
    resources,
    attributes: [...given.attributes],
    domain: given.domain,
    logFormat: given.logFormat ?? (process.stdout.isTTY ? "pretty" : "json"),
    warnings,
  };
}

function describeOption(issues: readonly v.BaseIssue<unknown>[]): string {
  const issue = issues[0];
  const key = issue === undefined ? null : v.getDotPath(issue);
  if (issue === undefined || key === null) return describeIssue(issues);
  const problem = issue.received === "undefined" ? "is required (see --help)" : issue.message;
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${problem}`;
}

function defaultWorkDir(): string {
  if (process.geteuid?.() === 0) return "/var/lib/mesoflare";
  return join(process.env["XDG_STATE_HOME"] ?? join(homedir(), ".local", "state"), "mesoflare-agent");
}

const isLoopback = (host: string): boolean => host === "localhost" || host === "[::1]" || host.startsWith("127.");

function nearestExisting(path: string): string {
  for (let at = path; ; at = resolve(at, ".."))
    if (statSync(at, { throwIfNoEntry: false }) !== undefined || at === "/") return at;
}

/** A credential file: Mesos' JSON, or its old text form `principal secret`. Messages never hold its content. */
function readCredential(path: string, warnings: string[]): Credential {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
    if ((statSync(path).mode & 0o077) !== 0) warnings.push(`${path} can be read by other users: chmod 600 it`);
  } catch (error) {
    throw new StartError(`--credential ${path} cannot be read (${errorText(error)})`);
  }
  const parsed = v.safeParse(credentialSchema, credentialJson(text));
  if (parsed.success) return parsed.output;
  throw new StartError(
    `--credential ${path} is not {"principal": "…", "secret": "…"} (${describeIssue(parsed.issues)})`,
  );
}

function credentialJson(text: string): unknown {
  const words = /^\s*([^\s{]\S*)\s+(\S+)\s*$/.exec(text);
  if (words !== null) return { principal: words[1], secret: words[2] };
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
