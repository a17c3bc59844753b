// Names of roles: which are valid, and how they nest. `*` is the role of whoever has none, and of what is reserved for nobody.

/** Longest name of a role, letters. Mesos has no bound; a role is repeated in each resource that is reserved for it. */
export const ROLE_LETTERS_MAX = 255;
export const DEFAULT_ROLE = "*";

// White space, and everything that moves a cursor.
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\s\u0000-\u001f\u007f-\u009f]/;

/** Why a name may not be that of a role, or undefined when it may. Source: Mesos common/roles.cpp. */
export function roleProblem(role: string): string | undefined {
  if (role === DEFAULT_ROLE) return undefined;
  if (role === "") return "a role may not be empty";
  if (role.length > ROLE_LETTERS_MAX) return `a role may have at most ${ROLE_LETTERS_MAX} letters`;
  if (FORBIDDEN.test(role)) return "a role may not contain white space or control characters";
  for (const part of role.split("/")) {
    if (part === "") return `'${role}' is not a valid role: no part between slashes may be empty`;
    if (part === "." || part === ".." || part === DEFAULT_ROLE)
      return `'${role}' is not a valid role: '${part}' may not be a part of it`;
    if (part.startsWith("-")) return `'${role}' is not a valid role: no part of it may begin with '-'`;
  }
  return undefined;
}

/** Whether `child` is below `parent` in the hierarchy, at any depth. No role is below itself, and none below `*`. */
export const isStrictSubrole = (child: string, parent: string): boolean => child.startsWith(`${parent}/`);

/** The roles above a role, nearest first: of `a/b/c` these are `a/b` and `a`. */
export function ancestors(role: string): string[] {
  const above: string[] = [];
  for (let end = role.lastIndexOf("/"); end > 0; end = role.lastIndexOf("/", end - 1)) above.push(role.slice(0, end));
  return above;
}
