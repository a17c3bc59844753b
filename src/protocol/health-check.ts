// Checks of a running task: CheckInfo looks and tells, HealthCheck also ends the task that fails it too often.
import * as v from "valibot";
import { commandSchema } from "./command.ts";
import { bool, int32, list, numericOrInfinite, optional, optionalName, text, uint32 } from "./json.ts";

const STATUSES_MAX = 256;
const path = text(4096);
const seconds = optional(numericOrInfinite);
const PROTOCOLS = ["IPv4", "IPv6"] as const;

export const CHECK_TYPES = ["COMMAND", "HTTP", "TCP"] as const;
export type CheckType = (typeof CHECK_TYPES)[number];

export const checkSchema = v.object({
  type: optionalName(CHECK_TYPES),
  command: optional(v.object({ command: commandSchema })),
  http: optional(v.object({ port: uint32, path: optional(path) })),
  tcp: optional(v.object({ port: uint32 })),
  delay_seconds: seconds,
  interval_seconds: seconds,
  timeout_seconds: seconds,
});
/** Seconds, by default: delay 15, interval 10, timeout 20; a timeout of 0 is none. */
export type CheckInfo = v.InferOutput<typeof checkSchema>;

export const healthCheckSchema = v.object({
  /** Absent in old clients' checks: then it is COMMAND or HTTP, whichever member is there alone. */
  type: optionalName(CHECK_TYPES),
  command: optional(commandSchema),
  http: optional(
    v.object({
      protocol: optionalName(PROTOCOLS),
      scheme: optional(text(16)),
      port: uint32,
      path: optional(path),
      /** Of older clients. Not looked at: every status from 200 to 399 is healthy. */
      statuses: list(uint32, STATUSES_MAX),
    }),
  ),
  tcp: optional(v.object({ protocol: optionalName(PROTOCOLS), port: uint32 })),
  delay_seconds: seconds,
  interval_seconds: seconds,
  timeout_seconds: seconds,
  consecutive_failures: optional(uint32),
  grace_period_seconds: seconds,
});
/** Seconds, by default: delay 15, interval 10, timeout 20 (0 is none), grace period 10. The task is killed after 3 failures by default. */
export type HealthCheck = v.InferOutput<typeof healthCheckSchema>;

export const checkStatusSchema = v.object({
  type: optionalName(CHECK_TYPES),
  command: optional(v.object({ exit_code: optional(int32) })),
  http: optional(v.object({ status_code: optional(uint32) })),
  tcp: optional(v.object({ succeeded: optional(bool) })),
});
/** The newest result of a check; the member named after the type is empty before the first one. */
export type CheckStatusInfo = v.InferOutput<typeof checkStatusSchema>;
