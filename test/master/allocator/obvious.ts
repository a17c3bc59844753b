// The allocator once more, slow and obvious: a flat list of facts, and a run that looks at every agent for everybody and counts everything
// anew whenever it needs it. Of the real one it uses only what both must agree on by chance: the places drawn for agents.
import { present } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import type { Resource } from "#protocol/resource.ts";
import type { Conversion } from "#resources/conversion.ts";
import { isIndivisible, poolOf } from "#resources/pool.ts";
import type { Quantities } from "#resources/quantities.ts";
import {
  add,
  contains,
  equal,
  fromResources,
  isEmpty,
  NOTHING,
  type ResourceSet,
  setOf,
  subtract,
  sum,
  toResources,
} from "#resources/resources.ts";
import { compileConstraints, suits } from "../../../src/master/allocator/constraints.ts";
import type {
  AgentDescription,
  Allocation,
  FrameworkDescription,
  Holder,
  Quota,
} from "../../../src/master/allocator/hierarchical.ts";
import { shuffled } from "../../../src/master/allocator/shuffle.ts";

type Agent = AgentDescription & { readonly isActive: boolean };
type Framework = FrameworkDescription & { readonly isActive: boolean };
type Booking = Holder & { readonly resources: ResourceSet };
interface Refusal extends Booking {
  readonly until: Millis;
  readonly firmUntil: Millis;
}
interface Candidate {
  readonly framework: Framework;
  readonly role: string;
}

const thousandths = (resource: Resource): number => Math.round((resource.scalar?.value ?? 0) * 1000);
const isCountable = (resource: Resource): boolean =>
  resource.scalar !== undefined && (resource.reservations ?? []).length === 0 && resource.revocable === undefined;
const reservedTo = (resource: Resource): string | undefined => resource.reservations?.at(-1)?.role;
const isAtOrBelow = (role: string, ancestor: string): boolean => role === ancestor || role.startsWith(`${ancestor}/`);
const topOf = (role: string): string => role.split("/")[0] ?? role;
const which = (set: ResourceSet, wanted: (resource: Resource) => boolean): ResourceSet =>
  fromResources(toResources(set).filter(wanted));
const lone = (set: ResourceSet): ResourceSet => which(set, ({ shared }) => shared === undefined);
const shared = (set: ResourceSet): ResourceSet => which(set, (one) => one.shared !== undefined);
const amount = (set: ResourceSet, kind: string, wanted: (resource: Resource) => boolean = () => true): number =>
  toResources(set)
    .filter((one) => one.name === kind && wanted(one))
    .reduce((total, one) => total + thousandths(one), 0);
const kindsOf = (sets: Iterable<ResourceSet>): readonly string[] => [
  ...new Set(
    [...sets].flatMap((set) =>
      toResources(set)
        .filter(({ scalar }) => scalar !== undefined)
        .map(({ name }) => name),
    ),
  ),
];

export class Obvious {
  agents: Agent[] = [];
  frameworks: Framework[] = [];
  bookings: Booking[] = [];
  refusals: Refusal[] = [];
  /** How often whom something was allocated since it was last activated. */
  turns: { readonly frameworkId: FrameworkId; readonly role: string }[] = [];
  weights: ReadonlyMap<string, number> = new Map();
  quotas = new Map<string, Quota>();
  readonly options: {
    readonly minAllocatable: readonly Quantities[];
    readonly fairSharingExcluded: readonly string[];
    readonly region: string | undefined;
  };

  constructor(options: Obvious["options"]) {
    this.options = options;
  }

  agent(agentId: AgentId): Agent {
    return present(
      this.agents.find((one) => one.agentId === agentId),
      agentId,
    );
  }

  framework(frameworkId: FrameworkId): Framework | undefined {
    return this.frameworks.find((one) => one.frameworkId === frameworkId);
  }

  addAgent(agent: Agent): void {
    this.agents.push(agent);
  }

