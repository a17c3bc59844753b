// Whether an operation on resources may be applied: the rules of tasks-offers-and-operators §4.3. Pure; what they find is for people.
// They are the same for a framework's ACCEPT and for an operator's call, who has no role and no offers, but the agent's free resources.
import { OPERATION_LETTERS_MAX, type ResourceOperation } from "#protocol/agent.ts";
import type { Resource } from "#protocol/resource.ts";
import { conversionOf, type Conversion, convert, resourcesIn, volumeKeys } from "#resources/conversion.ts";
import { isDynamic, type Pool, poolOf, reservationRole } from "#resources/pool.ts";
import { contains, fromResources, resourceProblem, type ResourceSet } from "#resources/resources.ts";
import { sizeProblem } from "#resources/size.ts";
import { roleProblem } from "#protocol/roles.ts";

export interface OperationContext {
  /** Of whom it comes: a reservation or volume that names a principal names this one. */
  readonly principal: string | undefined;
  /** The role of the offers; undefined for an operator, who may reserve to any. */
  readonly role: string | undefined;
  readonly agentCapabilities: readonly string[];
  /** All that the agent has. */
  readonly total: ResourceSet;
  /** What may be converted: what is left of the offers. */
  readonly remaining: ResourceSet;
  /** Whether a task or executor holds the volume, by its key of `volumeKeys`. */
  readonly isVolumeInUse: (key: string) => boolean;
}

export type OperationChecked =
  | { readonly type: "valid"; readonly conversion: Conversion }
  | { readonly type: "invalid"; readonly message: string };

export function checkOperation(operation: ResourceOperation, context: OperationContext): OperationChecked {
  const { type } = operation;
  const invalid = (problem: string): OperationChecked => ({ type: "invalid", message: `${type}: ${problem}` });
  // Before anything looks into it: the order must fit a frame, or the agent would hang up for it.
  if (JSON.stringify(operation).length > OPERATION_LETTERS_MAX)
    return invalid(`an operation may have at most ${OPERATION_LETTERS_MAX} letters of JSON`);
  const problem = problemOf(operation, context);
  if (problem !== undefined) return { type: "invalid", message: problem };
  const conversion = conversionOf(operation);
  if (!contains(context.remaining, conversion.consumed))
    return invalid("what it needs is not among the resources that are left");
  const total = convert(context.total, conversion);
  const tooMuch = total === undefined ? undefined : sizeProblem(total);
  return tooMuch === undefined ? { type: "valid", conversion } : invalid(tooMuch);
}

function problemOf(operation: ResourceOperation, context: OperationContext): string | undefined {
  const { type } = operation;
  if (!context.agentCapabilities.includes("OPERATIONS"))
    return `${type}: the agent's release does not keep reservations`;
  const resources = resourcesIn(operation);
  if (resources.length === 0) return `${type}: it names no resources`;
  for (const resource of resources) {
    const problem = resourceProblem(resource);
    if (problem !== undefined) return `${type}: resource ${resource.name}: ${problem}`;
    const pool = poolOf(resource);
    const more = roleProblems(pool) ?? allocationProblem(resource, context.role) ?? unsupportedPool(pool);
    if (more !== undefined) return `${type}: resource ${resource.name}: ${more}`;
    const its = ruleOf(operation, pool, context);
    if (its !== undefined) return `${type}: resource ${resource.name}: ${its}`;
  }
  return volumeProblem(operation, context);
}

