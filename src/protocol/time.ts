// Durations and times of Mesos' messages: nanoseconds, of 64 bits.
import * as v from "valibot";
import { int64 } from "./json.ts";

export const durationInfo = v.object({ nanoseconds: int64 });
export type DurationInfo = v.InferOutput<typeof durationInfo>;
/** Since the epoch. */
export const timeInfo = v.object({ nanoseconds: int64 });
export type TimeInfo = v.InferOutput<typeof timeInfo>;
