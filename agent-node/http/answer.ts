// What one GET of the agent's API comes to: the same value goes out on the loopback port and through the plane's tunnel.

/** Longest body of one answer, bytes: base64 of it fits a frame. Longer files are read in ranges. */
export const BODY_BYTES_MAX = 256 * 1024;

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export function textAnswer(status: number, text: string): Answer {
  return { status, headers: { "content-type": "text/plain; charset=utf-8" }, body: Buffer.from(text) };
}

/** JSON, or with `jsonp` the call of a function of that name (endpoints §1). */
export function jsonAnswer(value: unknown, jsonp: string | null): Answer {
  const json = JSON.stringify(value);
  if (jsonp === null) return { status: 200, headers: { "content-type": "application/json" }, body: Buffer.from(json) };
  if (!/^[A-Za-z_$][\w$.]{0,127}$/.test(jsonp)) return textAnswer(400, "'jsonp' is not the name of a function\n");
  return { status: 200, headers: { "content-type": "text/javascript" }, body: Buffer.from(`${jsonp}(${json});`) };
}
