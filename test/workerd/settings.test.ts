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

test("what frameworks may do: Mesos' flags in Mesos' forms", () => {
  const { master } = settingsOf({
    OFFER_TIMEOUT: "5mins",
    ROLES: "web, batch",
    ROOT_SUBMISSIONS: "false",
    MIN_ALLOCATABLE_RESOURCES: "cpus:1;mem:64|gpus:1",
    FAIR_SHARING_EXCLUDED_RESOURCE_NAMES: "gpus",
    DOMAIN: '{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"a"}}}',
    RATE_LIMITS: '{"limits":[{"principal":"a","qps":2.5,"capacity":10},{"principal":"b"}],"aggregate_default_qps":100}',
  });
  expect(master).toMatchObject({
    offerTimeoutMs: 300_000,
    roles: new Set(["web", "batch"]),
    rootSubmissions: false,
    minAllocatable: [
      new Map([
        ["cpus", 1000],
        ["mem", 64_000],
      ]),
      new Map([["gpus", 1000]]),
    ],
    fairSharingExcluded: ["gpus"],
    region: "eu",
    callLimits: {
      byPrincipal: new Map([
        ["a", { qps: 2.5, capacity: 10 }],
        ["b", { qps: undefined, capacity: undefined }],
      ]),
      aggregate: { qps: 100, capacity: undefined },
    },
  });
  expect(settingsOf({ OFFER_TIMEOUT: "" }).master).toMatchObject({ offerTimeoutMs: undefined, roles: undefined });
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
  [{ OFFER_TIMEOUT: "soon" }, "OFFER_TIMEOUT"],
  [{ ROLES: "web,,ads" }, "ROLES has an empty name"],
  [{ ROOT_SUBMISSIONS: "maybe" }, 'ROOT_SUBMISSIONS is "true" or "false"'],
  [{ MIN_ALLOCATABLE_RESOURCES: "cpus:lots" }, 'MIN_ALLOCATABLE_RESOURCES is "cpus:lots", expected amounts'],
  [{ DOMAIN: "{}}" }, "DOMAIN: "],
  [{ RATE_LIMITS: '{"limits":[{"principal":"a","qps":-1}]}' }, "RATE_LIMITS: limits.0.qps"],
  [{ RATE_LIMITS: '{"limits":[{"principal":"a"},{"principal":"a"}]}' }, "a principal is named twice"],
])("%o is refused in words", (env, words) => {
  expect(() => settingsOf(env)).toThrow("this plane is not configured right: ");
  expect(() => settingsOf({ ...env })).toThrow(words);
});
