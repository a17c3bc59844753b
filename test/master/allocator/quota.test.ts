import { expect, test } from "vitest";
import { InvariantError } from "#base/assert.ts";
import { millis } from "#base/time.ts";
import type { Resource } from "#protocol/resource.ts";
import { quantitiesOf } from "#resources/quantities.ts";
import {
  allocate,
  free,
  isDue,
  recover,
  removeAgent,
  revive,
  roleView,
  setAgentActive,
  setQuota,
  suppress,
} from "../../../src/master/allocator/hierarchical.ts";
import { agentId, frameworkId, reserved, resources, revocable, SmallCluster, textOf } from "./small-cluster.ts";

const [A, B, F] = [agentId("a"), agentId("b"), frameworkId("f")];

const mount = (disk: number): Resource => ({
  name: "disk",
  type: "SCALAR",
  scalar: { value: disk },
  disk: { source: { type: "MOUNT", mount: { root: "/mnt" } } },
});

test("[AL17] only a role at the top has a quota, and no guarantee above its limit", () => {
  const { allocator } = new SmallCluster();
  const quota = (guarantees: object, limits: object) => ({
    guarantees: quantitiesOf({ ...guarantees }),
    limits: quantitiesOf({ ...limits }),
  });
  expect(() => setQuota(allocator, "web/eu", quota({}, { cpus: 1 }))).toThrow(InvariantError);
  expect(() => setQuota(allocator, "web", quota({ cpus: 2 }, { cpus: 1 }))).toThrow(InvariantError);
  setQuota(allocator, "web", quota({ cpus: 2 }, { cpus: 2, mem: 1 }));
  expect(roleView(allocator, "web").quota).toEqual(quota({ cpus: 2 }, { cpus: 2, mem: 1 }));
  setQuota(allocator, "web", undefined);
  expect(roleView(allocator, "web").quota).toBeUndefined();
});

test("[AL18] [25.17] what is offered is cut down to the limit; kinds without one are offered whole", () => {
  const cluster = new SmallCluster()
    .quota("web", {}, { cpus: 3 })
    .framework("f", ["web"])
    .agent("a", "cpus:8;mem:64;ports:[1-9]");
  expect(cluster.run()).toEqual(["a f web cpus:3;mem:64;ports:[1-9]"]);
  expect([...roleView(cluster.allocator, "web").consumed]).toEqual([
    ["cpus", 3_000],
    ["mem", 64_000],
  ]);
  cluster.agent("b", "cpus:8;mem:64");
  expect(cluster.run(), "what is left is worth an offer, too").toEqual(["b f web mem:64"]);
  cluster.agent("c", "cpus:8");
  expect(cluster.run()).toEqual([]);
  recover(cluster.allocator, { agentId: A, frameworkId: F, role: "web", resources: resources("cpus:1") });
  expect(cluster.run()).toEqual([expect.stringMatching(/^[abc] f web cpus:1$/)]);
});

test("[AL18] nothing may be a limit", () => {
  const cluster = new SmallCluster()
    .quota("web", {}, { cpus: 0, mem: 0 })
    .framework("f", ["web"])
    .framework("g")
    .agent("a", "cpus:8;mem:64");
  expect(cluster.run()).toEqual(["a g * cpus:8;mem:64"]);
});

test("[AL18] roles below it consume the quota of the role at the top", () => {
  const cluster = new SmallCluster()
    .quota("web", {}, { cpus: 3 })
    .framework("f", ["web/eu"])
    .framework("g", ["web/us/east"])
    .agent("a", "cpus:2")
    .agent("b", "cpus:2");
  const cpus = cluster.run().map((line) => line.split(" ").slice(1).join(" "));
  expect(cpus.toSorted()).toEqual(["f web/eu cpus:2", "g web/us/east cpus:1"]);
});

test("[AL18] reservations consume it, whoever has them, and are offered beyond it", () => {
  const cluster = new SmallCluster()
    .quota("web", {}, { cpus: 3 })
    .framework("f", ["web"], { capabilities: { reservationRefinement: true } })
    .agent("a", "cpus:8", { extra: [reserved("cpus", 1, "web"), reserved("cpus", 1, "web", "web/eu")] });
  expect(cluster.run()).toEqual(["a f web cpus(web):1;cpus:1"]);
  const beyond = new SmallCluster()
    .quota("web", {}, { cpus: 3 })
    .framework("f", ["web"])
    .agent("a", "cpus:8;cpus(web):5");
  expect(beyond.run()).toEqual(["a f web cpus(web):5"]);
});

