// One agent's connection to the plane, as a state machine: when to open, authenticate, register, ping, give up and try
// again. The socket, the clock, randomness and the proof's arithmetic are the shell's.
//
//   waiting → connecting → authenticating → registering → registered      any failure: back to waiting, longer each time
//                                                                          failed authentication, refusal, removal: stopped
import { unreachable } from "#base/assert.ts";
import { backoffMs } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import type { Millis } from "#base/time.ts";
import {
  type AgentMessage,
  AUTHENTICATION_TIMEOUT_MS,
  MECHANISM,
  PING_INTERVAL_MS,
  type PlaneMessage,
  SILENCE_MS,
} from "#protocol/agent.ts";
import type { AgentId, ClusterId, Epoch } from "#protocol/ids.ts";
import { clientFirst } from "#protocol/scram.ts";
import { MESOFLARE_VERSION, PROTOCOL_VERSION } from "#protocol/version.ts";
import type { Registration, Removal } from "../checkpoint/state.ts";

/** Pause before the next attempt: the first is short, so that a plane that was only redeployed is found again at once. */
export const RECONNECT_BACKOFF = { firstMs: 250, maxMs: 30_000 } as const;
/** Time for name resolution, TCP, TLS and the upgrade, ms. */
export const CONNECT_TIMEOUT_MS = 15_000;
/**
 * Longest time for the authentication exchange, ms: it begins at AUTHENTICATION_TIMEOUT_MS and doubles with each attempt. A plane
 * that ten thousand agents come back to at once needs longer than the first; giving up then makes it begin again for all of them,
 * and none is ever done. Source: Mesos authentication_timeout_max.
 */
export const AUTHENTICATION_TIMEOUT_MS_MAX = 60_000;
/** Time that a plane has to answer `register` with anything, ms. */
export const REGISTRATION_TIMEOUT_MS = 60_000;

/** Pings in the time that the plane allows for silence. Source: Mesos max_agent_ping_timeouts. */
const PINGS_IN_SILENCE = 5;

/** What becomes of the traffic of a registered agent is not decided here. */
export type Traffic = Extract<
  PlaneMessage,
  { readonly type: "orders" | "acknowledge" | "acknowledge-operations" | "executor-message" | "request" }
>;

export type StopReason =
  | { readonly type: "credential-refused"; readonly reason: string }
  | { readonly type: "refused"; readonly reason: string }
  /** The registry no longer has this agent: its tasks and its id end. */
  | ({ readonly type: "removed" } & Removal)
  | { readonly type: "asked" };

export type Session =
  | { readonly state: "waiting"; readonly attempt: number; readonly until: Millis }
  | { readonly state: "connecting"; readonly attempt: number; readonly until: Millis }
  | {
      readonly state: "authenticating";
      readonly attempt: number;
      readonly until: Millis;
      readonly nonce: string;
      /** What the server must answer to our proof; undefined until the proof was made. */
      readonly serverFinal: string | undefined;
    }
  /** `retryAt` is set while `register` waits to be sent again. */
  | ({
      readonly state: "registering";
      readonly attempt: number;
      readonly until: Millis;
      readonly retryAt: Millis | undefined;
    } & Liveness)
  | ({ readonly state: "registered"; readonly registration: Registration } & Liveness)
  | { readonly state: "stopped"; readonly why: StopReason };

interface Liveness {
  readonly pingAt: Millis;
  readonly heardAt: Millis;
  /** What the plane allows, ms; its default until it has said. */
  readonly silenceMs: number;
}

export type Input =
  | { readonly type: "start" }
  | { readonly type: "opened" }
  | { readonly type: "closed"; readonly reason: string }
  | { readonly type: "message"; readonly message: PlaneMessage }
  | { readonly type: "garbage"; readonly reason: string }
  /** A request that cannot be read further than its id: somebody waits for an answer. */
  | { readonly type: "bad-request"; readonly requestId: string; readonly reason: string }
  | { readonly type: "pong" }
  /** The proof for a server-first message is made, or that message was refused. */
  | { readonly type: "proof"; readonly nonce: string; readonly clientFinal: string; readonly serverFinal: string }
  | { readonly type: "no-proof"; readonly nonce: string; readonly reason: string }
  /** What was agreed could not be kept, e.g. on a full disk: start over. */
  | { readonly type: "give-up"; readonly reason: string }
  | { readonly type: "tick" }
  | { readonly type: "stop" };

