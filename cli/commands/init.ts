// `mesoflare init`: the one step between `wrangler deploy` and a plane that answers.
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import * as v from "valibot";
import { contextSchema } from "#protocol/credentials.ts";
import { loadContext } from "../context.ts";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { Failure, UsageError } from "../failure.ts";
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
        "A plane is initialised once; when it fails half-way it prints the cluster id to repeat it with.",
    )
    .option("--plane <url>", "the plane (default: the context's)")
    .option("--cluster-id <uuid>", "finish an interrupted init")
    .option("--json", "the result as one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async ({ plane, clusterId = randomUUID(), json }: InitOptions, self: Command) => {
      const context = await loadContext(contextSearch(self), warn);
      if (!isClusterId(clusterId)) throw new UsageError(`--cluster-id takes a UUID, not '${clusterId}'`);
      if (plane !== undefined && !isPlane(plane)) throw new UsageError(`--plane takes a URL, not '${plane}'`);
      const result = await initialise(new Plane({ ...context, plane: plane ?? context.plane }), clusterId);
      if (result.type === "already")
        throw new Failure(`this plane is initialised already, nothing was changed. ${result.reason}`);
      if (result.type === "refused") {
        throw new Failure(`${result.reason}. If the plane may have begun, repeat with --cluster-id ${clusterId}`);
      }
      if (json === true) printJson(result.cluster);
      else
        process.stdout.write(`cluster ${clusterId} initialised with replicas ${result.cluster.replicas.join(", ")}\n`);
    });
}
