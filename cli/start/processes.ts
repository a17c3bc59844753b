// Processes by pid and start time, so that a pid which the system has given to somebody else is never signalled.
import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";

export const identitySchema = v.object({
  pid: v.pipe(v.number(), v.integer(), v.minValue(2)),
  /** Clock ticks from boot to the start of the process. Source: proc(5), /proc/PID/stat, field 22. */
  startTime: v.pipe(v.number(), v.integer()),
  /** Ticks are counted anew after each boot. */
  bootId: v.string(),
});
export type ProcessIdentity = v.InferOutput<typeof identitySchema>;

const EXIT_POLL_MS = 20;
const ASK_AGAIN_MS = 1000;

export interface ProcessStat {
  readonly name: string;
  /** One letter; `Z` is a zombie, which has ended. */
  readonly state: string;
  readonly parent: number;
  readonly startTime: number;
}

/** Reads /proc/PID/stat. The name is in parentheses and may itself hold spaces and parentheses. */
export function parseStat(text: string): ProcessStat | undefined {
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  if (open < 0 || close < open) return undefined;
  const fields = text.slice(close + 2).split(" "); // from field 3 on
  const [state, parent, startTime] = [fields[0], Number(fields[1]), Number(fields[19])];
  if (state === undefined || !Number.isInteger(parent) || !Number.isInteger(startTime)) return undefined;
  return { name: text.slice(open + 1, close), state, parent, startTime };
}

async function readStat(pid: number): Promise<ProcessStat | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  const stat = text === undefined ? undefined : parseStat(text);
  return stat === undefined || stat.state === "Z" ? undefined : stat;
}

async function readBootId(): Promise<string> {
  return (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
}

/** Undefined when there is no such process (any more). */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readStat(pid);
  return stat && { pid, startTime: stat.startTime, bootId: await readBootId() };
}

export async function isAlive({ pid, startTime, bootId }: ProcessIdentity): Promise<boolean> {
  const stat = await readStat(pid);
  return stat !== undefined && stat.startTime === startTime && (await readBootId()) === bootId;
}

/** The child of `parent` whose command is `name`. */
export async function findChild(parent: number, name: string): Promise<ProcessIdentity | undefined> {
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readStat(Number(entry));
    if (stat?.parent === parent && stat.name === name) return identify(Number(entry));
  }
  return undefined;
}

/** Signals exactly this process; false when it has ended. */
export async function signal(identity: ProcessIdentity, name: NodeJS.Signals): Promise<boolean> {
  if (!(await isAlive(identity))) return false;
  try {
    process.kill(identity.pid, name);
    return true;
  } catch {
    return false; // it ended between the two lines
  }
}

/** Whether the process has ended before `ms` are over. */
export async function endsWithin(identity: ProcessIdentity, ms: number): Promise<boolean> {
  const deadline = Date.now() + ms;
  while (await isAlive(identity)) {
    if (Date.now() >= deadline) return false;
    await sleep(EXIT_POLL_MS);
  }
  return true;
}

/**
 * Asks with `first`, again and again because a process that is only just starting does not listen yet, and insists with
 * SIGKILL after `graceMs`. False when it had to insist.
 */
export async function end(identity: ProcessIdentity, first: NodeJS.Signals, graceMs: number): Promise<boolean> {
  for (const deadline = Date.now() + graceMs; Date.now() < deadline;) {
    await signal(identity, first);
    if (await endsWithin(identity, Math.min(ASK_AGAIN_MS, deadline - Date.now()))) return true;
  }
  await signal(identity, "SIGKILL");
  await endsWithin(identity, 1000);
  return false;
}
