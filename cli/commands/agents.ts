import type { Command } from "commander";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { getSlaves, type AgentJson, type ResourcesJson } from "../mesos-json.ts";
import { formatTable } from "../table.ts";
import { planeOf, printJson } from "./shared-options.ts";

export function addAgents(program: Command): void {
  program
    .command("agents")
    .summary("list the agents")
    .description("Lists the agents that the plane knows, with what is used of their cpus and memory.")
    .option("--json", "what Mesos' /slaves gives")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async ({ json }: { json?: boolean }, self: Command) => {
      const answer = await getSlaves(await planeOf(self));
      if (json === true) printJson(answer);
      else process.stdout.write(formatAgents(answer.slaves));
    });
}

export function formatAgents(agents: readonly AgentJson[]): string {
  return formatTable(
    ["id", "host", "state", "cpus", "mem MB", "version"],
    agents.map(({ id, hostname, active, resources, used_resources, version }) => [
      id,
      hostname,
      active ? "active" : "inactive",
      usedOf(resources, used_resources, "cpus"),
      usedOf(resources, used_resources, "mem"),
      version ?? "",
    ]),
  );
}

function usedOf(all: ResourcesJson, used: ResourcesJson | undefined, name: string): string {
  return `${used?.[name] ?? 0}/${all[name] ?? 0}`;
}
