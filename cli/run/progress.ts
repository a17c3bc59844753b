// The core of `run`: a framework with one task. It takes events, ticks and stop requests, and returns the calls to make.
// It decides which offer to take, when to acknowledge and reconcile, and when the command is over; the shell in run.ts
// talks to the plane and reads the output.
//
// Rules: one task at most, under one id; after a launch no offer is kept; every update is acknowledged before the command
// ends; a launch that the plane dropped because its offer was withdrawn is repeated, and no other.
import { unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import type { AgentId, FrameworkId, OfferId } from "#protocol/ids.ts";
import type { Offer, SchedulerEvent } from "#protocol/scheduler.ts";
import { isTerminal, type TaskStatus } from "#protocol/task.ts";
import { EXIT } from "../exit-codes.ts";
import { endingOf, stoppedEnding, type Ending, type StopCause } from "./ending.ts";
import { explainWaiting, misfit, type Wanted } from "./fitting.ts";

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
/** A reconciliation without answer is repeated after this long, ms: agents may still be re-registering. */
export const RECONCILE_AGAIN_MS = 10_000;

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
      /** When the last unanswered reconciliation was asked; undefined when there is none. */
      readonly reconcilingSince?: Millis;
      readonly stop?: StopCause;
      /** When the end was asked for. */
      readonly stoppedAt?: Millis;
    }
  | { readonly phase: "over"; readonly ending: Ending };

export interface Progress {
  readonly wanted: Wanted;
  readonly detach: boolean;
  readonly frameworkId?: FrameworkId;
  readonly current: Phase;
}

export type Input =
  | { readonly type: "event"; readonly event: SchedulerEvent }
  | { readonly type: "tick" }
  /** The stream broke or could not be opened. */
  | { readonly type: "interrupted"; readonly reason: string }
  /** A call got no answer, or one that asks for patience. What was in it may or may not have happened. */
  | { readonly type: "call-failed" }
  | { readonly type: "stop"; readonly cause: StopCause };

export type Effect =
  | { readonly type: "launch"; readonly offer: Offer }
  | { readonly type: "decline"; readonly offerIds: readonly OfferId[]; readonly refuseSeconds: number }
  | { readonly type: "acknowledge"; readonly status: TaskStatus }
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
    case "event":
      return onEvent(progress, input.event, now);
    case "tick":
      return onTick(progress, now);
    case "call-failed":
      return onCallFailed(progress, now);
    case "interrupted":
      return onInterrupted(progress, input.reason);
    case "stop":
      return onStop(progress, input.cause, now);
    default:
      return unreachable(input);
  }
}

function onEvent(progress: Progress, event: SchedulerEvent, now: Millis): Step {
  switch (event.type) {
    case "SUBSCRIBED":
      return askAgain(reached({ ...progress, frameworkId: event.subscribed.framework_id.value }), now);
    case "OFFERS":
      return onOffers(progress, event.offers.offers);
    case "UPDATE":
      return onUpdate(progress, event.update.status, now);
    case "ERROR":
      return over(
        progress,
        { exitCode: EXIT.planeFailed, message: `the plane ended the subscription: ${event.error.message}` },
        [],
      );
    default:
      return [progress, []]; // HEARTBEAT, RESCIND (a launch on it is dropped and repeated), and types of later releases
  }
}

function onInterrupted(progress: Progress, reason: string): Step {
  const { current } = progress;
  return [current.phase === "waiting" ? { ...progress, current: { ...current, unreachable: reason } } : progress, []];
}

function reached(progress: Progress): Progress {
  const { current } = progress;
  return current.phase === "waiting" ? { ...progress, current: { ...current, unreachable: undefined } } : progress;
}

/** After a break, updates that the master made may be lost and orders may not have arrived: ask, and repeat a kill. */
function askAgain(progress: Progress, now: Millis): Step {
  const { current } = progress;
  if (current.phase !== "launched") return [progress, []];
  const { agentId, stop } = current;
  const kill: readonly Effect[] = stop === undefined ? [] : [{ type: "kill", agentId }];
  return [{ ...progress, current: { ...current, reconcilingSince: now } }, [{ type: "reconcile", agentId }, ...kill]];
}

