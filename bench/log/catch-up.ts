// A replica that lost its whole storage, on workerd: how long until it has everything again and votes.
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { WriterClient } from "./writer-client.ts";

const ENTRIES = 100_000;
const REPLICA = 2;
const LOOK_MS = 50;
const CAUGHT_UP_MS_MAX = 120_000;

interface Status {
  readonly replicas: readonly { readonly status: string; readonly missingFrom?: number; readonly end?: number }[];
}

export async function catchUpSeconds(parent: string, letters: number): Promise<number> {
  const directory = join(parent, "catch-up");
  const before = await WriterClient.start(directory);
  await before.get(`/inside?count=${ENTRIES}&concurrent=512&letters=${letters}`);
  const { id } = await before.get<{ readonly id: string }>(`/replica-id?replica=${REPLICA}`);
  await before.stop();
  await removeObject(join(directory, "objects"), id);

  const startedAt = performance.now();
  const after = await WriterClient.start(directory);
  for (;;) {
    const { replicas } = await after.get<Status>("/status");
    const replica = replicas[REPLICA - 1];
    if (replica?.status === "voting" && (replica.missingFrom ?? 0) > ENTRIES) break;
    if (performance.now() - startedAt > CAUGHT_UP_MS_MAX) throw new Error(`not caught up: ${JSON.stringify(replica)}`);
    await sleep(LOOK_MS);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  await after.stop();
  return seconds;
}

/** Deletes the files of one object, wherever the runtime keeps them below `directory`. */
async function removeObject(directory: string, id: string): Promise<void> {
  const files = await readdir(directory, { recursive: true, withFileTypes: true });
  const own = files.filter((file) => file.isFile() && file.name.startsWith(id));
  if (own.length === 0) throw new Error(`no files of the object ${id}`);
  for (const { parentPath, name } of own) await rm(join(parentPath, name));
}
