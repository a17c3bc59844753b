// How much of an agent may be split up: what it could not report is refused.
import { expect, test } from "vitest";
import { TOTAL_BYTES_MAX } from "#protocol/agent.ts";
import { RANGES_MAX, type Resource, RESOURCES_MAX } from "#protocol/resource.ts";
import { fromResources } from "#resources/resources.ts";
import { sizeProblem } from "#resources/size.ts";

const cpus = (label: string, value = 0.001): Resource => ({
  name: "cpus",
  type: "SCALAR",
  scalar: { value },
  reservations: [{ type: "DYNAMIC", role: "web", labels: { labels: [{ key: label, value: undefined }] } }],
});
const ports = (count: number, from = 0): Resource => ({
  name: "ports",
  type: "RANGES",
  ranges: { range: Array.from({ length: count }, (_, at) => ({ begin: from + 2 * at, end: from + 2 * at })) },
});

test.each<[string, (more: number) => Resource[], RegExp]>([
  [
    "different resources",
    (more) => Array.from({ length: RESOURCES_MAX + more }, (_, at) => cpus(`${at}`)),
    /different resources/,
  ],
  ["ranges of one resource", (more) => [ports(RANGES_MAX - 1), ports(1 + more, 20_000)], /ranges/],
  [
    "bytes",
    (more) => {
      const rest = TOTAL_BYTES_MAX + more - 2 * JSON.stringify([cpus("")]).length;
      // Two bytes each, and one that has one.
      const [half, odd] = [Math.floor(rest / 4), rest - 4 * Math.floor(rest / 4)];
      return [cpus("é".repeat(half)), cpus("ü".repeat(half) + "b".repeat(odd))];
    },
    /bytes of JSON/,
  ],
])("[M66] %s: so many, and not one more", (_, resources, words) => {
  expect(sizeProblem(fromResources(resources(0)))).toBeUndefined();
  expect(sizeProblem(fromResources(resources(1)))).toMatch(words);
});

test("many lists of ranges are joined in one go, as they are alone", () => {
  const lists = Array.from({ length: RESOURCES_MAX }, (_, at) => ports(700, at * 1400));
  const before = performance.now();
  const set = fromResources(lists);
  // Joined one after the other this took seconds, with every other call waiting.
  expect(performance.now() - before).toBeLessThan(1_000);
  expect([...set.pools.values()].map(({ amounts }) => amounts.ranges.get("ports")?.length)).toEqual([
    RESOURCES_MAX * 700,
  ]);
});
