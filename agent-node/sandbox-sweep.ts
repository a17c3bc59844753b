// Removes old sandboxes: those of containers that are gone, a week after their last change. Nothing else bounds them yet. Links in
// them, to volumes and to whatever a task liked, are removed and not followed.
import { existsSync, lstatSync, readdirSync, realpathSync, rmdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Paths } from "./checkpoint/paths.ts";

/** Source: Mesos GC_DELAY. */
export const SANDBOX_AGE_MS = 7 * 24 * 3_600_000;
export const SWEEP_INTERVAL_MS = 3_600_000;

/** Every sandbox under the work directory: `slaves/<agent>/frameworks/<framework>/executors/<executor>/runs/<container>`. */
export function listSandboxes({ sandboxes }: Paths): { readonly runs: string; readonly container: string }[] {
  return directories(sandboxes)
    .flatMap((agent) => directories(join(agent, "frameworks")))
    .flatMap((framework) => directories(join(framework, "executors")))
    .map((executor) => join(executor, "runs"))
    .flatMap((runs) => directories(runs).map((path) => ({ runs, container: path.slice(runs.length + 1) })));
}

/** Removes what is old enough and not `inUse`; answers how many sandboxes that were. */
export function sweepSandboxes(paths: Paths, inUse: ReadonlySet<string>, now: number): number {
  let removed = 0;
  for (const { runs, container } of listSandboxes(paths)) {
    const path = join(runs, container);
    if (inUse.has(container) || now - lastChange(path) < SANDBOX_AGE_MS) continue;
    const latest = join(runs, "latest");
    const wasLatest = existsSync(latest) && realpathSync(latest) === realpathSync(path);
    rmSync(path, { recursive: true, force: true });
    removed++;
    if (wasLatest) rmSync(latest, { force: true });
    if (readdirSync(runs).length === 0) removeEmpty(runs);
  }
  return removed;
}

function lastChange(sandbox: string): number {
  const entries = readdirSync(sandbox).map(
    // Not what a link points to: a volume lives on.
    (name) => lstatSync(join(sandbox, name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return Math.max(statSync(sandbox).mtimeMs, ...entries);
}

function removeEmpty(runs: string): void {
  rmdirSync(runs);
  rmdirSync(join(runs, ".."));
}

function directories(path: string): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(path, name));
}
