// Who gets in: a wrong secret is final for an agent, and a plane without credentials takes nobody.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TestAgent } from "./harness/agent.ts";
import { mesoflare } from "./harness/command.ts";
import { TestPlane } from "./harness/plane.ts";
import { temporaryDirectory } from "./harness/workspace.ts";

/** Source: `mesoflare-agent --help`. */
const CREDENTIAL_REFUSED = 3;

test("an agent with a wrong secret exits with a clear message and its own code", async () => {
  const plane = await TestPlane.start();
  const credential = join(await temporaryDirectory(), "agent.json");
  await writeFile(credential, JSON.stringify({ principal: "agent", secret: "not the right secret" }), { mode: 0o600 });
  const agent = await TestAgent.start({ plane: plane.url, credential });
  expect(await agent.command.exited()).toBe(CREDENTIAL_REFUSED);
  expect(agent.command.stdout + agent.command.stderr).toMatch(/secret/i);
});

test("the command line with a wrong secret fails with 125 for run and 1 for the others", async () => {
  const plane = await TestPlane.start();
  const context = join(await temporaryDirectory(), "context.json");
  const right = JSON.parse(await readFile(plane.state.context, "utf8")) as object;
  await writeFile(context, JSON.stringify({ ...right, secret: "not the right secret" }), { mode: 0o600 });
  expect((await mesoflare(context, "run", "--name", "t", "--", "true")).code).toBe(125);
  const agents = await mesoflare(context, "agents");
  expect(agents).toMatchObject({ code: 1, stderr: expect.stringContaining("401") as string });
});

test("an agent's principal may not run frameworks", async () => {
  const plane = await TestPlane.start();
  const context = join(await temporaryDirectory(), "context.json");
  const agent = JSON.parse(await readFile(plane.state.agentCredential, "utf8")) as object;
  await writeFile(context, JSON.stringify({ plane: plane.url, ...agent }), { mode: 0o600 });
  const { code, stderr } = await mesoflare(context, "run", "--name", "t", "--", "true");
  expect(code).toBe(125);
  expect(stderr).toMatch(/role/);
});

test("without credentials everything but health, version and redirect is refused", async () => {
  const plane = await TestPlane.start();
  const status = async (path: string): Promise<number> =>
    (await fetch(new URL(path, plane.url), { redirect: "manual" })).status;
  expect(await Promise.all(["/health", "/version"].map(status))).toEqual([200, 200]);
  expect(await status("/redirect")).toBe(307);
  for (const path of ["/state", "/slaves", "/frameworks", "/tasks", "/metrics/snapshot", "/registrar(1)/registry"]) {
    expect([path, await status(path)]).toEqual([path, 401]);
  }
});
