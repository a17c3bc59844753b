// A shard of agent sockets. It adapts: frames to the session core, the core's effects to sockets and to the master, and the
// master's batches to sockets. It may lose everything at any time; agents reconnect.
import { DurableObject } from "cloudflare:workers";
import { present } from "#base/assert.ts";
import { fromBase64 } from "#base/base64.ts";
import { millis, type Millis } from "#base/time.ts";
import {
  agentMessageSchema,
  FRAME_BYTES_MAX,
  parseFrame,
  PING,
  PONG,
  type AgentMessage,
  type PlaneMessage,
} from "#protocol/agent.ts";
import {
  GATEWAY_BATCH_MAX,
  type Announcement,
  type AnnouncementAnswer,
  type BatchAnswer,
  type DeliveryItem,
  type GatewayBatch,
  type GatewayItem,
  type TunnelAnswer,
  type TunnelRequest,
} from "#protocol/gateway.ts";
import { hostKeyText } from "#protocol/ids.ts";
import { checkProof } from "#protocol/scram.ts";
import * as v from "valibot";
import {
  claimedPrincipal,
  CLOSE_AGAIN,
  CLOSE_POLICY,
  onMessage,
  onPlaneMessage,
  onVerdict,
  openSession,
  overdue,
  type Session,
  type SessionEffect,
  type SocketId,
} from "../agent/session.ts";
import { nextSweep } from "../agent/sweep.ts";
import type { Env } from "./env.ts";
import { challengeFor, principalsOf, webScram } from "./principals.ts";
import { masterStub } from "./peers.ts";

/** How long the plane waits for an agent's answer to a tunnelled request, ms. */
const TUNNEL_TIMEOUT_MS = 10_000;
/** Bytes of frames that may wait for the master; beyond that sockets are told to come again, and updates wait on the agents' disks. */
const QUEUED_BYTES_MAX = 32 * 1024 * 1024;
/** Bytes of one batch: a call between objects has a bound of 32 MiB. */
const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Longest reason in a message: the wire's own bound. */
const REASON_LENGTH_MAX = 1024;
/** How soon a gateway tells its live set again after the master did not take a batch, ms. */
const RETRY_LIVE_MS = 5_000;

export class GatewayDO extends DurableObject<Env> {
  readonly #name: string;
  readonly #queue: { readonly item: GatewayItem; readonly bytes: number }[] = [];
  #queuedBytes = 0;
  #authentications = 0;
  #flushing = false;
  #liveReported = false;
  readonly #tunnels = new Map<
    string,
    { readonly socketId: string; readonly resolve: (answer: TunnelAnswer) => void }
  >();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    // The master answers to this name: a gateway that does not know it would have its answers sent elsewhere.
    this.#name = present(ctx.id.name, "the gateway's name");
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** The Worker passes an agent's upgrade request on; the path ends with the host key. */
  override async fetch(request: Request): Promise<Response> {
    const hostKey = v.safeParse(hostKeyText, new URL(request.url).pathname.split("/").at(-1));
    if (!hostKey.success)
      return new Response("the path ends with the host key: 32 hexadecimal digits", { status: 400 });
    const { 0: client, 1: server } = new WebSocketPair();
    const socketId = crypto.randomUUID() as SocketId;
    this.ctx.acceptWebSocket(server, [socketId]);
    const session = openSession({ socketId, hostKey: hostKey.output, openedAt: now() });
    this.#keep(server, session);
    await this.#setSweep(nextSweep([session], now()));
    return new Response(null, { status: 101, webSocket: client });
  }

  override async webSocketMessage(socket: WebSocket, frame: string | ArrayBuffer): Promise<void> {
    const session = sessionOf(socket);
    if (session === undefined) return socket.close(CLOSE_AGAIN, "unknown session");
    const parsed = typeof frame === "string" ? parseFrame(agentMessageSchema, frame) : undefined;
    if (parsed?.type !== "parsed") {
      const reason = parsed === undefined ? "a frame is text" : parsed.reason;
      this.#apply(socket, session, [{ type: "close", code: CLOSE_POLICY, reason: `bad frame: ${reason}` }]);
      return;
    }
    if (parsed.value.type === "authenticate") this.#authentications++;
    const principal = claimedPrincipal(parsed.value);
    const challenge = principal === undefined ? undefined : await challengeFor(this.env, principal);
    // The look-up took a turn: go on from what the session is now.
    const [next, effects] = onMessage(sessionOf(socket) ?? session, parsed.value, challenge);
    this.#apply(socket, next, effects, typeof frame === "string" ? frame.length : 0);
    for (const effect of effects) if (effect.type === "check-proof") await this.#checkProof(socket, effect);
  }

