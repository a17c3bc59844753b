// The launcher by itself: hostile words, its own death, and outputs that somebody replaced.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { identify } from "../../agent-node/checkpoint/process-identity.ts";
import { Launcher, type LaunchOutput } from "../../agent-node/containerizer/process/launcher.ts";
import { eventually } from "./fake-plane.ts";

// Real processes on a busy machine take their time; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

let directory: string;
let launcher: Launcher;
let gone: number;
const files: number[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mesoflare-launcher-"));
  gone = 0;
  launcher = new Launcher({ onGone: () => gone++ });
});
afterEach(async () => {
  launcher.close();
  await eventually("no launcher", () => launchersOf(process.pid).length === 0);
  for (const file of files.splice(0)) closeSync(file);
  rmSync(directory, { recursive: true, force: true });
});

const at = (name: string): string => join(directory, name);
const read = (name: string): string => (existsSync(at(name)) ? readFileSync(at(name), "utf8") : "");
const whole = (name: string): Promise<string> => eventually(name, () => read(name) || undefined);

function open(name: string): number {
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL;
  const file = openSync(at(name), flags, 0o644);
  files.push(file);
  return file;
}
let outputs = 0;
function output(): LaunchOutput {
  outputs++;
  return { stdout: open(`stdout-${outputs}`), stderr: open(`stderr-${outputs}`) };
}
function script(text: string, name = "script.sh"): string {
  writeFileSync(at(name), `${text}\n`);
  return at(name);
}
/** A script that says that it ran, in a file which is there whole or not at all. */
const saying = (): string => script('echo "$2" > "$1.tmp" && mv "$1.tmp" "$1"', "say.sh");

/** Pids of the launchers that a process has started. */
function launchersOf(parent: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        const [state, ppid] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        const text = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return Number(ppid) === parent && state !== "Z" && text.includes('eval "$line"');
      } catch {
        return false; // it ended while we looked
      }
    });
}

test("[A27] words arrive as they are, whatever a shell would make of them", async () => {
  const everything = Array.from({ length: 0x2ff }, (_, i) => String.fromCodePoint(i + 1))
    .join("")
    .replace("\n", "");
  const words = [
    ...["", " ", "  a  b ", "\t", "\r", "-n", "--", "a\\", "\\", "\\n", "*", "~", "#", "!x", "a;b&c|d>e<f"],
    ...["'", "''", "'\\''", '"', `'"'"'`, "$(touch pwned)", "`touch pwned`", "$HOME", "${IFS}", "'; touch pwned; '"],
    ...["größe", "日本語", "🦀", "\u2028", "\ufeff", everything, "x".repeat(100_000)],
  ];
  const record = script(
    'to=$1; shift; printf "%s\\0" "$@" > "$to.tmp" && mv "$to.tmp" "$to"',
    'it\'s a $(script) "ü".sh',
  );
  await launcher.start(record, [at("words"), ...words], output());
  expect((await whole("words")).split("\0")).toEqual([...words, ""]);
  expect(readdirSync(directory)).not.toContain("pwned");
});

test("[A27] a word with a line break is refused, and nothing of it is done", async () => {
  for (const word of ["a\ntouch pwned", "\n", "a\0b"])
    await expect(launcher.start(saying(), [at(`said-${word.length}`), word], output())).rejects.toThrow("line break");
  await expect(launcher.start(at("a\nb.sh"), [], output())).rejects.toThrow("line break");
  await launcher.start(saying(), [at("next"), "said"], output());
  expect(await whole("next")).toBe("said\n");
  expect(readdirSync(directory).filter((name) => /^said|pwned/.test(name))).toEqual([]);
});

test("[A27] a launcher that was killed is noticed once, and the next start opens another", async () => {
  launcher.open();
  const [first = 0, ...others] = launchersOf(process.pid);
  expect(others).toEqual([]);
  process.kill(first, "SIGKILL");
  await eventually("onGone", () => gone > 0);
  await launcher.start(saying(), [at("after"), "said"], output());
  expect(await whole("after")).toBe("said\n");
  expect(launchersOf(process.pid)).not.toContain(first);
  expect(gone).toBe(1);
  launcher.close();
  await eventually("no launcher", () => launchersOf(process.pid).length === 0);
  expect(gone).toBe(1); // it was asked to go
});

