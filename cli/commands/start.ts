// `mesoflare start`, which is `npm start`: flags and signals; the work is in cli/start.
import type { Command } from "commander";
import { defaultStateDirectory } from "../context.ts";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { parseStartOptions } from "../start/arguments.ts";
import { start } from "../start/start.ts";
import { StateDirectory } from "../start/state-directory.ts";

export function addStart(program: Command): void {
  const usualState = defaultStateDirectory(process.env);
  program
    .command("start")
    .summary("run a whole cluster on this machine")
    .description(
      "Runs the plane in a local workerd on 127.0.0.1, and agents that join it, until Ctrl-C, which kills their tasks. The state " +
        "directory keeps registry, agent ids and credentials: the next start goes on from there. Works in a clone of the repository.",
    )
    .option("--port <number>", "port of the plane on 127.0.0.1", "5050")
    .option("--agents <number>", "local agents, which share the machine's resources; 0 for a plane alone", "1")
    .option("--replicas <3|5>", "replicas of the log, for a new state directory (default: 3)")
    .option("--masters <number>", "master candidates, of which one leads", "1")
    .option("--gateways <number>", "objects that hold the agents' sockets", "1")
    .option("--state <directory>", "where the cluster lives", usualState)
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async (given: unknown) => {
      const options = parseStartOptions(given);
      const state = new StateDirectory(options.state);
      const stop = new AbortController();
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
      const context = options.state === usualState ? "" : ` --context ${state.context}`;
      process.exitCode = await start(options, state, {
        say: (line) => void process.stdout.write(`${line}\n`),
        stop: stop.signal,
        tryNext: `npx mesoflare${context} run --name hello -- sh -c 'echo hello from $(hostname)'`,
      });
    });
}
