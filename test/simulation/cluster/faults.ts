// The kinds of faults that a cluster meets, counted.
export const CLUSTER_FAULTS = [
  "leader-crash",
  "crash-between-effects",
  "restart",
  "second-instance",
  "forced-failover",
  "leader-cut-off",
  "clock-leap",
  "gateway-hibernation",
  "gateway-crash",
  "gateway-cut-off",
  "forgotten-socket",
  "call-lost",
  "burst",
  "answer-lost",
  "late-call",
  "overloaded",
  "late-alarm",
  "repeated-alarm",
  "deploy",
  "agent-kill",
  "agent-socket-lost",
  "host-loss",
  "disk-loss",
  "host-reboot",
  "host-cut-off",
  "cloned-disk",
  "framework-gone",
  "teardown",
  "marked-gone",
  "quota-changed",
  "weights-changed",
  "unregister",
  "ghost",
  "replica-crash",
] as const;
export type ClusterFault = (typeof CLUSTER_FAULTS)[number];

export class ClusterFaultCounts {
  readonly counts = Object.fromEntries(CLUSTER_FAULTS.map((kind) => [kind, 0])) as Record<ClusterFault, number>;

  count(kind: ClusterFault): void {
    this.counts[kind] += 1;
  }
}
