// Offers: made by the allocator, consumed once: accepted, declined, rescinded or discarded. A call touches its own
// framework's offers only [M12].
import { millis, type Millis } from "#base/time.ts";
import { present } from "#base/assert.ts";
import type { AgentId, FrameworkId, OfferId } from "#protocol/ids.ts";
import type { Resource } from "#protocol/resource.ts";
import type { Offer } from "#protocol/scheduler.ts";
import {
  add,
  contains,
  NOTHING,
  isEmpty,
  subtract,
  sum,
  toResources,
  withRole,
  type ResourceSet,
} from "#resources/resources.ts";
import { resourceSet } from "./resource-sets.ts";
import { total } from "./tally.ts";
import { allocate, type Candidate, type FreeAgent } from "./allocator/allocator.ts";
import { tell, type AgentRecord, type FrameworkRecord, type Master, type OfferRecord } from "./state.ts";

/** Seconds that a refusal holds when the framework does not say. Source: Mesos Filters.refuse_seconds. */
export const REFUSE_SECONDS_DEFAULT = 5;
/** Longest refusal: 365 days. Source: Mesos hierarchical allocator. */
export const REFUSE_SECONDS_MAX = 31_536_000;

/**
 * Shortest time before a framework is offered again what it declined, ms: its answer and our next offer must not chase
 * each other. Source: Mesos allocation_interval, which every refusal outlasts there.
 */
export const DECLINE_MS_MIN = 1_000;

/** How often the counter of offer ids is stored: no row for each offer. The next instance begins far beyond. */
const OFFER_IDS_NOTED = 100_000;

/** Offers in one event, so that a record stays far below what clients take. */
const OFFERS_IN_EVENT_MAX = 500;

/** Descriptions never change once they are in the books, and are asked for again and again: their sums are kept with them. */
const known = new WeakMap<object, ResourceSet>();

/** The resources of an agent as a set. */
export function resourcesOf(info: { readonly resources: readonly Resource[] }): ResourceSet {
  const found = known.get(info);
  if (found !== undefined) return found;
  const made = resourceSet(info.resources);
  known.set(info, made);
  return made;
}

const offerSum = (master: Master, which: (offer: OfferRecord) => boolean): ResourceSet =>
  sum([...master.offers.values()].filter(which).map(({ resources }) => resources));

/** What an agent's tasks hold. A task that has ended holds nothing. */
export function usedOn(master: Master, agentId: AgentId): ResourceSet {
  const used = master.usedByAgent.get(agentId);
  return used === undefined ? NOTHING : total(used);
}

export const usedBy = (framework: FrameworkRecord): ResourceSet => total(framework.used);

export const offeredTo = (master: Master, frameworkId: FrameworkId): ResourceSet =>
  offerSum(master, (offer) => offer.frameworkId === frameworkId);

export const offeredOn = (master: Master, agentId: AgentId): ResourceSet =>
  sum([...(master.offersByAgent.get(agentId) ?? [])].map(({ resources }) => resources));

/** Free on each agent: total − used − offered. An agent that uses more than its (changed) total has nothing free. */
function freeAgents(master: Master): readonly FreeAgent[] {
  const taken = new Map<AgentId, ResourceSet>();
  const take = (agentId: AgentId, resources: ResourceSet) =>
    taken.set(agentId, add(taken.get(agentId) ?? NOTHING, resources));
  for (const offer of master.offers.values()) take(offer.agentId, offer.resources);
  const free: FreeAgent[] = [];
  for (const agent of master.agents.values()) {
    if (agent.connection === undefined || agent.session === undefined) continue;
    const all = resourcesOf(agent.info);
    const used = add(usedOn(master, agent.agentId), taken.get(agent.agentId) ?? NOTHING);
    free.push({ agentId: agent.agentId, free: contains(all, used) ? subtract(all, used) : NOTHING });
  }
  return free;
}

/** Makes the offers that are due. Nothing runs when nothing changed. */
export function allocateDue(master: Master, now: Millis): void {
  if (!master.allocationDue) return;
  master.allocationDue = false;
  const candidates: Candidate[] = [];
  for (const framework of master.frameworks.values()) {
    if (framework.status.state !== "connected") continue;
    const filters = (master.filters.get(framework.id) ?? []).filter((filter) => filter.until > now);
    if (filters.length === 0) master.filters.delete(framework.id);
    else master.filters.set(framework.id, filters);
    candidates.push({
      frameworkId: framework.id,
      allocated: add(usedBy(framework), offeredTo(master, framework.id)),
      filters,
    });
  }
  if (candidates.length === 0) return;
  const here = [...master.agents.values()].filter(({ connection }) => connection !== undefined);
  const all = sum(here.map(({ info }) => resourcesOf(info)));
  const made = new Map<FrameworkId, Offer[]>();
  for (const { frameworkId, agentId, resources } of allocate(freeAgents(master), candidates, all, now)) {
    const id = `${master.masterId}-O${master.nextOffer++}` as OfferId;
    if (master.nextOffer % OFFER_IDS_NOTED === 0) master.marked.nextIds = true;
    const record: OfferRecord = { id, frameworkId, agentId, resources };
    addOffer(master, record);
    const framework = present(master.frameworks.get(frameworkId), "offered framework");
    const agent = present(master.agents.get(agentId), "offered agent");
    const offers = made.get(frameworkId) ?? [];
    offers.push(offerOf(framework, agent, record));
    made.set(frameworkId, offers);
  }
  for (const [frameworkId, offers] of made) {
    const framework = present(master.frameworks.get(frameworkId), "offered framework");
    for (let at = 0; at < offers.length; at += OFFERS_IN_EVENT_MAX) {
      tell(master, framework, { type: "OFFERS", offers: { offers: offers.slice(at, at + OFFERS_IN_EVENT_MAX) } });
    }
  }
}

