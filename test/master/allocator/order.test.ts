import { expect, test } from "vitest";
import type { AgentId } from "#protocol/ids.ts";
import {
  allocate,
  removeAgent,
  roleView,
  setFrameworkActive,
  setWeights,
} from "../../../src/master/allocator/hierarchical.ts";
import { shuffled } from "../../../src/master/allocator/shuffle.ts";
import { agentId, frameworkId, resources, SmallCluster } from "./small-cluster.ts";

/** Who has how many agents. */
function counts(made: readonly string[], by: "framework" | "role" = "framework"): Readonly<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const line of made) {
    const key = line.split(" ")[by === "framework" ? 1 : 2] ?? "";
    found[key] = (found[key] ?? 0) + 1;
  }
  return found;
}

function agents(cluster: SmallCluster, count: number, text: string): SmallCluster {
  for (let n = 0; n < count; n++) cluster.agent(`a${n}`, text);
  return cluster;
}

test("[AL10] frameworks of one role have equal shares", () => {
  const cluster = agents(new SmallCluster(), 9, "cpus:1;mem:32").framework("f").framework("g").framework("h");
  expect(counts(cluster.run())).toEqual({ f: 3, g: 3, h: 3 });
});

test("[AL10] the dominant share counts: memory for one, cpus for the other", () => {
  const cluster = new SmallCluster().agent("x", "cpus:10;mem:1000");
  const [x, role] = [agentId("x"), "*"];
  // f has 0.3 of the cluster's memory, g 0.2 of its cpus.
  allocate(cluster.allocator, { agentId: x, frameworkId: frameworkId("f"), role, resources: resources("mem:300") });
  allocate(cluster.allocator, { agentId: x, frameworkId: frameworkId("g"), role, resources: resources("cpus:2") });
  cluster.framework("f").framework("g");
  expect(cluster.run()).toEqual(["x g * cpus:8;mem:700"]);
});

test("[AL10] with equal shares, who had fewer allocations; then the name", () => {
  const cluster = new SmallCluster().framework("g").framework("f").agent("a", "cpus:1");
  expect(cluster.run()).toEqual(["a f * cpus:1"]);
  expect(cluster.recover("f").run(), "f has had its turn").toEqual(["a g * cpus:1"]);
  expect(cluster.recover("g").run()).toEqual(["a f * cpus:1"]);
});

test("[AL10] a share goes with the cluster: agents that come and go change whose turn it is", () => {
  const cluster = new SmallCluster().agent("x", "cpus:4;mem:100").agent("y", "mem:100000");
  const role = "*";
  allocate(cluster.allocator, {
    agentId: agentId("x"),
    frameworkId: frameworkId("f"),
    role,
    resources: resources("mem:99"),
  });
  allocate(cluster.allocator, {
    agentId: agentId("x"),
    frameworkId: frameworkId("g"),
    role,
    resources: resources("cpus:1"),
  });
  cluster.framework("f").framework("g");
  expect(cluster.run()[0], "99 of 100100 is less than a quarter").toBe("x f * cpus:3;mem:1");
  cluster.recover("f", "x");
  removeAgent(cluster.allocator, agentId("y"));
  expect(cluster.run(), "99 of 100 is more").toEqual(["x g * cpus:3;mem:1"]);
});

test("[AL11] roles share by their weights, whatever the number of their frameworks", () => {
  const cluster = agents(new SmallCluster(), 12, "cpus:1");
  setWeights(cluster.allocator, new Map([["web", 3]]));
  cluster.framework("f", ["web"]).framework("g", ["batch"]).framework("h", ["batch"]);
  expect(counts(cluster.run())).toEqual({ f: 9, g: 2, h: 1 });
  expect(roleView(cluster.allocator, "web").share).toBeCloseTo(9 / 12 / 3);
});

test("[AL11] a change of weights brings nothing about, and counts from the next allocation on", () => {
  const cluster = agents(new SmallCluster(), 4, "cpus:1").framework("f", ["web"]).framework("g", ["batch"]);
  expect(counts(cluster.run())).toEqual({ f: 2, g: 2 });
  setWeights(cluster.allocator, new Map([["web", 10]]));
  expect(cluster.run()).toEqual([]);
  cluster.agent("b", "cpus:2");
  expect(cluster.run()).toEqual(["b f web cpus:2"]);
});

