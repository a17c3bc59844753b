// How many calls of each principal are taken in a second (tasks-offers-and-operators §18): pure, on virtual time. A call goes now,
// or waits its turn behind those of its principal, or, when too many wait already, is refused.
import { millis, type Millis } from "#base/time.ts";

/** Source: Mesos' RateLimit. `qps` undefined: no limit. `capacity`: calls that may wait; undefined: without end. */
export interface CallLimit {
  readonly qps: number | undefined;
  readonly capacity: number | undefined;
}

export interface CallLimits {
  readonly byPrincipal: ReadonlyMap<string, CallLimit>;
  /** For all principals that are not listed, together. Undefined: no limit. */
  readonly aggregate: CallLimit | undefined;
}

export const NO_LIMITS: CallLimits = { byPrincipal: new Map(), aggregate: undefined };

/** Of one principal, or of all that are not listed. */
interface Lane {
  /** When the next call may go: calls go 1/qps apart. */
  next: Millis;
  waiting: number;
}

export interface Throttle {
  readonly limits: CallLimits;
  readonly lanes: Map<string, Lane>;
}

export const newThrottle = (limits: CallLimits): Throttle => ({ limits, lanes: new Map() });

/** A principal's name never is this: names are not empty. */
const UNLISTED = "";

export type Turn =
  | { readonly type: "now" }
  /** Call {@link leave} when it goes, or is given up. */
  | { readonly type: "wait"; readonly until: Millis; readonly lane: string }
  | { readonly type: "full"; readonly capacity: number };

/** A call has come. */
export function enter({ limits, lanes }: Throttle, principal: string, now: Millis): Turn {
  const own = limits.byPrincipal.get(principal);
  const limit = own ?? limits.aggregate;
  if (limit?.qps === undefined) return { type: "now" };
  const name = own === undefined ? UNLISTED : principal;
  const lane = lanes.get(name) ?? { next: now, waiting: 0 };
  lanes.set(name, lane);
  if (lane.waiting === 0 && lane.next <= now) {
    lane.next = millis(now + 1000 / limit.qps);
    return { type: "now" };
  }
  if (limit.capacity !== undefined && lane.waiting >= limit.capacity) return { type: "full", capacity: limit.capacity };
  const until = lane.next;
  lane.waiting += 1;
  lane.next = millis(lane.next + 1000 / limit.qps);
  return { type: "wait", until, lane: name };
}

/** A call that waited goes, or its client has given up; its turn is not given to another. */
export function leave({ lanes }: Throttle, lane: string): void {
  const found = lanes.get(lane);
  if (found !== undefined && found.waiting > 0) found.waiting -= 1;
}
