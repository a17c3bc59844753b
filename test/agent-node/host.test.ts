// What the agent makes of a host and of its own flags, without running anything.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { pathsOf } from "../../agent-node/checkpoint/paths.ts";
import { readConfig } from "../../agent-node/config.ts";
import { socketUrl } from "../../agent-node/connection/connection.ts";
import { Cgroups, parseHierarchies } from "../../agent-node/containerizer/process/cgroups.ts";
import { commandProblem, quote } from "../../agent-node/containerizer/process/supervisor.ts";
import { answer } from "../../agent-node/http/routes.ts";
import { byteRange } from "../../agent-node/http/ranges.ts";
import { listen } from "../../agent-node/http/server.ts";
import { defaultResources, withDefaults } from "../../agent-node/resource-detection.ts";
import { SANDBOX_AGE_MS, sweepSandboxes } from "../../agent-node/sandbox-sweep.ts";
import type { HostKey } from "#protocol/ids.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mesoflare-host-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("[A19] ranges", () => {
  test.each<[string | undefined, number, ReturnType<typeof byteRange>]>([
    [undefined, 10, { type: "whole" }],
    ["bytes=0-", 10, { type: "part", start: 0, end: 10 }],
    ["bytes=4-6", 10, { type: "part", start: 4, end: 7 }],
    ["bytes=4-600", 10, { type: "part", start: 4, end: 10 }],
    ["bytes=-3", 10, { type: "part", start: 7, end: 10 }],
    ["bytes=-30", 10, { type: "part", start: 0, end: 10 }],
    ["bytes=10-", 10, { type: "unsatisfiable" }],
    ["bytes=0-", 0, { type: "unsatisfiable" }],
    ["bytes=-0", 10, { type: "unsatisfiable" }],
    ["bytes=6-4", 10, { type: "unsatisfiable" }],
    ["bytes=0-200", 1000, { type: "part", start: 0, end: 100 }],
    ["bytes=1-2,4-5", 10, { type: "whole" }],
    ["lines=1-2", 10, { type: "whole" }],
    ["bytes=-", 10, { type: "whole" }],
  ])("%s of %i bytes", (header, size, expected) => {
    expect(byteRange(header, size, 100)).toEqual(expected);
  });
});

