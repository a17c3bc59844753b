// A process that holds a bench's Worker in workerd, on a directory and ports that its command line names. It prints "ready" and, like any
// plane, ends with whoever started it, or by kill -9.
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const COMPATIBILITY_DATE = "2026-07-30";

/** The command line: a directory, a port, and the inspector's port where one is wanted. */
export async function holdWorker(bench: {
  readonly source: URL;
  /** Class of the objects behind each binding. */
  readonly objects: Readonly<Record<string, string>>;
  readonly bindings?: Readonly<Record<string, string>>;
}): Promise<void> {
  const [directory = "", port = "", inspectorPort] = process.argv.slice(2);
  const worker = join(directory, "worker.js");
  await build({
    entryPoints: [fileURLToPath(bench.source)],
    outfile: worker,
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    external: ["cloudflare:workers"],
    logLevel: "error",
  });
  const objects = Object.entries(bench.objects);
  const miniflare = new Miniflare({
    modulesRoot: dirname(worker),
    modules: [{ type: "ESModule", path: worker }],
    compatibilityDate: COMPATIBILITY_DATE,
    durableObjects: Object.fromEntries(
      objects.map(([binding, className]) => [binding, { className, useSQLite: true }]),
    ),
    durableObjectsPersist: join(directory, "objects"),
    bindings: { ...bench.bindings },
    host: "127.0.0.1",
    port: Number(port),
    ...(inspectorPort === undefined ? {} : { inspectorPort: Number(inspectorPort) }),
    cf: false,
  });
  await miniflare.ready;
  console.log("ready");
  process.stdin.resume();
  process.stdin.on("end", () => void miniflare.dispose().then(() => process.exit(0)));
}
