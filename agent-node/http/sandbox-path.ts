// From a path that somebody asks for to an open file inside a sandbox, or nothing. Tasks write their sandboxes, also with
// links and while we look, and the agent may be root: so the file is opened first, and where it really is decides.
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  type Stats,
} from "node:fs";
import { join, normalize, sep } from "node:path";
import type { Paths } from "../checkpoint/paths.ts";

export interface OpenFile {
  readonly fd: number;
  readonly stats: Stats;
  readonly realPath: string;
}

const RUN = /^[^/]+\/frameworks\/[^/]+\/executors\/[^/]+\/runs\/[^/]+/;

/** Opens for reading; undefined when there is no such file in a sandbox. The caller closes `fd`. */
export function openInSandbox(paths: Paths, asked: string): OpenFile | undefined {
  for (const path of candidates(paths, asked)) {
    const file = openInside(paths, path);
    if (file !== undefined) return file;
  }
  return undefined;
}

/** `/frameworks/…/runs/latest/…` is looked for under every agent id that this work directory had; or it is an absolute path. */
function candidates({ sandboxes }: Paths, asked: string): string[] {
  if (asked.includes("\0")) return [];
  const path = normalize(asked);
  if (!path.startsWith("/frameworks/")) return [path];
  try {
    return readdirSync(sandboxes).map((agentId) => join(sandboxes, agentId, path));
  } catch {
    return [];
  }
}

function openInside({ sandboxes }: Paths, path: string): OpenFile | undefined {
  if (!path.startsWith(sandboxes + sep)) return undefined;
  const run = RUN.exec(path.slice(sandboxes.length + 1))?.[0];
  if (run === undefined) return undefined;
  let fd: number | undefined;
  try {
    const root = realpathSync(join(sandboxes, run));
    if (!root.startsWith(realpathSync(sandboxes) + sep)) return undefined;
    // Not blocking: a task may have put a FIFO there.
    fd = openSync(realpathSync(path), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const realPath = readlinkSync(`/proc/self/fd/${fd}`);
    const stats = fstatSync(fd);
    if ((realPath === root || realPath.startsWith(root + sep)) && (stats.isFile() || stats.isDirectory()))
      return { fd, stats, realPath };
  } catch {
    // Not there, or not readable: the asker learns nothing about what is outside.
  }
  if (fd !== undefined) closeSync(fd);
  return undefined;
}
