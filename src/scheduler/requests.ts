// What a framework writes into its calls: Mesos' v1 JSON as the plane reads it. The types follow from the plane's own
// schemas, so that there is one definition: what the plane fills in may be left out, and nothing else.
import { idProblem, type AgentId, type ExecutorId, type FrameworkId, type TaskId } from "#protocol/ids.ts";
import type { OfferConstraints } from "#protocol/offer-constraints.ts";
import type { Operation, OperationType } from "#protocol/operation.ts";
import type { FrameworkCapability, FrameworkInfo } from "#protocol/scheduler.ts";
import type { Resource } from "#protocol/resource.ts";
import type { ExecutorInfo, TaskInfo } from "#protocol/task.ts";

/** A message as its writer sees it: lists may be left out when they are empty, and nothing is changed by the reader. */
export type Written<T> = unknown extends T
  ? unknown
  : T extends string | number | boolean | undefined
    ? T
    : T extends readonly (infer Item)[]
      ? readonly Written<Item>[]
      : { readonly [K in keyof T as MayBeLeftOut<T[K]> extends true ? never : K]: Written<T[K]> } & {
          readonly [K in keyof T as MayBeLeftOut<T[K]> extends true ? K : never]?: Written<T[K]>;
        };
type MayBeLeftOut<T> = undefined extends T ? true : T extends readonly unknown[] ? true : false;

/** Without its id: the client knows that. `failover_timeout` is in seconds, and 0 when it is left out. */
export type FrameworkRequest = Omit<Written<FrameworkInfo>, "id" | "capabilities"> & {
  /** A plane may know more of them than this library, and passes over those that it does not know. */
  readonly capabilities?: readonly { readonly type: FrameworkCapability | (string & {}) }[];
};
export type TaskRequest = Written<TaskInfo>;
export type ExecutorRequest = Written<ExecutorInfo>;
export type OfferConstraintsRequest = Written<OfferConstraints>;
export type ResourceRequest = Written<Resource>;

type Member<Name extends keyof Operation> = Written<NonNullable<Operation[Name]>>;
/** `id`: of a framework that wants news of the operation. Launches have none; their news are the tasks' updates. */
type Named<Name extends keyof Operation, Type extends OperationType> = { readonly type: Type } & {
  readonly [K in Name]: Member<Name>;
} & { readonly id?: { readonly value: string } };
export type OperationRequest =
  | { readonly type: "LAUNCH"; readonly launch: Member<"launch"> }
  | { readonly type: "LAUNCH_GROUP"; readonly launch_group: Member<"launch_group"> }
  | Named<"reserve", "RESERVE">
  | Named<"unreserve", "UNRESERVE">
  | Named<"create", "CREATE">
  | Named<"destroy", "DESTROY">
  | Named<"grow_volume", "GROW_VOLUME">
  | Named<"shrink_volume", "SHRINK_VOLUME">
  | Named<"create_disk", "CREATE_DISK">
  | Named<"destroy_disk", "DESTROY_DISK">;

export interface KillRequest {
  readonly taskId: TaskId;
  readonly agentId?: AgentId;
  /** Time between the polite and the hard signal, ns. The agent's default is 3 s. */
  readonly gracePeriodNs?: number;
}

export interface TaskToReconcile {
  readonly taskId: TaskId;
  /** To be given whenever it is known: without it nobody can say that the task's agent is unreachable. */
  readonly agentId?: AgentId;
}

/** An executor, for SHUTDOWN and MESSAGE. */
export interface ExecutorToReach {
  readonly executorId: ExecutorId;
  readonly agentId: AgentId;
}

export interface OperationToReconcile {
  readonly operationId: string;
  readonly agentId?: AgentId;
  readonly resourceProviderId?: string;
}

/** A scalar resource of the default role; memory and disk are megabytes. */
export function scalar(name: string, value: number): Resource {
  return { name, type: "SCALAR", scalar: { value }, role: "*" };
}

// The operations of an ACCEPT. Each may use what the ones before it in the same call have made.

/** Each task by itself: one that breaks a rule becomes TASK_ERROR, and the others run. */
export const launch = (tasks: readonly TaskRequest[]): OperationRequest => ({
  type: "LAUNCH",
  launch: { task_infos: tasks },
});

/** All tasks in one executor, or none of them. */
export const launchGroup = (executor: ExecutorRequest, tasks: readonly TaskRequest[]): OperationRequest => ({
  type: "LAUNCH_GROUP",
  launch_group: { executor, task_group: { tasks } },
});

/** The resources as they shall be, with the reservation in them. */
export const reserve = (resources: readonly ResourceRequest[], id?: string): OperationRequest => ({
  type: "RESERVE",
  reserve: { resources },
  ...idOf(id),
});

export const unreserve = (resources: readonly ResourceRequest[], id?: string): OperationRequest => ({
  type: "UNRESERVE",
  unreserve: { resources },
  ...idOf(id),
});

/** Reserved disk, with the volume in it. */
export const create = (volumes: readonly ResourceRequest[], id?: string): OperationRequest => ({
  type: "CREATE",
  create: { volumes },
  ...idOf(id),
});

/** The volumes as they were offered. What is on them is lost. */
export const destroy = (volumes: readonly ResourceRequest[], id?: string): OperationRequest => ({
  type: "DESTROY",
  destroy: { volumes },
  ...idOf(id),
});

/** `addition`: disk of the same reservation. The grown volume cannot be used later in the same call. */
export const growVolume = (volume: ResourceRequest, addition: ResourceRequest, id?: string): OperationRequest => ({
  type: "GROW_VOLUME",
  grow_volume: { volume, addition },
  ...idOf(id),
});

export const shrinkVolume = (volume: ResourceRequest, subtractMb: number, id?: string): OperationRequest => ({
  type: "SHRINK_VOLUME",
  shrink_volume: { volume, subtract: { value: subtractMb } },
  ...idOf(id),
});

const idOf = (id: string | undefined): { readonly id?: { readonly value: string } } =>
  id === undefined ? {} : { id: { value: id } };

// Texts as ids: those that the framework chose, or that it had written down. They throw when no id may be so.
export const asFrameworkId = (text: string): FrameworkId => checked(text) as FrameworkId;
export const asTaskId = (text: string): TaskId => checked(text) as TaskId;
export const asAgentId = (text: string): AgentId => checked(text) as AgentId;
export const asExecutorId = (text: string): ExecutorId => checked(text) as ExecutorId;

function checked(text: string): string {
  const problem = idProblem(text);
  if (problem !== undefined) throw new RangeError(problem);
  return text;
}
