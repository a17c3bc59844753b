import type { Command } from "commander";
import { isTerminal } from "#protocol/task.ts";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { listTasks, type TaskJson } from "../mesos-json.ts";
import { formatTable } from "../table.ts";
import { planeOf, printJson } from "./shared-options.ts";

export function addTasks(program: Command): void {
  program
    .command("tasks")
    .summary("list the tasks")
    .description("Lists tasks, oldest first: those that run or wait, and with --all also those that have ended.")
    .option("--all", "ended tasks too, as far as the plane remembers them")
    .option("--json", "the tasks as Mesos' /tasks gives them")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async ({ json, all }: { json?: boolean; all?: boolean }, self: Command) => {
      const known = await listTasks(await planeOf(self));
      const tasks = all === true ? known : known.filter(({ state }) => !isTerminal(state));
      if (json === true) printJson({ tasks });
      else process.stdout.write(formatTasks(tasks));
    });
}

export function formatTasks(tasks: readonly TaskJson[]): string {
  return formatTable(
    ["id", "state", "since", "cpus", "mem MB", "agent", "framework"],
    tasks.map(({ id, state, statuses, resources, slave_id, framework_id }) => [
      id,
      state,
      sinceOf(statuses),
      String(resources["cpus"] ?? 0),
      String(resources["mem"] ?? 0),
      slave_id,
      framework_id,
    ]),
  );
}

function sinceOf(statuses: TaskJson["statuses"]): string {
  const last = statuses.at(-1);
  return last === undefined ? "" : new Date(last.timestamp * 1000).toISOString().replace(/\.\d+Z$/, "Z");
}
