// Mesos' /files endpoints (endpoints §6): browse, read and download, inside sandboxes only.
import { closeSync, lstatSync, readdirSync, readFileSync, readSync, type Stats } from "node:fs";
import { basename, join } from "node:path";
import type { Paths } from "../checkpoint/paths.ts";
import { type Answer, BODY_BYTES_MAX, jsonAnswer, textAnswer } from "./answer.ts";
import { byteRange } from "./ranges.ts";
import { type OpenFile, openInSandbox } from "./sandbox-path.ts";

/** Most that one `read` answers, bytes: 16 pages, as Mesos. */
const READ_BYTES_MAX = 65_536;
/** Most entries that one `browse` answers, so that its JSON fits a frame. */
const BROWSE_ENTRIES_MAX = 1_000;

export function filesAnswer(paths: Paths, endpoint: string, query: URLSearchParams, range: string | undefined): Answer {
  const path = query.get("path");
  if (path === null || path === "") return textAnswer(400, "Expecting 'path=value' in query.\n");
  const file = openInSandbox(paths, path);
  if (file === undefined) return textAnswer(404, "Not found.\n");
  try {
    switch (endpoint) {
      case "browse":
        return browse(file, path, query.get("jsonp"));
      case "read":
        return read(file, query);
      case "download":
        return download(file, path, range);
      default:
        return textAnswer(404, "Not found.\n");
    }
  } finally {
    closeSync(file.fd);
  }
}

function browse({ stats, realPath }: OpenFile, asked: string, jsonp: string | null): Answer {
  if (!stats.isDirectory()) return textAnswer(404, "Not a directory.\n");
  const names = accountNames();
  const entries = readdirSync(realPath)
    .toSorted()
    .slice(0, BROWSE_ENTRIES_MAX)
    .flatMap((name) => {
      const entry = lstatSync(join(realPath, name), { throwIfNoEntry: false });
      return entry === undefined ? [] : [fileInfo(`${asked.replace(/\/+$/, "")}/${name}`, entry, names)];
    });
  return jsonAnswer(entries, jsonp);
}

function read({ fd, stats }: OpenFile, query: URLSearchParams): Answer {
  if (stats.isDirectory()) return textAnswer(400, "Cannot read a directory.\n");
  const [offset, length] = [wholeNumber(query.get("offset")), wholeNumber(query.get("length"))];
  if (offset === undefined || offset < -1) return textAnswer(400, "'offset' must be a number, -1 or more.\n");
  if (length === undefined || length < -1) return textAnswer(400, "'length' must be a number, -1 or more.\n");
  const jsonp = query.get("jsonp");
  if (offset === -1 || offset >= stats.size) return jsonAnswer({ offset: stats.size, data: "" }, jsonp);
  const bytes = Math.min(length === -1 ? READ_BYTES_MAX : length, READ_BYTES_MAX);
  return jsonAnswer({ offset, data: readPart(fd, offset, offset + bytes).toString("utf8") }, jsonp);
}

/** -1 when it is missing; undefined when it is no number. */
function wholeNumber(text: string | null): number | undefined {
  if (text === null) return -1;
  return /^-?\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function download({ fd, stats }: OpenFile, asked: string, range: string | undefined): Answer {
  if (stats.isDirectory()) return textAnswer(400, "Cannot download a directory.\n");
  const { size } = stats;
  const part = byteRange(range, size, BODY_BYTES_MAX);
  const name = basename(asked).replace(/[^\x20-\x7e]|["\\]/g, "_");
  const headers = {
    // Only these two: a task's HTML must not become a page of the plane.
    "content-type": /^std(out|err)$|\.(txt|log)$/.test(name) ? "text/plain; charset=utf-8" : "application/octet-stream",
    "content-disposition": `attachment; filename="${name}"`,
    "x-content-type-options": "nosniff",
    "accept-ranges": "bytes",
  };
  if (part.type === "unsatisfiable")
    return { ...textAnswer(416, ""), headers: { ...headers, "content-range": `bytes */${size}` } };
  if (part.type === "whole" && size <= BODY_BYTES_MAX) return { status: 200, headers, body: readPart(fd, 0, size) };
  // A whole file that is too long for one answer: its beginning, in the same words. The reader goes on from there.
  const { start, end } = part.type === "part" ? part : { start: 0, end: BODY_BYTES_MAX };
  const body = readPart(fd, start, end);
  return {
    status: 206,
    headers: { ...headers, "content-range": `bytes ${start}-${start + body.length - 1}/${size}` },
    body,
  };
}

/** Bytes [start, end), or fewer when the file ends before. */
function readPart(fd: number, start: number, end: number): Buffer {
  const buffer = Buffer.alloc(Math.max(0, end - start));
  let length = 0;
  while (length < buffer.length) {
    const count = readSync(fd, buffer, length, buffer.length - length, start + length);
    if (count === 0) break;
    length += count;
  }
  return buffer.subarray(0, length);
}

interface AccountNames {
  readonly users: ReadonlyMap<number, string>;
  readonly groups: ReadonlyMap<number, string>;
}

function fileInfo(path: string, stats: Stats, { users, groups }: AccountNames) {
  const { nlink, size, mtimeMs, mode, uid, gid } = stats;
  return {
    path,
    nlink,
    size,
    mtime: Math.floor(mtimeMs / 1000),
    mode: `${typeLetter(stats)}${permissions(mode)}`,
    uid: users.get(uid) ?? `${uid}`,
    gid: groups.get(gid) ?? `${gid}`,
  };
}

function typeLetter(stats: Stats): string {
  if (stats.isDirectory()) return "d";
  if (stats.isSymbolicLink()) return "l";
  if (stats.isFIFO()) return "p";
  if (stats.isSocket()) return "s";
  if (stats.isBlockDevice()) return "b";
  return stats.isCharacterDevice() ? "c" : "-";
}

/** `rwxr-xr-x` */
function permissions(mode: number): string {
  return [..."rwxrwxrwx"].map((letter, i) => ((mode >> (8 - i)) & 1 ? letter : "-")).join("");
}

function accountNames(): AccountNames {
  return { users: readAccounts("/etc/passwd"), groups: readAccounts("/etc/group") };
}

function readAccounts(file: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  try {
    for (const line of readFileSync(file, "utf8").split("\n")) {
      const [name = "", , id = ""] = line.split(":");
      if (name !== "" && !names.has(Number(id))) names.set(Number(id), name);
    }
  } catch {
    // Numbers do as well.
  }
  return names;
}
