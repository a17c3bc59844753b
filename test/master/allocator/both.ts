// The allocator and the obvious one side by side: what happens, happens to both, and after each step they must agree and keep the
// invariants of the contract, as far as they are an allocator's.
import { expect } from "vitest";
import { present } from "#base/assert.ts";
import { type Random, seededRandom } from "#base/random.ts";
import { millis } from "#base/time.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import type { Conversion } from "#resources/conversion.ts";
import { isAllocatableTo } from "#resources/pool.ts";
import type { Quantities } from "#resources/quantities.ts";
import {
  contains,
  equal,
  isEmpty,
  quantities,
  type ResourceSet,
  select,
  subtract,
  toResources,
} from "#resources/resources.ts";
import {
  addAgent,
  addFramework,
  type AgentDescription,
  allocate,
  allocatedOn,
  allocatedTo,
  type Allocation,
  type Allocator,
  convert,
  type FrameworkDescription,
  free,
  type Holder,
  isDue,
  newAllocator,
  nextWake,
  type Quota,
  recover,
  removeAgent,
  removeFramework,
  revive,
  roleView,
  run,
  setAgentActive,
  setFrameworkActive,
  setQuota,
  setWeights,
  suppress,
  updateAgent,
  updateFramework,
} from "../../../src/master/allocator/hierarchical.ts";
import { Obvious } from "./obvious.ts";

/** Remembers what was drawn, for whoever must come to the same. */
class Draws implements Random {
  readonly #random: Random;
  drawn: number[] = [];

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  next(): number {
    const value = this.#random.next();
    this.drawn.push(Math.floor(value * 2 ** 32));
    return value;
  }
}

/** Kinds and roles that are looked at by the checks of quotas. */
const KINDS = ["cpus", "mem", "disk"];

export class Both {
  readonly real: Allocator;
  readonly obvious: Obvious;
  readonly #draws: Draws;
  now = millis(1_000_000);

