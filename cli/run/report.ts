// What `run` shows: the task's own output as it is, and everything else on stderr with a prefix; or, with --json, one
// JSON object a line on stdout for both.
import type { TaskStatus } from "#protocol/task.ts";

export interface Report {
  output(stream: "stdout" | "stderr", bytes: Uint8Array): void;
  state(status: TaskStatus): void;
  say(text: string): void;
  started(ids: { readonly taskId: string; readonly frameworkId: string; readonly agentId: string }): void;
  ended(exitCode: number, message: string | undefined): void;
}

export interface Streams {
  readonly stdout: { write(data: string | Uint8Array): unknown };
  readonly stderr: { write(data: string | Uint8Array): unknown };
}

export function textReport({ stdout, stderr }: Streams, { detach }: { readonly detach: boolean }): Report {
  const say = (text: string): void => void stderr.write(`mesoflare: ${text}\n`);
  return {
    output: (stream, bytes) => void (stream === "stdout" ? stdout : stderr).write(bytes),
    state: () => undefined,
    say,
    started: ({ taskId, frameworkId, agentId }) => {
      if (!detach) return;
      stdout.write(`task ${taskId} runs on agent ${agentId}, framework ${frameworkId}\n`);
      stdout.write(`see its output: mesoflare logs ${taskId} -f\nend it: mesoflare kill ${taskId}\n`);
    },
    ended: (_, message) => {
      if (message !== undefined) say(message);
    },
  };
}

/** The lines are `{"type": "started" | "state" | "output" | "notice" | "ended", …}`; output is text, cut at UTF-8 borders. */
export function jsonReport({ stdout }: Pick<Streams, "stdout">): Report {
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  const line = (value: object): void => void stdout.write(`${JSON.stringify(value)}\n`);
  return {
    output: (stream, bytes) => {
      const text = decoders[stream].decode(bytes, { stream: true });
      if (text !== "") line({ type: "output", stream, text });
    },
    state: ({ state, reason, message }) => line({ type: "state", state, reason, message }),
    say: (text) => line({ type: "notice", text }),
    started: ({ taskId, frameworkId, agentId }) =>
      line({ type: "started", task_id: taskId, framework_id: frameworkId, agent_id: agentId }),
    ended: (exitCode, message) => line({ type: "ended", exit_code: exitCode, message }),
  };
}
