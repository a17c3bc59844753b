// The status updates of one task, in order. Decides which update is outstanding (only ever the first), which acknowledgement
// counts, and when the first is sent again. Source: Mesos status_update_manager (reference §7).
import { assert } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import { isTerminal, type TaskStatus } from "#protocol/task.ts";

/** First wait for an acknowledgement, ms; it doubles with each attempt. Source: Mesos STATUS_UPDATE_RETRY_INTERVAL_MIN. */
export const RETRY_MS_MIN = 10_000;
/** Longest wait, ms. Source: Mesos STATUS_UPDATE_RETRY_INTERVAL_MAX. */
export const RETRY_MS_MAX = 600_000;

/** The durable part. */
export interface UpdateStream {
  /** Not acknowledged yet, oldest first. Only {@link enqueueAnswer} puts something behind a terminal update. */
  readonly pending: readonly TaskStatus[];
  /** The last update that was acknowledged. */
  readonly acknowledged: TaskStatus | undefined;
}

export const EMPTY_STREAM: UpdateStream = { pending: [], acknowledged: undefined };

/** The stream with one more update; a repeated uuid, and whatever comes after a terminal update, changes nothing. */
export function enqueue(stream: UpdateStream, status: TaskStatus): UpdateStream {
  assert(status.uuid !== undefined, "an agent's update has a uuid");
  if (hasEnded(stream)) return stream;
  if (stream.acknowledged?.uuid === status.uuid || stream.pending.some(({ uuid }) => uuid === status.uuid))
    return stream;
  return { ...stream, pending: [...stream.pending, status] };
}

/**
 * The stream with the answer to an order for a task that will not run, behind whatever an older task of this id still has to
 * say: the framework hears of the older one's end first.
 */
export function enqueueAnswer(stream: UpdateStream, status: TaskStatus): UpdateStream {
  assert(status.uuid !== undefined && isTerminal(status.state), "an answer is a last update, with a uuid");
  return { ...stream, pending: [...stream.pending, status] };
}

/** Whether the last update is already there. */
export function hasEnded({ pending }: UpdateStream): boolean {
  const last = pending.at(-1);
  return last !== undefined && isTerminal(last.state);
}

export type Acknowledged =
  /** Not the outstanding update: a duplicate, or of another life of the task. Nothing changes. */
  | { readonly type: "unexpected" }
  | { readonly type: "next"; readonly stream: UpdateStream }
  /** The terminal update was acknowledged: the task may be forgotten. `stream` holds the answers that were behind it. */
  | { readonly type: "closed"; readonly stream: UpdateStream | undefined };

export function acknowledge(stream: UpdateStream, uuid: string): Acknowledged {
  const [head, ...rest] = stream.pending;
  if (head === undefined || head.uuid !== uuid) return { type: "unexpected" };
  if (!isTerminal(head.state)) return { type: "next", stream: { pending: rest, acknowledged: head } };
  return { type: "closed", stream: rest.length === 0 ? undefined : { pending: rest, acknowledged: undefined } };
}

/** The volatile part: how often the outstanding update was sent, and when it is sent again. */
export interface Delivery {
  readonly uuid: string;
  readonly attempts: number;
  readonly dueAt: Millis;
}

/** Whether to send the head now, by its uuid. A head that was never sent is due at once. */
export function isDue(uuid: string, delivery: Delivery | undefined, now: Millis): boolean {
  return delivery === undefined || delivery.uuid !== uuid || delivery.dueAt <= now;
}

/** After the head was sent: due again in 10 s, then 20 s, up to 10 min. */
export function afterSending(uuid: string, delivery: Delivery | undefined, now: Millis): Delivery {
  const attempts = delivery !== undefined && delivery.uuid === uuid ? delivery.attempts + 1 : 1;
  const wait = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(attempts - 1, 30));
  return { uuid, attempts, dueAt: (now + wait) as Millis };
}
