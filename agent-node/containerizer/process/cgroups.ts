// The container's groups in every cgroup hierarchy that the host has: limits where the controller is (v1 or v2), killing a
// tree through cgroup2. Everything is under `<hierarchy>/<our root>/<container id>`, and nothing outside is touched.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerId } from "#protocol/ids.ts";
import { errorCode, errorText, readIfThere } from "../../checkpoint/durable-file.ts";

/** Weight of one CPU, and the least the kernel takes. Source: Mesos CPU_SHARES_PER_CPU, MIN_CPU_SHARES. */
const CPU_SHARES_PER_CPU = 1024;
const CPU_SHARES_MIN = 2;
/** The least memory a container gets, MB: below it not even the shell starts. Source: Mesos MIN_MEMORY. */
export const MEMORY_MB_MIN = 32;
/** Processes and threads in one container: a fork bomb ends in its own task. */
const PIDS_MAX = 16_384;

const CONTROLLERS = ["cpu", "memory", "pids"] as const;
type Controller = (typeof CONTROLLERS)[number];

export interface Hierarchies {
  /** Mount points by controller, and whether it is a v1 or v2 one. */
  readonly controllers: ReadonlyMap<Controller, { readonly mount: string; readonly version: 1 | 2 }>;
  /** Mount point of cgroup2, with or without controllers. */
  readonly unified: string | undefined;
}

/** Reads the mounts as `/proc/self/mountinfo` has them. `v2Controllers` answers `cgroup.controllers` of a cgroup2 mount. */
export function parseHierarchies(mountinfo: string, v2Controllers: (mount: string) => readonly string[]): Hierarchies {
  const controllers = new Map<Controller, { mount: string; version: 1 | 2 }>();
  let unified: string | undefined;
  for (const line of mountinfo.split("\n")) {
    // `<id> <parent> <device> <root> <mount point> <options> … - <type> <source> <super options>`
    const [before = "", after = ""] = line.split(" - ");
    const mount = before.split(" ")[4]?.replace(/\\040/g, " ");
    const [type, , options = ""] = after.split(" ");
    if (mount === undefined) continue;
    if (type === "cgroup2") unified ??= mount;
    if (type !== "cgroup") continue;
    for (const name of CONTROLLERS)
      if (options.split(",").includes(name) && !controllers.has(name)) controllers.set(name, { mount, version: 1 });
  }
  if (unified !== undefined)
    for (const name of v2Controllers(unified)) {
      const known = CONTROLLERS.find((controller) => controller === name);
      if (known !== undefined && !controllers.has(known)) controllers.set(known, { mount: unified, version: 2 });
    }
  return { controllers, unified };
}

export interface ContainerGroups {
  /** The `cgroup.procs` files to join. */
  readonly join: readonly string[];
  readonly killFile: string | undefined;
  /** One `cgroup.procs` that lists every process of the container. */
  readonly procs: string | undefined;
}

export class Cgroups {
  readonly #root: string;
  readonly #hierarchies: Hierarchies;

  private constructor(root: string, hierarchies: Hierarchies) {
    this.#root = root;
    this.#hierarchies = hierarchies;
  }

  /** What this host and this user can do; `missing` names what they cannot, one sentence each. */
  static detect(root: string): { readonly cgroups: Cgroups; readonly missing: readonly string[] } {
    const missing: string[] = [];
    const found = parseHierarchies(readIfThere("/proc/self/mountinfo") ?? "", (mount) =>
      (readIfThere(join(mount, "cgroup.controllers")) ?? "").split(/\s+/),
    );
    const usable = new Map<string, boolean>();
    const canUse = (mount: string): boolean => {
      const known = usable.get(mount) ?? prepare(join(mount, root), missing);
      usable.set(mount, known);
      return known;
    };
    const controllers = new Map([...found.controllers].filter(([, { mount }]) => canUse(mount)));
    const unified = found.unified !== undefined && canUse(found.unified) ? found.unified : undefined;
    for (const [name, { mount, version }] of controllers)
      if (version === 2 && !(delegate(mount, name) && delegate(join(mount, root), name))) controllers.delete(name);
    const cgroups = new Cgroups(root, { controllers, unified });
    if (!controllers.has("cpu")) missing.push("no usable 'cpu' cgroup: tasks share the processors equally");
    if (!controllers.has("memory"))
      missing.push("no usable 'memory' cgroup: tasks may take more memory than they asked for");
    if (cgroups.#mounts().length === 0)
      missing.push("no usable cgroup at all: a task's process that starts a session of its own outlives the task");
    return { cgroups, missing };
  }

  #mounts(): string[] {
    const { controllers, unified } = this.#hierarchies;
    return [
      ...new Set([...[...controllers.values()].map(({ mount }) => mount), ...(unified === undefined ? [] : [unified])]),
    ];
  }

  #path(mount: string, containerId: ContainerId): string {
    return join(mount, this.#root, containerId);
  }

