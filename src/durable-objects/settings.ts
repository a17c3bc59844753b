// What a deployment sets by text variables, parsed once for each set of bindings. A bad value stops whatever needs it, with
// words that name the variable: a deployment to be mended, not a caller's mistake.
import * as v from "valibot";
import { parseDurationMs } from "#base/time.ts";
import { domainSchema, PING_INTERVAL_MS } from "#protocol/agent.ts";
import { describeIssue } from "#protocol/json.ts";
import { candidateNames, MASTERS_MAX } from "#protocol/leadership.ts";
import { GATEWAYS_MAX } from "../agent/gateway-of.ts";
import { DEFAULT_SETTINGS, type MasterSettings, type RateLimit } from "../master/settings.ts";
import { fromResources, quantities } from "#resources/resources.ts";
import { parseResources } from "#resources/text.ts";
import { type CallLimits, NO_LIMITS } from "../master/throttle.ts";
import { LEADER_SILENCE_MS } from "../master/standing.ts";
import type { Env } from "./env.ts";

/** An unset variable and an empty one are the same: wrangler.toml lists some as "". */
const orDefault = <const S extends v.GenericSchema<string, unknown>>(otherwise: string, schema: S) =>
  v.pipe(
    v.optional(v.string(), ""),
    v.transform((text) => (text.trim() === "" ? otherwise : text.trim())),
    schema,
  );

const wholeNumber = (name: string, otherwise: string, from: number, to: number) => {
  const problem = ({ input }: { readonly input: unknown }) =>
    `${name} is "${String(input)}", expected a whole number from ${from} to ${to}`;
  return orDefault(
    otherwise,
    v.pipe(
      v.string(),
      v.regex(/^\d{1,6}$/, problem),
      v.transform(Number),
      v.minValue(from, problem),
      v.maxValue(to, problem),
    ),
  );
};

interface Bounds {
  readonly minMs: number;
  readonly maxMs: number;
}

/** In Mesos' text form. */
const durationText = (name: string, { minMs, maxMs }: Bounds) =>
  v.pipe(
    v.string(),
    v.rawTransform<string, number>(({ dataset, addIssue, NEVER }) => {
      const ms = parseDurationMs(dataset.value);
      if (ms !== undefined && ms >= minMs && ms <= maxMs) return ms;
      const range = `from ${minMs}ms to ${maxMs}ms`;
      addIssue({ message: `${name} is "${dataset.value}", expected a duration such as 15secs, ${range}` });
      return NEVER;
    }),
  );

const durationMs = (name: string, otherwise: string, bounds: Bounds) =>
  orDefault(otherwise, durationText(name, bounds));

/** Places that Durable Objects can be wished to; "" is none. Source: Cloudflare's location hints. */
const HINTS = ["", "wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"] as const;
const hints = (name: string) =>
  v.pipe(
    v.optional(v.string(), ""),
    v.transform((text) => text.split(",").map((hint) => hint.trim())),
    v.array(
      v.picklist(HINTS, ({ input }) => `${name} has "${String(input)}", expected one of ${HINTS.join(" ").trim()}`),
    ),
    v.transform((list) => list.map((hint) => (hint === "" ? undefined : (hint as DurableObjectLocationHint)))),
  );

/** From a second to a year. */
const LASTING: Bounds = { minMs: 1_000, maxMs: 365 * 86_400_000 };
const lasting = (name: string, otherwiseMs: number) => durationMs(name, `${otherwiseMs}ms`, LASTING);

/** "50%" as 0.5. */
const share = (name: string) =>
  orDefault(
    "100%",
    v.pipe(
      v.string(),
      v.regex(/^(?:100|\d{1,2}(?:\.\d+)?)%$/, ({ input }) => `${name} is "${input}", expected a share such as 50%`),
      v.transform((text) => Number(text.slice(0, -1)) / 100),
    ),
  );

/** "10/1mins": at most ten in each minute. Unset: no limit. */
const rateLimit = (name: string) =>
  orDefault(
    "none",
    v.pipe(
      v.string(),
      v.rawTransform<string, RateLimit | undefined>(({ dataset, addIssue, NEVER }) => {
        if (dataset.value === "none") return undefined;
        const [permits = "", per = ""] = dataset.value.split("/");
        const perMs = parseDurationMs(per);
        if (/^[1-9]\d{0,5}$/.test(permits) && perMs !== undefined && perMs >= 1) {
          return { permits: Number(permits), perMs };
        }
        addIssue({ message: `${name} is "${dataset.value}", expected a rate such as 10/1mins` });
        return NEVER;
      }),
    ),
  );

