// `mesoflare registry`: who is admitted, unreachable and gone, as the log says it, now or at an earlier entry; and how it came to that.
import type { Command } from "commander";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { getHistory, getRegistry, positionOf } from "../registry/answers.ts";
import { formatHistory, formatRegistry } from "../registry/show.ts";
import { planeOf, printJson } from "./shared-options.ts";

interface RegistryOptions {
  readonly at?: string;
  readonly history?: boolean;
  readonly agent?: string;
  readonly json?: boolean;
}

export function addRegistry(program: Command): void {
  program
    .command("registry")
    .summary("show the registry, or how it came to be what it is")
    .description(
      "Shows the agents that are admitted, unreachable or gone, frameworks that are disconnected or removed, and principals, as " +
        "the plane's log has them. Read from the log itself: it answers also when the plane has no leader, and changes nothing. With " +
        "--history: every change that is still kept, with who asked for it, when and why. Every context but an agent's may ask.",
    )
    .option("--at <position>", "as it was after this entry of the log; with --history, up to this entry")
    .option("--history", "the changes, oldest first")
    .option("--agent <id>", "only this agent")
    .option("--json", "one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async ({ at, history, agent, json }: RegistryOptions, self: Command) => {
      const asked = { at: at === undefined ? undefined : positionOf(at), agent };
      const plane = await planeOf(self);
      if (history === true) {
        const answer = await getHistory(plane, asked, showProgress("entries")).finally(clearProgress);
        if (json === true) printJson(answer);
        else process.stdout.write(formatHistory(answer));
        return;
      }
      const answer = await getRegistry(plane, asked, showProgress("parts")).finally(clearProgress);
      if (json === true) printJson(answer);
      else process.stdout.write(formatRegistry(answer));
    });
}

/** One line of the terminal, written over; a file or a pipe gets none. */
const showProgress =
  (what: string) =>
  (done: number, all: number): void => {
    if (process.stderr.isTTY) process.stderr.write(`\r\u001B[Kread ${done} of ${all} ${what}`);
  };

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\u001B[K");
}
