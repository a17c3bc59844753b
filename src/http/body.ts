// Reading a request's body up to a bound: what is longer is refused before it is held in memory.
import type { Context } from "hono";
import * as v from "valibot";
import { describeIssue } from "#protocol/json.ts";
import type { HttpEnv } from "./http-env.ts";

/** An operator's order says no more than a few names. */
const ORDER_BYTES_MAX = 1024;
/** Of a body that is too long, as much more is read before it is answered. */
const DISCARDED_BYTES_MAX = 64 * 1024 * 1024;

export type Body =
  | { readonly type: "body"; readonly text: string }
  | { readonly type: "too-long" }
  | { readonly type: "not-utf8" };

export async function readBody(request: Request, bytesMax: number): Promise<Body> {
  const bytes = await readBytes(request, bytesMax);
  if (bytes === undefined) return { type: "too-long" };
  const text = utf8Text(bytes);
  return text === undefined ? { type: "not-utf8" } : { type: "body", text };
}

/** Undefined: it is not UTF-8. */
export function utf8Text(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Undefined: it is longer than `bytesMax`. */
export async function readBytes(request: Request, bytesMax: number): Promise<Uint8Array | undefined> {
  if (request.body === null) return new Uint8Array(0);
  let isTooLong = Number(request.headers.get("content-length") ?? "0") > bytesMax;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body as ReadableStream<Uint8Array>) {
    length += chunk.length;
    isTooLong ||= length > bytesMax;
    // The rest is taken and thrown away: a client that still writes would find its connection reset instead of our answer.
    if (length > bytesMax + DISCARDED_BYTES_MAX) return undefined;
    if (isTooLong) chunks.length = 0;
    else chunks.push(chunk);
  }
  if (isTooLong) return undefined;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

export type JsonBody<T> =
  | { readonly type: "value"; readonly value: T }
  | { readonly type: "refused"; readonly response: Response };

/** The JSON of an operator's order. */
export async function jsonBody<const S extends v.GenericSchema>(
  context: Context<HttpEnv>,
  schema: S,
): Promise<JsonBody<v.InferOutput<S>>> {
  const refused = (reason: string, status: 400 | 413 | 415): JsonBody<never> => ({
    type: "refused",
    response: context.text(`${reason}\n`, status),
  });
  // A page of another origin can send a form with the browser's credentials, but no JSON.
  if (context.req.header("content-type")?.split(";")[0]?.trim() !== "application/json") {
    return refused("Expecting 'Content-Type' of application/json", 415);
  }
  const body = await readBody(context.req.raw, ORDER_BYTES_MAX);
  if (body.type === "too-long") return refused(`the body may have at most ${ORDER_BYTES_MAX} bytes`, 413);
  if (body.type === "not-utf8") return refused("the body is not UTF-8", 400);
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), body.text, { abortEarly: true });
  if (!parsed.success) return refused(`the body is not what it must be: ${describeIssue(parsed.issues)}`, 400);
  return { type: "value", value: parsed.output };
}
