// A few agents and frameworks by short names and texts, for tests of single rules: `cpus:2;mem:64;cpus(web):1`.
import { assert, present } from "#base/assert.ts";
import { type Random, seededRandom } from "#base/random.ts";
import { millis } from "#base/time.ts";
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import type { AttributeConstraint } from "#protocol/offer-constraints.ts";
import type { Resource } from "#protocol/resource.ts";
import { type Quantities, quantitiesOf } from "#resources/quantities.ts";
import { fromResources, type ResourceSet, toResources } from "#resources/resources.ts";
import { parseAttributes, parseResources } from "#resources/text.ts";
import {
  addAgent,
  addFramework,
  type Allocation,
  type Allocator,
  type AllocatorOptions,
  type FrameworkCapabilities,
  type FrameworkDescription,
  MIN_ALLOCATABLE_DEFAULT,
  newAllocator,
  recover,
  run,
  setQuota,
  updateFramework,
} from "../../../src/master/allocator/hierarchical.ts";

export const agentId = (name: string): AgentId => name as AgentId;
export const frameworkId = (name: string): FrameworkId => name as FrameworkId;

const NO_CAPABILITIES: FrameworkCapabilities = {
  gpuResources: false,
  regionAware: false,
  reservationRefinement: false,
  revocable: false,
  shared: false,
};

export function resources(text: string, more: readonly Resource[] = []): ResourceSet {
  const parsed = text === "" ? { type: "parsed" as const, value: [] } : parseResources(text);
  assert(parsed.type === "parsed", text);
  return fromResources([...parsed.value, ...more]);
}

/** Reserved by operations, layer upon layer. */
export const reserved = (name: string, value: number, ...roles: readonly string[]): Resource => ({
  name,
  type: "SCALAR",
  scalar: { value },
  reservations: roles.map((role) => ({ type: "DYNAMIC", role })),
});

export const revocable = (name: string, value: number): Resource => ({
  name,
  type: "SCALAR",
  scalar: { value },
  revocable: {},
});

export const volume = (id: string, value: number, role: string): Resource => ({
  ...reserved("disk", value, role),
  disk: { persistence: { id }, volume: { mode: "RW", container_path: "data" } },
});

interface FrameworkParts {
  readonly suppressed?: readonly string[];
  readonly capabilities?: Partial<FrameworkCapabilities>;
  readonly constraints?: Readonly<Record<string, readonly (readonly AttributeConstraint[])[]>>;
  readonly minimum?: Readonly<Record<string, readonly Quantities[]>>;
  readonly isActive?: boolean;
}

export function described(
  name: string,
  roles: readonly string[],
  { suppressed = [], capabilities, constraints = {}, minimum = {} }: FrameworkParts,
): FrameworkDescription {
  return {
    frameworkId: frameworkId(name),
    roles,
    suppressedRoles: new Set(suppressed),
    capabilities: { ...NO_CAPABILITIES, ...capabilities },
    offerConstraints: {
      role_constraints: Object.fromEntries(
        Object.entries(constraints).map(([role, groups]) => [
          role,
          { groups: groups.map((group) => ({ attribute_constraints: [...group] })) },
        ]),
      ),
    },
    minAllocatable: new Map(Object.entries(minimum)),
  };
}

export class SmallCluster {
  readonly allocator: Allocator;
  /** Random numbers that were drawn. */
  drawn = 0;
  now = 0;
  /** What the last run made. */
  made: readonly Allocation[] = [];

  constructor(options: Partial<AllocatorOptions> = {}) {
    const inner = seededRandom(1);
    const random: Random = {
      next: () => {
        this.drawn += 1;
        return inner.next();
      },
    };
    this.allocator = newAllocator({
      minAllocatable: MIN_ALLOCATABLE_DEFAULT,
      fairSharingExcluded: [],
      region: undefined,
      random,
      ...options,
    });
  }

  agent(
    name: string,
    text: string,
    more: {
      readonly extra?: readonly Resource[];
      readonly attributes?: string;
      readonly region?: string;
      readonly zone?: string;
      readonly isActive?: boolean;
    } = {},
  ): this {
    const { extra = [], attributes = "", region, zone, isActive = true } = more;
    const parsed = attributes === "" ? { type: "parsed" as const, value: [] } : parseAttributes(attributes);
    assert(parsed.type === "parsed", attributes);
    addAgent(this.allocator, {
      agentId: agentId(name),
      hostname: `${name}.example`,
      total: resources(text, extra),
      attributes: parsed.value,
      region,
      zone,
      isActive,
    });
    return this;
  }

  framework(name: string, roles: readonly string[] = ["*"], parts: FrameworkParts = {}): this {
    addFramework(this.allocator, { ...described(name, roles, parts), isActive: parts.isActive ?? true });
    return this;
  }

  update(name: string, roles: readonly string[], parts: FrameworkParts = {}): this {
    updateFramework(this.allocator, described(name, roles, parts));
    return this;
  }

  quota(
    role: string,
    guarantees: Readonly<Record<string, number>>,
    limits: Readonly<Record<string, number>> = {},
  ): this {
    setQuota(this.allocator, role, { guarantees: quantitiesOf(guarantees), limits: quantitiesOf(limits) });
    return this;
  }

  /** What is newly allocated, in the order of agents, as `agent framework role resources`. */
  run(): readonly string[] {
    this.made = run(this.allocator, millis(this.now));
    return this.made.map(shown).toSorted();
  }

  /** Gives back what the last run gave to a framework, on one agent or on all. */
  recover(framework: string, agent?: string, filter?: { readonly ms: number; readonly firmMs?: number }): this {
    const theirs = this.made.filter(
      (one) => one.frameworkId === framework && (agent === undefined || one.agentId === agent),
    );
    present(theirs[0], `an allocation of ${framework}`);
    this.made = this.made.filter((one) => !theirs.includes(one));
    const times =
      filter === undefined
        ? undefined
        : { until: millis(this.now + filter.ms), firmUntil: millis(this.now + (filter.firmMs ?? 0)) };
    for (const one of theirs) recover(this.allocator, one, times);
    return this;
  }
}

const shown = ({ agentId: agent, frameworkId: framework, role, resources: given }: Allocation): string =>
  `${agent} ${framework} ${role} ${textOf(given)}`;

/** `cpus:2`, `cpus(web):2`, `cpus(web>web/eu):2`; `~` revocable, `=id` a volume, `+` a shared one. */
export const textOf = (set: ResourceSet): string =>
  toResources(set)
    .map(({ name, scalar, ranges, set: items, reservations = [], disk, revocable: isRevocable, shared }) => {
      const layers = reservations.length === 0 ? "" : `(${reservations.map(({ role }) => role).join(">")})`;
      const id = disk?.persistence === undefined ? "" : `=${disk.persistence.id}`;
      const value =
        scalar?.value ??
        (ranges === undefined
          ? `{${items?.item.join(",")}}`
          : `[${ranges.range.map(({ begin, end }) => `${begin}-${end}`).join(",")}]`);
      return `${name}${layers}${id}${shared === undefined ? "" : "+"}${isRevocable === undefined ? "" : "~"}:${value}`;
    })
    .toSorted()
    .join(";");
