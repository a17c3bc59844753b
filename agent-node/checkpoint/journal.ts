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

/** Size from which a journal is rewritten, bytes, if it is also several times what the last rewriting left. */
export const COMPACT_BYTES_MIN = 4 * 1024 * 1024;
const COMPACT_GROWTH = 4;

/** What the journal's owner makes of it. */
export interface JournalOwner<R> {
  /** Records are on disk. Called in their order, before their `append` resolves. */
  onDurable(records: readonly R[]): void;
  /** The shortest journal that says the same as everything up to the last `onDurable`. */
  snapshot(): readonly R[];
}

interface Waiting<R> {
  readonly records: readonly R[];
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

export class Journal<R> {
  readonly #path: string;
  readonly #owner: JournalOwner<R>;
  #file: FileHandle;
  #goodBytes: number;
  /** Whether bytes of a failed append may stand behind `#goodBytes`. */
  #dirty = false;
  #compactAt: number;
  #waiting: Waiting<R>[] = [];
  #writing: Promise<void> | undefined;

  private constructor(
    path: string,
    owner: JournalOwner<R>,
    { file, bytes }: { readonly file: FileHandle; readonly bytes: number },
  ) {
    this.#path = path;
    this.#owner = owner;
    this.#file = file;
    this.#goodBytes = bytes;
    this.#compactAt = nextCompaction(bytes);
  }

  /** Starts a fresh file with the owner's snapshot, in place of whatever was there. */
  static async open<R>(path: string, owner: JournalOwner<R>): Promise<Journal<R>> {
    return new Journal(path, owner, await Journal.#write(path, owner.snapshot()));
  }

  static async #write(path: string, records: readonly unknown[]): Promise<{ file: FileHandle; bytes: number }> {
    const temporary = `${path}.tmp`;
    const file = await open(temporary, "w", 0o600);
    try {
      const content = encode(records);
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
  append(records: readonly R[]): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ records, done, failed });
      this.#writing ??= this.#drain();
    });
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
        const records = batch.flatMap((waiting) => waiting.records);
        await this.#commit(encode(records));
        this.#owner.onDurable(records);
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
      if (this.#goodBytes >= this.#compactAt) await this.#compact();
    }
    this.#writing = undefined;
  }

  /** A failure is no harm: the longer file says the same, and the next append tries again. */
  async #compact(): Promise<void> {
    try {
      const { file, bytes } = await Journal.#write(this.#path, this.#owner.snapshot());
      const old = this.#file;
      this.#file = file;
      this.#goodBytes = bytes;
      this.#dirty = false;
      await old.close();
    } catch {
      // The file that is open is still the one in its place.
    }
    this.#compactAt = nextCompaction(this.#goodBytes);
  }

  async #commit(content: Buffer): Promise<void> {
    if (this.#dirty) await this.#file.truncate(this.#goodBytes);
    this.#dirty = true;
    for (let at = 0; at < content.length;) {
      const { bytesWritten } = await this.#file.write(content, at, content.length - at, this.#goodBytes + at);
      at += bytesWritten;
    }
    await this.#file.datasync();
    this.#dirty = false;
    this.#goodBytes += content.length;
  }
}

const encode = (records: readonly unknown[]): Buffer =>
  Buffer.from(records.map((record) => encodeLine(JSON.stringify(record))).join(""));

const nextCompaction = (bytes: number): number => Math.max(COMPACT_BYTES_MIN, COMPACT_GROWTH * bytes);
