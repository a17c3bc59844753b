// Reading a request's body up to a bound: what is longer is refused before it is held in memory.

export type Body =
  | { readonly type: "body"; readonly text: string }
  | { readonly type: "too-long" }
  | { readonly type: "not-utf8" };

export async function readBody(request: Request, bytesMax: number): Promise<Body> {
  if (Number(request.headers.get("content-length") ?? "0") > bytesMax) return { type: "too-long" };
  if (request.body === null) return { type: "body", text: "" };
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body as ReadableStream<Uint8Array>) {
    length += chunk.length;
    if (length > bytesMax) return { type: "too-long" };
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  try {
    return { type: "body", text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { type: "not-utf8" };
  }
}
