// `mesoflare run`: flags, signals and exit codes; the work is in cli/run.
import { randomBytes } from "node:crypto";
import { constants, userInfo } from "node:os";
import type { Command } from "commander";
import { loadContext } from "../context.ts";
import { EXIT, RUN_EXIT_CODES_HELP, signalExit } from "../exit-codes.ts";
import { Failure, reasonOf } from "../failure.ts";
import { makeTaskId, parseRunOptions, type RunArguments } from "../run/options.ts";
import { jsonReport, textReport } from "../run/report.ts";
import { TaskRun } from "../run/run.ts";
import { contextSearch, warn } from "./shared-options.ts";

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export function addRun(program: Command): void {
  program
    .command("run")
    .summary("run a command on an agent and show its output")
    .description(
      "Runs a command as a task on the first agent that offers enough, shows its output as it is written, and exits as it does. " +
        "Ctrl-C kills the task; a second Ctrl-C leaves at once, and the plane kills the task a minute later.",
    )
    .requiredOption("--name <name>", "name of the task and of its framework (required)")
    .option("--cpus <number>", "cpus to take from the agent", "0.1")
    .option("--mem <MB>", "memory to take from the agent, and the task's bound", "32")
    .option("--agent <id>", "run on this agent only")
    .option("--env <NAME=VALUE>", "environment variable of the task, repeatable", collect, [])
    .option("--user <name>", "user on the agent's host that the task runs as (default: your own user name)")
    .option("--timeout <duration>", "kill the task and exit with 124 after this long, from now: 30, 90s, 5m, 1.5hrs")
    .option("--detach", "leave when the task runs; 'mesoflare kill' ends it and forgets its framework")
    .option("--json", "one JSON object a line on stdout, the task's output among them")
    .argument("<command...>", "program and arguments, after '--'; no shell is involved")
    .addHelpText("after", RUN_EXIT_CODES_HELP)
    .action(async (command: string[], options: RunArguments, self: Command) => {
      process.exitCode = await run(command, options, self).catch((error: unknown) => {
        if (!(error instanceof Failure)) throw error;
        process.stderr.write(`mesoflare: ${reasonOf(error)}\n`);
        return EXIT.planeFailed;
      });
    });
}

const collect = (value: string, earlier: readonly string[]): readonly string[] => [...earlier, value];

async function run(command: readonly string[], given: RunArguments, self: Command): Promise<number> {
  const options = parseRunOptions(given, command, userInfo().username);
  const context = await loadContext(contextSearch(self), warn);
  const report = options.json ? jsonReport(process) : textReport(process, options);
  const task = new TaskRun(context, options, makeTaskId(options.name, randomBytes(4).toString("hex")), report);

  let asked = false;
  const onSignal = (signal: (typeof STOP_SIGNALS)[number]): void => {
    const code = constants.signals[signal];
    if (asked) process.exit(signalExit(code));
    asked = true;
    task.stop({ type: "signal", signal: code });
  };
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal);
  // Nobody reads any more (`mesoflare run … | head`): end the task as a pipe would end a local command.
  process.stdout.on("error", () => task.stop({ type: "signal", signal: constants.signals.SIGPIPE }));
  return task.run();
}
