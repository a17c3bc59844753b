import { expect, test } from "vitest";
import { ancestors, isStrictSubrole, ROLE_LETTERS_MAX, roleProblem } from "#protocol/roles.ts";

test.each(["*", "a", "a/b", "a/b/c", "a.b", "...", "a-b", "a*", "\u00fc", "r".repeat(ROLE_LETTERS_MAX)])(
  "[M59] '%s' is a role",
  (role) => {
    expect(roleProblem(role)).toBeUndefined();
  },
);

test.each([
  ["", "empty"],
  [".", "'.'"],
  ["..", "'..'"],
  ["-a", "'-'"],
  ["a/-b", "'-'"],
  ["a/..", "'..'"],
  ["./a", "'.'"],
  ["*/a", "'*'"],
  ["a/*", "'*'"],
  ["/a", "empty"],
  ["a/", "empty"],
  ["a//b", "empty"],
  ["/", "empty"],
  ["a b", "white space"],
  ["a\tb", "white space"],
  ["a\b", "control"],
  ["a\u007f", "control"],
  ["a\u2003b", "white space"],
  ["r".repeat(ROLE_LETTERS_MAX + 1), "at most"],
])("[M59] %j is none", (role, why) => {
  expect(roleProblem(role)).toContain(why);
});

test("[M59] roles nest by their slashes", () => {
  expect(isStrictSubrole("a/b", "a")).toBe(true);
  expect(isStrictSubrole("a/b/c", "a")).toBe(true);
  for (const [child, parent] of [
    ["a", "a"],
    ["ab", "a"],
    ["a", "a/b"],
    ["a", "*"],
  ] as const)
    expect(isStrictSubrole(child, parent)).toBe(false);
  expect(ancestors("a/b/c")).toEqual(["a/b", "a"]);
  expect([ancestors("a"), ancestors("*")]).toEqual([[], []]);
});