test("[AL18] revocable resources consume nothing", () => {
  const cluster = new SmallCluster()
    .quota("web", {}, { cpus: 1 })
    .framework("f", ["web"], { capabilities: { revocable: true } })
    .agent("a", "cpus:2", { extra: [revocable("cpus", 5)] });
  expect(cluster.run()).toEqual(["a f web cpus:1;cpus~:5"]);
});

test("[AL18] a mount is offered whole or not at all", () => {
  const cluster = new SmallCluster()
    .quota("web", {}, { disk: 100 })
    .framework("f", ["web"])
    .agent("a", "cpus:1;disk:20", { extra: [mount(90)] });
  expect(cluster.run()).toEqual(["a f web cpus:1;disk:20"]);
  cluster.recover("f").quota("web", {}, { disk: 110 });
  expect(cluster.run()).toEqual(["a f web cpus:1;disk:20;disk:90"]);
});

test("[AL18] [AL21] with a higher limit, or none, what was held back is offered", () => {
  const cluster = new SmallCluster().quota("web", {}, { cpus: 1 }).framework("f", ["web"]).agent("a", "cpus:8");
  expect(cluster.run()).toEqual(["a f web cpus:1"]);
  expect(isDue(cluster.allocator, millis(0))).toBe(false);
  cluster.quota("web", {}, { cpus: 3 });
  expect(cluster.run()).toEqual(["a f web cpus:2"]);
  setQuota(cluster.allocator, "web", undefined);
  expect(cluster.run()).toEqual(["a f web cpus:5"]);
});

test("[AL18] a limit below what a role has takes nothing away, and gives nothing more", () => {
  const cluster = new SmallCluster().framework("f", ["web"]).agent("a", "cpus:8").agent("b", "cpus:8;mem:64");
  suppress(cluster.allocator, F, []);
  allocate(cluster.allocator, { agentId: A, frameworkId: F, role: "web", resources: resources("cpus:8") });
  cluster.quota("web", {}, { cpus: 2 });
  revive(cluster.allocator, F, []);
  expect(cluster.run()).toEqual(["b f web mem:64"]);
  expect(roleView(cluster.allocator, "web").consumed.get("cpus")).toBe(8_000);
});

test("[AL19] a guarantee is held back from others while nobody takes it", () => {
  const cluster = new SmallCluster().quota("web", { cpus: 3 }).framework("g").agent("a", "cpus:8;mem:64");
  expect(cluster.run()).toEqual(["a g * cpus:5;mem:64"]);
  cluster.framework("f", ["web"]);
  expect(cluster.run()).toEqual(["a f web cpus:3"]);
});

test("[AL19] who has a guarantee that is not met comes first, whatever its share", () => {
  const cluster = new SmallCluster().quota("web", { cpus: 6 }).agent("x", "cpus:4").agent("y", "cpus:20");
  allocate(cluster.allocator, { agentId: agentId("x"), frameworkId: F, role: "web", resources: resources("cpus:4") });
  setAgentActive(cluster.allocator, agentId("y"), false);
  cluster.framework("f", ["web"]).framework("g").agent("a", "cpus:1").agent("b", "cpus:1");
  expect(cluster.run()).toEqual(["a f web cpus:1", "b f web cpus:1"]);
  cluster.agent("c", "cpus:1");
  expect(cluster.run(), "it is met: its turn is by its share").toEqual(["c g * cpus:1"]);
});

test("[AL19] the first stage offers only where it brings nearer to the guarantee", () => {
  const cluster = new SmallCluster()
    .quota("web", { cpus: 2 })
    .framework("a-first", ["other"])
    .framework("f", ["web"])
    .agent("a", "cpus:2;mem:64")
    .agent("b", "mem:64");
  expect(cluster.run()).toEqual(["a f web cpus:2;mem:64", "b a-first other mem:64"]);
});

test("[AL19] beyond its guarantee a role takes from the surplus as everybody does", () => {
  const cluster = new SmallCluster()
    .quota("web", { cpus: 2 })
    .quota("batch", { cpus: 3 })
    .framework("f", ["web"])
    .agent("a", "cpus:8");
  expect(cluster.run(), "2 of its own, 3 of the surplus; 3 are batch's").toEqual(["a f web cpus:5"]);
  cluster.framework("g", ["batch"]);
  expect(cluster.run()).toEqual(["a g batch cpus:3"]);
});

