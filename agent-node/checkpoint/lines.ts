// The form of a journal on disk: one record a line, `<crc32 in 8 hex digits> <JSON>`. Decides which lines count after a
// crash. A torn tail (the last line of an interrupted write) is cut; a bad line with a good one behind it is damage that no
// crash makes, and is refused rather than skipped: what was forgotten could be a task.
import { crc32 } from "node:zlib";

export function encodeLine(json: string): string {
  return `${crc32(json).toString(16).padStart(8, "0")} ${json}\n`;
}

export type Lines =
  | {
      readonly type: "read";
      readonly records: readonly unknown[];
      /** Bytes up to which the file is good. */ readonly goodBytes: number;
    }
  | { readonly type: "damaged"; readonly line: number };

export function decodeLines(content: Buffer): Lines {
  const records: unknown[] = [];
  let at = 0;
  let torn: { readonly line: number } | undefined;
  let goodBytes = 0;
  for (let line = 1; at < content.length; line++) {
    const newline = content.indexOf(0x0a, at);
    const record = newline < 0 ? undefined : decodeLine(content.toString("utf8", at, newline));
    if (record === undefined) torn ??= { line };
    else if (torn !== undefined) return { type: "damaged", line: torn.line };
    else {
      records.push(record.value);
      goodBytes = newline + 1;
    }
    if (newline < 0) break;
    at = newline + 1;
  }
  return { type: "read", records, goodBytes };
}

function decodeLine(line: string): { readonly value: unknown } | undefined {
  const json = line.slice(9);
  if (line.charAt(8) !== " " || line.slice(0, 8) !== crc32(json).toString(16).padStart(8, "0")) return undefined;
  try {
    return { value: JSON.parse(json) };
  } catch {
    return undefined;
  }
}
