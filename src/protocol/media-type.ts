// The two forms of a v1 message on HTTP, and how a client says which one it sends and takes (http-api-v1 §2).

export const JSON_TYPE = "application/json";
export const PROTOBUF_TYPE = "application/x-protobuf";

/** In this order: where a client takes both, it gets the first. */
export const MEDIA_TYPES = [JSON_TYPE, PROTOBUF_TYPE] as const;
export type MediaType = (typeof MEDIA_TYPES)[number];

/** Longest header that is looked at, letters. */
const ACCEPT_LENGTH_MAX = 4096;

/** What a Content-Type names, which may be none of ours. Parameters are passed over: Mesos refuses them, and clients leave them out. */
export const mediaTypeOf = (contentType: string): string => contentType.split(";", 1)[0]?.trim() ?? "";

/**
 * Which of `offered` an Accept header lets an answer have. Without a header all are allowed, with an empty one none (workerd shows us an
 * empty one as none at all). q=0 excludes, and any other q is only a "yes".
 */
export function acceptedType(
  accept: string | null,
  offered: readonly MediaType[] = MEDIA_TYPES,
): MediaType | undefined {
  if (accept === null) return offered[0];
  const allowed = new Set<string>();
  const excluded = new Set<string>();
  for (const range of accept.slice(0, ACCEPT_LENGTH_MAX).split(",")) {
    const [name = "", ...parameters] = range.split(";").map((part) => part.trim());
    (parameters.some((parameter) => /^q=0(?:\.0*)?$/i.test(parameter)) ? excluded : allowed).add(name);
  }
  return offered.find(
    (type) => !excluded.has(type) && [type, "application/*", "*/*"].some((range) => allowed.has(range)),
  );
}
