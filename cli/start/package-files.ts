// Where this package's built files are: next to each other in dist/, wherever this module itself runs from.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Failure } from "../failure.ts";

function packageRoot(): string {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    if (existsSync(join(directory, "package.json"))) return directory;
    if (directory === dirname(directory)) throw new Failure("this installation has no package.json");
  }
}

export function builtFile(name: "worker.js" | "plane-host.js" | "mesoflare-agent.js"): string {
  const path = join(packageRoot(), "dist", name);
  if (!existsSync(path)) throw new Failure(`${path} is missing: run 'npm run build'`);
  return path;
}
