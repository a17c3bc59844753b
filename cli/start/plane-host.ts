// The process in which miniflare holds workerd: dist/plane-host.js, a child of the launcher in a session of its own, so
// that Ctrl-C in the terminal reaches the launcher alone and the agents can still report while the plane is up.
import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { writePlaneLog } from "./plane-log.ts";
import type { PlaneHostMessage, PlaneOptions, PlaneHostOrder } from "./plane-messages.ts";

/** The newest that the pinned workerd takes; the same as in wrangler.toml. */
const COMPATIBILITY_DATE = "2026-07-30";

const tell = (message: PlaneHostMessage): void => void process.send?.(message);

async function serve(options: PlaneOptions): Promise<() => Promise<void>> {
  const { Log, LogLevel, Miniflare } = await import("miniflare");
  const storage = (className: string) => ({ className, useSQLite: true });
  const miniflare = new Miniflare({
    name: "mesoflare",
    modulesRoot: dirname(options.worker), // or workerd refuses a Worker that is outside the working directory
    modules: [{ type: "ESModule", path: options.worker }],
    compatibilityDate: COMPATIBILITY_DATE,
    durableObjects: { REPLICA: storage("ReplicaDO"), MASTER: storage("MasterDO"), GATEWAY: storage("GatewayDO") },
    durableObjectsPersist: options.persist,
    bindings: options.bindings,
    host: "127.0.0.1",
    port: options.port,
    cf: false, // or it would ask the network for a sample of request properties
    log: new Log(LogLevel.WARN),
    handleRuntimeStdio: (...outputs: Readable[]) => {
      for (const output of outputs)
        writePlaneLog(
          output,
          (text) => process.stdout.write(text),
          () => new Date(),
        );
    },
  });
  try {
    await miniflare.ready;
  } catch (error) {
    await miniflare.dispose().catch(() => undefined);
    throw error;
  }
  return () => miniflare.dispose();
}

let dispose: (() => Promise<void>) | undefined;

async function leave(code: number): Promise<void> {
  await dispose?.().catch(() => undefined);
  process.exit(code);
}

process.on("SIGINT", () => undefined); // the launcher decides
process.on("SIGTERM", () => void leave(0));
process.on("disconnect", () => void leave(0)); // the launcher is gone: nobody would ever stop us
process.on("message", (order: PlaneHostOrder) => {
  if (order.type === "stop") return void leave(0);
  serve(order.options).then(
    (stop) => {
      dispose = stop;
      tell({ type: "ready" });
    },
    (error: unknown) => {
      const missing = (error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
      tell({ type: "failed", missing, reason: error instanceof Error ? error.message : String(error) });
      void leave(1);
    },
  );
});
