// A shard of agent sockets. It adapts: frames to the session core, the core's effects to sockets and to the master, and the
// master's batches to sockets. It may lose everything at any time; agents reconnect.
import { DurableObject } from "cloudflare:workers";
import { present } from "#base/assert.ts";
import { fromBase64 } from "#base/base64.ts";
import { millis, type Millis } from "#base/time.ts";
import { backoffMs } from "#base/backoff.ts";
import {
  agentMessageSchema,
  FRAME_BYTES_MAX,
  parseFrame,
  PING,
  PONG,
  type AgentMessage,
  type PlaneMessage,
} from "#protocol/agent.ts";
import type {
  Announcement,
  AnnouncementAnswer,
  BatchAnswer,
  DeliveryItem,
  GatewayBatch,
  GatewayItem,
  TunnelAnswer,
  TunnelRequest,
} from "#protocol/gateway.ts";
import { hostKeyText, type Epoch } from "#protocol/ids.ts";
import { checkProof } from "#protocol/scram.ts";
import * as v from "valibot";
import {
  enqueue,
  hearOf,
  isOutdated,
  newGateway,
  onNotTaken,
  onTaken,
  OVERLOADED,
  RETRY_LIVE_MS,
  takeBatch,
  takeCheckIn,
  type Gateway,
} from "../agent/gateway.ts";
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
import { ringBy } from "./alarm.ts";
import type { Env } from "./env.ts";
import type { KnownLeader } from "#protocol/leadership.ts";
import { LeaderFinder } from "../master/leader-finder.ts";
import { note } from "./note.ts";
import { type Master, masterStub } from "./peers.ts";
import { challengeFor, principalsOf, webScram } from "./principals.ts";
import { settingsOf } from "./settings.ts";

/** How long the plane waits for an agent's answer to a tunnelled request, ms. */
const TUNNEL_TIMEOUT_MS = 10_000;
/** Longest reason in a message: the wire's own bound. */
const REASON_LENGTH_MAX = 1024;
/** In the object's storage while the master has heard the live set of this incarnation: a wake from hibernation is no new one. */
const LIVE_TOLD = "live-told";
/** The number of this incarnation. */
const INCARNATION = "incarnation";
/** And the leader that was known last, so that a wake does not begin with asking the first candidate. */
const LEADER = "leader";

/** Shortest pause before what is owed is told again, ms. */
const RETRY_PAUSE_MS = 1_000;

const random = { next: () => Math.random() };

