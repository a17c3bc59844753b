// `mesoflare/scheduler` as the package's users meet it: the declared types and the built code, by the page and README that
// teach it.
import { execFile } from "node:child_process";
import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { TestAgent } from "./harness/agent.ts";
import { startCluster } from "./harness/cluster.ts";
import { Command } from "./harness/command.ts";
import { TestPlane } from "./harness/plane.ts";
import { REPOSITORY, temporaryDirectory } from "./harness/workspace.ts";

const PAGE = "docs/writing-frameworks.md";
/** What the blocks take as given, unless they make their own. Declared in each: `scheduler` is also a name of the DOM's. */
const GIVEN = {
  scheduler: 'import("mesoflare/scheduler").Scheduler',
  offer: 'import("mesoflare/scheduler").Offer',
  plane: "string",
  principal: "string",
  secret: "string",
};

function withGiven(block: string): string {
  const missing = Object.entries(GIVEN).filter(([name]) => !new RegExp(`const (\\{[^}]*)?\\b${name}\\b`).test(block));
  return `${block}\n${missing.map(([name, type]) => `declare const ${name}: ${type};`).join("\n")}\nexport {};\n`;
}

async function blocksOf(path: string, language: string): Promise<readonly string[]> {
  const text = await readFile(join(REPOSITORY, path), "utf8");
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, name, code]) =>
    name === language && code !== undefined ? [code] : [],
  );
}

/** A project that has installed the package. */
async function consumer(): Promise<string> {
  const directory = await temporaryDirectory();
  await mkdir(join(directory, "node_modules"));
  await symlink(REPOSITORY, join(directory, "node_modules/mesoflare"));
  await symlink(join(REPOSITORY, "node_modules/@types"), join(directory, "node_modules/@types"));
  await writeFile(join(directory, "package.json"), JSON.stringify({ name: "consumer", type: "module" }));
  return directory;
}

test("every block of TypeScript on the page and in README compiles against the package's types", async () => {
  const blocks = [...(await blocksOf(PAGE, "ts")), ...(await blocksOf("README.md", "ts"))];
  expect(blocks.length).toBeGreaterThan(5);
  const directory = await consumer();
  for (const [i, block] of blocks.entries()) await writeFile(join(directory, `block-${i + 1}.ts`), withGiven(block));
  const compilerOptions = {
    target: "ES2024",
    module: "NodeNext",
    lib: ["ES2024", "DOM", "DOM.AsyncIterable"],
    types: ["node"],
    strict: true,
    noEmit: true,
  };
  await writeFile(join(directory, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  const tsc = join(REPOSITORY, "node_modules/typescript/bin/tsc");
  const result = await promisify(execFile)(process.execPath, [tsc, "-p", directory]).catch(
    (error: unknown) => error as { readonly stdout: string },
  );
  expect(result.stdout).toBe("");
});

test("the quick start runs", async () => {
  const { plane } = await startCluster();
  const [quickStart = ""] = await blocksOf(PAGE, "ts");
  const directory = await consumer();
  await writeFile(join(directory, "quick-start.ts"), quickStart);
  const command = new Command(process.execPath, ["quick-start.ts"], {
    cwd: directory,
    env: { MESOFLARE_CONTEXT: plane.state.context },
  });
  await command.prints(/^hello-1 TASK_FINISHED/m);
  expect(await command.exited(), command.stderr).toBe(0);
});

/** Around the block that uses an offer for a task with a volume. */
const VOLUME_FRAMEWORK = `
import * as library from "mesoflare/scheduler";
import { readFileSync } from "node:fs";
const { plane, principal, secret } = JSON.parse(readFileSync(process.env.MESOFLARE_CONTEXT, "utf8"));
const scheduler = new library.Scheduler({
  plane,
  credential: { principal, secret },
  framework: {
    user: "root",
    name: "web",
    roles: ["web"],
    failover_timeout: 60,
    capabilities: [{ type: "PARTITION_AWARE" }, { type: "MULTI_ROLE" }],
  },
  onEvent: (event) => console.log(event.type, event.update_operation_status?.status.state),
  onUpdate({ state, message }) {
    console.log(state, message);
    if (library.isTerminal(state)) setImmediate(() => scheduler.teardown());
  },
});
const running = scheduler.run();
const { value: offer } = await scheduler.offers().next();
await withVolume({
  name: "web",
  task_id: { value: library.asTaskId("web-1") },
  agent_id: offer.agent_id,
  command: { value: "echo kept > data/file && cat data/file" },
});
await running;
`;

test("the reservation and the volume of the page are made, and the task runs on them", async () => {
  const plane = await TestPlane.start();
  const resources = "cpus:1;mem:256;disk:2048";
  const agent = await TestAgent.start({ plane: plane.url, credential: plane.state.agentCredential, resources });
  await agent.registered(plane.operator);
  const block = (await blocksOf(PAGE, "ts")).find((code) => code.includes("withVolume"));
  const directory = await consumer();
  await writeFile(join(directory, "web.ts"), `${VOLUME_FRAMEWORK}${block ?? ""}`);
  const command = new Command(process.execPath, ["web.ts"], {
    cwd: directory,
    env: { MESOFLARE_CONTEXT: plane.state.context },
  });
  expect(await command.exited(), command.stderr).toBe(0);
  expect(command.stdout.match(/OPERATION_FINISHED/g)).toHaveLength(2);
  expect(command.stdout).toMatch(/^TASK_FINISHED Command exited with status 0$/m);
});

test("the page's commands are commands of the example", async () => {
  const [shell = ""] = await blocksOf(PAGE, "sh");
  const line = /npx node (examples\/\S+) (.*)/.exec(shell);
  const help = new Command(process.execPath, [join(REPOSITORY, line?.[1] ?? ""), "--help"]);
  expect(await help.exited()).toBe(0);
  const flags = line?.[2]?.match(/--\w+/g) ?? [];
  expect(flags.length).toBeGreaterThan(0);
  for (const flag of flags) expect(help.stdout).toContain(flag);
});