test("[AL19] several guarantees that are more than there is: each is met as far as it goes", () => {
  const cluster = new SmallCluster()
    .quota("web", { cpus: 6 })
    .quota("batch", { cpus: 6 })
    .framework("f", ["web"])
    .framework("g", ["batch"])
    .framework("h")
    .agent("a", "cpus:4")
    .agent("b", "cpus:4");
  const made = cluster.run();
  expect(new Set(made.map((line) => line.split(" ")[1]))).toEqual(new Set(["f", "g"]));
});

test("[AL19] a role's own reservations meet its guarantee", () => {
  const cluster = new SmallCluster().quota("web", { cpus: 3 }).framework("g").agent("a", "cpus:8;cpus(web/eu):2");
  expect(cluster.run()).toEqual(["a g * cpus:7"]);
});

test("[AL19] headroom is what is free on active agents", () => {
  const cluster = new SmallCluster()
    .quota("web", { cpus: 3 })
    .framework("g")
    .agent("a", "cpus:4")
    .agent("b", "cpus:4", { isActive: false });
  expect(cluster.run()).toEqual(["a g * cpus:1"]);
  setAgentActive(cluster.allocator, B, true);
  expect(cluster.run(), "4 on b, or 3 on a and 1 on b").toSatisfy(
    (made: readonly string[]) =>
      made.reduce((total, line) => total + Number(line.split(":")[1]), 0) === 4 &&
      made.every((line) => line.includes(" g ")),
  );
});

test("[AL19] what is not a scalar, reserved or revocable is never held back", () => {
  const cluster = new SmallCluster({ minAllocatable: [] })
    .quota("web", { cpus: 30 })
    .framework("g", ["batch"], { capabilities: { revocable: true } })
    .agent("a", "cpus:4;cpus(batch):1;ports:[1-9]", { extra: [revocable("cpus", 2)] });
  expect(cluster.run()).toEqual(["a g batch cpus(batch):1;cpus~:2;ports:[1-9]"]);
});

test("[AL21] what was held back for a guarantee is offered when that is met elsewhere, lowered or removed", () => {
  const start = (): SmallCluster => {
    const cluster = new SmallCluster().quota("web", { cpus: 2 }).framework("g").agent("a", "cpus:4");
    expect(cluster.run()).toEqual(["a g * cpus:2"]);
    expect(cluster.run()).toEqual([]);
    return cluster;
  };
  const met = start();
  met.agent("b", "cpus(web):2");
  expect(met.run()).toEqual(["a g * cpus:2"]);
  const lowered = start();
  lowered.quota("web", { cpus: 1 });
  expect(lowered.run()).toEqual(["a g * cpus:1"]);
  const removed = start();
  setQuota(removed.allocator, "web", undefined);
  expect(removed.run()).toEqual(["a g * cpus:2"]);
  const elsewhere = start();
  elsewhere.agent("c", "cpus:2").framework("f", ["web"]);
  expect(elsewhere.run().filter((line) => line.includes(" f "))).not.toEqual([]);
});

test("[AL21] what the first stage looks at is still held back after it", () => {
  // Once forgotten: the surplus had come back on another agent, and the first stage found nothing that it held back.
  for (let draws = 0; draws < 20; draws++) {
    const cluster = new SmallCluster({ minAllocatable: [] }).quota("*", { mem: 1 }).framework("f", ["batch"]);
    for (let n = 0; n < draws; n++) cluster.allocator.options.random.next();
    cluster.agent("a", "mem:256").agent("b", "mem:64");
    cluster.run();
    cluster.recover("f", "a").run();
    setQuota(cluster.allocator, "*", undefined);
    cluster.run();
    expect([textOf(free(cluster.allocator, A)), textOf(free(cluster.allocator, B))]).toEqual(["", ""]);
  }
});

test("[AL21] an agent that leaves makes the surplus smaller, and nothing is taken back", () => {
  const cluster = new SmallCluster().quota("web", { cpus: 4 }).framework("g").agent("a", "cpus:4").agent("b", "cpus:4");
  cluster.run();
  removeAgent(cluster.allocator, B);
  expect(cluster.run()).toEqual([]);
  expect(isDue(cluster.allocator, millis(0))).toBe(false);
});
