// The shell of session.ts: one WebSocket at a time, one timer, and the proof. It decides nothing.
import { randomBytes } from "node:crypto";
import * as v from "valibot";
import WebSocket from "ws";
import { unreachable } from "#base/assert.ts";
import type { Random } from "#base/random.ts";
import type { Millis } from "#base/time.ts";
import {
  AGENT_SOCKET_PATH,
  type AgentMessage,
  FRAME_BYTES_MAX,
  parseFrame,
  PING,
  planeMessageSchema,
  PONG,
} from "#protocol/agent.ts";
import type { Credential } from "#protocol/credentials.ts";
import type { HostKey } from "#protocol/ids.ts";
import { clientFinal } from "#protocol/scram.ts";
import { errorText } from "../checkpoint/durable-file.ts";
import type { Registration } from "../checkpoint/state.ts";
import type { Log } from "../log.ts";
import { nodeScramCrypto } from "./node-crypto.ts";
import {
  type Context,
  type Effect,
  type Input,
  nextWake,
  NOT_STARTED,
  type Session,
  step,
  type StopReason,
  type Traffic,
} from "./session.ts";

/** Most that may wait in the socket's send buffer, bytes: a plane that does not read is a plane that is gone. */
const BUFFERED_BYTES_MAX = 16 * FRAME_BYTES_MAX;

type Known = Pick<Context, "epochSeen" | "agentId" | "clusterId">;

export interface ConnectionOptions {
  readonly plane: string;
  readonly hostKey: HostKey;
  readonly credential: Credential;
  readonly log: Log;
  /** What the checkpoint says of this agent now. */
  readonly known: () => Known;
  /**
   * What `register` says. It waits for whatever orders are still being taken: a launch that is acted upon after the report
   * was made would run although the plane, not finding it there, calls it dropped.
   */
  readonly registerMessages: () => Promise<readonly AgentMessage[]>;
  readonly onRegistered: (registration: Registration) => void;
  readonly onTraffic: (message: Traffic) => void;
  readonly onStopped: (why: StopReason) => void;
  readonly random?: Random;
}

/** The socket's address for a plane's URL: http becomes ws, https wss, and a path in front is kept. */
export function socketUrl(plane: string, hostKey: HostKey): string {
  const url = new URL(plane);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.pathname = `${url.pathname.replace(/\/+$/, "")}${AGENT_SOCKET_PATH}/${hostKey}`;
  return url.toString();
}

/** What is there even of a request whose path or range is refused. */
const askedSchema = v.object({ type: v.literal("request"), requestId: v.pipe(v.string(), v.maxLength(64)) });

/** What one text frame is to the session. */
export function inputOf(text: string): Input {
  if (text === PONG) return { type: "pong" };
  const parsed = parseFrame(planeMessageSchema, text);
  if (parsed.type === "parsed") return { type: "message", message: parsed.value };
  const asked = parseFrame(askedSchema, text);
  if (asked.type === "refused") return { type: "garbage", reason: parsed.reason };
  return { type: "bad-request", requestId: asked.value.requestId, reason: parsed.reason };
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #crypto = nodeScramCrypto();
  readonly #random: Random;
  #session: Session = NOT_STARTED;
  #socket: WebSocket | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#random = options.random ?? { next: Math.random };
  }

  start(): void {
    this.#step({ type: "start" });
  }

  stop(): void {
    this.#step({ type: "stop" });
  }

  /** Ends this connection and begins anew, e.g. when a registration could not be checkpointed. */
  giveUp(reason: string): void {
    this.#step({ type: "give-up", reason });
  }

  /** The registration under which messages may be sent now. */
  get registration(): Registration | undefined {
    return this.#session.state === "registered" ? this.#session.registration : undefined;
  }

  get state(): Session["state"] {
    return this.#session.state;
  }

  /** Sends a message of a registered agent; without a registration it is dropped, as whatever it says is said again then. */
  send(message: AgentMessage): void {
    if (this.#session.state === "registered") this.#send(message);
  }

  #send(message: AgentMessage): void {
    const socket = this.#socket;
    if (socket === undefined || socket.readyState !== WebSocket.OPEN) return;
    socket.send(JSON.stringify(message));
    if (socket.bufferedAmount > BUFFERED_BYTES_MAX) this.giveUp("the plane does not read what this agent sends");
  }

  #step(input: Input): void {
    const [session, effects] = step(this.#session, input, {
      now: Date.now() as Millis,
      random: this.#random,
      principal: this.#options.credential.principal,
      nonce: randomBytes(24).toString("base64"),
      ...this.#options.known(),
    });
    this.#session = session;
    for (const effect of effects) this.#do(effect);
    clearTimeout(this.#timer);
    const wake = nextWake(this.#session);
    if (wake !== undefined)
      this.#timer = setTimeout(() => this.#step({ type: "tick" }), Math.max(0, wake - Date.now()) + 1);
  }

  #do(effect: Effect): void {
    switch (effect.type) {
      case "open":
        return this.#open();
      case "close":
        return this.#close();
      case "send":
        return this.#send(effect.message);
      case "ping":
        return this.#socket?.readyState === WebSocket.OPEN ? this.#socket.send(PING) : undefined;
      case "make-proof":
        return void this.#prove(effect.nonce, effect.serverFirst);
      case "register":
        return void this.#register();
      case "registered":
        return this.#options.onRegistered(effect.registration);
      case "traffic":
        return this.#options.onTraffic(effect.message);
      case "log":
        return this.#options.log[effect.level](effect.text);
      case "stopped":
        return this.#options.onStopped(effect.why);
      default:
        return unreachable(effect);
    }
  }

  #open(): void {
    this.#close();
    const { plane, hostKey } = this.#options;
    const socket = new WebSocket(socketUrl(plane, hostKey), {
      maxPayload: 2 * FRAME_BYTES_MAX, // characters are bounded by parseFrame; in bytes they may be more
      perMessageDeflate: false,
      followRedirects: false,
    });
    this.#socket = socket;
    // A socket that was replaced may still have something to say: it is not listened to.
    const current = (input: Input): void => {
      if (this.#socket === socket) this.#step(input);
    };
    let failure: string | undefined;
    socket.on("open", () => current({ type: "opened" }));
    socket.on("error", (error) => (failure = errorText(error) || errorText(error.cause)));
    socket.on("close", (code, reason) =>
      current({ type: "closed", reason: failure ?? `closed with ${code} ${reason.toString()}`.trim() }),
    );
    socket.on("message", (data, isBinary) => {
      // `ws` gives text frames as one Buffer unless asked otherwise.
      if (isBinary || !Buffer.isBuffer(data)) return current({ type: "garbage", reason: "a binary frame" });
      current(inputOf(data.toString()));
    });
  }

  #close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    if (socket.readyState === WebSocket.CONNECTING) return socket.terminate();
    socket.close(1000);
    // A peer that does not answer the close keeps the descriptor open otherwise.
    setTimeout(() => socket.terminate(), 2_000).unref();
  }

  async #register(): Promise<void> {
    const socket = this.#socket;
    const messages = await this.#options.registerMessages();
    if (this.#socket !== socket || this.#session.state !== "registering") return;
    for (const message of messages) this.#send(message);
  }

  async #prove(nonce: string, serverFirst: string): Promise<void> {
    const { principal, secret } = this.#options.credential;
    const proof = await clientFinal(this.#crypto, { principal, secret, nonce, serverFirst });
    this.#step(
      proof.type === "refused"
        ? { type: "no-proof", nonce, reason: proof.reason }
        : { type: "proof", nonce, clientFinal: proof.message, serverFinal: proof.serverFinal },
    );
  }
}
