import { expect, test } from "vitest";
import { InvariantError } from "#base/assert.ts";
import { millis } from "#base/time.ts";
import { conversionOf } from "#resources/conversion.ts";
import { equal, toResources } from "#resources/resources.ts";
import {
  allocate,
  allocatedIn,
  allocatedOn,
  allocatedTo,
  canGuarantee,
  capacity,
  convert,
  free,
  knownRoles,
  recover,
  removeAgent,
  removeFramework,
  roleView,
  run,
  setAgentActive,
  setFrameworkActive,
  setWeights,
  updateAgent,
} from "../../../src/master/allocator/hierarchical.ts";
import { quantitiesOf } from "#resources/quantities.ts";
import { agentId, frameworkId, reserved, resources, revocable, SmallCluster, textOf, volume } from "./small-cluster.ts";

const [A, F, G] = [agentId("a"), frameworkId("f"), frameworkId("g")];

test("[AL1] what one is given is no longer free, and comes back when it is recovered", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2;mem:64").framework("f").framework("g");
  expect(cluster.run()).toEqual(["a f * cpus:2;mem:64"]);
  expect(textOf(free(cluster.allocator, A))).toBe("");
  expect(textOf(allocatedOn(cluster.allocator, A))).toBe("cpus:2;mem:64");
  cluster.update("g", ["*"]);
  expect(cluster.run()).toEqual([]);
  recover(cluster.allocator, { agentId: A, frameworkId: F, role: "*", resources: resources("cpus:1") });
  expect(textOf(free(cluster.allocator, A))).toBe("cpus:1");
  expect(cluster.run()).toEqual(["a g * cpus:1"]);
  expect([...allocatedTo(cluster.allocator, F)].map(([role, set]) => `${role} ${textOf(set)}`)).toEqual([
    "* cpus:1;mem:64",
  ]);
  expect(textOf(allocatedIn(cluster.allocator, "*"))).toBe("cpus:2;mem:64");
});

test("[AL2] [25.5] nothing of an inactive agent, nothing to an inactive framework, until they are active", () => {
  const cluster = new SmallCluster()
    .agent("a", "cpus:2", { isActive: false })
    .framework("f", ["*"], { isActive: false });
  expect(cluster.run()).toEqual([]);
  setAgentActive(cluster.allocator, A, true);
  expect(cluster.run()).toEqual([]);
  setFrameworkActive(cluster.allocator, F, true);
  expect(cluster.run()).toEqual(["a f * cpus:2"]);
  setAgentActive(cluster.allocator, A, false);
  cluster.recover("f");
  expect(cluster.run()).toEqual([]);
  setAgentActive(cluster.allocator, A, true);
  setFrameworkActive(cluster.allocator, F, false);
  expect(cluster.run()).toEqual([]);
});

test("[AL2] a framework is offered one role at a time, and only what it has", () => {
  const cluster = new SmallCluster().agent("a", "cpus(web):1;cpus(batch):2").framework("f", ["web"]);
  expect(cluster.run()).toEqual(["a f web cpus(web):1"]);
  cluster.update("f", ["web", "batch"]);
  expect(cluster.run()).toEqual(["a f batch cpus(batch):2"]);
  cluster.recover("f").update("f", ["web"]);
  expect(cluster.run()).toEqual([]);
});

test("[AL3] an agent that shrank below what is allocated has nothing free, of any pool; it has when that has come back", () => {
  const cluster = new SmallCluster().agent("a", "cpus:4;mem:64").framework("f").framework("g");
  allocate(cluster.allocator, { agentId: A, frameworkId: F, role: "*", resources: resources("cpus:3") });
  updateAgent(cluster.allocator, A, { total: resources("cpus:2;mem:64") });
  expect(textOf(free(cluster.allocator, A))).toBe("");
  expect(cluster.run()).toEqual([]);
  recover(cluster.allocator, { agentId: A, frameworkId: F, role: "*", resources: resources("cpus:2") });
  expect(textOf(free(cluster.allocator, A))).toBe("cpus:1;mem:64");
});

test("[AL3] revocable resources that are overdrawn hold nothing else back", () => {
  const cluster = new SmallCluster().agent("a", "cpus:4", { extra: [revocable("cpus", 2)] });
  allocate(cluster.allocator, {
    agentId: A,
    frameworkId: F,
    role: "*",
    resources: resources("", [revocable("cpus", 2)]),
  });
  updateAgent(cluster.allocator, A, { total: resources("cpus:4", [revocable("cpus", 1)]) });
  expect(textOf(free(cluster.allocator, A))).toBe("cpus:4");
});

