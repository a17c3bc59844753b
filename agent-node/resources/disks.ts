// Disks of their own among the flags' resources: whether they are on this host, and apart from each other.
import { readFileSync, realpathSync, statSync } from "node:fs";
import { resolve, sep } from "node:path";
import type { Resource } from "#protocol/resource.ts";
import { errorText } from "../checkpoint/durable-file.ts";

/** Roots of disks of source PATH, as given. */
export const pathRoots = (resources: readonly Resource[]): readonly string[] =>
  resources.flatMap(({ disk }) => (disk?.source?.type === "PATH" ? [disk.source.path?.root ?? ""] : []));

/** Why an agent may not offer these disks, or undefined when it may. */
export function diskProblem(resources: readonly Resource[], workDir: string): string | undefined {
  const mounts = resources.flatMap(({ disk }) =>
    disk?.source?.type === "MOUNT" ? [resolve(workDir, disk.source.mount?.root ?? "")] : [],
  );
  const others = [...new Set(pathRoots(resources))].map((root) => resolve(workDir, root));
  const problem = [...mounts, ...others].map(directoryProblem).find((text) => text !== undefined);
  if (problem !== undefined) return problem;
  const points = mounts.length === 0 ? new Set<string>() : mountPoints();
  for (const [at, mount] of mounts.entries()) {
    if (!points.has(mount))
      return `${mount} is no mount point: mount the disk, or offer the directory as a disk of source PATH`;
    // The whole mount is emptied when a volume on it is destroyed.
    const inside = [...mounts.slice(at + 1), ...mounts.slice(0, at), ...others, workDir].find((other) =>
      isWithin(realPath(other), mount),
    );
    if (inside !== undefined) return `${inside} is inside ${mount}, which is offered as a whole mount`;
  }
  return undefined;
}

function directoryProblem(path: string): string | undefined {
  try {
    return statSync(path).isDirectory() ? undefined : `${path} is no directory`;
  } catch (error) {
    return `${path} cannot be used as a disk (${errorText(error)})`;
  }
}

const isWithin = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(directory === sep ? sep : directory + sep);

/** Of the nearest that is there: the work directory may not be yet. */
function realPath(path: string): string {
  for (let at = path; ; at = resolve(at, "..")) {
    try {
      return resolve(realpathSync(at), path.slice(at.length + (at === "/" ? 0 : 1)));
    } catch (error) {
      if (at === "/") throw error;
    }
  }
}

/** From /proc/self/mountinfo: the fifth field, with spaces and backslashes in octal. */
function mountPoints(): ReadonlySet<string> {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return new Set(
    lines.map((line) =>
      (line.split(" ")[4] ?? "").replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    ),
  );
}
