// Runs seeds of the whole cluster for scripts/simulate.ts, and says what they found.
import type { ClusterRule } from "../test/simulation/cluster/broken-rules.ts";
import { type ClusterResult, ClusterSimulation } from "../test/simulation/cluster/cluster.ts";
import { CLUSTER_FAULTS } from "../test/simulation/cluster/faults.ts";

/** Failing seeds after which the run ends; one, when a rule is off. */
const FAILURES_MAX = 10;
/** Seeds between two marks of progress on a terminal. */
const PROGRESS_SEEDS = 20;

export interface ClusterRequest {
  readonly from: number;
  readonly to: number;
  readonly broken: ClusterRule | undefined;
  readonly isTraced: boolean;
}

/** The exit code. */
export async function simulateCluster({ from, to, broken, isTraced }: ClusterRequest): Promise<number> {
  const results: ClusterResult[] = [];
  const failures: ClusterResult[] = [];
  const isShown = process.stderr.isTTY && to - from >= PROGRESS_SEEDS;
  const trace = isTraced ? (line: string): void => console.log(line) : undefined;
  const startedAt = performance.now();
  for (let seed = from; seed <= to && failures.length < (broken === undefined ? FAILURES_MAX : 1); seed++) {
    const result = await new ClusterSimulation(seed, { broken, trace }).run();
    results.push(result);
    if (result.violations.length > 0) failures.push(result);
    if (isShown && results.length % PROGRESS_SEEDS === 0)
      process.stderr.write(`\r${results.length} of ${to - from + 1} seeds`);
  }
  if (isShown) process.stderr.write("\n");
  const seconds = (performance.now() - startedAt) / 1000;
  const sum = (value: (result: ClusterResult) => number): number =>
    results.reduce((total, result) => total + value(result), 0);
  const simulatedSeconds = sum(({ simulatedMs }) => simulatedMs) / 1000;

  const last = from + results.length - 1;
  console.log(`seeds        ${results.length} (${from}..${last})${broken === undefined ? "" : `, rule ${broken} off`}`);
  console.log(
    `faults       ${CLUSTER_FAULTS.map((kind) => `${kind} ${sum(({ faults }) => faults[kind])}`).join(", ")}`,
  );
  console.log(`messages     ${sum(({ calls }) => calls)} calls, ${sum(({ logMessages }) => logMessages)} of the log`);
  console.log(`epochs       ${sum(({ epochs }) => epochs)}`);
  const counted = ["registered", "shutdowns", "started", "ended", "told", "news"] as const;
  console.log(`said         ${counted.map((name) => `${name} ${sum(({ counts }) => counts[name])}`).join(", ")}`);
  console.log(
    `simulated    ${Math.round(simulatedSeconds)} s, ${Math.round(simulatedSeconds / results.length)} s a seed`,
  );
  console.log(
    `speed        ${(results.length / seconds).toFixed(1)} seeds/s, ${Math.round(simulatedSeconds / seconds)} times real time`,
  );
  console.log(`violations   ${failures.length === 0 ? "none" : `in ${failures.length} seeds`}`);
  for (const { seed, violations } of failures) {
    console.log(`\nseed ${seed}:`);
    for (const violation of violations) console.log(`  ${violation}`);
    console.log(
      `  replay: npm run simulate -- --cluster --replay ${seed}${broken === undefined ? "" : ` --break ${broken}`} --trace`,
    );
  }
  return failures.length === 0 ? 0 : 1;
}