/** Unset is undefined. */
const durationOrNone = (name: string) =>
  v.pipe(
    v.optional(v.string(), ""),
    v.transform((text) => (text.trim() === "" ? undefined : text)),
    v.optional(durationText(name, LASTING)),
  );

/** "a,b": unset is undefined. */
const names = (name: string) =>
  orDefault(
    "",
    v.pipe(
      v.string(),
      v.transform((text) => (text === "" ? undefined : text.split(",").map((one) => one.trim()))),
      v.check((list) => list?.includes("") !== true, `${name} has an empty name between its commas`),
    ),
  );

const yesOrNo = (name: string, otherwise: "true" | "false") =>
  orDefault(
    otherwise,
    v.pipe(
      v.picklist(["true", "false"], `${name} is "true" or "false"`),
      v.transform((text) => text === "true"),
    ),
  );

/** "cpus:0.01|mem:32", each part in the form of an agent's resources. */
const minAllocatable = orDefault(
  "",
  v.pipe(
    v.string(),
    v.rawTransform<string, MasterSettings["minAllocatable"]>(({ dataset, addIssue, NEVER }) => {
      if (dataset.value === "") return DEFAULT_SETTINGS.minAllocatable;
      const parts = dataset.value.split("|").map((part) => parseResources(part));
      const amounts = parts.flatMap((part) => (part.type === "parsed" ? [quantities(fromResources(part.value))] : []));
      if (amounts.length === parts.length && amounts.every(({ size }) => size > 0)) return amounts;
      addIssue({
        message: `MIN_ALLOCATABLE_RESOURCES is "${dataset.value}", expected amounts such as cpus:0.01|mem:32`,
      });
      return NEVER;
    }),
  ),
);

/** A variable that holds JSON; unset is undefined. */
const json = <T>(name: string, schema: v.GenericSchema<unknown, T>) =>
  v.pipe(
    v.optional(v.string(), ""),
    v.rawTransform<string, T | undefined>(({ dataset, addIssue, NEVER }) => {
      if (dataset.value.trim() === "") return undefined;
      const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), dataset.value);
      if (result.success) return result.output;
      addIssue({ message: `${name}: ${describeIssue(result.issues)}` });
      return NEVER;
    }),
  );

const qps = v.optional(v.pipe(v.number(), v.minValue(0.001), v.maxValue(1e6)));
const capacity = v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1e6)));
/** Source: Mesos' RateLimits. */
const rateLimits = v.pipe(
  v.strictObject({
    limits: v.optional(
      v.pipe(
        v.array(v.strictObject({ principal: v.pipe(v.string(), v.minLength(1)), qps, capacity })),
        v.maxLength(1_000),
      ),
      [],
    ),
    aggregate_default_qps: qps,
    aggregate_default_capacity: capacity,
  }),
  v.check(
    ({ limits }) => new Set(limits.map(({ principal }) => principal)).size === limits.length,
    "a principal is named twice",
  ),
  v.transform((given): CallLimits => ({
    byPrincipal: new Map(given.limits.map((limit) => [limit.principal, { qps: limit.qps, capacity: limit.capacity }])),
    aggregate:
      given.aggregate_default_qps === undefined
        ? undefined
        : { qps: given.aggregate_default_qps, capacity: given.aggregate_default_capacity },
  })),
);

