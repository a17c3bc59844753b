// What `npm pack` makes, installed as a host would install it: without devDependencies, on the lowest Node that `engines`
// names. It must join a plane and run a task.
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { TestAgent } from "./harness/agent.ts";
import { Command, mesoflare } from "./harness/command.ts";
import { TestPlane } from "./harness/plane.ts";
import { REPOSITORY, temporaryDirectory } from "./harness/workspace.ts";

const execute = promisify(execFile);
const INSTALL_MS = 180_000;

/** `npm` without what `npm test` tells its children: that would make it install into this repository. */
function npm(directory: string, ...args: readonly string[]): Promise<{ stdout: string }> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(config_|package_|lifecycle_)/.test(name) || /registry|cache|cafile/.test(name),
    ),
  );
  return execute("npm", args, { cwd: directory, env, timeout: INSTALL_MS });
}

test(
  "the packed artefact installs without devDependencies and runs a task on the lowest Node",
  { timeout: 2 * INSTALL_MS },
  async () => {
    const directory = await temporaryDirectory();
    // Scripts off: the tests run on a build that is there already, and `prepare` would change it under the others' feet.
    const packed = await npm(REPOSITORY, "pack", "--ignore-scripts", "--pack-destination", directory);
    const tarball = join(directory, packed.stdout.trim().split("\n").at(-1) ?? "");
    const { engines } = JSON.parse(await readFile(join(REPOSITORY, "package.json"), "utf8")) as {
      engines: { node: string };
    };
    const lowest = /^>=(\d+\.\d+)/.exec(engines.node)?.[1] ?? "";
    expect(lowest).toBe("20.20");
    // The script of the package `node` fetches the binary for this machine; nothing of ours has or needs one.
    await writeFile(
      join(directory, "package.json"),
      JSON.stringify({ name: "a-host", version: "1.0.0", private: true, allowScripts: { node: true } }),
    );
    await npm(directory, "install", "--omit=dev", "--no-audit", "--no-fund", tarball, `node@${lowest}.2`);

    const node = join(directory, "node_modules/node/bin/node");
    expect((await execute(node, ["--version"])).stdout).toMatch(`v${lowest}.`);
    const installed = join(directory, "node_modules/mesoflare/dist");
    const plane = await TestPlane.start();
    const agent = await TestAgent.start({
      plane: plane.url,
      credential: plane.state.agentCredential,
      node,
      program: join(installed, "mesoflare-agent.js"),
    });
    await agent.registered(plane.operator);
    const command = new Command(
      node,
      [join(installed, "mesoflare.js"), "run", "--name", "t", "--", "sh", "-c", "echo packed; exit 5"],
      {
        env: { MESOFLARE_CONTEXT: plane.state.context },
      },
    );
    expect([await command.exited(), command.stdout]).toEqual([5, "packed\n"]);
    expect((await mesoflare(plane.state.context, "agents")).stdout).toContain(agent.hostname);
  },
);
