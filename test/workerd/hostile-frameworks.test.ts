// Frameworks that mean no good, on a real Worker: what they send is answered clearly, harms nobody else, and leaves the books as they were.
import { runInDurableObject } from "cloudflare:test";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { OPERATION_LETTERS_MAX } from "#protocol/agent.ts";
import { ID_BYTES_MAX } from "#protocol/ids.ts";
import { PROTOBUF_TYPE } from "#protocol/media-type.ts";
import { toBinary } from "#protocol/mesos-binary.ts";
import { CALL_BYTES_MAX, CALL_ITEMS_MAX, type SchedulerEvent } from "#protocol/scheduler.ts";
import { ROW_LETTERS_MAX } from "../../src/durable-objects/master-tables.ts";
import {
  id,
  launch,
  master,
  post,
  restartMaster,
  scalar,
  task,
  TestAgent,
  TestFramework,
  type Plain,
} from "./framework.ts";
import { initialise, request } from "./plane.ts";

beforeAll(initialise);

let agent: TestAgent;
let hosts = 0;
/** Each test has an agent of its own; the others' are not connected. */
beforeEach(async () => {
  agent?.socket.close();
  agent = await TestAgent.start(++hosts);
});

afterEach(() => TestFramework.endAll());

const answerOf = async (response: Promise<Response>): Promise<readonly [number, string]> => {
  const { status, ...rest } = await response.then(async (answer) => ({
    status: answer.status,
    text: await answer.text(),
  }));
  return [status, rest.text];
};
const MULTI = { roles: ["web"], capabilities: [{ type: "MULTI_ROLE" }, { type: "RESERVATION_REFINEMENT" }] };
const reserved = (name: string, value: unknown, more: Plain = {}) =>
  scalar(name, value, { reservations: [{ type: "DYNAMIC", role: "web", principal: "scheduler" }], ...more });
const operation = (type: string, member: Plain, operationId = "o") => ({
  type,
  id: id(operationId),
  [type.toLowerCase()]: member,
});

/** All of the agent is offered, as if nothing had happened. */
async function offersAll(framework: TestFramework): Promise<void> {
  const { resources } = await framework.offerOf(agent.agentId);
  expect(resources).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ name: "cpus", scalar: { value: 2 } }),
      expect.objectContaining({ name: "mem", scalar: { value: 1000 } }),
      expect.objectContaining({ name: "disk", scalar: { value: 500 } }),
      expect.objectContaining({ name: "ports", ranges: { range: [{ begin: 31_000, end: 31_099 }] } }),
    ]),
  );
  expect(resources).toHaveLength(4);
}

describe("[M12] offers of somebody else (T4)", () => {
  test("are neither declined, nor discarded by an ACCEPT, nor taken; whose they are launches on them afterwards", async () => {
    const owner = await TestFramework.subscribe();
    const offer = await owner.offerOf(agent.agentId);
    const thief = await TestFramework.subscribe({ as: "operator" });
    const year = { refuse_seconds: 365 * 86_400 };
    const decline = { offer_ids: [offer.id], filters: year };
    expect((await thief.call({ type: "DECLINE", decline })).status).toBe(202);
    expect((await thief.accept([offer.id.value], [], { filters: year })).status).toBe(202);
    expect((await thief.accept([offer.id.value], [launch(task("stolen", agent.agentId))])).status).toBe(202);
    const { status } = (await thief.next("UPDATE")).update;
    expect(status).toMatchObject({ task_id: id("stolen"), state: "TASK_LOST", reason: "REASON_INVALID_OFFERS" });
    expect((await thief.accept([offer.id.value], [operation("RESERVE", { resources: [] })])).status).toBe(202);
    expect((await thief.next("UPDATE_OPERATION_STATUS")).update_operation_status.status).toMatchObject({
      operation_id: id("o"),
      state: "OPERATION_ERROR",
    });
    // As the thief, but on the owner's stream and under the owner's id.
    const answer = await thief.call(
      { type: "DECLINE", framework_id: id(owner.id), decline },
      { streamId: owner.streamId },
    );
    expect(answer.status).toBe(400);
    expect(owner.events.some(({ type }) => type === "RESCIND")).toBe(false);
    expect((await owner.accept([offer.id.value], [launch(task("t", agent.agentId))])).status).toBe(202);
    expect(await agent.order()).toMatchObject({ type: "launch", task: { task_id: id("t") } });
  });

  test("named beside one's own: the own ones go back, without a refusal; the other's stand", async () => {
    const owner = await TestFramework.subscribe();
    const theirs = await owner.offerOf(agent.agentId);
    const thief = await TestFramework.subscribe({ as: "operator" });
    const second = await TestAgent.start(++hosts);
    const own = await thief.offerOf(second.agentId);
    await thief.accept([own.id.value, theirs.id.value], [launch(task("t", second.agentId))], {
      filters: { refuse_seconds: 3600 },
    });
    expect((await thief.next("UPDATE")).update.status).toMatchObject({ reason: "REASON_INVALID_OFFERS" });
    expect((await thief.offerOf(second.agentId)).id).not.toEqual(own.id);
    expect((await owner.accept([theirs.id.value], [launch(task("t", agent.agentId))])).status).toBe(202);
    expect(await agent.order()).toMatchObject({ type: "launch" });
    second.socket.close();
  });
});

