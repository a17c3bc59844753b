// Whose turn it is: dominant resource fairness among siblings, at each level of the tree of roles. A share is the largest part that
// somebody has of any kind of the cluster's scalars, divided by its weight. The lowest share comes first, then who had fewer
// allocations, then the name [AL10].
//
// The order of siblings is kept. Whoever changes is moved by two binary searches; a change of the cluster's total, which changes
// every share, leaves all orders to be sorted when they are next asked for.
import type { Allocator, Client, Leaf, Role } from "./books.ts";

type Sibling = Client | Leaf | Role;
type Branch = Leaf | Role;

export function shareOf({ total, excluded }: Pick<Allocator, "total" | "excluded">, one: Sibling): number {
  let share = 0;
  for (const [name, held] of one.held) {
    if (excluded.has(name)) continue;
    const all = total.get(name);
    if (all !== undefined && all > 0) share = Math.max(share, held / all);
  }
  return share / one.weight;
}

/** Both in their places: goes by what they were put there for. */
function compare(a: Sibling, b: Sibling): number {
  return (
    a.rankedShare - b.rankedShare || a.rankedTurns - b.rankedTurns || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  );
}

function rank(a: Allocator, one: Sibling): void {
  one.rankedShare = shareOf(a, one);
  one.rankedTurns = one.turns;
}

const siblingsOf = (branch: Branch): Sibling[] => branch.listed;

/** Those below a branch who may be offered something, in order. To be read at once: it is the allocator's own. */
export function inOrder(a: Allocator, branch: Branch): readonly Sibling[] {
  const siblings = siblingsOf(branch);
  if (branch.sortedFor !== a.sharesVersion) {
    for (const one of siblings) rank(a, one);
    siblings.sort(compare);
    branch.sortedFor = a.sharesVersion;
  }
  return siblings;
}

/** As {@link inOrder}, only those of them that are in `wanted`. */
export function someInOrder(a: Allocator, branch: Branch, wanted: ReadonlySet<Sibling>): readonly Sibling[] {
  const all = inOrder(a, branch);
  if (wanted.size > all.length / 8) return all.filter((one) => wanted.has(one));
  return [...wanted].filter((one) => one.isListed).toSorted(compare);
}

/** Where it is in a sorted list, or would be. */
function placeOf(siblings: readonly Sibling[], one: Sibling): number {
  let [from, to] = [0, siblings.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    const other = siblings[middle];
    if (other !== undefined && compare(other, one) < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** After a change of what it holds, of its turns or its weight. */
export function rerank(a: Allocator, one: Sibling): void {
  const { parent } = one;
  if (parent === undefined || !one.isListed || parent.sortedFor !== a.sharesVersion) return;
  const siblings = siblingsOf(parent);
  const before = placeOf(siblings, one);
  siblings.splice(before, 1);
  rank(a, one);
  siblings.splice(placeOf(siblings, one), 0, one);
}

/** It may be offered something from now on, and so may those above it. */
export function list(one: Sibling): void {
  const { parent } = one;
  if (parent === undefined || one.isListed) return;
  one.isListed = true;
  siblingsOf(parent).push(one);
  parent.sortedFor = -1;
  list(parent);
}

export function unlist(one: Sibling): void {
  const { parent } = one;
  if (parent === undefined || !one.isListed) return;
  one.isListed = false;
  const siblings = siblingsOf(parent);
  siblings.splice(siblings.indexOf(one), 1);
  if (siblings.length === 0) unlist(parent);
}
