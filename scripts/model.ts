// Checks the model of the log, docs/model/log.pml, with Spin: every configuration must hold, every broken rule must show.
// `npm run model -- --help`
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

type Expectation = "holds" | "violated";

interface Run {
  readonly name: string;
  readonly says: string;
  readonly defines: readonly string[];
  readonly expected: Expectation;
}

interface Configuration {
  readonly name: string;
  readonly says: string;
  readonly defines: readonly string[];
  /** A part of the configuration that is enough to reach its goal, when the whole is slow. */
  readonly goalDefines?: readonly string[];
}

const CONFIGURATIONS: readonly Configuration[] = [
  { name: "election", says: "3 ballots, 2 positions", defines: ["C=3", "N=2"] },
  { name: "recovery", says: "one storage lost, 2 ballots, 3 positions", defines: ["RECOVERY", "C=2", "N=3"] },
  { name: "recovery-ballots", says: "one storage lost, 3 ballots, 2 positions", defines: ["RECOVERY", "C=3", "N=2"] },
  {
    name: "recovery-twice",
    says: "two storages lost, 2 ballots, 3 positions",
    defines: ["RECOVERY", "LOSSES=2", "C=2", "N=3"],
    goalDefines: ["RECOVERY", "LOSSES=2", "C=1", "N=3"],
  },
  { name: "reconfigure", says: "two changes, 2 ballots, 3 positions", defines: ["RECONFIGURE", "C=2", "N=3"] },
  { name: "reconfigure-ballots", says: "one change, 3 ballots, 2 positions", defines: ["RECONFIGURE", "C=3", "N=2"] },
];

const BROKEN_RULES: readonly Configuration[] = [
  { name: "H1", says: "an accepted write raises the promise", defines: ["BREAK_H1", "C=3", "N=2"] },
  {
    name: "H2",
    says: "a replica that lost its storage does not vote in its old seat",
    defines: ["BREAK_H2", "RECOVERY", "C=2", "N=2"],
  },
  { name: "H3", says: "a refused coordinator stops", defines: ["BREAK_H3", "C=3", "N=2"] },
  {
    name: "rule21",
    says: "catch-up alone does not give the vote back",
    defines: ["BREAK_RULE21", "RECOVERY", "C=2", "N=2"],
  },
  { name: "nonce", says: "a restarted coordinator uses a new ballot", defines: ["BREAK_NONCE", "C=3", "N=2"] },
  {
    name: "membership",
    says: "a vote goes by one membership, known to both sides",
    defines: ["BREAK_MEMBERSHIP", "RECONFIGURE", "C=2", "N=2"],
  },
  {
    name: "seat-promise",
    says: "a new seat promises the ballot of its entry",
    defines: ["BREAK_SEAT_PROMISE", "RECOVERY", "C=2", "N=2"],
  },
  {
    name: "entry-ballot",
    says: "and it is a ballot that chose the entry, not one that only wrote it",
    defines: ["BREAK_ENTRY_BALLOT", "RECOVERY", "C=3", "N=2"],
  },
];

const RUNS: readonly Run[] = [
  ...CONFIGURATIONS.map((configuration): Run => ({ ...configuration, expected: "holds" })),
  ...CONFIGURATIONS.map(({ name, defines, goalDefines = defines }): Run => ({
    name: `${name}-goal`,
    says: "it goes somewhere",
    defines: [...goalDefines, "GOAL"],
    expected: "violated",
  })),
  ...BROKEN_RULES.map(({ name, says, defines }): Run => ({
    name: `break-${name}`,
    says,
    defines,
    expected: "violated",
  })),
];

const NAME_WIDTH = Math.max(...RUNS.map(({ name }) => name.length));
const USAGE = `Checks the model of the log with Spin: all states, all orders of the messages, within small bounds.

  npm run model -- [--only NAME] [--keep]

  --only NAME  one run, with the steps that led to a violation
  --keep       leave the generated checker and the trails where they are
  --help       this text

Runs that must hold, runs that must reach their goal, and runs with a rule broken, which must be violated:
${RUNS.map(({ name, says }) => `  ${name.padEnd(NAME_WIDTH)}  ${says}`).join("\n")}

Exit: 0 all as expected, 1 not so, 2 usage, or spin or cc is missing.`;