  updateAgent(agentId: AgentId, change: Partial<Omit<Agent, "agentId">>): void {
    if (
      change.attributes !== undefined &&
      JSON.stringify(change.attributes) !== JSON.stringify(this.agent(agentId).attributes)
    )
      this.refusals = this.refusals.filter((one) => one.agentId !== agentId);
    this.agents = this.agents.map((one) => (one.agentId === agentId ? { ...one, ...change } : one));
  }

  removeAgent(agentId: AgentId): void {
    this.agents = this.agents.filter((one) => one.agentId !== agentId);
    this.refusals = this.refusals.filter((one) => one.agentId !== agentId);
    this.bookings = this.bookings.filter((one) => one.agentId !== agentId);
    this.#forgetNobodys();
  }

  addFramework(framework: Framework): void {
    this.frameworks.push(framework);
  }

  updateFramework(described: FrameworkDescription): void {
    const before = present(this.framework(described.frameworkId), described.frameworkId);
    const isKept = (role: string): boolean =>
      described.roles.includes(role) && (!before.suppressedRoles.has(role) || described.suppressedRoles.has(role));
    this.refusals = this.refusals.filter((one) => one.frameworkId !== described.frameworkId || isKept(one.role));
    this.frameworks = this.frameworks.map((one) =>
      one.frameworkId === described.frameworkId ? { ...described, isActive: one.isActive } : one,
    );
    this.#forgetNobodys();
  }

  setFrameworkActive(frameworkId: FrameworkId, isActive: boolean): void {
    const before = present(this.framework(frameworkId), frameworkId);
    if (before.isActive && !isActive) this.#forgetOf(frameworkId);
    this.frameworks = this.frameworks.map((one) => (one.frameworkId === frameworkId ? { ...one, isActive } : one));
  }

  removeFramework(frameworkId: FrameworkId): void {
    this.#forgetOf(frameworkId);
    this.frameworks = this.frameworks.filter((one) => one.frameworkId !== frameworkId);
  }

  suppress(frameworkId: FrameworkId, roles: readonly string[]): void {
    this.#setSuppressed(frameworkId, roles, true);
  }

  revive(frameworkId: FrameworkId, roles: readonly string[]): void {
    const named = this.#named(frameworkId, roles);
    this.refusals = this.refusals.filter((one) => one.frameworkId !== frameworkId || !named.includes(one.role));
    this.#setSuppressed(frameworkId, roles, false);
  }

  setQuota(role: string, quota: Quota | undefined): void {
    if (quota === undefined) this.quotas.delete(role);
    else this.quotas.set(role, quota);
  }

  allocate(booking: Booking): void {
    this.bookings.push(booking);
    this.turns.push({ frameworkId: booking.frameworkId, role: booking.role });
  }

  recover(booking: Booking, filter?: { readonly until: Millis; readonly firmUntil: Millis }): void {
    const lefts = this.#take(booking.agentId, booking.frameworkId, booking.role, booking.resources);
    this.bookings = present(lefts, "what is recovered");
    const framework = this.framework(booking.frameworkId);
    if (filter !== undefined && framework?.isActive === true && framework.roles.includes(booking.role))
      this.refusals.push({ ...booking, ...filter });
    this.#forgetNobodys();
  }

  convert(
    at: { readonly agentId: AgentId; readonly frameworkId?: FrameworkId; readonly role?: string },
    { consumed, converted }: Conversion,
  ): boolean {
    const agent = this.agent(at.agentId);
    if (!contains(agent.total, consumed)) return false;
    const uses = this.bookings
      .filter(({ agentId }) => agentId === at.agentId)
      .flatMap(({ resources }) => [...shared(resources).pools.keys()])
      .filter((key) => consumed.pools.has(key)).length;
    const { frameworkId, role } = at;
    if (frameworkId === undefined || role === undefined) {
      if (uses > 0 || !contains(this.free(at.agentId), consumed)) return false;
    } else {
      if (uses > 1) return false;
      const left = this.#take(at.agentId, frameworkId, role, consumed);
      if (left === undefined) return false;
      this.bookings = [...left, { agentId: at.agentId, frameworkId, role, resources: converted }];
    }
    this.updateAgent(at.agentId, { total: add(subtract(agent.total, consumed), converted) });
    return true;
  }

