// The log's Worker in a process of its own (writer-host.ts), and one WebSocket to it: one message an append.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { freePorts } from "./ports.ts";

const HOST = fileURLToPath(new URL("writer-host.ts", import.meta.url));

export class WriterClient {
  readonly #child: ChildProcess;
  readonly #origin: string;
  readonly #socket: WebSocket;
  readonly #open = new Map<string, { readonly resolve: () => void; readonly reject: (error: Error) => void }>();
  #count = 0;

  private constructor(child: ChildProcess, origin: string, socket: WebSocket) {
    this.#child = child;
    this.#origin = origin;
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      for (const line of String(data).split("\n")) this.#settle(line);
    });
  }

  /** Resolves when the writer is elected and the socket is open. */
  static async start(directory: string): Promise<WriterClient> {
    const [port] = await freePorts(1);
    const child = spawn(process.execPath, [HOST, directory, String(port)], { stdio: ["pipe", "pipe", "inherit"] });
    for await (const line of createInterface({ input: child.stdout })) if (line === "ready") break;
    const origin = `127.0.0.1:${port}`;
    await fetch(`http://${origin}/init`);
    const elected = await fetch(`http://${origin}/elect`);
    if (!elected.ok) throw new Error(await elected.text());
    const socket = new WebSocket(`ws://${origin}/append`);
    await once(socket, "open");
    return new WriterClient(child, origin, socket);
  }

  #settle(line: string): void {
    const space = line.indexOf(" ");
    const id = line.slice(0, space);
    const settled = this.#open.get(id);
    this.#open.delete(id);
    if (/^\d+$/.test(line.slice(space + 1))) settled?.resolve();
    else settled?.reject(new Error(line));
  }

  append(value: string): Promise<void> {
    const id = String(++this.#count);
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject });
      this.#socket.send(`${id} ${value}`);
    });
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(`http://${this.#origin}${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Ends workerd in order: nothing is in flight any more. */
  async stop(): Promise<void> {
    this.#socket.close();
    const exited = once(this.#child, "exit");
    this.#child.stdin?.end();
    await exited;
  }
}
