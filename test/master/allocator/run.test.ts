import { expect, test } from "vitest";
import { millis } from "#base/time.ts";
import {
  allocate,
  isDue,
  nextWake,
  setAgentActive,
  setWeights,
  suppress,
  updateAgent,
} from "../../../src/master/allocator/hierarchical.ts";
import { agentId, frameworkId, resources, SmallCluster } from "./small-cluster.ts";

const A = agentId("a");

test("[AL23] a run when nothing changed does nothing, and draws nothing", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2").framework("f").framework("g", ["web"]);
  expect(isDue(cluster.allocator, millis(0))).toBe(true);
  expect(cluster.run()).toHaveLength(1);
  const { drawn } = cluster;
  expect(drawn).toBeGreaterThan(0);
  for (let n = 0; n < 3; n++) {
    cluster.now += 1_000_000;
    expect(isDue(cluster.allocator, millis(cluster.now))).toBe(false);
    expect(cluster.run()).toEqual([]);
  }
  expect(nextWake(cluster.allocator, millis(cluster.now))).toBeUndefined();
  expect(cluster.drawn).toBe(drawn);
});

test("[AL23] what can bring nobody more makes no run due", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2").agent("b", "cpus:2").framework("f");
  cluster.run();
  setWeights(cluster.allocator, new Map([["web", 2]]));
  suppress(cluster.allocator, frameworkId("f"), []);
  setAgentActive(cluster.allocator, A, false);
  setAgentActive(cluster.allocator, A, false);
  cluster.framework("h", ["*"], { isActive: false });
  expect(isDue(cluster.allocator, millis(0))).toBe(false);
});

test("[AL23] what can makes one due", () => {
  const changes: readonly ((cluster: SmallCluster) => unknown)[] = [
    (cluster) => cluster.agent("c", "cpus:1"),
    (cluster) => cluster.framework("h"),
    (cluster) => cluster.recover("f", "a"),
    (cluster) => cluster.update("f", ["*", "web"]),
    (cluster) => updateAgent(cluster.allocator, A, { total: resources("cpus:3") }),
  ];
  for (const [at, change] of changes.entries()) {
    const cluster = new SmallCluster().agent("a", "cpus:2").framework("f");
    cluster.run();
    change(cluster);
    expect(isDue(cluster.allocator, millis(0)), `change ${at}`).toBe(true);
  }
});

test("[AL20] a framework that is new is offered what others left, on agents that did not change", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2;gpus:1").agent("b", "cpus:2").framework("f");
  expect(cluster.run()).toEqual(["b f * cpus:2"]);
  cluster.framework("g", ["*"], { capabilities: { gpuResources: true } });
  expect(cluster.run()).toEqual(["a g * cpus:2;gpus:1"]);
});

test("[AL20] only for whom a refusal ended the agent is looked at, but by everybody's order", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2").framework("f").framework("g");
  cluster.run();
  cluster.recover("f", "a", { ms: 1_000 });
  cluster.run();
  cluster.recover("g", "a", { ms: 1_000 });
  allocate(cluster.allocator, { agentId: A, frameworkId: frameworkId("f"), role: "*", resources: resources("cpus:1") });
  cluster.now = 1_000;
  expect(cluster.run()).toEqual(["a g * cpus:1"]);
});

test("[AL20] among many siblings the few that are looked at come in their order", () => {
  const cluster = new SmallCluster().agent("a", "cpus:1");
  const names = Array.from({ length: 40 }, (_, n) => `f${String(n).padStart(2, "0")}`);
  for (const name of names) cluster.framework(name);
  for (const name of names) {
    expect(cluster.run(), "by the number of turns, then the name").toEqual([`a ${name} * cpus:1`]);
    cluster.recover(name, "a", { ms: 5_000 });
  }
  expect(cluster.run()).toEqual([]);
  cluster.update("f33", ["*"], { suppressed: ["*"] }).update("f20", ["*"], { suppressed: ["*"] });
  cluster.update("f33", ["*"]).update("f20", ["*"]);
  expect(cluster.run()).toEqual(["a f20 * cpus:1"]);
});
