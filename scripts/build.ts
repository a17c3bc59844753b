// Bundles the bins, the scheduler library and the Worker into dist/, and writes the library's types beside them. Runs after
// `npm install` and before `npm start`.
import { chmod } from "node:fs/promises";
import { build, type BuildOptions } from "esbuild";
import { writeLibraryTypes } from "./library-types.ts";

const common: BuildOptions = { bundle: true, format: "esm", target: "es2022", sourcemap: true, logLevel: "warning" };
const EXECUTABLE = 0o755;

await Promise.all([
  writeLibraryTypes(),
  build({
    ...common,
    entryPoints: {
      mesoflare: "cli/main.ts",
      "plane-host": "cli/start/plane-host.ts",
      "mesoflare-agent": "agent-node/main.ts",
      scheduler: "src/scheduler/index.ts",
    },
    outdir: "dist",
    platform: "node",
    packages: "external",
  }),
  build({
    ...common,
    entryPoints: { worker: "src/index.ts" },
    outdir: "dist",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["workerd", "worker", "import"],
    external: ["cloudflare:workers", "node:*"],
  }),
]);
for (const bin of ["dist/mesoflare.js", "dist/mesoflare-agent.js"]) await chmod(bin, EXECUTABLE);
