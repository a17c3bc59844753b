// Which plane, and who asks: found in one of three places, read and checked once.
import { readFile, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { contextSchema, type Context } from "#protocol/credentials.ts";
import { describeIssue } from "#protocol/json.ts";
import { Failure } from "./failure.ts";

/** Bits of a file's mode that let others than its owner read it. */
const READABLE_BY_OTHERS = 0o044;

export interface ContextSearch {
  /** What --context names. */
  readonly named?: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** `$XDG_STATE_HOME/mesoflare`, else `~/.local/state/mesoflare`: where `mesoflare start` keeps a local cluster. */
export function defaultStateDirectory(environment: ContextSearch["environment"]): string {
  return join(environment["XDG_STATE_HOME"] || join(homedir(), ".local", "state"), "mesoflare");
}

/** The files in which a context may be, the first that exists counts. A named one is the only one. */
export function contextCandidates({ named, environment }: ContextSearch): readonly string[] {
  const chosen = named ?? environment["MESOFLARE_CONTEXT"];
  if (chosen !== undefined && chosen !== "") return [chosen];
  const configuration = environment["XDG_CONFIG_HOME"] || join(homedir(), ".config");
  return [join(defaultStateDirectory(environment), "context.json"), join(configuration, "mesoflare", "context.json")];
}

/** Reads the context; `warn` hears of a file that others can read. Throws a {@link Failure} that says what to do. */
export async function loadContext(search: ContextSearch, warn: (message: string) => void): Promise<Context> {
  const candidates = contextCandidates(search);
  for (const path of candidates) {
    const text = await readIfThere(path);
    if (text === undefined) continue;
    if (((await stat(path)).mode & READABLE_BY_OTHERS) !== 0) {
      warn(`others can read the secret in ${path}: chmod 600 ${path}`);
    }
    return parseContext(path, text);
  }
  throw new Failure(
    `no context: looked for ${candidates.join(" and ")}. Start a local cluster with 'mesoflare start', ` +
      "or make a context for a deployed plane with 'mesoflare credential new NAME --role framework --plane URL …', " +
      "and name it with --context or MESOFLARE_CONTEXT.",
  );
}

function parseContext(path: string, text: string): Context {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Failure(`${path} is not JSON`);
  }
  const result = v.safeParse(contextSchema, json);
  if (!result.success) throw new Failure(`${path} is no context: ${describeIssue(result.issues)}`);
  return result.output;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Failure(`cannot read ${path}: ${(error as Error).message}`);
  }
}
