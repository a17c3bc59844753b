// The small pure parts of `mesoflare start`; the whole is in test/e2e/start.test.ts.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseStartOptions } from "../../cli/start/arguments.ts";
import { clearStaleLock, endingOf, HeldLock, leftoversOf, parseLock } from "../../cli/start/lock.ts";
import { findChild, identify, isAlive, parseStat } from "../../cli/start/processes.ts";
import { shareOf } from "../../cli/start/split-host.ts";
import { StateDirectory } from "../../cli/start/state-directory.ts";

let directory: string;
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), "mesoflare-start-"))));
afterEach(() => rm(directory, { recursive: true }));

const given = { port: "5050", masters: "1", gateways: "1", agents: "1", state: "somewhere" };

test("flags are whole numbers in their bounds", () => {
  expect(parseStartOptions({ ...given, replicas: "5" })).toMatchObject({ port: 5050, agents: 1, replicas: 5 });
  expect(parseStartOptions({ ...given, masters: "2", gateways: "3" })).toMatchObject({ masters: 2, gateways: 3 });
  for (const wrong of [
    { port: "0" },
    { port: "65536" },
    { port: "x" },
    { agents: "-1" },
    { agents: "1.5" },
    { replicas: "4" },
    { masters: "0" },
    { masters: "6" },
    { gateways: "65" },
    { state: "" },
  ]) {
    expect(() => parseStartOptions({ ...given, ...wrong })).toThrow(/must/);
  }
});

test("/proc/PID/stat is read past a name with parentheses and spaces", () => {
  const rest = Array.from({ length: 50 }, (_, i) => String(i));
  expect(parseStat(`42 (a) b (c) S 7 ${rest.join(" ")}`)).toEqual({
    name: "a) b (c",
    state: "S",
    parent: 7,
    startTime: 17,
  });
  expect(parseStat("")).toBeUndefined();
});

test("a process is known by pid and start time together", async () => {
  const child = spawn("sleep", ["60"]);
  await once(child, "spawn");
  const identity = await identify(child.pid ?? 0);
  if (identity === undefined) throw new Error("no identity");
  expect(await isAlive(identity)).toBe(true);
  expect(await isAlive({ ...identity, startTime: identity.startTime + 1 })).toBe(false);
  expect(await isAlive({ ...identity, bootId: "another boot" })).toBe(false);
  expect(await findChild(process.pid, "sleep")).toEqual(identity);
  child.kill();
  await once(child, "exit");
  expect(await isAlive(identity)).toBe(false);
});

test("a lock that is cut short names nobody", () => {
  expect(parseLock("")).toBeUndefined();
  expect(parseLock('{"launcher":{"pid":1')).toBeUndefined();
  expect(parseLock('{"launcher":{"pid":0,"startTime":1,"bootId":"b"},"agents":{}}')).toBeUndefined();
});

test("a live lock refuses with the pid; two cannot hold it", async () => {
  const path = join(directory, "lock.json");
  const lock = await HeldLock.take(path);
  await expect(clearStaleLock(path)).rejects.toThrow(`pid ${process.pid}`);
  await expect(HeldLock.take(path)).rejects.toThrow("another start");
  await lock.release();
  expect(await clearStaleLock(path)).toBe(0);
});

test("what a dead launcher left is ended, and nothing else", async () => {
  const path = join(directory, "lock.json");
  const [left, innocent] = [spawn("sleep", ["60"]), spawn("sleep", ["60"])];
  await Promise.all([once(left, "spawn"), once(innocent, "spawn")]);
  const [leftIdentity, innocentIdentity] = [await identify(left.pid ?? 0), await identify(innocent.pid ?? 0)];
  if (leftIdentity === undefined || innocentIdentity === undefined) throw new Error("no identity");
  const lock = {
    launcher: { ...leftIdentity, startTime: 1 },
    agents: { "agent-1": leftIdentity, "agent-2": { ...innocentIdentity, startTime: innocentIdentity.startTime - 1 } },
  };
  await writeFile(path, JSON.stringify(lock));
  expect(leftoversOf(lock)).toHaveLength(2);
  expect(await clearStaleLock(path)).toBe(1);
  expect(await isAlive(leftIdentity)).toBe(false);
  expect(await isAlive(innocentIdentity)).toBe(true);
  innocent.kill();
});

test("agents that are left are ended together, and workerd at once: on SIGTERM it waits for streams that never end", async () => {
  const path = join(directory, "lock.json");
  const stubborn = ["-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"];
  const [workerd, ...agents] = [spawn("sh", stubborn), spawn("sleep", ["60"]), spawn("sleep", ["60"])] as const;
  await Promise.all([once(workerd.stdout, "data"), ...agents.map((agent) => once(agent, "spawn"))]);
  const identities = await Promise.all([workerd, ...agents].map(({ pid }) => identify(pid ?? 0)));
  const [first, ...others] = identities.filter((identity) => identity !== undefined);
  if (first === undefined || others.length !== 2) throw new Error("no identity");
  const lock = {
    launcher: { ...first, startTime: 1 },
    workerd: first,
    agents: Object.fromEntries(others.map((identity, i) => [`agent-${i + 1}`, identity])),
  };
  expect(endingOf(lock)).toEqual([
    { identities: others, signal: "SIGTERM" },
    { identities: [], signal: "SIGTERM" },
    { identities: [first], signal: "SIGKILL" },
  ]);
  await writeFile(path, JSON.stringify(lock));
  const startedAt = performance.now();
  expect(await clearStaleLock(path)).toBe(3);
  expect(performance.now() - startedAt).toBeLessThan(2_500); // half of what a grace alone would take
  for (const identity of [first, ...others]) expect(await isAlive(identity)).toBe(false);
});

test("several agents share the machine, one finds out itself", () => {
  expect(shareOf({ cpus: 4, memMb: 8192 }, 0, 1)).toBeUndefined();
  expect(shareOf({ cpus: 4, memMb: 9216 }, 1, 2)).toBe("cpus:2;mem:4096;ports:[31500-31999]");
  expect(shareOf({ cpus: 2, memMb: 9216 }, 0, 3)).toBe("cpus:0.666;mem:2730;ports:[31000-31332]");
});

test("credentials are made once, with mode 0600, and the context follows the port", async () => {
  const state = new StateDirectory(join(directory, "state"));
  await state.make();
  const first = await state.prepareCredentials("http://127.0.0.1:5050");
  const second = await state.prepareCredentials("http://127.0.0.1:6060");
  expect(second).toEqual({ ...first, plane: "http://127.0.0.1:6060" });
  for (const file of [state.context, state.agentCredential, state.verifiers])
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readFile(state.verifiers, "utf8")).not.toContain(first.secret);
});

test("a bootstrap that was interrupted goes on with the same cluster id", async () => {
  const state = new StateDirectory(directory);
  expect(await state.readCluster()).toBeUndefined();
  const cluster = await state.planCluster(3);
  expect(await state.readCluster()).toEqual({ cluster, bootstrapped: false });
  await state.markBootstrapped();
  expect(await state.readCluster()).toEqual({ cluster, bootstrapped: true });
});
