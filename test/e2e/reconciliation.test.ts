// What the plane answers when a framework asks for its tasks: each row of Mesos' table, with real agents, for frameworks that are partition-aware
// and for those that are not. Silence is an answer as well.
import { expect, test } from "vitest";
import type { TaskStatus } from "#protocol/task.ts";
import { TestAgent } from "./harness/agent.ts";
import { AskingFramework, type Question } from "./harness/asking-framework.ts";
import { mesoflare } from "./harness/command.ts";
import { TestPlane } from "./harness/plane.ts";

/** An agent that is killed is given up after two seconds. */
const IMPATIENT = { AGENT_PING_TIMEOUT: "1secs", MAX_AGENT_PING_TIMEOUTS: "2" };
const ENDLESS = "while :; do sleep 0.2; done";
const [AWARE, UNAWARE] = [0, 1];

const startAgent = (plane: TestPlane, hostname: string): Promise<TestAgent> =>
  TestAgent.start({ plane: plane.url, credential: plane.state.agentCredential, hostname });

const stateOf = async (plane: TestPlane, id: string): Promise<string | undefined> => {
  const { agents } = await plane.operator.get<{ agents: { id: string; state: string }[] }>("/mesoflare/agents");
  return agents.find((one) => one.id === id)?.state;
};

/** One question, and what a framework that is partition-aware and one that is not hear; undefined: nothing. */
type Row = readonly [name: string, question: Question, aware: string | undefined, unaware: string | undefined];

const said = ({ state, unreachable_time }: TaskStatus): string =>
  unreachable_time === undefined ? state : `${state} since then`;

async function expectAnswers(frameworks: readonly AskingFramework[], rows: readonly Row[]): Promise<void> {
  for (const [which, framework] of frameworks.entries()) {
    const heard: (readonly [string, string | undefined])[] = [];
    for (const [name, question] of rows) {
      const answers = await framework.asks([question]);
      expect([name, answers.length]).toEqual([name, Math.min(answers.length, 1)]);
      for (const answer of answers) {
        expect(answer).toMatchObject({ task_id: { value: question.taskId }, source: "SOURCE_MASTER" });
        // Nobody acknowledges it.
        expect([answer.uuid, answer.data]).toEqual([undefined, undefined]);
      }
      heard.push([name, answers[0] && said(answers[0])]);
    }
    expect(heard).toEqual(rows.map(([name, , aware, unaware]) => [name, which === AWARE ? aware : unaware]));
    // Asked together, the answers are the same, in the order of the questions.
    const together = await framework.asks(rows.map(([, question]) => question));
    expect(together.map(said)).toEqual(heard.flatMap(([, answer]) => answer ?? []));
  }
}

const both = (plane: TestPlane, isAcknowledged?: (status: TaskStatus) => boolean): readonly AskingFramework[] =>
  [true, false].map((isAware) => new AskingFramework(plane, { isAware, ...(isAcknowledged && { isAcknowledged }) }));

/** Of both frameworks the same tasks. */
const same = (state: string | undefined): [string | undefined, string | undefined] => [state, state];

