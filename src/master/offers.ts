// Offers: made by the allocator, consumed once: accepted, declined, rescinded or discarded. A call touches its own
// framework's offers only [M12].
import { present } from "#base/assert.ts";
import { millis, type Millis } from "#base/time.ts";
import type { AgentId, FrameworkId, OfferId } from "#protocol/ids.ts";
import type { Offer } from "#protocol/scheduler.ts";
import { type ResourceSet, sum, toResources, withRole } from "#resources/resources.ts";
import { allocationHeldUntil, isMultiRole, isRefining, recover, type Refusal } from "./allocation.ts";
import { isDue, nextWake, run } from "./allocator/hierarchical.ts";
import { executorsOf } from "./executors.ts";
import type { AgentRecord, FrameworkRecord, Master, OfferRecord } from "./state.ts";
import { tell } from "./effects.ts";

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

export const offeredTo = (master: Master, frameworkId: FrameworkId): ResourceSet =>
  sum([...(master.offersByFramework.get(frameworkId) ?? [])].map(({ resources }) => resources));

export const offeredOn = (master: Master, agentId: AgentId): ResourceSet =>
  sum([...(master.offersByAgent.get(agentId) ?? [])].map(({ resources }) => resources));

/** Makes the offers that are due. Nothing runs when nothing changed. */
export function makeOffers(master: Master, now: Millis): void {
  if (allocationHeldUntil(master, now) !== undefined) return;
  const made = new Map<FrameworkId, Offer[]>();
  for (const { frameworkId, agentId, role, resources } of run(master.allocator, now)) {
    const id = `${master.masterId}-O${master.nextOffer++}` as OfferId;
    if (master.nextOffer % OFFER_IDS_NOTED === 0) master.marked.nextIds = true;
    const record: OfferRecord = { id, frameworkId, agentId, role, resources, madeAt: now };
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

function offerOf({ id, info }: FrameworkRecord, agent: AgentRecord, offer: OfferRecord): Offer {
  const { hostname, port, attributes, domain } = agent.info;
  const allocation = isMultiRole(info) ? { allocation_info: { role: offer.role } } : {};
  const resources = toResources(offer.resources);
  const executors = executorsOf(agent, id);
  return {
    id: { value: offer.id },
    framework_id: { value: id },
    agent_id: { value: agent.agentId },
    hostname,
    // The agent takes no connections from outside: its API is reached through the plane.
    url: { scheme: "http", address: { hostname, ip: "127.0.0.1", port }, path: "/slave(1)" },
    ...(domain === undefined ? {} : { domain }),
    resources: (isRefining(info) ? resources : resources.map(withRole)).map((one) => ({ ...one, ...allocation })),
    ...(attributes.length === 0 ? {} : { attributes }),
    ...(executors.length === 0 ? {} : { executor_ids: executors.map(({ executorId }) => ({ value: executorId })) }),
    ...allocation,
  };
}

function addOffer(master: Master, offer: OfferRecord): void {
  master.offers.set(offer.id, offer);
  addTo(master.offersByAgent, offer.agentId, offer);
  addTo(master.offersByFramework, offer.frameworkId, offer);
}

function addTo<K>(sets: Map<K, Set<OfferRecord>>, key: K, offer: OfferRecord): void {
  const found = sets.get(key);
  if (found === undefined) sets.set(key, new Set([offer]));
  else found.add(offer);
}

function dropFrom<K>(sets: Map<K, Set<OfferRecord>>, key: K, offer: OfferRecord): void {
  const found = sets.get(key);
  found?.delete(offer);
  if (found?.size === 0) sets.delete(key);
}

/** The offer is consumed. What it held stays allocated: the caller says what becomes of it. */
export function dropOffer(master: Master, offer: OfferRecord): void {
  master.offers.delete(offer.id);
  dropFrom(master.offersByAgent, offer.agentId, offer);
  dropFrom(master.offersByFramework, offer.frameworkId, offer);
}

/** The agent is not there (any more) as it was offered: whoever holds its offers hears RESCIND. */
export function rescindOffersOn(master: Master, agentId: AgentId): void {
  for (const offer of [...(master.offersByAgent.get(agentId) ?? [])]) removeOffer(master, offer, { rescind: true });
}

/** Takes an offer back without the framework's doing. It hears RESCIND when `rescind`, as long as it listens. */
export function removeOffer(master: Master, offer: OfferRecord, { rescind }: { readonly rescind: boolean }): void {
  dropOffer(master, offer);
  recover(master, offer);
  const framework = master.frameworks.get(offer.frameworkId);
  if (rescind && framework !== undefined)
    tell(master, framework, { type: "RESCIND", rescind: { offer_id: { value: offer.id } } });
}

/** All offers of a framework, or those of some of its roles. */
export function removeOffersTo(
  master: Master,
  frameworkId: FrameworkId,
  how: { readonly rescind: boolean },
  isMeant: (role: string) => boolean = () => true,
): void {
  for (const offer of [...(master.offersByFramework.get(frameworkId) ?? [])])
    if (isMeant(offer.role)) removeOffer(master, offer, how);
}

/** Rescinds offers that nobody answered for `offerTimeoutMs`. */
export function rescindStale(master: Master, now: Millis): void {
  const { offerTimeoutMs } = master.settings;
  if (offerTimeoutMs === undefined) return;
  // Offers are made in the order of their times.
  for (const offer of [...master.offers.values()]) {
    if (offer.madeAt + offerTimeoutMs > now) return;
    removeOffer(master, offer, { rescind: true });
  }
}

/** When offers must be looked at without anybody's doing: a refusal ends, an offer has waited for too long, or some could not be made yet. */
export function nextOfferWake(master: Master, now: Millis): Millis | undefined {
  const due: Millis[] = [];
  const heldUntil = allocationHeldUntil(master, now);
  const refusal = isDue(master.allocator, now) ? now : nextWake(master.allocator, now);
  if (refusal !== undefined) due.push(heldUntil ?? refusal);
  const { offerTimeoutMs } = master.settings;
  const [oldest] = master.offers.values();
  if (offerTimeoutMs !== undefined && oldest !== undefined) due.push(millis(oldest.madeAt + offerTimeoutMs));
  return due.length === 0 ? undefined : millis(Math.min(...due));
}

/** The refusal of an ACCEPT's `filters`; undefined for none: the rest is offered again at once. */
export function refusal(refuseSeconds: number | undefined, now: Millis): Refusal | undefined {
  const refuseMs = refusalMs(refuseSeconds);
  return refuseMs === 0 ? undefined : { until: millis(now + refuseMs), firmUntil: now };
}

function refusalMs(refuseSeconds: number | undefined): number {
  if (refuseSeconds === undefined || refuseSeconds < 0 || !Number.isFinite(refuseSeconds))
    return REFUSE_SECONDS_DEFAULT * 1000;
  return Math.min(refuseSeconds, REFUSE_SECONDS_MAX) * 1000;
}

export function decline(
  master: Master,
  framework: FrameworkRecord,
  offerIds: readonly OfferId[],
  refuseSeconds: number | undefined,
  now: Millis,
): void {
  const refuseMs = Math.max(refusalMs(refuseSeconds), DECLINE_MS_MIN);
  for (const id of offerIds) {
    const offer = master.offers.get(id);
    if (offer === undefined || offer.frameworkId !== framework.id) continue;
    dropOffer(master, offer);
    recover(master, offer, { until: millis(now + refuseMs), firmUntil: millis(now + DECLINE_MS_MIN) });
  }
}
