// Runs seeds of the simulation and says what they found. `npm run simulate -- --help`
import { parseArgs } from "node:util";
import { BROKEN_RULES, type BrokenRule, isBrokenRule } from "../test/simulation/broken-rules.ts";
import { CLUSTER_RULES, type ClusterRule, isClusterRule } from "../test/simulation/cluster/broken-rules.ts";
import { FAULT_KINDS } from "../test/simulation/faults.ts";
import { Simulation, type SimulationResult, TICK_MS } from "../test/simulation/simulation.ts";

const listed = (rules: Readonly<Record<string, string>>): string =>
  Object.entries(rules)
    .map(([name, rule]) => `                   ${name.padEnd(24)}  ${rule}`)
    .join("\n");

const USAGE = `Runs the log and the Registrar on virtual time with faults, and checks every message; with --cluster the whole plane with
its agents and frameworks.

  npm run simulate -- [--cluster] [--seeds A..B] [--break RULE]
  npm run simulate -- [--cluster] --replay SEED [--break RULE] [--trace]

  --cluster      masters, gateways, agents, hosts and frameworks, on the log
  --seeds A..B   seeds to run, both included (default 1..200)
  --replay SEED  one seed, with its counts
  --trace        with --cluster: everything that happens, as lines
  --break RULE   switch a rule off; a violation is then expected, and exit 1. Of the log:
${listed(BROKEN_RULES)}
                 With --cluster:
${listed(CLUSTER_RULES)}
  --help         this text

Exit: 0 no violation, 1 a violation, 2 usage.`;

/** Failing seeds after which the run ends; one, when a rule is off. */
const FAILURES_MAX = 10;
/** Seeds between two marks of progress on a terminal. */
const PROGRESS_SEEDS = 100;

interface Request {
  readonly from: number;
  readonly to: number;
  readonly broken: BrokenRule | undefined;
  /** The whole cluster is to be run, with this rule off. */
  readonly cluster: { readonly broken: ClusterRule | undefined; readonly isTraced: boolean } | undefined;
}

function usageError(reason: string): never {
  console.error(`simulate: ${reason}\n\n${USAGE}`);
  process.exit(2);
}

function parseRequest(): Request {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        seeds: { type: "string" },
        replay: { type: "string" },
        break: { type: "string" },
        cluster: { type: "boolean", default: false },
        trace: { type: "boolean", default: false },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    return usageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help === true) {
    console.log(USAGE);
    process.exit(0);
  }
  const { break: rule, cluster: isCluster, trace: isTraced } = values;
  const broken = rule !== undefined && !isCluster && isBrokenRule(rule) ? rule : undefined;
  const brokenOfCluster = rule !== undefined && isCluster && isClusterRule(rule) ? rule : undefined;
  if (rule !== undefined && broken === undefined && brokenOfCluster === undefined) {
    const rules = Object.keys(isCluster ? CLUSTER_RULES : BROKEN_RULES).join(", ");
    return usageError(`no rule '${rule}', there are ${rules}`);
  }
  if (isTraced && !isCluster) return usageError("--trace is there with --cluster only");
  if (values.seeds !== undefined && values.replay !== undefined)
    return usageError("give --seeds or --replay, not both");
  const range = values.replay === undefined ? (values.seeds ?? "1..200") : `${values.replay}..${values.replay}`;
  const match = /^(\d{1,9})\.\.(\d{1,9})$/.exec(range);
  if (match === null)
    return usageError(`'${values.replay ?? range}' is no ${values.replay === undefined ? "range A..B" : "seed"}`);
  const [from, to] = [Number(match[1]), Number(match[2])];
  if (from > to) return usageError(`the range ${range} is empty`);
  return { from, to, broken, cluster: isCluster ? { broken: brokenOfCluster, isTraced } : undefined };
}

const SUMMED = [
  "messages",
  "chosen",
  "acknowledged",
  "elections",
  "changes",
  "truncated",
  "snapshots",
  "simulatedMs",
] as const;

const { from, to, broken, cluster } = parseRequest();
if (cluster !== undefined) {
  // Only then: it replaces what the shipped objects take from their platform.
  const { simulateCluster } = await import("./simulate-cluster.ts");
  process.exit(await simulateCluster({ from, to, ...cluster }));
}
const totals = Object.fromEntries(SUMMED.map((name) => [name, 0])) as Record<(typeof SUMMED)[number], number>;
const faults = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0]));
const failures: SimulationResult[] = [];
const isShown = process.stderr.isTTY && to - from >= PROGRESS_SEEDS;
let seeds = 0;
const startedAt = performance.now();
for (let seed = from; seed <= to && failures.length < (broken === undefined ? FAILURES_MAX : 1); seed++) {
  const result = new Simulation(seed, { broken }).run();
  seeds += 1;
  for (const name of SUMMED) totals[name] += result[name];
  for (const kind of FAULT_KINDS) faults[kind] = (faults[kind] ?? 0) + result.faults[kind];
  if (result.violations.length > 0) failures.push(result);
  if (isShown && seeds % PROGRESS_SEEDS === 0) process.stderr.write(`\r${seeds} of ${to - from + 1} seeds`);
}
if (isShown) process.stderr.write("\n");
const seconds = (performance.now() - startedAt) / 1000;
const ticks = Math.round(totals.simulatedMs / TICK_MS);

console.log(
  `seeds        ${seeds} (${from}..${from + seeds - 1})${broken === undefined ? "" : `, rule ${broken} off`}`,
);
console.log(`messages     ${totals.messages}`);
console.log(`faults       ${FAULT_KINDS.map((kind) => `${kind} ${faults[kind]}`).join(", ")}`);
console.log(`elections    ${totals.elections}`);
console.log(`membership   ${totals.changes} changes`);
console.log(`positions    ${totals.chosen} chosen, ${totals.truncated} of them truncated`);
console.log(`snapshots    ${totals.snapshots} of the registry`);
console.log(`appends      ${totals.acknowledged} entries acknowledged`);
console.log(`simulated    ${Math.round(totals.simulatedMs / 1000)} s, ${ticks} ticks of ${TICK_MS} ms`);
console.log(`speed        ${(seeds / seconds).toFixed(1)} seeds/s, ${Math.round(ticks / seconds)} ticks/s`);
console.log(`violations   ${failures.length === 0 ? "none" : `in ${failures.length} seeds`}`);
for (const { seed, violations } of failures) {
  console.log(`\nseed ${seed}:`);
  for (const violation of violations) console.log(`  ${violation}`);
  console.log(`  replay: npm run simulate -- --replay ${seed}${broken === undefined ? "" : ` --break ${broken}`}`);
}
process.exitCode = failures.length === 0 ? 0 : 1;
