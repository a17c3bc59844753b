// `npm run --silent bench -- NAME [--json]`. Needs a build (`npm run build`); prints progress nowhere but on stderr.
import { parseArgs } from "node:util";
import { allocator } from "./allocator.ts";
import { failover } from "./failover.ts";
import { idle } from "./idle.ts";
import { launch } from "./launch.ts";
import { log } from "./log.ts";
import { memory } from "./memory.ts";
import { ready } from "./ready.ts";
import { registry } from "./registry.ts";
import { state } from "./state.ts";
import { storm } from "./storm.ts";
import { formatJson, formatText, type Report } from "./report.ts";

const TASKS_DEFAULT = 200;

const BENCHES: Readonly<
  Record<string, (flags: { readonly tasks: number; readonly agents?: number }) => Promise<Report>>
> = {
  allocator,
  failover,
  idle,
  launch,
  log,
  memory,
  ready,
  registry,
  state,
  storm,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    tasks: { type: "string", default: String(TASKS_DEFAULT) },
    agents: { type: "string" },
  },
});
const bench = BENCHES[positionals[0] ?? ""];
const tasks = Number(values.tasks);
if (bench === undefined || !Number.isInteger(tasks) || tasks < 1) {
  process.stderr.write(
    `usage: npm run --silent bench -- ${Object.keys(BENCHES).join("|")} [--tasks N] [--agents N] [--json]\n`,
  );
  process.exit(2);
}
const agents = values.agents === undefined ? undefined : Number(values.agents);
const report = await bench({ tasks, agents });
process.stdout.write(`${values.json ? formatJson(report) : formatText(report)}\n`);
process.exit(0);
