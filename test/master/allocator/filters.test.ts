import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import { parseAttributes } from "#resources/text.ts";
import { FILTERS_MAX } from "../../../src/master/allocator/filters.ts";
import {
  allocate,
  isDue,
  nextWake,
  recover,
  removeAgent,
  removeFramework,
  revive,
  roleView,
  setFrameworkActive,
  suppress,
  updateAgent,
} from "../../../src/master/allocator/hierarchical.ts";
import { agentId, frameworkId, resources, SmallCluster, volume } from "./small-cluster.ts";

const [A, F] = [agentId("a"), frameworkId("f")];
const filtersOf = (cluster: SmallCluster, role = "*"): number => roleView(cluster.allocator, role).filters;

/** f has refused all of a, for five seconds. */
function refused(firmMs = 0): SmallCluster {
  const cluster = new SmallCluster().agent("a", "cpus:2;mem:64").framework("f");
  expect(cluster.run()).toEqual(["a f * cpus:2;mem:64"]);
  return cluster.recover("f", "a", { ms: 5_000, firmMs });
}

test("[AL14] nothing is offered in a suppressed role until it is revived", () => {
  const cluster = new SmallCluster().framework("f", ["web", "batch"]);
  suppress(cluster.allocator, F, ["web"]);
  cluster.agent("a", "cpus:2");
  expect(cluster.run()).toEqual(["a f batch cpus:2"]);
  suppress(cluster.allocator, F, []);
  cluster.recover("f");
  expect(cluster.run()).toEqual([]);
  revive(cluster.allocator, F, ["web"]);
  expect(cluster.run()).toEqual(["a f web cpus:2"]);
  cluster.recover("f");
  suppress(cluster.allocator, F, []);
  revive(cluster.allocator, F, []);
  expect(cluster.run()).toHaveLength(1);
});

test("[AL14] roles that are not the framework's are left out", () => {
  const cluster = new SmallCluster().framework("f", ["web"]).agent("a", "cpus:2");
  suppress(cluster.allocator, F, ["batch"]);
  expect(cluster.run()).toEqual(["a f web cpus:2"]);
});

test("[AL14] revive ends refusals of the named roles, and of all without a name", () => {
  const cluster = new SmallCluster().agent("a", "cpus(web):1;cpus(batch):1").framework("f", ["web", "batch"]);
  const decline = (): unknown => cluster.recover("f", "a", { ms: 60_000, firmMs: 1_000 });
  expect(cluster.run()).toHaveLength(2);
  decline();
  expect(cluster.run()).toEqual([]);
  revive(cluster.allocator, F, ["web"]);
  expect(cluster.run()).toEqual(["a f web cpus(web):1"]);
  decline();
  revive(cluster.allocator, F, []);
  expect(cluster.run()).toHaveLength(2);
});

test("[AL15] [25.16] what was refused, or a part of it, is not offered again before the refusal ends", () => {
  const cluster = refused();
  expect(cluster.run()).toEqual([]);
  allocate(cluster.allocator, {
    agentId: A,
    frameworkId: frameworkId("other"),
    role: "*",
    resources: resources("cpus:1"),
  });
  updateAgent(cluster.allocator, A, {});
  cluster.now = 4_999;
  expect(cluster.run(), "a subset").toEqual([]);
  expect(isDue(cluster.allocator, millis(4_999))).toBe(false);
  cluster.now = 5_000;
  expect(isDue(cluster.allocator, millis(5_000))).toBe(true);
  expect(cluster.run()).toEqual(["a f * cpus:1;mem:64"]);
  expect(filtersOf(cluster)).toBe(0);
});

test("[AL15] when there is more than was refused, all of it is offered", () => {
  const cluster = refused();
  updateAgent(cluster.allocator, A, { total: resources("cpus:2;mem:64.001") });
  expect(cluster.run()).toEqual(["a f * cpus:2;mem:64.001"]);
});

test("[AL15] of another kind is more, too", () => {
  const cluster = refused();
  updateAgent(cluster.allocator, A, { total: resources("cpus:1;ports:[1-2]") });
  expect(cluster.run()).toEqual(["a f * cpus:1;ports:[1-2]"]);
});

test("[AL15] a shared volume that was not refused is more, too", () => {
  const cluster = new SmallCluster()
    .agent("a", "cpus:2")
    .framework("f", ["web"], { capabilities: { shared: true } })
    .framework("g", ["web"], { suppressed: ["web"] });
  cluster.run();
  cluster.recover("f", "a", { ms: 5_000 });
  const shared = { ...volume("v", 10, "web"), shared: {} };
  updateAgent(cluster.allocator, A, { total: resources("cpus:2", [shared]) });
  expect(cluster.run()).toEqual(["a f web cpus:2;disk(web)=v+:10"]);
  cluster.recover("f", "a", { ms: 5_000 });
  updateAgent(cluster.allocator, A, {});
  expect(cluster.run()).toEqual([]);
});

test("[AL15] while a refusal is firm nothing of the agent is offered; then what is more is, without anything else happening", () => {
  const cluster = refused(1_000);
  updateAgent(cluster.allocator, A, { total: resources("cpus:4;mem:64") });
  expect(cluster.run()).toEqual([]);
  expect(nextWake(cluster.allocator, millis(0))).toBe(1_000);
  cluster.now = 999;
  expect(cluster.run()).toEqual([]);
  cluster.now = 1_000;
  expect(cluster.run()).toEqual(["a f * cpus:4;mem:64"]);
});

