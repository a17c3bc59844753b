// What a framework wants of an agent before it is offered anything there: constraints on attributes, role by role. An agent suits when
// all constraints of one group hold. Source: Mesos offer_constraints_filter.cpp.
import { assert, unreachable } from "#base/assert.ts";
import type { AttributeConstraint, OfferConstraints } from "#protocol/offer-constraints.ts";
import type { Attribute } from "#protocol/resource.ts";
import { compilePattern, matchesWhole, type Pattern } from "./pattern.ts";

/** Constraints of one framework, in all its roles: each agent is held against them whenever it is looked at. Mesos has no such bound. */
export const CONSTRAINTS_MAX = 1_000;
/** Steps of all patterns among them: so much is done for each letter of what an agent says of itself. */
export const CONSTRAINT_STEPS_MAX = 2_000;

/** What constraints look at. */
export interface ConstrainedAgent {
  readonly hostname: string;
  readonly attributes: readonly Attribute[];
  readonly region: string | undefined;
  readonly zone: string | undefined;
}

/** Of one role; the groups. */
export type Constraints = readonly (readonly Constraint[])[];

interface Constraint {
  readonly of: (agent: ConstrainedAgent) => Attribute | string | undefined;
  readonly predicate: Predicate;
}

type Predicate =
  | { readonly type: "exists"; readonly isWanted: boolean }
  | { readonly type: "equals"; readonly isWanted: boolean; readonly value: string }
  | { readonly type: "matches"; readonly isWanted: boolean; readonly pattern: Pattern; readonly known: KnownMatches };

/** What a pattern said of a text: the same few texts are asked for agent by agent. */
type KnownMatches = Map<string, boolean>;
const KNOWN_MATCHES_MAX = 100;

export type CompiledConstraints =
  | { readonly type: "compiled"; readonly byRole: ReadonlyMap<string, Constraints> }
  | { readonly type: "refused"; readonly reason: string };

/**
 * Refuses, as Mesos does, what says nothing: a role without groups, a group without constraints, a selector or predicate that is none;
 * and what is too much.
 */
export function compileConstraints(constraints: OfferConstraints): CompiledConstraints {
  const byRole = new Map<string, Constraints>();
  let [count, steps] = [0, 0];
  for (const [role, { groups }] of Object.entries(constraints.role_constraints ?? {})) {
    if (groups.length === 0) return { type: "refused", reason: `offer constraints of role '${role}' have no group` };
    const compiled: Constraint[][] = [];
    for (const { attribute_constraints: members } of groups) {
      if (members.length === 0)
        return { type: "refused", reason: `offer constraints of role '${role}' have an empty group` };
      const group: Constraint[] = [];
      for (const member of members) {
        const constraint = compile(member);
        if (typeof constraint === "string")
          return { type: "refused", reason: `offer constraints of role '${role}': ${constraint}` };
        group.push(constraint);
        count += 1;
        if (constraint.predicate.type === "matches") steps += constraint.predicate.pattern.steps.length;
        if (count > CONSTRAINTS_MAX)
          return { type: "refused", reason: `there are more than ${CONSTRAINTS_MAX} offer constraints` };
        if (steps > CONSTRAINT_STEPS_MAX)
          return { type: "refused", reason: "the patterns of all offer constraints together are too large" };
      }
      compiled.push(group);
    }
    byRole.set(role, compiled);
  }
  return { type: "compiled", byRole };
}

/** Why constraints may not be used, or undefined when they may. */
export function constraintsProblem(constraints: OfferConstraints): string | undefined {
  const compiled = compileConstraints(constraints);
  return compiled.type === "refused" ? compiled.reason : undefined;
}

/** Of constraints without a {@link constraintsProblem}. */
export function constraintsByRole(constraints: OfferConstraints | undefined): ReadonlyMap<string, Constraints> {
  const compiled = compileConstraints(constraints ?? { role_constraints: undefined });
  assert(compiled.type === "compiled", "offer constraints are checked before they come here");
  return compiled.byRole;
}

export const suits = (constraints: Constraints, agent: ConstrainedAgent): boolean =>
  constraints.some((group) => group.every(({ of, predicate }) => isTrueOf(predicate, of(agent))));

function compile({ selector, predicate }: AttributeConstraint): Constraint | string {
  const { pseudoattribute_type: type, attribute_name: name } = selector;
  if ((type === undefined) === (name === undefined))
    return "a selector names either an attribute or one of HOSTNAME, REGION, ZONE";
  const compiled = compilePredicate(predicate);
  if (typeof compiled === "string") return compiled;
  // The first of several with one name counts.
  if (type === undefined)
    return { of: ({ attributes }) => attributes.find((one) => one.name === name), predicate: compiled };
  switch (type) {
    case "HOSTNAME":
      return { of: ({ hostname }) => hostname, predicate: compiled };
    case "REGION":
      return { of: ({ region }) => region, predicate: compiled };
    case "ZONE":
      return { of: ({ zone }) => zone, predicate: compiled };
    default:
      return unreachable(type);
  }
}

function compilePredicate(predicate: AttributeConstraint["predicate"]): Predicate | string {
  const { exists, not_exists, text_equals, text_not_equals, text_matches, text_not_matches } = predicate;
  const given = [exists, not_exists, text_equals, text_not_equals, text_matches, text_not_matches];
  if (given.filter((one) => one !== undefined).length !== 1) return "a constraint has exactly one predicate";
  const equals = text_equals ?? text_not_equals;
  if (equals !== undefined) return { type: "equals", isWanted: text_equals !== undefined, value: equals.value };
  const matches = text_matches ?? text_not_matches;
  if (matches === undefined) return { type: "exists", isWanted: exists !== undefined };
  const compiled = compilePattern(matches.regex);
  if (compiled.type === "refused") return compiled.reason;
  return { type: "matches", isWanted: text_matches !== undefined, pattern: compiled.pattern, known: new Map() };
}

function isTrueOf(predicate: Predicate, value: Attribute | string | undefined): boolean {
  if (predicate.type === "exists") return (value !== undefined) === predicate.isWanted;
  if (value === undefined) return !predicate.isWanted;
  const text = typeof value === "string" ? value : value.text?.value;
  // Of an attribute that is no text, anything that is asked of a text holds. Source: Mesos, as above.
  if (text === undefined) return true;
  if (predicate.type === "equals") return (text === predicate.value) === predicate.isWanted;
  return matches(predicate.pattern, predicate.known, text) === predicate.isWanted;
}

function matches(pattern: Pattern, known: KnownMatches, text: string): boolean {
  const before = known.get(text);
  if (before !== undefined) return before;
  const result = matchesWhole(pattern, text);
  if (known.size >= KNOWN_MATCHES_MAX) known.clear();
  known.set(text, result);
  return result;
}
