// What one GET of the agent's API comes to: the same value goes out on the loopback port and through the plane's tunnel.
import { assert } from "#base/assert.ts";
import { FRAME_BYTES_MAX } from "#protocol/agent.ts";

/** Longest body of one answer, bytes: base64 of it fits a frame. Longer files are read in ranges. */
export const BODY_BYTES_MAX = 256 * 1024;

/** Longest body that goes through the tunnel, bytes: base64 makes 4 of 3, and headers are far shorter than what is left. */
export const TUNNEL_BYTES_MAX = Math.floor((FRAME_BYTES_MAX - 32 * 1024) / 4) * 3;
assert(BODY_BYTES_MAX <= TUNNEL_BYTES_MAX, "a part of a file fits a frame");

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