describe("[M17] one framework in two places", () => {
  test("asked for at the same moment: one stream stays, each other one ends with ERROR, and its calls do nothing", async () => {
    const first = await TestFramework.subscribe();
    const offer = await first.offerOf(agent.agentId);
    const places = await Promise.all(
      Array.from({ length: 6 }, () => TestFramework.subscribe({ info: { id: id(first.id) } })),
    );
    expect(new Set(places.map(({ id: told }) => told))).toEqual(new Set([first.id]));
    const statuses = await Promise.all(places.map(async (place) => (await place.call({ type: "REVIVE" })).status));
    expect(statuses.toSorted((a, b) => a - b)).toEqual([202, 400, 400, 400, 400, 400]);
    const stays = places[statuses.indexOf(202)];
    for (const place of [first, ...places]) {
      if (place === stays) continue;
      expect((await place.next("ERROR")).error.message).toBe("Framework failed over");
      await place.ended();
      expect((await place.accept([offer.id.value], [launch(task("t", agent.agentId))])).status).toBe(400);
      expect((await place.call({ type: "TEARDOWN" })).status).toBe(400);
    }
  });

  test("without an id they are two frameworks", async () => {
    const [a, b] = await Promise.all([TestFramework.subscribe(), TestFramework.subscribe()]);
    expect(a.id).not.toBe(b.id);
  });

  test("one id, new to the plane, and two principals: one has it, the other an ERROR", async () => {
    const info = { id: id("chosen") };
    const places = await Promise.all([TestFramework.open({ info }), TestFramework.open({ info, as: "operator" })]);
    const said = await Promise.all(places.map(async (place) => (await place.any()).type));
    expect(said.toSorted()).toEqual(["ERROR", "SUBSCRIBED"]);
    for (const place of places) place.id = "chosen";
  });
});

/** What no id may be. */
const BAD_IDS = [
  "",
  ".",
  "..",
  "a/b",
  "../../etc/passwd",
  "a\\b",
  "a\u0000b",
  "a\nb",
  "\u009b",
  "x".repeat(ID_BYTES_MAX + 1),
  "ß".repeat(ID_BYTES_MAX / 2 + 1),
];
/** What is not looked at as an id at all. */
const ENDLESS = "x".repeat(10_000);

