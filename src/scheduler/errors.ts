// The three ways in which talking to a plane fails, and which of them pass by themselves.

/** The plane answered a call with something else than success. `text` is its plain-text reason. */
export class CallRefusedError extends Error {
  override readonly name = "CallRefusedError";
  readonly status: number;
  readonly text: string;

  constructor(call: string, status: number, text: string) {
    super(`${call}: the plane answered ${status}${text === "" ? "" : `: ${text}`}`);
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
 * Whether the same call may succeed later. 307 names another leader, 403 asks for a new subscription, 429 and 5xx ask for
 * patience (http-api-v1 §4); 501 will not change. Every other answer is about the call itself.
 */
export function isWorthRetrying(error: unknown): boolean {
  if (error instanceof PlaneUnreachableError || error instanceof StreamBrokenError) return true;
  if (!(error instanceof CallRefusedError) || error.status === 501) return false;
  return error.status === 307 || error.status === 403 || error.status === 429 || error.status >= 500;
}