export type Effect =
  | { readonly type: "open" }
  | { readonly type: "close" }
  | { readonly type: "send"; readonly message: AgentMessage }
  | { readonly type: "ping" }
  | { readonly type: "make-proof"; readonly nonce: string; readonly serverFirst: string }
  /** Send `register` with everything this agent has. */
  | { readonly type: "register" }
  | { readonly type: "registered"; readonly registration: Registration }
  | { readonly type: "traffic"; readonly message: Traffic }
  | { readonly type: "log"; readonly level: "info" | "warn" | "debug"; readonly text: string }
  | { readonly type: "stopped"; readonly why: StopReason };

export type Step = readonly [session: Session, effects: readonly Effect[]];

export interface Context {
  readonly now: Millis;
  readonly random: Random;
  readonly principal: string;
  /** Fresh, for an authentication that begins in this step. */
  readonly nonce: string;
  readonly epochSeen: Epoch;
  /** Whom this agent registers as; undefined for one that was never admitted. */
  readonly agentId: AgentId | undefined;
  /** The cluster that gave that id, as far as it is known. */
  readonly clusterId: ClusterId | undefined;
  /** How often to ping, ms; the wire's own interval for every real agent. */
  readonly pingIntervalMs?: number;
}

export const NOT_STARTED: Session = { state: "waiting", attempt: 0, until: Number.POSITIVE_INFINITY as Millis };

export function step(session: Session, input: Input, context: Context): Step {
  if (session.state === "stopped") return [session, []];
  switch (input.type) {
    case "start":
      return connect(0, context);
    case "stop":
      return stop({ type: "asked" });
    case "closed":
      return session.state === "waiting"
        ? [session, []]
        : [pause(session, context), [log("warn", closedText(session, input.reason))]];
    case "garbage":
      return giveUp(session, context, `the plane sent something that is no message of this version: ${input.reason}`);
    case "bad-request":
      return onBadRequest(heard(session, context), input);
    case "give-up":
      return session.state === "waiting" ? [session, []] : giveUp(session, context, input.reason);
    case "tick":
      return onTick(session, context);
    case "opened":
      return session.state === "connecting" ? authenticate(session.attempt, context) : [session, []];
    case "pong":
      return [heard(session, context), []];
    case "proof":
    case "no-proof":
      return onProof(session, input, context);
    case "message":
      return onMessage(heard(session, context), input.message, context);
    default:
      return unreachable(input);
  }
}

/** When the next `tick` is due. */
export function nextWake(session: Session): Millis | undefined {
  switch (session.state) {
    case "waiting":
    case "connecting":
    case "authenticating":
      return Number.isFinite(session.until) ? session.until : undefined;
    case "registering":
      return earliest(session.retryAt ?? session.until, session.pingAt, later(session.heardAt, session.silenceMs));
    case "registered":
      return earliest(session.pingAt, later(session.heardAt, session.silenceMs));
    case "stopped":
      return undefined;
    default:
      return unreachable(session);
  }
}

const earliest = (...times: readonly Millis[]): Millis => Math.min(...times) as Millis;
const later = (time: Millis, ms: number): Millis => (time + ms) as Millis;
const log = (level: "info" | "warn" | "debug", text: string): Effect => ({ type: "log", level, text });

function connect(attempt: number, { now }: Context): Step {
  return [{ state: "connecting", attempt, until: later(now, CONNECT_TIMEOUT_MS) }, [{ type: "open" }]];
}

function pause(session: Session, { now, random }: Context): Session {
  // A registered agent starts anew at the shortest pause; a plane that takes sockets but no agents is asked ever less.
  const attempt = "attempt" in session ? session.attempt : 0;
  return { state: "waiting", attempt: attempt + 1, until: later(now, backoffMs(random, attempt, RECONNECT_BACKOFF)) };
}

const closedText = ({ state }: Session, reason: string): string =>
  `${state === "connecting" ? "the plane cannot be reached" : "the connection to the plane was closed"}: ${reason}`;

function giveUp(session: Session, context: Context, reason: string): Step {
  return [pause(session, context), [log("warn", reason), { type: "close" }]];
}

