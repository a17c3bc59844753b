// The arguments of `run`, checked once: what comes out is what the task will be.
import { parseDurationMs } from "#base/time.ts";
import { idProblem, type AgentId, type TaskId } from "#protocol/ids.ts";
import { Failure } from "../failure.ts";

export interface RunArguments {
  readonly name: string;
  readonly cpus: string;
  readonly mem: string;
  readonly agent?: string;
  readonly env: readonly string[];
  readonly user?: string;
  readonly timeout?: string;
  readonly detach?: boolean;
  readonly json?: boolean;
}

export interface RunOptions {
  readonly name: string;
  readonly cpus: number;
  readonly memMb: number;
  readonly agentId?: AgentId;
  readonly environment: readonly { readonly name: string; readonly value: string }[];
  readonly user: string;
  readonly timeoutMs?: number;
  readonly detach: boolean;
  readonly json: boolean;
  readonly argv: readonly [string, ...string[]];
}

export function parseRunOptions(given: RunArguments, argv: readonly string[], currentUser: string): RunOptions {
  const [program, ...rest] = argv;
  if (program === undefined || program === "") throw new Failure("nothing to run: put the command after '--'");
  return {
    name: given.name,
    cpus: positive("--cpus", given.cpus),
    memMb: positive("--mem", given.mem),
    agentId: given.agent as AgentId | undefined,
    environment: given.env.map(parseVariable),
    user: given.user ?? currentUser,
    timeoutMs: given.timeout === undefined ? undefined : parseTimeoutMs(given.timeout),
    detach: given.detach ?? false,
    json: given.json ?? false,
    argv: [program, ...rest],
  };
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value) || value <= 0)
    throw new Failure(`${flag} must be a number above 0, not '${text}'`);
  return value;
}

function parseVariable(text: string): { readonly name: string; readonly value: string } {
  const at = text.indexOf("=");
  if (at < 1) throw new Failure(`--env takes NAME=VALUE, not '${text}'`);
  return { name: text.slice(0, at), value: text.slice(at + 1) };
}

/** Units that people type, in the names of {@link parseDurationMs}. A bare number is seconds, as for timeout(1). */
const SHORT_UNITS: Readonly<Record<string, string>> = { "": "secs", s: "secs", m: "mins", h: "hrs", d: "days" };

export function parseTimeoutMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([a-z]*)$/.exec(text);
  const unit = match?.[2] ?? "";
  const ms = match === null ? undefined : parseDurationMs(`${match[1]}${SHORT_UNITS[unit] ?? unit}`);
  if (ms === undefined || ms <= 0)
    throw new Failure(`--timeout takes a duration such as 30, 90s, 5m or 1.5hrs, not '${text}'`);
  return ms;
}

/** Most characters of the name that go into the task id; the rest of an id's 255 bytes is for the suffix. */
const NAME_IN_ID_MAX = 60;

/** `<name>-<suffix>`, with every character that an id may not have (or a shell would mind) replaced by '-'. */
export function makeTaskId(name: string, suffix: string): TaskId {
  const readable = name.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, NAME_IN_ID_MAX);
  const id = `${readable}-${suffix}`;
  const problem = idProblem(id);
  if (problem !== undefined) throw new Failure(problem);
  return id as TaskId;
}
