// How long the list of an agent's resources may become by operations: what the agent could not report when it registers again would
// keep it away for good.
import { TOTAL_LETTERS_MAX } from "#protocol/agent.ts";
import { RANGES_MAX, RESOURCES_MAX } from "#protocol/resource.ts";
import { type Held, type ResourceSet, setOf, toResources } from "./resources.ts";

interface Size {
  readonly resources: number;
  /** Most of one resource. */
  readonly ranges: number;
  readonly letters: number;
}

/** An operation leaves most pools as they are: their size is known. */
const sizes = new WeakMap<Held, Size>();

function sizeOf(held: Held): Size {
  const known = sizes.get(held);
  if (known !== undefined) return known;
  const resources = toResources(setOf([held]));
  const ranges = Math.max(0, ...resources.map((resource) => resource.ranges?.range.length ?? 0));
  const size = { resources: resources.length, ranges, letters: JSON.stringify(resources).length };
  sizes.set(held, size);
  return size;
}

/** Why an agent may not have all of this, or undefined when it may. */
export function sizeProblem({ pools }: ResourceSet): string | undefined {
  let [resources, letters] = [0, 0];
  for (const held of pools.values()) {
    const size = sizeOf(held);
    if (size.ranges > RANGES_MAX) return `a resource may have at most ${RANGES_MAX} ranges`;
    resources += size.resources;
    letters += size.letters;
  }
  if (resources > RESOURCES_MAX) return `an agent may have at most ${RESOURCES_MAX} different resources`;
  return letters > TOTAL_LETTERS_MAX
    ? `the list of an agent's resources may have at most ${TOTAL_LETTERS_MAX} letters of JSON`
    : undefined;
}
