// A process that holds the registry's Worker in workerd, on a directory and a port that the command line names. It prints "ready" and ends with
// whoever started it.
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const COMPATIBILITY_DATE = "2026-07-30";
const SOURCE = fileURLToPath(new URL("registry-worker.ts", import.meta.url));

const [directory = "", port = ""] = process.argv.slice(2);
const worker = join(directory, "registry-worker.js");
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
const storage = (className: string) => ({ className, useSQLite: true });
const miniflare = new Miniflare({
  modulesRoot: dirname(worker),
  modules: [{ type: "ESModule", path: worker }],
  compatibilityDate: COMPATIBILITY_DATE,
  durableObjects: { REPLICA: storage("ReplicaDO"), CANDIDATE: storage("CandidateDO") },
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
