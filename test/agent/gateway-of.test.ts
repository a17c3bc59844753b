import { expect, test } from "vitest";
import type { HostKey } from "#protocol/ids.ts";
import { seededRandom } from "#base/random.ts";
import { gatewayOf } from "../../src/agent/gateway-of.ts";

const random = seededRandom(1);
const hosts = Array.from(
  { length: 4000 },
  () => Array.from({ length: 32 }, () => Math.floor(random.next() * 16).toString(16)).join("") as HostKey,
);

test("[G9] hosts spread over the gateways", () => {
  const counts = new Map<string, number>();
  for (const host of hosts) counts.set(gatewayOf(host, 8), (counts.get(gatewayOf(host, 8)) ?? 0) + 1);
  expect(counts.size).toBe(8);
  for (const count of counts.values()) expect(count).toBeGreaterThan(350);
});

test("[G9] one gateway more moves about its share, and only to itself", () => {
  const moved = hosts.filter((host) => gatewayOf(host, 8) !== gatewayOf(host, 9));
  expect(moved.length).toBeLessThan(700);
  expect(new Set(moved.map((host) => gatewayOf(host, 9)))).toEqual(new Set(["gateway-9"]));
});
