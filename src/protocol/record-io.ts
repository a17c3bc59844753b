// RecordIO (http-api-v1 §3): the payload's length in bytes as decimal digits, a line feed, then the payload.

/** Longest record a reader takes, bytes: clients in the field allow 4 MiB. */
export const RECORD_BYTES_MAX = 4 * 1024 * 1024;
/** Digits of {@link RECORD_BYTES_MAX}; a longer length line is refused before it is read to its end. */
const LENGTH_DIGITS_MAX = 7;

export type RecordResult =
  | { readonly type: "records"; readonly records: readonly Uint8Array[] }
  | { readonly type: "refused"; readonly reason: string };

/** Collects bytes as they come and returns whole records. After a refusal it stays refused. */
export class RecordReader {
  #rest: Uint8Array = new Uint8Array(0);
  #refusal: string | undefined;

  push(chunk: Uint8Array): RecordResult {
    if (this.#refusal !== undefined) return { type: "refused", reason: this.#refusal };
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    const records: Uint8Array[] = [];
    let at = 0;
    for (;;) {
      const header = readLength(bytes, at);
      if (header.type === "refused") {
        this.#refusal = header.reason;
        return header;
      }
      if (header.type === "incomplete" || header.start + header.length > bytes.length) break;
      records.push(bytes.slice(header.start, header.start + header.length));
      at = header.start + header.length;
    }
    this.#rest = bytes.slice(at);
    return { type: "records", records };
  }
}

type Header =
  | { readonly type: "incomplete" }
  | { readonly type: "refused"; readonly reason: string }
  | { readonly type: "header"; readonly start: number; readonly length: number };

function readLength(bytes: Uint8Array, at: number): Header {
  let length = 0;
  for (let i = at; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === 0x0a && i > at) {
      if (length === 0) return { type: "refused", reason: "a record may not be empty" };
      if (length > RECORD_BYTES_MAX)
        return { type: "refused", reason: `a record may have at most ${RECORD_BYTES_MAX} bytes` };
      return { type: "header", start: i + 1, length };
    }
    if (byte < 0x30 || byte > 0x39)
      return { type: "refused", reason: "a record begins with its length in decimal digits" };
    if (i - at >= LENGTH_DIGITS_MAX)
      return { type: "refused", reason: `a record may have at most ${RECORD_BYTES_MAX} bytes` };
    length = length * 10 + (byte - 0x30);
  }
  return { type: "incomplete" };
}

/** Length line and payload in one array, because some clients take one chunk for one record. */
export function encodeRecord(payload: Uint8Array): Uint8Array {
  const header = [...`${payload.length}\n`].map((letter) => letter.charCodeAt(0));
  const record = new Uint8Array(header.length + payload.length);
  record.set(header);
  record.set(payload, header.length);
  return record;
}
