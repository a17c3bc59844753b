// What a reader of a long view may rely on while everything changes under it, and what a turn sees of its own changes.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { present } from "#base/assert.ts";
import type { TaskId } from "#protocol/ids.ts";
import type { TaskInfo } from "#protocol/task.ts";
import { disconnectStream } from "../../src/master/subscriptions.ts";
import { markAgentGone } from "../../src/master/operator.ts";
import type { Pieces } from "../../src/master/json-pieces.ts";
import { pastOf } from "../../src/master/task-store.ts";
import { tasksPieces } from "../../src/master/task-views.ts";
import { agentsPieces, frameworksPieces, slavesPieces, statePieces } from "../../src/master/views.ts";
import { Cluster, register, report, status0, task, type TestAgent, type TestFramework, uuidText } from "./cluster.ts";

interface TaskJson {
  readonly id: string;
  readonly slave_id: string;
  readonly state: string;
  readonly name: string;
  readonly statuses: readonly { readonly state: string }[];
}
interface FrameworkJson {
  readonly id: string;
  readonly tasks: readonly TaskJson[];
  readonly unreachable_tasks: readonly TaskJson[];
  readonly completed_tasks: readonly TaskJson[];
}
interface StateJson {
  readonly slaves: readonly { readonly id: string; readonly hostname: string; readonly resources: { cpus: number } }[];
  readonly frameworks: readonly FrameworkJson[];
  readonly completed_frameworks: readonly FrameworkJson[];
  readonly tasks: readonly TaskJson[];
}

/** Tasks that make several pieces. */
const TASKS = 450;
const ids = Array.from({ length: TASKS }, (_, n) => `t${n}`);

/** One framework and an agent that brought it {@link TASKS} running tasks. */
function plane(): { readonly cluster: Cluster; readonly framework: TestFramework; readonly agent: TestAgent } {
  const cluster = new Cluster();
  const framework = cluster.framework({ capabilities: [{ type: "PARTITION_AWARE" }] });
  const agent = cluster.agent(1);
  bring(cluster, framework, agent, ids);
  return { cluster, framework, agent: { ...agent, session: sessionOf(cluster, agent) } };
}

/** Small enough that something is left to be offered. */
function small(id: string, { agentId }: TestAgent, name = id): TaskInfo {
  const resources = [
    { name: "cpus", type: "SCALAR" as const, scalar: { value: 0.001 } },
    { name: "mem", type: "SCALAR" as const, scalar: { value: 0.1 } },
  ];
  return task(id, agentId, { name, resources });
}

const sessionOf = (cluster: Cluster, { agentId }: TestAgent) =>
  present(cluster.master.agents.get(agentId)?.session, "a session");

function bring(cluster: Cluster, framework: TestFramework, agent: TestAgent, tasks: readonly string[]): void {
  const reports = tasks.map((id) =>
    report(framework, small(id, agent), "TASK_RUNNING", [{ ...status0(id, "TASK_RUNNING"), uuid: uuidText(7) }]),
  );
  const { agentId, session, socket, host } = agent;
  cluster.commitAll(cluster.say(socket, register({ agentId, lastSession: session, tasks: reports }), host));
}

function acknowledge(cluster: Cluster, framework: TestFramework, agent: TestAgent, id: string, uuid: string): void {
  cluster.call(framework, {
    type: "ACKNOWLEDGE",
    acknowledge: { agent_id: { value: agent.agentId }, task_id: { value: id as TaskId }, uuid },
  });
}

/** The task ends, and becomes history. */
function finish(cluster: Cluster, framework: TestFramework, agent: TestAgent, id: string): void {
  acknowledge(cluster, framework, agent, id, uuidText(7));
  acknowledge(cluster, framework, agent, id, cluster.update(agent, framework, id, "TASK_FINISHED"));
}

/** Reads it to its end, and calls `between` after each piece. */
function readSlowly(pieces: Pieces, between: (piece: number) => void): StateJson {
  let text = "";
  let count = 0;
  for (const piece of pieces) {
    text += piece;
    between(count++);
  }
  return JSON.parse(text) as StateJson;
}

const idsOf = (tasks: readonly { readonly id: string }[]): string[] => tasks.map(({ id }) => id);

