// `mesoflare log`: how the replicas of the plane's log stand, who its members are, whether what they hold agrees.
import { constants } from "node:os";
import type { Command } from "commander";
import { EXIT, EXIT_CODES_HELP, signalExit, VERIFY_EXIT_CODES_HELP } from "../exit-codes.ts";
import { getLog, replicaName, type ChangeJson } from "../log/answers.ts";
import { changeAndWait, changedText } from "../log/change.ts";
import { formatLog } from "../log/status.ts";
import { formatVerification, verify } from "../log/verify.ts";
import { planeOf, printJson } from "./shared-options.ts";

const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

interface LogOptions {
  readonly json?: boolean;
}

export function addLog(program: Command): void {
  const log = program
    .command("log")
    .summary("look after the plane's replicated log")
    .description(
      "Shows and changes the replicas that hold the plane's log. (The output of a task is in 'mesoflare logs'.) A log has an odd " +
        "number of members, 3 or 5; more than half of them must answer, or nothing is admitted or launched.",
    )
    .addHelpText("after", EXIT_CODES_HELP);

  log
    .command("status")
    .summary("show the replicas, and what is wrong with them")
    .description(
      "Shows each replica: whether it votes, up to which entry it knows what was chosen, how far that is behind the end of the " +
        "log, and where it runs. Answers also when the plane has no leader. What somebody should do follows as sentences.",
    )
    .option("--json", "what the plane answers, as one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async ({ json }: LogOptions, self: Command) => {
      const answer = await getLog(await planeOf(self));
      if (json === true) printJson(answer);
      else process.stdout.write(formatLog(answer));
    });

  log
    .command("add")
    .summary("add a member")
    .description(
      "Brings a replica up to date and gives it a vote. Its name is new, or that of one that was removed. Returns when the log " +
        "says so; a long log takes its time. Needs an operator's context.",
    )
    .argument("<replica>", "replica-1 to replica-999")
    .option("--json", "the members as one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action((replica: string, options: LogOptions, self: Command) =>
      change({ type: "add", replica: replicaName(replica) }, options, self),
    );

  log
    .command("remove")
    .summary("remove a member")
    .description(
      "Takes a replica's vote away. It may be dead or alive; what it stored stays where it is and is not asked for any more. " +
        "Refused when the others could not decide without it. Needs an operator's context.",
    )
    .argument("<replica>", "one of the members")
    .option("--json", "the members as one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action((replica: string, options: LogOptions, self: Command) =>
      change({ type: "remove", replica: replicaName(replica) }, options, self),
    );

  log
    .command("replace")
    .summary("replace a member, dead or alive, by another replica")
    .description(
      "Brings the second replica up to date and gives it the vote of the first, in one step, so that the number of votes never " +
        "changes. Refused when the new members could not decide. Needs an operator's context.",
    )
    .argument("<replica>", "one of the members")
    .argument("<by>", "the replica that takes its vote")
    .option("--json", "the members as one JSON document")
    .addHelpText("after", EXIT_CODES_HELP)
    .action((replica: string, by: string, options: LogOptions, self: Command) =>
      change({ type: "replace", replica: replicaName(replica), by: replicaName(by) }, options, self),
    );

  log
    .command("verify")
    .summary("read every record of every member, and compare them")
    .description(
      "Reads the whole log at all members and reports what differs, is missing, damaged or behind. It changes nothing that is " +
        "sound; a member with a damaged record does not vote until the leader has repaired it. Needs an operator's context.",
    )
    .option("--json", "what was found as one JSON document")
    .addHelpText("after", VERIFY_EXIT_CODES_HELP)
    .action(async ({ json }: LogOptions, self: Command) => {
      const verification = await verify(await planeOf(self), { progress: showProgress }).finally(clearProgress);
      if (json === true) printJson(verification);
      else process.stdout.write(formatVerification(verification));
      process.exitCode = verification.findings.length === 0 ? EXIT.ok : EXIT.failed;
    });
}

async function change(wanted: ChangeJson, { json }: LogOptions, self: Command): Promise<void> {
  const plane = await planeOf(self);
  const say = (line: string): void => void process.stderr.write(`mesoflare: ${line}\n`);
  for (const signal of STOP_SIGNALS) {
    process.once(signal, () => {
      say("no longer waiting; the change may still be made: 'mesoflare log status' shows the members");
      process.exit(signalExit(constants.signals[signal]));
    });
  }
  const members = await changeAndWait(plane, wanted, { say });
  if (json === true) printJson(members);
  else process.stdout.write(changedText(wanted, members));
}

/** One line of the terminal, written over; a file or a pipe gets none. */
function showProgress(through: number, end: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[Kverified ${through} of ${end} entries`);
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\u001B[K");
}