function stop(why: StopReason): Step {
  return [{ state: "stopped", why }, [{ type: "close" }, { type: "stopped", why }]];
}

function heard(session: Session, { now }: Context): Session {
  return session.state === "registering" || session.state === "registered" ? { ...session, heardAt: now } : session;
}

function authenticate(attempt: number, { now, nonce, principal, epochSeen }: Context): Step {
  const message: AgentMessage = {
    type: "authenticate",
    protocolVersion: PROTOCOL_VERSION,
    agentVersion: MESOFLARE_VERSION,
    mechanism: MECHANISM,
    clientFirst: clientFirst(principal, nonce),
    epochSeen,
  };
  const until = later(now, Math.min(AUTHENTICATION_TIMEOUT_MS_MAX, AUTHENTICATION_TIMEOUT_MS * 2 ** attempt));
  return [{ state: "authenticating", attempt, until, nonce, serverFinal: undefined }, [{ type: "send", message }]];
}

function onTick(session: Session, context: Context): Step {
  const { now } = context;
  switch (session.state) {
    case "waiting":
      return now >= session.until ? connect(session.attempt, context) : [session, []];
    case "connecting":
      return now >= session.until ? giveUp(session, context, "the plane did not answer in time") : [session, []];
    case "authenticating":
      return now >= session.until ? giveUp(session, context, "authentication took too long") : [session, []];
    case "registering":
    case "registered": {
      if (now - session.heardAt >= session.silenceMs)
        return giveUp(session, context, "the plane has been silent for too long");
      if (session.state === "registering" && session.retryAt !== undefined && now >= session.retryAt)
        return register(session, context);
      if (session.state === "registering" && session.retryAt === undefined && now >= session.until)
        return giveUp(session, context, "the plane did not answer the registration in time");
      if (now < session.pingAt) return [session, []];
      return [{ ...session, pingAt: nextPing(context, session.silenceMs) }, [{ type: "ping" }]];
    }
    case "stopped":
      return [session, []];
    default:
      return unreachable(session);
  }
}

/** Between 80 % and 100 % of the interval, so that agents that connected together do not ping together. */
const nextPing = ({ now, random, pingIntervalMs = PING_INTERVAL_MS }: Context, silenceMs: number): Millis =>
  later(now, Math.min(pingIntervalMs, silenceMs / PINGS_IN_SILENCE) * (0.8 + 0.2 * random.next()));

function register(session: { readonly attempt: number }, context: Context): Step {
  const { now } = context;
  const liveness = { pingAt: nextPing(context, SILENCE_MS), heardAt: now, silenceMs: SILENCE_MS };
  const until = later(now, REGISTRATION_TIMEOUT_MS);
  return [
    { state: "registering", attempt: session.attempt, until, retryAt: undefined, ...liveness },
    [{ type: "register" }],
  ];
}

function onProof(
  session: Session,
  input: Extract<Input, { readonly type: "proof" | "no-proof" }>,
  context: Context,
): Step {
  // The proof took time: the exchange it belongs to may be over.
  if (session.state !== "authenticating" || session.nonce !== input.nonce) return [session, []];
  if (input.type === "no-proof") return giveUp(session, context, `authentication: ${input.reason}`);
  const message: AgentMessage = { type: "authentication-step", clientFinal: input.clientFinal };
  return [{ ...session, serverFinal: input.serverFinal }, [{ type: "send", message }]];
}

/** What somebody asked for through the plane costs no agent its connection. */
function onBadRequest(session: Session, { requestId, reason }: Extract<Input, { readonly type: "bad-request" }>): Step {
  if (session.state !== "registered") return [session, [log("debug", "'request' before registration is dropped")]];
  const body = btoa(`Bad request: ${reason}\n`.replaceAll(/[^\x20-\x7e\n]/g, "?"));
  const headers = { "content-type": "text/plain; charset=utf-8" };
  return [session, [{ type: "send", message: { type: "response", requestId, status: 400, headers, body } }]];
}

