import { describe, expect, test } from "vitest";
import { BROKEN_RULES, type BrokenRule } from "./broken-rules.ts";
import { FAULT_KINDS } from "./faults.ts";
import { Simulation, type SimulationResult } from "./simulation.ts";

const SEEDS = 500;
/** Seeds within which a broken rule must show. Most show within a few. */
const BROKEN_SEEDS_MAX = 10_000;

/** Seeds that once found something stay here, each named for what it found. */
const REGRESSIONS: readonly (readonly [seed: number, found: string])[] = [
  [
    274,
    "[L33] who had learned some entries helped to elect and went away: nobody could show them until the next election",
  ],
  [176, "[L15] only a removed replica had learned the newest membership: it is asked for the entries, too"],
  [823, "[L24] a candidate knew a membership that none of the reachable members had learned"],
  [3550, "[L12] two of three members had damaged records: they repair each other before anybody leads"],
  [135, "[L25] a quorum of which one had truncated more than the others was read"],
  [800, "[R3] [L38] a chunk and a batch in one write: the batch was chosen behind a successor's leader entry"],
  [92, "[R16] the end of a log that was being written was followed for as long as it was written"],
];

const explain = (seed: number) => `replay: npm run simulate -- --replay ${seed}`;

describe("the simulation", () => {
  test(
    `[L2] [L6] [L8] [L16] [L23] [R4] [R22] [R23] ${SEEDS} seeds: one value a position, nothing acknowledged is lost, and it converges`,
    { timeout: 300_000 },
    () => {
      const results: SimulationResult[] = [];
      for (let seed = 1; seed <= SEEDS; seed++) {
        const result = new Simulation(seed).run();
        expect(result.violations, explain(seed)).toEqual([]);
        results.push(result);
      }
      // It simulates what it says: every kind of fault, changes of the membership, truncation, and much that was acknowledged.
      for (const kind of FAULT_KINDS)
        expect(
          results.some(({ faults }) => faults[kind] > 0),
          kind,
        ).toBe(true);
      const sum = (value: (result: SimulationResult) => number) =>
        results.reduce((total, one) => total + value(one), 0);
      expect(sum(({ acknowledged }) => acknowledged)).toBeGreaterThan(100 * SEEDS);
      expect(sum(({ changes }) => changes)).toBeGreaterThan(SEEDS / 2);
      expect(sum(({ truncated }) => truncated)).toBeGreaterThan(10 * SEEDS);
      expect(sum(({ snapshots }) => snapshots)).toBeGreaterThan(SEEDS / 2);
    },
  );

  test.each(REGRESSIONS)("seed %i: %s", (seed) => {
    expect(new Simulation(seed).run().violations, explain(seed)).toEqual([]);
  });

  test("a seed replays to the same messages", () => {
    expect(new Simulation(5).run()).toEqual(new Simulation(5).run());
  });

  test.each(Object.keys(BROKEN_RULES) as BrokenRule[])(
    "with rule %s off a violation is found",
    { timeout: 300_000 },
    (broken) => {
      let violations: readonly string[] = [];
      for (let seed = 1; seed <= BROKEN_SEEDS_MAX && violations.length === 0; seed++) {
        ({ violations } = new Simulation(seed, { broken }).run());
      }
      expect(violations).not.toEqual([]);
    },
  );
});