/** The stream may be well, so that no SUBSCRIBED will come: the next tick asks what happened. */
function onCallFailed(progress: Progress, now: Millis): Step {
  const { current } = progress;
  if (current.phase !== "launched") return [progress, []];
  return [{ ...progress, current: { ...current, reconcilingSince: current.reconcilingSince ?? now } }, []];
}

function onOffers(progress: Progress, offers: readonly Offer[]): Step {
  const { current } = progress;
  if (current.phase !== "waiting") {
    const refuseSeconds =
      current.phase === "launched" && current.running ? REFUSE_SECONDS_RUNNING : REFUSE_SECONDS_WAITING;
    return [progress, decline(offers, refuseSeconds)];
  }
  const misfits = new Map(current.misfits);
  for (const offer of offers) {
    const why = misfit(offer, progress.wanted);
    if (why === undefined) {
      const others = offers.filter((other) => other !== offer);
      const launched: Phase = { phase: "launched", agentId: offer.agent_id.value, running: false };
      return [
        { ...progress, current: launched },
        [{ type: "launch", offer }, ...decline(others, REFUSE_SECONDS_WAITING)],
      ];
    }
    misfits.set(offer.agent_id.value, why);
  }
  return [{ ...progress, current: { ...current, misfits } }, decline(offers, REFUSE_SECONDS_WAITING)];
}

const decline = (offers: readonly Offer[], refuseSeconds: number): readonly Effect[] =>
  offers.length === 0 ? [] : [{ type: "decline", offerIds: offers.map(({ id }) => id.value), refuseSeconds }];

function onUpdate(progress: Progress, status: TaskStatus, now: Millis): Step {
  const { current } = progress;
  const acknowledge: readonly Effect[] = status.uuid === undefined ? [] : [{ type: "acknowledge", status }];
  if (current.phase !== "launched") return [progress, acknowledge];
  if (isTerminal(status.state)) {
    // The offer was withdrawn while our ACCEPT was on its way: nothing was launched, and another offer will come.
    const dropped =
      status.state === "TASK_DROPPED" && status.reason === "REASON_INVALID_OFFERS" && current.stop === undefined;
    if (dropped) return [{ ...progress, current: waiting(now) }, acknowledge];
    return over(progress, endingOf(status, current.stop), [...acknowledge, { type: "state", status }]);
  }
  const told: readonly Effect[] = [...acknowledge, { type: "state", status }];
  const running = current.running || status.state === "TASK_RUNNING";
  const next: Progress = { ...progress, current: { ...current, running, reconcilingSince: undefined } };
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
  if (current.phase === "launched" && current.stop !== undefined && now - (current.stoppedAt ?? now) >= STOP_MS_MAX) {
    const why = `its end is not confirmed: the plane or agent ${current.agentId} does not answer, and the task may run on for a while`;
    return over(progress, stoppedEnding(current.stop, why), [], 0);
  }
  if (current.phase === "waiting" && !current.explained && now - current.since >= EXPLAIN_AFTER_MS) {
    const text = explain(current, progress.wanted);
    return [{ ...progress, current: { ...current, explained: true } }, [{ type: "say", text }]];
  }
  if (
    current.phase === "launched" &&
    current.reconcilingSince !== undefined &&
    now - current.reconcilingSince >= RECONCILE_AGAIN_MS
  ) {
    return askAgain(progress, now);
  }
  return [progress, []];
}

function onStop(progress: Progress, cause: StopCause, now: Millis): Step {
  const { current } = progress;
  if (current.phase === "waiting") {
    const why = cause.type === "timeout" ? explain(current, progress.wanted) : undefined;
    return over(progress, stoppedEnding(cause, why), []);
  }
  if (current.phase === "over" || current.stop !== undefined) return [progress, []];
  return [
    { ...progress, current: { ...current, stop: cause, stoppedAt: now } },
    [{ type: "kill", agentId: current.agentId }],
  ];
}

function over(progress: Progress, ending: Ending, effects: readonly Effect[], drainMs = DRAIN_MS_MAX): Step {
  return [
    { ...progress, current: { phase: "over", ending } },
    [...effects, { type: "leave", teardown: true, drainMs }],
  ];
}
