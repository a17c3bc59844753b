// The phased rollout of the registry: what write-only (Mesos 0.19's default) and strict mode do. The table of the reference, §15.5.
import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { AgentId } from "#protocol/ids.ts";
import { applyOperation, type RegistryOperation } from "#registrar/operations.ts";
import { emptyRegistry } from "#registrar/registry.ts";
import { adoptRegistry } from "../../src/master/registration.ts";
import { DEFAULT_SETTINGS } from "../../src/master/settings.ts";
import type { PlaneMessage } from "#protocol/agent.ts";
import { Cluster, hostKey, register, sent, task, type TestAgent } from "./cluster.ts";

const MODES = [
  ["write-only", false],
  ["strict", true],
] as const;
const { reregisterTimeoutMs } = DEFAULT_SETTINGS;

/** What the plane says to an agent that registers with an id. */
function answerTo(cluster: Cluster, agentId: AgentId, host: number): PlaneMessage["type"] | undefined {
  const effects = cluster.commitAll(cluster.say(cluster.socket(), register({ agentId }), host));
  const said = ["registered", "shutdown", "refused", "unavailable"] as const;
  return said.find((type) => sent(effects, type).length > 0);
}

function failover(before: Cluster, strict: boolean): Cluster {
  const after = new Cluster({ strict }, { registry: before.registry, masterId: "n" });
  after.master.recoveredOf = before.registry.admitted.size;
  after.now = before.now;
  after.master.recoveredDeadline = millis(after.now + reregisterTimeoutMs);
  adoptRegistry(after.master, after.now);
  return after;
}

const leave = (cluster: Cluster, agent: TestAgent): unknown =>
  cluster.commitAll(cluster.say(agent.socket, { type: "unregister", session: agent.session }, agent.host));

test.each(MODES)("[M36] %s: an operation that contradicts the registry", (_name, strict) => {
  const described = {
    agentId: "m-S1" as AgentId,
    info: { hostname: "host", port: 5051, resources: [], attributes: [] },
    hostKey: hostKey(1),
    principal: "agent" as never,
  };
  const registry = emptyRegistry();
  const apply = (operation: RegistryOperation) =>
    applyOperation(registry, { operation, audit: { who: "a", when: millis(1), why: "w" } }).type;
  const refusedOr = (otherwise: string) => (strict ? "refused" : otherwise);
  expect(apply({ type: "remove-agent", agentId: described.agentId, strict })).toBe(refusedOr("unchanged"));
  expect(apply({ type: "readmit-agent", ...described, strict })).toBe(refusedOr("changed"));
  registry.admitted.clear();
  expect(apply({ type: "admit-agent", ...described, strict })).toBe("changed");
  expect(apply({ type: "admit-agent", ...described, strict })).toBe(refusedOr("unchanged"));
  expect(apply({ type: "readmit-agent", ...described, strict })).toBe("unchanged");
});

test.each([
  ["write-only", false, "registered"],
  ["strict", true, "shutdown"],
] as const)("[M36] %s: an agent that the registry does not know registers again", (_name, strict, answer) => {
  expect(answerTo(new Cluster({ strict }), "elsewhere-S7" as AgentId, 1)).toBe(answer);
});

test.each([
  ["write-only", false, "removed, nobody is told", []],
  ["strict", true, "unreachable, every framework is told", ["FAILURE"]],
] as const)("[M36] %s: a recovered agent times out after a failover: %s", (_name, strict, _what, told) => {
  const before = new Cluster({ strict });
  const agent = before.agent();
  const after = failover(before, strict);
  const framework = after.framework();
  after.commitAll(after.pass(reregisterTimeoutMs));
  expect(after.registry.admitted.size).toBe(0);
  expect(after.registry.unreachable.has(agent.agentId)).toBe(strict);
  expect(
    after
      .events(framework)
      .filter(({ type }) => type === "FAILURE" || type === "UPDATE")
      .map(({ type }) => type),
  ).toEqual(told);
});

test.each([
  ["write-only", false, []],
  ["strict", true, ["TASK_LOST", "TASK_LOST"]],
] as const)("[M36] %s: a kill and a reconciliation of a task that nobody knows", (_name, strict, told) => {
  const cluster = new Cluster({ strict });
  const framework = cluster.framework();
  const { task_id } = task("t", "elsewhere-S7" as AgentId);
  const agent_id = { value: "elsewhere-S7" as AgentId };
  cluster.call(framework, { type: "KILL", kill: { task_id, agent_id, kill_policy: undefined } });
  cluster.call(framework, { type: "RECONCILE", reconcile: { tasks: [{ task_id, agent_id }] } });
  expect(cluster.updates(framework).map(({ state }) => state)).toEqual(told);
});

test.each(MODES)(
  "[M36] %s: a removed agent registers again with the same master: told to shut down",
  (_name, strict) => {
    const cluster = new Cluster({ strict });
    const agent = cluster.agent();
    leave(cluster, agent);
    expect(answerTo(cluster, agent.agentId, agent.host)).toBe("shutdown");
  },
);

test.each([
  ["write-only", false, "registered"],
  ["strict", true, "shutdown"],
] as const)("[M36] %s: a removed agent registers again with a new master", (_name, strict, answer) => {
  const before = new Cluster({ strict });
  const agent = before.agent();
  leave(before, agent);
  expect(answerTo(failover(before, strict), agent.agentId, agent.host)).toBe(answer);
});

test("[M33] write-only: removals have permits of their own", () => {
  const before = new Cluster();
  [1, 2, 3].map((host) => before.agent(host));
  const after = new Cluster(
    { strict: false, removalRateLimit: { permits: 1, perMs: 60_000 }, unreachableRateLimit: { permits: 3, perMs: 1 } },
    { registry: before.registry, masterId: "n" },
  );
  after.master.recoveredDeadline = millis(after.now + 10);
  adoptRegistry(after.master, after.now);
  const removals = (effects: readonly { readonly type: string }[]) =>
    effects.filter(({ type }) => type === "registry").length;
  expect(removals(after.pass(10))).toBe(1);
  expect(removals(after.pass(59_999))).toBe(0);
  expect(removals(after.pass(1))).toBe(1);
});
