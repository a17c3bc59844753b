// The shipped shells, loaded as they are: `cloudflare:workers` is replaced by a module with the two base classes. They are loaded by
// Node itself, also in a test runner, so that there is one copy of each module and nothing between them and the simulation.
import type { Millis } from "#base/time.ts";
import { createRequire, registerHooks } from "node:module";
import type { AgentId, Epoch, Principal } from "#protocol/ids.ts";
import type {
  Announcement,
  AnnouncementAnswer,
  BatchAnswer,
  CheckIn,
  CheckInAnswer,
  DeliveryItem,
  GatewayBatch,
} from "#protocol/gateway.ts";
import type { KnownLeader, Leadership, NotLeading } from "#protocol/leadership.ts";
import type { CallRequest } from "../../../src/master/calls.ts";
import type { CallAnswer, Master } from "../../../src/master/state.ts";
import type { QuotaChange } from "../../../src/master/quota.ts";
import type { Weight } from "../../../src/registrar/registry.ts";
import type { ObjectResponse } from "./isolate.ts";

/** MasterDO as its callers see it; its own type needs the platform's. */
export interface MasterObject {
  alarm(): Promise<void>;
  leadership(): Promise<Leadership>;
  stand(insteadOf: Epoch): Promise<Leadership>;
  failover(): Promise<Leadership>;
  defend(): Promise<Leadership>;
  hearOf(leader: KnownLeader): Promise<void>;
  checkIn(checkIn: CheckIn): Promise<CheckInAnswer>;
  fromGateway(batch: GatewayBatch): Promise<BatchAnswer>;
  call(request: CallRequest): Promise<CallAnswer | NotLeading>;
  updateQuota(change: QuotaChange, by: Principal): Promise<CallAnswer | NotLeading>;
  updateWeights(infos: readonly Weight[], by: Principal): Promise<CallAnswer | NotLeading>;
  markAgentGone(agentId: AgentId, by: Principal | "operator"): Promise<CallAnswer | NotLeading>;
  fetch(request: { json(): Promise<unknown> }): Promise<ObjectResponse>;
}
export interface GatewayObject {
  alarm(): Promise<void>;
  fetch(request: { readonly url: string }): Promise<ObjectResponse>;
  webSocketMessage(socket: unknown, frame: string): Promise<void>;
  webSocketClose(socket: unknown): void;
  deliver(items: readonly DeliveryItem[]): void;
  announce(announcement: Announcement): AnnouncementAnswer;
}

type ObjectClass<T> = new (context: unknown, env: unknown) => T;

interface Finder<Stub> {
  read<T>(call: (leader: Stub) => Promise<T>): Promise<T | NotLeading>;
  write<T>(call: (leader: Stub) => Promise<T>): Promise<T | NotLeading>;
}
type FinderClass = new <Stub extends { stand(insteadOf: Epoch): Promise<Leadership> }>(options: {
  readonly candidates: readonly string[];
  readonly stub: (candidate: string) => Stub;
  readonly now: () => Millis;
}) => Finder<Stub>;

/** Of Candidate: whether it leads, and since when that is known. */
export type Lead = (this: unknown, since?: number) => Promise<Leadership>;

/** The tables' methods that the simulation looks into, and with which rules are broken. */
export interface Tables {
  load: (this: Tables, master: Master) => void;
  save: (this: Tables, master: Master) => void;
  beginEpoch: (this: Tables, epoch: unknown) => void;
  setMeta: (this: Tables, name: string, value: unknown) => void;
}

const WORKERS = `data:text/javascript,${encodeURIComponent(
  "export class DurableObject { constructor(ctx, env) { this.ctx = ctx; this.env = env; } }\nexport class WorkerEntrypoint extends DurableObject {}\n",
)}`;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "cloudflare:workers"
      ? { url: WORKERS, format: "module", shortCircuit: true }
      : next(specifier, context),
});

const load = createRequire(import.meta.url);
const { MasterDO } = load("../../../src/durable-objects/master-do.ts") as { MasterDO: ObjectClass<MasterObject> };
const { GatewayDO } = load("../../../src/durable-objects/gateway-do.ts") as { GatewayDO: ObjectClass<GatewayObject> };
const { MasterTables } = load("../../../src/durable-objects/master-tables.ts") as {
  MasterTables: { readonly prototype: Tables };
};
const { Candidate } = load("../../../src/durable-objects/candidate.ts") as {
  Candidate: { readonly prototype: { lead: Lead } };
};
const { LeaderFinder } = load("../../../src/master/leader-finder.ts") as { LeaderFinder: FinderClass };

export { Candidate, GatewayDO, LeaderFinder, MasterDO, MasterTables };