const MODEL = fileURLToPath(new URL("../docs/model/log.pml", import.meta.url));
/** The largest run needs 1.4 GB. */
const MEMORY_MB_MAX = 2_000;
/** Steps of one execution, an atomic one counted by its statements. No run gets deeper than a few hundred. */
const DEPTH_MAX = 10_000;
/** First size of the hash table, as a power of two: it grows. */
const HASH_BITS = 24;
/** Output of one program that is kept, bytes. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

function fail(reason: string): never {
  console.error(`model: ${reason}`);
  process.exit(2);
}

function parseRequest(): { readonly only: string | undefined; readonly keep: boolean } {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        only: { type: "string" },
        keep: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
  }
  if (values.help === true) {
    console.log(USAGE);
    process.exit(0);
  }
  const { only, keep = false } = values;
  if (only !== undefined && !RUNS.some(({ name }) => name === only)) fail(`no run '${only}'\n\n${USAGE}`);
  return { only, keep };
}

function execute(program: string, programArguments: readonly string[], directory: string): string {
  const { error, status, stdout, stderr } = spawnSync(program, programArguments, {
    cwd: directory,
    encoding: "utf8",
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  if (error !== undefined) throw error;
  // pan says by its status that it found something; what it found is in its output.
  if (status !== 0 && program !== "./pan") throw new Error(`${program} failed:\n${stdout}${stderr}`);
  return stdout + stderr;
}

function requirePrograms(): void {
  for (const [program, flag] of [
    ["spin", "-V"],
    ["cc", "--version"],
  ] as const) {
    if (spawnSync(program, [flag]).error !== undefined) {
      fail(`${program} is missing. Install the Debian packages spin and gcc: apt-get install spin gcc`);
    }
  }
}

type Outcome = Expectation | "not completed";

interface Found {
  readonly outcome: Outcome;
  readonly states: number;
  readonly depth: number;
  readonly seconds: number;
  readonly memoryMb: number;
  /** What the model printed on the way to the violation. */
  readonly steps: readonly string[];
  readonly output: string;
}

function numberIn(output: string, pattern: RegExp): number {
  return Number(pattern.exec(output)?.[1] ?? Number.NaN);
}

function outcomeOf(output: string): Outcome {
  // A bound of memory or depth that was hit makes an answer worthless, and pan counts only the second as an error.
  if (output.includes("assertion violated")) return "violated";
  const isComplete = output.includes("errors: 0") && !/Search not completed|max search depth too small/.test(output);
  return isComplete ? "holds" : "not completed";
}

function check({ defines }: Run, directory: string): Found {
  mkdirSync(directory, { recursive: true });
  execute("spin", ["-a", ...defines.map((define) => `-D${define}`), MODEL], directory);
  execute("cc", ["-O2", "-DSAFETY", "-DNOREDUCE", `-DMEMLIM=${MEMORY_MB_MAX}`, "-o", "pan", "pan.c"], directory);
  // -E: an execution may end, when all messages that can still do something were lost.
  const output = execute("./pan", ["-E", `-m${DEPTH_MAX}`, `-w${HASH_BITS}`], directory);
  const outcome = outcomeOf(output);
  const replay = outcome === "violated" ? execute("./pan", ["-r", "log.pml.trail"], directory) : "";
  return {
    outcome,
    states: numberIn(output, /(\d[\d.e+]*) states, stored/),
    depth: numberIn(output, /depth reached (\d+)/),
    seconds: numberIn(output, /elapsed time ([\d.]+)/),
    memoryMb: numberIn(output, /([\d.]+)\s+total actual memory usage/),
    steps: replay.split("\n").filter((line) => /^(storage|coordinator|value) \d/.test(line)),
    output,
  };
}

const { only, keep } = parseRequest();
requirePrograms();
const work = mkdtempSync(join(tmpdir(), "mesoflare-model-"));
let unexpected = 0;
let mustKeep = keep;
console.log(`${"".padEnd(NAME_WIDTH)}      states  depth  seconds    MB`);
for (const run of RUNS) {
  if (only !== undefined && run.name !== only) continue;
  const directory = join(work, run.name);
  const found = check(run, directory);
  const isExpected = found.outcome === run.expected;
  console.log(
    [
      run.name.padEnd(NAME_WIDTH),
      String(found.states).padStart(10),
      String(found.depth).padStart(5),
      found.seconds.toFixed(1).padStart(7),
      found.memoryMb.toFixed(0).padStart(4),
      `${found.outcome}, ${isExpected ? "as expected" : `but expected: ${run.expected}`}`,
    ].join("  "),
  );
  if (!isExpected) {
    unexpected += 1;
    mustKeep = true;
    writeFileSync(join(directory, "pan.out"), found.output);
    if (found.outcome === "violated") {
      for (const step of found.steps) console.log(`    ${step}`);
      console.log(`    all variables: cd ${directory} && ./pan -r log.pml.trail`);
    } else {
      console.log(`    what the checker said: ${join(directory, "pan.out")}`);
    }
  } else if (only !== undefined) {
    for (const step of found.steps) console.log(`    ${step}`);
  }
}
if (mustKeep) console.log(`kept: ${work}`);
else rmSync(work, { recursive: true });
process.exitCode = unexpected === 0 ? 0 : 1;
