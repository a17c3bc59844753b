// The directories of persistent volumes on a host: made empty, removed with what is in them and with nothing else.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { poolOf } from "#resources/pool.ts";
import { placeOf } from "../../agent-node/volumes/place.ts";
import { emptyDirectory, removeTree } from "../../agent-node/volumes/remove-tree.ts";
import { Volumes } from "../../agent-node/volumes/volumes.ts";
import { makeSandbox } from "../../agent-node/containerizer/process/sandbox.ts";
import { volume } from "./made-resources.ts";

vi.setConfig({ testTimeout: 30_000 });

let directory: string;
let work: string;
let outside: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mesoflare-volumes-"));
  work = join(directory, "work");
  outside = join(directory, "outside");
  for (const path of [work, outside]) mkdirSync(path);
  writeFileSync(join(outside, "precious"), "kept");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const volumes = (roots: readonly string[] = []): Volumes => new Volumes({ workDir: work, roots });
const place = (id: string, root?: string) => {
  const source = root === undefined ? undefined : ({ type: "PATH", path: { root } } as const);
  return placeOf(poolOf(volume(10, id, { source })));
};
const removedIn = (root: string): string[] => readdirSync(join(root, "volumes/removed"));
const isKept = (): boolean => readFileSync(join(outside, "precious"), "utf8") === "kept";

describe("[A39] a volume's place", () => {
  test("is below the work directory, its disk's root, or its whole mount", () => {
    expect(place("data")).toEqual({ path: "volumes/roles/web/data", isMount: false });
    expect(place("data", "/mnt/a")).toEqual({ path: "/mnt/a/volumes/roles/web/data", isMount: false });
    const source = { type: "MOUNT", mount: { root: "/mnt/b" } } as const;
    expect(placeOf(poolOf(volume(1, "data", { source })))).toEqual({ path: "/mnt/b", isMount: true });
  });

  test("is one folder for each role, whatever the role is called", () => {
    const of = (role: string): string =>
      placeOf(poolOf({ ...volume(1), reservations: [{ type: "DYNAMIC", role }] })).path;
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: fc.constantFrom(".", "/", "%", "2", "f", "e", "a") }), (role) => {
        const parts = of(role).split("/");
        expect(parts).toHaveLength(4);
        expect(parts[2]).not.toMatch(/^\.*$/);
      }),
    );
    expect(new Set(["a/b", "a%2fb", "a.b", "..", "%2e%2e"].map(of)).size).toBe(5);
  });

  test("begins empty: what is there already is not taken for it", () => {
    const made = volumes();
    expect(made.make(place("data"))).toBeUndefined();
    const path = made.pathOf(place("data"));
    expect(readdirSync(path)).toEqual([]);
    expect(lstatSync(path).mode & 0o777).toBe(0o755);
    // What a crash leaves between the directory and the checkpoint.
    expect(made.make(place("data"))).toBeUndefined();
    writeFileSync(join(path, "old"), "");
    expect(made.make(place("data"))).toMatch(/is not empty/);
    symlinkSync(outside, join(dirname(path), "link"));
    expect(made.make(place("link"))).toMatch(/no directory/);
    expect(made.make(place("data", join(directory, "unmounted")))).toMatch(/cannot be made.*unmounted is not there/);
    expect(isKept()).toBe(true);
  });
});