test("[AL4] only what is allocated comes back, and once; of an agent that was removed nothing does", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2").framework("f").framework("g", ["web"]);
  expect(cluster.run()).toEqual(["a f * cpus:2"]);
  const all = { agentId: A, frameworkId: F, role: "*", resources: resources("cpus:2") };
  expect(() => recover(cluster.allocator, { ...all, frameworkId: G })).toThrow(InvariantError);
  expect(() => recover(cluster.allocator, { ...all, role: "web" })).toThrow(InvariantError);
  expect(() => recover(cluster.allocator, { ...all, resources: resources("cpus:3") })).toThrow(InvariantError);
  recover(cluster.allocator, all);
  expect(() => recover(cluster.allocator, all)).toThrow(InvariantError);
  cluster.run();
  removeAgent(cluster.allocator, A);
  recover(cluster.allocator, all);
  expect([...allocatedTo(cluster.allocator, F)]).toEqual([]);
  expect([...capacity(cluster.allocator)]).toEqual([]);
  expect(cluster.run()).toEqual([]);
});

test("[AL5] an operation converts what a framework holds, at once and whole", () => {
  const cluster = new SmallCluster().agent("a", "cpus:4").framework("f", ["web"]);
  cluster.run();
  const reserve = (cpus: number) => conversionOf({ type: "RESERVE", resources: [reserved("cpus", cpus, "web")] });
  const holder = { agentId: A, frameworkId: F, role: "web" };
  expect(convert(cluster.allocator, { ...holder, conversion: reserve(5) })).toBe(false);
  expect(convert(cluster.allocator, { ...holder, frameworkId: G, conversion: reserve(1) })).toBe(false);
  expect(convert(cluster.allocator, { agentId: A, conversion: reserve(1) }), "nothing is free").toBe(false);
  expect(convert(cluster.allocator, { agentId: agentId("b"), conversion: reserve(1) })).toBe(false);
  expect(textOf(allocatedOn(cluster.allocator, A))).toBe("cpus:4");
  expect(convert(cluster.allocator, { ...holder, conversion: reserve(1) })).toBe(true);
  expect(textOf(allocatedOn(cluster.allocator, A))).toBe("cpus(web):1;cpus:3");
  expect(textOf(free(cluster.allocator, A))).toBe("");
  expect([...roleView(cluster.allocator, "web").reserved]).toEqual([["cpus", 1_000]]);
});

test("[AL5] an operation of the operator converts what is free, and that is offered to whom it is for", () => {
  const cluster = new SmallCluster()
    .agent("a", "cpus:4")
    .framework("f", ["web"], { suppressed: ["web"] })
    .framework("g");
  const conversion = conversionOf({ type: "RESERVE", resources: [reserved("cpus", 1, "web")] });
  expect(convert(cluster.allocator, { agentId: A, conversion })).toBe(true);
  expect(cluster.run()).toEqual(["a g * cpus:3"]);
  cluster.update("f", ["web"]);
  expect(cluster.run()).toEqual(["a f web cpus(web):1"]);
});

test("[AL6] [25.2] a shared volume comes with each offer to whoever may have it, and alone makes none", () => {
  const shared = { ...volume("v", 10, "web"), shared: {} };
  const cluster = new SmallCluster()
    .agent("a", "cpus:2;cpus(web):1", { extra: [shared] })
    .framework("f", ["web"], { capabilities: { shared: true } })
    .framework("g", ["web"], { capabilities: { shared: true } })
    .framework("h", ["web"]);
  expect(cluster.run()).toEqual(["a f web cpus(web):1;cpus:2;disk(web)=v+:10"]);
  expect(textOf(free(cluster.allocator, A)), "still there").toBe("disk(web)=v+:10");
  expect(cluster.run()).toEqual([]);
  recover(cluster.allocator, { agentId: A, frameworkId: F, role: "web", resources: resources("cpus:1") });
  expect(cluster.run()).toEqual(["a g web cpus:1;disk(web)=v+:10"]);
  const destroy = conversionOf({ type: "DESTROY", volumes: [shared] });
  const holder = { agentId: A, frameworkId: F, role: "web", conversion: destroy };
  expect(convert(cluster.allocator, holder), "somebody else has it").toBe(false);
  cluster.recover("g");
  expect(cluster.run(), "without SHARED_RESOURCES it is left out").toEqual(["a h web cpus:1"]);
  expect(convert(cluster.allocator, { agentId: A, conversion: destroy }), "it is in use").toBe(false);
  expect(convert(cluster.allocator, holder)).toBe(true);
  expect(textOf(allocatedOn(cluster.allocator, A))).toBe("cpus(web):1;cpus:2;disk(web):10");
});

test("[AL6] who has a shared volume twice has it until the last use is over, and counts for one", () => {
  const shared = { ...volume("v", 10, "web"), shared: {} };
  const cluster = new SmallCluster()
    .agent("a", "cpus:2", { extra: [shared] })
    .framework("f", ["web"], { capabilities: { shared: true } });
  cluster.run();
  const once = { agentId: A, frameworkId: F, role: "web", resources: resources("", [shared]) };
  allocate(cluster.allocator, once);
  const heldDisk = (): number | undefined => roleView(cluster.allocator, "web").held.get("disk");
  expect(heldDisk()).toBe(10_000);
  recover(cluster.allocator, once);
  expect(heldDisk()).toBe(10_000);
  expect(textOf(allocatedOn(cluster.allocator, A))).toContain("=v");
  recover(cluster.allocator, once);
  expect(heldDisk()).toBeUndefined();
  expect(textOf(allocatedOn(cluster.allocator, A))).toBe("cpus:2");
  expect(() => recover(cluster.allocator, once)).toThrow(InvariantError);
});

