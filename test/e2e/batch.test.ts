// The example in examples/batch, as its reader would run it, on a real plane and real agents.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Batch } from "../../examples/batch/batch.ts";
import { listTasks } from "../../cli/mesos-json.ts";
import { TestAgent } from "./harness/agent.ts";
import { startCluster, type Cluster } from "./harness/cluster.ts";
import { Command } from "./harness/command.ts";
import { REPOSITORY, temporaryDirectory } from "./harness/workspace.ts";

interface Setting {
  readonly cluster: Cluster;
  /** What the commands have done, a line each. */
  readonly ran: () => Promise<readonly string[]>;
  readonly state: () => Promise<Batch>;
  readonly start: (...flags: readonly string[]) => Command;
}

/** `commandFor` is given the path to which the commands write their lines. */
async function setUp(commandsFor: (log: string) => readonly string[]): Promise<Setting> {
  const cluster = await startCluster();
  const directory = await temporaryDirectory();
  const [log, commands] = [join(directory, "ran"), join(directory, "commands")];
  await writeFile(log, "");
  await writeFile(commands, `# a comment\n\n${commandsFor(log).join("\n")}\n`);
  return {
    cluster,
    ran: async () => (await readFile(log, "utf8")).split("\n").filter((line) => line !== ""),
    state: async () => JSON.parse(await readFile(`${commands}.state`, "utf8")) as Batch,
    start: (...flags) =>
      new Command(process.execPath, [join(REPOSITORY, "examples/batch/main.ts"), ...flags, commands], {
        env: { MESOFLARE_CONTEXT: cluster.plane.state.context },
      }),
  };
}

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);

test("30 commands on two agents: killed again and again, the batch runs each exactly once and tells how each has ended", async () => {
  const { cluster, ran, state, start } = await setUp((log) =>
    numbers(30).map((n) => `echo ${n} >> ${log}; sleep 1; exit ${n % 10 === 0 ? n / 10 : 0}`),
  );
  const second = await TestAgent.start({
    plane: cluster.plane.url,
    credential: cluster.plane.state.agentCredential,
    hostname: "second-agent",
  });
  await second.registered(cluster.plane.operator);

  // 2 cpus of 16: eight at a time, so that each life finds some that wait, some that run and some that have ended.
  let lives = 0;
  for (const enough of [1, 5, 12, 20]) {
    const life = start("--cpus", "2");
    lives++;
    await expect
      .poll(async () => (await ran()).length, { timeout: 20_000, interval: 5 })
      .toBeGreaterThanOrEqual(enough);
    await life.leave("SIGKILL");
    expect(life.stdout).toBe("");
  }
  expect((await state()).frameworkId).toBeDefined();

  const last = start("--cpus", "2");
  expect(await last.exited(), last.stderr).toBe(1);
  expect(lives).toBe(4);
  expect((await ran()).toSorted((a, b) => Number(a) - Number(b))).toEqual(numbers(30).map(String));
  const lines = last.stdout.trim().split("\n");
  expect(lines.at(-1)).toBe("30 commands: 27 succeeded, 3 did not");
  expect(lines.slice(0, -1).map((line) => line.split("\t").slice(0, 2))).toEqual(
    numbers(30).map((n) => [String(n), `exit ${n % 10 === 0 ? n / 10 : 0}`]),
  );

  // It has gone from the plane, and asks nothing of it any more.
  const known = await listTasks(cluster.plane.operator);
  expect(known.filter(({ state }) => state === "TASK_RUNNING")).toEqual([]);
  const after = start("--cpus", "2");
  expect([await after.exited(), after.stdout]).toEqual([1, last.stdout]);
});

test("commands run on while nobody listens, also over the end of the plane", async () => {
  const { cluster, ran, state, start } = await setUp((log) =>
    numbers(4).map((n) => `sleep 2; echo ${n} >> ${log}; exit ${n}`),
  );
  const first = start();
  await first.prints("4 launched on test-agent");
  await expect
    .poll(
      async () => (await state()).commands.filter(({ progress }) => "started" in progress && progress.started).length,
    )
    .toBe(4);
  await first.leave("SIGKILL");
  await cluster.plane.killHard();
  await expect.poll(ran, { timeout: 10_000 }).toHaveLength(4);
  await cluster.plane.boot();
  const second = start();
  expect(await second.exited(), second.stderr).toBe(1);
  expect(second.stdout.match(/\texit \d(?=\t)/g)).toEqual(["\texit 1", "\texit 2", "\texit 3", "\texit 4"]);
  expect(await ran()).toHaveLength(4);
});

test("Ctrl-C leaves the commands running, a second process is refused, and --cancel ends them", async () => {
  const { cluster, state, start } = await setUp(() => ["sleep 300", "sleep 300"]);
  const running = async (): Promise<number> =>
    (await listTasks(cluster.plane.operator)).filter((task) => task.state === "TASK_RUNNING").length;
  const first = start();
  await first.prints("2 launched on test-agent");
  await expect.poll(running, { timeout: 10_000 }).toBe(2);
  const other = start();
  expect([await other.exited(), other.stderr]).toEqual([3, expect.stringContaining("another process is at work on")]);
  first.child.kill("SIGINT");
  expect(await first.exited()).toBe(130);
  expect(first.stderr).toContain("the commands run on");
  expect(await running()).toBe(2);

  const cancelling = start("--cancel");
  expect(await cancelling.exited(), cancelling.stderr).toBe(1);
  expect(cancelling.stdout).toContain("1\tcancelled\tsleep 300\n");
  // They have a moment to end.
  await expect.poll(running, { timeout: 20_000 }).toBe(0);
  expect((await state()).removed).toBe(true);
});
