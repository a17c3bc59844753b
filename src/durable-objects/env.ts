// The bindings of the Worker, as wrangler.toml and `mesoflare start` set them.
import type { GatewayDO } from "./gateway-do.ts";
import type { MasterDO } from "./master-do.ts";
import type { ReplicaDO } from "./replica-do.ts";

export interface Env {
  readonly REPLICA: DurableObjectNamespace<ReplicaDO>;
  readonly MASTER: DurableObjectNamespace<MasterDO>;
  readonly GATEWAY: DurableObjectNamespace<GatewayDO>;
  /** Number of log replicas: "1", "3" or "5". */
  readonly REPLICAS?: string;
  /** A location hint for each replica, separated by commas, e.g. "wnam,enam,weur". */
  readonly REPLICA_HINTS?: string;
  /** Number of master candidates, "1" to "5". */
  readonly MASTERS?: string;
  /** A location hint for each candidate, separated by commas. */
  readonly MASTER_HINTS?: string;
  /** How long a leader must have been silent before another candidate takes its place, e.g. "10secs". */
  readonly LEADER_SILENCE?: string;
  /** Time between two pings of an agent, e.g. "15secs", and how many may be missing. */
  readonly AGENT_PING_TIMEOUT?: string;
  readonly MAX_AGENT_PING_TIMEOUTS?: string;
  /** Number of gateways; 500 to 1,000 agents each. */
  readonly GATEWAYS?: string;
  /** Where clients reach the plane, `host:port`, as `leader` and MasterInfo show it. */
  readonly ADVERTISE?: string;
  /** "false" opens the GET endpoints to everybody: for loopback only. */
  readonly AUTHENTICATE_HTTP_READONLY?: string;
  /** Secret: verifiers and roles of the principals (protocol/credentials.ts). Without it everybody is refused. */
  readonly CREDENTIALS?: string;
  /** "strict", the default, or "write-only": whether an agent that the registry does not know is refused. */
  readonly REGISTRY?: string;
  readonly AGENT_REREGISTER_TIMEOUT?: string;
  /** "50%": with more of the registry missing after a failover the master stops. Default 100%: never. */
  readonly RECOVERY_AGENT_REMOVAL_LIMIT?: string;
  /** "10/1mins": at most ten in each minute. Default: no limit. */
  readonly AGENT_REMOVAL_RATE_LIMIT?: string;
  readonly AGENT_UNREACHABLE_RATE_LIMIT?: string;
  readonly REGISTRY_GC_INTERVAL?: string;
  readonly REGISTRY_MAX_AGENT_AGE?: string;
  readonly REGISTRY_MAX_AGENT_COUNT?: string;
  /** "5mins": an offer that nobody has answered for so long is rescinded. Default: none. */
  readonly OFFER_TIMEOUT?: string;
  /** "web,batch": the only roles that frameworks may have besides `*`. Default: any. */
  readonly ROLES?: string;
  /** "false": no framework runs tasks as root. */
  readonly ROOT_SUBMISSIONS?: string;
  /** "cpus:0.01|mem:32": an agent is offered when it has as much as one of these free. */
  readonly MIN_ALLOCATABLE_RESOURCES?: string;
  /** "gpus": resources that do not count for fair shares, separated by commas. */
  readonly FAIR_SHARING_EXCLUDED_RESOURCE_NAMES?: string;
  /** The plane's own region, in Mesos' JSON of a DomainInfo. */
  readonly DOMAIN?: string;
  /** Calls that each principal may make, in Mesos' JSON of RateLimits. */
  readonly RATE_LIMITS?: string;
}
