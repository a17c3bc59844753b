// Quotas of roles: which changes may be asked of the registry (tasks-offers-and-operators §15). What the cluster has and what roles
// hold of it are arguments; holding back and capping is the allocator's business.
import { DEFAULT_ROLE, roleProblem } from "#protocol/roles.ts";
import { QUANTITIES_MAX, QUANTITY_MAX, QUOTAS_MAX, type Quantity, type QuotaConfig } from "#registrar/registry.ts";
import type { CallAnswer } from "./state.ts";

/** Longest name of a resource in a quota, letters. */
const NAME_LETTERS_MAX = 128;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Amounts of scalar resources by name, in whole thousandths of their units, as in a ResourceSet. */
export type Amounts = ReadonlyMap<string, number>;

/** What an operator asks for. */
export type QuotaChange =
  /** UPDATE_QUOTA: several roles, all or none. */
  | { readonly type: "update"; readonly configs: readonly QuotaConfig[]; readonly force: boolean }
  /** SET_QUOTA: what a role without a quota is sure to get, and may have. */
  | { readonly type: "set"; readonly role: string; readonly guarantee: readonly Quantity[]; readonly force: boolean }
  | { readonly type: "remove"; readonly role: string };

/** What a change is judged by. */
export interface QuotaContext {
  readonly quotas: ReadonlyMap<string, QuotaConfig>;
  /** What the registered agents have, without what is revocable. */
  readonly capacity: Amounts;
  /** What a role and those below it hold and cannot be asked to give back: an offer can. */
  readonly consumed: (role: string) => Amounts;
}

export type PlannedQuota =
  | { readonly type: "planned"; readonly configs: readonly QuotaConfig[] }
  | { readonly type: "refused"; readonly answer: CallAnswer };

const invalid = (text: string): PlannedQuota => ({ type: "refused", answer: { status: 400, text } });

/** [M55] What is to be asked of the registry, or the answer to whoever asked. */
export function planQuota(change: QuotaChange, context: QuotaContext): PlannedQuota {
  switch (change.type) {
    case "update": {
      const problem = configsProblem(change.configs);
      if (problem !== undefined) return invalid(problem);
      const configs = change.configs.map(normal);
      const conflict = change.force ? undefined : (overcommitment(configs, context) ?? excess(configs, context));
      return conflict === undefined ? { type: "planned", configs } : invalid(conflict);
    }
    case "set": {
      const { role, guarantee } = change;
      const problem = configsProblem([{ role, guarantees: guarantee, limits: guarantee }]);
      if (problem !== undefined) return invalid(problem);
      if (guarantee.length === 0) return invalid("'guarantee' may not be empty");
      if (context.quotas.has(role)) return invalid(`the role '${role}' already has a quota`);
      const configs = [normal({ role, guarantees: guarantee, limits: guarantee })];
      const conflict = change.force ? undefined : overcommitment(configs, context);
      if (conflict !== undefined) return { type: "refused", answer: { status: 409, text: conflict } };
      const over = change.force ? undefined : excess(configs, context);
      return over === undefined ? { type: "planned", configs } : invalid(over);
    }
    case "remove": {
      const { role } = change;
      if (!context.quotas.has(role)) return invalid(`the role '${role.slice(0, NAME_LETTERS_MAX)}' has no quota`);
      return { type: "planned", configs: [{ role, guarantees: [], limits: [] }] };
    }
  }
}

