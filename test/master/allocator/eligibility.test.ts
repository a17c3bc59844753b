import { expect, test } from "vitest";
import { quantitiesOf } from "#resources/quantities.ts";
import { updateAgent } from "../../../src/master/allocator/hierarchical.ts";
import { agentId, reserved, resources, revocable, SmallCluster, volume } from "./small-cluster.ts";

test("[AL7] [25.15] what is reserved goes to its role and to those below it, and to nobody else", () => {
  const cluster = new SmallCluster()
    .agent("a", "cpus(web):1;cpus(web/eu):2;cpus(web2):4;cpus(we):8")
    .framework("star")
    .framework("eu", ["web/eu"]);
  expect(cluster.run()).toEqual(["a eu web/eu cpus(web):1;cpus(web/eu):2"]);
  cluster.recover("eu").update("eu", ["web/us"]);
  expect(cluster.run()).toEqual(["a eu web/us cpus(web):1"]);
  cluster.recover("eu").update("eu", ["web"]);
  expect(cluster.run(), "not what is reserved to a role below").toEqual(["a eu web cpus(web):1"]);
});

test("[AL7] static and dynamic reservations and volumes of one role are offered together", () => {
  const cluster = new SmallCluster()
    .agent("a", "cpus:1;cpus(web):2", { extra: [reserved("cpus", 4, "web"), volume("v", 10, "web")] })
    .framework("f", ["web"]);
  expect(cluster.run()).toEqual(["a f web cpus(web):2;cpus(web):4;cpus:1;disk(web)=v:10"]);
});

test("[AL8] agents with GPUs are for GPU_RESOURCES, also what else they have", () => {
  const cluster = new SmallCluster().agent("a", "cpus:1;gpus:1").framework("f");
  expect(cluster.run()).toEqual([]);
  cluster.framework("g", ["*"], { capabilities: { gpuResources: true } });
  expect(cluster.run()).toEqual(["a g * cpus:1;gpus:1"]);
  cluster.recover("g").update("g", ["*"]);
  updateAgent(cluster.allocator, agentId("a"), { total: resources("cpus:1") });
  expect(cluster.run(), "no GPUs any more").toHaveLength(1);
});

test("[AL8] agents of another region are for REGION_AWARE; of an agent or a plane without one nothing is known", () => {
  const cluster = new SmallCluster({ region: "here" })
    .agent("near", "cpus:1", { region: "here" })
    .agent("far", "cpus:1", { region: "there" })
    .agent("somewhere", "cpus:1")
    .framework("f");
  expect(cluster.run()).toEqual(["near f * cpus:1", "somewhere f * cpus:1"]);
  cluster.framework("g", ["*"], { capabilities: { regionAware: true } });
  expect(cluster.run()).toEqual(["far g * cpus:1"]);
  const plane = new SmallCluster().agent("far", "cpus:1", { region: "there" }).framework("f");
  expect(plane.run()).toEqual(["far f * cpus:1"]);
});

test("[AL8] refined reservations are for RESERVATION_REFINEMENT; others get the rest of the agent", () => {
  const refined = reserved("cpus", 2, "web", "web/eu");
  const cluster = new SmallCluster().agent("a", "cpus:1", { extra: [refined] }).framework("f", ["web/eu"]);
  expect(cluster.run()).toEqual(["a f web/eu cpus:1"]);
  cluster.framework("g", ["web/eu"], { capabilities: { reservationRefinement: true } });
  expect(cluster.run()).toEqual(["a g web/eu cpus(web>web/eu):2"]);
});

test("[AL8] revocable resources are for REVOCABLE_RESOURCES", () => {
  const cluster = new SmallCluster().agent("a", "cpus:1", { extra: [revocable("cpus", 2)] }).framework("f");
  expect(cluster.run()).toEqual(["a f * cpus:1"]);
  cluster.framework("g", ["*"], { capabilities: { revocable: true } });
  expect(cluster.run()).toEqual(["a g * cpus~:2"]);
});

test("[AL9] an offer covers one of the minimums: 0.01 cpus or 32 MB, exactly that suffices", () => {
  const cluster = new SmallCluster()
    .agent("a", "cpus:0.01")
    .agent("b", "mem:32")
    .agent("c", "cpus:0.009;mem:31.999;disk:1000;ports:[1-9]")
    .framework("f");
  expect(cluster.run()).toEqual(["a f * cpus:0.01", "b f * mem:32"]);
  updateAgent(cluster.allocator, agentId("c"), { total: resources("mem:32;disk:1000;ports:[1-9]") });
  expect(cluster.run()).toEqual(["c f * disk:1000;mem:32;ports:[1-9]"]);
});

test("[AL9] reserved and unreserved resources are enough together", () => {
  const cluster = new SmallCluster({ minAllocatable: [quantitiesOf({ cpus: 3, mem: 10 })] })
    .agent("a", "cpus:1;cpus(web):2;mem:10")
    .framework("f")
    .framework("g", ["web"]);
  expect(cluster.run()).toEqual(["a g web cpus(web):2;cpus:1;mem:10"]);
});

test("[AL9] without minimums whatever is there is offered", () => {
  const cluster = new SmallCluster({ minAllocatable: [] }).agent("a", "ports:[1-9]").agent("b", "").framework("f");
  expect(cluster.run()).toEqual(["a f * ports:[1-9]"]);
});

test("[AL9] a framework's own minimums of a role take the place of the operator's: more, less, or none", () => {
  const cluster = new SmallCluster().agent("a", "cpus:2;disk:5").framework("f", ["*", "web"], {
    minimum: { "*": [quantitiesOf({ cpus: 3 })] },
    suppressed: ["web"],
  });
  expect(cluster.run()).toEqual([]);
  cluster.update("f", ["*", "web"], { minimum: { "*": [quantitiesOf({ cpus: 3 })] } });
  expect(cluster.run(), "of that role only").toEqual(["a f web cpus:2;disk:5"]);
  cluster.recover("f").update("f", ["*"], { minimum: { "*": [quantitiesOf({ cpus: 3 }), quantitiesOf({ disk: 5 })] } });
  expect(cluster.run()).toEqual(["a f * cpus:2;disk:5"]);
  cluster.agent("b", "disk:1").update("f", ["*"], { minimum: { "*": [quantitiesOf({ disk: 0.5 })] } });
  expect(cluster.run()).toEqual(["b f * disk:1"]);
  cluster.agent("c", "ports:[1-9]").update("f", ["*"], { minimum: { "*": [] } });
  expect(cluster.run()).toEqual(["c f * ports:[1-9]"]);
});
