// Which quotas and weights an operator may set, and what follows once the registry has them.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FrameworkId } from "#protocol/ids.ts";
import {
  emptyRegistry,
  QUANTITIES_MAX,
  QUANTITY_MAX,
  QUOTAS_MAX,
  type QuotaConfig,
  WEIGHT_MAX,
  WEIGHT_MIN,
} from "#registrar/registry.ts";
import { updateQuota, updateWeights } from "../../src/master/operator.ts";
import { onNotCommitted } from "../../src/master/outcomes.ts";
import type { Pieces } from "../../src/master/json-pieces.ts";
import { planQuota, type QuotaChange, type QuotaContext } from "../../src/master/quota.ts";
import { quotaView, roleInfos, rolesView, weightsView } from "../../src/master/role-views.ts";
import type { CallAnswer, MasterEffect } from "../../src/master/state.ts";
import { registryPieces } from "../../src/master/views.ts";
import { weightsProblem } from "../../src/master/weights.ts";
import { Cluster, register, task } from "./cluster.ts";

const quantities = (of: Readonly<Record<string, number>>) =>
  Object.entries(of).map(([name, value]) => ({ name, value }));
const config = (
  role: string,
  guarantees: Record<string, number>,
  limits: Record<string, number> = {},
): QuotaConfig => ({
  role,
  guarantees: quantities(guarantees),
  limits: quantities(limits),
});
const update = (configs: readonly QuotaConfig[], force = false): QuotaChange => ({ type: "update", configs, force });
const set = (role: string, guarantee: Record<string, number>, force = false): QuotaChange => ({
  type: "set",
  role,
  guarantee: quantities(guarantee),
  force,
});

/** 10 CPUs and 1,000 MB; `held` by any role that is asked for. */
const context = (existing: readonly QuotaConfig[] = [], held: Record<string, number> = {}): QuotaContext => ({
  quotas: new Map(existing.map((one) => [one.role, one])),
  capacity: new Map([
    ["cpus", 10_000],
    ["mem", 1_000_000],
  ]),
  consumed: () => new Map(Object.entries(held).map(([name, value]) => [name, value * 1000])),
});
const answerTo = (change: QuotaChange, against = context()): CallAnswer | "planned" => {
  const planned = planQuota(change, against);
  return planned.type === "planned" ? "planned" : planned.answer;
};
const shown = (pieces: Pieces) => JSON.parse([...pieces].join("")) as Record<string, unknown>;
const long = (letters: number): string => "x".repeat(letters);

