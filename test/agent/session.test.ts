import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import { MECHANISM, SILENCE_MS, type AgentMessage, type PlaneMessage } from "#protocol/agent.ts";
import type { AgentId, Epoch, ExecutorId, FrameworkId, HostKey, SessionId } from "#protocol/ids.ts";
import { checkProof, clientFinal, clientFirst, makeVerifier } from "#protocol/scram.ts";
import { PROTOCOL_VERSION } from "#protocol/version.ts";
import {
  AUTHENTICATION_MS_MAX,
  claimedPrincipal,
  onMessage,
  onPlaneMessage,
  onVerdict,
  openSession,
  overdue,
  type Session,
  type SocketId,
} from "../../src/agent/session.ts";
import { nextSweep, SWEEP_INTERVAL_MS, SWEEP_PAUSE_MS } from "../../src/agent/sweep.ts";
import { register } from "../master/cluster.ts";
import { nodeScram as crypto } from "../node-scram.ts";

const SALT = new Uint8Array(16).fill(9);
const CHALLENGE = { salt: SALT, iterations: 4096, serverNonce: "server-nonce-of-some-length" };
const EXECUTOR = { frameworkId: "f" as FrameworkId, executorId: "e" as ExecutorId };
const NONCE = "client-nonce-of-some-length";

const opened = (): Session =>
  openSession({ socketId: "s" as SocketId, hostKey: "0".repeat(32) as HostKey, openedAt: millis(1000) });
const authenticate = (more: Partial<Extract<AgentMessage, { type: "authenticate" }>> = {}): AgentMessage => ({
  type: "authenticate",
  protocolVersion: PROTOCOL_VERSION,
  agentVersion: "0.0.0",
  mechanism: MECHANISM,
  clientFirst: clientFirst("agent", NONCE),
  epochSeen: 3 as Epoch,
  ...more,
});

async function exchange(secret: string): Promise<Session> {
  const verifier = await makeVerifier(crypto, "right", { salt: SALT, iterations: 4096 });
  const [waiting, [challenge]] = onMessage(opened(), authenticate(), CHALLENGE);
  if (challenge?.type !== "send" || challenge.message.type !== "authentication-step") throw new Error("no challenge");
  const { serverFirst } = challenge.message;
  const final = await clientFinal(crypto, { principal: "agent", secret, nonce: NONCE, serverFirst });
  if (final.type === "refused") throw new Error(final.reason);
  const [checking, [check]] = onMessage(
    waiting,
    { type: "authentication-step", clientFinal: final.message },
    undefined,
  );
  if (check?.type !== "check-proof") throw new Error("no check");
  return onVerdict(checking, await checkProof(crypto, check.exchange, check.clientFinal, verifier))[0];
}

const ABOUT_OPERATIONS_AND_EXECUTORS: readonly AgentMessage[] = [
  { type: "operation-updates", session: "x" as SessionId, updates: [] },
  { type: "executor-exited", session: "x" as SessionId, ...EXECUTOR, status: 0 },
  { type: "framework-message", session: "x" as SessionId, ...EXECUTOR, data: "" },
];

test("[G1] every message has its place", () => {
  const session: SessionId = "x" as SessionId;
  const early: AgentMessage[] = [
    register({}),
    { type: "authentication-step", clientFinal: "" },
    { type: "acted", session, sequence: 1 },
    { type: "updates", session, updates: [] },
    ...ABOUT_OPERATIONS_AND_EXECUTORS,
    { type: "response", requestId: "r", status: 200, headers: {}, body: "" },
  ];
  for (const message of early) {
    const [next, effects] = onMessage(opened(), message, CHALLENGE);
    expect(next).toEqual(opened());
    expect(effects.map((effect) => effect.type)).toEqual(["send", "close"]);
  }
  const [waiting] = onMessage(opened(), authenticate(), CHALLENGE);
  expect(onMessage(waiting, authenticate(), CHALLENGE)[1].at(-1)).toMatchObject({ type: "close" });
});

test("[G1] a second proof while the first is being checked is out of order", () => {
  const [waiting] = onMessage(opened(), authenticate(), CHALLENGE);
  const step: AgentMessage = { type: "authentication-step", clientFinal: "c=biws,r=x,p=AAAA" };
  const [checking] = onMessage(waiting, step, undefined);
  expect(onMessage(checking, step, undefined)[1].at(-1)).toMatchObject({ type: "close" });
});

test("[G2] the right secret authenticates, a wrong one fails for good", async () => {
  expect(await exchange("right")).toMatchObject({ state: "authenticated", principal: "agent", epochSeen: 3 });
  expect(await exchange("wrong")).toMatchObject({ state: "authenticating" });
});

test("[G2] a verdict of 'refused' tells nothing but that", () => {
  const [waiting] = onMessage(opened(), authenticate(), CHALLENGE);
  const [, effects] = onVerdict(waiting, { type: "refused", reason: "the nonce was wrong in byte 7" });
  expect(effects[0]).toEqual({
    type: "send",
    message: { type: "authentication-failed", reason: "unknown principal or wrong secret" },
  });
});

test("[G3] without a challenge there are no credentials, and the agent hears it", () => {
  const [, effects] = onMessage(opened(), authenticate(), undefined);
  expect(effects[0]).toMatchObject({
    message: { type: "authentication-failed", reason: expect.stringContaining("no credentials") },
  });
});

