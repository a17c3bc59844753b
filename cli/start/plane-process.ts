// The launcher's side of the plane: starts the process that holds workerd, says when it is ready, sees when it dies.
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../failure.ts";
import { builtFile } from "./package-files.ts";
import type { PlaneHostMessage, PlaneHostOrder, PlaneOptions } from "./plane-messages.ts";
import { end, endsWithin, findChild, identify, isAlive, type ProcessIdentity } from "./processes.ts";

/** Time for miniflare to close its objects, ms, before the processes are killed. */
const DISPOSE_MS_MAX = 5_000;
/** How often the launcher looks whether workerd lives, ms. */
const WATCH_MS = 500;

export class PlaneProcess {
  readonly host: ProcessIdentity;
  readonly workerd: ProcessIdentity | undefined;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, host: ProcessIdentity, workerd: ProcessIdentity | undefined) {
    this.#child = child;
    this.host = host;
    this.workerd = workerd;
  }

  /** Resolves when the plane listens. Throws a {@link Failure}, with nothing left running, when it cannot. */
  static async start(options: PlaneOptions, logPath: string): Promise<PlaneProcess> {
    const log = openSync(logPath, "a", 0o600);
    const child = fork(builtFile("plane-host.js"), { detached: true, stdio: ["ignore", log, log, "ipc"] });
    closeSync(log);
    child.send({ type: "serve", options } satisfies PlaneHostOrder);
    const answer = await Promise.race([
      once(child, "message").then(([message]) => message as PlaneHostMessage),
      once(child, "exit").then(() => ({ type: "failed", missing: false, reason: "it exited" }) as const),
    ]);
    if (answer.type === "failed") {
      if (answer.missing) {
        throw new Failure(
          "a local plane needs the package 'miniflare', a devDependency: clone the repository, and run 'npm install && npm start' there",
        );
      }
      throw new Failure(`the plane did not start: ${answer.reason} (see ${logPath})`);
    }
    const host = child.pid === undefined ? undefined : await identify(child.pid);
    if (host === undefined) throw new Failure(`the plane died at once (see ${logPath})`);
    return new PlaneProcess(child, host, await findChild(host.pid, "workerd"));
  }

  /** Resolves when workerd, or the process that holds it, is gone without {@link stop}. */
  async died(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!(await isAlive(this.host)) || (this.workerd !== undefined && !(await isAlive(this.workerd)))) return;
      await sleep(WATCH_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.send({ type: "stop" } satisfies PlaneHostOrder);
    if (!(await endsWithin(this.host, DISPOSE_MS_MAX))) await end(this.host, "SIGKILL", 1000);
    if (this.workerd !== undefined) await end(this.workerd, "SIGKILL", 1000);
  }
}

/** Whether nobody listens on this port of the loopback interface. */
export async function isPortFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1" }, () => server.close(() => resolve(true)));
  });
}