describe("[M55] a change of quotas", () => {
  test.each<[string, QuotaConfig, string]>([
    ["no role", config("", {}), "empty"],
    ["no valid role", config("a b", {}), "white space"],
    ["a long role", config(long(256), {}), "at most"],
    ["the default role", config("*", {}), "'*'"],
    ["a nested role", config("a/b", { cpus: 1 }), "without a '/'"],
    ["a negative guarantee", config("a", { cpus: -0.001 }), "from 0"],
    ["a negative limit", config("a", {}, { cpus: -1 }), "from 0"],
    ["no number", config("a", { cpus: NaN }), "NaN"],
    ["no end", config("a", {}, { cpus: Infinity }), "Infinity"],
    ["far too much", config("a", {}, { cpus: 1e308 }), "1e+308"],
    ["a little too much", config("a", {}, { cpus: QUANTITY_MAX + 1 }), "from 0"],
    ["a resource without name", config("a", { "": 1 }), "letters"],
    ["a resource with a long name", config("a", { [long(129)]: 1 }), "letters"],
    ["a resource that moves the cursor", config("a", { "\u001b[2J": 1 }), "control"],
    [
      "a resource twice",
      { role: "a", guarantees: [], limits: [...quantities({ m: 1 }), ...quantities({ m: 1 })] },
      "twice",
    ],
    [
      "many resources",
      config("a", {}, Object.fromEntries(Array.from({ length: QUANTITIES_MAX + 1 }, (_, n) => [`r${n}`, 1]))),
      "at most",
    ],
    ["a guarantee above its limit", config("a", { cpus: 2 }, { cpus: 1.9994 }), "above its limit 1.999"],
  ])("is refused for %s, also by force, and as a whole", (_, wrong, reason) => {
    for (const force of [false, true]) {
      const answer = answerTo(update([config("good", { cpus: 1 }), wrong], force));
      expect(answer).toMatchObject({ status: 400, text: expect.stringContaining(reason) });
    }
  });

  test("names no role twice, and not more than there may be", () => {
    expect(answerTo(update([config("a", {}), config("a", { cpus: 1 })]))).toMatchObject({ status: 400 });
    const many = Array.from({ length: QUOTAS_MAX + 1 }, (_, n) => config(`r${n}`, {}));
    expect(answerTo(update(many))).toMatchObject({ status: 400, text: expect.stringContaining("2000") });
    expect(answerTo(update(many.slice(1)))).toBe("planned");
    expect(answerTo(update([]))).toBe("planned");
  });

  test("is stored at three decimals, in one order, without guarantees of nothing; a limit of nothing is one", () => {
    const asked = config("a", { mem: 0.00049, cpus: 0.1 + 0.2 }, { mem: 0, cpus: 1.0005 });
    expect(planQuota(update([asked]), context())).toEqual({
      type: "planned",
      configs: [config("a", { cpus: 0.3 }, { cpus: 1.001, mem: 0 })],
    });
  });

  test("may not promise more than the registered agents have, all roles together, unless forced", () => {
    const existing = [config("a", { cpus: 6 }), config("b", { cpus: 3 })];
    expect(answerTo(update([config("c", { cpus: 1 })]), context(existing))).toBe("planned");
    const more = update([config("c", { cpus: 1.001 })]);
    expect(answerTo(more, context(existing))).toMatchObject({ status: 400, text: expect.stringContaining("10.001") });
    expect(answerTo({ ...more, force: true } as QuotaChange, context(existing))).toBe("planned");
    // What one role gives back, another may have in the same change.
    expect(answerTo(update([config("c", { cpus: 7 }), config("a", {})]), context(existing))).toBe("planned");
    expect(answerTo(update([config("c", { gpus: 1 })]))).toMatchObject({ status: 400 });
    expect(answerTo(update([config("c", {}, { gpus: 1 })]))).toBe("planned");
    // Agents have left, and more is promised than there is: less may be promised all the same.
    const over = context([config("a", { cpus: 99, mem: 1 })]);
    expect(answerTo(update([config("a", { cpus: 50, mem: 900 })]), over)).toBe("planned");
    expect(answerTo(update([config("b", { mem: 1 })]), over)).toBe("planned");
    expect(answerTo(update([config("b", { cpus: 0.001 })]), over)).toMatchObject({ status: 400 });
  });

  test("may not cap a role below what it holds, unless forced", () => {
    const held = context([], { cpus: 4, mem: 100 });
    expect(answerTo(update([config("a", {}, { cpus: 4, mem: 100 })]), held)).toBe("planned");
    const less = update([config("a", {}, { cpus: 3.999 })]);
    expect(answerTo(less, held)).toMatchObject({ status: 400, text: expect.stringContaining("holds 4 of 'cpus'") });
    expect(answerTo({ ...less, force: true } as QuotaChange, held)).toBe("planned");
  });

  test("SET_QUOTA: floor and ceiling in one, once; 409 when it is too much", () => {
    expect(planQuota(set("a", { cpus: 2 }), context())).toEqual({
      type: "planned",
      configs: [config("a", { cpus: 2 }, { cpus: 2 })],
    });
    const taken = context([config("a", {}, { cpus: 1 })]);
    expect(answerTo(set("a", { cpus: 2 }, true), taken)).toMatchObject({
      status: 400,
      text: expect.stringContaining("already"),
    });
    expect(answerTo(set("b", {}))).toMatchObject({ status: 400, text: expect.stringContaining("guarantee") });
    expect(answerTo(set("b", { cpus: -1 }))).toMatchObject({ status: 400 });
    expect(answerTo(set("b/c", { cpus: 1 }))).toMatchObject({ status: 400 });
    expect(answerTo(set("b", { cpus: 11 }))).toMatchObject({ status: 409 });
    expect(answerTo(set("b", { cpus: 11 }, true))).toBe("planned");
    expect(answerTo(set("b", { cpus: 1 }), context([], { cpus: 2 }))).toMatchObject({ status: 400 });
  });

  test("REMOVE_QUOTA: 400 unless there is one", () => {
    const one = context([config("a", {}, { cpus: 1 })]);
    expect(planQuota({ type: "remove", role: "a" }, one)).toEqual({ type: "planned", configs: [config("a", {})] });
    for (const role of ["b", "", "*", "a/b", long(100_000)]) {
      const answer = answerTo({ type: "remove", role }, one);
      expect(answer).toMatchObject({ status: 400 });
      expect(JSON.stringify(answer).length).toBeLessThan(400);
    }
  });

  test("whatever is planned without force keeps the promises that can be kept, and reads back", () => {
    const amount = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.double({ min: -1, max: 1e13 }), fc.constant(NaN));
    const amounts = fc.dictionary(fc.constantFrom("cpus", "mem", "__proto__"), amount, { maxKeys: 3 });
    const configs = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "*", "a/b"), amounts, amounts), { maxLength: 4 });
    fc.assert(
      fc.property(configs, configs, (before, asked) => {
        const quotas = new Map<string, QuotaConfig>();
        for (const one of [before, asked]) {
          const planned = planQuota(update(one.map(([role, floor, ceiling]) => config(role, floor, ceiling))), {
            ...context([], { mem: 1 }),
            quotas,
          });
          if (planned.type === "refused") continue;
          for (const each of planned.configs) quotas.set(each.role, each);
        }
        const total = [...quotas.values()].flatMap(({ guarantees }) => guarantees);
        const cpus = total.filter(({ name }) => name === "cpus").reduce((sum, { value }) => sum + value, 0);
        expect(Math.round(cpus * 1000)).toBeLessThanOrEqual(10_000);
        for (const { guarantees, limits } of quotas.values()) {
          for (const { name, value } of guarantees) {
            expect(value).toBeLessThanOrEqual(limits.find((limit) => limit.name === name)?.value ?? Infinity);
          }
          expect(limits.every(({ name, value }) => value >= (name === "mem" ? 1 : 0))).toBe(true);
        }
      }),
    );
  });
});