test("[AL15] a refusal is one framework's, in one role, on one agent", () => {
  const cluster = refused(1_000).framework("g");
  expect(cluster.run()).toEqual(["a g * cpus:2;mem:64"]);
  cluster.recover("g", "a", { ms: 5_000 }).update("f", ["*", "web"]);
  expect(cluster.run()).toEqual(["a f web cpus:2;mem:64"]);
  cluster.agent("b", "cpus:2");
  expect(cluster.run().map((line) => line.split(" ")[0])).toEqual(["b"]);
});

test("[AL15] several refusals hold each by itself: not what two of them say together", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2;mem:64").framework("f");
  cluster.run();
  const part = (text: string): void =>
    recover(
      cluster.allocator,
      { agentId: A, frameworkId: F, role: "*", resources: resources(text) },
      { until: millis(5_000), firmUntil: millis(0) },
    );
  part("cpus:2");
  expect(cluster.run()).toEqual([]);
  part("mem:64");
  expect(cluster.run()).toEqual(["a f * cpus:2;mem:64"]);
});

test("[AL16] a refusal ends when the framework was away, gave up the role, or suppressed it for a while", () => {
  for (const end of [
    (cluster: SmallCluster) => {
      setFrameworkActive(cluster.allocator, F, false);
      setFrameworkActive(cluster.allocator, F, true);
    },
    (cluster: SmallCluster) => cluster.update("f", ["web"]).update("f", ["*"]),
    (cluster: SmallCluster) => cluster.update("f", ["*"], { suppressed: ["*"] }).update("f", ["*"]),
    (cluster: SmallCluster) => {
      removeFramework(cluster.allocator, F);
      cluster.framework("f");
    },
  ]) {
    const cluster = refused(1_000);
    expect(cluster.run()).toEqual([]);
    expect(filtersOf(cluster)).toBe(1);
    end(cluster);
    expect(filtersOf(cluster)).toBe(0);
    expect(cluster.run()).toEqual(["a f * cpus:2;mem:64"]);
    expect(nextWake(cluster.allocator, millis(0))).toBeUndefined();
  }
});

test("[AL16] it outlasts a subscription that says the same", () => {
  const cluster = refused();
  cluster.update("f", ["*"]);
  expect(cluster.run()).toEqual([]);
});

test("[AL16] other attributes of the agent end the refusals on it, the same ones do not", () => {
  const parsed = parseAttributes("rack:b");
  const attributes = parsed.type === "parsed" ? parsed.value : [];
  const cluster = refused();
  updateAgent(cluster.allocator, A, { attributes: [] });
  expect(cluster.run()).toEqual([]);
  updateAgent(cluster.allocator, A, { attributes });
  expect(cluster.run()).toEqual(["a f * cpus:2;mem:64"]);
});

test("[AL16] an agent that was removed comes back without refusals", () => {
  const cluster = refused(1_000);
  removeAgent(cluster.allocator, A);
  expect(filtersOf(cluster)).toBe(0);
  cluster.agent("a", "cpus:2");
  expect(cluster.run()).toEqual(["a f * cpus:2"]);
});

test("[AL16] who is not there any more refuses nothing", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2").framework("f");
  cluster.run();
  setFrameworkActive(cluster.allocator, F, false);
  cluster.recover("f", "a", { ms: 5_000 });
  setFrameworkActive(cluster.allocator, F, true);
  expect(cluster.run()).toEqual(["a f * cpus:2"]);
});

test("[AL27] a client has a bounded number of refusals on an agent; those that say nothing more are forgotten", () => {
  const cluster = new SmallCluster({ minAllocatable: [] }).agent("a", "").framework("f");
  const refuse = (text: string): void => {
    updateAgent(cluster.allocator, A, { total: resources(text) });
    expect(cluster.run()).toHaveLength(1);
    cluster.recover("f", "a", { ms: 5_000 });
  };
  for (let n = 1; n <= 50; n++) refuse(`cpus:${n}`);
  expect(filtersOf(cluster), "each holds back what the one before did").toBe(1);
  for (let n = 0; n < FILTERS_MAX + 5; n++) refuse(`ports:[${n}-${n}]`);
  expect(filtersOf(cluster)).toBe(FILTERS_MAX);
  updateAgent(cluster.allocator, A, { total: resources("cpus:50") });
  expect(cluster.run(), "the oldest is forgotten").toHaveLength(1);
});

test("[AL27] refusals that went before their end do not pile up", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2").framework("f");
  for (let n = 0; n < 20_000; n++) {
    expect(cluster.run()).toHaveLength(1);
    cluster.recover("f", "a", { ms: 1_000_000 + n });
    revive(cluster.allocator, F, []);
  }
  expect(cluster.allocator.ends.heap.length).toBeLessThan(3_000);
});

test("[AL23] refusals end in the order of their times", () => {
  const cluster = new SmallCluster().framework("f");
  const times = [7, 3, 9, 1, 8, 2, 6, 4, 5, 10].map((n) => n * 100);
  for (const ms of times) cluster.agent(`a${ms}`, "cpus:1");
  expect(cluster.run()).toHaveLength(times.length);
  for (const ms of times) cluster.recover("f", `a${ms}`, { ms });
  expect(cluster.run()).toEqual([]);
  for (let wake = nextWake(cluster.allocator, millis(0)), n = 1; wake !== undefined; n++) {
    expect(wake).toBe(n * 100);
    cluster.now = wake - 1;
    expect(cluster.run()).toEqual([]);
    cluster.now = wake;
    expect(cluster.run()).toEqual([`a${wake} f * cpus:1`]);
    wake = nextWake(cluster.allocator, wake);
  }
  expect(cluster.now).toBe(1_000);
});
