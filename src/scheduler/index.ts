// The client library for people who write frameworks: `import { SchedulerClient } from "mesoflare/scheduler"`.
// This file is its one public entry and decides nothing. Web standards only: it runs in Node, Workers and browsers.
export { SchedulerClient, type Credential, type SchedulerOptions } from "./client.ts";
export { CallRefusedError, isWorthRetrying, PlaneUnreachableError, StreamBrokenError } from "./errors.ts";
export type { CommandRequest, FrameworkRequest, KillRequest, TaskRequest, TaskToReconcile } from "./requests.ts";
export {
  RESUBSCRIBE_BOUNDS,
  staySubscribed,
  type Interruption,
  type StaySubscribedOptions,
} from "./stay-subscribed.ts";
export { scalar } from "./requests.ts";
export type { Offer, SchedulerEvent } from "#protocol/scheduler.ts";
export type { TaskState, TaskStatus } from "#protocol/task.ts";
export { isTerminal, parseExitMessage } from "#protocol/task.ts";
