// The agent's log: pino's JSON lines for machines, one short line each for people. Secrets never reach it: nothing here is
// given a credential, and the one flag that names a secret file names only its path.
import { pino, type Logger } from "pino";

export type Log = Pick<Logger, "trace" | "debug" | "info" | "warn" | "error" | "fatal">;

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function makeLog({ level, format }: { readonly level: LogLevel; readonly format: "json" | "pretty" }): Log {
  const options = { level, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` };
  if (format === "json")
    return pino(
      { ...options, formatters: { level: (label) => ({ level: label }) } },
      pino.destination({ dest: 1, sync: true }),
    );
  return pino(options, { write: (line: string) => void process.stdout.write(prettyLine(line)) });
}

const NAMES: Record<number, string> = { 10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL" };

/** `12:34:56.789 INFO  registered  agentId=… epoch=7` */
function prettyLine(line: string): string {
  const { level, time, msg, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const fields = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  const name = NAMES[Number(level)] ?? "";
  return `${[String(time).slice(11, 23), name.padEnd(5), typeof msg === "string" ? msg : "", fields.join(" ")].join(" ").trimEnd()}\n`;
}
