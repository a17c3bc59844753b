// Weights of roles: which updates may be asked of the registry (tasks-offers-and-operators §14).
import { roleProblem } from "#protocol/roles.ts";
import { type Weight, WEIGHT_MAX, WEIGHT_MIN, WEIGHTS_MAX } from "#registrar/registry.ts";

/** Of a role that nobody has given one. */
export const WEIGHT_DEFAULT = 1;

/** [M56] Why an update may not be made, or undefined when it may. */
export function weightsProblem(infos: readonly Weight[]): string | undefined {
  if (infos.length > WEIGHTS_MAX) return `at most ${WEIGHTS_MAX} roles may have a weight`;
  const seen = new Set<string>();
  for (const { role, weight } of infos) {
    const problem = roleProblem(role);
    if (problem !== undefined) return problem;
    if (seen.has(role)) return `the role '${role}' is named twice`;
    seen.add(role);
    // Also what is no number at all: no comparison with it is true.
    if (!(weight >= WEIGHT_MIN && weight <= WEIGHT_MAX))
      return `the weight of '${role}' must be above 0, from ${WEIGHT_MIN} to ${WEIGHT_MAX}, not ${weight}`;
  }
  return undefined;
}
