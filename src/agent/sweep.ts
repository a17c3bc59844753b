// When a gateway looks through its sockets next: soon while one authenticates, seldom otherwise, never without sockets.
import { millis, type Millis } from "#base/time.ts";
import { AUTHENTICATION_MS_MAX, type Session } from "./session.ts";

/** Time between two sweeps for silent sockets, ms. */
export const SWEEP_INTERVAL_MS = 30_000;

/** Shortest time between two sweeps, ms: each walks all sockets, and a thousand of them may fall due one after the other. */
export const SWEEP_PAUSE_MS = 1_000;

export function nextSweep(sessions: Iterable<Session>, now: Millis): Millis | undefined {
  let next: number | undefined;
  for (const session of sessions) {
    const authenticating = session.state === "opened" || session.state === "authenticating";
    const due = authenticating ? session.openedAt + AUTHENTICATION_MS_MAX : now + SWEEP_INTERVAL_MS;
    next = next === undefined ? due : Math.min(next, due);
  }
  return next === undefined ? undefined : millis(Math.max(next, now + SWEEP_PAUSE_MS));
}
