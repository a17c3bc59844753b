import { afterEach, beforeEach, expect, test } from "vitest";
import type { Context } from "#protocol/credentials.ts";
import type { Principal, TaskId } from "#protocol/ids.ts";
import { parseRunOptions } from "../../cli/run/options.ts";
import { textReport } from "../../cli/run/report.ts";
import { FAILOVER_SECONDS_ATTACHED, FAILOVER_SECONDS_DETACHED, TaskRun } from "../../cli/run/run.ts";
import { FakePlane } from "./fake-plane.ts";

let plane: FakePlane;
let context: Context;
beforeEach(async () => {
  plane = new FakePlane();
  context = { plane: await plane.listen(), principal: "operator" as Principal, secret: "secret-secret" };
});
afterEach(() => plane.close());

function prepare(flags: Partial<Parameters<typeof parseRunOptions>[0]> = {}) {
  const options = parseRunOptions(
    { name: "t", cpus: "0.1", mem: "32", env: [], ...flags },
    ["sh", "-c", "true"],
    "nobody",
  );
  const shown = { stdout: "", stderr: "" };
  const collect = (name: "stdout" | "stderr") => ({
    write: (data: string | Uint8Array) =>
      (shown[name] += typeof data === "string" ? data : new TextDecoder().decode(data)),
  });
  const run = new TaskRun(
    context,
    options,
    "t-1" as TaskId,
    textReport({ stdout: collect("stdout"), stderr: collect("stderr") }, options),
  );
  return { run, shown };
}

test("output goes where the task wrote it, the exit code is the task's, and the framework is torn down", async () => {
  plane.script = [
    { state: "TASK_RUNNING" },
    { stdout: "hello, this is more than one piece\n" },
    { stderr: "oops\n" },
    { state: "TASK_FAILED", message: "Command exited with status 3" },
  ];
  const { run, shown } = prepare();
  expect(await run.run()).toBe(3);
  expect(shown).toEqual({ stdout: "hello, this is more than one piece\n", stderr: "oops\n" });
  expect(plane.callsOf("ACKNOWLEDGE")).toHaveLength(2);
  expect(plane.calls.at(-1)?.type).toBe("TEARDOWN");
  expect(plane.calls[0]).toMatchObject({
    subscribe: { framework_info: { user: "nobody", failover_timeout: FAILOVER_SECONDS_ATTACHED } },
  });
});

test("every call after SUBSCRIBE carries the stream id and the credentials", async () => {
  await prepare().run.run();
  const [first, ...rest] = plane.calls;
  expect(first?.["streamId"]).toBeUndefined();
  expect(new Set(rest.map(({ streamId }) => streamId))).toEqual(new Set(["stream-1"]));
  expect(new Set(plane.calls.map(({ authorization }) => authorization))).toEqual(
    new Set([`Basic ${btoa("operator:secret-secret")}`]),
  );
});

test("a stop kills the task, waits for its end, and decides the exit code", async () => {
  plane.script = [{ state: "TASK_RUNNING" }];
  const { run } = prepare();
  const code = run.run();
  await expect.poll(() => plane.callsOf("ACKNOWLEDGE").length).toBe(1);
  run.stop({ type: "signal", signal: 2 });
  expect(await code).toBe(130);
  expect(plane.callsOf("KILL")).toHaveLength(1);
  expect(plane.callsOf("ACKNOWLEDGE")).toHaveLength(2);
});

test("--timeout kills the task and gives 124", async () => {
  plane.script = [{ state: "TASK_RUNNING" }];
  expect(await prepare({ timeout: "200ms" }).run.run()).toBe(124);
});

test("--detach leaves when the task runs: no TEARDOWN, and a framework that outlives us", async () => {
  plane.script = [{ state: "TASK_RUNNING" }];
  const { run, shown } = prepare({ detach: true });
  expect(await run.run()).toBe(0);
  expect(shown.stdout).toContain("task t-1 runs on agent agent-S0, framework framework-0000");
  expect(plane.callsOf("TEARDOWN")).toHaveLength(0);
  expect(plane.calls[0]).toMatchObject({
    subscribe: { framework_info: { failover_timeout: FAILOVER_SECONDS_DETACHED } },
  });
});

test("a broken stream is resumed with the same framework id, and the task is reconciled", async () => {
  plane.script = [{ state: "TASK_RUNNING" }];
  const { run } = prepare();
  const code = run.run();
  await expect.poll(() => plane.callsOf("ACKNOWLEDGE").length).toBe(1);
  plane.breakStream();
  await expect.poll(() => plane.callsOf("RECONCILE").length, { timeout: 5000 }).toBe(1);
  plane.play([{ state: "TASK_FINISHED", message: "Command exited with status 0" }]);
  expect(await code).toBe(0);
  expect(plane.callsOf("SUBSCRIBE")[1]).toMatchObject({ framework_id: { value: "framework-0000" } });
  expect(plane.callsOf("ACCEPT")).toHaveLength(1);
});

test("a launch whose answer was lost is not repeated: the next subscription asks what became of it", async () => {
  plane.loseAnswerTo = "ACCEPT";
  plane.script = [];
  const { run } = prepare();
  const code = run.run();
  await expect.poll(() => plane.callsOf("RECONCILE").length, { timeout: 5000 }).toBe(1);
  plane.play([{ state: "TASK_RUNNING" }, { state: "TASK_FAILED", message: "Command exited with status 4" }]);
  expect(await code).toBe(4);
  expect(plane.callsOf("SUBSCRIBE")).toHaveLength(2);
  expect(plane.callsOf("ACCEPT")).toHaveLength(1);
});

test("--detach has acknowledged what it heard before it leaves", async () => {
  plane.script = [{ state: "TASK_STARTING" }, { state: "TASK_RUNNING" }];
  expect(await prepare({ detach: true }).run.run()).toBe(0);
  expect(plane.callsOf("ACKNOWLEDGE")).toHaveLength(2);
});

test("a refused subscription is 125 with the plane's words", async () => {
  plane.failing = 401;
  const { run, shown } = prepare();
  expect(await run.run()).toBe(125);
  expect(shown.stderr).toContain("401");
});
