// Resources as frameworks name them in operations and launches.
import type { Resource, Reservation } from "#protocol/resource.ts";

export const ROLE = "web";
const DYNAMIC: Reservation = { type: "DYNAMIC", role: ROLE, principal: "tests" };

export const free = (name: string, value: number): Resource => ({ name, type: "SCALAR", scalar: { value } });
export const fixed = (name: string, value: number, role = ROLE): Resource => ({ ...free(name, value), role });
export const ports = (begin: number, end: number): Resource => ({
  name: "ports",
  type: "RANGES",
  ranges: { range: [{ begin, end }] },
});
export const reserved = (name: string, value: number): Resource => ({ ...free(name, value), reservations: [DYNAMIC] });
export const volume = (value: number, id = "data", more: Partial<Resource["disk"]> = {}): Resource => ({
  ...reserved("disk", value),
  disk: { persistence: { id }, volume: { mode: "RW", container_path: `volumes/${id}` }, ...more },
});
