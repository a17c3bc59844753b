// Runs seeds of the simulation and says what they found. `npm run simulate -- --help`
import { parseArgs } from "node:util";
import { BROKEN_RULES, type BrokenRule } from "../test/simulation/replica-host.ts";
import { FAULT_KINDS, Simulation, type SimulationResult } from "../test/simulation/simulation.ts";

const USAGE = `Runs the log and the Registrar on virtual time with faults, and checks every message.

  npm run simulate -- [--seeds A..B] [--break H1|H2|H3]
  npm run simulate -- --replay SEED [--break H1|H2|H3]

  --seeds A..B   seeds to run, both included (default 1..200)
  --replay SEED  one seed, with its counts
  --break RULE   switch a rule off; a violation is then expected, and exit 1
                   H1  an accepted write raises the promise
                   H2  a replica that lost its storage does not vote
                   H3  a refused writer stops
  --help         this text

Exit: 0 no violation, 1 a violation, 2 usage.`;

/** Failing seeds printed before the run ends. */
const FAILURES_MAX = 10;

interface Request {
  readonly from: number;
  readonly to: number;
  readonly broken: BrokenRule | undefined;
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
  const broken = BROKEN_RULES.find((rule) => rule === values.break);
  if (values.break !== undefined && broken === undefined) {
    return usageError(`no rule '${values.break}', there are ${BROKEN_RULES.join(", ")}`);
  }
  if (values.seeds !== undefined && values.replay !== undefined)
    return usageError("give --seeds or --replay, not both");
  const range = values.replay === undefined ? (values.seeds ?? "1..200") : `${values.replay}..${values.replay}`;
  const match = /^(\d{1,9})\.\.(\d{1,9})$/.exec(range);
  if (match === null)
    return usageError(`'${values.replay ?? range}' is no ${values.replay === undefined ? "range A..B" : "seed"}`);
  const [from, to] = [Number(match[1]), Number(match[2])];
  if (from > to) return usageError(`the range ${range} is empty`);
  return { from, to, broken };
}

const { from, to, broken } = parseRequest();
const totals = { messages: 0, chosen: 0, acknowledged: 0, elections: 0 };
const faults = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0]));
const failures: SimulationResult[] = [];
let seeds = 0;
for (let seed = from; seed <= to && failures.length < FAILURES_MAX; seed++) {
  const result = new Simulation(seed, { broken }).run();
  seeds += 1;
  totals.messages += result.messages;
  totals.chosen += result.chosen;
  totals.acknowledged += result.acknowledged;
  totals.elections += result.elections;
  for (const kind of FAULT_KINDS) faults[kind] = (faults[kind] ?? 0) + result.faults[kind];
  if (result.violations.length > 0) failures.push(result);
}

console.log(
  `seeds        ${seeds} (${from}..${from + seeds - 1})${broken === undefined ? "" : `, rule ${broken} off`}`,
);
console.log(`messages     ${totals.messages}`);
console.log(`faults       ${FAULT_KINDS.map((kind) => `${kind} ${faults[kind]}`).join(", ")}`);
console.log(`elections    ${totals.elections}`);
console.log(`positions    ${totals.chosen} chosen`);
console.log(`operations   ${totals.acknowledged} acknowledged`);
console.log(`violations   ${failures.length === 0 ? "none" : `in ${failures.length} seeds`}`);
for (const { seed, violations } of failures) {
  console.log(`\nseed ${seed}:`);
  for (const violation of violations) console.log(`  ${violation}`);
  console.log(`  replay: npm run simulate -- --replay ${seed}${broken === undefined ? "" : ` --break ${broken}`}`);
}
process.exitCode = failures.length === 0 ? 0 : 1;
