// Three etcd members on loopback, and a client of the leader that speaks gRPC over one HTTP/2 connection: a Put is one
// stream, as every etcd client makes it. Written by hand because it is one call, and the thinnest client is the fairest peer.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, type ClientHttp2Session } from "node:http2";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePorts } from "./ports.ts";

const MEMBERS = 3;
const READY_MS_MAX = 30_000;

export class Etcd {
  readonly #children: readonly ChildProcess[];
  readonly #session: ClientHttp2Session;

  private constructor(children: readonly ChildProcess[], session: ClientHttp2Session) {
    this.#children = children;
    this.#session = session;
  }

  /** Resolves when a leader answers; the client is connected to it. */
  static async start(directory: string): Promise<Etcd> {
    const ports = await freePorts(2 * MEMBERS);
    const url = (port: number | undefined): string => `http://127.0.0.1:${port}`;
    const members = Array.from({ length: MEMBERS }, (_, i) => ({
      name: `member-${i + 1}`,
      client: url(ports[2 * i]),
      peer: url(ports[2 * i + 1]),
    }));
    const cluster = members.map(({ name, peer }) => `${name}=${peer}`).join(",");
    const children = members.map(({ name, client, peer }) => {
      const flags = {
        name,
        "data-dir": join(directory, name),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": cluster,
        "log-level": "error",
      };
      const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
      return spawn("etcd", args, { stdio: "ignore", env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.arch } });
    });
    try {
      return new Etcd(children, connect(await leaderOf(members.map(({ client }) => client))));
    } catch (error) {
      for (const child of children) child.kill("SIGKILL");
      throw error;
    }
  }

  put(key: string, value: string): Promise<void> {
    const message = Buffer.concat([field(1, key), field(2, value)]);
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    message.copy(frame, 5);
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ":method": "POST",
        ":path": "/etcdserverpb.KV/Put",
        "content-type": "application/grpc",
        te: "trailers",
      });
      let status: unknown;
      stream.on("trailers", (trailers) => (status = trailers["grpc-status"]));
      stream.on("error", reject);
      stream.on("end", () => (status === "0" ? resolve() : reject(new Error(`etcd answered ${String(status)}`))));
      stream.resume();
      stream.end(frame);
    });
  }

  async stop(): Promise<void> {
    this.#session.destroy();
    for (const child of this.#children) {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    }
  }
}

/** The client URL of the member that leads. */
async function leaderOf(urls: readonly string[]): Promise<string> {
  for (const until = Date.now() + READY_MS_MAX; Date.now() < until; await sleep(100)) {
    for (const url of urls) {
      const response = await fetch(`${url}/v3/maintenance/status`, { method: "POST", body: "{}" }).catch(
        () => undefined,
      );
      if (response?.ok !== true) continue;
      const { header, leader } = (await response.json()) as { header: { member_id: string }; leader?: string };
      if (header.member_id === leader) return url;
    }
  }
  throw new Error("etcd elects no leader");
}

/** A length-delimited protobuf field. */
function field(number: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  const length: number[] = [];
  for (let left = bytes.length; ; left >>>= 7) {
    if (left < 128) {
      length.push(left);
      break;
    }
    length.push((left & 127) | 128);
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
}
