// Runs a list of commands on whatever a Mesoflare cluster has. An example of a framework: docs/writing-frameworks.md.
import { realpathSync } from "node:fs";
import { constants, homedir, userInfo } from "node:os";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import {
  CallRefusedError,
  PlaneUnreachableError,
  RedirectRefusedError,
  SubscriptionEndedError,
  type Credential,
} from "mesoflare/scheduler";
import { isOver } from "./batch.ts";
import { Problem } from "./problem.ts";
import { LINE_BYTES_MAX, runBatch } from "./run.ts";
import { lock, readIfThere, StateFile } from "./state-file.ts";
import { allWentWell, summaryOf } from "./summary.ts";

const HELP = `Usage: npx node examples/batch/main.ts [options] FILE

Runs each line of FILE as a shell command on the cluster, and prints how each has ended.
Empty lines and lines that begin with '#' are skipped. Commands run at the same time, in no
certain order, each at most once. Killed or left with Ctrl-C, the commands run on; the same
command line goes on where it was.

  --cpus NUMBER     cpus of each command (0.1)
  --mem MB          memory of each command (32)
  --user NAME       user on the hosts that the commands run as (your own user name)
  --state FILE      what is known so far (FILE.state)
  --context FILE    plane, principal and secret ($MESOFLARE_CONTEXT, then the local
                    cluster's, then ~/.config/mesoflare/context.json)
  --cancel          ends the commands that run, forgets those that wait
  --help

Exit codes: 0 every command exited with 0; 1 not every; 2 wrong usage;
3 it cannot go on; 128+N after signal N.
`;
const EXIT = { ok: 0, notAll: 1, usage: 2, stuck: 3, signal: 128 } as const;
const COMMANDS_MAX = 10_000;

class Usage extends Problem {}

interface Arguments {
  readonly commands: string;
  readonly state: string;
  readonly context: string | undefined;
  readonly cpus: number;
  readonly memMb: number;
  readonly user: string;
  readonly cancel: boolean;
}

const OPTIONS = {
  cpus: { type: "string", default: "0.1" },
  mem: { type: "string", default: "32" },
  user: { type: "string", default: userInfo().username },
  state: { type: "string" },
  context: { type: "string" },
  cancel: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

function split(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new Usage((error as Error).message);
  }
}

function parse(argv: readonly string[]): Arguments | "help" {
  const { values, positionals } = split(argv);
  if (values.help) return "help";
  const [commands, ...more] = positionals;
  if (commands === undefined || more.length > 0)
    throw new Usage(`one file with commands is needed, ${positionals.length} were given`);
  return {
    commands,
    state: values.state ?? `${commands}.state`,
    context: values.context,
    cpus: positive("--cpus", values.cpus),
    memMb: positive("--mem", values.mem),
    user: values.user,
    cancel: values.cancel,
  };
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new Usage(`${flag} must be a number above 0, not '${text}'`);
  return value;
}

function readCommands(path: string): readonly string[] {
  const text = readIfThere(path);
  if (text === undefined) throw new Usage(`there is no file ${path}`);
  const lines = text.split("\n").map((line) => line.trim());
  const long = lines.findIndex((line) => Buffer.byteLength(line) > LINE_BYTES_MAX);
  if (long >= 0) throw new Usage(`${path}: line ${long + 1} is longer than ${LINE_BYTES_MAX} bytes`);
  const commands = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (commands.length === 0) throw new Usage(`${path} has no commands`);
  if (commands.length > COMMANDS_MAX) throw new Usage(`${path} has more than ${COMMANDS_MAX} commands`);
  return commands;
}

/** The same files in which `mesoflare` looks. */
function readContext(named: string | undefined): Credential & { readonly plane: string } {
  const { MESOFLARE_CONTEXT, XDG_STATE_HOME, XDG_CONFIG_HOME } = process.env;
  const chosen = named ?? (MESOFLARE_CONTEXT || undefined);
  const local = join(XDG_STATE_HOME || join(homedir(), ".local", "state"), "mesoflare", "context.json");
  const own = join(XDG_CONFIG_HOME || join(homedir(), ".config"), "mesoflare", "context.json");
  const candidates = chosen === undefined ? [local, own] : [chosen];
  for (const path of candidates) {
    const text = readIfThere(path);
    if (text !== undefined) return parseContext(path, text);
  }
  throw new Problem(
    `no context: there is no ${candidates.join(" and no ")}. 'npm start' makes a local cluster, which has one`,
  );
}

function parseContext(path: string, text: string): Credential & { readonly plane: string } {
  try {
    const { plane, principal, secret } = JSON.parse(text) as Record<string, unknown>;
    if (typeof plane === "string" && URL.canParse(plane) && typeof principal === "string" && typeof secret === "string")
      return { plane, principal, secret };
  } catch {
    // told below
  }
  throw new Problem(`${path} is no context: it needs plane, principal and secret`);
}

const say = (text: string): void => void process.stderr.write(`batch: ${text}\n`);

async function main(argv: readonly string[]): Promise<number> {
  const given = parse(argv);
  if (given === "help") {
    process.stdout.write(HELP);
    return EXIT.ok;
  }
  const commands = readCommands(given.commands);
  const { plane, principal, secret } = readContext(given.context);
  const directory = dirname(given.state);
  await lock(join(realpathSync(directory), basename(given.state)));
  const file = StateFile.open(given.state, plane, commands);

  const leaving = new AbortController();
  let signalled: number | undefined;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => {
      signalled = constants.signals[signal];
      leaving.abort();
    });
  }
  await runBatch(file, {
    connection: { plane, credential: { principal, secret } },
    user: given.user,
    name: `batch ${basename(given.commands)}`,
    cpus: given.cpus,
    memMb: given.memMb,
    cancel: given.cancel,
    say,
    signal: leaving.signal,
  });
  if (signalled !== undefined && !isOver(file.batch)) {
    say("leaving; the commands run on, and the same command line goes on with them");
    return EXIT.signal + signalled;
  }
  process.stdout.write(summaryOf(file.batch));
  return allWentWell(file.batch) ? EXIT.ok : EXIT.notAll;
}

/** Anything else is a bug, and shows its stack. */
const isExpected = (error: unknown): error is Error =>
  error instanceof Problem ||
  error instanceof CallRefusedError ||
  error instanceof PlaneUnreachableError ||
  error instanceof RedirectRefusedError ||
  error instanceof SubscriptionEndedError ||
  (error instanceof Error && "syscall" in error);

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (isExpected(error)) say(error.message);
  else say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  if (error instanceof Usage) say("see --help");
  process.exitCode = error instanceof Usage ? EXIT.usage : EXIT.stuck;
}
// Connections that are kept alive would hold the process for seconds.
process.exit();