const variables = v.object({
  MASTERS: wholeNumber("MASTERS", "1", 1, MASTERS_MAX),
  MASTER_HINTS: hints("MASTER_HINTS"),
  LEADER_SILENCE: durationMs("LEADER_SILENCE", `${LEADER_SILENCE_MS}ms`, { minMs: 100, maxMs: 600_000 }),
  GATEWAYS: wholeNumber("GATEWAYS", "1", 1, GATEWAYS_MAX),
  REGISTRY: orDefault("strict", v.picklist(["strict", "write-only"], 'REGISTRY is "strict" or "write-only"')),
  AGENT_PING_TIMEOUT: durationMs("AGENT_PING_TIMEOUT", `${PING_INTERVAL_MS}ms`, { minMs: 1_000, maxMs: 900_000 }),
  MAX_AGENT_PING_TIMEOUTS: wholeNumber("MAX_AGENT_PING_TIMEOUTS", "5", 1, 96),
  AGENT_REREGISTER_TIMEOUT: lasting("AGENT_REREGISTER_TIMEOUT", DEFAULT_SETTINGS.reregisterTimeoutMs),
  RECOVERY_AGENT_REMOVAL_LIMIT: share("RECOVERY_AGENT_REMOVAL_LIMIT"),
  AGENT_REMOVAL_RATE_LIMIT: rateLimit("AGENT_REMOVAL_RATE_LIMIT"),
  AGENT_UNREACHABLE_RATE_LIMIT: rateLimit("AGENT_UNREACHABLE_RATE_LIMIT"),
  REGISTRY_GC_INTERVAL: lasting("REGISTRY_GC_INTERVAL", DEFAULT_SETTINGS.gcIntervalMs),
  REGISTRY_MAX_AGENT_AGE: lasting("REGISTRY_MAX_AGENT_AGE", DEFAULT_SETTINGS.maxAgentAgeMs),
  REGISTRY_MAX_AGENT_COUNT: wholeNumber("REGISTRY_MAX_AGENT_COUNT", String(DEFAULT_SETTINGS.maxAgentCount), 1, 999_999),
  OFFER_TIMEOUT: durationOrNone("OFFER_TIMEOUT"),
  ROLES: names("ROLES"),
  ROOT_SUBMISSIONS: yesOrNo("ROOT_SUBMISSIONS", "true"),
  MIN_ALLOCATABLE_RESOURCES: minAllocatable,
  FAIR_SHARING_EXCLUDED_RESOURCE_NAMES: names("FAIR_SHARING_EXCLUDED_RESOURCE_NAMES"),
  DOMAIN: json("DOMAIN", domainSchema),
  RATE_LIMITS: json("RATE_LIMITS", rateLimits),
});

const settingsSchema = v.pipe(
  variables,
  v.transform((env) => ({
    /** `master-1` to `master-M`. */
    candidates: candidateNames(env.MASTERS),
    /** Where each candidate shall live, in that order. */
    masterHints: env.MASTER_HINTS,
    leaderSilenceMs: env.LEADER_SILENCE,
    gateways: env.GATEWAYS,
    /** Silence of an agent's socket after which it is closed. */
    socketSilenceMs: env.AGENT_PING_TIMEOUT * env.MAX_AGENT_PING_TIMEOUTS,
    master: masterSettings(env),
  })),
);
export type Settings = v.InferOutput<typeof settingsSchema>;

/** Mesos' flags, in Mesos' words and units. */
function masterSettings(env: v.InferOutput<typeof variables>): MasterSettings {
  return {
    strict: env.REGISTRY === "strict",
    silenceMs: Math.round(env.AGENT_PING_TIMEOUT * env.MAX_AGENT_PING_TIMEOUTS),
    reregisterTimeoutMs: env.AGENT_REREGISTER_TIMEOUT,
    recoveryRemovalLimit: env.RECOVERY_AGENT_REMOVAL_LIMIT,
    unreachableRateLimit: env.AGENT_UNREACHABLE_RATE_LIMIT,
    removalRateLimit: env.AGENT_REMOVAL_RATE_LIMIT,
    gcIntervalMs: env.REGISTRY_GC_INTERVAL,
    maxAgentAgeMs: env.REGISTRY_MAX_AGENT_AGE,
    maxAgentCount: env.REGISTRY_MAX_AGENT_COUNT,
    offerTimeoutMs: env.OFFER_TIMEOUT,
    roles: env.ROLES === undefined ? undefined : new Set(env.ROLES),
    rootSubmissions: env.ROOT_SUBMISSIONS,
    minAllocatable: env.MIN_ALLOCATABLE_RESOURCES,
    fairSharingExcluded: env.FAIR_SHARING_EXCLUDED_RESOURCE_NAMES ?? [],
    region: env.DOMAIN?.fault_domain?.region.name,
    callLimits: env.RATE_LIMITS ?? NO_LIMITS,
  };
}

const parsed = new WeakMap<object, Settings>();

/** Throws when a variable is malformed. */
export function settingsOf(env: Partial<Env>): Settings {
  const known = parsed.get(env);
  if (known !== undefined) return known;
  const result = v.safeParse(settingsSchema, env);
  if (!result.success) throw new Error(`this plane is not configured right: ${result.issues[0].message}`);
  parsed.set(env, result.output);
  return result.output;
}
