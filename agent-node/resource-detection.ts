// What an agent offers when nobody says what: as Mesos detects it (reference §13).
import { cpus, totalmem } from "node:os";
import { statfsSync } from "node:fs";
import type { Resource } from "#protocol/resource.ts";

const MB = 1024 * 1024;

export interface HostFacts {
  readonly cpus: number;
  readonly memMb: number;
  readonly diskMb: number;
}

export function hostFacts(workDir: string): HostFacts {
  let diskMb = 10 * 1024;
  try {
    const { blocks, bsize } = statfsSync(workDir);
    diskMb = Math.floor((blocks * bsize) / MB);
  } catch {
    // Mesos' own guess when the disk cannot be asked.
  }
  return { cpus: Math.max(1, cpus().length), memMb: Math.floor(totalmem() / MB), diskMb };
}

/** All but 1 GB of memory and 5 GB of disk; half of them on a small host; ports 31000 to 32000. */
export function defaultResources(host: HostFacts): Resource[] {
  const mem = host.memMb >= 2048 ? host.memMb - 1024 : Math.floor(host.memMb / 2);
  const disk = host.diskMb >= 10 * 1024 ? host.diskMb - 5 * 1024 : Math.floor(host.diskMb / 2);
  return [
    { name: "cpus", type: "SCALAR", scalar: { value: host.cpus }, role: "*" },
    { name: "mem", type: "SCALAR", scalar: { value: mem }, role: "*" },
    { name: "disk", type: "SCALAR", scalar: { value: disk }, role: "*" },
    { name: "ports", type: "RANGES", ranges: { range: [{ begin: 31_000, end: 32_000 }] }, role: "*" },
  ];
}

/** What a person gave, and what was detected for the names that they left out. */
export function withDefaults(given: readonly Resource[], host: HostFacts): Resource[] {
  const names = new Set(given.map(({ name }) => name));
  return [...given, ...defaultResources(host).filter(({ name }) => !names.has(name))];
}
