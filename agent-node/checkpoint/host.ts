// What identifies this host and this boot.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import * as v from "valibot";
import { type HostKey, hostKeyText } from "#protocol/ids.ts";
import { StartError } from "../exit-code.ts";
import type { Paths } from "./paths.ts";
import { readIfThere, writeFileAtomically } from "./durable-file.ts";

/** Made once on a host. It chooses the gateway; two hosts with one key (a cloned disk) would fight for one agent id. */
export function readOrMakeHostKey({ hostKey: path }: Paths): HostKey {
  const text = readIfThere(path)?.trim();
  if (text === undefined) {
    const made = randomBytes(16).toString("hex");
    writeFileAtomically(path, `${made}\n`);
    return made as HostKey;
  }
  const parsed = v.safeParse(hostKeyText, text);
  if (!parsed.success)
    throw new StartError(`${path} is not a host key (32 hexadecimal digits): remove it to get a new one`);
  return parsed.output;
}

/** The kernel's random id of this boot: pids of another boot mean nothing. */
export function currentBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "unknown";
  }
}

/** Whether the checkpoint is of this boot. {@link rememberBoot} follows once recovery is done, so that a crash between asks again. */
export function compareBoot({ bootId: path }: Paths, bootId = currentBootId()): "same-boot" | "other-boot" {
  const known = readIfThere(path)?.trim();
  return known === undefined || known === bootId ? "same-boot" : "other-boot";
}

export function rememberBoot({ bootId: path }: Paths, bootId = currentBootId()): void {
  if (readIfThere(path)?.trim() !== bootId) writeFileAtomically(path, `${bootId}\n`);
}
