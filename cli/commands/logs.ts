// `mesoflare logs`: the output of a task that runs or ran, read from its sandbox through the plane.
import type { Command } from "commander";
import { isTerminal } from "#protocol/task.ts";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { Failure, reasonOf } from "../failure.ts";
import { findTask, listTasks, type TaskJson } from "../mesos-json.ts";
import { followFile, readPiece, type SandboxFile } from "../output-follower.ts";
import type { Plane } from "../plane.ts";
import { planeOf, printJson, warn } from "./shared-options.ts";

/** How often a followed task's state is asked for, ms. */
const STATE_POLL_MS = 1000;

interface LogsOptions {
  readonly follow?: boolean;
  readonly stderr?: boolean;
  readonly json?: boolean;
}

export function addLogs(program: Command): void {
  program
    .command("logs")
    .summary("show a task's output")
    .description("Shows what a task has written to stdout (or stderr) so far; with --follow, goes on until it ends.")
    .argument("<task>", "id of the task, or its name when that is unique")
    .option("-f, --follow", "go on until the task ends")
    .option("--stderr", "what it wrote to stderr instead")
    .option("--json", "one JSON document with the text; with --follow one a line, piece by piece")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async (wanted: string, options: LogsOptions, self: Command) => {
      const plane = await planeOf(self);
      const task = await findTask(plane, wanted);
      process.stdout.on("error", () => process.exit(0)); // `| head` has seen enough
      await (options.follow === true ? follow : showNow)(plane, task, options);
    });
}

const sandboxFile = (task: TaskJson, { stderr }: LogsOptions): SandboxFile => ({
  agentId: task.slave_id,
  frameworkId: task.framework_id,
  executorId: task.executor_id === "" ? task.id : task.executor_id,
  name: stderr === true ? "stderr" : "stdout",
});

async function showNow(plane: Plane, task: TaskJson, options: LogsOptions): Promise<void> {
  const file = sandboxFile(task, options);
  const decoder = new TextDecoder();
  let text = "";
  for (let offset = 0; ;) {
    const piece = await readPiece(plane, file, offset);
    if (piece.type === "unavailable") throw new Failure(piece.reason);
    if (piece.type === "nothing") break;
    offset += piece.bytes.length;
    if (options.json === true) text += decoder.decode(piece.bytes, { stream: true });
    else process.stdout.write(piece.bytes);
  }
  if (options.json === true) printJson({ task_id: task.id, stream: file.name, text: text + decoder.decode() });
}

async function follow(plane: Plane, task: TaskJson, options: LogsOptions): Promise<void> {
  const file = sandboxFile(task, options);
  const decoder = new TextDecoder();
  const write = (bytes: Uint8Array): void => {
    if (options.json !== true) process.stdout.write(bytes);
    else
      process.stdout.write(
        `${JSON.stringify({ task_id: task.id, stream: file.name, text: decoder.decode(bytes, { stream: true }) })}\n`,
      );
  };
  const ended = new AbortController();
  const watching = setInterval(() => {
    hasEnded(plane, task).then(
      (over) => over && ended.abort(),
      (error: unknown) => warn(reasonOf(error)),
    );
  }, STATE_POLL_MS);
  try {
    if (isTerminal(task.state)) ended.abort();
    const problem = await followFile(plane, file, { write, ended: ended.signal });
    if (problem !== undefined) throw new Failure(problem);
  } finally {
    clearInterval(watching);
  }
}

/** A task that the plane has forgotten has ended. */
async function hasEnded(plane: Plane, task: TaskJson): Promise<boolean> {
  const known = await listTasks(plane);
  const current = known.find(({ id, framework_id }) => id === task.id && framework_id === task.framework_id);
  return current === undefined || isTerminal(current.state);
}
