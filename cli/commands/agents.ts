// `mesoflare agents`: every agent that the registry knows, and the operator's last word on one of them.
import type { Command } from "commander";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { Failure, UsageError } from "../failure.ts";
import { getAgents, getSlaves, type AgentListJson, type ResourcesJson } from "../mesos-json.ts";
import { describeRefusal, type Plane } from "../plane.ts";
import { formatTable } from "../table.ts";
import { planeOf, printJson } from "./shared-options.ts";

export function addAgents(program: Command): void {
  const agents = program
    .command("agents")
    .summary("list the agents")
    .description(
      "Lists the agents that the plane's registry knows, with what is used of their cpus and memory. active: connected. inactive: " +
        "not connected, its tasks are still in the books. recovered: the leader is new and waits for it. unreachable: given up for " +
        "now, it may come back. gone: never comes back, by 'mesoflare agents gone'.",
    )
    .option("--json", "what Mesos' /slaves gives")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async ({ json }: { json?: boolean }, self: Command) => {
      const plane = await planeOf(self);
      if (json === true) printJson(await getSlaves(plane));
      else process.stdout.write(formatAgents((await getAgents(plane)).agents));
    });

  agents
    .command("gone")
    .summary("give an agent up for ever")
    .description(
      "Says that an agent never comes back, as after a disk that burnt: its tasks become TASK_GONE_BY_OPERATOR (TASK_LOST), and " +
        "should it ever be heard of again, it is told to end what it runs. There is no way back: its host may only join as a new " +
        "agent. Returns when the registry has it; saying it again is no error. Needs an operator's context.",
    )
    .argument("<id>", "the agent's id, as 'mesoflare agents' shows it")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async (id: string, _options: object, self: Command) => {
      if (id === "") throw new UsageError("name the agent: 'mesoflare agents' lists their ids");
      await markGone(await planeOf(self), id);
      process.stdout.write(`agent ${id} is gone\n`);
    });
}

/** Mesos' MARK_AGENT_GONE. */
async function markGone(plane: Plane, id: string): Promise<void> {
  const response = await plane.fetch("/api/v1", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ type: "MARK_AGENT_GONE", mark_agent_gone: { agent_id: { value: id } } }),
  });
  if (response.ok) return;
  if (response.status === 404) throw new Failure(`no agent ${id} in the registry; 'mesoflare agents' lists them`);
  throw new Failure(await describeRefusal("MARK_AGENT_GONE", response));
}

export function formatAgents(agents: readonly AgentListJson[]): string {
  return formatTable(
    ["id", "host", "state", "cpus", "mem MB", "version"],
    agents.map(({ id, hostname, state, resources, used_resources, version }) => [
      id,
      hostname,
      state,
      usedOf(resources, used_resources, "cpus"),
      usedOf(resources, used_resources, "mem"),
      version ?? "",
    ]),
  );
}

/** Empty for an agent whose resources are not known now. */
function usedOf(all: ResourcesJson | undefined, used: ResourcesJson | undefined, name: string): string {
  return all === undefined ? "" : `${used?.[name] ?? 0}/${all[name] ?? 0}`;
}
