import { expect, test } from "vitest";
import type { AttributeConstraint } from "#protocol/offer-constraints.ts";
import { parseAttributes } from "#resources/text.ts";
import {
  compileConstraints,
  CONSTRAINT_STEPS_MAX,
  CONSTRAINTS_MAX,
} from "../../../src/master/allocator/constraints.ts";
import { constraintsProblem, updateAgent } from "../../../src/master/allocator/hierarchical.ts";
import { agentId, SmallCluster } from "./small-cluster.ts";

type Predicate = AttributeConstraint["predicate"];
const NO_PREDICATE: Predicate = {
  exists: undefined,
  not_exists: undefined,
  text_equals: undefined,
  text_not_equals: undefined,
  text_matches: undefined,
  text_not_matches: undefined,
};
const of = (name: string, predicate: Partial<Predicate>): AttributeConstraint => ({
  selector: { attribute_name: name, pseudoattribute_type: undefined },
  predicate: { ...NO_PREDICATE, ...predicate },
});
const ofAgent = (type: "HOSTNAME" | "REGION" | "ZONE", predicate: Partial<Predicate>): AttributeConstraint => ({
  selector: { attribute_name: undefined, pseudoattribute_type: type },
  predicate: { ...NO_PREDICATE, ...predicate },
});

/** Which of some agents are offered to a framework with constraints: all of one group. */
function suited(...constraints: readonly AttributeConstraint[]): readonly string[] {
  const cluster = new SmallCluster()
    .agent("none", "cpus:1")
    .agent("x", "cpus:1", { attributes: "rack:x" })
    .agent("xyz", "cpus:1", { attributes: "rack:xyz" })
    .agent("first", "cpus:1", { attributes: "os:linux" })
    .agent("number", "cpus:1", { attributes: "rack:7" });
  updateAgent(cluster.allocator, agentId("first"), { attributes: attributes("rack:x", "rack:y") });
  cluster.framework("f", ["*"], { constraints: { "*": [constraints] } });
  return cluster.run().map((line) => line.split(" ")[0] ?? "");
}
const attributes = (...texts: readonly string[]) =>
  texts.flatMap((text) => {
    const parsed = parseAttributes(text);
    return parsed.type === "parsed" ? parsed.value : [];
  });

test.each<readonly [string, AttributeConstraint, readonly string[]]>([
  ["Exists", of("rack", { exists: {} }), ["first", "number", "x", "xyz"]],
  ["NotExists", of("rack", { not_exists: {} }), ["none"]],
  ["TextEquals", of("rack", { text_equals: { value: "x" } }), ["first", "number", "x"]],
  ["TextNotEquals", of("rack", { text_not_equals: { value: "x" } }), ["none", "number", "xyz"]],
  ["TextMatches", of("rack", { text_matches: { regex: "x.?" } }), ["first", "number", "x"]],
  ["TextNotMatches", of("rack", { text_not_matches: { regex: "x.?" } }), ["none", "number", "xyz"]],
  ["HOSTNAME", ofAgent("HOSTNAME", { text_matches: { regex: "x.*\\.example" } }), ["x", "xyz"]],
  [
    "REGION that is not there",
    ofAgent("REGION", { text_not_equals: { value: "x" } }),
    ["first", "none", "number", "x", "xyz"],
  ],
])("[AL25] %s", (_, constraint, expected) => {
  expect(suited(constraint)).toEqual(expected);
});

test("[AL25] all constraints of one group must hold", () => {
  expect(suited(of("rack", { exists: {} }), of("rack", { text_not_equals: { value: "x" } }))).toEqual([
    "number",
    "xyz",
  ]);
});

test("[AL25] one group of several suffices", () => {
  const cluster = new SmallCluster()
    .agent("a", "cpus:1", { region: "here", zone: "1" })
    .agent("b", "cpus:1", { region: "here", zone: "2" })
    .agent("c", "cpus:1", { region: "there", zone: "2" })
    .framework("f", ["*"], {
      constraints: {
        "*": [
          [ofAgent("REGION", { text_equals: { value: "there" } })],
          [ofAgent("ZONE", { text_equals: { value: "1" } })],
        ],
      },
    });
  expect(cluster.run()).toEqual(["a f * cpus:1", "c f * cpus:1"]);
});

test("[AL25] constraints are one role's; without any for a role every agent suits it", () => {
  const cluster = new SmallCluster()
    .agent("a", "cpus:1")
    .framework("f", ["web", "batch"], { constraints: { web: [[of("rack", { exists: {} })]] } });
  expect(cluster.run()).toEqual(["a f batch cpus:1"]);
});

test("[AL25] other constraints, or other attributes of the agent, count from then on", () => {
  const constraints = { "*": [[of("rack", { text_equals: { value: "x" } })]] };
  const cluster = new SmallCluster().agent("a", "cpus:1").framework("f", ["*"], { constraints });
  expect(cluster.run()).toEqual([]);
  updateAgent(cluster.allocator, agentId("a"), { attributes: attributes("rack:x") });
  expect(cluster.run()).toEqual(["a f * cpus:1"]);
  updateAgent(cluster.allocator, agentId("a"), { attributes: attributes("rack:y") });
  cluster.recover("f");
  expect(cluster.run()).toEqual([]);
  cluster.update("f", ["*"]);
  expect(cluster.run()).toEqual(["a f * cpus:1"]);
});

test("[AL25] constraints that say nothing are refused", () => {
  const refused = (constraint: AttributeConstraint): string | undefined =>
    constraintsProblem({ role_constraints: { web: { groups: [{ attribute_constraints: [constraint] }] } } });
  expect(refused(of("rack", {}))).toContain("exactly one predicate");
  expect(refused(of("rack", { exists: {}, not_exists: {} }))).toContain("exactly one predicate");
  const both = { attribute_name: "rack", pseudoattribute_type: "ZONE" as const };
  expect(refused({ ...of("rack", { exists: {} }), selector: both })).toContain("selector");
  const neither = { attribute_name: undefined, pseudoattribute_type: undefined };
  expect(refused({ ...of("rack", { exists: {} }), selector: neither })).toContain("selector");
  expect(refused(of("rack", { text_matches: { regex: "(" } }))).toContain("not a pattern");
  expect(constraintsProblem({ role_constraints: { web: { groups: [] } } })).toContain("no group");
  expect(constraintsProblem({ role_constraints: { web: { groups: [{ attribute_constraints: [] }] } } })).toContain(
    "empty",
  );
  expect(refused(of("rack", { exists: {} }))).toBeUndefined();
});

test("[AL26] constraints of one framework have a bound together, in all its roles", () => {
  const many = (count: number, constraint: AttributeConstraint) => ({
    role_constraints: Object.fromEntries(
      Array.from({ length: Math.ceil(count / 50) }, (_, n) => [
        `role-${n}`,
        { groups: [{ attribute_constraints: Array.from({ length: Math.min(50, count - 50 * n) }, () => constraint) }] },
      ]),
    ),
  });
  const plain = of("rack", { exists: {} });
  expect(compileConstraints(many(CONSTRAINTS_MAX, plain)).type).toBe("compiled");
  expect(compileConstraints(many(CONSTRAINTS_MAX + 1, plain)).type).toBe("refused");
  const pattern = of("rack", { text_matches: { regex: "x{99}" } });
  expect(compileConstraints(many(CONSTRAINT_STEPS_MAX / 100, pattern)).type).toBe("compiled");
  expect(compileConstraints(many(CONSTRAINT_STEPS_MAX / 100 + 1, pattern)).type).toBe("refused");
});
