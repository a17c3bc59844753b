// The batch on disk. It is written before anything is asked of the plane and before anything is acknowledged to it, whole
// and at once: a kill at any moment leaves the old state or the new one.
//
// The calls are synchronous on purpose: nothing can come between a decision, its record, and the call that follows.
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, resolve } from "node:path";
import { newBatch, type Batch } from "./batch.ts";
import { Problem } from "./problem.ts";

export class StateFile {
  readonly #path: string;
  #batch: Batch;

  private constructor(path: string, batch: Batch) {
    this.#path = path;
    this.#batch = batch;
  }

  /** The batch of this file; without a file, a new one. Refuses the file of another batch. */
  static open(path: string, plane: string, lines: readonly string[]): StateFile {
    const text = readIfThere(path);
    if (text === undefined) return new StateFile(path, newBatch(plane, lines));
    const batch = parse(path, text);
    const hint = `give the old ones, or another --state than ${path}`;
    if (batch.plane !== plane) throw new Problem(`this batch was begun on ${batch.plane}, not on ${plane}: ${hint}`);
    if (batch.commands.length !== lines.length || batch.commands.some(({ line }, i) => line !== lines[i]))
      throw new Problem(`the commands are not those that this batch was begun with: ${hint}`);
    return new StateFile(path, batch);
  }

  get batch(): Batch {
    return this.#batch;
  }

  /** Returns when it would survive a power cut. */
  save(batch: Batch): void {
    const next = `${this.#path}.next`;
    writeFileSync(next, `${JSON.stringify(batch, undefined, 1)}\n`, { mode: 0o600, flush: true });
    renameSync(next, this.#path);
    const directory = openSync(dirname(this.#path), "r");
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
    this.#batch = batch;
  }
}

/**
 * Two processes on one file would undo each other's records. The lock is a name that the kernel keeps while the process lives
 * (an abstract socket, Linux only): a `kill -9` leaves none behind.
 */
export function lock(path: string): Promise<void> {
  const name = createHash("sha256").update(resolve(path)).digest("hex").slice(0, 32);
  const holder = createServer().unref();
  return new Promise((done, refuse) => {
    holder.once("error", (error: NodeJS.ErrnoException) => {
      const inUse = error.code === "EADDRINUSE";
      refuse(new Problem(inUse ? `another process is at work on ${path}` : `cannot lock ${path}: ${error.message}`));
    });
    holder.listen({ path: `\0mesoflare-batch-${name}` }, done);
  });
}

function parse(path: string, text: string): Batch {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (typeof json === "object" && json !== null && "version" in json && json.version === 1) return json as Batch;
  throw new Problem(`${path} is no state of a batch; it is left as it is: give another --state`);
}

export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Problem(`cannot read ${path}: ${(error as Error).message}`);
  }
}
