// What a framework wants, beside launching: suppression, constraints, changes of itself; and what is kept for it while it is away.
import { describe, expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { TaskId } from "#protocol/ids.ts";
import type { Call, FrameworkInfo } from "#protocol/scheduler.ts";
import type { QuotaConfig } from "#registrar/registry.ts";
import { onCall } from "../../src/master/calls.ts";
import { excuseAgents } from "../../src/master/absence.ts";
import { rebuildAllocation } from "../../src/master/allocation.ts";
import { nextOfferWake } from "../../src/master/offers.ts";
import { adoptRegistry } from "../../src/master/registration.ts";
import { tell, UNDELIVERED_MAX } from "../../src/master/effects.ts";
import { disconnectStream } from "../../src/master/subscriptions.ts";
import { masterStatus } from "../../src/master/tasks.ts";
import { booksProblem } from "./books.ts";
import { Cluster, frameworkInfo, register, task, type TestFramework } from "./cluster.ts";

const MULTI: Partial<FrameworkInfo> = { capabilities: [{ type: "MULTI_ROLE" }] };
const rolesOffered = (cluster: Cluster, framework: TestFramework) =>
  cluster.offers(framework).map(({ allocation_info }) => allocation_info?.role);

describe("[M62] what the master says while a framework is away", () => {
  /** A framework with a task, whose stream ends; then the agent of the task is lost for good. */
  function lost() {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const framework = cluster.framework({ failover_timeout: 10_000 });
    cluster.launch(framework, [task("t", agent.agentId)]);
    disconnectStream(cluster.master, framework.streamId, cluster.now);
    cluster.settle();
    cluster.say(agent.socket, { type: "unregister", session: agent.session }, agent.host);
    cluster.commitAll(cluster.effects.splice(0));
    return { cluster, framework, agent };
  }

  test("it hears after its next SUBSCRIBED, once", () => {
    const { cluster, framework } = lost();
    expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(0);
    const again = cluster.subscribe({ id: { value: framework.id } });
    const types = cluster.events({ ...framework, streamId: again.streamId }).map(({ type }) => type);
    expect(types.slice(0, 3)).toEqual(["SUBSCRIBED", "HEARTBEAT", "UPDATE"]);
    expect(cluster.updates({ ...framework, streamId: again.streamId })).toMatchObject([
      { task_id: { value: "t" }, state: "TASK_LOST", uuid: undefined },
    ]);
    const third = cluster.subscribe({ id: { value: framework.id } });
    expect(cluster.updates({ ...framework, streamId: third.streamId })).toEqual([]);
  });

  test("of each task the newest word, of all tasks so many: the oldest go first", () => {
    const { cluster, framework } = lost();
    const record = cluster.master.frameworks.get(framework.id);
    if (record === undefined) throw new Error("no framework");
    const say = (id: string, message: string) => {
      const why = { reason: "REASON_AGENT_REMOVED", message } as const;
      const status = masterStatus(id as TaskId, "TASK_LOST", cluster.now, why);
      tell(cluster.master, record, { type: "UPDATE", update: { status } });
    };
    say("t", "newer");
    expect([...record.undelivered.values()].map(({ message }) => message)).toEqual(["newer"]);
    for (let n = 0; n < UNDELIVERED_MAX; n++) say(`n-${n}`, "one of many");
    expect([record.undelivered.size, record.undelivered.has("t" as TaskId)]).toEqual([UNDELIVERED_MAX, false]);
    const marked = cluster.master.marked.undelivered.map(({ taskId }) => taskId);
    expect(marked.at(-1)).toBe("t");
  });

  test("is forgotten when the agent has said something newer, and with the framework", () => {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const framework = cluster.framework({ failover_timeout: 10_000 });
    cluster.launch(framework, [task("t", agent.agentId)]);
    disconnectStream(cluster.master, framework.streamId, cluster.now);
    const record = cluster.master.frameworks.get(framework.id);
    if (record === undefined) throw new Error("no framework");
    const status = masterStatus("t" as TaskId, "TASK_RUNNING", cluster.now, {
      reason: "REASON_RECONCILIATION",
      message: "",
    });
    tell(cluster.master, record, { type: "UPDATE", update: { status } });
    expect(record.undelivered.size).toBe(1);
    cluster.update(agent, framework, "t", "TASK_FAILED");
    expect(record.undelivered.size).toBe(0);
  });
});

describe("[M69] UPDATE_FRAMEWORK", () => {
  const update = (cluster: Cluster, framework: TestFramework, info: Partial<FrameworkInfo>, more: object = {}) =>
    cluster.call(framework, {
      type: "UPDATE_FRAMEWORK",
      update_framework: {
        framework_info: frameworkInfo({ id: { value: framework.id }, ...info }),
        suppressed_roles: [],
        ...more,
      },
    } as unknown as Partial<Call>);

  test("changes name, roles and failover_timeout; offers of a role that is left are rescinded, the registry has the timeout", () => {
    const cluster = new Cluster();
    for (const host of [1, 2]) cluster.agent(host);
    const framework = cluster.framework({ ...MULTI, roles: ["a"] });
    expect(rolesOffered(cluster, framework)).toEqual(["a", "a"]);
    expect(update(cluster, framework, { ...MULTI, roles: ["b"], name: "other", failover_timeout: 7 }).status).toBe(200);
    const rescinded = cluster.events(framework).filter(({ type }) => type === "RESCIND");
    expect(rescinded).toHaveLength(2);
    expect(rolesOffered(cluster, framework)).toEqual(["b", "b"]);
    expect(cluster.master.frameworks.get(framework.id)?.info).toMatchObject({ name: "other", roles: ["b"] });
    expect(cluster.registry.registeredFrameworks.get(framework.id)?.failoverTimeoutMs).toBe(7_000);
    expect(booksProblem(cluster.master)).toBeUndefined();
  });

  test.each<[string, Partial<FrameworkInfo>, object, RegExp]>([
    ["user", { user: "somebody" }, {}, /user may not be changed/],
    ["checkpoint", { checkpoint: true }, {}, /checkpoint may not be changed/],
    ["principal", { principal: "mallory" }, {}, /principal/],
    ["a bad role", { ...MULTI, roles: ["-x"] }, {}, /role/],
    ["a role twice", { ...MULTI, roles: ["a", "a"] }, {}, /twice/],
    ["a suppressed stranger", { ...MULTI, roles: ["a"] }, { suppressed_roles: ["b"] }, /suppressed_roles: 'b'/],
  ])("refuses %s, and changes nothing", (_, info, more, words) => {
    const cluster = new Cluster();
    cluster.agent();
    const framework = cluster.framework({ role: "a" });
    const before = cluster.master.frameworks.get(framework.id)?.info;
    const answer = update(cluster, framework, info, more);
    expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(words)]);
    expect(cluster.master.frameworks.get(framework.id)?.info).toBe(before);
  });

  test("replaces suppression and constraints", () => {
    const cluster = new Cluster();
    cluster.agent();
    const info = { ...MULTI, roles: ["a", "b"] };
    const framework = cluster.framework(info, { suppressedRoles: ["a"] });
    expect(rolesOffered(cluster, framework)).toEqual(["b"]);
    cluster.call(framework, {
      type: "DECLINE",
      decline: { offer_ids: cluster.offers(framework).map(({ id }) => id), filters: { refuse_seconds: 1_000 } },
    });
    expect(update(cluster, framework, info, { suppressed_roles: ["b"] }).status).toBe(200);
    expect(rolesOffered(cluster, framework)).toEqual(["a"]);
    const nowhere = {
      role_constraints: {
        a: {
          groups: [{ attribute_constraints: [{ selector: { attribute_name: "rack" }, predicate: { exists: {} } }] }],
        },
      },
    };
    expect(update(cluster, framework, info, { suppressed_roles: ["b"], offer_constraints: nowhere }).status).toBe(200);
    cluster.call(framework, {
      type: "DECLINE",
      decline: { offer_ids: cluster.offers(framework).map(({ id }) => id), filters: { refuse_seconds: 0 } },
    });
    cluster.pass(2_000);
    expect(rolesOffered(cluster, framework)).toEqual([]);
  });
});