export class GatewayDO extends DurableObject<Env> {
  readonly #gateway: Gateway;
  readonly #leader: LeaderFinder<Master>;
  readonly #silenceMs: number;
  #flushing = false;
  /** When what is owed is to be told again, if the master did not take it. */
  #retryAt: Millis | undefined;
  readonly #tunnels = new Map<
    string,
    { readonly socketId: string; readonly resolve: (answer: TunnelAnswer) => void }
  >();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { candidates, socketSilenceMs } = settingsOf(env);
    this.#silenceMs = socketSilenceMs;
    const { kv } = ctx.storage;
    this.#leader = new LeaderFinder({
      candidates,
      stub: (name) => masterStub(env, name),
      now,
      remembered: kv.get<KnownLeader>(LEADER),
      onLearned: (leader) => kv.put(LEADER, leader),
    });
    const sessions = ctx.getWebSockets().flatMap((socket) => sessionOf(socket) ?? []);
    // Sockets survive hibernation and nothing else: without any, whatever an earlier incarnation told is no longer true.
    const isTold = kv.get(LIVE_TOLD) === true;
    if (isTold && sessions.length === 0) kv.delete(LIVE_TOLD);
    const owesLive = !isTold || sessions.length === 0;
    const incarnation = (kv.get<number>(INCARNATION) ?? 0) + (owesLive ? 1 : 0);
    if (owesLive) kv.put(INCARNATION, incarnation);
    // The master answers to this name: a gateway that does not know it would have its answers sent elsewhere.
    this.#gateway = newGateway(present(ctx.id.name, "the gateway's name"), {
      incarnation,
      owesLive,
      sessions,
      epoch: this.#leader.known.epoch,
    });
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
    if (parsed.value.type === "authenticate") this.#gateway.authentications++;
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
        this.#note("agent socket closed", { host: session.hostKey, reason: effect.reason });
        socket.close(effect.code, clip(effect.reason));
        this.#closed(session);
      } else if (effect.type === "forward") this.#forward(socket, session, effect.message, frameBytes);
      else if (effect.type === "answer-request") this.#answer(effect.message);
    }
  }

  #forward(socket: WebSocket, session: Session, message: AgentMessage, bytes: number): void {
    if (session.state !== "authenticated" && session.state !== "registered") return;
    const { socketId, hostKey, principal, epochSeen } = session;
    if (this.#enqueue({ type: "message", socketId, hostKey, principal, epochSeen, message }, bytes)) return;
    socket.close(CLOSE_AGAIN, "the plane is busy");
    this.#closed(session);
  }

  #closed(session: Session, silentSince?: Millis): void {
    for (const { socketId, resolve } of this.#tunnels.values()) {
      if (socketId === session.socketId) resolve({ type: "gone", reason: "the agent's socket closed" });
    }
    if (session.state !== "authenticated" && session.state !== "registered") return;
    const closing = { type: "closed", socketId: session.socketId } as const;
    this.#enqueue(silentSince === undefined ? closing : { ...closing, silentSince }, 0);
  }

  #enqueue(item: GatewayItem, bytes: number): boolean {
    const isTaken = enqueue(this.#gateway, item, bytes);
    if (isTaken) this.ctx.waitUntil(this.#flush());
    return isTaken;
  }

  #note(message: string, details: Readonly<Record<string, unknown>>): void {
    note(message, { gateway: this.#gateway.name, ...details });
  }

  override webSocketClose(socket: WebSocket): void {
    const session = sessionOf(socket);
    if (session !== undefined) this.#closed(session);
  }

  override webSocketError(socket: WebSocket): void {
    this.webSocketClose(socket);
  }

  /** One call to the master at a time; what comes meanwhile makes the next batch. */
  async #flush({ retry = false } = {}): Promise<void> {
    if (this.#flushing) return;
    this.#flushing = true;
    try {
      const take = (again: boolean) => takeBatch(this.#gateway, () => this.#liveSockets(), { retry: again });
      for (let batch = take(retry); batch !== undefined; batch = take(false)) await this.#deliverBatch(batch);
    } finally {
      this.#flushing = false;
    }
    if (this.#retryAt !== undefined) await this.#setSweep(this.#retryAt);
  }

  async #deliverBatch(batch: GatewayBatch): Promise<void> {
    const answer = await this.#give(batch);
    if (answer.type === "taken") {
      onTaken(this.#gateway, batch, answer.epoch);
      this.#retryAt = undefined;
      if (batch.live !== undefined) this.ctx.storage.kv.put(LIVE_TOLD, true);
      return;
    }
    const { kv } = this.ctx.storage;
    if (kv.get(LIVE_TOLD) === true) kv.delete(LIVE_TOLD);
    for (const { socketId, what } of onNotTaken(this.#gateway, batch)) {
      const socket = this.#socket(socketId);
      if (socket === undefined) continue;
      if (what === "close") socket.close(CLOSE_AGAIN, clip(answer.reason));
      else send(socket, { type: "unavailable", reason: answer.reason.slice(0, REASON_LENGTH_MAX) });
    }
    this.#retryAt = millis(now() + RETRY_LIVE_MS);
  }

  /** An overloaded master gets the batch again after a pause: closing a thousand sockets would only make it busier [G11]. */
  async #give(batch: GatewayBatch): Promise<BatchAnswer> {
    for (let attempt = 0; ; attempt++) {
      const answer = await this.#leader.write((master) => master.fromGateway(batch));
      const isBusy = answer.type === "not-leading" && "overloaded" in answer && answer.overloaded === true;
      if (!isBusy || attempt === OVERLOADED.attemptsMax) return answer;
      await scheduler.wait(backoffMs(random, attempt, OVERLOADED));
    }
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
      const passed = onPlaneMessage(session, item.message);
      if (passed.session !== session) this.#keep(socket, passed.session);
      if (!send(socket, passed.message)) {
        socket.close(CLOSE_AGAIN, "a message for this agent is too long");
        // The master believes it to be there, and an agent that is gone would never answer our closing.
        this.#closed(passed.session);
      } else if (passed.closing !== undefined) socket.close(CLOSE_POLICY, clip(passed.closing));
    }
  }

  announce({ epoch, candidate, known }: Announcement): AnnouncementAnswer {
    hearOf(this.#gateway, this.#leader.known.epoch);
    // [G15] Who announces this was deposed, and does not know it yet.
    if (epoch < this.#gateway.epoch) {
      return { live: this.#liveSockets(), newer: { ...this.#leader.known, epoch: this.#gateway.epoch } };
    }
    hearOf(this.#gateway, epoch);
    if (candidate !== undefined) this.#leader.learn({ candidate, epoch });
    const inBooks = new Set(known);
    for (const [socket, session] of this.#sockets()) {
      if (session.state !== "registered" || (session.epoch === epoch && inBooks.has(session.socketId))) continue;
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

  /**
   * The sweep: closes sockets that took too long to authenticate or fell silent, tells what is owed, and once a minute asks who
   * leads. Pings are answered by the runtime and wake nobody.
   */
  override async alarm(): Promise<void> {
    for (const [socket, session] of this.#sockets()) {
      const ponged = this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0;
      const lastHeard = millis(Math.max(ponged, session.openedAt));
      const late = overdue(session, { lastHeard, silenceMs: this.#silenceMs, now: now() });
      if (late === undefined) continue;
      send(socket, { type: "authentication-error", reason: late.reason });
      socket.close(CLOSE_AGAIN, late.reason);
      this.#closed(session, late.silentSince);
    }
    await this.#flush({ retry: true });
    const sessions = this.#sockets().map(([, session]) => session);
    if (sessions.length > 0 && takeCheckIn(this.#gateway, now())) await this.#checkIn();
    const next = nextSweep(
      this.#sockets().map(([, session]) => session),
      now(),
    );
    // A retry that is due now waits for a call that is under way.
    const retryAt = this.#retryAt === undefined ? undefined : Math.max(this.#retryAt, now() + RETRY_PAUSE_MS);
    const due = [next, retryAt].filter((at) => at !== undefined);
    if (due.length > 0) await this.#setSweep(millis(Math.min(...due)));
  }

  /** [G16] A new leader may not have reached us, and its predecessor's agents would stay silent for ever. */
  async #checkIn(): Promise<void> {
    const { name: gateway, incarnation, epoch: epochKnown } = this.#gateway;
    const sockets = this.#sockets().filter(([, session]) => session.state === "registered").length;
    const answer = await this.#leader.read((master) => master.checkIn({ gateway, incarnation, epochKnown, sockets }));
    if (answer.type === "not-leading") return;
    this.#closeOutdated(answer.epoch);
    if (!answer.tellLive) return;
    this.#gateway.owesLive = true;
    await this.#flush({ retry: true });
  }

  #closeOutdated(epoch: Epoch): void {
    hearOf(this.#gateway, epoch);
    for (const [socket, session] of this.#sockets()) {
      if (isOutdated(this.#gateway, session)) socket.close(CLOSE_AGAIN, "another master leads: register again");
    }
  }

  async #setSweep(next: Millis | undefined): Promise<void> {
    if (next !== undefined) await ringBy(this.ctx.storage, next);
  }

  #socket(socketId: string): WebSocket | undefined {
    return this.ctx.getWebSockets(socketId).find((socket) => socket.readyState === WebSocket.OPEN);
  }

  /** Those that are open, each with its session. */
  #sockets(): (readonly [WebSocket, Session])[] {
    return this.ctx.getWebSockets().flatMap((socket) => {
      const session = socket.readyState === WebSocket.OPEN ? sessionOf(socket) : undefined;
      return session === undefined ? [] : [[socket, session] as const];
    });
  }

  #liveSockets(): string[] {
    return this.#sockets().map(([, { socketId }]) => socketId);
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
