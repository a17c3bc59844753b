// The plane inside workerd, and an agent's socket on it that a test moves by hand.
import { SELF } from "cloudflare:test";
import { toBase64 } from "#base/base64.ts";
import {
  AGENT_SOCKET_PATH,
  MECHANISM,
  parseFrame,
  planeMessageSchema,
  type AgentMessage,
  type PlaneMessage,
} from "#protocol/agent.ts";
import type { Epoch } from "#protocol/ids.ts";
import { clientFinal, clientFirst } from "#protocol/scram.ts";
import { PROTOCOL_VERSION } from "#protocol/version.ts";
import { webScram } from "../../src/durable-objects/principals.ts";
import { SECRETS } from "./secrets.ts";

export const ORIGIN = "http://plane.test:5050";
export const CLUSTER_ID = "0b9f7e9e-6d0e-4d8e-9a51-1f0c6b6f3c11";

type Name = keyof typeof SECRETS;

export function request(path: string, { as, ...init }: RequestInit & { readonly as?: Name } = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (as !== undefined) headers.set("authorization", `Basic ${btoa(`${as}:${SECRETS[as].secret}`)}`);
  return SELF.fetch(`${ORIGIN}${path}`, { redirect: "manual", ...init, headers });
}

export async function initialise(): Promise<void> {
  const response = await request("/mesoflare/init", {
    as: "operator",
    method: "POST",
    body: JSON.stringify({ cluster_id: CLUSTER_ID }),
  });
  if (response.status !== 200) throw new Error(`init: ${response.status} ${await response.text()}`);
}

export class TestSocket {
  readonly #socket: WebSocket;
  readonly #received: PlaneMessage[] = [];
  #closed: { readonly code: number; readonly reason: string } | undefined;
  #wake: () => void = () => undefined;

  static async open(host = 1): Promise<TestSocket> {
    const path = `${AGENT_SOCKET_PATH}/${String(host).padStart(32, "0")}`;
    const response = await request(path, { headers: { upgrade: "websocket" } });
    if (response.webSocket === null) throw new Error(`no socket: ${response.status}`);
    return new TestSocket(response.webSocket);
  }

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.accept();
    socket.addEventListener("message", ({ data }) => {
      const parsed = parseFrame(planeMessageSchema, String(data));
      if (parsed.type === "parsed") this.#received.push(parsed.value);
      this.#wake();
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.#closed = { code, reason };
      this.#wake();
    });
  }

  send(message: AgentMessage): void {
    this.sendRaw(JSON.stringify(message));
  }

  sendRaw(frame: string | ArrayBuffer): void {
    this.#socket.send(frame);
  }

  async #until<T>(look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The next message of this type; others before it are dropped. */
  next<Type extends PlaneMessage["type"]>(type: Type): Promise<Extract<PlaneMessage, { type: Type }>> {
    return this.#until(() => {
      for (let message = this.#received.shift(); message !== undefined; message = this.#received.shift()) {
        if (message.type === type) return message as Extract<PlaneMessage, { type: Type }>;
      }
      if (this.#closed !== undefined) throw new Error(`closed before '${type}': ${this.#closed.reason}`);
      return undefined;
    });
  }

  closed(): Promise<{ readonly code: number; readonly reason: string }> {
    return this.#until(() => this.#closed);
  }

  close(): void {
    this.#socket.close(1000, "done");
  }

  async authenticate(principal = "agent", secret: string = SECRETS.agent.secret, epochSeen = 0): Promise<void> {
    const nonce = toBase64(crypto.getRandomValues(new Uint8Array(18)));
    this.send({
      type: "authenticate",
      protocolVersion: PROTOCOL_VERSION,
      agentVersion: "0.0.0",
      mechanism: MECHANISM,
      clientFirst: clientFirst(principal, nonce),
      epochSeen: epochSeen as Epoch,
    });
    const { serverFirst } = await this.next("authentication-step");
    const final = await clientFinal(webScram, { principal, secret, nonce, serverFirst });
    if (final.type === "refused") throw new Error(final.reason);
    this.send({ type: "authentication-step", clientFinal: final.message });
  }
}

export function register(more: Partial<Extract<AgentMessage, { type: "register" }>> = {}): AgentMessage {
  const scalar = (name: string, value: number) => ({ name, type: "SCALAR" as const, scalar: { value } });
  return {
    type: "register",
    info: { hostname: "host", port: 5051, resources: [scalar("cpus", 2), scalar("mem", 1000)], attributes: [] },
    tasks: [],
    part: 1,
    more: false,
    system: { cpus_total: 2, load_1min: 0, load_5min: 0, load_15min: 0, mem_total_bytes: 1, mem_free_bytes: 1 },
    ...more,
  };
}