test("[G4] [G5] overdue: 5 s to authenticate; silence as long as the plane allows, and since when", () => {
  const at = (session: Session, lastHeard: number, now: number) =>
    overdue(session, { lastHeard: millis(lastHeard), silenceMs: SILENCE_MS, now: millis(now) });
  expect(at(opened(), 1000, 1000 + AUTHENTICATION_MS_MAX - 1)).toBeUndefined();
  expect(at(opened(), 1000, 1000 + AUTHENTICATION_MS_MAX)).toEqual({
    reason: expect.stringContaining("too long"),
    silentSince: undefined,
  });
  const authenticated = { ...opened(), state: "authenticated", principal: "a", epochSeen: 0 } as unknown as Session;
  expect(at(authenticated, 90_000, 90_000 + SILENCE_MS - 1)).toBeUndefined();
  expect(at(authenticated, 90_000, 90_000 + SILENCE_MS)).toEqual({
    reason: expect.stringContaining("silent"),
    silentSince: 90_000,
  });
});

test("[G4] the next sweep is soon while somebody authenticates, seldom otherwise, never without sockets", () => {
  const authenticated = { ...opened(), state: "authenticated", principal: "a", epochSeen: 0 } as unknown as Session;
  expect(nextSweep([], millis(2000))).toBeUndefined();
  expect(nextSweep([authenticated], millis(2000))).toBe(2000 + SWEEP_INTERVAL_MS);
  expect(nextSweep([opened()], millis(2000))).toBe(1000 + AUTHENTICATION_MS_MAX);
  expect(nextSweep([opened(), authenticated], millis(50_000))).toBe(1000 + AUTHENTICATION_MS_MAX);
  // A thousand that fall due one after the other are no thousand sweeps.
  expect(nextSweep([opened()], millis(1000 + AUTHENTICATION_MS_MAX))).toBe(
    1000 + AUTHENTICATION_MS_MAX + SWEEP_PAUSE_MS,
  );
});

test("[G6] the master's word makes a session registered", async () => {
  const session = await exchange("right");
  const word = { type: "registered", agentId: "a" as AgentId, epoch: 5 as Epoch, session: "s" as SessionId } as const;
  expect(onPlaneMessage(session, word)).toMatchObject({
    session: { state: "registered", agentId: "a", epoch: 5, protocol: PROTOCOL_VERSION },
    message: word,
    closing: undefined,
  });
  expect(onPlaneMessage(opened(), word).session).toEqual(opened());
});

test("[G6] what a registered agent says of operations and executors goes to the master, and the master's answers to it, as they are", async () => {
  const word = { type: "registered", agentId: "a" as AgentId, epoch: 5 as Epoch, session: "s" as SessionId } as const;
  const { session } = onPlaneMessage(await exchange("right"), word);
  for (const message of ABOUT_OPERATIONS_AND_EXECUTORS)
    expect(onMessage(session, message, undefined)).toEqual([session, [{ type: "forward", message }]]);
  const current = { epoch: 5 as Epoch, session: "s" as SessionId };
  const answers: readonly PlaneMessage[] = [
    { type: "acknowledge-operations", ...current, acknowledgements: [] },
    { type: "executor-message", ...current, ...EXECUTOR, data: "" },
    { type: "orders", ...current, orders: [] },
  ];
  for (const message of answers)
    expect(onPlaneMessage(session, message)).toEqual({ session, message, closing: undefined });
});

test("[G18] what ends an agent is passed on and closes the socket; an old agent is told to stay away and keeps its tasks", async () => {
  const session = await exchange("right");
  const reason = "removed by an operator";
  const shutdown = { type: "shutdown", agentId: "a" as AgentId, epoch: 5 as Epoch, reason } as const;
  expect(onPlaneMessage(session, shutdown)).toEqual({ session, message: shutdown, closing: reason });
  const refused = { type: "refused", reason } as const;
  expect(onPlaneMessage(session, refused)).toEqual({ session, message: refused, closing: reason });
  for (const protocol of [1, undefined]) {
    const old = { ...session, protocol };
    expect(onPlaneMessage(old, shutdown)).toEqual({ session: old, message: refused, closing: reason });
  }
});

test("[G8] a newer agent is told that the plane must be upgraded", () => {
  const [, effects] = onMessage(opened(), authenticate({ protocolVersion: PROTOCOL_VERSION + 1 }), CHALLENGE);
  expect(effects[0]).toMatchObject({ message: { reason: expect.stringContaining("upgrade the plane") } });
});

test("hostile: another mechanism, and a client-first that is none", () => {
  expect(onMessage(opened(), authenticate({ mechanism: "CRAM-MD5" }), CHALLENGE)[1].at(-1)).toMatchObject({
    type: "close",
  });
  for (const first of ["", "n,,", "y,,n=agent,r=short", "n,,n=a=b,r=client-nonce-of-some-length", "p=tls,,n=a,r=x"]) {
    expect(claimedPrincipal(authenticate({ clientFirst: first }))).toBeUndefined();
    expect(onMessage(opened(), authenticate({ clientFirst: first }), CHALLENGE)[1].at(-1)).toMatchObject({
      type: "close",
    });
  }
});
