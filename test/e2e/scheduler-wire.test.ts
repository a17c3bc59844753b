// What a client sees on its socket, byte for byte: heads, chunks, and what becomes of one that does not read.
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { PROTOBUF_TYPE, JSON_TYPE } from "#protocol/media-type.ts";
import { fromBinary, toBinary } from "#protocol/mesos-binary.ts";
import { CALL_ITEMS_MAX } from "#protocol/scheduler.ts";
import { TestPlane } from "./harness/plane.ts";
import { onEnd } from "./harness/workspace.ts";

let plane: TestPlane;
beforeEach(async () => {
  plane = await TestPlane.start();
});

const PATH = "/api/v1/scheduler";
const FRAMEWORK = { user: "root", name: "wire", failover_timeout: 600 };
const SUBSCRIBE = { type: "SUBSCRIBE", subscribe: { framework_info: FRAMEWORK } };

interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
}

/** HTTP/1.1 by hand. */
class RawClient {
  readonly socket: Socket;
  #bytes = Buffer.alloc(0);
  #wake: () => void = () => undefined;
  closed = false;

  constructor() {
    this.socket = connect(plane.port, "127.0.0.1");
    this.socket.on("data", (bytes) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#wake();
    });
    for (const event of ["close", "error"]) {
      this.socket.on(event, () => {
        this.closed = true;
        this.#wake();
      });
    }
    onEnd(() => {
      this.socket.destroy();
      return Promise.resolve();
    });
  }

  post(body: string | Uint8Array, headers: Readonly<Record<string, string>>): void {
    const { principal, secret } = plane.context;
    const authorization = `Basic ${Buffer.from(`${principal}:${secret}`).toString("base64")}`;
    const bytes = Buffer.from(body);
    const all = { Host: `127.0.0.1:${plane.port}`, Authorization: authorization, ...headers };
    const lines = Object.entries({ ...all, "Content-Length": String(bytes.length) }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    this.socket.write(Buffer.concat([Buffer.from(`POST ${PATH} HTTP/1.1\r\n${lines.join("")}\r\n`), bytes]));
  }

  async #until(mark: string): Promise<Buffer> {
    for (;;) {
      const at = this.#bytes.indexOf(mark);
      if (at >= 0) return this.#take(at + mark.length).subarray(0, at);
      await this.#more();
    }
  }

  #take(length: number): Buffer {
    const taken = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }

  async #more(): Promise<void> {
    if (this.closed) throw new Error("the connection was closed");
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  async head(): Promise<Head> {
    const [first = "", ...lines] = (await this.#until("\r\n\r\n")).toString("latin1").split("\r\n");
    const headers = lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
    return { status: Number(first.split(" ")[1]), headers: new Map(headers) };
  }

  async chunk(): Promise<Buffer> {
    const length = Number.parseInt((await this.#until("\r\n")).toString("latin1"), 16);
    while (this.#bytes.length < length + 2) await this.#more();
    return this.#take(length + 2).subarray(0, length);
  }
}

/** Length line and payload of a chunk that is one record. */
function payloadOf(chunk: Buffer): Buffer {
  const at = chunk.indexOf("\n");
  const payload = chunk.subarray(at + 1);
  expect(chunk.subarray(0, at).toString("latin1")).toBe(String(payload.length));
  return payload;
}

describe("a subscription on the wire", () => {
  test.each([
    [JSON_TYPE, JSON.stringify(SUBSCRIBE)],
    [PROTOBUF_TYPE, toBinary("scheduler.Call", SUBSCRIBE)],
  ] as const)("%s: chunked, no length, no charset, one record in each chunk", async (type, body) => {
    const client = new RawClient();
    client.post(body, { "Content-Type": type, Accept: type });
    const { status, headers } = await client.head();
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe(type);
    expect(headers.get("transfer-encoding")).toBe("chunked");
    expect(headers.has("content-length")).toBe(false);
    expect(headers.get("content-encoding") ?? "identity").toBe("identity");
    expect(headers.get("mesos-stream-id")).toMatch(/^[0-9a-f-]{36}$/);
    const event = async (): Promise<unknown> => {
      const payload = payloadOf(await client.chunk());
      if (type === JSON_TYPE) return JSON.parse(payload.toString());
      const decoded = fromBinary("scheduler.Event", payload);
      return decoded.type === "plain" ? decoded.value : decoded.reason;
    };
    expect(await event()).toMatchObject({ type: "SUBSCRIBED", subscribed: { master_info: { port: plane.port } } });
    expect(await event()).toEqual({ type: "HEARTBEAT" });
  });

  test("a client that stops reading is cut off, the plane's log says why, and the framework counts as disconnected", async () => {
    const client = new RawClient();
    client.post(JSON.stringify(SUBSCRIBE), { "Content-Type": JSON_TYPE });
    const streamId = (await client.head()).headers.get("mesos-stream-id") ?? "";
    const subscribed = JSON.parse(payloadOf(await client.chunk()).toString()) as {
      subscribed: { framework_id: { value: string } };
    };
    client.socket.pause();
    const { framework_id } = subscribed.subscribed;
    const tasks = Array.from({ length: CALL_ITEMS_MAX }, (_, i) => ({ task_id: { value: `task-${i}` } }));
    const body = JSON.stringify({ type: "RECONCILE", framework_id, reconcile: { tasks } });
    let status = 202;
    for (let calls = 0; status === 202; calls++) {
      // 50,000 records, and what the sockets between us hold.
      expect(calls).toBeLessThan(40);
      const caller = new RawClient();
      caller.post(body, { "Content-Type": JSON_TYPE, "Mesos-Stream-Id": streamId });
      ({ status } = await caller.head());
      caller.socket.destroy();
    }
    expect(status).toBe(403);
    expect(await plane.log()).toMatch(new RegExp(`${streamId}.*reads too slowly`));
    // What was on its way still comes, and then the connection ends.
    client.socket.resume();
    while (!client.closed) await sleep(20);
  });
});

test("a call that is too long is answered, also to a client that writes all of it before it reads", async () => {
  const { principal, secret } = plane.context;
  const headers = {
    authorization: `Basic ${Buffer.from(`${principal}:${secret}`).toString("base64")}`,
    "content-type": JSON_TYPE,
  };
  for (let times = 0; times < 5; times++) {
    const body = `{"type":"SUBSCRIBE","x":"${"y".repeat(5_000_000)}"}`;
    const answer = await fetch(`http://127.0.0.1:${plane.port}/api/v1/scheduler`, { method: "POST", headers, body });
    expect([answer.status, await answer.text()]).toEqual([413, expect.stringContaining("4194304")]);
  }
});
