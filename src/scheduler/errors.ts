// The three ways in which talking to a plane fails, and which of them pass by themselves.

/** The plane answered a call with something else than success. `text` is its plain-text reason. */
export class CallRefusedError extends Error {
  override readonly name = "CallRefusedError";
  readonly call: string;
  readonly status: number;
  readonly text: string;

  constructor(call: string, status: number, text: string) {
    super(`${call}: the plane answered ${status}${text === "" ? "" : `: ${text}`}`);
    this.call = call;
    this.status = status;
    this.text = text;
  }
}

/** No answer at all: a name that does not resolve, a refused or broken connection. */
export class PlaneUnreachableError extends Error {
  override readonly name = "PlaneUnreachableError";
}

/** An open event stream ended, fell silent, or carried something that is no event. */
export class StreamBrokenError extends Error {
  override readonly name = "StreamBrokenError";
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
