// `mesoflare master`: which candidate leads the plane, and having another one lead.
import type { Command } from "commander";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { candidateName, failOver, getMasters } from "../master/answers.ts";
import { failoverText, formatMasters } from "../master/status.ts";
import { planeOf, printJson } from "./shared-options.ts";

interface MasterOptions {
  readonly json?: boolean;
}

export function addMaster(program: Command): void {
  const master = program
    .command("master")
    .summary("show which master leads, or have another one lead")
    .description(
      "A plane has one to five master candidates (MASTERS). One leads; when it cannot be reached, and its replicas have heard " +
        "nothing of it for 10 s, another takes its place by itself.",
    )
    .addHelpText("after", EXIT_CODES_HELP);

  master
    .command("status")
    .summary("show the candidates, and which of them leads")
    .description(
      "Shows each candidate: whether it leads, in which epoch and since when, when a quorum of the log last confirmed that, and " +
        "where it runs. Answers also while none leads. What somebody should do follows as sentences.",
    )
    .option("--json", "what the plane answers, as one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async ({ json }: MasterOptions, self: Command) => {
      const answer = await getMasters(await planeOf(self));
      if (json === true) printJson(answer);
      else process.stdout.write(formatMasters(answer));
    });

  master
    .command("failover")
    .summary("have another candidate lead, although one does")
    .description(
      "The candidate that is named, or the next one, is elected at once and begins a new epoch. No task ends by it: every agent " +
        "registers again with its tasks; schedulers subscribe again, and reconcile. Needs an operator's context.",
    )
    .argument("[candidate]", "e.g. master-2; the one after the leader when left out")
    .option("--json", "the new leader as one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async (candidate: string | undefined, { json }: MasterOptions, self: Command) => {
      const to = candidate === undefined ? undefined : candidateName(candidate);
      const outcome = await failOver(await planeOf(self), to);
      if (json === true) printJson(outcome);
      else process.stdout.write(failoverText(outcome));
    });
}
