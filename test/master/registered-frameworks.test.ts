// Whose a framework is, and for how long: the registry says it to every master, from before the framework hears its id until it is removed.
import { describe, expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { FrameworkId, Principal, StreamId } from "#protocol/ids.ts";
import { REGISTERED_FRAMEWORKS_MAX } from "#registrar/registry.ts";
import { nextDeadline } from "../../src/master/deadlines.ts";
import { RESUBSCRIBE_GRACE_MS } from "../../src/master/frameworks.ts";
import { onNotCommitted, onOutcome } from "../../src/master/outcomes.ts";
import { adoptRegistry } from "../../src/master/registration.ts";
import { DEFAULT_SETTINGS } from "../../src/master/settings.ts";
import { disconnectStream, subscribe } from "../../src/master/subscriptions.ts";
import type { MasterEffect } from "../../src/master/state.ts";
import { Cluster, frameworkInfo, register, report, task } from "./cluster.ts";

const { gcIntervalMs, reregisterTimeoutMs } = DEFAULT_SETTINGS;
const HOUR_MS = 3_600_000;
const [OWNER, MALLORY] = ["owner", "mallory"] as Principal[] as [Principal, Principal];
const STREAM = "stream" as StreamId;

function failover(before: Cluster): Cluster {
  const after = new Cluster({}, { registry: before.registry, masterId: "n" });
  after.now = before.now;
  after.master.recoveredDeadline = millis(after.now + reregisterTimeoutMs);
  adoptRegistry(after.master, after.now);
  return after;
}
/** What leaves at once, before the registry has decided anything. */
function comes(
  cluster: Cluster,
  {
    id,
    principal = OWNER,
    streamId = STREAM,
    seconds = 60,
  }: { id?: FrameworkId; principal?: Principal; streamId?: StreamId; seconds?: number } = {},
) {
  const info = { ...frameworkInfo({ failover_timeout: seconds }), id: id === undefined ? undefined : { value: id } };
  const request = { info, principal, streamId, suppressedRoles: [], offerConstraints: undefined };
  subscribe(cluster.master, request, cluster.now);
  return { effects: cluster.settle() };
}
const eventsOf = (effects: readonly MasterEffect[], streamId = STREAM) =>
  effects.flatMap((effect) => (effect.type === "event" && effect.streamId === streamId ? [effect.event.type] : []));
const operationsOf = (effects: readonly MasterEffect[]) =>
  effects.flatMap((effect) => (effect.type === "registry" ? [effect.operation] : []));
const registryId = (effects: readonly MasterEffect[]): number =>
  effects.reduce((found, effect) => (effect.type === "registry" ? effect.id : found), -1);
const isClosed = (effects: readonly MasterEffect[]) =>
  effects.some((effect) => effect.type === "close-stream" && effect.streamId === STREAM);

describe("[M57] a new framework", () => {
  test("hears its id when the registry has it, and is offered nothing before", () => {
    const cluster = new Cluster();
    cluster.agent();
    const { effects } = comes(cluster, { seconds: 60 });
    expect(effects).toEqual([
      {
        type: "registry",
        id: expect.any(Number),
        operation: {
          type: "register-framework",
          frameworkId: "m-0000",
          principal: OWNER,
          failoverTimeoutMs: 60_000,
        },
        who: OWNER,
        why: "SUBSCRIBE",
      },
    ]);
    expect(cluster.master.frameworks.size).toBe(0);
    expect(eventsOf(cluster.commitAll(effects))).toEqual(["SUBSCRIBED", "HEARTBEAT", "OFFERS"]);
    expect(cluster.master.subscriptions.size).toBe(0);
  });

  test("keeps its id with the next master: nobody else may have it, and it need not wait for its agents", () => {
    const before = new Cluster();
    const frameworkId = "m-0000" as FrameworkId;
    expect(eventsOf(before.commitAll(comes(before).effects))).toContain("SUBSCRIBED");
    const after = failover(before);
    const stranger = comes(after, { id: frameworkId, principal: MALLORY, streamId: "other" as StreamId });
    const error = { message: expect.stringContaining("principal differs") as string };
    const streamId = "other" as StreamId;
    expect(stranger.effects).toEqual([
      { type: "event", streamId, event: { type: "ERROR", error } },
      { type: "close-stream", streamId },
    ]);
    const back = comes(after, { id: frameworkId });
    expect(eventsOf(back.effects)).toEqual(["SUBSCRIBED", "HEARTBEAT"]);
    expect(operationsOf(back.effects)).toEqual([]);
  });

  test("whose stream ends while the registry decides is removed again, because nobody knows its id", () => {
    const cluster = new Cluster();
    const { effects } = comes(cluster);
    disconnectStream(cluster.master, STREAM, cluster.now);
    const followed = cluster.commitAll([...effects, ...cluster.settle()]);
    expect(eventsOf(followed)).toEqual([]);
    expect([cluster.master.frameworks.size, cluster.registry.registeredFrameworks.size]).toEqual([0, 0]);
    expect([...cluster.registry.removedFrameworks.keys()]).toEqual(["m-0000"]);
  });

  test("is told when there are as many as there may be; for all that passes its stream only ends", () => {
    const cluster = new Cluster();
    for (let n = 0; n < REGISTERED_FRAMEWORKS_MAX; n++) {
      const frameworkId = `r-${n}` as FrameworkId;
      const record = { state: "registered", frameworkId, principal: OWNER, failoverTimeoutMs: 1e12 } as const;
      cluster.registry.registeredFrameworks.set(frameworkId, record);
    }
    const full = cluster.commitAll(comes(cluster).effects);
    expect([eventsOf(full), isClosed(full)]).toEqual([["ERROR"], true]);

    const busy = comes(cluster).effects;
    const outcome = { type: "refused", reason: "registrar-full" } as const;
    onOutcome(cluster.master, registryId(busy), outcome, cluster.ids, cluster.now);
    const ended = cluster.settle();
    expect([eventsOf(ended), isClosed(ended)]).toEqual([[], true]);

    onNotCommitted(cluster.master, [registryId(comes(cluster).effects)], "fenced");
    expect(isClosed(cluster.settle())).toBe(true);
    expect([cluster.master.frameworks.size, cluster.master.subscriptions.size]).toEqual([0, 0]);
  });
});

describe("[M57] a framework that brings an id", () => {
  test("which the registry has: another failover_timeout is noted, the same is not", () => {
    const cluster = new Cluster();
    cluster.commitAll(comes(cluster).effects);
    const id = "m-0000" as FrameworkId;
    expect(operationsOf(comes(cluster, { id, streamId: "again" as StreamId }).effects)).toEqual([]);
    const { effects } = comes(cluster, { id, streamId: "once more" as StreamId, seconds: 7 });
    expect(operationsOf(effects)).toMatchObject([{ type: "register-framework", failoverTimeoutMs: 7000 }]);
    cluster.commitAll(effects);
    expect(cluster.registry.registeredFrameworks.get(id)?.failoverTimeoutMs).toBe(7000);
  });

  test("which the registry does not have is subscribed at once, and registered when the agents have had their time", () => {
    const cluster = new Cluster();
    const id = "earlier-0001" as FrameworkId;
    const { effects } = comes(cluster, { id });
    expect(eventsOf(effects)).toEqual(["SUBSCRIBED", "HEARTBEAT"]);
    expect(operationsOf(effects)).toEqual([]);
    // It must not be forgotten, whether or not anything else happens.
    expect(nextDeadline(cluster.master, cluster.now)).toBeLessThanOrEqual(cluster.now + gcIntervalMs);
    cluster.commitAll(cluster.pass(reregisterTimeoutMs - 1));
    expect(cluster.registry.registeredFrameworks.size).toBe(0);
    cluster.commitAll(cluster.pass(gcIntervalMs));
    expect(cluster.registry.registeredFrameworks.get(id)).toMatchObject({ principal: OWNER });
    // From then on one that is new to the master is registered as it comes.
    const late = comes(cluster, { id: "earlier-0002" as FrameworkId, streamId: "late" as StreamId });
    expect(operationsOf(late.effects)).toMatchObject([{ frameworkId: "earlier-0002" }]);
    const decided = cluster.commitAll(late.effects);
    expect(eventsOf(decided, "late" as StreamId)).toEqual(["SUBSCRIBED", "HEARTBEAT"]);
  });

  test("[M38] where the registry knows whose it is, no agent's word takes it away", () => {
    const before = new Cluster();
    const agent = before.agent();
    const framework = before.framework();
    const after = failover(before);
    expect(after.subscribe({ id: { value: framework.id } }, STREAM).type).toBe("subscribed");
    const brought = report(framework, task("t", agent.agentId), "TASK_RUNNING");
    const tasks = [{ ...brought, framework: { ...brought.framework, principal: MALLORY } }];
    const message = register({ agentId: agent.agentId, lastSession: agent.session, tasks });
    after.commitAll(after.say(after.socket(), message, agent.host));
    expect(after.master.frameworks.get(framework.id)).toMatchObject({
      principal: "scheduler",
      status: { state: "connected" },
    });
    expect(after.master.frameworks.get(framework.id)?.tasks.size).toBe(1);
  });

  test("[M29] what an agent brings back belongs to whom the registry says, for as long as it says", () => {
    const before = new Cluster();
    const agent = before.agent();
    const framework = before.framework({ failover_timeout: 7200 });
    const after = failover(before);
    const brought = report(framework, task("t", agent.agentId), "TASK_RUNNING");
    const tasks = [{ ...brought, framework: { ...brought.framework, principal: MALLORY, failoverTimeoutMs: 1 } }];
    const message = register({ agentId: agent.agentId, lastSession: agent.session, tasks });
    after.commitAll(after.say(after.socket(), message, agent.host));
    expect(after.master.frameworks.get(framework.id)).toMatchObject({
      principal: "scheduler",
      status: { state: "recovered", deadline: after.now + 2 * HOUR_MS },
    });
    expect(after.subscribe({ id: { value: framework.id } }).type).toBe("subscribed");
  });
});

describe("[M58] a registered framework that nobody hears of", () => {
  test.each([
    ["without a failover_timeout has 10 min", 0, RESUBSCRIBE_GRACE_MS],
    ["has its failover_timeout when that is longer", 7200, 2 * HOUR_MS],
  ])("%s, from the beginning of the master, and is removed", (_, seconds, timeMs) => {
    const before = new Cluster();
    const framework = before.framework({ failover_timeout: seconds });
    const after = failover(before);
    // It was connected until its master fell, hours ago: that was nobody's fault.
    after.commitAll(after.pass(timeMs - 1));
    expect(after.registry.registeredFrameworks.has(framework.id)).toBe(true);
    expect(nextDeadline(after.master, after.now)).toBeLessThanOrEqual(after.now + gcIntervalMs);
    after.commitAll(after.pass(gcIntervalMs));
    expect(after.registry.registeredFrameworks.has(framework.id)).toBe(false);
    expect(after.registry.removedFrameworks.has(framework.id)).toBe(true);
  });

  test("keeps a deadline that was noted, though it is later", () => {
    const before = new Cluster();
    const framework = before.framework({ failover_timeout: 60 });
    disconnectStream(before.master, framework.streamId, before.now);
    before.commitAll();
    const noted = before.registry.disconnectedFrameworks.get(framework.id);
    if (noted === undefined) throw new Error("no deadline");
    before.registry.disconnectedFrameworks.set(framework.id, { ...noted, deadline: millis(before.now + 3 * HOUR_MS) });
    const after = failover(before);
    after.commitAll(after.pass(2 * HOUR_MS));
    expect(after.registry.registeredFrameworks.has(framework.id)).toBe(true);
    after.commitAll(after.pass(2 * HOUR_MS));
    expect(after.registry.registeredFrameworks.has(framework.id)).toBe(false);
  });

  test("that is here stays, however long ago the master began", () => {
    const cluster = new Cluster();
    const framework = cluster.framework({ failover_timeout: 0 });
    for (let n = 0; n < 5; n++) cluster.commitAll(cluster.pass(gcIntervalMs));
    expect(cluster.registry.registeredFrameworks.has(framework.id)).toBe(true);
  });
});
