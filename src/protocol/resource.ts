// Resources and attributes as Mesos' v1 JSON has them (http-api-v1 §7.1).
import * as v from "valibot";
import { list, numeric, optional, optionalName } from "./json.ts";

/** Bounds of one message, so that a hostile list cannot fill an object's memory. */
export const RESOURCES_MAX = 256;
export const RANGES_MAX = 4096;
/** Layers of one reservation: as deep as a role may be. */
export const RESERVATIONS_MAX = 16;
export const ROLE_LETTERS_MAX = 256;

const range = v.object({
  begin: v.pipe(numeric, v.safeInteger(), v.minValue(0)),
  end: v.pipe(numeric, v.safeInteger(), v.minValue(0)),
});
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(128));

const roleName = v.pipe(v.string(), v.maxLength(ROLE_LETTERS_MAX));
const shortText = v.pipe(v.string(), v.maxLength(1024));
const pathText = v.pipe(v.string(), v.maxLength(4096));

const reservationSchema = v.object({
  type: optionalName(["STATIC", "DYNAMIC"]),
  role: optional(roleName),
  principal: optional(shortText),
  labels: optional(v.object({ labels: list(v.object({ key: shortText, value: optional(shortText) }), 256) })),
});
/** One layer of a reservation; the last of a stack is the one that counts. */
export type Reservation = v.InferOutput<typeof reservationSchema>;

const diskSchema = v.object({
  persistence: optional(v.object({ id: shortText, principal: optional(shortText) })),
  volume: optional(
    v.object({
      mode: v.picklist(["RW", "RO"]),
      container_path: pathText,
      host_path: optional(pathText),
    }),
  ),
  source: optional(
    v.object({
      type: v.picklist(["UNKNOWN", "PATH", "MOUNT", "BLOCK", "RAW"]),
      path: optional(v.object({ root: optional(pathText) })),
      mount: optional(v.object({ root: optional(pathText) })),
      vendor: optional(shortText),
      id: optional(shortText),
      profile: optional(shortText),
    }),
  ),
});
/** What a disk resource is: part of a directory, of a whole mount, or a persistent volume on either. */
export type DiskInfo = v.InferOutput<typeof diskSchema>;

export const resourceSchema = v.object({
  name,
  type: v.picklist(["SCALAR", "RANGES", "SET"]),
  scalar: optional(v.object({ value: v.pipe(numeric, v.finite()) })),
  ranges: optional(v.object({ range: list(range, RANGES_MAX) })),
  set: optional(v.object({ item: list(v.pipe(v.string(), v.maxLength(256)), RANGES_MAX) })),
  /** The old form: `*`, or the role of a single reservation, which `reservation` describes when it is a dynamic one. */
  role: optional(roleName),
  reservation: optional(reservationSchema),
  reservations: v.optional(list(reservationSchema, RESERVATIONS_MAX)),
  allocation_info: optional(v.object({ role: optional(roleName) })),
  disk: optional(diskSchema),
  revocable: optional(v.object({})),
  shared: optional(v.object({})),
  provider_id: optional(v.object({ value: shortText })),
});
/**
 * mem and disk are megabytes. Exactly one of scalar, ranges, set is there, the one that `type` names. Which of the two forms of
 * reservation a client sends is its own business; `src/resources` reads both and knows one.
 */
export type Resource = v.InferOutput<typeof resourceSchema>;

export const attributeSchema = v.object({
  name,
  type: v.picklist(["SCALAR", "RANGES", "SET", "TEXT"]),
  scalar: optional(v.object({ value: v.pipe(numeric, v.finite()) })),
  ranges: optional(v.object({ range: list(range, RANGES_MAX) })),
  set: optional(v.object({ item: list(v.pipe(v.string(), v.maxLength(256)), RANGES_MAX) })),
  text: optional(v.object({ value: v.pipe(v.string(), v.maxLength(1024)) })),
});
export type Attribute = v.InferOutput<typeof attributeSchema>;
