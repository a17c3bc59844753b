// What --resources may say in JSON, and which disks an agent may offer.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readConfig } from "../../agent-node/config.ts";
import { diskProblem } from "../../agent-node/resources/disks.ts";
import { parseResourcesFlag } from "../../agent-node/resources/flag.ts";
import { fixed, free, reserved, volume } from "./made-resources.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mesoflare-flag-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const path = (root: string) => ({ ...free("disk", 10), disk: { source: { type: "PATH", path: { root } } } as const });
const mount = (root: string) => ({
  ...free("disk", 10),
  disk: { source: { type: "MOUNT", mount: { root } } } as const,
});
const parse = (value: unknown) => parseResourcesFlag(JSON.stringify(value));

test("[A41] text and JSON both give resources", () => {
  expect(parseResourcesFlag("cpus(web):2")).toEqual({ type: "parsed", value: [fixed("cpus", 2)] });
  expect(parse([fixed("cpus", 2), path("/mnt/a")])).toEqual({
    type: "parsed",
    value: [expect.objectContaining(fixed("cpus", 2)), expect.objectContaining(path("/mnt/a"))],
  });
  const layer = { type: "STATIC", role: "web" };
  expect(parse([{ ...free("cpus", 1), reservations: [layer] }])).toMatchObject({ type: "parsed" });
});

test.each<[string, unknown, RegExp]>([
  ["a dynamic reservation", [reserved("cpus", 1)], /dynamic reservation/],
  ["one in the old form", [{ ...fixed("cpus", 1), reservation: { principal: "p" } }], /dynamic reservation/],
  ["a persistent volume", [{ ...volume(1), reservations: undefined, role: "web" }], /made by CREATE only/],
  ["a field that nothing reads", [{ ...free("disk", 1), dsik: {} }], /0\.dsik: no such field/],
  [
    "one deeper down",
    [{ ...path("/a"), disk: { source: { type: "PATH", path: { rot: "/a" } } } }],
    /0\.disk\.source\.path\.rot/,
  ],
  ["a role that would end a name", [fixed("cpus", 1, "a)b")], /no role/],
  ["a disk without a root", [{ ...free("disk", 1), disk: { source: { type: "PATH", path: {} } } }], /path\.root/],
  ["a disk of a resource provider", [{ ...free("disk", 1), disk: { source: { type: "BLOCK" } } }], /resource provider/],
  ["what can be taken back", [{ ...free("cpus", 1), revocable: {} }], /revocable/],
  ["an amount of nothing", [free("cpus", 0)], /above 0/],
])("[A41] refused: %s", (_, value, why) => {
  expect(parse(value)).toEqual({ type: "refused", reason: expect.stringMatching(why) });
});

test("[A41] refused: what begins like JSON and is none", () => {
  expect(parseResourcesFlag('[{"name": "cpus"')).toMatchObject({ type: "refused" });
  expect(parse([["cpus"]])).toMatchObject({ type: "refused" });
});

test("[A41] a disk's root is a directory that is there; a MOUNT is a mount point with nothing else inside", () => {
  expect(diskProblem([path(directory)], "/work")).toBeUndefined();
  expect(diskProblem([path(join(directory, "missing"))], "/work")).toMatch(/cannot be used as a disk/);
  writeFileSync(join(directory, "file"), "");
  expect(diskProblem([path(join(directory, "file"))], "/work")).toMatch(/no directory/);
  expect(diskProblem([mount(directory)], "/work")).toMatch(/no mount point/);
  // /proc is a mount point on every host, and is only looked at here.
  expect(diskProblem([mount("/proc")], directory)).toBeUndefined();
  expect(diskProblem([mount("/proc")], "/proc/work")).toMatch(/\/proc\/work is inside \/proc/);
  symlinkSync("/proc/sys", join(directory, "link"));
  expect(diskProblem([mount("/proc"), path(join(directory, "link"))], directory)).toMatch(/is inside \/proc/);
});

test("[A41] flags may name a file, and --domain is where the host is", () => {
  const credential = join(directory, "credential.json");
  writeFileSync(credential, JSON.stringify({ principal: "agents", secret: "12345678" }), { mode: 0o600 });
  mkdirSync(join(directory, "disk"));
  const disk = path(join(directory, "disk"));
  writeFileSync(join(directory, "resources.json"), JSON.stringify([free("cpus", 3), disk]));
  const domain = { fault_domain: { region: { name: "eu" }, zone: { name: "eu-1" } } };
  const options = { plane: "http://127.0.0.1:5050", credential, workDir: join(directory, "work") };
  const config = readConfig({
    ...options,
    resources: `file://${join(directory, "resources.json")}`,
    domain: JSON.stringify(domain),
  });
  expect(config.resources).toContainEqual(expect.objectContaining(disk));
  expect(config.domain).toEqual(domain);
  for (const [over, why] of [
    [{ resources: "file://resources.json" }, /absolute/],
    [{ resources: `file://${join(directory, "missing.json")}` }, /cannot be read/],
    [{ resources: JSON.stringify([path(join(directory, "missing"))]) }, /--resources: .*missing/],
    [{ domain: "eu" }, /no JSON/],
    [{ domain: JSON.stringify({ fault_domain: { region: { name: "eu" } } }) }, /zone/],
    [{ domain: JSON.stringify({ ...domain, rack: 1 }) }, /rack: no such field/],
  ] as const)
    expect(() => readConfig({ ...options, ...over })).toThrow(why);
});