describe("ids", () => {
  const said = (text: string): string =>
    text.length > 40 ? `${text.slice(0, 8)}… (${text.length})` : JSON.stringify(text);

  test("[M64] [M66] bad ids of tasks, executors, volumes, roles and operations: each is refused by itself, the rest is done", async () => {
    const framework = await TestFramework.subscribe({ info: MULTI });
    const offer = await framework.offerOf(agent.agentId);
    const disk = { persistence: { id: "good" }, volume: { mode: "RW", container_path: "data" } };
    const executor = (value: string) => ({ executor_id: id(value), command: { value: "true" }, resources: [] });
    const withExecutor = (at: number, value: string) =>
      task(`executor-${at}`, agent.agentId, { command: undefined, executor: executor(value) });
    const operations = [
      launch(...BAD_IDS.map((bad) => task(bad, agent.agentId)), ...BAD_IDS.map((bad, at) => withExecutor(at, bad))),
      operation("RESERVE", { resources: [reserved("disk", 100)] }, "reserve"),
      ...BAD_IDS.map((bad, at) =>
        operation(
          "CREATE",
          { volumes: [reserved("disk", 1, { disk: { ...disk, persistence: { id: bad } } })] },
          `volume-${at}`,
        ),
      ),
      ...["/etc", "..", "a/../../b", ""].map((path, at) =>
        operation(
          "CREATE",
          { volumes: [reserved("disk", 1, { disk: { ...disk, volume: { mode: "RW", container_path: path } } })] },
          `path-${at}`,
        ),
      ),
      ...["-x", "a//b", "..", "a b", "\u0007", "*"].map((role, at) =>
        operation(
          "RESERVE",
          { resources: [scalar("disk", 1, { reservations: [{ type: "DYNAMIC", role }] })] },
          `role-${at}`,
        ),
      ),
      ...BAD_IDS.map((bad) => operation("RESERVE", { resources: [reserved("cpus", 1)] }, bad)),
      launch(task("good", agent.agentId)),
    ];
    expect((await framework.accept([offer.id.value], operations)).status).toBe(202);
    expect(await agent.order()).toMatchObject({ type: "operation", operation: { type: "RESERVE" } });
    expect(await agent.order()).toMatchObject({ type: "launch", task: { task_id: id("good") } });
    await framework.next("OFFERS");
    const errors = (of: "task" | "operation"): readonly (readonly [string, string])[] =>
      framework.events.flatMap((event: SchedulerEvent): (readonly [string, string])[] => {
        if (of === "task" && event.type === "UPDATE")
          return [[event.update.status.task_id.value, `${event.update.status.state} ${event.update.status.reason}`]];
        if (of === "operation" && event.type === "UPDATE_OPERATION_STATUS") {
          const { operation_id, state } = event.update_operation_status.status;
          return [[operation_id?.value ?? "", state]];
        }
        return [];
      });
    const invalid = "TASK_ERROR REASON_TASK_INVALID";
    expect(errors("task")).toEqual(
      [...BAD_IDS, ...BAD_IDS.map((_, at) => `executor-${at}`)].map((taskId) => [taskId, invalid]),
    );
    expect(errors("operation")).toEqual(
      [
        ...BAD_IDS.map((_, at) => `volume-${at}`),
        ...[0, 1, 2, 3].map((at) => `path-${at}`),
        ...[0, 1, 2, 3, 4, 5].map((at) => `role-${at}`),
        ...BAD_IDS,
      ].map((operationId) => [operationId, "OPERATION_ERROR"]),
    );
  });

  test.each(BAD_IDS.slice(1).map((bad) => [said(bad), bad]))(
    "a framework's: %s is an ERROR on its stream",
    async (_, bad) => {
      const framework = await TestFramework.open({ info: { id: id(bad) } });
      expect((await framework.next("ERROR")).error.message).toMatch(/^framework_id: /);
      await framework.ended();
    },
  );

  test.each(
    ["a b", "a//b", "/a", "..", "a/..", "-a", "a/*", "\u0000", "r".repeat(256)].map((role) => [said(role), role]),
  )("a role: %s is an ERROR on the stream, and a 400 later", async (_, role) => {
    const stream = await TestFramework.open({ info: { role } });
    expect((await stream.next("ERROR")).error.message).toContain("role");
    const framework = await TestFramework.subscribe({ info: MULTI });
    const framework_info = { user: "nobody", name: "test", failover_timeout: 3600, ...MULTI, id: id(framework.id) };
    const renamed = {
      type: "UPDATE_FRAMEWORK",
      update_framework: { framework_info: { ...framework_info, roles: [role] } },
    };
    expect((await framework.call(renamed)).status).toBe(400);
    // A role that is none of its own is no role at all: as if nothing was said.
    for (const type of ["REVIVE", "SUPPRESS"])
      expect((await framework.call({ type, [type.toLowerCase()]: { roles: [role] } })).status).toBe(202);
  });

  test("of 10,000 letters: 400 with the place, wherever it stands, and the offer is still there", async () => {
    const framework = await TestFramework.subscribe({ info: MULTI });
    const offer = await framework.offerOf(agent.agentId);
    const executor = { executor_id: id(ENDLESS), command: { value: "true" }, resources: [] };
    const disk = { persistence: { id: ENDLESS }, volume: { mode: "RW", container_path: "data" } };
    const calls: readonly (readonly [Plain, string])[] = [
      [{ type: "ACCEPT", accept: { offer_ids: [id(ENDLESS)] } }, "offer_ids"],
      ...(
        [
          [launch(task(ENDLESS, agent.agentId)), "task_id"],
          [launch(task("t", ENDLESS)), "agent_id"],
          [launch(task("t", agent.agentId, { command: undefined, executor })), "executor_id"],
          [operation("RESERVE", { resources: [reserved("cpus", 1)] }, ENDLESS), "id"],
          [operation("CREATE", { volumes: [reserved("disk", 1, { disk })] }), "persistence"],
          [operation("RESERVE", { resources: [scalar("cpus", 1, { reservations: [{ role: ENDLESS }] })] }), "role"],
        ] as const
      ).map(
        ([one, words]) => [{ type: "ACCEPT", accept: { offer_ids: [offer.id], operations: [one] } }, words] as const,
      ),
      [{ type: "KILL", kill: { task_id: id(ENDLESS) } }, "task_id"],
      [{ type: "RECONCILE", reconcile: { tasks: [{ task_id: id(ENDLESS) }] } }, "task_id"],
      [{ type: "REVIVE", revive: { roles: [ENDLESS] } }, "roles"],
      [{ type: "REVIVE", framework_id: id(ENDLESS) }, "framework_id"],
    ];
    for (const [call, words] of calls) {
      const [status, text] = await answerOf(framework.call(call));
      expect([words, status, text.slice(0, 400)]).toEqual([words, 400, expect.stringContaining(words)]);
    }
    const info = { ...MULTI, id: id(ENDLESS) };
    await expect(TestFramework.open({ info })).rejects.toThrow(/^400 .*framework_id|^400 .*id/);
    expect((await framework.accept([offer.id.value], [launch(task("t", agent.agentId))])).status).toBe(202);
    expect(await agent.order()).toMatchObject({ type: "launch" });
  });

  test("that are merely named may be anything: nothing is found, nobody is harmed", async () => {
    const framework = await TestFramework.subscribe();
    for (const bad of BAD_IDS) {
      const [named, uuid] = [id(bad), "AAECAwQFBgcICQoLDA0ODw=="];
      for (const call of [
        { type: "KILL", kill: { task_id: named, agent_id: named } },
        { type: "ACKNOWLEDGE", acknowledge: { agent_id: named, task_id: named, uuid } },
        { type: "SHUTDOWN", shutdown: { agent_id: named, executor_id: named } },
        { type: "MESSAGE", message: { agent_id: id(agent.agentId), executor_id: named, data: "AAEC" } },
        { type: "DECLINE", decline: { offer_ids: [named] } },
        { type: "RECONCILE", reconcile: { tasks: [{ task_id: named, agent_id: named }] } },
        {
          type: "RECONCILE_OPERATIONS",
          reconcile_operations: { operations: [{ operation_id: named, agent_id: named }] },
        },
      ])
        expect([call.type, (await framework.call(call)).status]).toEqual([call.type, 202]);
    }
    await offersAll(framework);
    const { frameworks } = await (
      await request("/frameworks", { as: "reader" })
    ).json<{ frameworks: { id: string; tasks: unknown[] }[] }>();
    expect(frameworks.find((one) => one.id === framework.id)?.tasks).toEqual([]);
  });
});

