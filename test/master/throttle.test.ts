import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import { type CallLimits, enter, leave, newThrottle, NO_LIMITS } from "../../src/master/throttle.ts";

const at = (ms: number) => millis(1_000_000 + ms);
const limits: CallLimits = {
  byPrincipal: new Map([
    ["web", { qps: 10, capacity: 2 }],
    ["free", { qps: undefined, capacity: undefined }],
  ]),
  aggregate: { qps: 1, capacity: undefined },
};

test("[M63] a principal's calls go as far apart as its limit says, in order; beyond its capacity they are refused", () => {
  const throttle = newThrottle(limits);
  expect(enter(throttle, "web", at(0))).toEqual({ type: "now" });
  expect(enter(throttle, "web", at(1))).toEqual({ type: "wait", until: at(100), lane: "web" });
  expect(enter(throttle, "web", at(1))).toEqual({ type: "wait", until: at(200), lane: "web" });
  expect(enter(throttle, "web", at(1))).toEqual({ type: "full", capacity: 2 });
  leave(throttle, "web");
  expect(enter(throttle, "web", at(100))).toEqual({ type: "wait", until: at(300), lane: "web" });
});

test("[M63] whoever was silent for long may not make up for it", () => {
  const throttle = newThrottle(limits);
  enter(throttle, "web", at(0));
  expect(enter(throttle, "web", at(60_000))).toEqual({ type: "now" });
  expect(enter(throttle, "web", at(60_000)).type).toBe("wait");
});

test("[M63] who is not listed shares one limit; who has none, and a plane without limits, never waits", () => {
  const throttle = newThrottle(limits);
  expect(enter(throttle, "a", at(0)).type).toBe("now");
  expect(enter(throttle, "b", at(0)).type).toBe("wait");
  const open = newThrottle(NO_LIMITS);
  for (let i = 0; i < 100; i++) {
    expect(enter(throttle, "free", at(0)).type).toBe("now");
    expect(enter(open, "web", at(0)).type).toBe("now");
  }
});
