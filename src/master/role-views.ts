// Roles, their weights and quotas, in Mesos' shapes (endpoints.md §4, http-api-v1 §9.2). What a role holds is counted by its
// frameworks' roles.
import { isStrictSubrole } from "#protocol/roles.ts";
import { add, NOTHING, type ResourceSet, sum, toResources } from "#resources/resources.ts";
import type { Quantity, QuotaConfig, Registry } from "#registrar/registry.ts";
import { offeredTo, roleOf, usedBy } from "./offers.ts";
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
}

/** By role, in the order of their names: those of frameworks, and those with a weight or a quota. */
function holdings(master: Master): ReadonlyMap<string, RoleHoldings> {
  const { weights, quotas } = master.registry;
  const names = new Set([...weights.keys(), ...quotas.keys(), ...[...master.frameworks.values()].map(roleOf)]);
  const roles = new Map<string, RoleHoldings>();
  for (const name of [...names].toSorted()) roles.set(name, { frameworks: [], allocated: NOTHING, offered: NOTHING });
  for (const framework of master.frameworks.values()) {
    const role = roles.get(roleOf(framework));
    if (role === undefined) continue;
    role.allocated = add(role.allocated, usedBy(framework));
    role.offered = add(role.offered, offeredTo(master, framework.id));
    if (framework.status.state !== "removed") role.frameworks.push(framework);
  }
  return roles;
}

/** What the tasks of a role and of those below it hold. */
export function consumedBy(master: Master, role: string): ResourceSet {
  const frameworks = [...master.frameworks.values()].filter((framework) => {
    const own = roleOf(framework);
    return own === role || isStrictSubrole(own, role);
  });
  return sum(frameworks.map(usedBy));
}

/** `/roles`. */
export function rolesView(master: Master): Json {
  const roles = holdings(master);
  return {
    roles: [...roles].map(([name, { frameworks, allocated, offered }]) => {
      const below = [...roles].filter(([other]) => isStrictSubrole(other, name));
      const consumed = sum([allocated, ...below.map(([, role]) => role.allocated)]);
      const quota: QuotaConfig = master.registry.quotas.get(name) ?? { role: name, guarantees: [], limits: [] };
      return {
        name,
        weight: weightOf(master, name),
        quota: {
          role: name,
          guarantee: plain(quota.guarantees),
          limit: plain(quota.limits),
          consumed: quantitiesOf(consumed),
        },
        resources: quantitiesOf(add(allocated, offered)),
        allocated: quantitiesOf(allocated),
        offered: quantitiesOf(offered),
        reserved: {},
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

const quantitiesOf = ({ scalars: amounts }: ResourceSet): Json =>
  Object.fromEntries([...amounts].map(([name, amount]) => [name, amount / 1000]));
