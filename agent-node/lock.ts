// One agent a work directory. The lock names its holder by pid and start time, so that the lock of a dead process, whose
// pid may be somebody else's by now, is taken over.
import { linkSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { assert } from "#base/assert.ts";
import { errorCode, readIfThere } from "./checkpoint/durable-file.ts";
import { formatIdentity, identify, isAlive, parseIdentity } from "./checkpoint/process-identity.ts";
import { StartError } from "./exit-code.ts";

/** Takes the lock; the result gives it back. Throws {@link StartError} when a living agent holds it. */
export function takeLock(path: string, workDir: string): () => void {
  const self = identify(process.pid);
  assert(self !== undefined, "this process is in /proc");
  const mine = `${path}.${process.pid}`;
  writeFileSync(mine, formatIdentity(self), { mode: 0o600 });
  try {
    // A link is made with its content or not at all. Twice, because the first may find the lock of a dead agent.
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        linkSync(mine, path);
        return () => rmSync(path, { force: true });
      } catch (error) {
        if (errorCode(error) !== "EEXIST") throw error;
      }
      const holder = parseIdentity(readIfThere(path) ?? "");
      if (holder !== undefined && isAlive(holder))
        throw new StartError(
          `another agent (pid ${holder.pid}) runs on ${workDir}: stop it, or give this one its own --work-dir`,
        );
      rmSync(path, { force: true });
    }
    throw new StartError(`another agent is just starting on ${workDir}`);
  } finally {
    unlinkSync(mine);
  }
}
