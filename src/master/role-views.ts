// Roles, their weights and quotas, in Mesos' shapes (endpoints.md §4, http-api-v1 §9.2). What a role holds is counted by its
// frameworks' roles.
import { isStrictSubrole } from "#protocol/roles.ts";
import { tally as countInto } from "#resources/quantities.ts";
import {
  add,
  NOTHING,
  quantities,
  reservedByRole,
  type ResourceSet,
  subtract,
  sum,
  toResources,
  unreserved,
} from "#resources/resources.ts";
import type { Quantity, QuotaConfig, Registry } from "#registrar/registry.ts";
import { rolesOf } from "./allocation.ts";
import { allocatedTo, roleView } from "./allocator/hierarchical.ts";
import type { FrameworkRecord, Master } from "./state.ts";
import { WEIGHT_DEFAULT } from "./weights.ts";

type Json = Record<string, unknown>;

/** A repeated field or a map without anything in it is left out, as everywhere in Mesos' JSON. */
const unlessEmpty = (name: string, value: object): Json => (Object.keys(value).length === 0 ? {} : { [name]: value });

/** GET_QUOTA and `/quota`: a QuotaStatus. `infos` is what clients from before limits read. */
export function quotaView({ registry }: Pick<Master, "registry">): Json {
  return { ...unlessEmpty("infos", quotaInfos(registry)), ...unlessEmpty("configs", quotaConfigs(registry)) };
}

/** GET_WEIGHTS and `/weights`: roles that were given one. */
export const weightsView = ({ registry }: Pick<Master, "registry">): Json[] =>
  [...registry.weights.values()].map(({ role, weight }) => ({ role, weight }));

/** The members of Mesos' own registry that are about roles. */
export function roleTables(registry: Registry): Json {
  const configs = quotaConfigs(registry);
  return {
    ...unlessEmpty(
      "quotas",
      quotaInfos(registry).map((info) => ({ info })),
    ),
    ...unlessEmpty("quota_configs", configs),
    ...unlessEmpty(
      "weights",
      weightsView({ registry }).map((info) => ({ info })),
    ),
    // A master of Mesos that knows no limits must not lead over them.
    ...unlessEmpty("minimum_capabilities", configs.length === 0 ? [] : [{ capability: "QUOTA_V2" }]),
  };
}

const quotaConfigs = ({ quotas }: Registry): Json[] =>
  [...quotas.values()].map(({ role, guarantees, limits }) => ({
    role,
    ...unlessEmpty("guarantees", scalars(guarantees)),
    ...unlessEmpty("limits", scalars(limits)),
  }));

const quotaInfos = ({ quotas }: Registry): Json[] =>
  [...quotas.values()]
    .filter(({ guarantees }) => guarantees.length > 0)
    .map(({ role, guarantees }) => ({
      role,
      guarantee: guarantees.map(({ name, value }) => ({ name, type: "SCALAR", scalar: { value } })),
    }));

const scalars = (quantities: readonly Quantity[]): Json =>
  Object.fromEntries(quantities.map(({ name, value }) => [name, { value }]));

interface RoleHoldings {
  readonly frameworks: FrameworkRecord[];
  allocated: ResourceSet;
  offered: ResourceSet;
  /** For exactly this role, allocated or not. */
  reserved: ResourceSet;
}

/** By role, in the order of their names: those of frameworks, those that hold something, and those with a reservation, a weight or a quota. */
function holdings(master: Master): ReadonlyMap<string, RoleHoldings> {
  const { weights, quotas } = master.registry;
  const roles = new Map<string, RoleHoldings>();
  const at = (name: string): RoleHoldings => {
    let role = roles.get(name);
    if (role === undefined)
      roles.set(name, (role = { frameworks: [], allocated: NOTHING, offered: NOTHING, reserved: NOTHING }));
    return role;
  };
  for (const name of [...weights.keys(), ...quotas.keys()]) at(name);
  for (const { session, total } of master.agents.values()) {
    if (session === undefined) continue;
    for (const [name, resources] of reservedByRole(total)) {
      const role = at(name);
      role.reserved = add(role.reserved, resources);
    }
  }
  for (const framework of master.frameworks.values()) {
    if (framework.status.state !== "removed")
      for (const name of rolesOf(framework.info)) at(name).frameworks.push(framework);
    for (const [name, resources] of allocatedTo(master.allocator, framework.id)) {
      const offers = [...(master.offersByFramework.get(framework.id) ?? [])].filter(({ role }) => role === name);
      const offered = sum(offers.map((offer) => offer.resources));
      const role = at(name);
      role.offered = add(role.offered, offered);
      role.allocated = add(role.allocated, subtract(resources, offered));
    }
  }
  return new Map([...roles].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * What a role and those below it hold of its quota, in thousandths: its reservations, and what its tasks and executors have of the rest. For
 * the allocator an offer counts as well; an offer can be taken back.
 */
export function consumedBy(master: Master, role: string): ReadonlyMap<string, number> {
  const consumed = new Map(roleView(master.allocator, role).consumed);
  for (const offer of master.offers.values()) {
    if (offer.role === role || isStrictSubrole(offer.role, role))
      countInto(consumed, quantities(unreserved(offer.resources)), -1);
  }
  return consumed;
}

/** `/roles`. */
export function rolesView(master: Master): Json {
  const roles = holdings(master);
  return {
    roles: [...roles].map(([name, { frameworks, allocated, offered, reserved }]) => {
      const quota: QuotaConfig = master.registry.quotas.get(name) ?? { role: name, guarantees: [], limits: [] };
      return {
        name,
        weight: weightOf(master, name),
        quota: {
          role: name,
          guarantee: plain(quota.guarantees),
          limit: plain(quota.limits),
          consumed: inUnits(consumedBy(master, name)),
        },
        resources: quantitiesOf(add(allocated, offered)),
        allocated: quantitiesOf(allocated),
        offered: quantitiesOf(offered),
        reserved: quantitiesOf(reserved),
        frameworks: frameworks.map(({ id }) => id),
      };
    }),
  };
}

/** GET_ROLES. */
export const roleInfos = (master: Master): Json[] =>
  [...holdings(master)].map(([name, { frameworks, allocated, offered }]) => ({
    name,
    weight: weightOf(master, name),
    ...unlessEmpty(
      "frameworks",
      frameworks.map(({ id }) => ({ value: id })),
    ),
    ...unlessEmpty(
      "resources",
      toResources(add(allocated, offered)).map(({ name, type, scalar, ranges, set }) => ({
        name,
        type,
        scalar,
        ranges,
        set,
      })),
    ),
  }));

const weightOf = ({ registry }: Master, role: string): number => registry.weights.get(role)?.weight ?? WEIGHT_DEFAULT;

const plain = (quantities: readonly Quantity[]): Json =>
  Object.fromEntries(quantities.map(({ name, value }) => [name, value]));

const quantitiesOf = (set: ResourceSet): Json => inUnits(quantities(set));

const inUnits = (thousandths: ReadonlyMap<string, number>): Json =>
  Object.fromEntries([...thousandths].map(([name, amount]) => [name, amount / 1000]));
