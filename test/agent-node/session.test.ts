// The connection's core without a socket: what it does, and when.
import { describe, expect, test } from "vitest";
import type { Millis } from "#base/time.ts";
import { AUTHENTICATION_TIMEOUT_MS, PING_INTERVAL_MS, type PlaneMessage, SILENCE_MS } from "#protocol/agent.ts";
import type { AgentId, ClusterId, Epoch, SessionId } from "#protocol/ids.ts";
import {
  AUTHENTICATION_TIMEOUT_MS_MAX,
  CONNECT_TIMEOUT_MS,
  type Context,
  type Effect,
  type Input,
  nextWake,
  NOT_STARTED,
  RECONNECT_BACKOFF,
  REGISTRATION_TIMEOUT_MS,
  type Session,
  step,
} from "../../agent-node/connection/session.ts";

const REGISTERED = {
  type: "registered",
  agentId: "a" as AgentId,
  epoch: 7 as Epoch,
  session: "s1" as SessionId,
} as const;

class Driver {
  session: Session = NOT_STARTED;
  now = 1_000_000 as Millis;
  epochSeen = 0 as Epoch;
  agentId: AgentId | undefined;
  clusterId: ClusterId | undefined;
  /** Always the longest pause. */
  random = { next: () => 0.999_999 };

  input(input: Input): readonly Effect[] {
    const context: Context = {
      now: this.now,
      random: this.random,
      principal: "agents",
      nonce: "nonce",
      epochSeen: this.epochSeen,
      agentId: this.agentId,
      clusterId: this.clusterId,
    };
    const [session, effects] = step(this.session, input, context);
    this.session = session;
    return effects;
  }

  message(message: PlaneMessage): readonly Effect[] {
    return this.input({ type: "message", message });
  }

  /** Lets time pass up to the next wake, and ticks. */
  wake(): readonly Effect[] {
    this.now = nextWake(this.session) ?? this.now;
    return this.input({ type: "tick" });
  }

  authenticate(): readonly Effect[] {
    this.input({ type: "start" });
    this.input({ type: "opened" });
    this.message({ type: "authentication-step", serverFirst: "r=" });
    this.input({ type: "proof", nonce: "nonce", clientFinal: "c=", serverFinal: "v=ours" });
    return this.message({ type: "authenticated", serverFinal: "v=ours" });
  }

  register(): readonly Effect[] {
    this.authenticate();
    return this.message(REGISTERED);
  }
}

const types = (effects: readonly Effect[]): string[] => effects.map(({ type }) => type);

test("[A14] authenticate, verify the server, register: in this order", () => {
  const driver = new Driver();
  expect(types(driver.input({ type: "start" }))).toEqual(["open"]);
  expect(driver.input({ type: "opened" })).toMatchObject([
    { type: "send", message: { type: "authenticate", clientFirst: "n,,n=agents,r=nonce" } },
  ]);
  expect(driver.message({ type: "authentication-step", serverFirst: "r=" })).toEqual([
    { type: "make-proof", nonce: "nonce", serverFirst: "r=" },
  ]);
  expect(driver.input({ type: "proof", nonce: "nonce", clientFinal: "c=", serverFinal: "v=ours" })).toMatchObject([
    { type: "send" },
  ]);
  expect(types(driver.message({ type: "authenticated", serverFinal: "v=ours" }))).toEqual(["register"]);
  expect(driver.message(REGISTERED)).toMatchObject([
    { type: "registered", registration: { agentId: "a", epoch: 7, session: "s1" } },
  ]);
});

test("[A14] a wrong server signature, or none, leads to no registration", () => {
  const driver = new Driver();
  driver.input({ type: "start" });
  driver.input({ type: "opened" });
  expect(types(driver.message({ type: "authenticated", serverFinal: "v=ours" }))).toContain("close"); // before any proof
  const other = new Driver();
  other.input({ type: "start" });
  other.input({ type: "opened" });
  other.message({ type: "authentication-step", serverFirst: "r=" });
  other.input({ type: "proof", nonce: "nonce", clientFinal: "c=", serverFinal: "v=ours" });
  expect(types(other.message({ type: "authenticated", serverFinal: "v=theirs" }))).toEqual(["log", "close"]);
  expect(other.session.state).toBe("waiting");
});

test("[A14] a proof of an exchange that is over is not sent", () => {
  const driver = new Driver();
  driver.input({ type: "start" });
  driver.input({ type: "opened" });
  driver.message({ type: "authentication-step", serverFirst: "r=" });
  expect(driver.input({ type: "proof", nonce: "older", clientFinal: "c=", serverFinal: "v=" })).toEqual([]);
});

test.each<[string, (driver: Driver) => void, number]>([
  ["connecting", (driver) => void driver.input({ type: "start" }), CONNECT_TIMEOUT_MS],
  [
    "authenticating",
    (driver) => void (driver.input({ type: "start" }), driver.input({ type: "opened" })),
    AUTHENTICATION_TIMEOUT_MS,
  ],
])("[A16] %s does not take longer than its time", (state, reach, ms) => {
  const driver = new Driver();
  reach(driver);
  expect(driver.session.state).toBe(state);
  const before = driver.now;
  expect(types(driver.wake())).toEqual(["log", "close"]);
  expect(driver.now - before).toBe(ms);
});

