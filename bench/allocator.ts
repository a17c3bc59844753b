// `bench -- allocator`: how long the allocator itself takes, without the master around it: a cycle that offers every agent, and a run in which
// one agent has changed.
import { performance } from "node:perf_hooks";
import { present } from "#base/assert.ts";
import { seededRandom } from "#base/random.ts";
import { type Millis, millis } from "#base/time.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import { fromResources } from "#resources/resources.ts";
import {
  addAgent,
  addFramework,
  type Allocation,
  type Allocator,
  MIN_ALLOCATABLE_DEFAULT,
  newAllocator,
  recover,
  run,
} from "../src/master/allocator/hierarchical.ts";
import { median } from "./log/load.ts";
import { rounded, type Report } from "./report.ts";

const SIZES = [
  { name: "1k", agents: 1_000, frameworks: 100, aim: 0.03 },
  { name: "5k", agents: 5_000, frameworks: 500, aim: 0.2 },
  { name: "10k", agents: 10_000, frameworks: 1_000, aim: 0.6 },
  { name: "20k", agents: 20_000, frameworks: 2_000, aim: 2 },
] as const;
const CYCLES = 15;
const DELTAS = 501;
const JOINS = 101;
const FRAMEWORKS_IN_ROLE = 10;
/** Every so many agents one has something reserved. */
const RESERVED_EVERY = 10;
const SEED = 1;
const DELTA_MS_AIM = 5;

export async function allocator(): Promise<Report> {
  const cycles: (readonly number[])[] = [];
  let deltas: readonly number[] = [];
  let joins: readonly number[] = [];
  let refusedMs = 0;
  for (const size of SIZES) {
    const cluster = new Cluster(size);
    cycles.push(cluster.cycles());
    if (size.name === "20k") {
      deltas = cluster.deltas();
      joins = cluster.joins();
      refusedMs = cluster.refused();
    }
    process.stderr.write(`${size.name}\n`);
  }
  return {
    bench: "allocator",
    method:
      `agents of 16 cpus, 64 GB, disk and ports, every ${RESERVED_EVERY}th with 4 cpus and 8 GB more that are reserved to one role; a tenth as many frameworks, ` +
      `${FRAMEWORKS_IN_ROLE} in each role, half of the roles below another. cycle: a run in which everything is free and given to whoever's turn it is, median of ${CYCLES}. ` +
      `delta: everything is given, one agent comes back, and the run that gives it anew, median of ${DELTAS}; joined: an agent is added, by which every share ` +
      `is another, and the run that gives it, median of ${JOINS}; refused: the same when every framework in turn has ` +
      `refused the agent, slowest single run`,
    figures: [
      ...SIZES.map(({ name, aim }, at) => ({
        name: `cycle_s_${name}`,
        value: rounded(median(present(cycles[at], name)) / 1000),
        unit: "s",
        aim,
      })),
      { name: "delta_ms_20k", value: rounded(median(deltas)), unit: "ms", aim: DELTA_MS_AIM },
      { name: "delta_joined_ms_20k", value: rounded(median(joins)), unit: "ms", aim: DELTA_MS_AIM },
      { name: "delta_refused_ms_20k", value: rounded(refusedMs), unit: "ms" },
    ],
  };
}

class Cluster {
  readonly #allocator: Allocator;
  readonly #size: { readonly agents: number; readonly frameworks: number };
  #now = millis(0);

