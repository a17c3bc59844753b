// The heap of a Worker's isolate, by workerd's inspector.
import { once } from "node:events";
import WebSocket from "ws";

interface HeapUsage {
  readonly usedSize: number;
}

export class Inspector {
  readonly #socket: WebSocket;
  #calls = 0;
  readonly #waiting = new Map<number, (result: unknown) => void>();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer) => {
      const { id, result } = JSON.parse(data.toString()) as { readonly id?: number; readonly result?: unknown };
      if (id === undefined) return;
      this.#waiting.get(id)?.(result);
      this.#waiting.delete(id);
    });
  }

  /** Of the Worker whose name ends with this. */
  static async open(port: number, name: string): Promise<Inspector> {
    const response = await fetch(`http://127.0.0.1:${port}/json`);
    const targets = (await response.json()) as { readonly id: string }[];
    const target = targets.find(({ id }) => id.endsWith(name));
    if (target === undefined) throw new Error(`no Worker among ${targets.map(({ id }) => id).join(", ")}`);
    const socket = new WebSocket(`ws://127.0.0.1:${port}/${target.id}`);
    await once(socket, "open");
    return new Inspector(socket);
  }

  #call(method: string): Promise<unknown> {
    const id = ++this.#calls;
    this.#socket.send(JSON.stringify({ id, method }));
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  /** What the heap holds, with what was not collected yet. */
  async usedBytes(): Promise<number> {
    return ((await this.#call("Runtime.getHeapUsage")) as HeapUsage).usedSize;
  }

  close(): void {
    this.#socket.terminate();
  }
}