describe("[M56] an update of weights", () => {
  test.each<[string, string, number, string]>([
    ["nothing", "a", 0, "above 0"],
    ["less than nothing", "a", -1, "above 0"],
    ["no number", "a", NaN, "NaN"],
    ["no end", "a", Infinity, "Infinity"],
    ["too much", "a", WEIGHT_MAX * 1.1, "from"],
    ["too little", "a", WEIGHT_MIN / 2, "from"],
    ["no role", "", 1, "empty"],
    ["a wrong role", "a//b", 1, "slashes"],
  ])("is refused for %s", (_, role, weight, reason) => {
    expect(
      weightsProblem([
        { role: "good", weight: 2 },
        { role, weight },
      ]),
    ).toContain(reason);
  });

  test("takes any role there may be, each once", () => {
    const infos = ["*", "a", "a/b", "c"].map((role, n) => ({ role, weight: n + 0.5 }));
    expect(weightsProblem(infos)).toBeUndefined();
    expect(weightsProblem([])).toBeUndefined();
    expect(weightsProblem([...infos, { role: "a", weight: 1 }])).toContain("twice");
    expect(
      weightsProblem([
        { role: "a", weight: WEIGHT_MIN },
        { role: "b", weight: WEIGHT_MAX },
      ]),
    ).toBeUndefined();
  });
});

let requests = 0;
const asked = () => ({ by: "operator" as const, requestId: ++requests });
const answers = (effects: readonly MasterEffect[]) =>
  effects.flatMap((effect) => (effect.type === "answer" ? [[effect.requestId, effect.answer.status]] : []));
const operations = (effects: readonly MasterEffect[]) => effects.filter((effect) => effect.type === "registry");
const rescinded = (effects: readonly MasterEffect[]) =>
  effects.filter((effect) => effect.type === "event" && effect.event.type === "RESCIND").length;

