// Refusals: a framework in one role does not want again what it has declined of an agent. A filter is firm at first, so that offers and
// declines do not chase each other; after that it holds back only what it has seen [AL15].
import type { Millis } from "#base/time.ts";
import { contains, type ResourceSet } from "#resources/resources.ts";
import type { Agent, Allocator, Client, Filter, FilterEnds } from "./books.ts";

/** Filters of one client on one agent; beyond that the oldest is forgotten. A client refuses what grew again and again [HAZ T15]. */
export const FILTERS_MAX = 16;
/** Filters that went before their end and are still in the heap, before it is cleaned; and never while more than half are in use. */
const GONE_MAX = 1_024;

export function addFilter(
  a: Allocator,
  agent: Agent,
  client: Client,
  refused: ResourceSet,
  { until, firmUntil }: { readonly until: Millis; readonly firmUntil: Millis },
): void {
  let filters = agent.filters.get(client) ?? [];
  // One that holds back less and ends sooner says nothing more.
  const isMoot = (one: Filter): boolean =>
    one.until <= until && one.firmUntil <= firmUntil && contains(refused, one.refused);
  for (const one of filters.filter(isMoot)) forget(a, one);
  filters = filters.filter((one) => !one.isGone);
  const oldest = filters.length >= FILTERS_MAX ? filters.shift() : undefined;
  if (oldest !== undefined) forget(a, oldest);
  const filter: Filter = {
    agent,
    client,
    refused,
    until,
    firmUntil,
    isGone: false,
    seen: undefined,
    refusesAll: false,
  };
  filters.push(filter);
  agent.filters.set(client, filters);
  client.filterCount += 1;
  push(a.ends, firmUntil < until ? firmUntil : until, filter);
}

/** All of a client's. */
export function clearFiltersOf(a: Allocator, client: Client): void {
  if (client.filterCount === 0) return;
  for (const agent of a.agents.values()) clearFilters(a, agent, client);
}

/** All on an agent. */
export function clearFiltersOn(a: Allocator, agent: Agent): void {
  for (const client of [...agent.filters.keys()]) clearFilters(a, agent, client);
}

function clearFilters(a: Allocator, agent: Agent, client: Client): void {
  for (const filter of agent.filters.get(client) ?? []) forget(a, filter);
  agent.filters.delete(client);
}

/** Its entry in the heap stays until it comes up, or until there are too many of them. */
function forget(a: Allocator, filter: Filter): void {
  filter.isGone = true;
  filter.client.filterCount -= 1;
  a.ends.gone += 1;
  const { heap } = a.ends;
  if (a.ends.gone <= GONE_MAX || a.ends.gone * 2 <= heap.length) return;
  const inUse = heap.filter((one) => !one.filter.isGone);
  heap.length = 0;
  a.ends.gone = 0;
  // A sorted list is a heap.
  for (const one of inUse.toSorted((x, y) => x.at - y.at)) heap.push(one);
}

/** Whether a client does not even want the whole of what is free on an agent: `free`, with what is shared there. */
export function refusesWhole(filters: readonly Filter[], agent: Agent, now: Millis): boolean {
  return filters.some((filter) => {
    if (filter.firmUntil > now) return true;
    if (filter.seen !== agent.free) {
      filter.seen = agent.free;
      filter.refusesAll = contains(filter.refused, agent.free) && contains(filter.refused, agent.shared);
    }
    return filter.refusesAll;
  });
}

export const refuses = (filters: readonly Filter[], offer: ResourceSet): boolean =>
  filters.some(({ refused }) => contains(refused, offer));

/** Takes away what has ended, and says of which client on which agent something ended or is no longer firm. */
export function endFilters(a: Allocator, now: Millis, onEnd: (agent: Agent, client: Client) => void): void {
  const { ends } = a;
  for (let first = ends.heap[0]; first !== undefined && first.at <= now; first = ends.heap[0]) {
    pop(ends);
    const { filter } = first;
    if (filter.isGone) {
      ends.gone -= 1;
      continue;
    }
    const { agent, client } = filter;
    onEnd(agent, client);
    if (filter.until > now) {
      push(ends, filter.until, filter);
      continue;
    }
    client.filterCount -= 1;
    filter.isGone = true;
    const left = (agent.filters.get(client) ?? []).filter((one) => one !== filter);
    if (left.length === 0) agent.filters.delete(client);
    else agent.filters.set(client, left);
  }
}

/** When something of a filter next ends. */
export function nextEnd(a: Allocator): Millis | undefined {
  const { ends } = a;
  for (let first = ends.heap[0]; first !== undefined; first = ends.heap[0]) {
    if (!first.filter.isGone) return first.at;
    pop(ends);
    ends.gone -= 1;
  }
  return undefined;
}

function push({ heap }: FilterEnds, at: Millis, filter: Filter): void {
  const entry = { at, filter };
  heap.push(entry);
  let place = heap.length - 1;
  while (place > 0) {
    const above = (place - 1) >>> 1;
    const other = heap[above];
    if (other === undefined || other.at <= at) break;
    heap[place] = other;
    place = above;
  }
  heap[place] = entry;
}

function pop({ heap }: FilterEnds): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let place = 0;
  for (;;) {
    const [left, right] = [heap[2 * place + 1], heap[2 * place + 2]];
    const isRight = right !== undefined && left !== undefined && right.at < left.at;
    const below = isRight ? right : left;
    if (below === undefined || below.at >= last.at) break;
    heap[place] = below;
    place = 2 * place + (isRight ? 2 : 1);
  }
  heap[place] = last;
}
