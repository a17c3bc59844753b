// The client library for people who write frameworks: `import { Scheduler } from "mesoflare/scheduler"`; a page about it is
// docs/writing-frameworks.md. This file is its one public entry and decides nothing. Web standards only: it runs in Node,
// Workers and browsers.
export { Scheduler, type OtherEvent, type SchedulerOptions, type Subscribed } from "./scheduler.ts";
export {
  SchedulerClient,
  type ClientOptions,
  type Credential,
  type OfferWishes,
  type SubscribeOptions,
} from "./client.ts";
export type { Clock } from "./clock.ts";
export {
  CallRefusedError,
  isWorthRetrying,
  mayHaveHappened,
  PlaneUnreachableError,
  RedirectRefusedError,
  StreamBrokenError,
  SubscriptionEndedError,
  type SubscriptionEnd,
} from "./errors.ts";
export { amountOf, cut, type Cut, type Wants } from "./offer-fit.ts";
export type { ImplicitPass, Reconciled, ReconcileOptions } from "./reconciler.ts";
export {
  asAgentId,
  asExecutorId,
  asFrameworkId,
  asTaskId,
  create,
  destroy,
  growVolume,
  launch,
  launchGroup,
  reserve,
  scalar,
  shrinkVolume,
  unreserve,
  type ExecutorRequest,
  type ExecutorToReach,
  type FrameworkRequest,
  type KillRequest,
  type OfferConstraintsRequest,
  type OperationRequest,
  type OperationToReconcile,
  type ResourceRequest,
  type TaskRequest,
  type TaskToReconcile,
} from "./requests.ts";
export {
  RESUBSCRIBE_BOUNDS,
  staySubscribed,
  type Interruption,
  type StaySubscribedOptions,
  type Wanted,
} from "./stay-subscribed.ts";
export type { AgentId, ExecutorId, FrameworkId, OfferId, TaskId } from "#protocol/ids.ts";
export { isTerminalOperation, type OperationState, type OperationStatus } from "#protocol/operation.ts";
export type { Resource } from "#protocol/resource.ts";
export type { InverseOffer, MasterInfo, Offer, SchedulerEvent } from "#protocol/scheduler.ts";
export { isTerminal, parseExitMessage, type TaskState, type TaskStatus } from "#protocol/task.ts";
