// The core of `run`: a framework with one task. It takes what the scheduler library tells it, ticks and stop requests, and
// returns the calls to make. It decides which offer to take, when to reconcile and kill, and when the command is over; the
// shell in run.ts talks to the plane and reads the output.
//
// Rules: one task at most, under one id; after a launch no offer is kept; a launch that was not done is repeated (the plane
// refused the call for now, or its offer was withdrawn), and no other.
import { unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentId } from "#protocol/ids.ts";
import { isTerminal, type Offer, type Resource, type TaskStatus } from "#scheduler/index.ts";
import { EXIT } from "../exit-codes.ts";
import { endingOf, stoppedEnding, type Ending, type StopCause } from "./ending.ts";
import { explainWaiting, fit, type Wanted } from "./fitting.ts";

/** How long an offer that does not fit is not wanted again, s: short, because other tasks end and free resources. */
export const REFUSE_SECONDS_WAITING = 5;
/** The same once the task runs: a year, the most that Mesos takes. Others shall have the resources. */
export const REFUSE_SECONDS_RUNNING = 31_536_000;
/** Waiting for an offer that fits is explained after this long, ms. */
export const EXPLAIN_AFTER_MS = 10_000;
/** How long the end of a task that we asked for may take, ms: an agent gives it 3 s between its two signals. */
export const STOP_MS_MAX = 15_000;
/** Longest wait for the rest of the output once the task has ended, ms. */
export const DRAIN_MS_MAX = 30_000;
/** A kill may be lost on its way; it is repeated after this long, ms. */
export const KILL_AGAIN_MS = 5_000;

export type Phase =
  | {
      readonly phase: "waiting";
      readonly since: Millis;
      readonly explained: boolean;
      /** Why the plane could not be reached the last time; undefined while it can. */
      readonly unreachable?: string;
      readonly misfits: ReadonlyMap<AgentId, string>;
    }
  | {
      readonly phase: "launched";
      readonly agentId: AgentId;
      readonly running: boolean;
      readonly stop?: Stop;
    }
  | { readonly phase: "over"; readonly ending: Ending };

/** The end that was asked for. */
interface Stop {
  readonly cause: StopCause;
  readonly since: Millis;
  readonly killedAt: Millis;
}

export interface Progress {
  readonly wanted: Wanted;
  readonly detach: boolean;
  readonly current: Phase;
}

export type Input =
  | { readonly type: "subscribed" }
  | { readonly type: "offer"; readonly offer: Offer }
  | { readonly type: "update"; readonly status: TaskStatus }
  /** The launch was refused for now: it was not done, and will not be. */
  | { readonly type: "not-launched" }
  /** The stream broke or could not be opened. */
  | { readonly type: "interrupted"; readonly reason: string }
  | { readonly type: "tick" }
  | { readonly type: "stop"; readonly cause: StopCause };

export type Effect =
  | { readonly type: "launch"; readonly offer: Offer; readonly resources: readonly Resource[] }
  | { readonly type: "decline"; readonly offer: Offer; readonly refuseSeconds: number }
  | { readonly type: "reconcile"; readonly agentId: AgentId }
  | { readonly type: "kill"; readonly agentId: AgentId }
  | { readonly type: "state"; readonly status: TaskStatus }
  | { readonly type: "say"; readonly text: string }
  /** Detached: leave without TEARDOWN. Otherwise the framework goes too. `drainMs`: longest wait for the rest of the output. */
  | { readonly type: "leave"; readonly teardown: boolean; readonly drainMs: number };

export type Step = readonly [next: Progress, effects: readonly Effect[]];

const waiting = (since: Millis): Phase => ({ phase: "waiting", since, explained: false, misfits: new Map() });

export function initialProgress(
  wanted: Wanted,
  { detach, now }: { readonly detach: boolean; readonly now: Millis },
): Progress {
  return { wanted, detach, current: waiting(now) };
}

/** The next state, then the calls in the order in which they must be made. */
export function step(progress: Progress, input: Input, now: Millis): Step {
  if (progress.current.phase === "over") return [progress, []];
  switch (input.type) {
    case "subscribed":
      return onSubscribed(progress, now);
    case "offer":
      return onOffer(progress, input.offer);
    case "update":
      return onUpdate(progress, input.status, now);
    case "not-launched":
      return onNotLaunched(progress, now);
    case "interrupted":
      return onInterrupted(progress, input.reason);
    case "tick":
      return onTick(progress, now);
    case "stop":
      return onStop(progress, input.cause, now);
    default:
      return unreachable(input);
  }
}

/** After a break, updates that the plane made may be lost and orders may not have arrived: ask, and repeat a kill. */
function onSubscribed(progress: Progress, now: Millis): Step {
  const { current } = progress;
  if (current.phase === "waiting") return [{ ...progress, current: { ...current, unreachable: undefined } }, []];
  if (current.phase === "over") return [progress, []];
  const { agentId, stop } = current;
  const reconcile: Effect = { type: "reconcile", agentId };
  if (stop === undefined) return [progress, [reconcile]];
  const killed: Phase = { ...current, stop: { ...stop, killedAt: now } };
  return [{ ...progress, current: killed }, [reconcile, { type: "kill", agentId }]];
}

