// How several local agents share one machine: each gets an equal part, in Mesos' flag form.

/** Memory that Mesos leaves to the system on a host with more than twice as much, MB. Source: Mesos slave/containerizer. */
const SYSTEM_MEM_MB = 1024;
/** Mesos' default range of task ports. */
const PORTS = { begin: 31_000, end: 32_000 };

export interface Host {
  readonly cpus: number;
  /** Megabytes. */
  readonly memMb: number;
}

/** The resources of agent `index` (0 is the first) of `agents`; undefined for an agent alone, which finds out itself. */
export function shareOf({ cpus, memMb }: Host, index: number, agents: number): string | undefined {
  if (agents === 1) return undefined;
  const usableMb = memMb > 2 * SYSTEM_MEM_MB ? memMb - SYSTEM_MEM_MB : memMb / 2;
  const ports = Math.floor((PORTS.end - PORTS.begin + 1) / agents);
  const begin = PORTS.begin + index * ports;
  const cpuShare = Math.floor((cpus * 1000) / agents) / 1000;
  return `cpus:${cpuShare};mem:${Math.floor(usableMb / agents)};ports:[${begin}-${begin + ports - 1}]`;
}
