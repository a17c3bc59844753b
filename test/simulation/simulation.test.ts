import { describe, expect, test } from "vitest";
import { BROKEN_RULES } from "./replica-host.ts";
import { Simulation } from "./simulation.ts";

const SEEDS = 200;

/** Seeds that once found something stay here, each named for what it found. */
const REGRESSIONS: readonly (readonly [seed: number, found: string])[] = [];

const explain = (seed: number) => `replay: npm run simulate -- --replay ${seed}`;

describe("the simulation", () => {
  test(
    `[L2] [L6] [L8] [L16] [R4] ${SEEDS} seeds: one value a position, nothing acknowledged is lost, and it converges`,
    { timeout: 120_000 },
    () => {
      let acknowledged = 0;
      for (let seed = 1; seed <= SEEDS; seed++) {
        const result = new Simulation(seed).run();
        expect(result.violations, explain(seed)).toEqual([]);
        acknowledged += result.acknowledged;
      }
      expect(acknowledged).toBeGreaterThan(10 * SEEDS);
    },
  );

  test.runIf(REGRESSIONS.length > 0).each(REGRESSIONS)("seed %i: %s", (seed) => {
    expect(new Simulation(seed).run().violations, explain(seed)).toEqual([]);
  });

  test("a seed replays to the same messages", () => {
    expect(new Simulation(5).run()).toEqual(new Simulation(5).run());
  });

  test.each(BROKEN_RULES)("with rule %s off a violation is found", { timeout: 120_000 }, (broken) => {
    let violations: readonly string[] = [];
    for (let seed = 1; seed <= 400 && violations.length === 0; seed++) {
      ({ violations } = new Simulation(seed, { broken }).run());
    }
    expect(violations).not.toEqual([]);
  });
});