describe("[M55] asked of a master", () => {
  test("nobody hears of a quota before the registry has it, with who asked and why", () => {
    const cluster = new Cluster();
    cluster.agent();
    const request = asked();
    expect(updateQuota(cluster.master, update([config("a", { cpus: 1 })], true), request)).toBeUndefined();
    const effects = cluster.settle();
    expect(effects).toEqual([
      {
        type: "registry",
        id: expect.any(Number),
        operation: { type: "update-quota", configs: [config("a", { cpus: 1 })] },
        who: "operator",
        why: "UPDATE_QUOTA, by force",
      },
    ]);
    expect(quotaView(cluster.master)).toEqual({});
    expect(answers(cluster.commitAll(effects))).toEqual([[request.requestId, 200]]);
    expect(quotaView(cluster.master)).toMatchObject({ configs: [{ role: "a" }] });
  });

  test("one after the other: each is judged by what those before it made of the registry", () => {
    const cluster = new Cluster();
    cluster.agent();
    const first = asked();
    const others = [
      [set("b", { cpus: 1.5 }), 409],
      [set("a", { cpus: 0.1 }), 400],
      [update([config("b", { cpus: 0.5 })]), 200],
      [{ type: "remove", role: "a" }, 200],
      [{ type: "remove", role: "a" }, 400],
      [set("c", { cpus: 1.5 }), 200],
    ] as const satisfies readonly (readonly [QuotaChange, number])[];
    updateQuota(cluster.master, set("a", { cpus: 1.5 }), first);
    for (const [change] of others) expect(updateQuota(cluster.master, change, asked())).toBeUndefined();
    const effects = cluster.settle();
    expect([operations(effects).length, answers(effects)]).toEqual([1, []]);
    expect(answers(cluster.commitAll(effects))).toEqual([
      [first.requestId, 200],
      ...others.map(([, status], n) => [first.requestId + n + 1, status]),
    ]);
    expect([...cluster.registry.quotas.keys()]).toEqual(["b", "c"]);
  });

  test("of more than may wait the next is told to try again", () => {
    const cluster = new Cluster();
    const statuses = Array.from({ length: 102 }, () => updateQuota(cluster.master, update([]), asked())?.status);
    expect(statuses.filter((status) => status === 503)).toHaveLength(2);
    expect(answers(cluster.commitAll()).every(([, status]) => status === 200)).toBe(true);
    expect(updateQuota(cluster.master, update([]), asked())).toBeUndefined();
  });

  test("a master that stops leading answers all of them, and takes new ones when it leads again", () => {
    const cluster = new Cluster();
    const requests = [asked(), asked()];
    for (const request of requests) updateQuota(cluster.master, update([]), request);
    const [effect] = operations(cluster.settle());
    onNotCommitted(cluster.master, [effect?.type === "registry" ? effect.id : -1], "fenced");
    const told = cluster.settle().flatMap((one) => (one.type === "answer" ? [one.answer] : []));
    expect(told).toEqual([
      { status: 503, text: expect.stringContaining("not known") },
      { status: 503, text: expect.stringContaining("not done") },
    ]);
    updateQuota(cluster.master, update([]), asked());
    expect(answers(cluster.commitAll())).toHaveLength(1);
  });

  test("what the registry has no room for is the operator's matter, what it has no time for is not", () => {
    const cluster = new Cluster();
    for (let n = 0; n < QUOTAS_MAX; n++) cluster.registry.quotas.set(`r${n}`, config(`r${n}`, {}, { cpus: 1 }));
    updateQuota(cluster.master, update([config("a", {}, { cpus: 1 })]), asked());
    expect(answers(cluster.commitAll())).toEqual([[requests, 400]]);
  });

  test("agents that are registered count, also while they are away; those that nobody has heard of do not", () => {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const { session } = cluster.master.agents.get(agent.agentId) ?? {};
    expect(session).toBeDefined();
    const change = update([config("a", { cpus: 2 })]);
    updateQuota(cluster.master, change, asked());
    expect(answers(cluster.commitAll())).toEqual([[requests, 200]]);
    const other = new Cluster();
    other.agent();
    for (const known of other.master.agents.values()) known.session = undefined;
    updateQuota(other.master, change, asked());
    expect(answers(other.commitAll())).toEqual([[requests, 400]]);
  });

  test("tasks are held against a limit, also those of roles below; offers are not, they are taken back", () => {
    const cluster = new Cluster();
    const [agent, idle] = [cluster.agent(1), cluster.agent(2)];
    const framework = cluster.framework({ role: "a/b" });
    const offer = cluster.offers(framework).find(({ agent_id }) => agent_id.value === agent.agentId);
    cluster.launch(framework, [task("t", agent.agentId, {}, 1.5)], [offer?.id.value ?? ""]);
    expect(idle.agentId).not.toBe(agent.agentId);
    const limit = (cpus: number) => update([config("a", {}, { cpus })]);
    updateQuota(cluster.master, limit(1.499), asked());
    expect(answers(cluster.commitAll())).toEqual([[requests, 400]]);
    updateQuota(cluster.master, limit(1.5), asked());
    const effects = cluster.commitAll();
    expect([answers(effects), rescinded(effects)]).toEqual([[[requests, 200]], 2]);
    expect(cluster.master.frameworks.get(framework.id)?.tasks.size).toBe(1);
  });

  test("a limit takes back the offers of its role, a guarantee those of everybody, the end of a quota those of its role", () => {
    const offersOf = (change: QuotaChange) => {
      const cluster = new Cluster();
      for (const host of [1, 2]) cluster.agent(host);
      const [a, b] = [cluster.framework({ role: "a" }), cluster.framework({ role: "b" })];
      cluster.registry.quotas.set("old", config("old", {}, { cpus: 1 }));
      // One agent each.
      for (const [n, framework] of [a, b].entries()) {
        const spare = cluster.offers(a).slice(n === 0 ? 1 : 2);
        if (n === 0)
          cluster.call(a, { type: "DECLINE", decline: { offer_ids: spare.map(({ id }) => id), filters: undefined } });
        expect(cluster.offers(framework)).toHaveLength(1);
      }
      updateQuota(cluster.master, change, asked());
      const before = cluster.effects.length;
      cluster.commitAll();
      return [a, b].map(
        ({ streamId }) =>
          cluster.effects
            .slice(before)
            .filter(
              (effect) => effect.type === "event" && effect.streamId === streamId && effect.event.type === "RESCIND",
            ).length,
      );
    };
    expect(offersOf(update([config("a", {}, { cpus: 1 })]))).toEqual([1, 0]);
    expect(offersOf(update([config("c", { cpus: 1 })]))).toEqual([1, 1]);
    expect(offersOf(update([config("c", {}, { cpus: 1 })]))).toEqual([0, 0]);
    expect(offersOf({ type: "remove", role: "old" })).toEqual([0, 0]);
  });
});