  /** Without what is shared. */
  allocatedOn(agentId: AgentId): ResourceSet {
    return sum(this.bookings.filter((one) => one.agentId === agentId).map(({ resources }) => lone(resources)));
  }

  free(agentId: AgentId): ResourceSet {
    const { total } = this.agent(agentId);
    const taken = this.allocatedOn(agentId);
    const isOverdrawn = !contains(
      lone(total),
      which(taken, ({ revocable }) => revocable === undefined),
    );
    return add(isOverdrawn ? NOTHING : subtract(lone(total), taken), shared(total));
  }

  /** What some clients have, on all agents; each client's shared volumes once on each agent. */
  held(frameworks: (frameworkId: FrameworkId) => boolean, roles: (role: string) => boolean): readonly ResourceSet[] {
    const found: ResourceSet[] = [];
    const seen = new Set<string>();
    for (const { agentId, frameworkId, role, resources } of this.bookings) {
      if (!frameworks(frameworkId) || !roles(role)) continue;
      const counted = which(resources, (one) => {
        if (one.shared === undefined) return true;
        const key = JSON.stringify([agentId, frameworkId, role, poolOf(one).key]);
        const isFirst = !seen.has(key);
        seen.add(key);
        return isFirst;
      });
      found.push(counted);
    }
    return found;
  }

  consumed(top: string, kind: string): number {
    const reserved = this.agents.reduce(
      (total, agent) =>
        total +
        amount(agent.total, kind, (one) => {
          const role = reservedTo(one);
          return role !== undefined && one.revocable === undefined && isAtOrBelow(role, top);
        }),
      0,
    );
    return this.held(
      () => true,
      (role) => isAtOrBelow(role, top),
    ).reduce((total, set) => total + amount(set, kind, isCountable), reserved);
  }

  missing(top: string, kind: string): number {
    return Math.max(0, (this.quotas.get(top)?.guarantees.get(kind) ?? 0) - this.consumed(top, kind));
  }

  /** What a role may still be given of a kind. */
  allowance(top: string, kind: string): number {
    let available = 0;
    for (const { agentId, isActive } of this.agents)
      if (isActive) available += amount(this.free(agentId), kind, isCountable);
    let required = 0;
    for (const role of this.quotas.keys()) required += this.missing(role, kind);
    const limit = this.quotas.get(top)?.limits.get(kind) ?? Number.POSITIVE_INFINITY;
    return Math.max(
      0,
      Math.min(Math.max(0, available - required) + this.missing(top, kind), limit - this.consumed(top, kind)),
    );
  }

  run(now: Millis, seeds: readonly [number, number]): readonly Allocation[] {
    this.refusals = this.refusals.filter(({ until }) => until > now);
    const made: Allocation[] = [];
    for (const [at, seed] of seeds.entries()) {
      for (const agent of shuffled(this.agents, seed)) {
        if (!agent.isActive) continue;
        for (const candidate of this.#inOrder()) {
          const resources = this.#offer(agent, candidate, at === 0, now);
          if (resources === undefined) continue;
          const { agentId } = agent;
          const { frameworkId } = candidate.framework;
          const allocation = { agentId, frameworkId, role: candidate.role, resources };
          made.push(allocation);
          this.allocate(allocation);
        }
      }
    }
    return made;
  }

