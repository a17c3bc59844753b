// Resources and attributes as Mesos' v1 JSON has them (http-api-v1 §7.1).
import * as v from "valibot";
import { list, numeric, optional } from "./json.ts";

/** Bounds of one message, so that a hostile list cannot fill an object's memory. */
export const RESOURCES_MAX = 256;
export const RANGES_MAX = 4096;

const range = v.object({
  begin: v.pipe(numeric, v.safeInteger(), v.minValue(0)),
  end: v.pipe(numeric, v.safeInteger(), v.minValue(0)),
});
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(128));

export const resourceSchema = v.object({
  name,
  type: v.picklist(["SCALAR", "RANGES", "SET"]),
  scalar: optional(v.object({ value: v.pipe(numeric, v.finite()) })),
  ranges: optional(v.object({ range: list(range, RANGES_MAX) })),
  set: optional(v.object({ item: list(v.pipe(v.string(), v.maxLength(256)), RANGES_MAX) })),
  role: optional(v.pipe(v.string(), v.maxLength(256))),
  allocation_info: optional(v.object({ role: optional(v.string()) })),
});
/** mem and disk are megabytes. Exactly one of scalar, ranges, set is there, the one that `type` names. */
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
