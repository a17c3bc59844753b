import * as fc from "fast-check";
import { expect, test } from "vitest";
import { compilePattern, matchesWhole, PATTERN_STEPS_MAX } from "../../../src/master/allocator/pattern.ts";

function matches(regex: string, text: string): boolean {
  const compiled = compilePattern(regex);
  if (compiled.type === "refused") throw new Error(compiled.reason);
  return matchesWhole(compiled.pattern, text);
}

test.each<readonly [regex: string, matching: readonly string[], others: readonly string[]]>([
  ["", [""], ["a"]],
  ["abc", ["abc"], ["ab", "abcd", "xabc"]],
  ["a|bc|", ["a", "bc", ""], ["abc", "b"]],
  ["a*b+c?", ["b", "aabb", "abc"], ["a", "ac", "abcc"]],
  ["(ab){2,3}", ["abab", "ababab"], ["ab", "abababab", "aba"]],
  ["a{2}", ["aa"], ["a", "aaa"]],
  ["a{2,}", ["aa", "aaaa"], ["a"]],
  ["a{,2}", ["a{,2}"], ["aa"]],
  ["a*?b??", ["", "aab"], ["abb"]],
  ["[a-cx]", ["a", "b", "x"], ["d", "", "ab"]],
  ["[^a-c]", ["d", "\n", "😀"], ["a"]],
  ["[]a]", ["]", "a"], ["b"]],
  ["[a-]", ["a", "-"], ["b"]],
  ["[[:alpha:]_]+", ["ab_"], ["a1"]],
  ["[[:^digit:]]", ["a"], ["1"]],
  ["[\\d\\-]+", ["1-2"], ["a"]],
  [".", ["a", "é", "😀"], ["\n", "ab"]],
  ["(?s).", ["\n", "a"], []],
  ["(?i)aB", ["ab", "AB", "Ab"], ["a"]],
  ["(?i:a)b", ["Ab", "ab"], ["AB"]],
  ["a(?i)b(?-i)c", ["aBc", "abc"], ["ABc", "abC"]],
  ["(?i)[a-c]", ["B"], ["D"]],
  ["(?:a)(?P<name>b)(?<other>c)", ["abc"], ["ab"]],
  ["^a$", ["a"], ["b"]],
  ["\\Aa\\z", ["a"], ["b"]],
  ["a^b", [], ["ab"]],
  ["\\bfoo\\b.*", ["foo", "foo bar"], ["foobar"]],
  ["a\\Bb", ["ab"], ["a b"]],
  ["\\d\\w\\s\\D\\W\\S", ["1a a a"], ["aaaaaa"]],
  ["\\.\\*\\(\\[", [".*(["], ["a*(["]],
  ["\\x41\\x{1F600}", ["A😀"], ["A"]],
  ["\\t\\n", ["\t\n"], ["tn"]],
])("[AL26] '%s' matches as RE2 does", (regex, matching, others) => {
  for (const text of matching) expect(matches(regex, text), text).toBe(true);
  for (const text of others) expect(matches(regex, text), text).toBe(false);
});

test.each([
  "(",
  ")",
  "a)",
  "(a",
  "[",
  "[a",
  "[b-a]",
  "*",
  "a|*",
  "a**",
  "a{3}{2}",
  "a{2,1}",
  "a{1001}",
  "\\",
  "\\1",
  "(a)\\1",
  "(?=a)",
  "(?!a)",
  "(?<=a)b",
  "(?<!a)b",
  "(?<>a)",
  "(?P>a)",
  "(?x)a",
  "\\p{L}",
  "\\x{110000}",
  "[[:nothing:]]",
  "\\Q",
])("[AL26] '%s' is refused", (regex) => {
  expect(compilePattern(regex).type).toBe("refused");
});

test("[AL26] a pattern of too many steps is refused, however it is written, and at once", () => {
  expect(compilePattern("a".repeat(PATTERN_STEPS_MAX - 1)).type).toBe("compiled");
  for (const large of [
    "a".repeat(PATTERN_STEPS_MAX),
    `a{${PATTERN_STEPS_MAX}}`,
    "(a{100}){100}",
    "((a{99}){99}){99}",
    "((((((((a{9}){9}){9}){9}){9}){9}){9}){9}){9}",
    "((((a?){100}){100}){100}){100}",
    "(((a|b|c|d){50}|x){50}|y){50}",
    "(".repeat(200),
    `${"(".repeat(60)}a${")".repeat(60)}`,
    `${"(".repeat(51)}${")".repeat(51)}`,
  ])
    expect(compilePattern(large).type, large).toBe("refused");
});