/** The role under which a framework is offered resources: `roles[0]` with MULTI_ROLE, else `role`. */
export const roleOf = (framework: FrameworkRecord): string => framework.info.roles[0] ?? framework.info.role ?? "*";

export const isMultiRole = (framework: FrameworkRecord): boolean =>
  framework.info.capabilities.some((capability) => capability.type === "MULTI_ROLE");

function offerOf(framework: FrameworkRecord, agent: AgentRecord, offer: OfferRecord): Offer {
  const role = roleOf(framework);
  const multiRole = isMultiRole(framework);
  return {
    id: { value: offer.id },
    framework_id: { value: framework.id },
    agent_id: { value: agent.agentId },
    hostname: agent.info.hostname,
    url: {
      scheme: "http",
      // The agent takes no connections from outside: its API is reached through the plane.
      address: { hostname: agent.info.hostname, ip: "127.0.0.1", port: agent.info.port },
      path: "/slave(1)",
    },
    resources: toResources(offer.resources).map((resource) => ({
      ...withRole(resource),
      ...(multiRole ? { allocation_info: { role } } : {}),
    })),
    ...(agent.info.attributes.length === 0 ? {} : { attributes: agent.info.attributes }),
    ...(multiRole ? { allocation_info: { role } } : {}),
  };
}

function addOffer(master: Master, offer: OfferRecord): void {
  master.offers.set(offer.id, offer);
  const ofAgent = master.offersByAgent.get(offer.agentId);
  if (ofAgent === undefined) master.offersByAgent.set(offer.agentId, new Set([offer]));
  else ofAgent.add(offer);
}

/** The offer is consumed. */
export function dropOffer(master: Master, offer: OfferRecord): void {
  master.offers.delete(offer.id);
  const ofAgent = master.offersByAgent.get(offer.agentId);
  ofAgent?.delete(offer);
  if (ofAgent?.size === 0) master.offersByAgent.delete(offer.agentId);
}

/** The agent is not there (any more) as it was offered: whoever holds its offers hears RESCIND. */
export function rescindOffersOn(master: Master, agentId: AgentId): void {
  for (const offer of [...(master.offersByAgent.get(agentId) ?? [])]) removeOffer(master, offer, { rescind: true });
}

/** Takes an offer back without the framework's doing. It hears RESCIND when `rescind`, as long as it listens. */
export function removeOffer(master: Master, offer: OfferRecord, { rescind }: { readonly rescind: boolean }): void {
  dropOffer(master, offer);
  master.allocationDue = true;
  const framework = master.frameworks.get(offer.frameworkId);
  if (rescind && framework !== undefined)
    tell(master, framework, { type: "RESCIND", rescind: { offer_id: { value: offer.id } } });
}

export function removeOffersOf(
  master: Master,
  which: (offer: OfferRecord) => boolean,
  how: { readonly rescind: boolean },
): void {
  for (const offer of [...master.offers.values()]) if (which(offer)) removeOffer(master, offer, how);
}

/** The refusal of a call's `filters`: ms; 0 is none. */
export function refusalMs(refuseSeconds: number | undefined): number {
  if (refuseSeconds === undefined || refuseSeconds < 0 || !Number.isFinite(refuseSeconds))
    return REFUSE_SECONDS_DEFAULT * 1000;
  return Math.min(refuseSeconds, REFUSE_SECONDS_MAX) * 1000;
}

/** Returns `resources` of an agent to the pool, refused by the framework for a while. */
export function recover(
  master: Master,
  framework: FrameworkRecord,
  unused: { readonly agentId: AgentId; readonly resources: ResourceSet },
  { refuseMs, firmMs }: { readonly refuseMs: number; readonly firmMs: number },
  now: Millis,
): void {
  master.allocationDue = true;
  if (refuseMs === 0 || isEmpty(unused.resources)) return;
  const filters = master.filters.get(framework.id) ?? [];
  filters.push({ ...unused, until: millis(now + refuseMs), firmUntil: millis(now + firmMs) });
  master.filters.set(framework.id, filters);
}

/** When the soonest refusal ends or stops being firm, so that resources may be offered again. */
export function nextFilterEnd(master: Master, now: Millis): Millis | undefined {
  let soonest: Millis | undefined;
  for (const filters of master.filters.values()) {
    for (const { until, firmUntil } of filters) {
      for (const end of [until, firmUntil]) if (end > now && (soonest === undefined || end < soonest)) soonest = end;
    }
  }
  return soonest;
}

export function decline(
  master: Master,
  framework: FrameworkRecord,
  offerIds: readonly OfferId[],
  refuseSeconds: number | undefined,
  now: Millis,
): void {
  for (const id of offerIds) {
    const offer = master.offers.get(id);
    if (offer === undefined || offer.frameworkId !== framework.id) continue;
    dropOffer(master, offer);
    const refuseMs = Math.max(refusalMs(refuseSeconds), DECLINE_MS_MIN);
    recover(master, framework, offer, { refuseMs, firmMs: DECLINE_MS_MIN }, now);
  }
}