test("[A16] the time for authentication doubles with each attempt, and is short again after a registration", () => {
  const driver = new Driver();
  const allowed = (): number => {
    driver.input({ type: "opened" });
    const before = driver.now;
    expect(types(driver.wake())).toEqual(["log", "close"]);
    return driver.now - before;
  };
  driver.input({ type: "start" });
  const times = Array.from({ length: 6 }, () => {
    const time = allowed();
    expect(types(driver.wake())).toEqual(["open"]);
    return time;
  });
  expect(times.map(Math.round)).toEqual([15_000, 30_000, ...Array<number>(4).fill(AUTHENTICATION_TIMEOUT_MS_MAX)]);
  driver.input({ type: "opened" });
  driver.message({ type: "authentication-step", serverFirst: "r=" });
  driver.input({ type: "proof", nonce: "nonce", clientFinal: "c=", serverFinal: "v=" });
  driver.message({ type: "authenticated", serverFinal: "v=" });
  driver.message(REGISTERED);
  driver.input({ type: "closed", reason: "deployed" });
  driver.wake();
  expect(allowed()).toBe(2 * AUTHENTICATION_TIMEOUT_MS); // the first pause counts as an attempt
});

test("[A16] an unanswered registration is given up, however alive the socket is", () => {
  const driver = new Driver();
  driver.authenticate();
  const before = driver.now;
  while (driver.session.state === "registering") {
    driver.wake();
    driver.input({ type: "pong" });
  }
  expect(driver.now - before).toBe(REGISTRATION_TIMEOUT_MS);
});

test("[A16] pauses grow to the bound, and start anew after a registration", () => {
  const driver = new Driver();
  driver.input({ type: "start" });
  const pauses: number[] = [];
  for (let i = 0; i < 10; i++) {
    driver.input({ type: "closed", reason: "refused" });
    const before = driver.now;
    driver.wake();
    pauses.push(Math.round(driver.now - before));
  }
  expect(pauses.slice(0, 4)).toEqual([250, 500, 1000, 2000]);
  expect(pauses.at(-1)).toBe(RECONNECT_BACKOFF.maxMs);
  driver.input({ type: "opened" });
  driver.message({ type: "authentication-step", serverFirst: "r=" });
  driver.input({ type: "proof", nonce: "nonce", clientFinal: "c=", serverFinal: "v=" });
  driver.message({ type: "authenticated", serverFinal: "v=" });
  driver.message(REGISTERED);
  driver.input({ type: "closed", reason: "deployed" });
  const before = driver.now;
  driver.wake();
  expect(Math.round(driver.now - before)).toBe(RECONNECT_BACKOFF.firstMs);
});

test("[A15] a registered agent pings, and gives a silent socket up after 75 s", () => {
  const driver = new Driver();
  driver.register();
  const start = driver.now;
  let pings = 0;
  while (driver.session.state === "registered") {
    const effects = driver.wake();
    if (effects.some(({ type }) => type === "ping")) pings++;
  }
  expect(driver.now - start).toBe(SILENCE_MS);
  expect(pings).toBeGreaterThanOrEqual(SILENCE_MS / PING_INTERVAL_MS - 1);
});

test("[A30] a request that cannot be read is answered 400 on the same socket", () => {
  const driver = new Driver();
  const bad = { type: "bad-request", requestId: "r1", reason: "path: zu lang…" } as const;
  driver.authenticate();
  expect(types(driver.input(bad))).toEqual(["log"]);
  driver.message(REGISTERED);
  expect(driver.input(bad)).toEqual([
    { type: "send", message: expect.objectContaining({ type: "response", requestId: "r1", status: 400 }) },
  ]);
  expect(driver.session.state).toBe("registered");
});

test("[A15] a pong, or any message, keeps the socket", () => {
  const driver = new Driver();
  driver.register();
  for (let i = 0; i < 50; i++) {
    driver.wake();
    if (i % 2 === 0) driver.input({ type: "pong" });
    else driver.message({ type: "request", requestId: "1", path: "/" });
  }
  expect(driver.session.state).toBe("registered");
});

test("[A16] 'unavailable' sends register again on the same socket, later each time", () => {
  const driver = new Driver();
  driver.authenticate();
  for (const ms of [250, 500, 1000]) {
    expect(types(driver.message({ type: "unavailable", reason: "no leader" }))).toEqual(["log"]);
    const before = driver.now;
    expect(types(driver.wake())).toEqual(["register"]);
    expect(Math.round(driver.now - before)).toBe(ms);
  }
  expect(types(driver.message(REGISTERED))).toEqual(["registered"]);
});