test("[AL26] nothing, repeated, is nothing", () => {
  let nothing = "()";
  for (let depth = 0; depth < 40; depth++) nothing = `(${nothing}{200})`;
  expect(matches(`a${nothing}b`, "ab")).toBe(true);
  expect(matches("(()*)*", "")).toBe(true);
  expect(matches("(()*)*", "a")).toBe(false);
  expect(matches("(a{0}){200}b{0,0}", "")).toBe(true);
});

test.each([
  "(a+)+b",
  "(a|a)*b",
  "(a|aa)+b",
  "(a*)*b",
  "(.*a){20}b",
  "(a?){60}a{60}b",
  "((a*)*)*b",
  "(.*)(.*)(.*)(.*)(.*)(.*)b",
])("[AL26] hostile '%s' takes no longer for being hostile", (regex) => {
  const startedAt = performance.now();
  expect(matches(regex, "a".repeat(5_000))).toBe(false);
  expect(matches(regex, `${"a".repeat(5_000)}b`)).toBe(!regex.startsWith("(a?)"));
  // Backtracking takes years; following all states at once, well under a second even on a slow machine.
  expect(performance.now() - startedAt).toBeLessThan(4_000);
});

test("[AL26] a set of hundreds of ranges is asked quickly", () => {
  const set = Array.from({ length: 300 }, (_, n) => String.fromCodePoint(0x3000 + 2 * n)).join("");
  const letter = String.fromCodePoint(0x3000 + 598);
  const startedAt = performance.now();
  expect(matches(`[${set}]{0,90}x`, letter.repeat(90))).toBe(false);
  expect(matches(`[${set}]*x`, `${letter.repeat(20_000)}x`)).toBe(true);
  expect(performance.now() - startedAt).toBeLessThan(2_000);
});

const atom = fc.constantFrom("a", "b", "c", ".", "[ab]", "[^a]", "\\w", "\\W", "\\d", "()", "\\b", "\\B", "^", "$");
const { pattern } = fc.letrec<{ pattern: string; part: string }>((tie) => ({
  part: fc.oneof(
    { maxDepth: 3 },
    atom,
    fc
      .tuple(tie("pattern"), fc.constantFrom("", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?"))
      .map(([inner, repeated]) => `(${inner})${repeated}`),
  ),
  pattern: fc.oneof(
    fc.array(tie("part"), { minLength: 0, maxLength: 4 }).map((parts) => parts.join("")),
    fc.tuple(tie("part"), tie("part")).map(([one, other]) => `${one}|${other}`),
  ),
}));

test("[AL26] random small patterns match what the platform's own match", () => {
  let matching = 0;
  fc.assert(
    fc.property(
      pattern,
      fc.array(fc.stringMatching(/^[abc1 ]{0,6}$/), { minLength: 1, maxLength: 8 }),
      (regex, texts) => {
        const compiled = compilePattern(regex);
        if (compiled.type === "refused") return;
        const own = new RegExp(`^(?:${regex})$`);
        for (const text of texts) {
          const expected = own.test(text);
          if (expected) matching += 1;
          expect(matchesWhole(compiled.pattern, text), `${regex} on '${text}'`).toBe(expected);
        }
      },
    ),
    { numRuns: 2_000 },
  );
  expect(matching).toBeGreaterThan(500);
});

test("[AL26] whatever a pattern is, compiling it ends with a pattern or a reason", () => {
  const letters = fc.constantFrom(..."ab01(){}[]|*+?^$.,-:\\dwsbBxPiQ<>=!".split(""));
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 60, size: "max" }), (parts) => {
      const compiled = compilePattern(parts.join(""));
      if (compiled.type === "compiled") {
        expect(compiled.pattern.steps.length).toBeLessThanOrEqual(PATTERN_STEPS_MAX);
        matchesWhole(compiled.pattern, "ab01 ba");
      } else expect(compiled.reason).not.toBe("");
    }),
    { numRuns: 3_000 },
  );
});
