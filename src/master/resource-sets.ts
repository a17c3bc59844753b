// Resources that are written alike are one object: of a hundred thousand tasks most ask for the same, and an agent like its neighbour
// has the same. The table forgets what nobody holds.
import type { Resource } from "#protocol/resource.ts";
import { fromResources, resourcesObject, type ResourceSet, toResources } from "#resources/resources.ts";

/** Entries at which those that nobody holds any more are first dropped. */
const SWEEP_MIN = 1_024;

const table = new Map<string, WeakRef<ResourceSet>>();
const texts = new WeakMap<ResourceSet, string>();
let sweepAt = SWEEP_MIN;

export function resourceSet(resources: readonly Resource[]): ResourceSet {
  const text = JSON.stringify(resources);
  return table.get(text)?.deref() ?? enter(text, fromResources(resources));
}

/** Reads {@link resourcesText} back. */
export function resourceSetOf(text: string): ResourceSet {
  return table.get(text)?.deref() ?? enter(text, fromResources(JSON.parse(text) as Resource[]));
}

/** The resources as JSON, for a row. */
export function resourcesText(set: ResourceSet): string {
  return texts.get(set) ?? JSON.stringify(toResources(set));
}

function enter(text: string, set: ResourceSet): ResourceSet {
  if (table.size >= sweepAt) {
    for (const [key, reference] of table) if (reference.deref() === undefined) table.delete(key);
    // In proportion to what is held: sweeping stays cheap.
    sweepAt = Math.max(SWEEP_MIN, 2 * table.size);
  }
  table.set(text, new WeakRef(set));
  texts.set(set, text);
  return set;
}

const shown = new WeakMap<ResourceSet, string>();

/** The resources object of Mesos' HTTP endpoints, as JSON. */
export function resourcesObjectText(set: ResourceSet): string {
  let text = shown.get(set);
  if (text === undefined) shown.set(set, (text = JSON.stringify(resourcesObject(set))));
  return text;
}
