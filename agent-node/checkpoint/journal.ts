// An append-only file of records, each durable before `append` answers. Appends that wait together share one fsync. After a
// failed append (a full disk) the file is cut back to its last good byte, so that the next append does not follow half a line.
import { type FileHandle, open, rename } from "node:fs/promises";
import { closeSync, fsyncSync, ftruncateSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { errorCode, syncDirectory } from "./durable-file.ts";
import { decodeLines, encodeLine } from "./lines.ts";

export type JournalRead =
  | { readonly type: "read"; readonly records: readonly unknown[]; readonly tornBytes: number }
  | { readonly type: "damaged"; readonly line: number };

/** Reads a journal and cuts a torn tail off the file. A journal that is not there has no records. */
export function readJournal(path: string): JournalRead {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return { type: "read", records: [], tornBytes: 0 };
    throw error;
  }
  const lines = decodeLines(content);
  if (lines.type === "damaged") return lines;
  const tornBytes = content.length - lines.goodBytes;
  if (tornBytes > 0) {
    const file = openSync(path, "r+");
    ftruncateSync(file, lines.goodBytes);
    fsyncSync(file);
    closeSync(file);
  }
  return { type: "read", records: lines.records, tornBytes };
}

interface Waiting {
  readonly text: string;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

export class Journal {
  readonly #path: string;
  #file: FileHandle;
  #goodBytes: number;
  /** Whether bytes of a failed append may stand behind `#goodBytes`. */
  #dirty = false;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;

  private constructor(path: string, file: FileHandle, goodBytes: number) {
    this.#path = path;
    this.#file = file;
    this.#goodBytes = goodBytes;
  }

  /** Starts a fresh file with the given records, in place of whatever was there: this is also how a journal is compacted. */
  static async create(path: string, records: readonly unknown[]): Promise<Journal> {
    const { file, bytes } = await Journal.#write(path, records);
    return new Journal(path, file, bytes);
  }

  static async #write(path: string, records: readonly unknown[]): Promise<{ file: FileHandle; bytes: number }> {
    const temporary = `${path}.tmp`;
    const file = await open(temporary, "w", 0o600);
    try {
      const content = Buffer.from(records.map((record) => encodeLine(JSON.stringify(record))).join(""));
      await file.writeFile(content);
      await file.datasync();
      await rename(temporary, path);
      syncDirectory(dirname(path));
      return { file, bytes: content.length };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get bytes(): number {
    return this.#goodBytes;
  }

  /** Resolves when the records are on disk; records of concurrent calls keep their order. */
  append(records: readonly unknown[]): Promise<void> {
    const text = records.map((record) => encodeLine(JSON.stringify(record))).join("");
    return new Promise((done, failed) => {
      this.#waiting.push({ text, done, failed });
      this.#writing ??= this.#drain();
    });
  }

  /** Replaces the file's content. Not to be called while an append is under way. */
  async compact(records: readonly unknown[]): Promise<void> {
    const old = this.#file;
    const { file, bytes } = await Journal.#write(this.#path, records);
    this.#file = file;
    this.#goodBytes = bytes;
    this.#dirty = false;
    await old.close();
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  async #drain(): Promise<void> {
    // One turn's appends are collected before the first write, so that they share its fsync.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#commit(Buffer.from(batch.map(({ text }) => text).join("")));
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
    }
    this.#writing = undefined;
  }

  async #commit(content: Buffer): Promise<void> {
    if (this.#dirty) await this.#file.truncate(this.#goodBytes);
    this.#dirty = true;
    for (let at = 0; at < content.length; ) {
      const { bytesWritten } = await this.#file.write(content, at, content.length - at, this.#goodBytes + at);
      at += bytesWritten;
    }
    await this.#file.datasync();
    this.#dirty = false;
    this.#goodBytes += content.length;
  }
}
