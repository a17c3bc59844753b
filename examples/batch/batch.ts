// What a batch knows of its commands, and what follows from an update: plain functions, no plane and no file.
//
// Rules: a command is launched only while it waits, under a task id that was never used before. It waits again only when
// its task was surely not started. Whether it has run when its agent is gone with it, nobody can say: it is lost, and not
// repeated. What has ended stays as it is, whatever else is heard.
import { asTaskId, parseExitMessage, type AgentId, type TaskId, type TaskStatus } from "mesoflare/scheduler";

/** Launches of one command that came to nothing, after which it is given up. */
export const ATTEMPTS_MAX = 20;
/** As a shell shows a process that a signal has ended. */
const SIGNAL_EXIT = 128;

export type Progress =
  | { readonly state: "waiting" }
  /** `started`: its agent was heard to have it. */
  | { readonly state: "launched"; readonly agentId: AgentId; readonly started: boolean }
  /** Without an exit code `why` says what happened instead. */
  | { readonly state: "ended"; readonly exitCode?: number; readonly why?: string };

export interface Command {
  readonly line: string;
  /** Launches so far. */
  readonly attempts: number;
  readonly progress: Progress;
}

export interface Batch {
  readonly version: 1;
  readonly plane: string;
  readonly frameworkId?: string;
  /** The framework is torn down: there is nothing left to ask or to do. */
  readonly removed: boolean;
  readonly commands: readonly Command[];
}

export const newBatch = (plane: string, lines: readonly string[]): Batch => ({
  version: 1,
  plane,
  removed: false,
  commands: lines.map((line) => ({ line, attempts: 0, progress: { state: "waiting" } })),
});

/** The task of the last launch. Only the number and the attempt, which are both in the file before anything is asked. */
export const taskIdOf = (index: number, attempts: number): TaskId => asTaskId(`command-${index + 1}-${attempts}`);

export interface NumberedCommand extends Command {
  readonly index: number;
}

const numbered = ({ commands }: Batch): readonly NumberedCommand[] =>
  commands.map((command, index) => ({ ...command, index }));

export const waitingIn = (batch: Batch): readonly NumberedCommand[] =>
  numbered(batch).filter(({ progress }) => progress.state === "waiting");

export const isOver = ({ commands }: Batch): boolean => commands.every(({ progress }) => progress.state === "ended");

/** Tasks that were launched, and whose end is not known. */
export const openTasks = (batch: Batch): readonly { readonly taskId: TaskId; readonly agentId: AgentId }[] =>
  numbered(batch).flatMap(({ index, attempts, progress }) =>
    progress.state === "launched" ? [{ taskId: taskIdOf(index, attempts), agentId: progress.agentId }] : [],
  );

/** Of the command whose last launch has this id; undefined when there is none, or not any more. */
export function indexOf({ commands }: Batch, taskId: TaskId): number | undefined {
  const index = Number(/^command-(\d+)-\d+$/.exec(taskId)?.[1]) - 1;
  const command = commands[index];
  return command !== undefined && taskIdOf(index, command.attempts) === taskId ? index : undefined;
}

export function launched(batch: Batch, indexes: readonly number[], agentId: AgentId): Batch {
  return changed(batch, indexes, ({ line, attempts }) => ({
    line,
    attempts: attempts + 1,
    progress: { state: "launched", agentId, started: false },
  }));
}

/** The plane has refused the call that was to launch them. */
export const notLaunched = (batch: Batch, indexes: readonly number[]): Batch =>
  changed(batch, indexes, (command) =>
    command.progress.state === "launched" ? { ...command, progress: { state: "waiting" } } : command,
  );

export const cancelled = (batch: Batch): Batch => ({
  ...batch,
  commands: batch.commands.map((command) =>
    command.progress.state === "ended" ? command : { ...command, progress: { state: "ended", why: "cancelled" } },
  ),
});

/** The same batch when the update says nothing new. */
export function afterUpdate(batch: Batch, status: TaskStatus): Batch {
  const index = indexOf(batch, status.task_id.value);
  const command = index === undefined ? undefined : batch.commands[index];
  if (index === undefined || command === undefined) return batch;
  const progress = progressAfter(command, status);
  return progress === command.progress ? batch : changed(batch, [index], () => ({ ...command, progress }));
}

function changed(batch: Batch, indexes: readonly number[], change: (command: Command) => Command): Batch {
  const these = new Set(indexes);
  return {
    ...batch,
    commands: batch.commands.map((command, index) => (these.has(index) ? change(command) : command)),
  };
}

function progressAfter({ progress, attempts }: Command, status: TaskStatus): Progress {
  if (progress.state !== "launched") return progress;
  const isAnswer = status.reason === "REASON_RECONCILIATION";
  switch (status.state) {
    case "TASK_STAGING": // the plane has it; whether its agent does, nobody has said
    case "TASK_UNREACHABLE": // its agent may come back with it
      return progress;
    case "TASK_STARTING":
    case "TASK_RUNNING":
    case "TASK_KILLING":
      return progress.started ? progress : { ...progress, started: true };
    case "TASK_FINISHED":
    case "TASK_FAILED":
    case "TASK_KILLED":
      // An answer has no exit code. The agent's own update has it, and comes until it is acknowledged.
      return isAnswer ? progress : { state: "ended", ...endOf(status) };
    case "TASK_DROPPED": // not started, and never will be
      return again(attempts, status);
    case "TASK_GONE":
      // Its agent is there and does not have it. If nobody ever heard of it, then the launch did not arrive.
      return isAnswer && !progress.started ? again(attempts, status) : { state: "ended", why: lost(status) };
    case "TASK_ERROR":
      return { state: "ended", why: wordsOf(status) };
    default:
      return { state: "ended", why: lost(status) };
  }
}

const again = (attempts: number, status: TaskStatus): Progress =>
  attempts < ATTEMPTS_MAX
    ? { state: "waiting" }
    : { state: "ended", why: `not started in ${attempts} attempts: ${wordsOf(status)}` };

function endOf(status: TaskStatus): { readonly exitCode?: number; readonly why?: string } {
  const exit = parseExitMessage(status.message);
  if (exit?.type === "exited") return { exitCode: exit.code };
  if (exit?.type === "signaled") return { exitCode: SIGNAL_EXIT + exit.signal, why: wordsOf(status) };
  return status.state === "TASK_FINISHED" ? { exitCode: 0 } : { why: wordsOf(status) };
}

const lost = (status: TaskStatus): string => `lost, it may have run: ${wordsOf(status)}`;

const wordsOf = ({ state, reason, message }: TaskStatus): string =>
  [state, reason, message].filter((part) => part !== undefined && part !== "").join(": ");
