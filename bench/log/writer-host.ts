// A process that holds the writer Worker in workerd, on a directory and a port that the command line names. It prints "ready"
// and, like any plane, ends with whoever started it, or by kill -9.
import { Miniflare } from "miniflare";
import { build } from "esbuild";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const COMPATIBILITY_DATE = "2026-07-30";
const SOURCE = fileURLToPath(new URL("writer-worker.ts", import.meta.url));

const [directory = "", port = ""] = process.argv.slice(2);
const worker = join(directory, "writer-worker.js");
await build({
  entryPoints: [SOURCE],
  outfile: worker,
  bundle: true,
  format: "esm",
  platform: "neutral",
  external: ["cloudflare:workers"],
  logLevel: "error",
});
const storage = (className: string) => ({ className, useSQLite: true });
const miniflare = new Miniflare({
  modulesRoot: dirname(worker),
  modules: [{ type: "ESModule", path: worker }],
  compatibilityDate: COMPATIBILITY_DATE,
  durableObjects: { REPLICA: storage("ReplicaDO"), WRITER: storage("WriterDO") },
  durableObjectsPersist: join(directory, "objects"),
  bindings: { REPLICAS: "3" },
  host: "127.0.0.1",
  port: Number(port),
  cf: false,
});
await miniflare.ready;
console.log("ready");
process.stdin.resume();
process.stdin.on("end", () => void miniflare.dispose().then(() => process.exit(0)));
