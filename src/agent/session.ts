// One agent's socket at its gateway: which message is allowed when, and what follows. The whole state is plain data that fits
// a socket attachment, so that it survives hibernation. Proofs are arithmetic that this folder has no hash functions for: the
// shell checks them and comes back with the verdict.
import type { Brand } from "#base/brand.ts";
import { unreachable } from "#base/assert.ts";
import type { Millis } from "#base/time.ts";
import { MECHANISM, type AgentMessage, type PlaneMessage } from "#protocol/agent.ts";
import type { AgentId, Epoch, HostKey, Principal } from "#protocol/ids.ts";
import { parseClientFirst, serverFirst, type ServerExchange, type ServerVerdict } from "#protocol/scram.ts";
import { MESOFLARE_VERSION, PROTOCOL_VERSION } from "#protocol/version.ts";

export type SocketId = Brand<string, "SocketId">;

interface Opened {
  readonly socketId: SocketId;
  readonly hostKey: HostKey;
  readonly openedAt: Millis;
  /** What the agent speaks; absent until it has said so, and in a session that a release kept which spoke only the first. */
  readonly protocol?: number;
}

export type Session =
  | (Opened & { readonly state: "opened" })
  /** `checking`: the client's proof is with the shell. */
  | (Opened & {
      readonly state: "authenticating";
      readonly exchange: ServerExchange;
      readonly epochSeen: Epoch;
      readonly checking: boolean;
    })
  | (Opened & { readonly state: "authenticated"; readonly principal: Principal; readonly epochSeen: Epoch })
  | (Opened & {
      readonly state: "registered";
      readonly principal: Principal;
      readonly epochSeen: Epoch;
      readonly agentId: AgentId;
      readonly epoch: Epoch;
    });

export type SessionEffect =
  | { readonly type: "send"; readonly message: PlaneMessage }
  | { readonly type: "check-proof"; readonly exchange: ServerExchange; readonly clientFinal: string }
  | { readonly type: "forward"; readonly message: AgentMessage }
  | { readonly type: "answer-request"; readonly message: Extract<AgentMessage, { type: "response" }> }
  | { readonly type: "close"; readonly code: CloseCode; readonly reason: string };

/** policy: do not come back as you are. again: come back after a pause. */
export type CloseCode = 1008 | 1013;
export const CLOSE_POLICY: CloseCode = 1008;
export const CLOSE_AGAIN: CloseCode = 1013;

export type Step = readonly [session: Session, effects: readonly SessionEffect[]];

export function openSession(opened: Opened): Session {
  return { ...opened, state: "opened" };
}

/** What the shell looked up for an `authenticate` message: a salt also for an unknown principal, so that both look the same. */
export interface Challenge {
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly serverNonce: string;
}

/** The principal that an `authenticate` message names, for the shell's look-up; undefined when it is malformed. */
export function claimedPrincipal(message: AgentMessage): string | undefined {
  if (message.type !== "authenticate") return undefined;
  const first = parseClientFirst(message.clientFirst);
  return first.type === "client-first" ? first.principal : undefined;
}

export function onMessage(session: Session, message: AgentMessage, challenge: Challenge | undefined): Step {
  switch (message.type) {
    case "authenticate":
      return onAuthenticate(session, message, challenge);
    case "authentication-step": {
      if (session.state !== "authenticating" || session.checking) return outOfOrder(session, message.type);
      const { exchange } = session;
      return [{ ...session, checking: true }, [{ type: "check-proof", exchange, clientFinal: message.clientFinal }]];
    }
    case "register":
      if (session.state !== "authenticated" && session.state !== "registered") return outOfOrder(session, message.type);
      return [session, [{ type: "forward", message }]];
    case "acted":
    case "updates":
    case "operation-updates":
    case "executor-exited":
    case "framework-message":
    case "statistics":
    case "unregister":
      if (session.state !== "registered") return outOfOrder(session, message.type);
      return [session, [{ type: "forward", message }]];
    case "response":
      if (session.state !== "registered") return outOfOrder(session, message.type);
      return [session, [{ type: "answer-request", message }]];
    default:
      return unreachable(message);
  }
}

