// The table of reconciliation in the core, with what real agents cannot be made to show at will: updates that are held back, and agents on
// which the registry is deciding. The same table with real agents is test/e2e/reconciliation.test.ts.
import { describe, expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { Call } from "#protocol/scheduler.ts";
import type { TaskStatus } from "#protocol/task.ts";
import { onSocketClosed } from "../../src/master/absence.ts";
import { markAgentGone } from "../../src/master/operator.ts";
import { adoptRegistry } from "../../src/master/registration.ts";
import { DEFAULT_SETTINGS } from "../../src/master/settings.ts";
import type { MasterSettings } from "../../src/master/settings.ts";
import { Cluster, register, report, status0, task, type TestFramework, uuidText } from "./cluster.ts";

const AWARE = { capabilities: [{ type: "PARTITION_AWARE" as const }] };

type Question = readonly [taskId: string, agentId?: string | undefined];

/** What it is answered, in order, each as its task's id and state. */
function asks(cluster: Cluster, framework: TestFramework, questions: readonly Question[]): string[] {
  const before = cluster.updates(framework).length;
  const tasks = questions.map(([taskId, agentId]) => ({
    task_id: { value: taskId },
    agent_id: agentId === undefined ? undefined : { value: agentId },
  }));
  cluster.call(framework, { type: "RECONCILE", reconcile: { tasks } } as unknown as Partial<Call>);
  const answers = cluster.updates(framework).slice(before);
  for (const answer of answers) {
    expect(answer).toMatchObject({ source: "SOURCE_MASTER", reason: "REASON_RECONCILIATION" });
    expect([answer.uuid, answer.data]).toEqual([undefined, undefined]);
  }
  return answers.map(({ task_id, state }) => `${task_id.value} ${state}`);
}

/** As the next master finds it: the registry, and nothing else. */
function failover(before: Cluster, settings: Partial<MasterSettings> = {}): Cluster {
  const after = new Cluster(settings, { registry: before.registry, masterId: "n" });
  after.now = before.now;
  after.master.recoveredOf = before.registry.admitted.size;
  after.master.recoveredDeadline = millis(after.now + DEFAULT_SETTINGS.reregisterTimeoutMs);
  adoptRegistry(after.master, after.now);
  return after;
}

describe.each([
  ["partition-aware", AWARE],
  ["not partition-aware", {}],
] as const)("[M21] a framework that is %s", (_, info) => {
  const orLost = (state: string): string => (info === AWARE ? state : "TASK_LOST");

  test("row 1: a task that is known has the state that was told last, whatever agent is named", () => {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const framework = cluster.framework(info);
    cluster.launch(framework, [
      task("staging", agent.agentId),
      task("held", agent.agentId),
      task("ended", agent.agentId),
    ]);
    // The agent knows the end of it and waits for the acknowledgement of RUNNING.
    cluster.update(agent, framework, "held", "TASK_RUNNING", "TASK_FINISHED");
    cluster.update(agent, framework, "ended", "TASK_FAILED");
    const known = ["staging TASK_STAGING", "held TASK_RUNNING", "ended TASK_FAILED"];
    for (const named of [agent.agentId, undefined, "another"])
      expect(
        asks(cluster, framework, [
          ["staging", named],
          ["held", named],
          ["ended", named],
        ]),
      ).toEqual(known);
    expect(asks(cluster, framework, [])).toEqual(known);
    // As often as it asks.
    expect(asks(cluster, framework, [["held"], ["held"], ["held"]])).toEqual(Array(3).fill("held TASK_RUNNING"));
  });

  test("row 1: a task of an agent that is away, but not given up, is known", () => {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const framework = cluster.framework(info);
    cluster.launch(framework, [task("t", agent.agentId)]);
    onSocketClosed(cluster.master, agent.socket, cluster.now);
    expect(
      asks(cluster, framework, [
        ["t", agent.agentId],
        ["x", agent.agentId],
      ]),
    ).toEqual(["t TASK_STAGING", `x ${orLost("TASK_GONE")}`]);
  });

  test("row 1: somebody else's tasks are not one's own", () => {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const owner = cluster.framework(info);
    cluster.launch(owner, [task("t", agent.agentId)]);
    const other = cluster.framework(info);
    expect(asks(cluster, other, [["t", agent.agentId], ["t"]])).toEqual([
      `t ${orLost("TASK_GONE")}`,
      `t ${orLost("TASK_UNKNOWN")}`,
    ]);
    expect(asks(cluster, other, [])).toEqual([]);
  });

  test("rows 3 to 6: unknown tasks, by what the registry says of their agent", () => {
    const cluster = new Cluster();
    const [here, silent, gone, left] = [1, 2, 3, 4].map((host) => cluster.agent(host));
    if (here === undefined || silent === undefined || gone === undefined || left === undefined)
      throw new Error("agents");
    const framework = cluster.framework(info);
    onSocketClosed(cluster.master, silent.socket, cluster.now);
    cluster.commitAll(cluster.pass(DEFAULT_SETTINGS.silenceMs));
    markAgentGone(cluster.master, gone.agentId, { by: "operator", requestId: 1 });
    cluster.commitAll();
    cluster.commitAll(cluster.say(left.socket, { type: "unregister", session: left.session }, left.host));
    const rows: readonly (readonly [string | undefined, string])[] = [
      [here.agentId, "TASK_GONE"],
      [silent.agentId, "TASK_UNREACHABLE"],
      [gone.agentId, "TASK_GONE_BY_OPERATOR"],
      [left.agentId, "TASK_UNKNOWN"],
      ["never", "TASK_UNKNOWN"],
      [undefined, "TASK_UNKNOWN"],
    ];
    const questions = rows.map(([agentId]): Question => ["x", agentId]);
    expect(asks(cluster, framework, questions)).toEqual(rows.map(([, state]) => `x ${orLost(state)}`));
    // Since when, for both, and of nobody else.
    const times = cluster.updates(framework).map(({ unreachable_time }) => unreachable_time?.nanoseconds);
    expect(times).toEqual([undefined, cluster.now * 1e6, undefined, undefined, undefined, undefined]);
  });

  test.each([
    ["marked gone", true],
    ["given up", false],
  ])(
    "rows 2 and 3: while the registry decides whether an agent is %s nothing is said of its tasks, nor of unknown ones",
    (__, isGone) => {
      const cluster = new Cluster();
      const [agent, other] = [cluster.agent(1), cluster.agent(2)];
      const framework = cluster.framework(info);
      const elsewhere = cluster.framework(info);
      cluster.launch(
        framework,
        [task("t", agent.agentId)],
        cluster
          .offers(framework)
          .filter((one) => one.agent_id.value === agent.agentId)
          .map((one) => one.id.value),
      );
      let asked;
      if (isGone) {
        markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 1 });
        asked = cluster.settle();
      } else {
        onSocketClosed(cluster.master, agent.socket, cluster.now);
        asked = cluster.pass(DEFAULT_SETTINGS.silenceMs);
      }
      const decision = asked.find((effect) => effect.type === "registry");
      if (decision?.type !== "registry") throw new Error("the registry was not asked");
      const questions: readonly Question[] = [
        ["t", agent.agentId],
        ["t"],
        ["x", agent.agentId],
        ["x"],
        ["x", other.agentId],
      ];
      // `call` lets the registry decide what it asks for; this one is still open.
      expect(asks(cluster, framework, questions)).toEqual([`x ${orLost("TASK_GONE")}`]);
      expect(asks(cluster, framework, [])).toEqual([]);
      expect(asks(cluster, elsewhere, [["y"]])).toEqual([]);
      cluster.commitAll(cluster.commit(decision));
      const state = orLost(isGone ? "TASK_GONE_BY_OPERATOR" : "TASK_UNREACHABLE");
      expect(asks(cluster, framework, [["x", agent.agentId]])).toEqual([`x ${state}`]);
    },
  );

  test("row 2: after a failover, until the agents of the registry have come or are given up", () => {
    const before = new Cluster();
    const [late, prompt] = [before.agent(1), before.agent(2)];
    const owner = before.framework(info);
    const after = failover(before);
    const framework = after.framework({ ...info, id: { value: owner.id } });
    const running = task("t", prompt.agentId);
    const questions: readonly Question[] = [["t", prompt.agentId], ["x", late.agentId], ["x", "never"], ["x"]];
    expect(asks(after, framework, questions)).toEqual([`x ${orLost("TASK_UNKNOWN")}`]);
    const statuses = [{ ...status0("t", "TASK_RUNNING"), uuid: uuidText(1) }];
    const tasks = [report(framework, running, "TASK_RUNNING", statuses)];
    after.commitAll(
      after.say(after.socket(), register({ agentId: prompt.agentId, lastSession: prompt.session, tasks }), 2),
    );
    expect(asks(after, framework, questions)).toEqual(["t TASK_RUNNING", `x ${orLost("TASK_UNKNOWN")}`]);
    expect(asks(after, framework, [])).toEqual(["t TASK_RUNNING"]);
    after.commitAll(after.pass(DEFAULT_SETTINGS.reregisterTimeoutMs));
    expect(asks(after, framework, questions)).toEqual([
      "t TASK_RUNNING",
      `x ${orLost("TASK_UNREACHABLE")}`,
      `x ${orLost("TASK_UNKNOWN")}`,
      `x ${orLost("TASK_UNKNOWN")}`,
    ]);
  });

  test("an unreachable agent's task is told of with its agent, also when none or another is named; implicitly it is not", () => {
    const cluster = new Cluster();
    const agent = cluster.agent();
    const framework = cluster.framework(info);
    cluster.launch(framework, [task("t", agent.agentId)]);
    onSocketClosed(cluster.master, agent.socket, cluster.now);
    cluster.commitAll(cluster.pass(DEFAULT_SETTINGS.silenceMs));
    const state = orLost("TASK_UNREACHABLE");
    expect(asks(cluster, framework, [["t"], ["t", agent.agentId], ["t", "another"]])).toEqual(
      Array(3).fill(`t ${state}`),
    );
    expect(cluster.updates(framework).at(-1)?.agent_id).toEqual({ value: agent.agentId });
    expect(asks(cluster, framework, [])).toEqual([]);
    markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 1 });
    cluster.commitAll();
    expect(asks(cluster, framework, [["t", agent.agentId]])).toEqual([`t ${orLost("TASK_GONE_BY_OPERATOR")}`]);
  });

  test("[M36] write-only: of an agent that the registry does not know nothing is said", () => {
    const cluster = new Cluster({ strict: false });
    const agent = cluster.agent();
    const framework = cluster.framework(info);
    expect(asks(cluster, framework, [["x", "never"], ["x"], ["x", agent.agentId]])).toEqual([
      `x ${orLost("TASK_GONE")}`,
    ]);
  });
});

test("row 1: with the state comes what was told last of the task's health and container", () => {
  const cluster = new Cluster();
  const agent = cluster.agent();
  const framework = cluster.framework();
  cluster.launch(framework, [task("t", agent.agentId)]);
  const container_status = { container_id: { value: "c" } } as unknown as TaskStatus["container_status"];
  const running = status0("t", "TASK_RUNNING");
  const status: TaskStatus = { ...running, uuid: uuidText(4_711), healthy: false, container_status };
  const updates = [{ frameworkId: framework.id, status, latest: status.state }];
  cluster.say(agent.socket, { type: "updates", session: agent.session, updates }, agent.host);
  expect(asks(cluster, framework, [["t"]])).toEqual(["t TASK_RUNNING"]);
  expect(cluster.updates(framework).at(-1)).toMatchObject({ healthy: false, container_status });
});