describe("[M53] a view of what was there when it was asked for", () => {
  test("tasks that end, and ids that are used again, while it is read", () => {
    const { cluster, framework, agent } = plane();
    finish(cluster, framework, agent, "t449");
    const view = readSlowly(statePieces(cluster.master), (piece) => {
      if (piece > 0) return;
      for (const id of ["t0", "t200", "t448"]) finish(cluster, framework, agent, id);
      cluster.launch(framework, [small("t448", agent, "a later one")]);
      cluster.launch(framework, [small("new", agent)]);
    });
    expect(cluster.master.frameworks.get(framework.id)?.tasks.get("t448" as TaskId)?.latest).toBe("TASK_STAGING");
    const [shown] = view.frameworks;
    expect(idsOf(shown?.tasks ?? [])).toEqual(ids.slice(0, 449));
    expect(shown?.tasks.find(({ id }) => id === "t448")).toMatchObject({ name: "t448", state: "TASK_RUNNING" });
    expect(idsOf(shown?.completed_tasks ?? [])).toEqual(["t449"]);
  });

  test("an agent that leaves, and a framework that is removed, are read to their ends", () => {
    const { cluster, framework, agent } = plane();
    const other = cluster.agent(2);
    const views = [statePieces, (of: Cluster["master"]) => frameworksPieces(of, { frameworkId: undefined })];
    for (const [i, of] of views.entries()) {
      const view = readSlowly(of(cluster.master), (piece) => {
        if (piece > 0) return;
        if (i === 0) {
          markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 1 });
          cluster.commitAll();
          return;
        }
        cluster.call(framework, { type: "TEARDOWN" });
      });
      if (i === 0) expect(idsOf(view.slaves)).toEqual([agent.agentId, other.agentId]);
      const [shown] = view.frameworks;
      const all = [...(shown?.tasks ?? []), ...(shown?.completed_tasks ?? [])];
      expect(idsOf(all).toSorted()).toEqual(ids.toSorted());
    }
  });

  test("an agent that registers anew with something else", () => {
    const { cluster, agent } = plane();
    const { agentId, session, socket, host } = agent;
    const view = readSlowly(slavesPieces(cluster.master, { slaveId: undefined }), (piece) => {
      if (piece > 0) return;
      const info = { hostname: "host", port: 5051, resources: [], attributes: [] };
      cluster.commitAll(cluster.say(socket, register({ agentId, lastSession: session, info }), host));
    });
    expect(cluster.master.agents.get(agentId)?.info.resources).toEqual([]);
    expect(view.slaves).toMatchObject([{ id: agentId, resources: { cpus: 2 } }]);
  });

  test("whatever happens between its pieces: each task that there was once, at most in one list, and no other", () => {
    const happening = fc.record({
      what: fc.constantFrom("finish", "launch", "again", "lose", "come", "part"),
      which: fc.nat(TASKS - 1),
      piece: fc.nat(8),
    });
    const run = (happenings: readonly { what: string; which: number; piece: number }[], path: number): void => {
      const { cluster, framework, agent } = plane();
      const before = new Set(ids);
      let now = agent;
      let launched = 0;
      const happen = ({ what, which }: { readonly what: string; readonly which: number }): void => {
        const id = `t${which}`;
        const record = cluster.master.frameworks.get(framework.id)?.tasks.get(id as TaskId);
        const isHere = cluster.master.agents.get(agent.agentId)?.connection !== undefined;
        switch (what) {
          case "finish":
            if (isHere && record !== undefined) finish(cluster, framework, now, id);
            return;
          case "again":
            if (record === undefined) cluster.launch(framework, [small(id, agent)]);
            return;
          case "launch":
            cluster.launch(framework, [small(`n${launched++}`, agent)]);
            return;
          case "lose":
            cluster.commitAll(cluster.pass(3_600_000));
            return;
          case "come": {
            if (cluster.master.agents.has(agent.agentId)) return;
            now = { ...now, socket: cluster.socket() };
            bring(cluster, framework, now, ids.slice(which));
            now = { ...now, session: sessionOf(cluster, now) };
            return;
          }
          default:
            disconnectStream(cluster.master, framework.streamId, cluster.now);
            cluster.settle();
        }
      };
      const query = { limit: 10_000, offset: 0, order: "asc", frameworkId: undefined, taskId: undefined } as const;
      const pieces = path === 0 ? statePieces(cluster.master) : tasksPieces(cluster.master, query);
      const view = readSlowly(pieces, (piece) => {
        for (const one of happenings) if (one.piece === piece) happen(one);
      });
      const shown =
        path === 0
          ? [...view.frameworks, ...view.completed_frameworks].flatMap((one) => [
              ...one.tasks,
              ...one.unreachable_tasks,
              ...one.completed_tasks,
            ])
          : view.tasks;
      expect(new Set(idsOf(shown))).toEqual(before);
      expect(shown).toHaveLength(TASKS);
      for (const { state, slave_id: of } of shown) expect([state, of]).toEqual(["TASK_RUNNING", agent.agentId]);
    };
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 12 }), fc.nat(1), (happenings, path) => {
        run(happenings, path);
      }),
      { numRuns: 60 },
    );
  });

  test("the agents of the registry, while one of them leaves", () => {
    const { cluster, agent } = plane();
    const view = readSlowly(agentsPieces(cluster.master), (piece) => {
      if (piece > 0) return;
      markAgentGone(cluster.master, agent.agentId, { by: "operator", requestId: 1 });
      cluster.commitAll();
    });
    expect(view).toMatchObject({ agents: [{ id: agent.agentId, state: "active" }] });
  });
});

test("[M51] a turn sees what it has changed itself, before there is a row", () => {
  const { cluster, framework, agent } = plane();
  const told = (state: "TASK_KILLING" | "TASK_KILLED", at: number) => ({
    frameworkId: framework.id,
    status: { ...status0("t1", state), timestamp: at, agent_id: { value: agent.agentId }, uuid: uuidText(at) },
    latest: "TASK_KILLED" as const,
  });
  // Two updates in one turn: the second is added to what the first has left.
  const updates = [told("TASK_KILLING", 11), told("TASK_KILLED", 12)];
  cluster.say(agent.socket, { type: "updates", session: agent.session, updates }, agent.host);
  const states = cluster.store.detail(framework.id, "t1" as TaskId)?.statuses.map(({ state }) => state);
  expect(states).toEqual(["TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"]);
  // An end that is not saved yet counts as past.
  const { master } = cluster;
  master.marked.completed.push({
    frameworkId: framework.id,
    taskId: "t2" as TaskId,
    agentId: agent.agentId,
    state: "TASK_LOST",
    beganAt: 1,
    resources: present(master.frameworks.get(framework.id)?.tasks.get("t2" as TaskId), "a task").resources,
    detail: present(cluster.store.detail(framework.id, "t2" as TaskId), "its detail"),
  });
  expect(pastOf(master, framework.id, "t2" as TaskId).map(({ state }) => state)).toEqual(["TASK_LOST"]);
  // Views read rows: between turns only.
  expect(() => statePieces(master)).toThrow("between turns");
});