test("[A27] what it started belongs to nobody: it outlives the launcher, killed or closed", async () => {
  const waiting = script(
    'echo $$ > "$1.tmp" && mv "$1.tmp" "$1"; until [ -e "$1.go" ]; do sleep 0.02; done; echo out; echo end > "$1.end"',
  );
  for (const [name, end] of [
    ["killed", () => process.kill(launchersOf(process.pid)[0] ?? 0, "SIGKILL")],
    ["closed", () => launcher.close()],
  ] as const) {
    const { stdout, stderr } = output();
    await launcher.start(waiting, [at(name)], { stdout, stderr });
    const pid = Number(await whole(name));
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [, ppid, group, session] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    expect(launchersOf(process.pid)).not.toContain(ppid);
    expect([group, session, readlinkSync(`/proc/${pid}/cwd`)]).toEqual([pid, pid, "/"]);
    end();
    await eventually("no launcher", () => launchersOf(process.pid).length === 0);
    expect(identify(pid)).toBeDefined();
    writeFileSync(at(`${name}.go`), "");
    expect(await whole(`${name}.end`)).toBe("end\n");
    expect(read(`stdout-${outputs}`)).toBe("out\n");
  }
});

test("[A28] output goes to the files that were opened, though their names are links to others by now", async () => {
  const { stdout, stderr } = output();
  writeFileSync(at("victim"), "");
  for (const name of [`stdout-${outputs}`, `stderr-${outputs}`]) {
    renameSync(at(name), at(`${name}.moved`));
    symlinkSync(at("victim"), at(name));
  }
  await launcher.start(
    script('echo "$1"; echo "$2" >&2; : > "$3"', "echo.sh"),
    ["to stdout", "to stderr", at("done")],
    { stdout, stderr },
  );
  await eventually("the script", () => existsSync(at("done")));
  expect([read(`stdout-${outputs}.moved`), read(`stderr-${outputs}.moved`)]).toEqual(["to stdout\n", "to stderr\n"]);
  expect(read("victim")).toBe("");
});

test("[A28] without its output nothing is started", async () => {
  const { stdout, stderr } = output();
  await launcher.start(saying(), [at("without"), "said"], { stdout, stderr: 1_000_000 });
  await launcher.start(saying(), [at("with"), "said"], { stdout, stderr });
  await whole("with");
  await launcher.start(saying(), [at("with-too"), "said"], { stdout, stderr });
  await whole("with-too");
  expect(existsSync(at("without"))).toBe(false);
});

test("[A28] an order that is read after the agent's end starts nothing, whoever has its pid by then", async () => {
  const module = fileURLToPath(new URL("../../agent-node/containerizer/process/launcher.ts", import.meta.url));
  const agent = script(
    `import { openSync } from "node:fs";
     import { Launcher } from ${JSON.stringify(module)};
     const launcher = new Launcher({ onGone: () => {} });
     launcher.open();
     process.stdin.once("data", async () => {
       const file = openSync(${JSON.stringify(at("late-output"))}, "a");
       await launcher.start(${JSON.stringify(saying())}, [${JSON.stringify(at("late"))}, "said"], { stdout: file, stderr: file });
       process.kill(process.pid, "SIGKILL");
     });
     console.log("open");`,
    "agent.mts",
  );
  const child = spawn(process.execPath, [agent], { stdio: ["pipe", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const [pid = 0] = launchersOf(child.pid ?? 0);
  process.kill(pid, "SIGSTOP");
  child.stdin.write("go\n");
  await once(child, "exit");
  process.kill(pid, "SIGCONT");
  await eventually("the launcher's end", () => identify(pid) === undefined);
  await new Promise((resolve) => setTimeout(resolve, 100)); // what it started would not end with it
  expect(existsSync(at("late"))).toBe(false);
});
