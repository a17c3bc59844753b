#!/usr/bin/env node
// The command line `mesoflare`: what it is told, which command does it, and how it exits.
import { Command, CommanderError } from "commander";
import { MESOFLARE_VERSION } from "#protocol/version.ts";
import { CallRefusedError, PlaneUnreachableError, RedirectRefusedError, StreamBrokenError } from "#scheduler/index.ts";
import { addAgents } from "./commands/agents.ts";
import { addCredential } from "./commands/credential.ts";
import { addInit } from "./commands/init.ts";
import { addKill } from "./commands/kill.ts";
import { addLog } from "./commands/log.ts";
import { addLogs } from "./commands/logs.ts";
import { addMaster } from "./commands/master.ts";
import { addRegistry } from "./commands/registry.ts";
import { addRun } from "./commands/run.ts";
import { addStart } from "./commands/start.ts";
import { addTasks } from "./commands/tasks.ts";
import { EXIT, EXIT_CODES_HELP } from "./exit-codes.ts";
import { Failure, UsageError } from "./failure.ts";

const program = new Command("mesoflare")
  .description("Runs commands on a Mesoflare cluster, and shows what runs there.")
  .version(MESOFLARE_VERSION)
  .option(
    "--context <file>",
    "file with the plane's URL, principal and secret (default: $MESOFLARE_CONTEXT, then the local cluster's, then the user's)",
  )
  .addHelpText("after", EXIT_CODES_HELP)
  .enablePositionalOptions()
  .exitOverride();

for (const add of [
  addRun,
  addAgents,
  addTasks,
  addLogs,
  addKill,
  addStart,
  addInit,
  addMaster,
  addLog,
  addRegistry,
  addCredential,
])
  add(program);
// Options of `run` end where the task's command begins, with or without '--'.
program.commands.find((command) => command.name() === "run")?.passThroughOptions();

/** Exit code of a command that did not end by itself; prints what went wrong. */
function codeOf(error: unknown): number {
  const isRun = commandName(process.argv.slice(2)) === "run";
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : isRun ? EXIT.planeFailed : EXIT.usage;
  const expected =
    error instanceof Failure ||
    error instanceof CallRefusedError ||
    error instanceof PlaneUnreachableError ||
    error instanceof RedirectRefusedError ||
    error instanceof StreamBrokenError;
  const text = error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error);
  process.stderr.write(`mesoflare: ${text}\n`);
  if (isRun) return EXIT.planeFailed;
  return error instanceof UsageError ? EXIT.usage : EXIT.failed;
}

function commandName([first, ...rest]: readonly string[]): string | undefined {
  if (first === "--context") return commandName(rest.slice(1));
  return first?.startsWith("-") ? commandName(rest) : first;
}

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = codeOf(error);
}
// Idle keep-alive connections would hold the process for seconds; output to pipes and files is written synchronously.
process.exit();
