// What an operator may set, under the names of Mesos' flags, with Mesos' defaults. Parsed from the environment by the shell; here are
// the values and what they mean.
import { type CallLimits, NO_LIMITS } from "./throttle.ts";

/** At most `permits` in each `perMs`. */
export interface RateLimit {
  readonly permits: number;
  readonly perMs: number;
}

export interface MasterSettings {
  /** False: write-only, as Mesos 0.19 ran by default. The registry records, and refuses nobody. */
  readonly strict: boolean;
  /** Time for an agent whose socket was lost, or is silent, to register again, ms. Source: Mesos agent_ping_timeout × max_agent_ping_timeouts. */
  readonly silenceMs: number;
  /** The same when it may not be the agent's fault: a new leader, a new gateway, a storm, ms. Source: Mesos agent_reregister_timeout. */
  readonly reregisterTimeoutMs: number;
  /** Share of the registry, 0 to 1, that may be missing when a new leader stops to wait. Source: Mesos recovery_agent_removal_limit. */
  readonly recoveryRemovalLimit: number;
  /** Marking agents unreachable. Undefined: no limit. Source: Mesos agent_removal_rate_limit, which has one bucket for both. */
  readonly unreachableRateLimit: RateLimit | undefined;
  /** Removing agents from the registry. Undefined: no limit. */
  readonly removalRateLimit: RateLimit | undefined;
  /** How often the lists of unreachable and gone agents are pruned, ms. Source: Mesos registry_gc_interval. */
  readonly gcIntervalMs: number;
  /** Age at which their entries are dropped, ms. Source: Mesos registry_max_agent_age. */
  readonly maxAgentAgeMs: number;
  /** Entries of each of them that are kept. Source: Mesos registry_max_agent_count. */
  readonly maxAgentCount: number;
  /** An offer that nobody has answered for so long is rescinded, ms. Undefined: never. Source: Mesos offer_timeout. */
  readonly offerTimeoutMs: number | undefined;
  /** The roles that frameworks may have besides `*`. Undefined: any valid one. Source: Mesos roles. */
  readonly roles: ReadonlySet<string> | undefined;
  /** Whether frameworks may run tasks as root. Source: Mesos root_submissions. */
  readonly rootSubmissions: boolean;
  /** Any one of these suffices to offer an agent: amounts in thousandths by resource name. Source: Mesos min_allocatable_resources. */
  readonly minAllocatable: readonly ReadonlyMap<string, number>[];
  /** Resources that say nothing of a framework's share. Source: Mesos fair_sharing_excluded_resource_names. */
  readonly fairSharingExcluded: readonly string[];
  /** Where the plane counts itself: agents elsewhere are offered to REGION_AWARE frameworks only. Source: Mesos domain. */
  readonly region: string | undefined;
  /** Source: Mesos rate_limits. */
  readonly callLimits: CallLimits;
}

export const DEFAULT_SETTINGS: MasterSettings = {
  strict: true,
  silenceMs: 75_000,
  reregisterTimeoutMs: 600_000,
  recoveryRemovalLimit: 1,
  unreachableRateLimit: undefined,
  removalRateLimit: undefined,
  gcIntervalMs: 900_000,
  maxAgentAgeMs: 1_209_600_000,
  maxAgentCount: 102_400,
  offerTimeoutMs: undefined,
  roles: undefined,
  rootSubmissions: true,
  minAllocatable: [new Map([["cpus", 10]]), new Map([["mem", 32_000]])],
  fairSharingExcluded: [],
  region: undefined,
  callLimits: NO_LIMITS,
};