function onMessage(session: Session, message: PlaneMessage, context: Context): Step {
  switch (message.type) {
    case "authentication-step": {
      if (session.state !== "authenticating" || session.serverFinal !== undefined)
        return unexpected(session, message, context);
      return [session, [{ type: "make-proof", nonce: session.nonce, serverFirst: message.serverFirst }]];
    }
    case "authenticated": {
      if (session.state !== "authenticating" || session.serverFinal === undefined)
        return unexpected(session, message, context);
      // A server that does not know the secret cannot make this: it is not our plane, and must not have our tasks.
      if (message.serverFinal !== session.serverFinal)
        return giveUp(session, context, "whatever answers there does not know this agent's credential");
      return register(session, context);
    }
    case "authentication-failed":
      return stop({ type: "credential-refused", reason: message.reason });
    case "authentication-error":
      return giveUp(session, context, `authentication is not possible now: ${message.reason}`);
    case "refused":
      return stop({ type: "refused", reason: message.reason });
    case "unavailable": {
      if (session.state !== "registering" && session.state !== "registered")
        return giveUp(session, context, message.reason);
      const attempt = session.state === "registering" ? session.attempt : 0;
      const retryAt = later(context.now, backoffMs(context.random, attempt, RECONNECT_BACKOFF));
      const { pingAt, heardAt, silenceMs } = session;
      return [
        { state: "registering", attempt: attempt + 1, until: retryAt, retryAt, pingAt, heardAt, silenceMs },
        [log("warn", `the plane cannot register this agent now: ${message.reason}`)],
      ];
    }
    case "registered":
      return onRegistered(session, message, context);
    case "shutdown":
      return onShutdown(session, message, context);
    case "orders":
    case "acknowledge":
    case "acknowledge-operations":
    case "executor-message":
    case "request":
      return session.state === "registered"
        ? [session, [{ type: "traffic", message }]]
        : [session, [log("debug", `'${message.type}' before registration is dropped`)]];
    default:
      return unreachable(message);
  }
}

function onRegistered(
  session: Session,
  {
    agentId,
    epoch,
    session: id,
    clusterId,
    silenceMs = SILENCE_MS,
  }: Extract<PlaneMessage, { readonly type: "registered" }>,
  context: Context,
): Step {
  if (session.state === "registered") {
    const { registration } = session;
    if (registration.session === id && registration.epoch === epoch) return [session, []]; // said twice
    return giveUp(session, context, "the plane speaks of a registration that this agent did not ask for");
  }
  if (session.state !== "registering") return giveUp(session, context, "'registered' before this agent had asked");
  // A leader that was deposed may still answer. Its orders would be void for everybody who has seen its successor.
  if (epoch < context.epochSeen)
    return giveUp(session, context, `the plane answers for epoch ${epoch}, and ${context.epochSeen} was there already`);
  // Another cluster refuses this agent. One that takes it in would end tasks that it knows nothing of.
  if (clusterId !== undefined && context.clusterId !== undefined && clusterId !== context.clusterId)
    return giveUp(session, context, `the plane is cluster ${clusterId}, and this agent is of ${context.clusterId}`);
  const registration = { agentId, epoch, session: id, clusterId };
  const pingAt = earliest(session.pingAt, nextPing(context, silenceMs));
  return [
    { state: "registered", registration, pingAt, heardAt: session.heardAt, silenceMs },
    [{ type: "registered", registration }],
  ];
}

/** The agent is the fence: nobody but a leader that is no older than any it has obeyed ends it, and only under its own id. */
function onShutdown(
  session: Session,
  { agentId, epoch, reason }: Extract<PlaneMessage, { readonly type: "shutdown" }>,
  context: Context,
): Step {
  if (session.state !== "registering" && session.state !== "registered")
    return giveUp(session, context, "'shutdown' from a plane that has not authenticated itself");
  const own = session.state === "registered" ? session.registration : undefined;
  if (agentId !== (own?.agentId ?? context.agentId))
    return giveUp(session, context, `the plane ends agent '${agentId}', which is not this one`);
  // A registration may not be in the checkpoint yet: its epoch counts from the moment that it was taken.
  const epochMin = Math.max(context.epochSeen, own?.epoch ?? 0);
  if (epoch < epochMin)
    return giveUp(session, context, `the plane ends this agent for epoch ${epoch}, and ${epochMin} was there already`);
  return stop({ type: "removed", epoch, reason });
}

function unexpected(session: Session, { type }: PlaneMessage, context: Context): Step {
  return giveUp(session, context, `'${type}' was not expected while ${session.state}`);
}
