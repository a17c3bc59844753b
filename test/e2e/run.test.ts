// Point by point what `mesoflare run` and its neighbours promise, on a real plane and agent.
import { expect, test } from "vitest";
import { listTasks } from "../../cli/mesos-json.ts";
import { startCluster } from "./harness/cluster.ts";

const flags = ["--name", "hello", "--cpus", "0.1", "--mem", "32"];

test("a task's output arrives on its own streams, and its exit code is ours", async () => {
  const { run } = await startCluster();
  const result = await run("run", ...flags, "--", "sh", "-c", "echo hello; echo oops >&2; exit 3");
  expect(result).toEqual({ code: 3, stdout: "hello\n", stderr: "oops\n" });
});

test("output appears while the task runs, --env reaches it, and a large output arrives whole", async () => {
  const { run, start } = await startCluster();
  const slow = start("run", ...flags, "--env", "GREETING=hi", "--", "sh", "-c", "echo $GREETING; sleep 30");
  await slow.prints("hi\n");
  slow.child.kill("SIGINT");
  expect(await slow.exited()).toBe(130);
  const large = await run("run", ...flags, "--", "sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x");
  expect(large.stdout.length).toBe(1_000_000);
  expect(large.code).toBe(0);
});

test("Ctrl-C kills the task", async () => {
  const { plane, start } = await startCluster();
  const task = start("run", ...flags, "--", "sh", "-c", "echo begun; sleep 300");
  await task.prints("begun");
  task.child.kill("SIGINT");
  expect(await task.exited()).toBe(130);
  const [known] = await listTasks(plane.operator);
  expect(known?.state).toBe("TASK_KILLED");
});

test("--timeout kills the task and gives 124", async () => {
  const { run } = await startCluster();
  expect((await run("run", ...flags, "--timeout", "2s", "--", "sleep", "300")).code).toBe(124);
});

test("a command that does not exist is a clear failure", async () => {
  const { run } = await startCluster();
  const { code, stderr } = await run("run", ...flags, "--", "/no/such/program");
  expect(code).not.toBe(0);
  expect(stderr).not.toBe("");
});

test("--detach, tasks, logs and kill", async () => {
  const { run } = await startCluster();
  const detached = await run("run", ...flags, "--detach", "--json", "--", "sh", "-c", "echo first; sleep 300");
  expect(detached.code).toBe(0);
  const started = JSON.parse(detached.stdout.split("\n")[0] ?? "") as { task_id: string; framework_id: string };
  const tasks = JSON.parse((await run("tasks", "--json")).stdout) as { tasks: { id: string; state: string }[] };
  expect(tasks.tasks).toMatchObject([{ id: started.task_id, state: "TASK_RUNNING" }]);
  await expect.poll(async () => (await run("logs", started.task_id)).stdout, { timeout: 5000 }).toBe("first\n");
  const killed = await run("kill", started.task_id, "--json");
  expect(JSON.parse(killed.stdout)).toMatchObject({ state: "TASK_KILLED", framework_removed: true });
  expect((await run("tasks")).stdout.trim().split("\n")).toHaveLength(1);
});

test("kill refuses a task whose framework is connected", async () => {
  const { plane, run, start } = await startCluster();
  const attached = start("run", ...flags, "--", "sh", "-c", "echo begun; sleep 300");
  await attached.prints("begun");
  const [task] = await listTasks(plane.operator);
  const refused = await run("kill", task?.id ?? "");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(`belongs to framework ${task?.framework_id}`);
  expect(attached.ended).toBe(false);
});

test("agents lists the agent, and every command knows --json and --help", async () => {
  const { agent, run } = await startCluster();
  const { slaves } = JSON.parse((await run("agents", "--json")).stdout) as { slaves: { hostname: string }[] };
  expect(slaves.map(({ hostname }) => hostname)).toEqual([agent.hostname]);
  for (const command of ["run", "agents", "tasks", "logs", "kill"]) {
    const { code, stdout } = await run(command, "--help");
    expect(code).toBe(0);
    expect(stdout).toMatch(/--json/);
    expect(stdout).toMatch(/Exit codes/);
  }
});
