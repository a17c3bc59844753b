// The agents' life cycle as the environment sets it: Mesos' flags, in Mesos' words and units, with Mesos' defaults.
import { parseDurationMs } from "#base/time.ts";
import { SILENCE_MS_MAX } from "#protocol/agent.ts";
import * as v from "valibot";
import { DEFAULT_SETTINGS, type MasterSettings, type RateLimit } from "../master/settings.ts";

/** Text variables of the Worker; absent or empty means the default. */
export interface MasterSettingsEnv {
  /** "strict" or "write-only": whether an agent that the registry does not know is refused. */
  readonly REGISTRY?: string;
  readonly AGENT_PING_TIMEOUT?: string;
  readonly MAX_AGENT_PING_TIMEOUTS?: string;
  readonly AGENT_REREGISTER_TIMEOUT?: string;
  /** "50%" */
  readonly RECOVERY_AGENT_REMOVAL_LIMIT?: string;
  /** "10/1mins": at most ten in each minute. */
  readonly AGENT_REMOVAL_RATE_LIMIT?: string;
  readonly AGENT_UNREACHABLE_RATE_LIMIT?: string;
  readonly REGISTRY_GC_INTERVAL?: string;
  readonly REGISTRY_MAX_AGENT_AGE?: string;
  readonly REGISTRY_MAX_AGENT_COUNT?: string;
}

/** Longest duration that is taken: a year. */
const DURATION_MS_MAX = 365 * 86_400_000;

/** Ours is the message, so that it names the variable and shows a value that works. */
function variable<T>(name: string, example: string, parse: (text: string) => T | undefined) {
  return v.optional(
    v.pipe(
      v.string(),
      v.rawTransform<string, T | undefined>(({ dataset, addIssue, NEVER }) => {
        const text = dataset.value.trim();
        if (text === "") return undefined;
        const value = parse(text);
        if (value !== undefined) return value;
        addIssue({ message: `${name} is "${text.slice(0, 64)}", expected for instance ${example}` });
        return NEVER;
      }),
    ),
  );
}

const duration = (text: string): number | undefined => {
  const ms = parseDurationMs(text);
  return ms === undefined || ms < 1 || ms > DURATION_MS_MAX ? undefined : ms;
};
const count =
  (max: number) =>
  (text: string): number | undefined => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
    return value >= 1 && value <= max ? value : undefined;
  };
function share(text: string): number | undefined {
  const match = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text);
  const value = match === null ? Number.NaN : Number(match[1]) / 100;
  return value >= 0 && value <= 1 ? value : undefined;
}
function rate(text: string): RateLimit | undefined {
  const [permitsText = "", per = ""] = text.split("/");
  const permits = count(1_000_000)(permitsText);
  const perMs = duration(per);
  return permits === undefined || perMs === undefined ? undefined : { permits, perMs };
}

const settingsSchema = v.object({
  REGISTRY: v.optional(v.picklist(["", "strict", "write-only"], 'REGISTRY is "strict" or "write-only"')),
  AGENT_PING_TIMEOUT: variable("AGENT_PING_TIMEOUT", "15secs", duration),
  MAX_AGENT_PING_TIMEOUTS: variable("MAX_AGENT_PING_TIMEOUTS", "5", count(1_000)),
  AGENT_REREGISTER_TIMEOUT: variable("AGENT_REREGISTER_TIMEOUT", "10mins", duration),
  RECOVERY_AGENT_REMOVAL_LIMIT: variable("RECOVERY_AGENT_REMOVAL_LIMIT", "50%", share),
  AGENT_REMOVAL_RATE_LIMIT: variable("AGENT_REMOVAL_RATE_LIMIT", "10/1mins", rate),
  AGENT_UNREACHABLE_RATE_LIMIT: variable("AGENT_UNREACHABLE_RATE_LIMIT", "10/1mins", rate),
  REGISTRY_GC_INTERVAL: variable("REGISTRY_GC_INTERVAL", "15mins", duration),
  REGISTRY_MAX_AGENT_AGE: variable("REGISTRY_MAX_AGENT_AGE", "2weeks", duration),
  REGISTRY_MAX_AGENT_COUNT: variable("REGISTRY_MAX_AGENT_COUNT", "102400", count(1_000_000)),
});

/** Five silent pings. Source: Mesos agent_ping_timeout, max_agent_ping_timeouts. */
const PING_TIMEOUT_MS = 15_000;
const PING_TIMEOUTS = 5;

/** Shorter, and every hiccup of the network would cost an agent its place, ms. */
const SILENCE_MS_MIN = 1_000;

/** Throws, with words that name the variable, when one is not what it must be: a deployment to be mended. */
export function masterSettings(env: MasterSettingsEnv): MasterSettings {
  const parsed = v.safeParse(settingsSchema, env);
  if (!parsed.success) throw new Error(parsed.issues[0].message);
  const set = parsed.output;
  const silenceMs = Math.round(
    (set.AGENT_PING_TIMEOUT ?? PING_TIMEOUT_MS) * (set.MAX_AGENT_PING_TIMEOUTS ?? PING_TIMEOUTS),
  );
  if (silenceMs < SILENCE_MS_MIN || silenceMs > SILENCE_MS_MAX)
    throw new Error("AGENT_PING_TIMEOUT × MAX_AGENT_PING_TIMEOUTS must be from 1secs to 1days");
  const defaults = DEFAULT_SETTINGS;
  return {
    strict: set.REGISTRY !== "write-only",
    silenceMs,
    reregisterTimeoutMs: set.AGENT_REREGISTER_TIMEOUT ?? defaults.reregisterTimeoutMs,
    recoveryRemovalLimit: set.RECOVERY_AGENT_REMOVAL_LIMIT ?? defaults.recoveryRemovalLimit,
    unreachableRateLimit: set.AGENT_UNREACHABLE_RATE_LIMIT,
    removalRateLimit: set.AGENT_REMOVAL_RATE_LIMIT,
    gcIntervalMs: set.REGISTRY_GC_INTERVAL ?? defaults.gcIntervalMs,
    maxAgentAgeMs: set.REGISTRY_MAX_AGENT_AGE ?? defaults.maxAgentAgeMs,
    maxAgentCount: set.REGISTRY_MAX_AGENT_COUNT ?? defaults.maxAgentCount,
  };
}
