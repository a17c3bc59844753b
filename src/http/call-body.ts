// The body of a v1 call: the checks of http-api-v1 §4, rows 6 to 9, which the scheduler's and the operators' API share. Whatever form a
// call is sent in, the same schema looks at it.
import * as v from "valibot";
import { parseJson } from "#protocol/json-text.ts";
import { describeIssue } from "#protocol/json.ts";
import { JSON_TYPE, mediaTypeOf, MEDIA_TYPES, PROTOBUF_TYPE, type MediaType } from "#protocol/media-type.ts";
import { fromBinary } from "#protocol/mesos-binary.ts";
import { fromJson } from "#protocol/mesos-json.ts";
import type { Decoded, MessageName } from "#protocol/message-plan.ts";
import { CALL_BYTES_MAX } from "#protocol/scheduler.ts";
import { readBytes, utf8Text } from "./body.ts";

export const plainText = (status: number, reason: string, headers: Record<string, string> = {}): Response =>
  new Response(reason === "" ? null : `${reason}\n`, {
    status,
    headers: reason === "" ? headers : { "content-type": "text/plain; charset=utf-8", ...headers },
  });

export type CallBody<T> =
  | { readonly type: "call"; readonly call: T }
  | { readonly type: "refused"; readonly response: Response };

type Read = { readonly type: "value"; readonly value: unknown } | { readonly type: "problem"; readonly reason: string };

/** The media types that an API takes, and how a body of each is read. */
export type Forms = Readonly<Partial<Record<MediaType, (bytes: Uint8Array) => Read>>>;

/** A message of Mesos' schema, in either form. */
export const formsOf = (message: MessageName): Forms => ({
  [JSON_TYPE]: (bytes) => {
    const read = readJson(bytes);
    if (read.type === "problem") return read;
    return converted(fromJson(message, read.value), "Failed to convert JSON into a Call");
  },
  [PROTOBUF_TYPE]: (bytes) => converted(fromBinary(message, bytes), "Failed to parse body into a Call"),
});

/** JSON that the call's schema alone explains. */
export const JSON_ONLY: Forms = { [JSON_TYPE]: readJson };

function readJson(bytes: Uint8Array): Read {
  const text = utf8Text(bytes);
  const json = text === undefined ? ({ type: "problem", reason: "it is not UTF-8" } as const) : parseJson(text);
  return json.type === "value" ? json : { type: "problem", reason: `Failed to parse body into JSON: ${json.reason}` };
}

const converted = (decoded: Decoded, failure: string): Read =>
  decoded.type === "plain"
    ? { type: "value", value: decoded.value }
    : { type: "problem", reason: `${failure}: ${decoded.reason}` };

export async function readCallBody<const S extends v.GenericSchema>(
  request: Request,
  schema: S,
  forms: Forms,
): Promise<CallBody<v.InferOutput<S>>> {
  const refused = (response: Response): CallBody<never> => ({ type: "refused", response });
  if (request.method !== "POST") {
    return refused(plainText(405, `Expecting one of { 'POST' }, but received '${request.method}'`, { allow: "POST" }));
  }
  const contentType = request.headers.get("content-type");
  if (contentType === null) return refused(plainText(400, "Expecting 'Content-Type' to be present"));
  const mediaType = MEDIA_TYPES.find((type) => type === mediaTypeOf(contentType));
  const form = mediaType === undefined ? undefined : forms[mediaType];
  if (form === undefined) {
    return refused(plainText(415, `Expecting 'Content-Type' of ${Object.keys(forms).join(" or ")}`));
  }
  const bytes = await readBytes(request, CALL_BYTES_MAX);
  if (bytes === undefined) return refused(plainText(413, `A call may have at most ${CALL_BYTES_MAX} bytes`));
  const read = form(bytes);
  if (read.type === "problem") return refused(plainText(400, read.reason));
  const parsed = v.safeParse(schema, read.value, { abortEarly: true });
  if (!parsed.success) return refused(plainText(400, `This is not a valid Call: ${describeIssue(parsed.issues)}`));
  return { type: "call", call: parsed.output };
}