test("[M21] rows 1 and 3 to 6: known tasks, and unknown ones of agents that are there, unreachable, gone, or in no list", async () => {
  const plane = await TestPlane.start(IMPATIENT);
  const [here, silent, gone, left] = [
    await startAgent(plane, "here"),
    await startAgent(plane, "silent"),
    await startAgent(plane, "gone"),
    await startAgent(plane, "left"),
  ];
  const idOf = async (agent: TestAgent): Promise<string> => (await agent.registered(plane.operator)).id;
  const ids = { here: await idOf(here), silent: await idOf(silent), gone: await idOf(gone), left: await idOf(left) };
  const frameworks = both(plane, ({ task_id, state }) => task_id.value !== "ended" || state !== "TASK_FINISHED");
  for (const framework of frameworks) {
    await framework.launch([
      { taskId: "lives", agentId: ids.here, command: ENDLESS },
      { taskId: "ended", agentId: ids.here, command: "true", until: "TASK_FINISHED" },
      { taskId: "acknowledged", agentId: ids.here, command: "true", until: "TASK_FINISHED" },
      { taskId: "on-silent", agentId: ids.silent, command: ENDLESS },
      { taskId: "on-gone", agentId: ids.gone, command: ENDLESS },
      { taskId: "on-left", agentId: ids.left, command: ENDLESS },
    ]);
  }
  await silent.killHard();
  expect((await mesoflare(plane.state.context, "agents", "gone", ids.gone)).code).toBe(0);
  await left.command.leave("SIGUSR2");
  await expect.poll(() => stateOf(plane, ids.silent), { timeout: 20_000, interval: 100 }).toBe("unreachable");
  await expect.poll(() => stateOf(plane, ids.left), { timeout: 20_000, interval: 100 }).toBeUndefined();
  expect(await stateOf(plane, ids.gone)).toBe("gone");

  const since = (state: string): string => `${state} since then`;
  await expectAnswers(frameworks, [
    ["1 live", { taskId: "lives", agentId: ids.here }, ...same("TASK_RUNNING")],
    ["1 live, no agent named", { taskId: "lives" }, ...same("TASK_RUNNING")],
    ["1 live, another agent named", { taskId: "lives", agentId: ids.gone }, ...same("TASK_RUNNING")],
    ["1 ended, unacknowledged", { taskId: "ended", agentId: ids.here }, ...same("TASK_FINISHED")],
    ["3 never heard of", { taskId: "x", agentId: ids.here }, "TASK_GONE", "TASK_LOST"],
    ["3 ended and acknowledged", { taskId: "acknowledged", agentId: ids.here }, "TASK_GONE", "TASK_LOST"],
    [
      "4 of the unreachable agent",
      { taskId: "on-silent", agentId: ids.silent },
      since("TASK_UNREACHABLE"),
      since("TASK_LOST"),
    ],
    // Mesos says UNKNOWN; we know which agent it is on.
    [
      "4 of the unreachable agent, no agent named",
      { taskId: "on-silent" },
      since("TASK_UNREACHABLE"),
      since("TASK_LOST"),
    ],
    ["4 never heard of", { taskId: "x", agentId: ids.silent }, since("TASK_UNREACHABLE"), since("TASK_LOST")],
    ["5 of the agent that is gone", { taskId: "on-gone", agentId: ids.gone }, "TASK_GONE_BY_OPERATOR", "TASK_LOST"],
    ["5 never heard of", { taskId: "x", agentId: ids.gone }, "TASK_GONE_BY_OPERATOR", "TASK_LOST"],
    ["6 of the agent that left", { taskId: "on-left", agentId: ids.left }, "TASK_UNKNOWN", "TASK_LOST"],
    ["6 of no agent that ever was", { taskId: "x", agentId: "never" }, "TASK_UNKNOWN", "TASK_LOST"],
    ["6 no agent named", { taskId: "x" }, "TASK_UNKNOWN", "TASK_LOST"],
    ["6 of the agent that is gone, no agent named", { taskId: "on-gone" }, "TASK_UNKNOWN", "TASK_LOST"],
  ]);
  for (const [which, framework] of frameworks.entries()) {
    // Implicit: what is known, on agents that are there.
    const implicit = await framework.asks([]);
    expect(Object.fromEntries(implicit.map(({ task_id, state }) => [task_id.value, state]))).toEqual({
      ended: "TASK_FINISHED",
      lives: "TASK_RUNNING",
    });
    // A KILL of what is not known is answered in the same way.
    await framework.client.kill({ taskId: "x" as never, agentId: ids.gone as never });
    await framework.hears("x", which === UNAWARE ? "TASK_LOST" : "TASK_GONE_BY_OPERATOR");
  }
  // It was not dead after all: its tasks are known again.
  silent.startAgain();
  for (const framework of frameworks) {
    await framework.hears("on-silent", "TASK_RUNNING");
    const [answer] = await framework.asks([{ taskId: "on-silent" }]);
    expect(answer).toMatchObject({ state: "TASK_RUNNING", agent_id: { value: ids.silent } });
  }
}, 120_000);

