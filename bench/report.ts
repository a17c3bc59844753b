// How a benchmark says what it found: a table, or one JSON object on the last line. Names of figures are stable.
import { availableParallelism, totalmem } from "node:os";

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What we want: at least this for rates, at most this for times and sizes. */
  readonly aim?: number;
  /** The same figure of another system. `measured` says where it comes from when it is not from this run. */
  readonly peer?: { readonly name: string; readonly value: number; readonly measured?: string };
}

export interface Report {
  readonly bench: string;
  /** What was done, exactly enough to do it again. */
  readonly method: string;
  readonly figures: readonly Figure[];
}

export function formatJson(report: Report): string {
  const machine = { cpus: availableParallelism(), memBytes: totalmem(), node: process.version };
  return JSON.stringify({ bench: report.bench, machine, method: report.method, figures: report.figures });
}

export function formatText({ bench, method, figures }: Report): string {
  const rows = figures.map(({ name, value, unit, aim, peer }) => [
    name,
    `${value} ${unit}`,
    aim === undefined ? "" : `aim ${aim}`,
    peer === undefined ? "" : `${peer.name} ${peer.value}`,
  ]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return [`${bench}: ${method}`, ...lines].join("\n");
}

/** Three digits that count. */
export const rounded = (value: number): number => Number(value.toPrecision(3));

/** The value below which `share` (0 to 1) of the values lie: nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
