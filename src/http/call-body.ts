// The body of a v1 call: the checks of http-api-v1 §4, rows 6 to 9, which the scheduler's and the operators' API share.
import * as v from "valibot";
import { describeIssue } from "#protocol/json.ts";
import { CALL_BYTES_MAX } from "#protocol/scheduler.ts";
import { readBody } from "./body.ts";

export const JSON_TYPE = "application/json";
const PROTOBUF_TYPE = "application/x-protobuf";

export const plainText = (status: number, reason: string, headers: Record<string, string> = {}): Response =>
  new Response(reason === "" ? null : `${reason}\n`, {
    status,
    headers: reason === "" ? headers : { "content-type": "text/plain; charset=utf-8", ...headers },
  });

export type CallBody<T> =
  | { readonly type: "call"; readonly call: T }
  | { readonly type: "refused"; readonly response: Response };

export async function readCallBody<const S extends v.GenericSchema>(
  request: Request,
  schema: S,
): Promise<CallBody<v.InferOutput<S>>> {
  const refused = (response: Response): CallBody<never> => ({ type: "refused", response });
  if (request.method !== "POST") {
    return refused(plainText(405, `Expecting one of { 'POST' }, but received '${request.method}'`, { allow: "POST" }));
  }
  const contentType = request.headers.get("content-type");
  if (contentType === null) return refused(plainText(400, "Expecting 'Content-Type' to be present"));
  const mediaType = contentType.split(";")[0]?.trim();
  if (mediaType === PROTOBUF_TYPE) {
    return refused(
      plainText(415, `This release of Mesoflare takes '${JSON_TYPE}' only; '${PROTOBUF_TYPE}' comes later`),
    );
  }
  if (mediaType !== JSON_TYPE)
    return refused(plainText(415, `Expecting 'Content-Type' of ${JSON_TYPE} or ${PROTOBUF_TYPE}`));
  const body = await readBody(request, CALL_BYTES_MAX);
  if (body.type === "too-long") return refused(plainText(413, `A call may have at most ${CALL_BYTES_MAX} bytes`));
  if (body.type === "not-utf8") return refused(plainText(400, "Failed to parse body into JSON: it is not UTF-8"));
  let json: unknown;
  try {
    json = JSON.parse(body.text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : "syntax error";
    return refused(plainText(400, `Failed to parse body into JSON: ${reason}`));
  }
  const parsed = v.safeParse(schema, json, { abortEarly: true });
  if (!parsed.success) {
    return refused(plainText(400, `Failed to convert JSON into a Call: ${describeIssue(parsed.issues)}`));
  }
  return { type: "call", call: parsed.output };
}
