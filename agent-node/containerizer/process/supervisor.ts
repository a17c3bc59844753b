// The small shell script that outlives the agent: it starts one task, waits for it, and leaves its true exit status behind.
//
// It runs with a clean environment: the task's own, in which a framework may write LD_PRELOAD, is set only after the user
// switch. It stays outside the container's groups, so that killing the container does not kill the witness.
import { spawnSync } from "node:child_process";
import { writeFileAtomically } from "../../checkpoint/durable-file.ts";
import type { CommandInfo } from "#protocol/command.ts";

/** Where the agent's own tools are searched, and what a task's PATH is unless it sets one. */
export const SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Arguments: run directory, file that kills the container's cgroup2 ("" when there is none), cgroup.procs of one group that
// lists the container's processes ("" when there is none), then the cgroup.procs of every group to join.
//
// Before the claim nothing is written to the output: whoever took the claim instead may have closed it already.
//
// The exit status: `wait` gives 137 for SIGKILL and for `exit 137` alike. dash (and busybox) tell them apart in `jobs`,
// which they still answer after `wait`: "Done(137)" against "Killed". Where `jobs` says nothing (bash), above 128 is a signal.
const SCRIPT = `#!/bin/sh
umask 022
run=$1 killfile=$2 procs=$3
shift 3
read -r stat < /proc/$$/stat || exit 1
keep_start() { start=\${20}; }
keep_start \${stat##*) }
{ echo "$$ $start" > "$run/pid.$$"; } 2>/dev/null || exit 1
ln "$run/pid.$$" "$run/pid" 2>/dev/null || exit 0
(
  for group in "$@"; do
    echo 0 > "$group" || exit 125
  done
  . "$run/launch"
) &
child=$!
exec 2>/dev/null
echo "$child" > "$run/child"
wait "$child"
code=$?
jobs > "$run/how"
read -r how < "$run/how"
if [ -n "$killfile" ] && [ -e "$killfile" ]; then
  echo 1 > "$killfile"
elif [ -n "$procs" ]; then
  round=0
  while [ "$round" -lt 100 ]; do
    found=
    while read -r pid; do kill -s KILL "$pid" && found=1; done < "$procs"
    [ -n "$found" ] || break
    round=$((round + 1))
  done
else
  kill -s KILL -- "-$child"
fi
case "$how" in
  *Done*) result="exited $code" ;;
  *) if [ "$code" -gt 128 ]; then result="signaled $((code - 128))"; else result="exited $code"; fi ;;
esac
# A full disk must not lose the status: try for ten minutes.
attempt=0
until echo "$result" > "$run/exit.tmp" && mv -f "$run/exit.tmp" "$run/exit"; do
  attempt=$((attempt + 1))
  [ "$attempt" -lt 60 ] || exit 1
  sleep 10
done
`;

/** Puts the script in its place. By rename: a supervisor of an older agent may still be reading the file that was there. */
export function installSupervisor(path: string): void {
  writeFileAtomically(path, SCRIPT, 0o700);
}

/** One word for the shell, whatever the text holds. */
export const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

export interface LaunchText {
  readonly runDirectory: string;
  readonly sandbox: string;
  readonly command: CommandInfo;
  readonly environment: ReadonlyMap<string, string>;
  /** Set to switch to that user; uid and gid are numbers in text. */
  readonly user: { readonly uid: string; readonly gid: string } | undefined;
  /** What {@link signalFlags} found. */
  readonly signalFlags: readonly string[];
}

/**
 * Shells start what runs in the background with SIGINT and SIGQUIT ignored, and a task would inherit that. Flags of this
 * host's `env` that set them right again; none where it is too old (coreutils before 8.31).
 */
export function signalFlags(): readonly string[] {
  const flags = ["--default-signal=INT,QUIT"];
  const tried = spawnSync("env", [...flags, "true"], { env: { PATH: SAFE_PATH }, stdio: "ignore" });
  return tried.status === 0 ? flags : [];
}

/** What the supervisor's child sources: it announces the start and becomes the task, without another fork. */
export function launchText({ runDirectory, sandbox, command, environment, user, signalFlags }: LaunchText): string {
  const words = [
    "setsid",
    // Bounding set and the like are left: a task of root is root, as in Mesos.
    ...(user === undefined
      ? []
      : ["setpriv", "--reuid", user.uid, "--regid", user.gid, "--init-groups", "--no-new-privs"]),
    "env",
    "-i",
    ...signalFlags,
    // A variable's name may begin with "-".
    "--",
    ...[...environment].map(([name, value]) => `${name}=${value}`),
    ...argumentsOf(command),
  ];
  return [
    `cd ${quote(sandbox)} || exit 125`,
    `: > ${quote(`${runDirectory}/started`)} || exit 125`,
    `exec ${words.map(quote).join(" ")}`,
    "",
  ].join("\n");
}

function argumentsOf(command: CommandInfo): string[] {
  const value = command.value ?? "";
  if (command.shell ?? true) return ["sh", "-c", value];
  const [first, ...rest] = command.arguments;
  // argv[0] is the program's own name unless the task says otherwise; only bash can set it without a helper of ours.
  if (first === undefined || first === value || value.endsWith(`/${first}`)) return [value, ...rest];
  return [
    "bash",
    "-c",
    'argv0=$1 program=$2; shift 2; exec -a "$argv0" "$program" "$@"',
    "bash",
    first,
    value,
    ...rest,
  ];
}

/** Why a command cannot be run, or undefined. */
export function commandProblem(command: CommandInfo | undefined): string | undefined {
  if (command === undefined || command.value === undefined || command.value === "") return "the task has no command";
  const texts = [command.value, ...command.arguments];
  for (const { name, value } of command.environment?.variables ?? []) {
    if (name === "" || name.includes("=")) return `'${name}' may not be the name of an environment variable`;
    texts.push(name, value ?? "");
  }
  if (texts.some((text) => text.includes("\0"))) return "a command and its environment may not contain NUL characters";
  return undefined;
}

/** The task's whole environment: what it asks for, over what every task gets. */
export function taskEnvironment(
  command: CommandInfo,
  given: { readonly sandbox: string; readonly taskId: string; readonly frameworkId: string; readonly agentId: string },
): ReadonlyMap<string, string> {
  const environment = new Map([
    ["PATH", SAFE_PATH],
    ["HOME", given.sandbox],
    ["MESOS_SANDBOX", given.sandbox],
    ["MESOS_TASK_ID", given.taskId],
    ["MESOS_FRAMEWORK_ID", given.frameworkId],
    ["MESOS_AGENT_ID", given.agentId],
  ]);
  for (const { name, value } of command.environment?.variables ?? []) environment.set(name, value ?? "");
  return environment;
}
