// What a deployment sets by text variables, parsed once for each set of bindings. A bad value stops whatever needs it, with
// words that name the variable: a deployment to be mended, not a caller's mistake.
import * as v from "valibot";
import { parseDurationMs } from "#base/time.ts";
import { PING_INTERVAL_MS } from "#protocol/agent.ts";
import { candidateNames, MASTERS_MAX } from "#protocol/leadership.ts";
import { GATEWAYS_MAX } from "../agent/gateway-of.ts";
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

/** In Mesos' text form. */
const durationMs = (name: string, otherwise: string, bounds: { readonly minMs: number; readonly maxMs: number }) =>
  orDefault(
    otherwise,
    v.pipe(
      v.string(),
      v.rawTransform(({ dataset, addIssue, NEVER }) => {
        const ms = parseDurationMs(dataset.value);
        if (ms !== undefined && ms >= bounds.minMs && ms <= bounds.maxMs) return ms;
        const range = `from ${bounds.minMs}ms to ${bounds.maxMs}ms`;
        addIssue({ message: `${name} is "${dataset.value}", expected a duration such as 15secs, ${range}` });
        return NEVER;
      }),
    ),
  );

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

const settingsSchema = v.pipe(
  v.object({
    MASTERS: wholeNumber("MASTERS", "1", 1, MASTERS_MAX),
    MASTER_HINTS: hints("MASTER_HINTS"),
    LEADER_SILENCE: durationMs("LEADER_SILENCE", `${LEADER_SILENCE_MS}ms`, { minMs: 100, maxMs: 600_000 }),
    GATEWAYS: wholeNumber("GATEWAYS", "1", 1, GATEWAYS_MAX),
    AGENT_PING_TIMEOUT: durationMs("AGENT_PING_TIMEOUT", `${PING_INTERVAL_MS}ms`, { minMs: 1_000, maxMs: 900_000 }),
    MAX_AGENT_PING_TIMEOUTS: wholeNumber("MAX_AGENT_PING_TIMEOUTS", "5", 1, 100),
  }),
  v.check(
    ({ AGENT_PING_TIMEOUT, MAX_AGENT_PING_TIMEOUTS }) =>
      AGENT_PING_TIMEOUT * MAX_AGENT_PING_TIMEOUTS > PING_INTERVAL_MS,
    `AGENT_PING_TIMEOUT × MAX_AGENT_PING_TIMEOUTS must be more than the ${PING_INTERVAL_MS / 1000} s between two pings of an agent`,
  ),
  v.transform((env) => ({
    /** `master-1` to `master-M`. */
    candidates: candidateNames(env.MASTERS),
    /** Where each candidate shall live, in that order. */
    masterHints: env.MASTER_HINTS,
    leaderSilenceMs: env.LEADER_SILENCE,
    gateways: env.GATEWAYS,
    /** Silence of an agent's socket after which it is closed. */
    socketSilenceMs: env.AGENT_PING_TIMEOUT * env.MAX_AGENT_PING_TIMEOUTS,
  })),
);
export type Settings = v.InferOutput<typeof settingsSchema>;

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