describe("[M56] asked of a master", () => {
  const weights = (...infos: readonly (readonly [string, number])[]) =>
    infos.map(([role, weight]) => ({ role, weight }));

  test("weights are answered when the registry has them; offers of all end when anybody has such a role", () => {
    const cluster = new Cluster();
    cluster.agent();
    cluster.framework({ role: "a/b" });
    expect(updateWeights(cluster.master, weights(["c", 2]), asked())).toBeUndefined();
    const first = cluster.settle();
    expect(answers(first)).toEqual([]);
    const committed = cluster.commitAll(first);
    expect([answers(committed), rescinded(committed)]).toEqual([[[requests, 200]], 0]);
    for (const role of ["a/b", "a"]) {
      updateWeights(cluster.master, weights([role, 3]), asked());
      const effects = cluster.commitAll();
      expect([answers(effects), rescinded(effects)]).toEqual([[[requests, 200]], 1]);
      // And the allocator begins again.
      expect(effects.filter((effect) => effect.type === "event" && effect.event.type === "OFFERS")).toHaveLength(1);
    }
    expect(weightsView(cluster.master)).toEqual(weights(["c", 2], ["a/b", 3], ["a", 3]));
  });

  test("what is wrong never reaches the registry; what it did not acknowledge is not known", () => {
    const cluster = new Cluster();
    expect(updateWeights(cluster.master, weights(["a", 0]), asked())).toMatchObject({ status: 400 });
    expect(cluster.settle()).toEqual([]);
    updateWeights(cluster.master, weights(["a", 2]), asked());
    const [effect] = operations(cluster.settle());
    onNotCommitted(cluster.master, [effect?.type === "registry" ? effect.id : -1], "fenced");
    expect(answers(cluster.settle())).toEqual([[requests, 503]]);
  });
});

