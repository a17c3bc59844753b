// Deletes what a task wrote, and nothing else. The agent may be root, and a process that outlived its task may still change the
// tree meanwhile: so nothing is reached by a path through it. Every directory is opened without following links, and its entries
// are named by its descriptor. A tree that is too deep to walk is flattened: a directory in a directory is moved to the top.
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { chmod, type FileHandle, open, opendir, rename, rmdir, unlink } from "node:fs/promises";
import { errorCode } from "../checkpoint/durable-file.ts";

const IS_ROOT = process.geteuid?.() === 0;

/** Removes a directory with its content, or whatever else has that name. What is not there is no error. */
export async function removeTree(path: string): Promise<void> {
  const directory = await openDirectory(path);
  if (directory === undefined) return removeName(path);
  try {
    await emptyDirectory(directory);
  } finally {
    await directory.close();
  }
  await rmdir(path);
}

/** Removes the content of an open directory. Rejects when something of it cannot be removed, after all that can be. */
export async function emptyDirectory(directory: FileHandle, kept: ReadonlySet<string> = new Set()): Promise<void> {
  const here = pathOf(directory);
  for (;;) {
    let left = 0;
    let failed = 0;
    let failure: unknown;
    for await (const { name } of await opendir(here)) {
      if (kept.has(name)) continue;
      left++;
      try {
        await removeEntry(here, name);
      } catch (error) {
        failed++;
        failure ??= error;
      }
    }
    if (left === 0) return;
    if (left === failed) throw failure;
  }
}

/** One that holds directories may be left, empty or not: they are in `here` now, and the next round finds it. */
async function removeEntry(here: string, name: string): Promise<void> {
  const path = `${here}/${name}`;
  const directory = await openDirectory(path);
  if (directory === undefined) return removeName(path);
  try {
    const inside = pathOf(directory);
    for await (const entry of await opendir(inside)) {
      if (entry.isDirectory()) await moveUp(`${inside}/${entry.name}`, here);
      else await removeName(`${inside}/${entry.name}`);
    }
  } finally {
    await directory.close();
  }
  await rmdir(path);
}

/** Its parent is written in it: whoever is not root must be allowed to. */
async function moveUp(path: string, to: string): Promise<void> {
  if (!IS_ROOT) await (await openDirectory(path))?.close();
  await rename(path, `${to}/${randomUUID()}`);
}

/** To be emptied. Undefined when it is none, or not there; a link to one is none. */
export async function openDirectory(path: string): Promise<FileHandle | undefined> {
  const directory = await openedDirectory(path);
  // Tasks of an agent that is not root are its own user's, and what they closed it may open again.
  if (!IS_ROOT) await directory?.chmod(0o700);
  return directory;
}

async function openedDirectory(path: string): Promise<FileHandle | undefined> {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  try {
    return await open(path, flags);
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOTDIR" || code === "ELOOP" || code === "ENOENT") return undefined;
    // Only root may not do this: it goes through a link.
    if (code !== "EACCES" || IS_ROOT) throw error;
    await chmod(path, 0o700);
    return open(path, flags);
  }
}

const pathOf = (directory: FileHandle): string => `/proc/self/fd/${directory.fd}`;

async function removeName(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}
