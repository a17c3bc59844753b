// For minutes after a deploy two versions are there side by side, and state directories outlive releases: the present plane with
// the previous agent, and what the previous release left on disk under the present one.
import { execFileSync } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { TestAgent } from "./harness/agent.ts";
import { mesoflare } from "./harness/command.ts";
import { TestPlane } from "./harness/plane.ts";
import { REPOSITORY, temporaryDirectory } from "./harness/workspace.ts";

const PREVIOUS = join(REPOSITORY, "test/e2e/previous");
/** Exit code of an agent that the plane refuses. */
const REFUSED = 4;

async function previousAgent(): Promise<string> {
  const directory = await temporaryDirectory();
  symlinkSync(join(REPOSITORY, "node_modules"), join(directory, "node_modules")); // the same libraries, at the same versions
  const program = join(directory, "mesoflare-agent.mjs");
  writeFileSync(program, gunzipSync(readFileSync(join(PREVIOUS, "mesoflare-agent.js.gz"))));
  return program;
}

test("the previous agent works with the present plane, and understands that it may not come back", async () => {
  const plane = await TestPlane.start();
  const agent = await TestAgent.start({
    plane: plane.url,
    credential: plane.state.agentCredential,
    hostname: "previous",
    program: await previousAgent(),
  });
  const { id } = await agent.registered(plane.operator);
  const run = await mesoflare(
    plane.state.context,
    "run",
    "--name",
    "t",
    "--",
    "sh",
    "-c",
    "echo from the past; exit 3",
  );
  expect([run.code, run.stdout]).toEqual([3, "from the past\n"]);
  await agent.restart();
  expect((await agent.registered(plane.operator, { since: Date.now() - 1000 })).id).toBe(id);
  expect((await mesoflare(plane.state.context, "agents", "gone", id)).code).toBe(0);
  // It knows no 'shutdown': it is refused instead, with the reason.
  expect(await agent.command.exited()).toBe(REFUSED);
  expect(agent.command.stdout + agent.command.stderr).toMatch(/gone/);
});

test("the previous release's state directory under the present one: same cluster, same agent, its task's end is told", async () => {
  const directory = await temporaryDirectory();
  execFileSync("tar", ["xzf", join(PREVIOUS, "state.tar.gz"), "-C", directory]);
  const plane = await TestPlane.on(join(directory, "state"));
  const { slaves, recovered_slaves: recovered } = await plane.operator.get<{
    slaves: { id: string }[];
    recovered_slaves: { id: string }[];
  }>("/slaves");
  const [known] = [...slaves, ...recovered];
  const before = await mesoflare(plane.state.context, "tasks");
  expect(before.stdout).toMatch(/^kept-\S+\s+TASK_RUNNING/m);
  const agent = await TestAgent.start({
    plane: plane.url,
    credential: plane.state.agentCredential,
    hostname: "agent-1",
    workDirectory: join(directory, "agent"),
  });
  const since = Date.now();
  expect((await agent.registered(plane.operator, { since: since - 1000 })).id).toBe(known?.id);
  // Another boot of the host: the task cannot have survived.
  await expect
    .poll(async () => (await mesoflare(plane.state.context, "tasks", "--all")).stdout, { timeout: 20_000 })
    .toMatch(/^kept-\S+\s+TASK_FAILED/m);
  const fresh = await mesoflare(plane.state.context, "run", "--name", "t", "--", "true");
  expect(fresh.code).toBe(0);
});