describe("what is shown", () => {
  test("nothing is shown of nothing, as Mesos does", () => {
    const { master } = new Cluster();
    expect([quotaView(master), weightsView(master), rolesView(master), roleInfos(master)]).toEqual([
      {},
      [],
      { roles: [] },
      [],
    ]);
    expect(Object.keys(shown(registryPieces(master))).toSorted()).toEqual(["gone", "master", "slaves", "unreachable"]);
  });

  test("quotas and weights in Mesos' shapes, and in its registry", () => {
    const registry = emptyRegistry();
    registry.quotas.set("a", config("a", { cpus: 1.5 }, { cpus: 2, mem: 0 }));
    registry.quotas.set("b", config("b", {}, { disk: 1 }));
    registry.weights.set("a", { role: "a", weight: 2 });
    const infos = [{ role: "a", guarantee: [{ name: "cpus", type: "SCALAR", scalar: { value: 1.5 } }] }];
    const configs = [
      { role: "a", guarantees: { cpus: { value: 1.5 } }, limits: { cpus: { value: 2 }, mem: { value: 0 } } },
      { role: "b", limits: { disk: { value: 1 } } },
    ];
    const { master } = new Cluster({}, { registry });
    expect(quotaView(master)).toEqual({ infos, configs });
    expect(shown(registryPieces(master))).toMatchObject({
      quotas: [{ info: infos[0] }],
      quota_configs: configs,
      weights: [{ info: { role: "a", weight: 2 } }],
      minimum_capabilities: [{ capability: "QUOTA_V2" }],
    });
    registry.quotas.set("c", { role: "c", guarantees: [{ name: "__proto__", value: 1 }], limits: [] });
    expect(JSON.stringify(quotaView(master))).toContain('{"role":"c","guarantees":{"__proto__":{"value":1}}}');
  });

  test("roles of frameworks, weights and quotas; what a role has consumed includes the roles below", () => {
    const registry = emptyRegistry();
    registry.quotas.set("a", config("a", { cpus: 1 }, { cpus: 2 }));
    registry.weights.set("z", { role: "z", weight: 3 });
    const cluster = new Cluster({}, { registry });
    const agent = cluster.agent();
    const framework = cluster.framework({ role: "a/b" });
    cluster.launch(framework, [task("t", agent.agentId, {}, 0.5)]);
    const { roles } = rolesView(cluster.master) as { roles: Record<string, unknown>[] };
    expect(roles).toEqual([
      {
        name: "a",
        weight: 1,
        quota: { role: "a", guarantee: { cpus: 1 }, limit: { cpus: 2 }, consumed: { cpus: 0.5, mem: 100 } },
        resources: {},
        allocated: {},
        offered: {},
        reserved: {},
        frameworks: [],
      },
      {
        name: "a/b",
        weight: 1,
        quota: { role: "a/b", guarantee: {}, limit: {}, consumed: { cpus: 0.5, mem: 100 } },
        resources: { cpus: 2, mem: 1000 },
        allocated: { cpus: 0.5, mem: 100 },
        offered: { cpus: 1.5, mem: 900 },
        reserved: {},
        frameworks: [framework.id],
      },
      expect.objectContaining({ name: "z", weight: 3, resources: {} }),
    ]);
    const scalar = (name: string, value: number) => ({ name, type: "SCALAR", scalar: { value } });
    expect(roleInfos(cluster.master)).toEqual([
      { name: "a", weight: 1 },
      {
        name: "a/b",
        weight: 1,
        frameworks: [{ value: framework.id satisfies FrameworkId }],
        resources: [scalar("cpus", 2), scalar("mem", 1000)],
      },
      { name: "z", weight: 3 },
    ]);
  });

  test("what is reserved for a role is told, also when it has no framework any more", () => {
    const cluster = new Cluster();
    const reservations = [{ type: "STATIC" as const, role: "eng" }];
    const resources = [
      { name: "cpus", type: "SCALAR" as const, scalar: { value: 2 } },
      { name: "cpus", type: "SCALAR" as const, scalar: { value: 1 }, reservations },
    ];
    const info = { hostname: "host", port: 5051, resources, attributes: [] };
    cluster.commitAll(cluster.say(cluster.socket(), register({ info })));
    const { roles } = rolesView(cluster.master) as { roles: readonly object[] };
    expect(roles).toMatchObject([{ name: "eng", reserved: { cpus: 1 }, frameworks: [], allocated: {}, offered: {} }]);
  });
});
