// The ways in which talking to a plane fails, which of them pass by themselves, and after which a call may have been done.

/** The plane answered a call with something else than success. `text` is its plain-text reason. */
export class CallRefusedError extends Error {
  override readonly name = "CallRefusedError";
  readonly call: string;
  readonly status: number;
  readonly text: string;
  /** How long the plane asks to be left alone, ms. */
  readonly retryAfterMs: number | undefined;

  constructor(call: string, status: number, text: string, retryAfterMs?: number) {
    super(`${call}: the plane answered ${status}${text === "" ? "" : `: ${text}`}`);
    this.call = call;
    this.status = status;
    this.text = text;
    this.retryAfterMs = retryAfterMs;
  }
}

/** No answer at all: a name that does not resolve, a refused or broken connection. Whether the call was done is not known. */
export class PlaneUnreachableError extends Error {
  override readonly name = "PlaneUnreachableError";
}

/**
 * An open event stream ended, fell silent, or carried something that is no event. Thrown by a call: there was no
 * subscription to make it in, or that one was over when the call arrived; the call was not done.
 */
export class StreamBrokenError extends Error {
  override readonly name = "StreamBrokenError";
}

/** The plane named a leader on a host that it was not said to have: nothing was sent there. */
export class RedirectRefusedError extends Error {
  override readonly name = "RedirectRefusedError";
  readonly location: string;

  constructor(location: string) {
    super(`the plane names ${location} as its leader: if that host belongs to it, list it in 'masters'`);
    this.location = location;
  }
}

/** removed: its id is dead, and its tasks are killed. failed-over: somebody else has subscribed with its id. */
export type SubscriptionEnd = "removed" | "failed-over" | "refused";

/** The plane's last word to this framework, an ERROR event: the same subscription would end in the same way. */
export class SubscriptionEndedError extends Error {
  override readonly name = "SubscriptionEndedError";
  readonly end: SubscriptionEnd;
  /** The plane's own words. */
  readonly text: string;

  constructor(text: string) {
    super(`the plane ended the subscription: ${text}`);
    this.text = text;
    this.end = endOf(text);
  }
}

/** The event has no other field than its text; the words are Mesos' own (http-api-v1 §4.3, §4.4). */
function endOf(text: string): SubscriptionEnd {
  if (text === "Framework failed over") return "failed-over";
  return /^Framework (?:has been|is being) removed$/.test(text) ? "removed" : "refused";
}

/**
 * Whether the same call may succeed later. 307 names another leader, 429 and 5xx ask for patience (http-api-v1 §4), 403 asks
 * for a new subscription, unless it is the subscription itself that is forbidden; 501 will not change. Every other answer is
 * about the call.
 */
export function isWorthRetrying(error: unknown): boolean {
  if (error instanceof PlaneUnreachableError || error instanceof StreamBrokenError) return true;
  if (!(error instanceof CallRefusedError) || error.status === 501) return false;
  if (error.status === 403) return error.call !== "SUBSCRIBE";
  return error.status === 307 || error.status === 429 || error.status >= 500;
}

/** Whether the call that failed so may have been done, or may still be: it is on its way, or the plane failed over it. */
export function mayHaveHappened(error: unknown): boolean {
  if (error instanceof PlaneUnreachableError) return true;
  return error instanceof CallRefusedError && error.status >= 500 && error.status !== 501;
}
