// When a gateway looks through its sockets next: soon while one authenticates, seldom otherwise, never without sockets.
import { millis, type Millis } from "#base/time.ts";
import { AUTHENTICATION_TIMEOUT_MS } from "#protocol/agent.ts";
import type { Session } from "./session.ts";

/** Time between two sweeps for silent sockets, ms. */
export const SWEEP_INTERVAL_MS = 30_000;

export function nextSweep(sessions: Iterable<Session>, now: Millis): Millis | undefined {
  let next: number | undefined;
  for (const session of sessions) {
    const authenticating = session.state === "opened" || session.state === "authenticating";
    const due = authenticating ? session.openedAt + AUTHENTICATION_TIMEOUT_MS : now + SWEEP_INTERVAL_MS;
    next = next === undefined ? due : Math.min(next, due);
  }
  return next === undefined ? undefined : millis(Math.max(next, now));
}
