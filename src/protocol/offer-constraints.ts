// What a framework wants of agents before it is offered them at all, role by role.
import * as v from "valibot";
import { list, map, optional, optionalName, text } from "./json.ts";

/** Roles, groups of one role, and constraints of one group that one framework may have. */
export const CONSTRAINED_ROLES_MAX = 64;
export const CONSTRAINT_GROUPS_MAX = 64;
export const GROUP_CONSTRAINTS_MAX = 64;
const value = text(1024);

const attributeConstraint = v.object({
  /** An attribute by its name, or what every agent has. Neither is refused by whoever reads it, as is a type we do not know. */
  selector: v.object({
    pseudoattribute_type: optionalName(["HOSTNAME", "REGION", "ZONE"]),
    attribute_name: optional(value),
  }),
  predicate: v.object({
    exists: optional(v.object({})),
    not_exists: optional(v.object({})),
    text_equals: optional(v.object({ value })),
    text_not_equals: optional(v.object({ value })),
    text_matches: optional(v.object({ regex: value })),
    text_not_matches: optional(v.object({ regex: value })),
  }),
});
export type AttributeConstraint = v.InferOutput<typeof attributeConstraint>;

export const offerConstraintsSchema = v.object({
  role_constraints: map(
    v.object({
      groups: list(
        v.object({ attribute_constraints: list(attributeConstraint, GROUP_CONSTRAINTS_MAX) }),
        CONSTRAINT_GROUPS_MAX,
      ),
    }),
    CONSTRAINED_ROLES_MAX,
  ),
});
/** An agent suits a role when all constraints of one of its groups hold, or when the role has none. */
export type OfferConstraints = v.InferOutput<typeof offerConstraintsSchema>;
