// A directory, ports and processes of one test, all gone when it ends.
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";

export const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));
export const built = (name: string): string => join(REPOSITORY, "dist", name);

const cleanups: (() => Promise<unknown>)[] = [];

/** Runs after the test, the last registered first, whatever the others do. */
export function onEnd(cleanup: () => Promise<unknown>): void {
  cleanups.push(cleanup);
}

afterEach(async () => {
  const failures: unknown[] = [];
  for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) {
    await cleanup().catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw new AggregateError(failures, "cleaning up failed");
});

export async function temporaryDirectory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "mesoflare-e2e-"));
  onEnd(() => rm(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
