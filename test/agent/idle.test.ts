import { expect, test } from "vitest";
import { idleHour } from "./idle-hour.ts";

test("[G5] [G16] an hour of 500 idle agents: 120,000 pings wake nobody and write nothing; one sweep each 30 s, one check-in a minute", () => {
  const { gateway, master, pings } = idleHour(500);
  expect(pings).toBe(120_000);
  expect(gateway).toEqual({ alarms: 120, rows: 120, batches: 0 });
  expect(master).toEqual({ checkIns: 60, alarms: 6, elections: 6, rows: 18 });
});

test("what idle agents cost does not depend on how many there are at a gateway", () => {
  const [few, many] = [idleHour(10), idleHour(800)];
  expect(many.gateway).toEqual(few.gateway);
  expect(many.master).toEqual(few.master);
});