  constructor(
    options: {
      readonly minAllocatable: readonly Quantities[];
      readonly fairSharingExcluded: readonly string[];
      readonly region: string | undefined;
    },
    seed: number,
  ) {
    this.#draws = new Draws(seed);
    this.real = newAllocator({ ...options, random: this.#draws });
    this.obvious = new Obvious(options);
  }

  addAgent(agent: AgentDescription & { readonly isActive: boolean }): void {
    addAgent(this.real, agent);
    this.obvious.addAgent(agent);
  }

  updateAgent(agentId: AgentId, change: Partial<Omit<AgentDescription, "agentId">>): void {
    updateAgent(this.real, agentId, change);
    this.obvious.updateAgent(agentId, change);
  }

  setAgentActive(agentId: AgentId, isActive: boolean): void {
    setAgentActive(this.real, agentId, isActive);
    this.obvious.updateAgent(agentId, { isActive });
  }

  removeAgent(agentId: AgentId): void {
    removeAgent(this.real, agentId);
    this.obvious.removeAgent(agentId);
  }

  addFramework(framework: FrameworkDescription & { readonly isActive: boolean }): void {
    addFramework(this.real, framework);
    this.obvious.addFramework(framework);
  }

  updateFramework(framework: FrameworkDescription): void {
    updateFramework(this.real, framework);
    this.obvious.updateFramework(framework);
  }

  setFrameworkActive(frameworkId: FrameworkId, isActive: boolean): void {
    setFrameworkActive(this.real, frameworkId, isActive);
    this.obvious.setFrameworkActive(frameworkId, isActive);
  }

  removeFramework(frameworkId: FrameworkId): void {
    removeFramework(this.real, frameworkId);
    this.obvious.removeFramework(frameworkId);
  }

  suppress(frameworkId: FrameworkId, roles: readonly string[]): void {
    suppress(this.real, frameworkId, roles);
    this.obvious.suppress(frameworkId, roles);
  }

  revive(frameworkId: FrameworkId, roles: readonly string[]): void {
    revive(this.real, frameworkId, roles);
    this.obvious.revive(frameworkId, roles);
  }

  setWeights(weights: ReadonlyMap<string, number>): void {
    setWeights(this.real, weights);
    this.obvious.weights = weights;
  }

  setQuota(role: string, quota: Quota | undefined): void {
    setQuota(this.real, role, quota);
    this.obvious.setQuota(role, quota);
  }

  allocate(booking: Holder & { readonly resources: ResourceSet }): void {
    allocate(this.real, booking);
    this.obvious.allocate(booking);
  }

  recover(
    booking: Holder & { readonly resources: ResourceSet },
    filter?: { readonly ms: number; readonly firmMs: number },
  ): void {
    const times =
      filter === undefined
        ? undefined
        : { until: millis(this.now + filter.ms), firmUntil: millis(this.now + Math.min(filter.ms, filter.firmMs)) };
    recover(this.real, booking, times);
    this.obvious.recover(booking, times);
  }

  convert(
    at: { readonly agentId: AgentId; readonly frameworkId?: FrameworkId; readonly role?: string },
    conversion: Conversion,
  ): boolean {
    const isDone = convert(this.real, { ...at, conversion });
    expect(this.obvious.convert(at, conversion), "whether an operation can be done").toBe(isDone);
    return isDone;
  }

  /** Both run; what they allocate must be the same, and be allowed. */
  run(): readonly Allocation[] {
    const surplusBefore = KINDS.map((kind) => this.#surplus(kind));
    this.#draws.drawn = [];
    const made = run(this.real, this.now);
    const [first = 0, second = 0] = this.#draws.drawn;
    const refusals = this.obvious.refusals.filter(({ until }) => until > this.now);
    const expected = this.obvious.run(this.now, [first, second]);
    expect(shown(made)).toEqual(shown(expected));
    for (const allocation of made) this.#mayBe(allocation, refusals);
    for (const [at, kind] of KINDS.entries())
      expect(this.#surplus(kind), `${kind} kept for guarantees`).toBeGreaterThanOrEqual(
        Math.min(0, surplusBefore[at] ?? 0),
      );
    for (const [role, { limits }] of this.obvious.quotas) {
      for (const [kind, limit] of limits) {
        const isNew = expected.some(
          (one) =>
            one.role.split("/")[0] === role &&
            (quantities(
              select(one.resources, ({ reservations, isRevocable }) => reservations.length === 0 && !isRevocable),
            ).get(kind) ?? 0) > 0,
        );
        if (isNew) expect(this.obvious.consumed(role, kind), `limit of ${role}`).toBeLessThanOrEqual(limit);
      }
    }
    this.check();
    // Nothing has changed since: nothing is due, and a run draws and gives nothing.
    this.#draws.drawn = [];
    expect(isDue(this.real, this.now)).toBe(false);
    expect(run(this.real, this.now)).toEqual([]);
    expect(this.#draws.drawn).toEqual([]);
    return made;
  }

  /** What one allocation may be, whatever else there is. */
  #mayBe({ agentId, frameworkId, role, resources }: Allocation, refusals: Obvious["refusals"]): void {
    const framework = present(this.obvious.framework(frameworkId), "framework of an allocation");
    expect(this.obvious.agent(agentId).isActive, "the agent is active").toBe(true);
    expect(framework.isActive, "the framework is active").toBe(true);
    expect(framework.roles, "it has the role").toContain(role);
    expect([...framework.suppressedRoles], "the role is not suppressed").not.toContain(role);
    for (const { pool } of resources.pools.values()) expect(isAllocatableTo(pool, role), pool.key).toBe(true);
    const refused = refusals.filter(
      (one) =>
        one.agentId === agentId &&
        one.frameworkId === frameworkId &&
        one.role === role &&
        (one.firmUntil > this.now || contains(one.resources, resources)),
    );
    expect(refused, "nobody is offered what it refused").toEqual([]);
  }

  #surplus(kind: string): number {
    let surplus = 0;
    for (const { agentId, isActive } of this.obvious.agents) {
      if (!isActive) continue;
      const countable = select(
        this.obvious.free(agentId),
        ({ reservations, isRevocable }) => reservations.length === 0 && !isRevocable,
      );
      surplus += quantities(countable).get(kind) ?? 0;
    }
    for (const role of this.obvious.quotas.keys()) surplus -= this.obvious.missing(role, kind);
    return surplus;
  }

  /** The books of both say the same, and nothing is there twice or missing. */
  check(): void {
    for (const { agentId, total } of this.obvious.agents) {
      const isLone = ({ isShared }: { readonly isShared: boolean }): boolean => !isShared;
      const allocated = select(allocatedOn(this.real, agentId), isLone);
      expect(equal(allocated, this.obvious.allocatedOn(agentId)), `allocated on ${agentId}`).toBe(true);
      const there = free(this.real, agentId);
      expect(equal(there, this.obvious.free(agentId)), `free on ${agentId}`).toBe(true);
      const lone = select(total, isLone);
      if (contains(lone, allocated))
        expect(equal(subtract(lone, allocated), select(there, isLone)), `all of ${agentId} is somewhere`).toBe(true);
    }
    const frameworks = new Set(this.obvious.bookings.map(({ frameworkId }) => frameworkId));
    for (const frameworkId of frameworks) {
      for (const [role, resources] of allocatedTo(this.real, frameworkId)) {
        const held = this.obvious.held(
          (one) => one === frameworkId,
          (one) => one === role,
        );
        expect(sorted(quantities(resources)), `${frameworkId} in ${role}`).toEqual(sorted(sumOf(held)));
      }
    }
    for (const role of ["*", "web", "batch", ...this.obvious.quotas.keys()]) {
      const { consumed } = roleView(this.real, role);
      for (const kind of KINDS)
        expect(consumed.get(kind) ?? 0, `${kind} that ${role} consumes`).toBe(this.obvious.consumed(role, kind));
    }
    const ends = this.obvious.refusals
      .flatMap(({ until, firmUntil }) => [until, firmUntil])
      .filter((end) => end > this.now);
    const wake = nextWake(this.real, this.now);
    // A refusal that says nothing beside a newer one is forgotten, so that the soonest end may be missing.
    if (wake !== undefined && wake > this.now) expect(ends, "somebody's refusal ends then").toContain(wake);
    if (ends.length > 0) expect(wake, "a refusal ends some time").toBeDefined();
  }
}

const sumOf = (sets: readonly ResourceSet[]): Quantities => {
  const total = new Map<string, number>();
  for (const set of sets) for (const [name, value] of quantities(set)) total.set(name, (total.get(name) ?? 0) + value);
  return total;
};

const sorted = (of: Quantities): readonly (readonly [string, number])[] =>
  [...of].toSorted(([a], [b]) => (a < b ? -1 : 1));

/** Allocations in one order and one form. */
export const shown = (allocations: readonly Allocation[]): readonly string[] =>
  allocations
    .map(({ agentId, frameworkId, role, resources }) => {
      expect(isEmpty(resources)).toBe(false);
      const parts = toResources(resources)
        .map((one) =>
          JSON.stringify(
            { ...one, set: one.set?.item.toSorted() },
            Object.keys(one)
              .toSorted()
              .concat(
                "value",
                "range",
                "begin",
                "end",
                "type",
                "role",
                "principal",
                "persistence",
                "id",
                "volume",
                "mode",
                "container_path",
                "source",
                "mount",
                "root",
              ),
          ),
        )
        .toSorted();
      return `${agentId} ${frameworkId} ${role} ${parts.join(" ")}`;
    })
    .toSorted();