describe("[A40] what is removed", () => {
  test("is moved aside at once, and deleted after", async () => {
    const disk = join(directory, "disk");
    mkdirSync(disk);
    const made = volumes([disk]);
    for (const where of [place("data"), place("data", disk)]) {
      expect(made.make(where)).toBeUndefined();
      const path = made.pathOf(where);
      mkdirSync(join(path, "a/b"), { recursive: true });
      writeFileSync(join(path, "a/b/file"), "content");
      await made.free(where);
      expect(existsSync(path)).toBe(false);
      expect(made.make(where)).toBeUndefined();
      expect(readdirSync(path)).toEqual([]);
    }
    expect([removedIn(work).length, removedIn(disk).length]).toEqual([1, 1]);
    await made.deleteRemoved();
    expect([removedIn(work).length, removedIn(disk).length]).toEqual([0, 0]);
  });

  test("is removed once more without harm", async () => {
    const made = volumes();
    await made.free(place("never-there"));
    await made.deleteRemoved();
    made.make(place("data"));
    await made.free(place("data"));
    await made.free(place("data"));
    await made.deleteRemoved();
    await made.deleteRemoved();
  });

  test("are links, and not what they point to", async () => {
    const made = volumes();
    made.make(place("data"));
    const path = made.pathOf(place("data"));
    symlinkSync(outside, join(path, "to-a-directory"));
    symlinkSync(join(outside, "precious"), join(path, "to-a-file"));
    symlinkSync("../../../../../outside", join(path, "relative"));
    symlinkSync("missing", join(path, "dangling"));
    mkdirSync(join(path, "deeper"));
    symlinkSync(outside, join(path, "deeper/link"));
    await made.free(place("data"));
    await made.deleteRemoved();
    expect(removedIn(work)).toEqual([]);
    expect(isKept()).toBe(true);
  });

  test("is a link that is in the place of the volume itself", async () => {
    const made = volumes();
    made.make(place("data"));
    const path = made.pathOf(place("data"));
    rmSync(path, { recursive: true });
    symlinkSync(outside, path);
    await made.free(place("data"));
    await made.deleteRemoved();
    expect(existsSync(path)).toBe(false);
    expect(isKept()).toBe(true);
  });

  test("are directories that were closed to their owner, and names of any bytes", async () => {
    const tree = join(directory, "tree");
    mkdirSync(join(tree, "closed/inside"), { recursive: true });
    writeFileSync(join(tree, "closed/inside/file"), "");
    for (const name of ["-rf", " ", "new\nline", "ü", ".hidden"]) writeFileSync(join(tree, name), "");
    chmodSync(join(tree, "closed/inside"), 0o000);
    chmodSync(join(tree, "closed"), 0o000);
    await removeTree(tree);
    expect(existsSync(tree)).toBe(false);
  });

  test("is a tree deeper than any path may be long", async () => {
    const tree = join(directory, "tree");
    mkdirSync(tree);
    // Built from the inside: no path reaches the innermost one.
    for (let depth = 0; depth < 60; depth++) {
      const outer = join(directory, `outer-${depth}`);
      const inner = join(outer, ...Array.from({ length: 10 }, () => "d".repeat(200)));
      mkdirSync(inner, { recursive: true });
      writeFileSync(join(inner, "file"), "");
      renameSync(tree, join(inner, "tree"));
      renameSync(outer, tree);
    }
    await removeTree(tree);
    expect(existsSync(tree)).toBe(false);
  });

  test("is all of a mount but what the file system keeps for itself", async () => {
    const root = join(directory, "mount");
    mkdirSync(join(root, "lost+found"), { recursive: true });
    mkdirSync(join(root, "deep/er"), { recursive: true });
    symlinkSync(outside, join(root, "link"));
    const made = volumes();
    const where = { path: root, isMount: true };
    expect(made.make(where)).toMatch(/is not empty/);
    await made.free(where);
    expect(readdirSync(root)).toEqual(["lost+found"]);
    expect(made.make(where)).toBeUndefined();
    expect(isKept()).toBe(true);
  });

  test("stays out of a directory that becomes a link while it is emptied", async () => {
    const tree = join(directory, "tree");
    mkdirSync(join(tree, "victim"), { recursive: true });
    const open0 = await open(tree);
    try {
      // The name is a link by now, the descriptor is what it was.
      renameSync(tree, join(directory, "elsewhere"));
      symlinkSync(outside, tree);
      await emptyDirectory(open0);
    } finally {
      await open0.close();
    }
    expect(readdirSync(join(directory, "elsewhere"))).toEqual([]);
    expect(isKept()).toBe(true);
  });
});

describe("[A39] a sandbox", () => {
  const sandbox = (): string => join(directory, "executors/task/runs/one");
  const link = (id: string, containerPath: string) => {
    const made = volumes();
    made.make(place(id));
    return { path: made.pathOf(place(id)), containerPath };
  };

  test("has its volumes at their container_path", () => {
    makeSandbox(sandbox(), [link("a", "data"), link("b", "deep/er/data"), link("c", "./deep//other")], undefined);
    writeFileSync(join(sandbox(), "data/file"), "a");
    writeFileSync(join(sandbox(), "deep/er/data/file"), "b");
    writeFileSync(join(sandbox(), "deep/other/file"), "c");
    for (const id of ["a", "b", "c"]) expect(readFileSync(join(volumes().pathOf(place(id)), "file"), "utf8")).toBe(id);
  });

  test.each<[string, readonly string[], RegExp]>([
    ["outside of it", ["../up"], /only be inside/],
    ["at an absolute path", ["/etc"], /only be inside/],
    ["at the sandbox itself", ["."], /only be inside/],
    ["where the output is", ["stdout"], /output/],
    ["below the output", ["stderr/x"], /output/],
    ["two at one place", ["data", "data"], /another volume is/],
    ["one inside another", ["data", "data/inner"], /inside another volume/],
  ])("has none %s", (_, paths, why) => {
    const links = paths.map((containerPath, i) => link(`v${i}`, containerPath));
    expect(() => makeSandbox(sandbox(), links, undefined)).toThrow(why);
  });

  test("is not made when a volume's directory is missing", () => {
    const missing = { path: join(work, "volumes/roles/web/gone"), containerPath: "data" };
    expect(() => makeSandbox(sandbox(), [missing], undefined)).toThrow(/is not at .*gone/);
  });
});
