// The part of a file that a `Range` header asks for (RFC 9110 §14), in the one form that readers of logs use: a single range
// of bytes. Anything else is as if there were no header, as the RFC lets a server do.

export type ByteRange =
  | { readonly type: "whole" }
  /** `end` is exclusive. */
  | { readonly type: "part"; readonly start: number; readonly end: number }
  | { readonly type: "unsatisfiable" };

/** At most `bytesMax` from the start of the range: who wants more asks again from there. */
export function byteRange(header: string | undefined, size: number, bytesMax: number): ByteRange {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "");
  if (match === null) return { type: "whole" };
  const [first = "", last = ""] = match.slice(1);
  if (first === "" && last === "") return { type: "whole" };
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
  if (start >= size || end <= start) return { type: "unsatisfiable" };
  return { type: "part", start, end: Math.min(end, start + bytesMax) };
}
