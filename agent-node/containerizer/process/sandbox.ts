// A task's sandbox: its directory, the links in it to the task's volumes, `runs/latest`, and who owns them.
import { chmodSync, chownSync, lstatSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorCode } from "../../checkpoint/durable-file.ts";
import type { VolumeLink } from "../containerizer.ts";
import type { HostUser } from "./users.ts";

/** What the agent itself makes at the top of a sandbox. */
const OUTPUTS: ReadonlySet<string> = new Set(["stdout", "stderr"]);

/** `user`: whose it will be; undefined for the agent's own. Throws with what a person can do. */
export function makeSandbox(sandbox: string, volumes: readonly VolumeLink[], user: HostUser | undefined): void {
  const runs = dirname(sandbox);
  mkdirSync(runs, { recursive: true, mode: 0o755 });
  mkdirSync(sandbox, { mode: 0o750 });
  // While it is nobody else's yet: no other task can put a link in the way.
  for (const volume of volumes) linkVolume(sandbox, volume, user);
  if (user !== undefined) chownSync(sandbox, user.uid, user.gid);
  chmodSync(sandbox, 0o750); // whatever the umask
  const link = join(runs, "latest");
  rmSync(`${link}.tmp`, { force: true });
  symlinkSync(sandbox, `${link}.tmp`);
  renameSync(`${link}.tmp`, link);
}

function linkVolume(sandbox: string, { path, containerPath }: VolumeLink, user: HostUser | undefined): void {
  const refuse = (why: string): never => {
    throw new Error(`the volume for '${containerPath}' ${why}`);
  };
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true)
    refuse(`is not at ${path}: mount its disk, or have the volume destroyed`);
  const folders = containerPath.split("/").filter((part) => part !== "" && part !== ".");
  const name = folders.pop();
  if (name === undefined || [name, ...folders].includes("..") || containerPath.startsWith("/"))
    return refuse("may only be inside the sandbox");
  if (OUTPUTS.has(folders[0] ?? name)) refuse("would be where the task's output is");
  let at = sandbox;
  for (const folder of folders) {
    at = join(at, folder);
    if (!makeFolder(at, user)) refuse("would be inside another volume");
  }
  try {
    symlinkSync(path, join(at, name));
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
    refuse("would be where another volume is");
  }
}

/** False when there is something else, such as the link to another volume. */
function makeFolder(path: string, user: HostUser | undefined): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats !== undefined) return stats.isDirectory();
  mkdirSync(path, { mode: 0o755 });
  if (user !== undefined) chownSync(path, user.uid, user.gid);
  return true;
}
