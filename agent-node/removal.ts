// How an agent leaves its cluster: told to by the plane ("shutdown"), or because somebody asked it to ("unregister"). Decides
// how long tasks get, and how a process says that it is over; agent.ts does it, in an order that survives a crash anywhere:
//
//   1. "shutting-down" is durable: from here on no agent on this directory reports tasks, adopts them, or connects
//   2. every task ends, with its whole tree; an agent that was started anew goes on with this, with the grace anew
//   3. "shut-down" is durable: id, tasks and streams are forgotten, the host key and the highest epoch stay
//   4. run directories are cleared, by this agent or by the recovery of the next; sandboxes stay until the sweep finds them old
import type { AgentState, CheckpointedTask } from "./checkpoint/state.ts";
import { EXIT_CODE, type ExitCode } from "./exit-code.ts";
import { graceMs } from "./orders.ts";

/**
 * Longest grace of a task on an agent that the plane removed, ms: to its framework the task is lost already and may run
 * elsewhere by now. Source: Mesos executor_shutdown_grace_period.
 */
export const SHUTDOWN_GRACE_MS_MAX = 5_000;
/** Time for a registration, where there is none, and for the answer to `unregister`, ms: a batch of the registry, and some retries. */
export const UNREGISTER_TIMEOUT_MS = 20_000;

export const removalGraceMs = ({ task, killGraceMs }: CheckpointedTask): number =>
  Math.min(SHUTDOWN_GRACE_MS_MAX, killGraceMs ?? graceMs(task.kill_policy));

/** Whether there is an id that the plane may know: without one there is nothing to unregister. */
export const mayBeAdmitted = (state: AgentState, connection: string): boolean =>
  state.registration !== undefined || connection === "registering" || connection === "registered";

/** `unregistering`: the removal is what this agent was asked to bring about. */
export const exitAfterRemoval = ({ unregistering }: { readonly unregistering: boolean }): ExitCode =>
  unregistering ? EXIT_CODE.stopped : EXIT_CODE.removed;