/** What is wrong with configs whatever the cluster is. */
function configsProblem(configs: readonly QuotaConfig[]): string | undefined {
  if (configs.length > QUOTAS_MAX) return `at most ${QUOTAS_MAX} roles may have a quota`;
  const seen = new Set<string>();
  for (const { role, guarantees, limits } of configs) {
    const problem = roleProblem(role);
    if (problem !== undefined) return problem;
    if (role === DEFAULT_ROLE) return `the role '${DEFAULT_ROLE}' may not have a quota`;
    if (role.includes("/")) return `'${role}' may not have a quota: it is for roles without a '/' only`;
    if (seen.has(role)) return `the role '${role}' is named twice`;
    seen.add(role);
    for (const [what, quantities] of [
      ["guarantees", guarantees],
      ["limits", limits],
    ] as const) {
      const wrong = quantitiesProblem(quantities);
      if (wrong !== undefined) return `${what} of '${role}': ${wrong}`;
    }
    const caps = amountsOf(limits);
    for (const [name, value] of amountsOf(guarantees)) {
      const cap = caps.get(name) ?? Infinity;
      if (value > cap)
        return `'${role}' would be guaranteed ${shown(value)} of '${name}', above its limit ${shown(cap)}`;
    }
  }
  return undefined;
}

function quantitiesProblem(quantities: readonly Quantity[]): string | undefined {
  if (quantities.length > QUANTITIES_MAX) return `at most ${QUANTITIES_MAX} kinds of resources may be named`;
  const seen = new Set<string>();
  for (const { name, value } of quantities) {
    if (name === "" || name.length > NAME_LETTERS_MAX || CONTROL.test(name))
      return `a name has 1 to ${NAME_LETTERS_MAX} letters, and no control characters`;
    if (seen.has(name)) return `'${name}' is named twice`;
    seen.add(name);
    // Also what is no number at all: no comparison with it is true.
    if (!(value >= 0 && value <= QUANTITY_MAX)) return `'${name}' must be from 0 to ${QUANTITY_MAX}, not ${value}`;
  }
  return undefined;
}

const thousandths = (value: number): number => Math.round(value * 1000);
const shown = (amount: number): number => amount / 1000;

export const amountsOf = (quantities: readonly Quantity[]): Amounts =>
  new Map(quantities.map(({ name, value }) => [name, thousandths(value)]));

/** As it is stored: at three decimals, in one order, without guarantees of nothing. A limit of 0 means something. */
function normal({ role, guarantees, limits }: QuotaConfig): QuotaConfig {
  const rounded = (quantities: readonly Quantity[]): Quantity[] =>
    quantities
      .map(({ name, value }) => ({ name, value: shown(thousandths(value)) }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return { role, guarantees: rounded(guarantees).filter(({ value }) => value > 0), limits: rounded(limits) };
}

/** All guarantees together, as they will be, against what there is. What nobody asks more of is nobody's fault here. */
function overcommitment(configs: readonly QuotaConfig[], { quotas, capacity }: QuotaContext): string | undefined {
  const after = new Map(quotas);
  for (const config of configs) after.set(config.role, config);
  const [before, total] = [guaranteed(quotas.values()), guaranteed(after.values())];
  for (const [name, amount] of total) {
    const available = capacity.get(name) ?? 0;
    if (amount > available && amount > (before.get(name) ?? 0)) {
      return (
        `all guarantees of '${name}' together would be ${shown(amount)}, and the registered agents have ${shown(available)}; ` +
        "'force' sets them all the same"
      );
    }
  }
  return undefined;
}

function guaranteed(configs: Iterable<QuotaConfig>): Amounts {
  const total = new Map<string, number>();
  for (const { guarantees } of configs) {
    for (const [name, amount] of amountsOf(guarantees)) total.set(name, (total.get(name) ?? 0) + amount);
  }
  return total;
}

/** A limit below what the role already holds would be broken from the start. */
function excess(configs: readonly QuotaConfig[], { consumed }: QuotaContext): string | undefined {
  for (const { role, limits } of configs) {
    if (limits.length === 0) continue;
    const held = consumed(role);
    for (const [name, limit] of amountsOf(limits)) {
      const amount = held.get(name) ?? 0;
      if (amount > limit) {
        return `'${role}' holds ${shown(amount)} of '${name}', above the limit ${shown(limit)}; 'force' sets it all the same`;
      }
    }
  }
  return undefined;
}