describe("[A2] registrations", () => {
  test("of an older epoch are not taken", () => {
    const driver = new Driver();
    driver.epochSeen = 8 as Epoch;
    driver.authenticate();
    expect(types(driver.message(REGISTERED))).toEqual(["log", "close"]);
  });

  test("of another cluster than the one that gave the id are not taken; of one that does not say are", () => {
    const driver = new Driver();
    driver.clusterId = "ours" as ClusterId;
    driver.authenticate();
    expect(types(driver.message({ ...REGISTERED, clusterId: "theirs" as ClusterId }))).toEqual(["log", "close"]);
    for (const clusterId of [undefined, "ours" as ClusterId]) {
      const other = new Driver();
      other.clusterId = "ours" as ClusterId;
      other.authenticate();
      expect(types(other.message({ ...REGISTERED, clusterId }))).toEqual(["registered"]);
    }
  });

  test("said twice are one; another that nobody asked for ends the socket", () => {
    const driver = new Driver();
    driver.register();
    expect(driver.message(REGISTERED)).toEqual([]);
    expect(types(driver.message({ ...REGISTERED, session: "s2" as SessionId }))).toEqual(["log", "close"]);
  });

  test("before the server was verified are not taken", () => {
    const driver = new Driver();
    driver.input({ type: "start" });
    driver.input({ type: "opened" });
    expect(types(driver.message(REGISTERED))).toEqual(["log", "close"]);
  });

  test("orders before one are dropped", () => {
    const driver = new Driver();
    driver.authenticate();
    expect(
      types(driver.message({ type: "orders", epoch: 7 as Epoch, session: "s1" as SessionId, orders: [] })),
    ).toEqual(["log"]);
  });
});

describe("[A32] shutdown", () => {
  const SHUTDOWN = { type: "shutdown", agentId: "a" as AgentId, epoch: 7 as Epoch, reason: "marked gone" } as const;
  const removed = { type: "removed", epoch: 7, reason: "marked gone" };

  test("is obeyed while registering and while registered, and nothing wakes the session after it", () => {
    for (const registered of [true, false]) {
      const driver = new Driver();
      driver.agentId = "a" as AgentId;
      driver.epochSeen = 7 as Epoch;
      if (registered) driver.register();
      else driver.authenticate();
      expect(driver.message(SHUTDOWN)).toEqual([{ type: "close" }, { type: "stopped", why: removed }]);
      expect(nextWake(driver.session)).toBeUndefined();
      expect(driver.message(REGISTERED)).toEqual([]);
    }
  });

  test("is obeyed right behind the first registration, before its checkpoint is there", () => {
    const driver = new Driver();
    driver.register();
    expect(driver.message({ ...SHUTDOWN, epoch: 8 as Epoch })).toMatchObject([
      {},
      { why: { type: "removed", epoch: 8 } },
    ]);
  });

  test("is not obeyed before the plane has shown that it knows the secret", () => {
    const inputs: readonly Input[] = [
      { type: "start" },
      { type: "opened" },
      { type: "message", message: { type: "authentication-step", serverFirst: "r=" } },
      { type: "proof", nonce: "nonce", clientFinal: "c=", serverFinal: "v=ours" },
    ];
    for (let upTo = 1; upTo <= inputs.length; upTo++) {
      const before = new Driver();
      before.agentId = "a" as AgentId;
      for (const input of inputs.slice(0, upTo)) before.input(input);
      expect(types(before.message(SHUTDOWN))).toEqual(["log", "close"]);
      expect(before.session.state).toBe("waiting");
    }
  });

  test("for another agent, or for one that never had an id, ends the socket and nothing else", () => {
    const driver = new Driver();
    driver.register();
    expect(types(driver.message({ ...SHUTDOWN, agentId: "b" as AgentId }))).toEqual(["log", "close"]);
    const fresh = new Driver();
    fresh.authenticate();
    expect(types(fresh.message(SHUTDOWN))).toEqual(["log", "close"]);
    expect(fresh.session.state).toBe("waiting");
  });

  test("of an epoch below one that was obeyed ends the socket and nothing else", () => {
    const registered = new Driver();
    registered.register();
    expect(types(registered.message({ ...SHUTDOWN, epoch: 6 as Epoch }))).toEqual(["log", "close"]);
    const registering = new Driver();
    registering.agentId = "a" as AgentId;
    registering.epochSeen = 8 as Epoch;
    registering.authenticate();
    expect(types(registering.message(SHUTDOWN))).toEqual(["log", "close"]);
    expect(registering.session.state).toBe("waiting");
  });
});

test("[A14] refusals are final: nothing wakes a stopped session", () => {
  for (const message of [
    { type: "authentication-failed", reason: "no" },
    { type: "refused", reason: "gone" },
  ] as const) {
    const driver = new Driver();
    driver.authenticate();
    expect(types(driver.message(message))).toEqual(["close", "stopped"]);
    expect(nextWake(driver.session)).toBeUndefined();
    for (const input of [{ type: "start" }, { type: "opened" }, { type: "tick" }, { type: "pong" }] as const)
      expect(driver.input(input)).toEqual([]);
  }
});