  constructor(size: { readonly agents: number; readonly frameworks: number }) {
    this.#size = size;
    this.#allocator = newAllocator({
      minAllocatable: MIN_ALLOCATABLE_DEFAULT,
      fairSharingExcluded: [],
      random: seededRandom(SEED),
      region: undefined,
    });
    const roles = size.frameworks / FRAMEWORKS_IN_ROLE;
    const roleOf = (n: number): string => (n % 2 === 0 ? `role-${n}` : `role-${n - 1}/sub`);
    for (let n = 0; n < size.frameworks; n++)
      addFramework(this.#allocator, {
        frameworkId: `framework-${n}` as FrameworkId,
        roles: [roleOf(n % roles)],
        suppressedRoles: new Set(),
        capabilities: {
          gpuResources: false,
          regionAware: false,
          reservationRefinement: true,
          revocable: false,
          shared: false,
        },
        isActive: true,
      });
    for (let n = 0; n < size.agents; n++)
      addAgent(this.#allocator, {
        agentId: `agent-${n}` as AgentId,
        hostname: `host-${n}`,
        total: fromResources([
          { name: "cpus", type: "SCALAR", scalar: { value: 16 } },
          { name: "mem", type: "SCALAR", scalar: { value: 65_536 } },
          { name: "disk", type: "SCALAR", scalar: { value: 500_000 } },
          { name: "ports", type: "RANGES", ranges: { range: [{ begin: 31_000, end: 32_000 }] } },
          ...(n % RESERVED_EVERY === 0
            ? [
                { name: "cpus", type: "SCALAR" as const, scalar: { value: 4 }, role: roleOf(n % roles) },
                { name: "mem", type: "SCALAR" as const, scalar: { value: 8_192 }, role: roleOf(n % roles) },
              ]
            : []),
        ]),
        attributes: [],
        region: undefined,
        zone: undefined,
        isActive: true,
      });
  }

  #run(): { readonly made: readonly Allocation[]; readonly ms: number } {
    const startedAt = performance.now();
    const made = run(this.#allocator, this.#now);
    return { made, ms: performance.now() - startedAt };
  }

  cycles(): readonly number[] {
    const times: number[] = [];
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const { made, ms } = this.#run();
      if (made.length < this.#size.agents) throw new Error(`${made.length} allocations on ${this.#size.agents} agents`);
      times.push(ms);
      for (const one of made) recover(this.#allocator, one);
    }
    return times;
  }

  /** Everything is given at first, and at the end. */
  deltas(): readonly number[] {
    const given = this.#run().made;
    const times: number[] = [];
    let one = present(given[0], "an allocation");
    for (let delta = 0; delta < DELTAS; delta++) {
      const startedAt = performance.now();
      recover(this.#allocator, one);
      const [next] = run(this.#allocator, this.#now);
      times.push(performance.now() - startedAt);
      one = delta % 2 === 0 ? present(given[delta + 1], "an allocation") : present(next, "an allocation");
    }
    return times;
  }

  /** Everything else is given, and stays so. */
  joins(): readonly number[] {
    const times: number[] = [];
    for (let join = 0; join < JOINS; join++) {
      const startedAt = performance.now();
      this.#addPlain(`agent-joined-${join}`, 16);
      if (run(this.#allocator, this.#now).length !== 1) throw new Error("an agent that joined is given once");
      times.push(performance.now() - startedAt);
    }
    return times;
  }

  #addPlain(agentId: string, cpus: number): void {
    addAgent(this.#allocator, {
      agentId: agentId as AgentId,
      hostname: agentId,
      total: fromResources([{ name: "cpus", type: "SCALAR", scalar: { value: cpus } }]),
      attributes: [],
      region: undefined,
      zone: undefined,
      isActive: true,
    });
  }

  /** Each framework that is given the agent refuses it, until nobody is left. */
  refused(): number {
    const until = (this.#now + 60_000) as Millis;
    let slowest = 0;
    this.#addPlain("agent-refused", 1_000);
    for (let offers = 0; ; offers++) {
      const { made, ms } = this.#run();
      slowest = Math.max(slowest, ms);
      const [one] = made;
      if (one === undefined) {
        if (offers !== this.#size.frameworks)
          throw new Error(`${offers} frameworks refused of ${this.#size.frameworks}`);
        return slowest;
      }
      recover(this.#allocator, one, { until, firmUntil: this.#now });
    }
  }
}