describe("[M70] SUPPRESS and REVIVE", () => {
  const declineAll = (cluster: Cluster, framework: TestFramework) =>
    cluster.call(framework, {
      type: "DECLINE",
      decline: { offer_ids: cluster.offers(framework).map(({ id }) => id), filters: { refuse_seconds: 0 } },
    });
  const wish = (cluster: Cluster, framework: TestFramework, type: "SUPPRESS" | "REVIVE", roles: string[]) =>
    cluster.call(framework, { type, [type.toLowerCase()]: { roles } }).status;

  test("name roles, or none for all; a stranger's role is as if nothing was said", () => {
    const cluster = new Cluster();
    cluster.agent();
    const framework = cluster.framework({ ...MULTI, roles: ["a", "b"] });
    const roles = (...calls: (readonly ["SUPPRESS" | "REVIVE", string[]])[]) => {
      for (const [type, named] of calls) expect(wish(cluster, framework, type, named)).toBe(202);
      declineAll(cluster, framework);
      cluster.pass(2_000);
      return [...new Set(rolesOffered(cluster, framework))];
    };
    expect(roles(["SUPPRESS", ["a"]])).toEqual(["b"]);
    expect(roles(["SUPPRESS", ["b", "stranger"]])).toEqual(["b"]);
    expect(roles(["SUPPRESS", []])).toEqual([]);
    expect(roles(["REVIVE", ["stranger"]])).toEqual([]);
    expect(roles(["REVIVE", ["a"]])).toEqual(["a"]);
    expect(roles(["SUPPRESS", ["a"]], ["REVIVE", []])).toHaveLength(1);
  });

  test("REVIVE forgets refusals", () => {
    const cluster = new Cluster();
    cluster.agent();
    const framework = cluster.framework();
    const offer_ids = cluster.offers(framework).map(({ id }) => id);
    cluster.call(framework, { type: "DECLINE", decline: { offer_ids, filters: { refuse_seconds: 10_000 } } });
    cluster.pass(5_000);
    expect(cluster.offers(framework)).toEqual([]);
    expect(wish(cluster, framework, "REVIVE", [])).toBe(202);
    expect(cluster.offers(framework)).toHaveLength(1);
  });
});

