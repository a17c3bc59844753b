// From the last update of a task to the exit code of `run`.
import { parseExitMessage, type TaskStatus } from "#protocol/task.ts";
import { EXIT, signalExit } from "../exit-codes.ts";

/** Why `run` itself asked for the task's end. */
export type StopCause = { readonly type: "signal"; readonly signal: number } | { readonly type: "timeout" };

export interface Ending {
  readonly exitCode: number;
  /** For a person, when the code alone does not say it. */
  readonly message?: string;
}

const SIGKILL = 9;

export function stoppedEnding(cause: StopCause, why?: string): Ending {
  if (cause.type === "signal") return { exitCode: signalExit(cause.signal), message: why };
  return { exitCode: EXIT.timeout, message: why === undefined ? "timed out" : `timed out; ${why}` };
}

/** `status` is terminal. What we asked for wins over how the task went down. */
export function endingOf(status: TaskStatus, stop: StopCause | undefined): Ending {
  const exit = parseExitMessage(status.message);
  if (stop !== undefined && status.state !== "TASK_FINISHED") return stoppedEnding(stop);
  switch (status.state) {
    case "TASK_FINISHED":
      return { exitCode: exit?.type === "exited" ? exit.code : EXIT.ok };
    case "TASK_FAILED":
    case "TASK_KILLED":
      return endingByExit(status, exit);
    default:
      return { exitCode: EXIT.planeFailed, message: describe(status) };
  }
}

function endingByExit(status: TaskStatus, exit: ReturnType<typeof parseExitMessage>): Ending {
  if (status.reason === "REASON_CONTAINER_LIMITATION_MEMORY")
    return { exitCode: signalExit(SIGKILL), message: describe(status) };
  const message = status.state === "TASK_KILLED" ? describe(status) : undefined;
  if (exit?.type === "exited" && exit.code !== 0) return { exitCode: exit.code, message };
  if (exit?.type === "signaled") return { exitCode: signalExit(exit.signal), message: describe(status) };
  if (status.state === "TASK_KILLED") return { exitCode: signalExit(SIGKILL), message };
  return { exitCode: EXIT.planeFailed, message: describe(status) };
}

function describe({ state, reason, message }: TaskStatus): string {
  return [state, reason, message].filter((part) => part !== undefined && part !== "").join(": ");
}