function roleProblems({ reservations }: Pool): string | undefined {
  for (const { role } of reservations) {
    const problem = roleProblem(role ?? "");
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function allocationProblem({ allocation_info }: Resource, role: string | undefined): string | undefined {
  const allocated = allocation_info?.role;
  return allocated === undefined || role === undefined || allocated === role
    ? undefined
    : `it is allocated to role '${allocated}', but the offers are of role '${role}'`;
}

function unsupportedPool({ isRevocable, isShared, providerId }: Pool): string | undefined {
  if (isRevocable) return "what is revocable cannot be reserved";
  if (isShared) return "shared volumes are not supported";
  return providerId === undefined ? undefined : "resource providers are not supported";
}

/** The rules for one resource of an operation. */
function ruleOf(operation: ResourceOperation, pool: Pool, { principal, role }: OperationContext): string | undefined {
  const top = pool.reservations.at(-1);
  const persistence = pool.disk?.persistence;
  switch (operation.type) {
    case "RESERVE":
      if (top === undefined) return "it is not said for whom it is to be reserved";
      if (!isDynamic(top)) return "only a dynamic reservation can be made";
      if (persistence !== undefined) return "a persistent volume cannot be reserved";
      if (role !== undefined && top.role !== role)
        return `it is to be reserved to '${top.role}', but the offers are of '${role}'`;
      return principalProblem("reservation.principal", top.principal, principal);
    case "UNRESERVE":
      if (top === undefined) return "it is not reserved";
      if (!isDynamic(top)) return "a static reservation is the agent's own and cannot be taken off";
      return persistence === undefined ? undefined : "there is a persistent volume on it: destroy that first";
    case "CREATE":
      if (persistence === undefined) return "it is no persistent volume";
      return principalProblem("disk.persistence.principal", persistence.principal, principal);
    case "DESTROY":
      return persistence === undefined ? "it is no persistent volume" : undefined;
    case "GROW_VOLUME":
    case "SHRINK_VOLUME":
      return undefined;
  }
}

const principalProblem = (field: string, named: string | undefined, own: string | undefined): string | undefined =>
  named === undefined || named === own ? undefined : `${field} is '${named}', but the caller is '${own ?? "nobody"}'`;

/** What is said of volumes as a whole: that they are not there yet, or there and free. */
function volumeProblem(operation: ResourceOperation, { total, isVolumeInUse }: OperationContext): string | undefined {
  switch (operation.type) {
    case "RESERVE":
    case "UNRESERVE":
      return undefined;
    case "CREATE": {
      const keys = volumeKeys(fromResources(operation.volumes));
      if (keys.size !== operation.volumes.length) return "CREATE: a persistence id is named twice";
      const there = volumeKeys(total);
      return [...keys].some((key) => there.has(key))
        ? "CREATE: the agent has a persistent volume of that role and id already"
        : undefined;
    }
    case "DESTROY":
      return absentOrUsed("DESTROY", operation.volumes, total, isVolumeInUse);
    case "GROW_VOLUME": {
      const { volume, addition } = operation;
      const [of, by] = [poolOf(volume), poolOf(addition)];
      if (of.disk?.persistence === undefined) return "GROW_VOLUME: 'volume' is no persistent volume";
      if (by.disk?.persistence !== undefined || addition.name !== "disk")
        return "GROW_VOLUME: 'addition' is disk without a volume on it";
      if (reservationRole(of) !== reservationRole(by))
        return "GROW_VOLUME: 'addition' is of another role than the volume";
      if (of.disk.source?.type === "MOUNT") return "GROW_VOLUME: a whole mount has no size of its own";
      return absentOrUsed("GROW_VOLUME", [volume], total, isVolumeInUse);
    }
    case "SHRINK_VOLUME": {
      const { volume, subtractMb } = operation;
      const pool = poolOf(volume);
      if (pool.disk?.persistence === undefined) return "SHRINK_VOLUME: 'volume' is no persistent volume";
      if (pool.disk.source?.type === "MOUNT") return "SHRINK_VOLUME: a whole mount cannot shrink";
      if (!(Math.round(subtractMb * 1000) > 0)) return "SHRINK_VOLUME: 'subtract' must be above 0";
      if (!(subtractMb < (volume.scalar?.value ?? 0)))
        return "SHRINK_VOLUME: nothing would be left: destroy it instead";
      return absentOrUsed("SHRINK_VOLUME", [volume], total, isVolumeInUse);
    }
  }
}

function absentOrUsed(
  type: string,
  volumes: readonly Resource[],
  total: ResourceSet,
  isVolumeInUse: (key: string) => boolean,
): string | undefined {
  const set = fromResources(volumes);
  if (!contains(total, set)) return `${type}: the agent has no such persistent volume`;
  return [...volumeKeys(set)].some(isVolumeInUse) ? `${type}: a task uses the volume` : undefined;
}
