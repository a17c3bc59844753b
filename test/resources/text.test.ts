import * as fc from "fast-check";
import { expect, test } from "vitest";
import { coalesce, formatRanges, parseRanges } from "#resources/ranges.ts";
import { attributesObject, parseAttributes, parseResources } from "#resources/text.ts";

test("ranges are read back as they are written", () => {
  const range = fc.tuple(fc.nat(), fc.nat(100)).map(([begin, length]) => ({ begin, end: begin + length }));
  fc.assert(
    fc.property(fc.array(range), (ranges) => {
      const one = coalesce(ranges);
      expect(parseRanges(formatRanges(one))).toEqual(one);
    }),
  );
});

test("the flag text of resources", () => {
  expect(parseResources("cpus:2; mem:1024;ports:[31000-32000, 5-9];cards:{a,b};")).toEqual({
    type: "parsed",
    value: [
      { name: "cpus", role: "*", type: "SCALAR", scalar: { value: 2 } },
      { name: "mem", role: "*", type: "SCALAR", scalar: { value: 1024 } },
      {
        name: "ports",
        role: "*",
        type: "RANGES",
        ranges: {
          range: [
            { begin: 5, end: 9 },
            { begin: 31000, end: 32000 },
          ],
        },
      },
      { name: "cards", role: "*", type: "SET", set: { item: ["a", "b"] } },
    ],
  });
});

test("a role in parentheses is a static reservation, which attributes do not have", () => {
  expect(parseResources("cpus:2;cpus(web/eu):1")).toEqual({
    type: "parsed",
    value: [
      { name: "cpus", role: "*", type: "SCALAR", scalar: { value: 2 } },
      { name: "cpus", role: "web/eu", type: "SCALAR", scalar: { value: 1 } },
    ],
  });
  expect(parseAttributes("rack(web):r1").type).toBe("refused");
});

test.each([
  "cpus",
  "cpus:",
  "cpus:x",
  "cpus:-1",
  "cpus:0",
  "ports:[9-5]",
  "ports:[]",
  "cards:{}",
  "cpus:1;cpus:2",
  "a():1",
  "a(*):1",
  "a(b:1",
  "cpus(b):1;cpus(b):2",
  ":1",
])("resources: '%s' is refused with a reason", (text) => {
  const result = parseResources(text);
  expect(result.type).toBe("refused");
  expect(result).toHaveProperty("reason", expect.stringMatching(/./));
});

test("any text is parsed or refused, and never throws", () => {
  fc.assert(
    fc.property(fc.string(), (text) =>
      [parseResources(text), parseAttributes(text)].every(({ type }) => type !== undefined),
    ),
  );
});

test("attributes: text is allowed, and shows as itself", () => {
  const result = parseAttributes("rack:r1;weight:2.5;zones:{a,b};vlans:[1-3]");
  expect(result.type).toBe("parsed");
  if (result.type === "parsed")
    expect(attributesObject(result.value)).toEqual({ rack: "r1", weight: 2.5, zones: "{a, b}", vlans: "[1-3]" });
  expect(parseAttributes("rack:").type).toBe("refused");
});
