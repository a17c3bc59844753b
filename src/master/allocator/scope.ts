// Which part of the tree of roles is walked for an agent: a way from the root to each of those who could have something of it.
// Without a scope everybody is.
import type { Allocator, Client, Leaf, Role } from "./books.ts";
import { inOrder, someInOrder } from "./order.ts";

type Sibling = Client | Leaf | Role;
type Branch = Leaf | Role;

/** What is wanted below a branch: some of its children, or everything. A branch that is not named is not walked. */
export type Scope = Map<Branch, Set<Sibling> | "everything">;

/** The client, and the way to it. */
export function addClient(scope: Scope, client: Client): void {
  let below: Sibling = client;
  for (let above: Branch | undefined = client.parent; above !== undefined; above = above.parent) {
    const known = scope.get(above);
    if (known === "everything") return;
    if (known === undefined) scope.set(above, new Set([below]));
    else known.add(below);
    below = above;
  }
}

/** The role and all below it, and the way to it. */
export function addRole(scope: Scope, role: Role): void {
  let below: Sibling = role;
  for (let above = role.parent; above !== undefined; above = above.parent) {
    const known = scope.get(above);
    if (known === "everything") return;
    if (known === undefined) scope.set(above, new Set([below]));
    else known.add(below);
    below = above;
  }
  scope.set(role, "everything");
}

/** What is below a branch and in both scopes, in order. */
export function wantedBelow(
  a: Allocator,
  branch: Branch,
  first: Scope | undefined,
  second: Scope | undefined,
): readonly Sibling[] {
  const one = first === undefined ? "everything" : first.get(branch);
  const other = second === undefined ? "everything" : second.get(branch);
  if (one === undefined || other === undefined) return [];
  if (one === "everything") return other === "everything" ? inOrder(a, branch) : someInOrder(a, branch, other);
  if (other === "everything") return someInOrder(a, branch, one);
  return someInOrder(a, branch, new Set([...one].filter((sibling) => other.has(sibling))));
}

/** What is left of a scope below a branch: nothing restricts where everything is wanted. */
export const within = (scope: Scope | undefined, branch: Branch): Scope | undefined =>
  scope?.get(branch) === "everything" ? undefined : scope;
