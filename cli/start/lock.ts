// One running cluster per state directory, and what a `kill -9` of it leaves behind. The file names each process by pid
// and start time; only those are ever ended.
import { open, readFile, rm } from "node:fs/promises";
import * as v from "valibot";
import { toJsonFile, writePrivate } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { end, identify, identitySchema, isAlive, type ProcessIdentity } from "./processes.ts";

/** Time for a leftover to end on SIGTERM before SIGKILL, ms. An agent that gets SIGTERM leaves its tasks running. */
const LEFTOVER_GRACE_MS = 5_000;
/** Time for the system to take a killed process away, ms. */
const KILLED_MS_MAX = 1_000;

const lockSchema = v.object({
  launcher: identitySchema,
  plane: v.optional(identitySchema),
  workerd: v.optional(identitySchema),
  agents: v.record(v.string(), identitySchema),
});
export type Lock = v.InferOutput<typeof lockSchema>;

/** The lock in this text, or undefined when it is none: a file cut short by a crash names nobody. */
export function parseLock(text: string): Lock | undefined {
  try {
    const result = v.safeParse(lockSchema, JSON.parse(text));
    return result.success ? result.output : undefined;
  } catch {
    return undefined;
  }
}

/** Leftovers that are ended together. */
export interface EndingStep {
  readonly identities: readonly ProcessIdentity[];
  readonly signal: "SIGTERM" | "SIGKILL";
}

/**
 * In the order in which they are ended: agents before the plane, so that none sees it go. workerd outlives a host that was
 * killed, and is killed too, as miniflare always does: on SIGTERM it waits for answers that are under way, and a scheduler's
 * event stream never ends. Its SQLite files stand that.
 */
export function endingOf({ agents, plane, workerd }: Lock): readonly EndingStep[] {
  const known = (identity: ProcessIdentity | undefined) => (identity === undefined ? [] : [identity]);
  return [
    { identities: Object.values(agents), signal: "SIGTERM" },
    { identities: known(plane), signal: "SIGTERM" },
    { identities: known(workerd), signal: "SIGKILL" },
  ];
}

export function leftoversOf(lock: Lock): readonly ProcessIdentity[] {
  return endingOf(lock).flatMap(({ identities }) => identities);
}

/** Throws a {@link Failure} when a cluster runs on this lock; ends what a dead one left. Returns how many it ended. */
export async function clearStaleLock(path: string): Promise<number> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return 0;
  const lock = parseLock(text);
  if (lock !== undefined && (await isAlive(lock.launcher))) {
    throw new Failure(
      `a cluster runs on this state directory already, pid ${lock.launcher.pid}; end it with Ctrl-C there, or choose another --state`,
    );
  }
  let ended = 0;
  for (const { identities, signal } of lock === undefined ? [] : endingOf(lock)) {
    const found = await Promise.all(identities.map((identity) => endLeftover(identity, signal)));
    ended += found.filter((wasAlive) => wasAlive).length;
  }
  await rm(path, { force: true });
  return ended;
}

/** False when it was gone already. */
async function endLeftover(identity: ProcessIdentity, signal: EndingStep["signal"]): Promise<boolean> {
  if (!(await isAlive(identity))) return false;
  await end(identity, signal, signal === "SIGKILL" ? KILLED_MS_MAX : LEFTOVER_GRACE_MS);
  return true;
}

export class HeldLock {
  readonly #path: string;
  #lock: Lock;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, lock: Lock) {
    this.#path = path;
    this.#lock = lock;
  }

  /** `wx`: of two starts at the same moment one gets the lock. */
  static async take(path: string): Promise<HeldLock> {
    const launcher = await identify(process.pid);
    if (launcher === undefined) throw new Failure("cannot read /proc: a local cluster needs Linux");
    const lock: Lock = { launcher, agents: {} };
    const file = await open(path, "wx", 0o600).catch(() => undefined);
    if (file === undefined) throw new Failure(`another start is using ${path} at this moment`);
    await file.writeFile(toJsonFile(lock));
    await file.close();
    return new HeldLock(path, lock);
  }

  setPlane(plane: ProcessIdentity, workerd: ProcessIdentity | undefined): Promise<void> {
    return this.#write({ ...this.#lock, plane, workerd });
  }

  setAgent(name: string, identity: ProcessIdentity): Promise<void> {
    return this.#write({ ...this.#lock, agents: { ...this.#lock.agents, [name]: identity } });
  }

  async release(): Promise<void> {
    await this.#writing;
    await rm(this.#path, { force: true });
  }

  #write(lock: Lock): Promise<void> {
    this.#lock = lock;
    this.#writing = this.#writing.then(() => writePrivate(this.#path, toJsonFile(lock)));
    return this.#writing;
  }
}
