// How a batch went, for whoever reads and for whoever asks by exit code.
import type { Batch, Progress } from "./batch.ts";

export function resultOf(progress: Progress): string {
  if (progress.state !== "ended") return progress.state;
  const { exitCode, why } = progress;
  const code = exitCode === undefined ? undefined : `exit ${exitCode}`;
  return [code, why].filter((part) => part !== undefined).join(", ");
}

const isGood = (progress: Progress): boolean => progress.state === "ended" && progress.exitCode === 0;

export const allWentWell = ({ commands }: Batch): boolean => commands.every(({ progress }) => isGood(progress));

/** A line for each command, and one for all. */
export function summaryOf({ commands }: Batch): string {
  const good = commands.filter(({ progress }) => isGood(progress)).length;
  const lines = commands.map(({ line, progress }, index) => `${index + 1}\t${resultOf(progress)}\t${line}`);
  return `${lines.join("\n")}\n${commands.length} commands: ${good} succeeded, ${commands.length - good} did not\n`;
}