  async #checkProof(
    socket: WebSocket,
    { exchange, clientFinal }: Extract<SessionEffect, { type: "check-proof" }>,
  ): Promise<void> {
    const known = principalsOf(this.env).principals.find(({ principal }) => principal === exchange.principal);
    // Only agents may register: to a socket, any other principal is as unknown as none.
    const verifier = known?.role === "agent" ? known : undefined;
    const verdict = await checkProof(webScram, exchange, clientFinal, verifier);
    const session = sessionOf(socket);
    if (session === undefined) return;
    const [next, effects] = onVerdict(session, verdict);
    this.#apply(socket, next, effects);
  }

  /** Keeps the session and does its effects, in order. */
  #apply(socket: WebSocket, session: Session, effects: readonly SessionEffect[], frameBytes = 0): void {
    this.#keep(socket, session);
    for (const effect of effects) {
      if (effect.type === "send") send(socket, effect.message);
      else if (effect.type === "close") {
        console.warn(
          JSON.stringify({
            message: "agent socket closed",
            gateway: this.#name,
            host: session.hostKey,
            reason: effect.reason,
          }),
        );
        socket.close(effect.code, clip(effect.reason));
        this.#closed(session);
      } else if (effect.type === "forward") this.#forward(socket, session, effect.message, frameBytes);
      else if (effect.type === "answer-request") this.#answer(effect.message);
    }
  }

  #forward(socket: WebSocket, session: Session, message: AgentMessage, bytes: number): void {
    if (session.state !== "authenticated" && session.state !== "registered") return;
    if (this.#queuedBytes + bytes > QUEUED_BYTES_MAX) {
      socket.close(CLOSE_AGAIN, "the plane is busy");
      this.#closed(session);
      return;
    }
    const { socketId, hostKey, principal, epochSeen } = session;
    this.#enqueue({ type: "message", socketId, hostKey, principal, epochSeen, message }, bytes);
  }

  #closed(session: Session): void {
    for (const { socketId, resolve } of this.#tunnels.values()) {
      if (socketId === session.socketId) resolve({ type: "gone", reason: "the agent's socket closed" });
    }
    if (session.state !== "authenticated" && session.state !== "registered") return;
    this.#enqueue({ type: "closed", socketId: session.socketId }, 0);
  }

  #enqueue(item: GatewayItem, bytes: number): void {
    this.#queue.push({ item, bytes });
    this.#queuedBytes += bytes;
    this.ctx.waitUntil(this.#flush());
  }

  #takeBatch(): GatewayItem[] {
    const items: GatewayItem[] = [];
    let bytes = 0;
    for (let next = this.#queue[0]; next !== undefined && items.length < GATEWAY_BATCH_MAX; next = this.#queue[0]) {
      if (items.length > 0 && bytes + next.bytes > BATCH_BYTES_MAX) break;
      this.#queue.shift();
      items.push(next.item);
      bytes += next.bytes;
    }
    this.#queuedBytes -= bytes;
    return items;
  }

  override webSocketClose(socket: WebSocket): void {
    const session = sessionOf(socket);
    if (session !== undefined) this.#closed(session);
  }

  override webSocketError(socket: WebSocket): void {
    this.webSocketClose(socket);
  }

  /**
   * One call to the master at a time; what comes meanwhile makes the next batch. A live set that is owed goes out even with
   * an empty batch: in a call of its own it could overtake, or be overtaken by, a registration.
   */
  async #flush(): Promise<void> {
    if (this.#flushing) return;
    this.#flushing = true;
    try {
      if (this.#queue.length === 0 && !this.#liveReported) await this.#deliverBatch([]);
      while (this.#queue.length > 0) await this.#deliverBatch(this.#takeBatch());
    } finally {
      this.#flushing = false;
    }
  }

  async #deliverBatch(items: readonly GatewayItem[]): Promise<void> {
    const live = this.#liveReported ? undefined : this.#liveSockets();
    const batch: GatewayBatch = { gateway: this.#name, items, authentications: this.#authentications, live };
    this.#authentications = 0;
    let answer: BatchAnswer;
    try {
      answer = await masterStub(this.env).fromGateway(batch);
    } catch (error) {
      answer = { type: "not-leading", reason: `the master did not answer: ${String(error)}` };
    }
    if (answer.type === "taken") {
      this.#liveReported = true;
      return;
    }
    for (const item of items) {
      if (item.type === "closed") {
        // The next batch that is taken carries the live set, which says the same.
        this.#liveReported = false;
        continue;
      }
      const socket = this.#socket(item.socketId);
      if (socket === undefined) continue;
      if (item.message.type === "register")
        send(socket, { type: "unavailable", reason: answer.reason.slice(0, REASON_LENGTH_MAX) });
      else if (item.message.type !== "statistics") {
        socket.close(CLOSE_AGAIN, clip(answer.reason));
        this.#liveReported = false;
      }
    }
    if (!this.#liveReported) await this.#setSweep(millis(now() + RETRY_LIVE_MS));
  }

  /** A batch from the master. A socket that is gone is skipped: its closing is reported anyway. */
  deliver(items: readonly DeliveryItem[]): void {
    for (const item of items) {
      const socket = this.#socket(item.socketId);
      const session = socket === undefined ? undefined : sessionOf(socket);
      if (socket === undefined || session === undefined) continue;
      if (item.type === "close") {
        socket.close(CLOSE_AGAIN, clip(item.reason));
        continue;
      }
      const next = onPlaneMessage(session, item.message);
      if (next !== session) this.#keep(socket, next);
      if (!send(socket, item.message)) {
        socket.close(CLOSE_AGAIN, "a message for this agent is too long");
        continue;
      }
      if (item.message.type === "refused") socket.close(CLOSE_POLICY, clip(item.message.reason));
    }
  }

  announce({ epoch, known }: Announcement): AnnouncementAnswer {
    const inBooks = new Set(known);
    for (const socket of this.ctx.getWebSockets()) {
      const session = sessionOf(socket);
      if (session?.state !== "registered" || (session.epoch === epoch && inBooks.has(session.socketId))) continue;
      socket.close(CLOSE_AGAIN, "the leader does not have this socket in its books: register again");
    }
    return { live: this.#liveSockets() };
  }

  /** Asks an agent for one of its own GET answers. */
  async tunnel({ socketId, path, range }: TunnelRequest): Promise<TunnelAnswer> {
    const socket = this.#socket(socketId);
    if (socket === undefined) return { type: "gone", reason: "the agent's socket is gone" };
    const requestId = crypto.randomUUID();
    const { promise, resolve } = Promise.withResolvers<TunnelAnswer>();
    const timer = setTimeout(
      () => resolve({ type: "gone", reason: "the agent did not answer in time" }),
      TUNNEL_TIMEOUT_MS,
    );
    this.#tunnels.set(requestId, { socketId, resolve });
    try {
      send(socket, { type: "request", requestId, path, range });
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#tunnels.delete(requestId);
    }
  }

  #answer({ requestId, status, headers, body }: Extract<AgentMessage, { type: "response" }>): void {
    const bytes = fromBase64(body);
    this.#tunnels
      .get(requestId)
      ?.resolve(
        bytes === undefined
          ? { type: "gone", reason: "the agent's answer is not base64" }
          : { type: "answered", status, headers, body: bytes },
      );
  }

  /** Closes sockets that took too long to authenticate or fell silent. Pings are answered by the runtime and wake nobody. */
  override async alarm(): Promise<void> {
    for (const socket of this.ctx.getWebSockets()) {
      const session = sessionOf(socket);
      if (session === undefined) continue;
      const ponged = this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
      const reason = overdue(session, millis(Math.max(ponged, session.openedAt)), now());
      if (reason === undefined) continue;
      send(socket, { type: "authentication-error", reason });
      socket.close(CLOSE_AGAIN, reason);
      this.#closed(session);
    }
    if (!this.#liveReported) await this.#flush();
    const sessions = this.ctx.getWebSockets().flatMap((socket) => sessionOf(socket) ?? []);
    await this.#setSweep(nextSweep(sessions, now()));
  }

  async #setSweep(next: Millis | undefined): Promise<void> {
    if (next === undefined) return;
    const set = await this.ctx.storage.getAlarm();
    if (set === null || set > next) await this.ctx.storage.setAlarm(next);
  }

  #socket(socketId: string): WebSocket | undefined {
    return this.ctx.getWebSockets(socketId).find((socket) => socket.readyState === WebSocket.OPEN);
  }

  #liveSockets(): string[] {
    return this.ctx
      .getWebSockets()
      .filter((socket) => socket.readyState === WebSocket.OPEN)
      .flatMap((socket) => sessionOf(socket)?.socketId ?? []);
  }

  #keep(socket: WebSocket, session: Session): void {
    socket.serializeAttachment(session);
  }
}

const now = (): Millis => millis(Date.now());

/** Written by {@link GatewayDO} only, and by a build that may be one release older. */
function sessionOf(socket: WebSocket): Session | undefined {
  return (socket.deserializeAttachment() as Session | null) ?? undefined;
}

/** False when the message is over the bound of a frame. A socket that closed meanwhile is webSocketClose's business. */
function send(socket: WebSocket, message: PlaneMessage): boolean {
  const frame = JSON.stringify(message);
  // In the worst case a letter takes three bytes; only then is it worth counting them.
  if (frame.length * 3 > FRAME_BYTES_MAX && new TextEncoder().encode(frame).length > FRAME_BYTES_MAX) return false;
  try {
    socket.send(frame);
  } catch {
    // Closed meanwhile.
  }
  return true;
}

/** A close reason may have 123 bytes. */
const clip = (reason: string): string => reason.replace(/[^\x20-\x7e]/g, "?").slice(0, 120);
