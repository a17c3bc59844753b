// The way from `wrangler deploy` to a host that runs a task, with the commands that README.md names.
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TestAgent } from "./harness/agent.ts";
import { mesoflare } from "./harness/command.ts";
import { TestPlane } from "./harness/plane.ts";
import { temporaryDirectory } from "./harness/workspace.ts";

test("credentials, init once, a host that joins, a task", async () => {
  const plane = await TestPlane.deploy();
  const directory = await temporaryDirectory();
  const [verifiers, context, agentFile] = ["verifiers.json", "mine/context.json", "agent.json"].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  const newCredential = (...args: readonly string[]) =>
    mesoflare(context, "credential", "new", "--verifiers", verifiers, ...args);
  expect(await newCredential("admin", "--role", "operator", "--plane", plane.url, "--out", context)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`wrangler secret put CREDENTIALS < ${verifiers}`) as string,
  });
  expect((await newCredential("hosts", "--role", "agent", "--out", agentFile)).code).toBe(0);
  for (const file of [context, agentFile, verifiers]) expect((await stat(file)).mode & 0o777).toBe(0o600);

  // Without the secret everybody is refused; with it, nobody can do anything before init.
  await plane.stop();
  await plane.boot({ credentials: "" });
  expect((await mesoflare(context, "init")).stderr).toContain("401");
  await plane.stop();
  await plane.boot({ credentials: await readFile(verifiers, "utf8") });
  expect((await mesoflare(context, "agents")).stderr).toContain("503");

  const first = await mesoflare(context, "init", "--json");
  expect(first.code).toBe(0);
  const { cluster_id, replicas } = JSON.parse(first.stdout) as { cluster_id: string; replicas: string[] };
  expect(replicas).toHaveLength(3);
  const again = await mesoflare(context, "init");
  expect(again.code).toBe(1);
  expect(again.stderr).toContain("initialised already");
  expect((await mesoflare(context, "init", "--cluster-id", cluster_id)).code).toBe(0); // what an interrupted one would repeat

  const agent = await TestAgent.start({ plane: plane.url, credential: agentFile });
  const operator = JSON.parse(await readFile(context, "utf8")) as { principal: string; secret: string };
  await expect
    .poll(async () => (await mesoflare(context, "agents")).stdout, { timeout: 20_000 })
    .toContain(`${agent.hostname}  active`);
  expect(await mesoflare(context, "run", "--name", "t", "--", "echo", "from afar")).toMatchObject({
    code: 0,
    stdout: "from afar\n",
  });
  const metrics = await fetch(new URL("/metrics/snapshot", plane.url), {
    headers: { Authorization: `Basic ${btoa(`${operator.principal}:${operator.secret}`)}` },
  });
  expect(metrics.status).toBe(200);
});

test("a credential file is not overwritten unasked, and a bad name or role changes nothing", async () => {
  const directory = await temporaryDirectory();
  const verifiers = join(directory, "verifiers.json");
  const out = join(directory, "a.json");
  const newCredential = (...args: readonly string[]) =>
    mesoflare("", "credential", "new", "--verifiers", verifiers, "--out", out, ...args);
  expect((await newCredential("a b", "--role", "agent")).code).toBe(1);
  expect((await newCredential("a", "--role", "king")).code).toBe(2);
  await expect(stat(verifiers)).rejects.toThrow("ENOENT");
  expect((await newCredential("a", "--role", "agent")).code).toBe(0);
  const before = await readFile(out, "utf8");
  expect((await newCredential("a", "--role", "agent")).stderr).toContain("--force");
  expect(await readFile(out, "utf8")).toBe(before);
});
