// Calls of a plane from a thread of their own: what is measured is the plane, not the thread that holds ten thousand sockets.
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, Worker } from "node:worker_threads";

/** Pause between two short calls, ms. */
const PAUSE_MS = 5;

export interface Read {
  readonly ms: number;
  readonly firstByteMs: number;
  readonly bytes: number;
}

type Order =
  | { readonly type: "read"; readonly url: string }
  | { readonly type: "probe"; readonly url: string }
  | { readonly type: "stop-probe" };
type Answer =
  | { readonly type: "read"; readonly read: Read }
  | { readonly type: "probed"; readonly latenciesMs: readonly number[] }
  | { readonly type: "failed"; readonly reason: string };

/** One thread: reads one long answer at a time, or makes a short call again and again. */
export class Caller {
  readonly #worker = new Worker(new URL(import.meta.url));

  async #answer(): Promise<Answer> {
    const [answer] = (await once(this.#worker, "message")) as [Answer];
    if (answer.type === "failed") throw new Error(answer.reason);
    return answer;
  }

  async read(url: string): Promise<Read> {
    this.#worker.postMessage({ type: "read", url } satisfies Order);
    const answer = await this.#answer();
    if (answer.type !== "read") throw new Error(`read: ${answer.type}`);
    return answer.read;
  }

  /** How long each of the calls took that were made until `during` was over, ms. */
  async probe<T>(url: string, during: () => Promise<T>): Promise<readonly [T, readonly number[]]> {
    this.#worker.postMessage({ type: "probe", url } satisfies Order);
    const result = await during();
    this.#worker.postMessage({ type: "stop-probe" } satisfies Order);
    const answer = await this.#answer();
    if (answer.type !== "probed") throw new Error(`probe: ${answer.type}`);
    return [result, answer.latenciesMs];
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

const agent = new Agent({ keepAlive: true });
let isProbing = false;

async function get(url: string): Promise<Read> {
  const startedAt = performance.now();
  const [response] = (await once(request(url, { agent }).end(), "response")) as [IncomingMessage];
  const firstByteMs = performance.now() - startedAt;
  let bytes = 0;
  response.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await once(response, "end");
  const { statusCode = 0 } = response;
  if (statusCode !== 200 && statusCode !== 307) throw new Error(`${url}: ${statusCode}`);
  return { ms: performance.now() - startedAt, firstByteMs, bytes };
}

async function probe(url: string): Promise<readonly number[]> {
  const latencies: number[] = [];
  isProbing = true;
  while (isProbing) {
    latencies.push((await get(url)).ms);
    await sleep(PAUSE_MS);
  }
  return latencies;
}

async function obey(order: Order): Promise<Answer | undefined> {
  switch (order.type) {
    case "read":
      return { type: "read", read: await get(order.url) };
    case "probe":
      return { type: "probed", latenciesMs: await probe(order.url) };
    case "stop-probe":
      isProbing = false;
      return undefined;
  }
}

parentPort?.on("message", (order: Order) => {
  obey(order).then(
    (answer) => answer !== undefined && parentPort?.postMessage(answer),
    (error: unknown) => parentPort?.postMessage({ type: "failed", reason: String(error) } satisfies Answer),
  );
});