const ranges = (...range: readonly (readonly [unknown, unknown])[]) => ({
  name: "ports",
  type: "RANGES",
  ranges: { range: range.map(([begin, end]) => ({ begin, end })) },
});

describe("amounts", () => {
  /** A resource that no task may have, and whether the whole call is refused for it. */
  const BAD: readonly (readonly [string, unknown, 202 | 400])[] = [
    ["NaN", scalar("cpus", "NaN"), 400],
    ["infinite", scalar("cpus", "Infinity"), 400],
    ["-Infinity", scalar("cpus", "-Infinity"), 400],
    ["null", scalar("cpus", null), 400],
    ["negative", scalar("cpus", -1), 202],
    ["zero", scalar("cpus", 0), 202],
    ["less than a thousandth", scalar("cpus", 0.0004), 202],
    ["1e308", scalar("cpus", 1e308), 202],
    ["-1e308", scalar("cpus", "-1e308"), 202],
    ["17 digits", scalar("cpus", "12345678901234567"), 202],
    ["17 digits above what is there", scalar("cpus", "2.0010000000000001"), 202],
    ["a range that ends before it begins", ranges([31_010, 31_000]), 202],
    ["a negative range", ranges([-1, 31_000]), 400],
    ["all numbers", ranges([0, "9007199254740991"]), 202],
    ["a range beyond 2^53", ranges([0, "9007199254740993"]), 400],
    ["a range of 64 bits", ranges([0, "18446744073709551615"]), 400],
    ["half a port", ranges([31_000.5, 31_001]), 400],
    ["too many ranges", ranges(...Array.from({ length: 4097 }, (_, at) => [at * 2, at * 2] as const)), 400],
    ["no range", ranges(), 202],
    ["a range where a scalar is said", { ...ranges([1, 2]), type: "SCALAR" }, 202],
    ["a name that is none", { ...scalar("cpus", 1), name: "" }, 400],
    ["a name that JavaScript knows", scalar("__proto__", 1), 202],
  ];

  test("[M64] each bad one refuses its task, or the call with its place; the agent is offered whole afterwards", async () => {
    const framework = await TestFramework.subscribe();
    let offer = await framework.offerOf(agent.agentId);
    for (const [name, resource, expected] of BAD) {
      const bad = task("t", agent.agentId, { resources: [scalar("mem", 10), resource] });
      const [status, text] = await answerOf(framework.accept([offer.id.value], [launch(bad)]));
      expect([name, status]).toEqual([name, expected]);
      if (expected === 400) {
        expect([name, text]).toEqual([name, expect.stringMatching(/accept\.operations/)]);
        continue;
      }
      const told = (await framework.next("UPDATE")).update.status;
      expect([name, told.state, told.reason]).toEqual([name, "TASK_ERROR", "REASON_TASK_INVALID"]);
      offer = await framework.offerOf(agent.agentId);
      expect(offer.resources).toHaveLength(4);
    }
    await framework.accept([offer.id.value], [launch(task("t", "other"))]);
    await offersAll(framework);
  });

  test("NaN and infinities of protobuf", async () => {
    const framework = await TestFramework.subscribe();
    const offer = await framework.offerOf(agent.agentId);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const bad = task("t", agent.agentId, { resources: [scalar("cpus", value)] });
      const accept = { offer_ids: [offer.id], operations: [launch(bad)] };
      const body = toBinary("scheduler.Call", { type: "ACCEPT", framework_id: id(framework.id), accept });
      const [status] = await answerOf(post(body, { contentType: PROTOBUF_TYPE, streamId: framework.streamId }));
      expect([value, status]).toEqual([value, 400]);
    }
    expect((await framework.accept([offer.id.value], [launch(task("t", agent.agentId))])).status).toBe(202);
    expect(await agent.order()).toMatchObject({ type: "launch" });
  });

  test("17 digits that are three: 0.1 three times is 0.3, and what is left is exact; overlapping ranges count once", async () => {
    const framework = await TestFramework.subscribe();
    const offer = await framework.offerOf(agent.agentId);
    const tasks = ["a", "b", "c"].map((taskId) =>
      task(taskId, agent.agentId, { resources: [scalar("cpus", "0.10000000000000001"), scalar("mem", 10)] }),
    );
    const overlapping = task("d", agent.agentId, {
      resources: [ranges([31_005, 31_010], [31_000, 31_007]), ranges([31_008, 31_020]), scalar("mem", 70)],
    });
    const taken = task("e", agent.agentId, { resources: [ranges([31_020, 31_020])] });
    expect((await framework.accept([offer.id.value], [launch(...tasks, overlapping, taken)])).status).toBe(202);
    expect((await framework.next("UPDATE")).update.status).toMatchObject({ task_id: id("e"), state: "TASK_ERROR" });
    const left = await framework.offerOf(agent.agentId);
    expect(left.resources).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: "cpus", scalar: { value: 1.7 } }),
        expect.objectContaining({ name: "mem", scalar: { value: 900 } }),
        expect.objectContaining({ name: "ports", ranges: { range: [{ begin: 31_021, end: 31_099 }] } }),
      ]),
    );
  });

  test.each(["CREATE", "RESERVE", "UNRESERVE", "DESTROY", "GROW_VOLUME", "SHRINK_VOLUME"])(
    "[M66] of %s: refused, and nothing is converted",
    async (type) => {
      const framework = await TestFramework.subscribe({ info: MULTI });
      let offer = await framework.offerOf(agent.agentId);
      const disk = { persistence: { id: "v" }, volume: { mode: "RW", container_path: "data" } };
      for (const value of [-1, 0, 1e308, "12345678901234567", 500.001]) {
        const [volume, addition] = [reserved("disk", value, { disk }), reserved("disk", value)];
        const member =
          type === "GROW_VOLUME"
            ? { volume, addition }
            : type === "SHRINK_VOLUME"
              ? { volume, subtract: { value } }
              : { resources: [addition], volumes: [volume] };
        expect((await framework.accept([offer.id.value], [operation(type, member)])).status).toBe(202);
        const { status } = (await framework.next("UPDATE_OPERATION_STATUS")).update_operation_status;
        expect([value, status.state]).toEqual([value, "OPERATION_ERROR"]);
        offer = await framework.offerOf(agent.agentId);
      }
      expect(offer.resources).toHaveLength(4);
      for (const value of ["NaN", "Infinity"]) {
        const resources = [reserved("disk", value)];
        expect((await framework.accept([offer.id.value], [operation("RESERVE", { resources })])).status).toBe(400);
      }
    },
  );
});