test("[M72] an offer that nobody answers is rescinded after offerTimeoutMs, and offered again", () => {
  const cluster = new Cluster({ offerTimeoutMs: 60_000 });
  cluster.agent();
  const framework = cluster.framework();
  const [first] = cluster.offers(framework);
  expect(nextOfferWake(cluster.master, cluster.now)).toBe(cluster.now + 60_000);
  cluster.pass(59_999);
  expect(cluster.offers(framework).map(({ id }) => id)).toEqual([first?.id]);
  cluster.pass(1);
  expect(cluster.events(framework)).toContainEqual({ type: "RESCIND", rescind: { offer_id: first?.id } });
  expect(cluster.offers(framework)).toHaveLength(1);
  expect(booksProblem(cluster.master)).toBeUndefined();
});

describe("[M73] after a failover with quotas", () => {
  const quota: QuotaConfig = { role: "x", guarantees: [{ name: "cpus", value: 1 }], limits: [] };
  /** Five agents are in the registry, four of them have not come back. */
  function failover(hasQuota: boolean) {
    const before = new Cluster();
    const agents = [1, 2, 3, 4, 5].map((host) => before.agent(host));
    if (hasQuota) before.registry.quotas.set("x", quota);
    const after = new Cluster({}, { registry: before.registry, masterId: "n" });
    after.master.recoveredOf = 5;
    rebuildAllocation(after.master);
    adoptRegistry(after.master, after.now);
    const comes = (index: number) => {
      const agent = agents[index];
      if (agent === undefined) throw new Error("no such agent");
      const message = register({ agentId: agent.agentId, lastSession: agent.session });
      after.commitAll(after.say(after.socket(), message, agent.host));
    };
    const framework = after.framework({ role: "y" });
    return { after, framework, comes };
  }

  test("nothing is offered before four fifths of the agents are back", () => {
    const { after, framework, comes } = failover(true);
    for (const index of [0, 1, 2]) comes(index);
    expect(after.offers(framework)).toEqual([]);
    comes(3);
    expect(after.offers(framework).length).toBeGreaterThan(0);
  });

  test("or 10 min have passed; without quotas nobody waits", () => {
    const { after, framework, comes } = failover(true);
    comes(0);
    comes(1);
    const wake = nextOfferWake(after.master, after.now);
    expect(wake).toBe(millis(after.now + 600_000));
    excuseAgents(after.master, after.now, { wasAway: false });
    after.pass(600_000);
    expect(after.offers(framework).length).toBeGreaterThan(0);
    const free = failover(false);
    free.comes(0);
    expect(free.after.offers(free.framework)).toHaveLength(1);
  });
});

test("[M74] what many tasks are told as is what the books say when they are told", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("a", agent.agentId), task("b", agent.agentId), task("c", agent.agentId)]);
  const { streamId } = framework;
  const request = { call: { type: "RECONCILE", framework_id: { value: framework.id }, reconcile: { tasks: [] } } };
  const asked = { ...request, principal: "scheduler", streamId } as unknown as Parameters<typeof onCall>[1];
  onCall(cluster.master, asked, 77, cluster.ids, cluster.now);
  const effect = cluster.master.effects.splice(0).find(({ type }) => type === "events");
  if (effect?.type !== "events") throw new Error("nothing is told");
  const told = effect.events[Symbol.iterator]();
  expect(told.next().value).toMatchObject({ update: { status: { task_id: { value: "a" }, state: "TASK_STAGING" } } });
  cluster.update(agent, framework, "b", "TASK_RUNNING");
  const uuid = cluster.update(agent, framework, "c", "TASK_FINISHED");
  const acknowledge = { agent_id: { value: agent.agentId }, task_id: { value: "c" as TaskId }, uuid };
  cluster.call(framework, { type: "ACKNOWLEDGE", acknowledge });
  expect(told.next().value).toMatchObject({ update: { status: { task_id: { value: "b" }, state: "TASK_RUNNING" } } });
  expect(told.next().done).toBe(true);
});