test("[AL11] what a role has counts for those above it; siblings contend below them", () => {
  const cluster = agents(new SmallCluster(), 12, "cpus:1")
    .framework("eu", ["web/eu"])
    .framework("us", ["web/us"])
    .framework("batch", ["batch"]);
  expect(counts(cluster.run())).toEqual({ batch: 6, eu: 3, us: 3 });
});

test("[AL11] a role's own frameworks are one more sibling of those below it, of weight 1", () => {
  const cluster = agents(new SmallCluster(), 12, "cpus:1");
  setWeights(
    cluster.allocator,
    new Map([
      ["web", 5],
      ["web/eu", 2],
    ]),
  );
  cluster.framework("f", ["web"]).framework("g", ["web"]).framework("eu", ["web/eu"]);
  expect(counts(cluster.run())).toEqual({ f: 2, g: 2, eu: 8 });
});

test("[AL11] a framework in two roles contends in each by itself", () => {
  const cluster = agents(new SmallCluster(), 8, "cpus:1").framework("f", ["web", "batch"]).framework("g", ["batch"]);
  expect(counts(cluster.run(), "role")).toEqual({ web: 4, batch: 4 });
  const cross = agents(new SmallCluster(), 8, "cpus:1").framework("f", ["web", "batch"]).framework("g", ["batch"]);
  expect(counts(cross.run())).toEqual({ f: 6, g: 2 });
});

test("[AL12] kinds that are excluded do not count for shares", () => {
  const cluster = new SmallCluster({ fairSharingExcluded: ["gpus"] }).agent("x", "cpus:10;gpus:1");
  const [x, role] = [agentId("x"), "*"];
  allocate(cluster.allocator, { agentId: x, frameworkId: frameworkId("f"), role, resources: resources("gpus:1") });
  allocate(cluster.allocator, { agentId: x, frameworkId: frameworkId("e"), role, resources: resources("cpus:1") });
  for (const name of ["e", "f"]) cluster.framework(name, ["*"], { capabilities: { gpuResources: true } });
  expect(cluster.run()).toEqual(["x f * cpus:9"]);
});

test("[AL13] who was away has had no turn", () => {
  const cluster = new SmallCluster().framework("f").framework("g").agent("a", "cpus:1");
  cluster.run();
  cluster.recover("f");
  setFrameworkActive(cluster.allocator, frameworkId("f"), false);
  setFrameworkActive(cluster.allocator, frameworkId("f"), true);
  expect(cluster.run()).toEqual(["a f * cpus:1"]);
});

test("[AL13] nor has its role, as far as those turns were its own", () => {
  const cluster = new SmallCluster().framework("f", ["aa"]).framework("g", ["bb"]).agent("a", "cpus:1");
  expect(cluster.run()).toEqual(["a f aa cpus:1"]);
  cluster.recover("f");
  setFrameworkActive(cluster.allocator, frameworkId("f"), false);
  setFrameworkActive(cluster.allocator, frameworkId("f"), true);
  expect(cluster.run()).toEqual(["a f aa cpus:1"]);
});

test("[AL22] each seed has an order of its own, and agents keep theirs whoever else is there", () => {
  const all = Array.from({ length: 40 }, (_, n) => ({ agentId: `agent-${n}` as AgentId }));
  const orders = new Set([1, 2, 3, 4].map((seed) => JSON.stringify(shuffled(all, seed))));
  expect(orders.size).toBe(4);
  const some = all.filter((_, n) => n % 3 === 0);
  expect(shuffled(some, 7)).toEqual(shuffled(all, 7).filter((one) => some.includes(one)));
});

test("[AL22] no agent is always the first", () => {
  const all = Array.from({ length: 5 }, (_, n) => ({ agentId: `agent-${n}` as AgentId }));
  const first = new Map<string, number>();
  for (let seed = 0; seed < 5_000; seed++) {
    const id = shuffled(all, seed * 7_919)[0]?.agentId ?? "";
    first.set(id, (first.get(id) ?? 0) + 1);
  }
  for (const count of first.values()) expect(Math.abs(count - 1_000)).toBeLessThan(200);
});