  #offer(agent: Agent, candidate: Candidate, isFirstStage: boolean, now: Millis): ResourceSet | undefined {
    const { framework, role } = candidate;
    const { capabilities, frameworkId } = framework;
    if (amount(agent.total, "gpus") > 0 && !capabilities.gpuResources) return undefined;
    const isElsewhere =
      this.options.region !== undefined && agent.region !== undefined && agent.region !== this.options.region;
    if (isElsewhere && !capabilities.regionAware) return undefined;
    const constraints = compileConstraints(framework.offerConstraints ?? { role_constraints: {} });
    const own = constraints.type === "compiled" ? constraints.byRole.get(role) : undefined;
    if (own !== undefined && !suits(own, agent)) return undefined;

    const possible = which(this.free(agent.agentId), (one) => {
      const reserved = reservedTo(one);
      if (reserved !== undefined && !isAtOrBelow(role, reserved)) return false;
      if (one.shared !== undefined && !capabilities.shared) return false;
      if (one.revocable !== undefined && !capabilities.revocable) return false;
      return (one.reservations ?? []).length < 2 || capabilities.reservationRefinement;
    });
    const offered = add(this.#cut(lone(possible), topOf(role)), shared(possible));
    const used = lone(offered);
    if (isEmpty(used)) return undefined;
    const top = topOf(role);
    if (isFirstStage) {
      const helps = kindsOf([used]).some((kind) => amount(used, kind, isCountable) > 0 && this.missing(top, kind) > 0);
      if (!helps) return undefined;
    }
    const minimums = framework.minAllocatable?.get(role) ?? this.options.minAllocatable;
    const isEnough = (minimum: Quantities): boolean =>
      [...minimum].every(([kind, value]) => amount(used, kind) >= value);
    if (minimums.length > 0 && !minimums.some(isEnough)) return undefined;
    const isRefused = this.refusals.some(
      (one) =>
        one.agentId === agent.agentId &&
        one.frameworkId === frameworkId &&
        one.role === role &&
        (one.firmUntil > now || contains(one.resources, offered)),
    );
    return isRefused ? undefined : offered;
  }

