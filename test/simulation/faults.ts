// The kinds of faults that a simulation makes, counted.
export const FAULT_KINDS = [
  "lost",
  "late",
  "duplicated",
  "error",
  "partition",
  "one-way-partition",
  "pause",
  "crash",
  "crash-before-store",
  "crash-after-store",
  "new-instance",
  "second-instance",
  "damage",
  "damaged-metadata",
  "lost-storage",
  "restore",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export class FaultCounts {
  readonly counts: Record<FaultKind, number>;

  constructor() {
    this.counts = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
  }

  count(kind: FaultKind): void {
    this.counts[kind] += 1;
  }
}
