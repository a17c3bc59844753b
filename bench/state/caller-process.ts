// See caller.ts. Ends when its parent lets go of it.
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Answer, Order, Read } from "./caller.ts";

/** Pause between two short calls, ms. */
const PAUSE_MS = 5;

const agent = new Agent({ keepAlive: true });
let probing: AbortController | undefined;

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
  const { signal } = (probing = new AbortController());
  while (!signal.aborted) {
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
      probing?.abort();
      return undefined;
  }
}

process.on("message", (order: Order) => {
  obey(order).then(
    (answer) => answer !== undefined && process.send?.(answer),
    (error: unknown) => process.send?.({ type: "failed", reason: String(error) } satisfies Answer),
  );
});
process.on("disconnect", () => process.exit(0));
