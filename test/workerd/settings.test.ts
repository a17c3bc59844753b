// What a deployment sets, and the words for what it sets wrong.
import { expect, test } from "vitest";
import { settingsOf } from "../../src/durable-objects/settings.ts";

test("nothing set, or set to nothing: the defaults", () => {
  const defaults = {
    candidates: ["master-1"],
    masterHints: [undefined],
    leaderSilenceMs: 10_000,
    gateways: 1,
    socketSilenceMs: 75_000,
  };
  expect(settingsOf({})).toMatchObject(defaults);
  expect(settingsOf({ MASTERS: "", MASTER_HINTS: "", GATEWAYS: " ", AGENT_PING_TIMEOUT: "" })).toMatchObject(defaults);
});

test("candidates with their places, in order; pings in Mesos' form", () => {
  expect(
    settingsOf({
      MASTERS: "3",
      MASTER_HINTS: "weur, ,enam",
      GATEWAYS: "12",
      AGENT_PING_TIMEOUT: "1mins",
      MAX_AGENT_PING_TIMEOUTS: "2",
      LEADER_SILENCE: "30secs",
    }),
  ).toMatchObject({
    candidates: ["master-1", "master-2", "master-3"],
    masterHints: ["weur", undefined, "enam"],
    leaderSilenceMs: 30_000,
    gateways: 12,
    socketSilenceMs: 120_000,
  });
});

test.each([
  [{ MASTERS: "6" }, 'MASTERS is "6", expected a whole number from 1 to 5'],
  [{ MASTERS: "two" }, 'MASTERS is "two"'],
  [{ GATEWAYS: "65" }, 'GATEWAYS is "65", expected a whole number from 1 to 64'],
  [{ MASTER_HINTS: "weur,mars" }, 'MASTER_HINTS has "mars", expected one of'],
  [{ AGENT_PING_TIMEOUT: "15" }, 'AGENT_PING_TIMEOUT is "15", expected a duration such as 15secs'],
  [{ LEADER_SILENCE: "1ms" }, "from 100ms to 600000ms"],
  [{ REGISTRY: "lenient" }, 'REGISTRY is "strict" or "write-only"'],
  [{ RECOVERY_AGENT_REMOVAL_LIMIT: "half" }, 'RECOVERY_AGENT_REMOVAL_LIMIT is "half", expected a share'],
  [{ AGENT_UNREACHABLE_RATE_LIMIT: "10" }, 'AGENT_UNREACHABLE_RATE_LIMIT is "10", expected a rate such as 10/1mins'],
])("%o is refused in words", (env, words) => {
  expect(() => settingsOf(env)).toThrow("this plane is not configured right: ");
  expect(() => settingsOf({ ...env })).toThrow(words);
});
