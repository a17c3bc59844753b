// Whose a resource is and what it is made of: its reservations, its disk, and whether it can be taken back. Resources with equal
// answers are of one pool and add up; those of different pools never do.
import type { DiskInfo, Reservation, Resource } from "#protocol/resource.ts";
import { idProblem } from "#protocol/ids.ts";

export interface Pool {
  /** Equal for equal pools; the empty text for what is free for everybody. */
  readonly key: string;
  /** From the outermost layer to the one that counts; empty when unreserved. */
  readonly reservations: readonly Reservation[];
  readonly disk: DiskInfo | undefined;
  readonly isRevocable: boolean;
  readonly isShared: boolean;
  readonly providerId: string | undefined;
}

/** What nobody reserved, on the agent's own disk. */
export const UNRESERVED: Pool = {
  key: "",
  reservations: [],
  disk: undefined,
  isRevocable: false,
  isShared: false,
  providerId: undefined,
};

export function makePool(parts: Omit<Pool, "key">): Pool {
  const { reservations, disk, isRevocable, isShared, providerId } = parts;
  if (reservations.length === 0 && disk === undefined && !isRevocable && !isShared && providerId === undefined)
    return UNRESERVED;
  const layers = reservations.map(({ type, role, principal, labels }) => [
    type ?? "DYNAMIC",
    role,
    principal ?? null,
    // The order of labels says nothing.
    (labels?.labels ?? []).map(({ key, value }) => JSON.stringify([key, value ?? null])).toSorted(),
  ]);
  const { persistence, volume, source } = disk ?? {};
  const material = [
    persistence === undefined ? null : [persistence.id, persistence.principal ?? null],
    volume === undefined ? null : [volume.mode, volume.container_path, volume.host_path ?? null],
    source === undefined
      ? null
      : [source.type, source.path?.root ?? source.mount?.root ?? null, source.vendor, source.id, source.profile],
  ];
  const key = JSON.stringify([layers, material, isRevocable, isShared, providerId ?? null]);
  return { key, reservations, disk, isRevocable, isShared, providerId };
}

/** The pool of a resource without a {@link poolProblem}, in either form of reservation. */
export function poolOf(resource: Resource): Pool {
  const { disk, revocable, shared, provider_id } = resource;
  const isDiskPlain = disk?.persistence === undefined && disk?.volume === undefined && disk?.source === undefined;
  return makePool({
    reservations: reservationsOf(resource),
    disk: isDiskPlain ? undefined : disk,
    isRevocable: revocable !== undefined,
    isShared: shared !== undefined,
    providerId: provider_id?.value,
  });
}

/** The stack of reservations, from either form. */
function reservationsOf({ role, reservation, reservations = [] }: Resource): readonly Reservation[] {
  if (reservations.length > 0) return reservations;
  if (role === undefined || role === "*") return [];
  return [reservation === undefined ? { type: "STATIC", role } : { ...reservation, type: "DYNAMIC", role }];
}

/** The role that a pool is reserved to; `*` when it is not. */
export const reservationRole = ({ reservations }: Pool): string => reservations.at(-1)?.role ?? "*";

/** Whether an operation put the layer there, and may take it off again. */
export const isDynamic = ({ type }: Reservation): boolean => type !== "STATIC";

export const isSubrole = (role: string, ancestor: string): boolean => role.startsWith(`${ancestor}/`);

/** Whether a role may be offered a pool: unreserved ones, its own, and what is reserved to a role above it. */
export function isAllocatableTo(pool: Pool, role: string): boolean {
  if (pool.reservations.length === 0) return true;
  const reserved = reservationRole(pool);
  return reserved === role || isSubrole(role, reserved);
}

/** A persistent volume, and a whole mount: taken whole or not at all. */
export const isIndivisible = ({ disk }: Pool): boolean =>
  disk?.persistence !== undefined || disk?.source?.type === "MOUNT";

/** Why what a resource says of its ownership may not be, or undefined when it may. Roles are checked by their own rule. */
export function poolProblem(resource: Resource): string | undefined {
  const { name, role, reservation, reservations = [], disk, shared } = resource;
  if (reservations.length > 0) {
    if (reservation !== undefined) return `'${name}' has both 'reservation' and 'reservations'`;
    const top = reservations.at(-1)?.role;
    if (role !== undefined && role !== top) return `'${name}' has a 'role' that is not that of its last reservation`;
  } else if (reservation !== undefined && (role === undefined || role === "*")) {
    return `'${name}' has a 'reservation' but no role to which it is reserved`;
  }
  const layers = reservationsOf(resource);
  for (const [at, { type, role: reserved }] of layers.entries()) {
    if (reserved === undefined || reserved === "" || reserved === "*")
      return `'${name}' has a reservation without a role, or to '*'`;
    const outer = layers[at - 1]?.role;
    if (outer !== undefined && !isSubrole(reserved, outer))
      return `'${name}' is reserved to '${reserved}', which is not below '${outer}'`;
    if (at > 0 && type === "STATIC") return `'${name}' has a static reservation above another one`;
  }
  if (disk !== undefined) {
    if (name !== "disk") return `'${name}' may not have 'disk'`;
    const problem = diskProblem(disk, layers.length > 0);
    if (problem !== undefined) return problem;
  }
  if (shared !== undefined && disk?.persistence === undefined)
    return `'${name}' may not be shared: only a persistent volume may`;
  return undefined;
}

function diskProblem({ persistence, volume, source }: DiskInfo, isReserved: boolean): string | undefined {
  if (source !== undefined && source.type !== "PATH" && source.type !== "MOUNT")
    return `a disk of source ${source.type} needs a resource provider`;
  if (persistence === undefined)
    return volume === undefined
      ? undefined
      : "a disk with a volume needs 'persistence': other volumes are the container's";
  if (!isReserved) return "a persistent volume needs a reservation";
  const problem = idProblem(persistence.id);
  if (problem !== undefined) return `disk.persistence.id: ${problem}`;
  if (volume === undefined) return "a persistent volume needs 'volume'";
  if (volume.mode !== "RW") return "a persistent volume is made read-write";
  if (volume.host_path !== undefined) return "a persistent volume has no 'host_path'";
  return containerPathProblem(volume.container_path);
}

/** A path inside the sandbox: relative, and never out of it. */
function containerPathProblem(path: string): string | undefined {
  if (path === "") return "disk.volume.container_path is empty";
  if (path.startsWith("/")) return "disk.volume.container_path must be relative";
  if (path.includes("\u0000")) return "disk.volume.container_path contains NUL";
  return path.split("/").includes("..") ? "disk.volume.container_path may not contain '..'" : undefined;
}
