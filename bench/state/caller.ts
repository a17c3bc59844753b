// Calls of a plane from a process of their own: what is measured is the plane, not the process that holds ten thousand sockets.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("caller-process.ts", import.meta.url));

export interface Read {
  readonly ms: number;
  readonly firstByteMs: number;
  readonly bytes: number;
}

export type Order =
  | { readonly type: "read"; readonly url: string }
  | { readonly type: "probe"; readonly url: string }
  | { readonly type: "stop-probe" };
export type Answer =
  | { readonly type: "read"; readonly read: Read }
  | { readonly type: "probed"; readonly latenciesMs: readonly number[] }
  | { readonly type: "failed"; readonly reason: string };

/** Reads one long answer at a time, or makes a short call again and again. */
export class Caller {
  readonly #child: ChildProcess = fork(PROGRAM);

  #order(order: Order): void {
    this.#child.send(order);
  }

  async #answer(): Promise<Answer> {
    const [answer] = (await once(this.#child, "message")) as [Answer];
    if (answer.type === "failed") throw new Error(answer.reason);
    return answer;
  }

  async read(url: string): Promise<Read> {
    this.#order({ type: "read", url });
    const answer = await this.#answer();
    if (answer.type !== "read") throw new Error(`read: ${answer.type}`);
    return answer.read;
  }

  /** How long each of the calls took that were made until `during` was over, ms. */
  async probe<T>(url: string, during: () => Promise<T>): Promise<readonly [T, readonly number[]]> {
    this.#order({ type: "probe", url });
    const result = await during();
    this.#order({ type: "stop-probe" });
    const answer = await this.#answer();
    if (answer.type !== "probed") throw new Error(`probe: ${answer.type}`);
    return [result, answer.latenciesMs];
  }

  stop(): void {
    this.#child.disconnect();
  }
}