test("[AL6] a volume that its holder made shared is offered to others, also who refused the agent without it", () => {
  const cluster = new SmallCluster()
    .agent("a", "cpus:2;cpus(web):1;disk(web):10")
    .framework("f", ["web"], { capabilities: { shared: true } });
  cluster.run();
  recover(cluster.allocator, { agentId: A, frameworkId: F, role: "web", resources: resources("cpus:2") });
  expect(cluster.framework("g", ["web"], { capabilities: { shared: true } }).run()).toEqual(["a g web cpus:2"]);
  cluster.recover("g", "a", { ms: 5_000 });
  expect(cluster.run()).toEqual(["a f web cpus:2"]);
  cluster.recover("f", "a", { ms: 5_000 });
  expect(cluster.run()).toEqual([]);
  const shared = { ...volume("v", 10, "web"), shared: {} };
  shared.reservations = [{ type: "STATIC", role: "web" }];
  const conversion = conversionOf({ type: "CREATE", volumes: [shared] });
  expect(convert(cluster.allocator, { agentId: A, frameworkId: F, role: "web", conversion })).toBe(true);
  expect(cluster.run()).toEqual([expect.stringMatching(/^a [fg] web cpus:2;disk\(web\)=v\+:10$/)]);
});

test("[AL28] what is booked before its framework is known counts for it, and outlasts it", () => {
  const cluster = new SmallCluster().agent("a", "cpus:4").agent("b", "cpus:4");
  allocate(cluster.allocator, { agentId: A, frameworkId: F, role: "*", resources: resources("cpus:4") });
  cluster.framework("f").framework("g");
  expect(cluster.run(), "f has something already").toEqual(["b g * cpus:4"]);
  removeFramework(cluster.allocator, F);
  expect(textOf(allocatedOn(cluster.allocator, A))).toBe("cpus:4");
  expect(cluster.run()).toEqual([]);
  recover(cluster.allocator, { agentId: A, frameworkId: F, role: "*", resources: resources("cpus:4") });
  expect([...allocatedTo(cluster.allocator, F)]).toEqual([]);
  expect(cluster.run()).toEqual(["a g * cpus:4"]);
});

test("[AL28] of a role nothing is left when nobody has it, holds it or reserves for it", () => {
  const cluster = new SmallCluster().agent("a", "cpus:1;cpus(x/y):1").framework("f", ["u/v"]);
  expect(knownRoles(cluster.allocator).toSorted()).toEqual(["u", "u/v", "x", "x/y"]);
  cluster.run();
  removeFramework(cluster.allocator, F);
  expect(knownRoles(cluster.allocator)).toContain("u/v");
  removeAgent(cluster.allocator, A);
  expect(knownRoles(cluster.allocator)).toEqual([]);
  setWeights(cluster.allocator, new Map([["z", 2]]));
  expect(knownRoles(cluster.allocator)).toEqual(["z"]);
  expect(roleView(cluster.allocator, "z")).toMatchObject({ role: "z", weight: 2, share: 0, frameworks: [] });
});

test("[AL17] guarantees can be met by what lasts, active or not", () => {
  const cluster = new SmallCluster().agent("a", "cpus:4", { extra: [revocable("cpus", 9)], isActive: false });
  expect(canGuarantee(cluster.allocator, [quantitiesOf({ cpus: 3 }), quantitiesOf({ cpus: 1 })])).toBe(true);
  expect(canGuarantee(cluster.allocator, [quantitiesOf({ cpus: 3 }), quantitiesOf({ cpus: 1.001 })])).toBe(false);
  expect(canGuarantee(cluster.allocator, [quantitiesOf({ mem: 1 })])).toBe(false);
});

test("[AL24] allocations of one framework stand together", () => {
  const cluster = new SmallCluster().framework("f").framework("g").framework("h");
  for (let n = 0; n < 30; n++) cluster.agent(`a${n}`, "cpus:1");
  const frameworks = run(cluster.allocator, millis(0)).map(({ frameworkId: id }) => id);
  expect(frameworks).toHaveLength(30);
  const changes = frameworks.filter((id, at) => id !== frameworks[at - 1]);
  expect(changes).toHaveLength(3);
});

test("[AL1] what is allocated is what was there, to the letter", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2;ports:[10-19]", {
    extra: [volume("v", 10, "web"), reserved("cpus", 1, "web")],
  });
  const before = free(cluster.allocator, A);
  cluster.framework("f", ["web"]).run();
  expect(toResources(free(cluster.allocator, A))).toEqual([]);
  cluster.recover("f");
  expect(equal(free(cluster.allocator, A), before)).toBe(true);
});
