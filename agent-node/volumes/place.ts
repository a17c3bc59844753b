// Where a persistent volume is on its host. A volume on the agent's own disk, or on one of source PATH, is a directory under
// `volumes/roles/<role>/<id>`; one of source MOUNT is the whole mount.
import { join } from "node:path";
import { assert } from "#base/assert.ts";
import { type Pool, reservationRole } from "#resources/pool.ts";

export interface Place {
  /** Relative to the work directory unless it begins with a slash. No two volumes of an agent have the same. */
  readonly path: string;
  readonly isMount: boolean;
}

/** Of a pool with a persistent volume. */
export function placeOf(pool: Pool): Place {
  const { persistence, source } = pool.disk ?? {};
  assert(persistence !== undefined, "only a persistent volume has a place");
  if (source?.type === "MOUNT") return { path: source.mount?.root ?? "", isMount: true };
  const root = source?.path?.root ?? "";
  return { path: join(root, ...VOLUMES, folderOf(reservationRole(pool)), persistence.id), isMount: false };
}

const VOLUMES = ["volumes", "roles"] as const;
/** Beside the folders of roles: what was destroyed and is not deleted yet. */
export const REMOVED = "removed";
/** Of a disk's root, or of the work directory. */
export const removedPath = (root: string): string => join(root, VOLUMES[0], REMOVED);

/** One folder name for each role: a role may have slashes, and what a hostile one may have is no path either. */
function folderOf(role: string): string {
  const escaped = role.replaceAll(/[%/\u0000]/g, (letter) => `%${letter.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return /^\.+$/.test(escaped) ? escaped.replaceAll(".", "%2e") : escaped;
}
