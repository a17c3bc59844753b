// What every command that talks to a plane has in common: where it looks for the context, and how it warns.
import type { Command } from "commander";
import { loadContext, type ContextSearch } from "../context.ts";
import { Plane } from "../plane.ts";

export function warn(message: string): void {
  process.stderr.write(`mesoflare: warning: ${message}\n`);
}

export function contextSearch(command: Command): ContextSearch {
  return { named: command.optsWithGlobals<{ context?: string }>().context, environment: process.env };
}

export async function planeOf(command: Command): Promise<Plane> {
  return new Plane(await loadContext(contextSearch(command), warn));
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}