describe("[A18] files", () => {
  const run = "slaves/a/frameworks/f/executors/e/runs/c1";
  const virtual = "/frameworks/f/executors/e/runs/latest";
  const get = (path: string) => answer({ paths: pathsOf(directory), state: () => ({}) }, path, undefined);
  beforeEach(() => {
    mkdirSync(join(directory, run), { recursive: true });
    symlinkSync(join(directory, run), join(directory, run, "../latest"));
    writeFileSync(join(directory, run, "stdout"), "hello wörld\n");
    writeFileSync(join(directory, "host-key"), "secret");
    symlinkSync("../../../../../../../../host-key", join(directory, run, "up"));
    symlinkSync("stdout", join(directory, run, "inside"));
    symlinkSync(directory, join(directory, run, "root"));
  });

  test("read answers offset and data, and the size for offset -1 or beyond", () => {
    const read = (query: string): unknown =>
      JSON.parse(get(`/files/read?path=${virtual}/stdout${query}`).body.toString());
    expect(read("&offset=6&length=3")).toEqual({ offset: 6, data: "wö" });
    expect(read("")).toEqual({ offset: 13, data: "" });
    expect(read("&offset=-1")).toEqual({ offset: 13, data: "" });
    expect(read("&offset=99")).toEqual({ offset: 13, data: "" });
    expect(read("&offset=0")).toEqual({ offset: 0, data: "hello wörld\n" });
    expect(get(`/files/read?path=${virtual}/stdout&offset=-2`).status).toBe(400);
    expect(get(`/files/read?path=${virtual}/stdout&offset=x`).status).toBe(400);
    expect(get(`/files/read?path=${virtual}&offset=0`).status).toBe(400);
    expect(get("/files/read").status).toBe(400);
    expect(get(`/files/read?path=${virtual}/none`).status).toBe(404);
  });

  test("both names of a sandbox work, with links inside it", () => {
    for (const path of [`${virtual}/inside`, join(directory, run, "stdout"), join(directory, run, "../latest/stdout")])
      expect(get(`/slave(1)/files/download.json?path=${encodeURIComponent(path)}`).body.toString()).toBe(
        "hello wörld\n",
      );
  });

  test("nothing outside a sandbox is served, whatever the path says", () => {
    const outside = [
      "up",
      "root/host-key",
      "../../../../../../../../host-key",
      "../../../../../../../../../etc/passwd",
    ];
    for (const path of outside)
      expect(get(`/files/download?path=${encodeURIComponent(`${virtual}/${path}`)}`).status).toBe(404);
    for (const path of [
      "/etc/passwd",
      join(directory, "host-key"),
      directory,
      join(directory, "slaves"),
      "/",
      "..",
      "\0",
    ])
      expect(get(`/files/download?path=${encodeURIComponent(path)}`).status).toBe(404);
  });

  test("no path makes the agent throw", () => {
    fc.assert(
      fc.property(fc.string(), fc.webPath(), (text, path) => {
        get(`/files/read?path=${text}`);
        get(`/${text}`);
        get(path);
      }),
    );
  });

  test("a file longer than one answer comes in parts through the tunnel, and whole on the port", async () => {
    const long = "0123456789abcdef".repeat(65_536);
    writeFileSync(join(directory, run, "long.txt"), long);
    const part = get(`/files/download?path=${virtual}/long.txt`);
    expect([part.status, part.body.length, part.headers["content-range"]]).toEqual([
      206,
      262_144,
      `bytes 0-262143/${long.length}`,
    ]);
    const server = await listen(0, (path, range) =>
      answer({ paths: pathsOf(directory), state: () => ({}) }, path, range),
    );
    const address = server.address();
    const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
    const whole = await fetch(`${url}/files/download?path=${virtual}/long.txt`);
    expect([whole.status, (await whole.text()) === long]).toEqual([200, true]);
    expect((await fetch(`${url}/health`, { method: "POST" })).status).toBe(405);
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
    server.close();
    server.closeAllConnections();
  });
});

test("[A24] sandboxes of ended tasks go after a week, those in use stay", () => {
  const paths = pathsOf(directory);
  const runs = join(paths.sandboxes, "a/frameworks/f/executors/e/runs");
  for (const name of ["old", "new", "used"]) mkdirSync(join(runs, name), { recursive: true });
  writeFileSync(join(runs, "new", "stdout"), "");
  symlinkSync(join(runs, "old"), join(runs, "latest"));
  const longAgo = (Date.now() - SANDBOX_AGE_MS - 1000) / 1000;
  for (const name of ["old", "new", "used"]) utimesSync(join(runs, name), longAgo, longAgo);
  expect(sweepSandboxes(paths, new Set(["used"]), Date.now())).toBe(1);
  expect(["old", "new", "used", "latest"].map((name) => existsSync(join(runs, name)))).toEqual([
    false,
    true,
    true,
    false,
  ]);
});