function onAuthenticate(
  session: Session,
  message: Extract<AgentMessage, { type: "authenticate" }>,
  challenge: Challenge | undefined,
): Step {
  if (session.state !== "opened") return outOfOrder(session, message.type);
  const fail = (reason: string): Step => [
    session,
    [
      { type: "send", message: { type: "authentication-failed", reason } },
      { type: "close", code: CLOSE_POLICY, reason },
    ],
  ];
  if (message.protocolVersion > PROTOCOL_VERSION) {
    return fail(
      `this plane (${MESOFLARE_VERSION}) speaks protocol ${PROTOCOL_VERSION}, the agent (${message.agentVersion}) speaks ${message.protocolVersion}: upgrade the plane first`,
    );
  }
  if (message.mechanism !== MECHANISM) return fail(`the only mechanism is ${MECHANISM}`);
  const first = parseClientFirst(message.clientFirst);
  if (first.type === "refused") return fail(first.reason);
  if (challenge === undefined) return fail("this plane has no credentials: nobody may register");
  const exchange = serverFirst(first, challenge);
  const { socketId, hostKey, openedAt } = session;
  return [
    {
      socketId,
      hostKey,
      openedAt,
      protocol: message.protocolVersion,
      state: "authenticating",
      exchange,
      epochSeen: message.epochSeen,
      checking: false,
    },
    [{ type: "send", message: { type: "authentication-step", serverFirst: exchange.serverFirst } }],
  ];
}

function outOfOrder(session: Session, type: AgentMessage["type"]): Step {
  const reason = `'${type}' is not allowed while ${session.state}`;
  return [
    session,
    [
      { type: "send", message: { type: "authentication-error", reason } },
      { type: "close", code: CLOSE_AGAIN, reason },
    ],
  ];
}

/** The shell's verdict on a proof. */
export function onVerdict(session: Session, verdict: ServerVerdict): Step {
  if (session.state !== "authenticating") return [session, []];
  if (verdict.type === "refused") {
    // The same words for an unknown principal and a wrong secret.
    const reason = "unknown principal or wrong secret";
    return [
      session,
      [
        { type: "send", message: { type: "authentication-failed", reason } },
        { type: "close", code: CLOSE_POLICY, reason },
      ],
    ];
  }
  const { socketId, hostKey, openedAt, protocol, epochSeen } = session;
  const principal = session.exchange.principal as Principal;
  return [
    { socketId, hostKey, openedAt, protocol, state: "authenticated", principal, epochSeen },
    [{ type: "send", message: { type: "authenticated", serverFinal: verdict.serverFinal } }],
  ];
}

/** The first protocol in which a plane may tell an agent to end its tasks and its id. */
const SHUTDOWN_PROTOCOL = 2;

/** What the master's word to an agent becomes on its way. */
export interface Passed {
  readonly session: Session;
  readonly message: PlaneMessage;
  /** Said last: the socket is closed behind it, with this reason. */
  readonly closing: string | undefined;
}

/** The master's word passes by on its way to the agent: "registered" is when the session is. */
export function onPlaneMessage(session: Session, message: PlaneMessage): Passed {
  switch (message.type) {
    case "registered":
      return { session: registered(session, message), message, closing: undefined };
    case "refused":
      return { session, message, closing: message.reason };
    case "shutdown": {
      const { reason } = message;
      // [G18] An agent that does not know the word keeps its tasks: it hears the strongest word that it knows.
      const isKnown = (session.protocol ?? 1) >= SHUTDOWN_PROTOCOL;
      return { session, message: isKnown ? message : { type: "refused", reason }, closing: reason };
    }
    default:
      return { session, message, closing: undefined };
  }
}

function registered(session: Session, { agentId, epoch }: Extract<PlaneMessage, { type: "registered" }>): Session {
  if (session.state === "opened" || session.state === "authenticating") return session;
  const { socketId, hostKey, openedAt, protocol, principal, epochSeen } = session;
  return { socketId, hostKey, openedAt, protocol, state: "registered", principal, epochSeen, agentId, epoch };
}

/**
 * Time for the whole exchange, ms. Agents allow less at first, and up to this when the plane is slow because all of them are there at
 * once: cutting them off would only bring them again. Source: Mesos authentication_timeout_max.
 */
export const AUTHENTICATION_MS_MAX = 60_000;

export interface Overdue {
  readonly reason: string;
  /** For a socket that fell silent: when it was last heard. */
  readonly silentSince: Millis | undefined;
}

/** Why a socket must be closed now, or undefined. `lastHeard` is the newest of its pings and its opening. */
export function overdue(
  session: Session,
  { lastHeard, silenceMs, now }: { readonly lastHeard: Millis; readonly silenceMs: number; readonly now: Millis },
): Overdue | undefined {
  const authenticating = session.state === "opened" || session.state === "authenticating";
  if (authenticating && now - session.openedAt >= AUTHENTICATION_MS_MAX)
    return { reason: "authentication took too long", silentSince: undefined };
  return now - lastHeard >= silenceMs ? { reason: "silent for too long", silentSince: lastHeard } : undefined;
}