describe("too much at once", () => {
  const many = (count: number) =>
    Array.from({ length: count }, (_, at) => ({
      name: "t",
      task_id: id(`t-${at}`),
      agent_id: id(agent.agentId),
      resources: [],
    }));

  test("100,000 tasks in one ACCEPT: 413 or 400 with the bound, and the offer stands", async () => {
    const framework = await TestFramework.subscribe();
    const offer = await framework.offerOf(agent.agentId);
    expect((await framework.accept([offer.id.value], [launch(...many(100_000))])).status).toBe(413);
    // The shortest that a task can be said in: it is still too much.
    const shortest = many(100_000).map(({ task_id }) => ({ name: "", task_id, agent_id: id("a") }));
    const accept = { offer_ids: [offer.id], operations: [launch(...shortest)] };
    const body = toBinary("scheduler.Call", { type: "ACCEPT", framework_id: id(framework.id), accept });
    expect(body.length).toBeLessThan(CALL_BYTES_MAX);
    const binary = await answerOf(post(body, { contentType: PROTOBUF_TYPE, streamId: framework.streamId }));
    expect(binary).toEqual([400, expect.stringMatching(/values|items/)]);
    const operations = [launch(...many(CALL_ITEMS_MAX)), launch(...many(1))];
    expect(await answerOf(framework.accept([offer.id.value], operations))).toEqual([
      400,
      expect.stringContaining(`at most ${CALL_ITEMS_MAX} tasks, this one has ${CALL_ITEMS_MAX + 1}`),
    ]);
    expect((await framework.accept([offer.id.value], [launch(task("t", agent.agentId))])).status).toBe(202);
    expect(await agent.order()).toMatchObject({ type: "launch" });
  });

  test("[M13] as many as one ACCEPT may have: each is answered once", async () => {
    const framework = await TestFramework.subscribe();
    const offer = await framework.offerOf(agent.agentId);
    const tasks = many(CALL_ITEMS_MAX);
    expect((await framework.accept([offer.id.value], [launch(...tasks)])).status).toBe(202);
    const last = id(`t-${CALL_ITEMS_MAX - 1}`);
    await framework.next("UPDATE", ({ update }) => update.status.task_id.value === last.value);
    const told = framework.events.flatMap((event) =>
      event.type === "UPDATE" ? [[event.update.status.task_id.value, event.update.status.state]] : [],
    );
    expect(told).toEqual(tasks.map(({ task_id }) => [task_id.value, "TASK_ERROR"]));
    await offersAll(framework);
  });

  test("[M65] a group that no frame to the agent holds is refused whole; the agent goes on with what it can take", async () => {
    const framework = await TestFramework.subscribe();
    const offer = await framework.offerOf(agent.agentId);
    const data = "A".repeat(150_000);
    const executor = {
      type: "DEFAULT",
      executor_id: id("e"),
      resources: [scalar("cpus", 0.1), scalar("mem", 32), scalar("disk", 1)],
    };
    const group = (taskIds: readonly string[], more: Plain, own: Plain = {}) => ({
      type: "LAUNCH_GROUP",
      launch_group: {
        executor: { ...executor, ...own },
        task_group: {
          tasks: taskIds.map((taskId) =>
            task(taskId, agent.agentId, { resources: [scalar("cpus", 0.01), scalar("mem", 1)], ...more }),
          ),
        },
      },
    });
    const letters = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const operations = [
      group(letters, { data }),
      // The executor comes with each of its tasks.
      group(letters, {}, { data }),
      group(["good"], {}),
    ];
    expect((await framework.accept([offer.id.value], operations)).status).toBe(202);
    expect(await agent.order()).toMatchObject({ type: "launch-group", tasks: [{ task_id: id("good") }] });
    await framework.next("OFFERS");
    for (const letter of letters) expect(framework.statesOf(letter)).toEqual(["TASK_ERROR", "TASK_ERROR"]);
  });

  test("[M66] an operation that no order holds, and ranges without end: refused, in no time", async () => {
    const framework = await TestFramework.subscribe({ info: MULTI });
    const offer = await framework.offerOf(agent.agentId);
    const labels = { labels: Array.from({ length: 200 }, (_, at) => ({ key: `${at}`, value: "x".repeat(1000) })) };
    expect(JSON.stringify(labels).length).toBeGreaterThan(OPERATION_LETTERS_MAX);
    const layers = [{ type: "DYNAMIC", role: "web", principal: "scheduler", labels }];
    const port = (resource: number, at: number): readonly [number, number] => {
      const begin = 4 * (at * 256 + resource);
      return [begin, begin];
    };
    const endless = Array.from({ length: 128 }, (_, resource) => ({
      ...ranges(...Array.from({ length: 24 }, (__, at) => port(resource, at))),
      reservations: [{ type: "DYNAMIC", role: "web", principal: "scheduler" }],
    }));
    const operations = [
      operation("RESERVE", { resources: [scalar("cpus", 1, { reservations: layers })] }, "labels"),
      operation("RESERVE", { resources: endless }, "ranges"),
      operation("RESERVE", { resources: [reserved("cpus", 1)] }, "good"),
    ];
    const before = Date.now();
    expect((await framework.accept([offer.id.value], operations)).status).toBe(202);
    expect(Date.now() - before).toBeLessThan(3_000);
    expect(await agent.order()).toMatchObject({ type: "operation", operationId: "good" });
    await framework.next("OFFERS");
    const refused = framework.events.flatMap((event) =>
      event.type === "UPDATE_OPERATION_STATUS" ? [event.update_operation_status.status] : [],
    );
    expect(refused).toMatchObject([
      { operation_id: id("labels"), state: "OPERATION_ERROR", message: expect.stringContaining("letters") as string },
      { operation_id: id("ranges"), state: "OPERATION_ERROR" },
    ]);
  });

  test("[M66] thousands of reservations that all differ: as many as an agent can report, and the plane lives", async () => {
    const framework = await TestFramework.subscribe({ info: MULTI });
    const offer = await framework.offerOf(agent.agentId);
    const labelled = (at: number) => ({ labels: [{ key: "n", value: String(at).padEnd(500, "x") }] });
    const operations = Array.from({ length: 2_000 }, (_, at) => {
      const reservations = [{ type: "DYNAMIC", role: "web", principal: "scheduler", labels: labelled(at) }];
      return operation("RESERVE", { resources: [scalar("cpus", 0.001, { reservations })] }, `o-${at}`);
    });
    expect((await framework.accept([offer.id.value], operations)).status).toBe(202);
    await framework.next(
      "UPDATE_OPERATION_STATUS",
      ({ update_operation_status: { status } }) => status.operation_id?.value === "o-1999",
    );
    const [first] = framework.events.flatMap((event) =>
      event.type === "UPDATE_OPERATION_STATUS" ? [event.update_operation_status.status] : [],
    );
    expect(first).toMatchObject({
      state: "OPERATION_ERROR",
      message: expect.stringContaining("different resources") as string,
    });
    expect((await framework.call({ type: "REVIVE" })).status).toBe(202);
  });

  test("[M67] executors whose descriptions are more than one row holds: all are launched, and the plane lives", async () => {
    const framework = await TestFramework.subscribe();
    const offer = await framework.offerOf(agent.agentId);
    const data = "A".repeat(180_000);
    const tasks = Array.from({ length: 16 }, (_, at) =>
      task(`t-${at}`, agent.agentId, {
        resources: [scalar("cpus", 0.01), scalar("mem", 1)],
        command: undefined,
        executor: {
          executor_id: id(`e-${at}`),
          command: { value: "\u{1f600}" },
          resources: [scalar("cpus", 0.02), scalar("mem", 32)],
          data,
        },
      }),
    );
    expect((await framework.accept([offer.id.value], [launch(...tasks)])).status).toBe(202);
    for (let at = 0; at < 16; at++) expect(await agent.order()).toMatchObject({ task: { task_id: id(`t-${at}`) } });
    await runInDurableObject(master(), (_, { storage }) => {
      for (const [table, column] of [
        ["agents", "id"],
        ["agent_rests", "agent"],
      ]) {
        const query = `SELECT value FROM ${table} WHERE ${column} = ?`;
        const rows = storage.sql.exec<{ value: string }>(query, agent.agentId).toArray();
        expect(rows.length).toBeGreaterThan(0);
        for (const { value } of rows) expect(value.length).toBeLessThanOrEqual(ROW_LETTERS_MAX);
      }
    });
    await restartMaster();
    const state = await (
      await request("/state", { as: "reader" })
    ).json<{ slaves: { id: string; used_resources: Plain }[] }>();
    expect(state.slaves.find((one) => one.id === agent.agentId)?.used_resources).toMatchObject({
      cpus: 0.48,
      mem: 16 + 32 * 16,
    });
  });
});
