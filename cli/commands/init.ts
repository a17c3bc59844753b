// `mesoflare init`: the one step between `wrangler deploy` and a plane that answers.
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import * as v from "valibot";
import { contextSchema } from "#protocol/credentials.ts";
import { loadContext } from "../context.ts";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { Failure } from "../failure.ts";
import { initialise } from "../initialise.ts";
import { Plane } from "../plane.ts";
import { contextSearch, printJson, warn } from "./shared-options.ts";

const isClusterId = (text: string): boolean => v.is(v.pipe(v.string(), v.uuid()), text);
const isPlane = (text: string): boolean => v.is(contextSchema.entries.plane, text);

interface InitOptions {
  readonly plane?: string;
  readonly clusterId?: string;
  readonly json?: boolean;
}

export function addInit(program: Command): void {
  program
    .command("init")
    .summary("give a newly deployed plane its cluster id")
    .description(
      "Makes the cluster id and bootstraps the replicated log of a plane that was never used. Needs an operator's context. " +
        "A plane is initialised once; when the command was interrupted, repeat it with the cluster id that it printed.",
    )
    .option("--plane <url>", "the plane (default: the context's)")
    .option("--cluster-id <uuid>", "finish an interrupted init")
    .option("--json", "the result as one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async ({ plane, clusterId = randomUUID(), json }: InitOptions, self: Command) => {
      const context = await loadContext(contextSearch(self), warn);
      if (!isClusterId(clusterId)) throw new Failure(`--cluster-id takes a UUID, not '${clusterId}'`);
      if (plane !== undefined && !isPlane(plane)) throw new Failure(`--plane takes a URL, not '${plane}'`);
      process.stderr.write(`cluster id ${clusterId}\n`); // before the call: it may be needed to repeat it
      const result = await initialise(new Plane({ ...context, plane: plane ?? context.plane }), clusterId);
      if (result.type === "already")
        throw new Failure(`this plane is initialised already, nothing was changed. ${result.reason}`);
      if (result.type === "refused") {
        throw new Failure(`${result.reason}. If the plane may have begun, repeat with --cluster-id ${clusterId}`);
      }
      if (json === true) printJson(result.cluster);
      else process.stdout.write(`initialised with replicas ${result.cluster.replicas.join(", ")}\n`);
    });
}