test("cgroup hierarchies are read from the mounts: v1, hybrid and v2", () => {
  const line = (mount: string, type: string, options: string): string =>
    `31 30 0:1 / ${mount} rw - ${type} ${type} ${options}`;
  const hybrid = [
    line("/cg/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
    line("/cg/memory", "cgroup", "rw,memory"),
    line("/cg/unified", "cgroup2", "rw"),
  ].join("\n");
  const found = parseHierarchies(hybrid, () => [""]);
  expect(found.unified).toBe("/cg/unified");
  expect([...found.controllers]).toEqual([
    ["cpu", { mount: "/cg/cpu,cpuacct", version: 1 }],
    ["memory", { mount: "/cg/memory", version: 1 }],
  ]);
  const pure = parseHierarchies(line("/sys/fs/cgroup", "cgroup2", "rw"), () => ["cpuset", "cpu", "memory", "pids"]);
  expect([...pure.controllers.keys()]).toEqual(["cpu", "memory", "pids"]);
  expect(parseHierarchies("", () => [])).toEqual({ controllers: new Map(), unified: undefined });
});

test("a host without usable cgroups says what is missing, and still gives groups (none)", () => {
  const { cgroups, missing } = Cgroups.detect("no/such/parent\0"); // a name that no kernel takes
  expect(missing.length).toBeGreaterThan(0);
  expect(cgroups.create("c" as never, { cpus: 1, memMb: 64 })).toEqual({
    join: [],
    killFile: undefined,
    procs: undefined,
  });
  expect(cgroups.remove("c" as never)).toBe(true);
});

test("[A26] any text is one word to the shell", () => {
  const text = fc.string({ unit: "binary", maxLength: 50 }).map((value) => value.replaceAll("\0", "").toWellFormed());
  fc.assert(
    fc.property(text, (value) => {
      const { stdout } = spawnSync("sh", ["-c", `printf %s ${quote(value)}`]);
      expect(stdout.toString()).toBe(value);
    }),
    { numRuns: 30 },
  );
});

test("[A10] what no program can be started with is a problem of the command", () => {
  const command = { value: "true", arguments: [], uris: [], shell: undefined, user: undefined, environment: undefined };
  expect(commandProblem(command)).toBeUndefined();
  expect(commandProblem(undefined)).toMatch(/no command/);
  expect(commandProblem({ ...command, value: "a\0b" })).toMatch(/NUL/);
  expect(commandProblem({ ...command, environment: { variables: [{ name: "A=B", value: "" }] } })).toMatch(
    /may not be the name/,
  );
});

test("default resources are Mesos' detection, and what is given wins name by name", () => {
  const of = (memMb: number, diskMb: number) =>
    defaultResources({ cpus: 2, memMb, diskMb }).map(({ name, scalar }) => [name, scalar?.value]);
  expect(of(24_000, 100_000)).toEqual([
    ["cpus", 2],
    ["mem", 22_976],
    ["disk", 94_880],
    ["ports", undefined],
  ]);
  expect(of(1000, 4000)).toEqual([
    ["cpus", 2],
    ["mem", 500],
    ["disk", 2000],
    ["ports", undefined],
  ]);
  const given = withDefaults([{ name: "cpus", type: "SCALAR", scalar: { value: 8 } }], {
    cpus: 2,
    memMb: 1000,
    diskMb: 4000,
  });
  expect(given.map(({ name }) => name)).toEqual(["cpus", "mem", "disk", "ports"]);
  expect(given[0]?.scalar?.value).toBe(8);
});

test("the socket's address follows the plane's URL", () => {
  const key = "0".repeat(32) as HostKey;
  expect(socketUrl("http://127.0.0.1:5050", key)).toBe(`ws://127.0.0.1:5050/agent/socket/${key}`);
  expect(socketUrl("https://plane.example/mesos/", key)).toBe(`wss://plane.example/mesos/agent/socket/${key}`);
});

test("the configuration says which flag is wrong, and never what a secret is", () => {
  const credential = join(directory, "credential");
  const good = { plane: "http://127.0.0.1:5050", credential, workDir: directory };
  writeFileSync(credential, '{"principal":"agents","secret":"12345678"}', { mode: 0o600 });
  expect(readConfig(good)).toMatchObject({
    credential: { principal: "agents" },
    port: 5051,
    cgroupsRoot: "mesoflare",
    warnings: [],
  });
  writeFileSync(credential, "agents 12345678\n");
  expect(readConfig(good).credential).toEqual({ principal: "agents", secret: "12345678" });
  for (const [over, flag] of [
    [{ plane: undefined }, /--plane/],
    [{ plane: "ftp://x" }, /--plane/],
    [{ credential: undefined }, /--credential/],
    [{ credential: "/no/such/file" }, /--credential .*cannot be read/],
    [{ port: "70000" }, /--port/],
    [{ port: "x" }, /--port/],
    [{ resources: "cpus:x" }, /--resources .*cpus/],
    [{ cgroupsRoot: "../x" }, /--cgroups-root/],
    [{ logLevel: "loud" }, /--log-level/],
  ] as const)
    expect(() => readConfig({ ...good, ...over })).toThrow(flag);
  writeFileSync(credential, '{"principal":"agents","secret":"hunter2"}');
  expect(() => readConfig(good)).toThrow(/^(?!.*hunter2).*secret/);
});
