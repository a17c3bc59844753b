// A process that holds the memory bench's Worker in workerd, with its inspector, on a directory and two ports that the command line names. It
// prints "ready" and ends with whoever started it.
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const COMPATIBILITY_DATE = "2026-07-30";
const SOURCE = fileURLToPath(new URL("memory-worker.ts", import.meta.url));

const [directory = "", port = "", inspectorPort = ""] = process.argv.slice(2);
const worker = join(directory, "memory-worker.js");
await build({
  entryPoints: [SOURCE],
  outfile: worker,
  bundle: true,
  format: "esm",
  platform: "neutral",
  mainFields: ["module", "main"],
  external: ["cloudflare:workers"],
  logLevel: "error",
});
const miniflare = new Miniflare({
  modulesRoot: dirname(worker),
  modules: [{ type: "ESModule", path: worker }],
  compatibilityDate: COMPATIBILITY_DATE,
  durableObjects: { MASTER: { className: "MemoryDO", useSQLite: true } },
  durableObjectsPersist: join(directory, "objects"),
  host: "127.0.0.1",
  port: Number(port),
  inspectorPort: Number(inspectorPort),
  cf: false,
});
await miniflare.ready;
console.log("ready");
process.stdin.resume();
process.stdin.on("end", () => void miniflare.dispose().then(() => process.exit(0)));
