// The bindings of the Worker, as wrangler.toml and `mesoflare start` set them.
import type { MasterSettingsEnv } from "./master-settings.ts";
import type { GatewayDO } from "./gateway-do.ts";
import type { MasterDO } from "./master-do.ts";
import type { ReplicaDO } from "./replica-do.ts";

export interface Env extends MasterSettingsEnv {
  readonly REPLICA: DurableObjectNamespace<ReplicaDO>;
  readonly MASTER: DurableObjectNamespace<MasterDO>;
  readonly GATEWAY: DurableObjectNamespace<GatewayDO>;
  /** Number of log replicas: "1", "3" or "5". */
  readonly REPLICAS?: string;
  /** A location hint for each replica, separated by commas, e.g. "wnam,enam,weur". */
  readonly REPLICA_HINTS?: string;
  readonly MASTER_HINT?: string;
  /** Number of gateways; 500 to 1,000 agents each. */
  readonly GATEWAYS?: string;
  /** Where clients reach the plane, `host:port`, as `leader` and MasterInfo show it. */
  readonly ADVERTISE?: string;
  /** "false" opens the GET endpoints to everybody: for loopback only. */
  readonly AUTHENTICATE_HTTP_READONLY?: string;
  /** Secret: verifiers and roles of the principals (protocol/credentials.ts). Without it everybody is refused. */
  readonly CREDENTIALS?: string;
}
