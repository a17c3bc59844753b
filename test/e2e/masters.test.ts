// Several master candidates against real agents and real tasks: a failover that an operator wants, and one that nobody wanted.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { getMasters, type MastersJson } from "../../cli/master/answers.ts";
import { listAgents } from "../../cli/mesos-json.ts";
import { TestAgent } from "./harness/agent.ts";
import { Command, mesoflare, startMesoflare } from "./harness/command.ts";
import { FaultyPlane } from "./harness/faulty-plane.ts";
import { built, freePort, temporaryDirectory } from "./harness/workspace.ts";

test("a local cluster with two candidates and two gateways: status, failover while a task runs, and back", async () => {
  const directory = await temporaryDirectory();
  const state = join(directory, "state");
  const flags = ["--state", state, "--port", String(await freePort()), "--agents", "2"];
  const launcher = new Command(process.execPath, [
    ...[built("mesoflare.js"), "start", ...flags],
    ...["--masters", "2", "--gateways", "2"],
  ]);
  await launcher.prints("ready in", 30_000);
  const context = join(state, "context.json");
  const master = (...args: readonly string[]) => mesoflare(context, "master", ...args);
  const status = async () => JSON.parse((await master("status", "--json")).stdout) as MastersJson;

  const first = await master("status");
  expect(first).toMatchObject({ code: 0, stderr: "" });
  expect(first.stdout).toMatch(/^master-1 leads in epoch \d+; 2 candidates\nMASTER +STATE +EPOCH +SINCE/);
  expect(first.stdout).toMatch(/master-1 +leads .*\nmaster-2 +follows /);
  const before = await status();
  const agents = await mesoflare(context, "agents", "--json");

  const gate = join(directory, "gate");
  const command = `echo begun; while [ ! -e ${gate} ]; do sleep 0.1; done; echo done; exit 7`;
  const task = startMesoflare(
    context,
    "run",
    "--name",
    "long",
    "--cpus",
    "0.1",
    "--mem",
    "32",
    "--",
    "sh",
    "-c",
    command,
  );
  await task.prints("begun");
  expect(await master("failover")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^master-2 leads in epoch \d+, and master-1 no longer\./),
  });
  const after = await status();
  expect(after.leader).toBe("master-2");
  expect(after.epoch ?? 0).toBeGreaterThan(before.epoch ?? 0);
  const isBack = async () => {
    const known = JSON.parse((await mesoflare(context, "agents", "--json")).stdout) as {
      readonly slaves: readonly { readonly id: string; readonly active: boolean }[];
    };
    return known.slaves
      .filter(({ active }) => active)
      .map(({ id }) => id)
      .toSorted();
  };
  const ids = (JSON.parse(agents.stdout) as { slaves: readonly { id: string }[] }).slaves
    .map(({ id }) => id)
    .toSorted();
  await expect.poll(isBack, { timeout: 30_000, interval: 200 }).toEqual(ids);
  await writeFile(gate, "");
  expect(await task.exited()).toBe(7);
  expect(task.stdout).toBe("begun\ndone\n");

  expect(await master("failover", "master-2", "--json")).toMatchObject({ code: 0 });
  expect((await status()).epoch).toBe(after.epoch);
  expect(await master("failover", "master-1")).toMatchObject({ code: 0 });
  expect((await status()).leader).toBe("master-1");
  expect(await master("failover", "master-3")).toMatchObject({
    code: 1,
    stderr: "mesoflare: refused: no candidate 'master-3': this plane has master-1, master-2\n",
  });
  expect((await master("failover", "replica-1")).code).toBe(2);
});

test("nobody can reach the leader: another takes its place, and the agents register with it", async () => {
  const plane = await FaultyPlane.start({ MASTERS: "2", LEADER_SILENCE: "2secs" });
  const agent = await TestAgent.start({ plane: plane.url, credential: plane.state.agentCredential });
  const before = await agent.registered(plane.operator);
  const { epoch = 0 } = await getMasters(plane.operator);
  const since = Date.now();
  await plane.breakMaster(1);
  const after = await agent.registered(plane.operator, { timeout: 40_000, since });
  expect(after.id).toBe(before.id);
  const masters = await getMasters(plane.operator);
  expect(masters).toMatchObject({
    leader: "master-2",
    masters: [
      { name: "master-1", state: "unreachable" },
      { name: "master-2", state: "leads" },
    ],
  });
  expect(masters.epoch ?? 0).toBeGreaterThan(epoch);
  expect(await listAgents(plane.operator)).toHaveLength(1);
});

test("a quorum that was away for longer than the silence is no reason to depose anybody: the same master goes on", async () => {
  const plane = await FaultyPlane.start({ MASTERS: "2", LEADER_SILENCE: "3secs" });
  const agent = await TestAgent.start({ plane: plane.url, credential: plane.state.agentCredential });
  await agent.registered(plane.operator);
  const { epoch } = await getMasters(plane.operator);
  await plane.breakReplica(1);
  await plane.breakReplica(2);
  const until = Date.now() + 6_000;
  const leaders = new Set<string | undefined>();
  // Callers go on asking, and have the other candidate look.
  while (Date.now() < until) {
    await listAgents(plane.operator).catch(() => []);
    leaders.add((await getMasters(plane.operator)).leader);
  }
  await plane.mendReplica(1);
  await plane.mendReplica(2);
  await expect.poll(async () => (await getMasters(plane.operator)).leader, { timeout: 20_000 }).toBeDefined();
  expect(leaders).toContain(undefined);
  expect(await getMasters(plane.operator)).toMatchObject({ leader: "master-1", epoch });
  expect(await listAgents(plane.operator)).toMatchObject([{ active: true }]);
});