test("[M21] row 6: of an agent that the lists have forgotten nothing is known", async () => {
  const plane = await TestPlane.start({ ...IMPATIENT, REGISTRY_GC_INTERVAL: "1secs", REGISTRY_MAX_AGENT_AGE: "1secs" });
  const agents = [await startAgent(plane, "silent"), await startAgent(plane, "gone")];
  const ids: string[] = [];
  for (const agent of agents) ids.push((await agent.registered(plane.operator)).id);
  const [silent = "", gone = ""] = ids;
  const frameworks = both(plane);
  await agents[0]?.killHard();
  expect((await mesoflare(plane.state.context, "agents", "gone", gone)).code).toBe(0);
  for (const id of ids) await expect.poll(() => stateOf(plane, id), { timeout: 20_000, interval: 100 }).toBeUndefined();
  await expectAnswers(frameworks, [
    ["6 once unreachable", { taskId: "t", agentId: silent }, "TASK_UNKNOWN", "TASK_LOST"],
    ["6 once gone", { taskId: "t", agentId: gone }, "TASK_UNKNOWN", "TASK_LOST"],
    ["6 no agent named", { taskId: "t" }, "TASK_UNKNOWN", "TASK_LOST"],
  ]);
}, 120_000);

test("[M21] row 2: after a failover nothing is said that an agent which is still to come may contradict", async () => {
  const plane = await TestPlane.start({ AGENT_REREGISTER_TIMEOUT: "12secs" });
  const [here, away] = [await startAgent(plane, "here"), await startAgent(plane, "away")];
  const ids = { here: (await here.registered(plane.operator)).id, away: (await away.registered(plane.operator)).id };
  const frameworks = both(plane);
  for (const framework of frameworks) {
    await framework.launch([
      { taskId: "lives", agentId: ids.here, command: ENDLESS },
      { taskId: "on-away", agentId: ids.away, command: ENDLESS },
    ]);
  }
  await plane.killHard();
  await away.killHard();
  await plane.forgetMasters();
  const since = Date.now();
  await plane.boot();
  await here.registered(plane.operator, { since, timeout: 30_000 });
  for (const framework of frameworks) {
    const subscriptions = () => framework.events.filter(({ type }) => type === "SUBSCRIBED").length;
    await expect.poll(subscriptions, { timeout: 20_000, interval: 50 }).toBe(2);
  }
  const known: readonly Row[] = [
    ["1 of the agent that is back", { taskId: "lives", agentId: ids.here }, ...same("TASK_RUNNING")],
    ["1 of the agent that is back, no agent named", { taskId: "lives" }, ...same("TASK_RUNNING")],
    ["3 of the agent that is back", { taskId: "x", agentId: ids.here }, "TASK_GONE", "TASK_LOST"],
    ["6 of no agent that ever was", { taskId: "x", agentId: "never" }, "TASK_UNKNOWN", "TASK_LOST"],
  ];
  await expectAnswers(frameworks, [
    ...known,
    ["2 of the agent that is to come", { taskId: "on-away", agentId: ids.away }, ...same(undefined)],
    ["2 never heard of", { taskId: "x", agentId: ids.away }, ...same(undefined)],
    ["2 no agent named", { taskId: "x" }, ...same(undefined)],
    ["2 no agent named, of the agent that is to come", { taskId: "on-away" }, ...same(undefined)],
  ]);
  for (const framework of frameworks)
    expect((await framework.asks([])).map(({ task_id }) => task_id.value)).toEqual(["lives"]);
  expect(await stateOf(plane, ids.away)).toBe("recovered");

  await expect.poll(() => stateOf(plane, ids.away), { timeout: 30_000, interval: 100 }).toBe("unreachable");
  await expectAnswers(frameworks, [
    ...known,
    ["4", { taskId: "on-away", agentId: ids.away }, "TASK_UNREACHABLE since then", "TASK_LOST since then"],
    ["6 no agent named", { taskId: "x" }, "TASK_UNKNOWN", "TASK_LOST"],
  ]);
  away.startAgain();
  for (const framework of frameworks) await framework.hears("on-away", "TASK_RUNNING");
}, 120_000);
