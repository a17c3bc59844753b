// How long the list of an agent's resources may be: what the agent could not report when it registers again would keep it away for good.
// The agent asks this of its flags, the master and the agent of what operations would make.
import { utf8Length } from "#base/utf8.ts";
import { TOTAL_BYTES_MAX } from "#protocol/agent.ts";
import { RANGES_MAX, RESOURCES_MAX, type Resource } from "#protocol/resource.ts";
import { type Held, type ResourceSet, setOf, toResources } from "./resources.ts";

interface Size {
  readonly resources: number;
  /** Most of one resource. */
  readonly ranges: number;
  readonly bytes: number;
}

const measure = (resources: readonly Resource[]): Size => ({
  resources: resources.length,
  ranges: Math.max(0, ...resources.map(({ ranges }) => ranges?.range.length ?? 0)),
  bytes: utf8Length(JSON.stringify(resources)),
});

/** An operation leaves most pools as they are: their size is known. */
const sizes = new WeakMap<Held, Size>();

function sizeOf(held: Held): Size {
  const known = sizes.get(held);
  if (known !== undefined) return known;
  const size = measure(toResources(setOf([held])));
  sizes.set(held, size);
  return size;
}

function problemOf({ resources, ranges, bytes }: Size): string | undefined {
  if (ranges > RANGES_MAX) return `a resource may have at most ${RANGES_MAX} ranges`;
  if (resources > RESOURCES_MAX) return `an agent may have at most ${RESOURCES_MAX} different resources`;
  return bytes > TOTAL_BYTES_MAX
    ? `the list of an agent's resources may have at most ${TOTAL_BYTES_MAX} bytes of JSON`
    : undefined;
}

/** Why an agent may not have all of this, or undefined when it may. */
export function sizeProblem({ pools }: ResourceSet): string | undefined {
  let [resources, ranges, bytes] = [0, 0, 0];
  for (const held of pools.values()) {
    const size = sizeOf(held);
    resources += size.resources;
    ranges = Math.max(ranges, size.ranges);
    bytes += size.bytes;
  }
  return problemOf({ resources, ranges, bytes });
}

/** The same of a list as it would be reported. */
export const listProblem = (resources: readonly Resource[]): string | undefined => problemOf(measure(resources));
