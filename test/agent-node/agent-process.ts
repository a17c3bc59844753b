// A real agent process for tests, on a work directory and a cgroup root of its own.
import { type ChildProcess, spawn } from "node:child_process";
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PRINCIPAL, SECRET } from "./fake-plane.ts";

export const IS_ROOT = process.geteuid?.() === 0;
export const HAS_CGROUPS =
  IS_ROOT && /^\S+ \S+ \S+ \S+ \S+ .* - cgroup2? /m.test(readFileSync("/proc/self/mountinfo", "utf8"));
/** Says loudly what a host cannot show. */
export const skipUnless = (condition: boolean, what: string): boolean => {
  if (!condition) process.stderr.write(`\n!!! SKIPPED, this host lacks ${what} !!!\n`);
  return !condition;
};

/** `MESOFLARE_TEST_AGENT="node dist/mesoflare-agent.js"` runs the same tests against a bundle, on another Node. */
const AGENT = process.env["MESOFLARE_TEST_AGENT"]?.split(" ") ?? [
  process.execPath,
  fileURLToPath(new URL("../../agent-node/main.ts", import.meta.url)),
];
let count = 0;

export interface AgentOptions {
  readonly plane: string;
  readonly secret?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Host user to run the agent as. */
  readonly uid?: number;
}

export class AgentHost {
  readonly workDir = mkdtempSync(join(tmpdir(), "mesoflare-agent-"));
  readonly cgroupsRoot = `mesoflare-test-${process.pid}-${count++}`;
  readonly #agents: AgentProcess[] = [];

  start({ plane, secret = SECRET, args = [], env = {}, uid }: AgentOptions): AgentProcess {
    const credential = join(this.workDir, "credential.json");
    writeFileSync(credential, JSON.stringify({ principal: PRINCIPAL, secret }), { mode: 0o600 });
    if (uid !== undefined) for (const path of [this.workDir, credential]) chownSync(path, uid, uid);
    const agent = new AgentProcess(
      ["--plane", plane, "--credential", credential, "--work-dir", join(this.workDir, "work"), "--port", "0"].concat(
        ["--cgroups-root", this.cgroupsRoot, "--log-format", "json", "--log-level", "debug"],
        args,
      ),
      env,
      uid,
    );
    this.#agents.push(agent);
    return agent;
  }

  /** What the newest agent has said. */
  get output(): string {
    return this.#agents.at(-1)?.output ?? "";
  }

  get path(): string {
    return join(this.workDir, "work");
  }

  get journal(): string {
    return join(this.path, "meta", "agent.journal");
  }

  /** The newest sandbox of a task of the tests' framework. */
  sandbox(taskId: string): string {
    return join(this.path, "slaves/agent-S0/frameworks/framework-1/executors", taskId, "runs/latest");
  }

  read(taskId: string, file: string): string | undefined {
    const path = join(this.sandbox(taskId), file);
    return existsSync(path) ? readFileSync(path, "utf8") : undefined;
  }

  /** Ends what is left: agents, supervisors and tasks of this host, by pid, and its cgroups. */
  async cleanUp(): Promise<void> {
    for (const agent of this.#agents) await agent.kill("SIGKILL");
    const containers = join(this.path, "meta", "containers");
    for (const id of existsSync(containers) ? readdirSync(containers) : []) {
      for (const name of ["child", "pid"]) {
        const file = join(containers, id, name);
        const pid = existsSync(file) ? Number.parseInt(readFileSync(file, "utf8"), 10) : 0;
        if (pid > 1)
          try {
            process.kill(name === "child" ? -pid : pid, "SIGKILL");
          } catch {
            // gone already
          }
      }
    }
    for (const hierarchy of existsSync("/sys/fs/cgroup") ? readdirSync("/sys/fs/cgroup") : []) {
      const root = join("/sys/fs/cgroup", hierarchy, this.cgroupsRoot);
      if (existsSync(root)) await removeGroup(root);
    }
    rmSync(this.workDir, { recursive: true, force: true });
  }
}

async function removeGroup(path: string): Promise<void> {
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) await removeGroup(join(path, entry.name));
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      for (const pid of readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").map(Number))
        if (pid > 1) process.kill(pid, "SIGKILL");
    } catch {
      // a process that is just going
    }
    try {
      return rmdirSync(path);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

export class AgentProcess {
  readonly child: ChildProcess;
  output = "";
  readonly #exit: Promise<number | null>;

  constructor(args: readonly string[], env: Readonly<Record<string, string>>, uid: number | undefined) {
    const [program = "", ...first] = AGENT;
    this.child = spawn(program, [...first, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], ...env },
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on("data", (data: Buffer) => (this.output += data.toString()));
    this.#exit = new Promise((resolve) => this.child.once("close", (code) => resolve(code)));
  }

  /** The exit code, once it has one. */
  exited(): Promise<number | null> {
    return this.#exit;
  }

  async kill(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    return this.#exit;
  }
}
