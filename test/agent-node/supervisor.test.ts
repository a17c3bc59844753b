// The supervisor script by itself: one claim, the true exit status, nothing left behind.
import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RunDirectory } from "../../agent-node/containerizer/process/run-directory.ts";
import {
  installSupervisor,
  launchText,
  SAFE_PATH,
  signalFlags,
  taskEnvironment,
} from "../../agent-node/containerizer/process/supervisor.ts";
import { containerIdFrom } from "../../agent-node/task-status.ts";

// Real processes on a busy machine take their time; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let directory: string;
let script: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mesoflare-supervisor-"));
  script = join(directory, "supervisor.sh");
  installSupervisor(script);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function prepare(name: string, command: string): RunDirectory {
  const run = new RunDirectory(directory, containerIdFrom(name));
  const info = { value: command, arguments: [], uris: [], shell: undefined, user: undefined, environment: undefined };
  const environment = taskEnvironment(info, { sandbox: directory, taskId: "t", frameworkId: "f", agentId: "a" });
  run.create(
    launchText({
      runDirectory: run.path,
      sandbox: directory,
      command: info,
      environment,
      user: undefined,
      signalFlags: signalFlags(),
    }),
  );
  return run;
}

/** Runs a supervisor to its end. */
function supervise(run: RunDirectory, shell = "/bin/sh", ...groups: readonly string[]): Promise<void> {
  const output = openSync(join(run.path, "output"), "a");
  const child = spawn(shell, [script, run.path, "", "", ...groups], {
    detached: true,
    env: { PATH: SAFE_PATH },
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  return new Promise((resolve) => child.once("exit", () => resolve()));
}

test("[A6] of many supervisors and an agent that claim one container, exactly one wins", async () => {
  let wonByAgent = 0;
  for (let round = 0; round < 20; round++) {
    const run = prepare(`race-${round}`, `echo ran >> ${directory}/log-${round}`);
    // A fork takes longer than a claim: before it, with it, and some ms after it, so that each side wins sometimes.
    if (round % 4 === 0) run.claimForAgent();
    const supervisors = (round % 4 === 1 ? [1] : [1, 2, 3]).map(() => supervise(run));
    if (round % 4 > 1) await new Promise((resolve) => setTimeout(resolve, round % 4));
    const claim = run.claimForAgent();
    await Promise.all(supervisors);
    const log = join(directory, `log-${round}`);
    if (claim.type === "agent") wonByAgent++;
    expect(existsSync(log) ? readFileSync(log, "utf8") : "").toBe(claim.type === "agent" ? "" : "ran\n");
    expect(run.exit !== undefined).toBe(claim.type === "supervisor");
  }
  expect(wonByAgent).toBeGreaterThan(0);
});

const shells = ["/bin/dash", "/bin/bash", "/bin/busybox"].filter((shell) => existsSync(shell));
test.each(shells.filter((shell) => shell !== "/bin/busybox"))("[A7] %s leaves the exit status", async (shell) => {
  for (const [command, expected] of [
    ["true", { type: "exited", code: 0 }],
    ["exit 3", { type: "exited", code: 3 }],
    ["kill -TERM $$", { type: "signaled", signal: 15 }],
    ["kill -9 $$", { type: "signaled", signal: 9 }],
  ] as const) {
    const run = prepare(`${shell.slice(5)}-${command.replaceAll(/\W/g, "_")}`, command);
    await supervise(run, shell);
    expect([command, run.exit, run.started]).toEqual([command, expected, true]);
  }
});

test("[A10] a group that cannot be joined means that nothing ran", async () => {
  const run = prepare("groupless", `echo ran > ${directory}/log`);
  await supervise(run, "/bin/sh", join(directory, "no/such/cgroup.procs"));
  expect([run.started, run.exit, existsSync(join(directory, "log"))]).toEqual([
    false,
    { type: "exited", code: 125 },
    false,
  ]);
});

test("[A8] without cgroups the task's process group ends with it", async () => {
  const run = prepare("group", `sleep 600 & echo $! > ${directory}/child`);
  await supervise(run);
  const pid = readFileSync(join(directory, "child"), "utf8").trim();
  const state = spawnSync("ps", ["-o", "stat=", "-p", pid]).stdout.toString().trim();
  expect(["", "Z"]).toContain(state.charAt(0));
});

test("[A31] a task takes SIGINT as it comes, and a variable's name is never an option", async () => {
  if (signalFlags().length === 0) {
    console.warn("SKIPPED: env of this host is too old to set signals right");
    return;
  }
  const run = prepare("signals", "kill -INT $$; echo still here");
  await supervise(run);
  expect(run.exit).toEqual({ type: "signaled", signal: 2 });
  const named = new RunDirectory(directory, containerIdFrom("named"));
  const command = { value: "pwd", arguments: [], uris: [], shell: undefined, user: undefined, environment: undefined };
  const environment = new Map([["--chdir", "/"]]);
  const launch = { runDirectory: named.path, sandbox: directory, command, environment, user: undefined };
  named.create(launchText({ ...launch, signalFlags: signalFlags() }));
  await supervise(named);
  expect(readFileSync(join(named.path, "output"), "utf8").trim()).toBe(directory);
});