  #cut(set: ResourceSet, top: string): ResourceSet {
    if (this.quotas.size === 0) return set;
    const left = new Map(kindsOf([set]).map((kind) => [kind, this.allowance(top, kind)]));
    const kept: Resource[] = [];
    for (const one of toResources(set).toSorted((a, b) => (poolOf(a).key < poolOf(b).key ? -1 : 1))) {
      const most = left.get(one.name) ?? 0;
      const value = thousandths(one);
      if (!isCountable(one)) kept.push(one);
      else if (value <= most || (most > 0 && !isIndivisible(poolOf(one)))) {
        const given = Math.min(value, most);
        left.set(one.name, most - given);
        kept.push({ ...one, scalar: { value: given / 1000 } });
      }
    }
    return fromResources(kept);
  }

  /** All clients that may be offered anything, level by level of the tree of roles. */
  #inOrder(): readonly Candidate[] {
    const all = this.frameworks
      .filter(({ isActive }) => isActive)
      .flatMap((framework) =>
        framework.roles
          .filter((role) => !framework.suppressedRoles.has(role))
          .map((role): Candidate => ({ framework, role })),
      );
    return this.#orderBelow("", all);
  }

  #orderBelow(above: string, candidates: readonly Candidate[]): readonly Candidate[] {
    const groups = new Map<string, Candidate[]>();
    for (const candidate of candidates) {
      const next =
        candidate.role === above
          ? `${above}/.`
          : candidate.role
              .split("/")
              .slice(0, above === "" ? 1 : above.split("/").length + 1)
              .join("/");
      groups.set(next, [...(groups.get(next) ?? []), candidate]);
    }
    const ranked = [...groups].map(([name, members]) => {
      const isLeaf = name === `${above}/.`;
      const isIn = (role: string): boolean => (isLeaf ? role === above : isAtOrBelow(role, name));
      const weight = isLeaf ? 1 : (this.weights.get(name) ?? 1);
      const turns = this.turns.filter(({ role }) => isIn(role)).length;
      return { name, members, isLeaf, turns, share: this.#share(this.held(() => true, isIn)) / weight };
    });
    return ranked
      .toSorted(byShare)
      .flatMap(({ name, members, isLeaf }) =>
        isLeaf ? this.#orderIn(above, members) : this.#orderBelow(name, members),
      );
  }

  #orderIn(role: string, candidates: readonly Candidate[]): readonly Candidate[] {
    return candidates
      .map((candidate) => {
        const name = candidate.framework.frameworkId;
        const turns = this.turns.filter((one) => one.frameworkId === name && one.role === role).length;
        const held = this.held(
          (frameworkId) => frameworkId === name,
          (one) => one === role,
        );
        return { name, candidate, turns, share: this.#share(held) };
      })
      .toSorted(byShare)
      .map(({ candidate }) => candidate);
  }

  #share(held: readonly ResourceSet[]): number {
    let share = 0;
    for (const kind of kindsOf(held)) {
      if (this.options.fairSharingExcluded.includes(kind)) continue;
      const all = this.agents.reduce((total, agent) => total + amount(agent.total, kind), 0);
      const part = held.reduce((total, set) => total + amount(set, kind), 0);
      if (all > 0) share = Math.max(share, part / all);
    }
    return share;
  }

  #named(frameworkId: FrameworkId, roles: readonly string[]): readonly string[] {
    const own = this.framework(frameworkId)?.roles ?? [];
    return roles.length === 0 ? own : own.filter((role) => roles.includes(role));
  }

  #setSuppressed(frameworkId: FrameworkId, roles: readonly string[], isSuppressed: boolean): void {
    const named = this.#named(frameworkId, roles);
    this.frameworks = this.frameworks.map((one) => {
      if (one.frameworkId !== frameworkId) return one;
      const others = [...one.suppressedRoles].filter((role) => !named.includes(role));
      return { ...one, suppressedRoles: new Set(isSuppressed ? [...others, ...named] : others) };
    });
  }

  /** The bookings without this, or undefined when a client does not have it. */
  #take(agentId: AgentId, frameworkId: FrameworkId, role: string, taken: ResourceSet): Booking[] | undefined {
    const isTheirs = (one: Booking): boolean =>
      one.agentId === agentId && one.frameworkId === frameworkId && one.role === role;
    const theirs = this.bookings.filter(isTheirs);
    const all = sum(theirs.map(({ resources }) => lone(resources)));
    if (!contains(all, lone(taken))) return undefined;
    const volumes = theirs.flatMap(({ resources }) => [...shared(resources).pools.values()]);
    for (const key of shared(taken).pools.keys()) {
      const at = volumes.findIndex(({ pool }) => pool.key === key);
      if (at < 0) return undefined;
      volumes.splice(at, 1);
    }
    const left = [subtract(all, lone(taken)), ...volumes.map((held) => setOf([held]))];
    return [
      ...this.bookings.filter((one) => !isTheirs(one)),
      ...left
        .filter((resources) => !equal(resources, NOTHING))
        .map((resources) => ({ agentId, frameworkId, role, resources })),
    ];
  }

  #forgetOf(frameworkId: FrameworkId): void {
    this.refusals = this.refusals.filter((one) => one.frameworkId !== frameworkId);
    this.turns = this.turns.filter((one) => one.frameworkId !== frameworkId);
  }

  /** Who is not subscribed and holds nothing has had no turn. */
  #forgetNobodys(): void {
    this.turns = this.turns.filter(
      ({ frameworkId, role }) =>
        this.framework(frameworkId)?.roles.includes(role) === true ||
        this.bookings.some((one) => one.frameworkId === frameworkId && one.role === role),
    );
  }
}

const byShare = (
  a: { readonly share: number; readonly turns: number; readonly name: string },
  b: { readonly share: number; readonly turns: number; readonly name: string },
): number => a.share - b.share || a.turns - b.turns || (a.name < b.name ? -1 : 1);