function onNotLaunched(progress: Progress, now: Millis): Step {
  const { current } = progress;
  if (current.phase !== "launched") return [progress, []];
  if (current.stop !== undefined) return over(progress, stoppedEnding(current.stop.cause), []);
  return [{ ...progress, current: waiting(now) }, []];
}

function onInterrupted(progress: Progress, reason: string): Step {
  const { current } = progress;
  return [current.phase === "waiting" ? { ...progress, current: { ...current, unreachable: reason } } : progress, []];
}

function onOffer(progress: Progress, offer: Offer): Step {
  const { current } = progress;
  if (current.phase !== "waiting") {
    const isRunning = current.phase === "launched" && current.running;
    return [progress, [decline(offer, isRunning ? REFUSE_SECONDS_RUNNING : REFUSE_SECONDS_WAITING)]];
  }
  const found = fit(offer, progress.wanted);
  if (found.type === "fits") {
    const launched: Phase = { phase: "launched", agentId: offer.agent_id.value, running: false };
    return [{ ...progress, current: launched }, [{ type: "launch", offer, resources: found.resources }]];
  }
  const misfits = new Map(current.misfits).set(offer.agent_id.value, found.why);
  return [{ ...progress, current: { ...current, misfits } }, [decline(offer, REFUSE_SECONDS_WAITING)]];
}

const decline = (offer: Offer, refuseSeconds: number): Effect => ({ type: "decline", offer, refuseSeconds });

function onUpdate(progress: Progress, status: TaskStatus, now: Millis): Step {
  const { current } = progress;
  // An update before any launch is a repetition of another life's: there is none.
  if (current.phase !== "launched") return [progress, []];
  if (isTerminal(status.state)) {
    // The offer was withdrawn while our ACCEPT was on its way: nothing was launched, and another offer will come.
    const dropped =
      status.state === "TASK_DROPPED" && status.reason === "REASON_INVALID_OFFERS" && current.stop === undefined;
    if (dropped) return [{ ...progress, current: waiting(now) }, []];
    return over(progress, endingOf(status, current.stop?.cause), [{ type: "state", status }]);
  }
  const told: readonly Effect[] = [{ type: "state", status }];
  const running = current.running || status.state === "TASK_RUNNING";
  const next: Progress = { ...progress, current: { ...current, running } };
  if (status.state === "TASK_UNREACHABLE") {
    return [
      next,
      [...told, { type: "say", text: `agent ${current.agentId} is unreachable; the task may run on there` }],
    ];
  }
  if (progress.detach && status.state === "TASK_RUNNING" && current.stop === undefined) {
    const ending: Ending = { exitCode: EXIT.ok };
    return [{ ...next, current: { phase: "over", ending } }, [...told, { type: "leave", teardown: false, drainMs: 0 }]];
  }
  return [next, told];
}

function explain({ unreachable, misfits }: Extract<Phase, { phase: "waiting" }>, wanted: Wanted): string {
  return unreachable === undefined ? explainWaiting(misfits, wanted) : `still waiting for the plane: ${unreachable}`;
}

function onTick(progress: Progress, now: Millis): Step {
  const { current } = progress;
  if (current.phase === "waiting" && !current.explained && now - current.since >= EXPLAIN_AFTER_MS) {
    const text = explain(current, progress.wanted);
    return [{ ...progress, current: { ...current, explained: true } }, [{ type: "say", text }]];
  }
  if (current.phase !== "launched" || current.stop === undefined) return [progress, []];
  const { agentId, stop } = current;
  if (now - stop.since >= STOP_MS_MAX) {
    const why = `its end is not confirmed: the plane or agent ${agentId} does not answer, and the task may run on for a while`;
    return over(progress, stoppedEnding(stop.cause, why), [], 0);
  }
  if (now - stop.killedAt < KILL_AGAIN_MS) return [progress, []];
  return [{ ...progress, current: { ...current, stop: { ...stop, killedAt: now } } }, [{ type: "kill", agentId }]];
}

function onStop(progress: Progress, cause: StopCause, now: Millis): Step {
  const { current } = progress;
  if (current.phase === "waiting") {
    const why = cause.type === "timeout" ? explain(current, progress.wanted) : undefined;
    return over(progress, stoppedEnding(cause, why), []);
  }
  if (current.phase === "over" || current.stop !== undefined) return [progress, []];
  const { agentId } = current;
  const stopping: Phase = { ...current, stop: { cause, since: now, killedAt: now } };
  return [{ ...progress, current: stopping }, [{ type: "kill", agentId }]];
}

function over(progress: Progress, ending: Ending, effects: readonly Effect[], drainMs = DRAIN_MS_MAX): Step {
  return [
    { ...progress, current: { phase: "over", ending } },
    [...effects, { type: "leave", teardown: true, drainMs }],
  ];
}