  groups(containerId: ContainerId): ContainerGroups {
    const paths = this.#mounts().map((mount) => this.#path(mount, containerId));
    const { unified } = this.#hierarchies;
    const killFile = unified === undefined ? undefined : join(this.#path(unified, containerId), "cgroup.kill");
    return {
      join: paths.map((path) => join(path, "cgroup.procs")),
      killFile,
      procs: paths[0] === undefined ? undefined : join(paths[0], "cgroup.procs"),
    };
  }

  /** Makes the groups and sets the limits. `cpus` and `memMb` 0 mean none. Throws what the kernel refuses. */
  create(
    containerId: ContainerId,
    { cpus, memMb }: { readonly cpus: number; readonly memMb: number },
  ): ContainerGroups {
    for (const mount of this.#mounts()) mkdirSync(this.#path(mount, containerId), { recursive: true });
    const set = (
      name: Controller,
      files: { readonly v1: Record<string, string>; readonly v2: Record<string, string> },
    ): void => {
      const controller = this.#hierarchies.controllers.get(name);
      if (controller === undefined) return;
      for (const [file, value] of Object.entries(controller.version === 1 ? files.v1 : files.v2)) {
        const path = join(this.#path(controller.mount, containerId), file);
        if (existsSync(path)) writeFileSync(path, value); // e.g. memsw is there only with swap accounting
      }
    };
    if (cpus > 0) {
      const shares = Math.max(CPU_SHARES_MIN, Math.round(cpus * CPU_SHARES_PER_CPU));
      // The kernel's own mapping from shares (2 to 262144) to weights (1 to 10000).
      const weight = Math.min(10_000, 1 + Math.floor(((shares - 2) * 9999) / 262_142));
      set("cpu", { v1: { "cpu.shares": `${shares}` }, v2: { "cpu.weight": `${weight}` } });
    }
    if (memMb > 0) {
      const bytes = `${memoryLimitMb(memMb) * 1024 * 1024}`;
      set("memory", {
        v1: { "memory.limit_in_bytes": bytes, "memory.memsw.limit_in_bytes": bytes },
        v2: { "memory.max": bytes, "memory.swap.max": "0" },
      });
    }
    set("pids", { v1: { "pids.max": `${PIDS_MAX}` }, v2: { "pids.max": `${PIDS_MAX}` } });
    return this.groups(containerId);
  }

  /** Whether the kernel killed a process of the container for lack of memory. */
  hadOutOfMemory(containerId: ContainerId): boolean {
    const memory = this.#hierarchies.controllers.get("memory");
    if (memory === undefined) return false;
    const file = memory.version === 1 ? "memory.oom_control" : "memory.events";
    const text = readIfThere(join(this.#path(memory.mount, containerId), file)) ?? "";
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0) > 0;
  }

  processes(containerId: ContainerId): number[] {
    const { procs } = this.groups(containerId);
    const text = procs === undefined ? "" : (readIfThere(procs) ?? "");
    return text
      .split("\n")
      .map(Number)
      .filter((pid) => pid > 0);
  }

  /** SIGKILL to everything in the container. */
  killAll(containerId: ContainerId): void {
    const { killFile } = this.groups(containerId);
    if (killFile !== undefined && existsSync(killFile)) writeFileSync(killFile, "1");
    else signalAll(this.processes(containerId), "SIGKILL");
  }

  /** Removes the groups; false when a process is still leaving one of them (rmdir says EBUSY for some ms). */
  remove(containerId: ContainerId): boolean {
    let removed = true;
    for (const mount of this.#mounts()) {
      try {
        removeTree(this.#path(mount, containerId));
      } catch (error) {
        if (errorCode(error) !== "EBUSY") throw error;
        removed = false;
      }
    }
    return removed;
  }
}

/** The limit that a task with `memMb` gets. */
export const memoryLimitMb = (memMb: number): number => Math.max(MEMORY_MB_MIN, Math.ceil(memMb));

/** Signals each process; one that is gone already is no error. */
export function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (errorCode(error) !== "ESRCH") throw error;
    }
  }
}

/** A container that uses cgroups itself leaves groups inside its own. */
function removeTree(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  rmdirSync(path);
}

function prepare(path: string, missing: string[]): boolean {
  try {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "cgroup.procs"), "", { flag: "a" }); // opened for writing, nothing written
    return true;
  } catch (error) {
    missing.push(`${path} cannot be used: ${errorText(error)}`);
    return false;
  }
}

/** Lets children of a v2 group use a controller. */
function delegate(path: string, controller: string): boolean {
  try {
    const enabled = readFileSync(join(path, "cgroup.subtree_control"), "utf8");
    if (!enabled.split(/\s+/).includes(controller))
      writeFileSync(join(path, "cgroup.subtree_control"), `+${controller}`);
    return true;
  } catch {
    return false;
  }
}
