// The directories of persistent volumes on this host. A volume begins empty, outlives every task, and ends with DESTROY only:
//
//   CREATE   the directory is made, then the volume is checkpointed         one that nobody knows of is empty, and taken next time
//   DESTROY  the removal is checkpointed, the directory is moved aside,     done again by the next agent until
//            the place is checkpointed as free, what was moved is deleted   each is done
//
// A whole mount cannot be moved aside: it is emptied, and its place is free only then.
import { randomUUID } from "node:crypto";
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, renameSync, type Stats } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { errorCode, errorText, syncDirectory } from "../checkpoint/durable-file.ts";
import { type Place, REMOVED, removedPath } from "./place.ts";
import { emptyDirectory, openDirectory, removeTree } from "./remove-tree.ts";

/** What a file system keeps in the root of a mount for itself. */
const KEPT: ReadonlySet<string> = new Set(["lost+found"]);
const DIRECTORY_MODE = 0o755;

export interface VolumesOptions {
  readonly workDir: string;
  /** Of disks of source PATH; they may be relative to the work directory. */
  readonly roots: readonly string[];
}

export class Volumes {
  readonly #workDir: string;
  readonly #removed: readonly string[];

  constructor({ workDir, roots }: VolumesOptions) {
    this.#workDir = workDir;
    this.#removed = [...new Set(["", ...roots].map((root) => removedPath(resolve(workDir, root))))];
  }

  pathOf(place: Place): string {
    return resolve(this.#workDir, place.path);
  }

  /** Makes the empty directory of a new volume, durably, or takes an empty one; answers why it cannot. */
  make(place: Place): string | undefined {
    const path = this.pathOf(place);
    try {
      if (!place.isMount) makeDirectory(path);
      const stats = lstatOf(path);
      if (stats?.isDirectory() !== true) return `${path} is no directory: see to the disk that is to be there`;
      if (readdirSync(path).some((name) => !place.isMount || !KEPT.has(name)))
        return `${path} is not empty: move away or delete what is there`;
      closeToOthers(path, DIRECTORY_MODE);
      return undefined;
    } catch (error) {
      return `${path} cannot be made: check the disk and its owner (${errorText(error)})`;
    }
  }

  /** Frees the place of a destroyed volume, durably. Resolves at once unless it is a mount. */
  async free(place: Place): Promise<void> {
    const path = this.pathOf(place);
    if (place.isMount) return emptyMount(path);
    const stats = lstatOf(path);
    if (stats === undefined) return;
    const removed = join(dirname(dirname(dirname(path))), REMOVED);
    mkdirSync(removed, { recursive: true, mode: 0o700 });
    // Whoever is no root must own a directory and may write it, to give it another parent.
    if (stats.isDirectory() && process.geteuid?.() !== 0) chmodSync(path, DIRECTORY_MODE);
    renameSync(path, join(removed, randomUUID()));
    syncDirectory(removed);
    syncDirectory(dirname(path));
  }

  /** Deletes what was moved aside, also by an earlier agent. Rejects with the first that cannot be deleted, after all others. */
  async deleteRemoved(): Promise<void> {
    let failure: unknown;
    for (const removed of this.#removed) {
      for (const name of namesIn(removed)) {
        try {
          await removeTree(join(removed, name));
        } catch (error) {
          failure ??= error;
        }
      }
    }
    if (failure !== undefined) throw failure;
  }
}

/** With whatever of its parents is missing; that it is there already is no error. */
function makeDirectory(path: string): void {
  const role = dirname(path);
  const volumes = dirname(dirname(role));
  const root = dirname(volumes);
  if (lstatOf(root) === undefined) throw new Error(`${root} is not there`);
  mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  for (const parent of [role, dirname(role), volumes, root]) syncDirectory(parent);
}

async function emptyMount(path: string): Promise<void> {
  const directory = await openDirectory(path);
  if (directory === undefined) return;
  try {
    closeToOthers(path, 0o700);
    await emptyDirectory(directory, KEPT);
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** The agent's own again, whoever had it before. */
function closeToOthers(path: string, mode: number): void {
  if (process.geteuid?.() === 0) chownSync(path, 0, 0);
  chmodSync(path, mode);
}

const lstatOf = (path: string): Stats | undefined => lstatSync(path, { throwIfNoEntry: false });

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}
