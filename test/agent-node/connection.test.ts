// The socket's shell: what a slow answer and a replaced socket do to each other.
import { afterEach, expect, test } from "vitest";
import { pino } from "pino";
import type { AgentMessage } from "#protocol/agent.ts";
import type { Epoch, HostKey, Principal } from "#protocol/ids.ts";
import { Connection } from "../../agent-node/connection/connection.ts";
import type { StopReason } from "../../agent-node/connection/session.ts";
import { eventually, FakePlane, PRINCIPAL, SECRET } from "./fake-plane.ts";

const REGISTER: AgentMessage = {
  type: "register",
  agentId: undefined,
  lastSession: undefined,
  info: { hostname: "h", port: 0, resources: [], attributes: [] },
  tasks: [],
  part: 1,
  more: false,
  system: { cpus_total: 1, load_1min: 0, load_5min: 0, load_15min: 0, mem_total_bytes: 1, mem_free_bytes: 1 },
};

let plane: FakePlane;
let connection: Connection;
afterEach(async () => {
  connection.stop();
  await plane.stop();
});

function connect(
  registerMessages: () => Promise<readonly AgentMessage[]>,
  onStopped: (why: StopReason) => void = () => {},
) {
  connection = new Connection({
    plane: plane.url,
    hostKey: "0".repeat(32) as HostKey,
    credential: { principal: PRINCIPAL as Principal, secret: SECRET },
    log: pino({ level: "silent" }),
    known: () => ({ epochSeen: 0 as Epoch, agentId: undefined, clusterId: undefined }),
    registerMessages,
    onRegistered: () => {},
    onTraffic: () => {},
    onStopped,
    random: { next: () => 0 },
  });
  connection.start();
}

test("[A4] register waits for its messages, and a report that was made for an older socket is not sent", async () => {
  plane = await FakePlane.start();
  const waiting: ((messages: readonly AgentMessage[]) => void)[] = [];
  connect(() => new Promise((resolve) => waiting.push(resolve)));
  await eventually("the first request for a report", () => waiting[0]);
  plane.disconnect();
  const second = await eventually("the second one", () => waiting[1]);
  waiting[0]?.([REGISTER]);
  expect(connection.registration).toBeUndefined();
  second([REGISTER]);
  await eventually("a registration", () => connection.registration);
  expect(plane.registrations).toHaveLength(1);
});

test("[A15] a socket on which nothing comes back but the close is replaced", async () => {
  plane = await FakePlane.start();
  connect(async () => [REGISTER]);
  await eventually("a registration", () => connection.registration);
  plane.disconnect();
  await eventually("another one", () => (plane.registrations.length === 2 ? true : undefined));
});

test("[A14] a stopped connection stays stopped", async () => {
  plane = await FakePlane.start();
  plane.authenticationAnswer = { type: "authentication-failed", reason: "unknown principal" };
  const stopped = new Promise<StopReason>((resolve) => connect(async () => [REGISTER], resolve));
  expect(await stopped).toEqual({ type: "credential-refused", reason: "unknown principal" });
  expect([connection.state, plane.sockets]).toEqual(["stopped", 1]);
});
