#!/usr/bin/env -S node --max-semi-space-size=2
import { errorText } from "./checkpoint/durable-file.ts";
import { run } from "./cli.ts";
import { EXIT_CODE } from "./exit-code.ts";

try {
  process.exit(await run(process.argv));
} catch (error) {
  process.stderr.write(
    `mesoflare-agent: ${error instanceof Error ? (error.stack ?? error.message) : errorText(error)}\n`,
  );
  process.exit(EXIT_CODE.unexpected);
}
