// What a simulated framework does with an offer besides launching: it reserves, makes volumes, resizes them and gives all of it up again.
import { integerBetween, pick, type Random } from "#base/random.ts";
import type { Operation } from "#protocol/operation.ts";
import type { Resource } from "#protocol/resource.ts";

/** Most volumes on one agent, whosever they are. */
const VOLUMES_MAX = 3;
const RESERVED_MB = 100;

export interface Wishes {
  readonly operations: readonly Operation[];
  /** A volume that is there when they are done, for a task of the same ACCEPT. */
  readonly volume: Resource | undefined;
}

export interface Keeper {
  readonly role: string;
  readonly random: Random;
  /** A name that was never used before. */
  readonly fresh: () => string;
}

const amount = (resource: Resource): number => resource.scalar?.value ?? 0;
const isReserved = ({ reservations = [] }: Resource): boolean => reservations.length > 0;
const isVolume = ({ disk }: Resource): boolean => disk?.persistence !== undefined;
const withoutAllocation = (resource: Resource): Resource => ({ ...resource, allocation_info: undefined });
const withoutDisk = (resource: Resource): Resource => ({ ...resource, disk: undefined });

export function wishesFor(offered: readonly Resource[], { role, random, fresh }: Keeper): Wishes {
  const disks = offered.filter(({ name }) => name === "disk").map(withoutAllocation);
  const volumes = disks.filter(isVolume);
  const reserved = disks.find((disk) => isReserved(disk) && !isVolume(disk));
  const free = disks.find((disk) => !isReserved(disk));
  const [volume] = volumes;
  const id = () => ({ id: { value: fresh() } });
  const draw = random.next();
  if (volume !== undefined && draw < 0.25) {
    const destroy: Operation = { type: "DESTROY", ...id(), destroy: { volumes: [volume] } };
    if (random.next() < 0.5) return { operations: [destroy], volume: undefined };
    const unreserve: Operation = { type: "UNRESERVE", ...id(), unreserve: { resources: [withoutDisk(volume)] } };
    return { operations: [destroy, unreserve], volume: undefined };
  }
  if (volume !== undefined && reserved !== undefined && draw < 0.35) {
    const grow_volume = { volume, addition: { ...reserved, scalar: { value: 1 } } };
    return { operations: [{ type: "GROW_VOLUME", ...id(), grow_volume }], volume: undefined };
  }
  if (volume !== undefined && amount(volume) > 1 && draw < 0.45) {
    const shrink_volume = { volume, subtract: { value: 1 } };
    return { operations: [{ type: "SHRINK_VOLUME", ...id(), shrink_volume }], volume: undefined };
  }
  if (reserved !== undefined && draw < 0.6)
    return { operations: [{ type: "UNRESERVE", ...id(), unreserve: { resources: [reserved] } }], volume };
  if (draw < 0.9 && volumes.length < VOLUMES_MAX && free !== undefined && amount(free) >= RESERVED_MB) {
    const layer = { type: "DYNAMIC" as const, role };
    const kept: Resource = { name: "disk", type: "SCALAR", scalar: { value: RESERVED_MB }, reservations: [layer] };
    // The same name again and again: what was there before must be gone.
    const persistence = { id: pick(random, ["a", "b", "c"]) };
    const disk = { persistence, volume: { mode: "RW" as const, container_path: "data" } };
    const made: Resource = { ...kept, scalar: { value: integerBetween(random, 1, RESERVED_MB) }, disk };
    const reserve: Operation = { type: "RESERVE", ...id(), reserve: { resources: [kept], source: [] } };
    const create: Operation = { type: "CREATE", ...id(), create: { volumes: [made] } };
    return { operations: [reserve, create], volume: made };
  }
  return { operations: [], volume };
}
