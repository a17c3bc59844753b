// The whole agent against a plane that obeys: real processes, real sockets, real cgroups.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isAlive, identify } from "../../agent-node/checkpoint/process-identity.ts";
import type { Epoch, FrameworkId, SessionId } from "#protocol/ids.ts";
import { type AgentProcess, HAS_CGROUPS, IS_ROOT, skipUnless } from "./agent-process.ts";
import { eventually, FRAMEWORK, kill, launch } from "./fake-plane.ts";
import { host, onFreshHosts, plane, restartPlane } from "./fresh-host.ts";

const withoutRoot = skipUnless(IS_ROOT, "root: users and sandbox owners are not tested");
const withoutCgroups = skipUnless(HAS_CGROUPS, "cgroups: limits and killing of trees are not tested");

onFreshHosts();
let agent: AgentProcess;

async function started(): Promise<void> {
  agent = host.start({ plane: plane.url });
  await plane.registered();
}

/** Waits until a task wrote something, and returns it. */
const written = (taskId: string, file = "stdout"): Promise<string> =>
  eventually(`${taskId}'s ${file}`, () => host.read(taskId, file)?.trim() || undefined);

test("[A1] an agent registers and runs a task to its end", async () => {
  await started();
  expect(plane.paths[0]).toMatch(/^\/agent\/socket\/[0-9a-f]{32}$/);
  plane.order(launch("hello", "echo hello; echo $MESOS_TASK_ID $MESOS_FRAMEWORK_ID >&2; pwd"));
  const { status, latest } = await plane.state("hello", "TASK_FINISHED");
  expect(plane.states("hello")).toEqual(["TASK_RUNNING", "TASK_FINISHED"]);
  expect(status.message).toBe("Command exited with status 0");
  expect(status.executor_id?.value).toBe("hello");
  expect(status.source).toBe("SOURCE_EXECUTOR");
  expect(Buffer.from(status.uuid ?? "", "base64")).toHaveLength(16);
  expect(latest).toBe("TASK_FINISHED");
  expect(host.read("hello", "stdout")).toMatch(/^hello\n\/.*\/runs\/[0-9a-f-]{36}\n$/);
  expect(host.read("hello", "stderr")).toBe("hello framework-1\n");
  // The acknowledged task is forgotten, its sandbox stays.
  await eventually(
    "no run directory",
    () =>
      !existsSync(join(host.path, "meta/containers", status.container_status?.container_id?.value ?? "x")) || undefined,
  );
});

test.each([
  ["exit 3", "Command exited with status 3"],
  ["kill -9 $$", "Command terminated with signal 9"],
  ["exit 137", "Command exited with status 137"],
  ["definitely-no-such-program", "Command exited with status 127"],
])("[A7] '%s' fails with the true exit status", async (command, message) => {
  await started();
  plane.order(launch("failing", command));
  expect((await plane.state("failing", "TASK_FAILED")).status.message).toBe(message);
});

test("[A7] an agent killed with -9 comes back: the task was started once, and its exit status is the true one", async () => {
  await started();
  plane.order(launch("survivor", "echo started >> log; while [ ! -e go ]; do sleep 0.02; done; exit 42"));
  await plane.state("survivor", "TASK_RUNNING");
  await agent.kill("SIGKILL");
  agent = host.start({ plane: plane.url });
  const registration = await plane.registered(2);
  expect(registration.agentId).toBe("agent-S0");
  expect(registration.lastSession).toBe("session-1");
  expect(registration.tasks.map(({ task, latest }) => [task.task_id.value, latest])).toEqual([
    ["survivor", "TASK_RUNNING"],
  ]);
  writeFileSync(join(host.sandbox("survivor"), "go"), "");
  expect((await plane.state("survivor", "TASK_FAILED")).status.message).toBe("Command exited with status 42");
  expect(plane.states("survivor")).toEqual(["TASK_RUNNING", "TASK_FAILED"]);
  expect(host.read("survivor", "log")).toBe("started\n");
});

test("[A7] a task that ends while no agent is there is reported with its exit status", async () => {
  await started();
  plane.order(launch("unwatched", "while [ ! -e go ]; do sleep 0.02; done; touch done; exit 7"));
  await plane.state("unwatched", "TASK_RUNNING");
  await agent.kill("SIGKILL");
  writeFileSync(join(host.sandbox("unwatched"), "go"), "");
  await eventually("the end of the task", () => existsSync(join(host.sandbox("unwatched"), "done")) || undefined);
  agent = host.start({ plane: plane.url });
  expect((await plane.state("unwatched", "TASK_FAILED")).status.message).toBe("Command exited with status 7");
});

test("[A7] a task whose supervisor was killed is reported as failed, and nothing of it is left", async () => {
  await started();
  plane.order(launch("orphan", "echo $$; exec sleep 600"));
  const { status } = await plane.state("orphan", "TASK_RUNNING");
  const sleeping = identify(Number(await written("orphan")));
  const run = join(host.path, "meta/containers", status.container_status?.container_id?.value ?? "");
  process.kill(Number.parseInt(readFileSync(join(run, "pid"), "utf8"), 10), "SIGKILL");
  expect((await plane.state("orphan", "TASK_FAILED")).status.message).toMatch(/supervisor was killed/);
  if (HAS_CGROUPS)
    await eventually("the end of the process", () => sleeping === undefined || !isAlive(sleeping) || undefined);
});

test("[A6] a checkpointed launch that never started is not started by the next agent", async () => {
  await started();
  await agent.kill("SIGKILL");
  // What an agent leaves that ends between its checkpoint and the fork.
  const { encodeLine } = await import("../../agent-node/checkpoint/lines.ts");
  const order = launch("never", "touch /tmp/never-started");
  if (order.type !== "launch") throw new Error("a launch");
  const record = {
    type: "orders",
    sequence: 1,
    launches: [{ framework: order.framework, task: order.task, containerId: "c-1" }],
    kills: [],
  };
  writeFileSync(host.journal, readFileSync(host.journal, "utf8") + encodeLine(JSON.stringify(record)));
  plane.acknowledges = false; // so that the container is not cleared away
  agent = host.start({ plane: plane.url });
  const { status } = await plane.state("never", "TASK_DROPPED");
  expect(status.reason).toBe("REASON_AGENT_RESTARTED");
  // A supervisor that was forked and comes only now finds the claim taken.
  expect(readFileSync(join(host.path, "meta/containers/c-1/pid"), "utf8")).toBe("agent\n");
  expect(existsSync(host.sandbox("never"))).toBe(false);
});

test("[A13] a torn tail of the checkpoint is cut, what was before it holds", async () => {
  await started();
  plane.order(launch("steady", "while [ ! -e go ]; do sleep 0.02; done"));
  await plane.state("steady", "TASK_RUNNING");
  await agent.kill("SIGKILL");
  writeFileSync(host.journal, `${readFileSync(host.journal, "utf8")}0badc0de {"type":"orders","sequ`);
  agent = host.start({ plane: plane.url });
  expect((await plane.registered(2)).tasks).toHaveLength(1);
  writeFileSync(join(host.sandbox("steady"), "go"), "");
  await plane.state("steady", "TASK_FINISHED");
  expect(agent.output).toMatch(/cut off/);
});

test("[A13] a damaged checkpoint is refused, not forgotten", async () => {
  await started();
  plane.order(launch("steady", "sleep 600"));
  await plane.state("steady", "TASK_RUNNING");
  await agent.kill("SIGKILL");
  const lines = readFileSync(host.journal, "utf8").split("\n");
  writeFileSync(host.journal, [lines[0], "00000000 damaged", ...lines.slice(1)].join("\n"));
  agent = host.start({ plane: plane.url });
  expect(await agent.exited()).toBe(2);
  expect(agent.output).toMatch(/damaged in line 2/);
});

test("[A3] a repeated order is acknowledged again and launches once", async () => {
  await started();
  const order = launch("once", "echo started >> log; sleep 600");
  plane.orderWith(1, order);
  await plane.state("once", "TASK_RUNNING");
  plane.orderWith(1, order);
  await eventually(
    "two acknowledgements",
    () => plane.acted.filter((sequence) => sequence === 1).length >= 2 || undefined,
  );
  plane.orderWith(2, order); // [A5] the same task under a new number
  await eventually("the second order", () => plane.acted.includes(2) || undefined);
  plane.orderWith(3, launch("after", "true"));
  await plane.state("after", "TASK_FINISHED");
  expect(host.read("once", "log")).toBe("started\n");
  expect(plane.states("once")).toEqual(["TASK_RUNNING"]);
});

test("[A3] orders after a gap are not acted upon until the gap is filled", async () => {
  await started();
  plane.orderWith(2, launch("second", "true"));
  await eventually("the answer to the gap", () => plane.acted.length >= 2 || undefined);
  expect(plane.acted).toEqual([0, 0]);
  plane.orderWith(1, launch("first", "true"));
  await plane.state("first", "TASK_FINISHED");
  expect(plane.states("second")).toEqual([]);
  plane.orderWith(2, launch("second", "true"));
  await plane.state("second", "TASK_FINISHED");
});

test("[A2] orders of an older session, another epoch or a stranger are dropped without an answer", async () => {
  await started();
  plane.disconnect();
  await plane.registered(2);
  plane.orderWith(1, launch("old-session", "touch ran"), { session: "session-1" as SessionId });
  plane.orderWith(1, launch("old-epoch", "touch ran"), { epoch: 6 as Epoch });
  plane.orderWith(1, launch("new-epoch", "touch ran"), { epoch: 8 as Epoch });
  plane.orderWith(1, launch("mine", "true"));
  await plane.state("mine", "TASK_FINISHED");
  for (const task of ["old-session", "old-epoch", "new-epoch"]) expect(existsSync(host.sandbox(task))).toBe(false);
  expect(plane.acted.filter((sequence) => sequence === 1)).toHaveLength(1);
});

test("[A4] a registration reports the launches of every order that came before it", async () => {
  await started();
  plane.acknowledges = false; // so that ended tasks are reported too
  // Far more than can be checkpointed until the agent registers again, one sync for each frame.
  const tasks = Array.from({ length: 150 }, (_, i) => `t${i}`);
  for (const task of tasks) plane.order(launch(task, "true"));
  plane.send({ type: "unavailable", reason: "a new leader" });
  const registration = await eventually("the next registration", () => plane.registrations[1]);
  expect(registration.tasks.map(({ task }) => task.task_id.value)).toEqual(tasks);
});

test("[A17] a plane of an older epoch is not obeyed", async () => {
  await started();
  plane.epoch = 3 as Epoch;
  plane.disconnect();
  await eventually("the refusal", () => /answers for epoch 3/.test(agent.output) || undefined);
  expect(plane.acted).toEqual([]);
  plane.epoch = 9 as Epoch;
  await plane.registered(3);
});

test("[A14] a wrong secret ends the agent with code 3 and a message that says what to check", async () => {
  agent = host.start({ plane: plane.url, secret: "another-secret" });
  expect(await agent.exited()).toBe(3);
  expect(agent.output).toMatch(/credential of principal 'agents'/);
  expect(agent.output).toContain(plane.url);
  expect(agent.output).not.toContain("another-secret");
});

test("[A14] a server that does not know the secret gets no registration", async () => {
  plane.forgesSignature = true;
  agent = host.start({ plane: plane.url });
  await eventually("three attempts", () => plane.sockets >= 3 || undefined);
  expect(plane.registrations).toHaveLength(0);
  expect(plane.received.some(({ type }) => type === "register")).toBe(false);
});

test("[A14] an authentication error is retried", async () => {
  plane.authenticationAnswer = { type: "authentication-error", reason: "no quorum" };
  agent = host.start({ plane: plane.url });
  await eventually("two attempts", () => plane.sockets >= 2 || undefined);
  plane.authenticationAnswer = undefined;
  await plane.registered();
});

test("[A16] 'unavailable' is asked again on the same socket, 'refused' ends the agent with code 4", async () => {
  let asked = 0;
  plane.onRegister = () => (++asked < 4 ? { type: "unavailable", reason: "no leader" } : undefined);
  await started();
  expect(plane.sockets).toBe(1);
  plane.onRegister = () => ({ type: "refused", reason: "this agent was marked gone" });
  plane.disconnect();
  expect(await agent.exited()).toBe(4);
  expect(agent.output).toMatch(/marked gone/);
});

test("[A16] garbage from the plane closes the socket, and the agent comes back", async () => {
  await started();
  plane.order(launch("steady", "sleep 600"));
  await plane.state("steady", "TASK_RUNNING");
  for (const [i, garbage] of ["no json", "{}", '{"type":"orders"}', `{"type":"${"x".repeat(100)}"}`].entries()) {
    plane.sendText(garbage);
    expect((await plane.registered(i + 2)).tasks).toHaveLength(1);
  }
});

test("[A30] a request that cannot be served is answered 400, and costs no connection", async () => {
  await started();
  plane.order(launch("wide", "i=0; while [ $i -lt 1000 ]; do : > $(printf '%0200d' $i); i=$((i+1)); done"));
  await plane.state("wide", "TASK_FINISHED");
  const virtual = "/frameworks/framework-1/executors/wide/runs/latest";
  const long = `${virtual}/${"./".repeat(900)}`;
  for (const [path, range] of [
    ["no slash", undefined],
    [`/${"x".repeat(8192)}`, undefined],
    ["/health", "x".repeat(129)],
    ["//", undefined],
    ["/files/browse?path=%", undefined],
    ["/%ff", undefined],
    [`/files/browse?path=${encodeURIComponent(long)}`, undefined], // its answer has 2 MB
  ] as const)
    expect([path.slice(0, 20), (await plane.request(path, range)).status]).toEqual([
      path.slice(0, 20),
      expect.toSatisfy((status: number) => status === 400 || status === 404),
    ]);
  const tooLong = await plane.request(`/files/browse?path=${encodeURIComponent(long)}`);
  expect([tooLong.status, Buffer.from(tooLong.body, "base64").toString()]).toEqual([
    400,
    expect.stringMatching(/fit one frame/),
  ]);
  expect((await plane.request("/health")).status).toBe(200);
  expect(plane.sockets).toBe(1);
});

test("[A4] an order that breaks the schema is refused with its whole frame: nothing of it is done or kept", async () => {
  await started();
  const before = readFileSync(host.journal, "utf8");
  const good = { sequence: 1, order: launch("never", "true") };
  const killWith = (killPolicy: unknown) => ({
    sequence: 2,
    order: { type: "kill", frameworkId: FRAMEWORK.id, taskId: "never", killPolicy },
  });
  const orders = [
    ...[
      { grace_period: { nanoseconds: null } },
      { grace_period: {} },
      { grace_period: { nanoseconds: "soon" } },
      3,
    ].map(killWith),
    { sequence: 2, order: launch("x", "true", { kill_policy: { grace_period: { nanoseconds: null as never } } }) },
    { sequence: 0, order: good.order },
    { sequence: 1.5, order: good.order },
    { sequence: null, order: good.order },
  ];
  for (const [i, bad] of orders.entries()) {
    plane.sendText(JSON.stringify({ type: "orders", epoch: plane.epoch, session: plane.session, orders: [good, bad] }));
    expect((await plane.registered(i + 2)).tasks).toEqual([]);
  }
  plane.sendText(
    `{"type":"orders","epoch":${plane.epoch},"session":"${plane.session}","orders":[${JSON.stringify(good)},` +
      `${JSON.stringify(killWith({ grace_period: { nanoseconds: 7 } })).replace("7}", "1e999}")}]}`,
  );
  expect((await plane.registered(orders.length + 2)).tasks).toEqual([]);
  const records = readFileSync(host.journal, "utf8").slice(before.length);
  expect(records).not.toMatch(/"orders"/);
  expect(plane.updates).toEqual([]);
  // Null is the same as absent, here as everywhere in Mesos' JSON.
  plane.sendText(
    JSON.stringify({
      type: "orders",
      epoch: plane.epoch,
      session: plane.session,
      orders: [{ sequence: 1, order: { type: "kill", frameworkId: FRAMEWORK.id, taskId: "never", killPolicy: null } }],
    }),
  );
  await plane.state("never", "TASK_LOST");
});

test("[A27] an agent whose launcher is killed starts another, and what runs runs on", async () => {
  await started();
  plane.order(launch("before", "sleep 600"));
  await plane.state("before", "TASK_RUNNING");
  const launchers = (): number[] =>
    spawnSync("pgrep", ["-P", `${agent.child.pid}`, "-f", "eval"])
      .stdout.toString()
      .split("\n")
      .filter(Boolean)
      .map(Number);
  const [launcher = 0, ...others] = launchers();
  expect(others).toEqual([]);
  process.kill(launcher, "SIGKILL");
  await eventually("the agent's word", () => /launcher has ended/.test(agent.output));
  plane.order(launch("after", "echo $PPID"));
  await plane.state("after", "TASK_FINISHED");
  expect(launchers()).toHaveLength(1);
  expect(launchers()).not.toContain(launcher);
  expect(plane.states("before")).toEqual(["TASK_RUNNING"]);
});

test("[A29] a new launch of an id whose end is not acknowledged is told as lost, after that end", async () => {
  plane.acknowledges = false;
  await started();
  plane.order(launch("again", "echo ran"));
  const running = await plane.state("again", "TASK_RUNNING");
  plane.acknowledge(running);
  await plane.state("again", "TASK_FINISHED");
  plane.order(launch("again", "echo ran twice"));
  await eventually("the order", () => plane.acted.includes(2));
  expect(await agent.kill("SIGKILL")).toBe(null); // the answer was durable before the order was acted upon
  agent = host.start({ plane: plane.url });
  const { tasks } = await plane.registered(2);
  expect(tasks.map(({ statuses }) => statuses.map(({ state }) => state))).toEqual([["TASK_FINISHED", "TASK_DROPPED"]]);
  expect(plane.states("again")).not.toContain("TASK_DROPPED");
  plane.acknowledge(await plane.state("again", "TASK_FINISHED"));
  plane.acknowledge(await plane.state("again", "TASK_DROPPED"));
  expect(plane.states("again")).toEqual(["TASK_RUNNING", "TASK_FINISHED", "TASK_DROPPED"]);
  expect(host.read("again", "stdout")).toBe("ran\n");
  plane.acknowledges = true;
  plane.order(launch("again", "echo ran anew"));
  await eventually("the id used anew", () => host.read("again", "stdout") === "ran anew\n");
});

test("[A16] an agent whose plane is away keeps its tasks and tells of them when it is back", async () => {
  await started();
  plane.order(launch("alone", "while [ ! -e go ]; do sleep 0.02; done"));
  await plane.state("alone", "TASK_RUNNING");
  const { port } = plane;
  await plane.stop();
  writeFileSync(join(host.sandbox("alone"), "go"), "");
  await eventually(
    "the update in the checkpoint",
    () => /TASK_FINISHED/.test(readFileSync(host.journal, "utf8")) || undefined,
  );
  await restartPlane(port);
  expect((await plane.registered()).tasks[0]?.latest).toBe("TASK_FINISHED");
  await plane.state("alone", "TASK_FINISHED");
});

test("[A11] updates are sent again until they are acknowledged, and one after the other", async () => {
  plane.acknowledges = false;
  await started();
  plane.order(launch("patient", "true"));
  const { latest } = await plane.state("patient", "TASK_RUNNING");
  expect(["TASK_RUNNING", "TASK_FINISHED"]).toContain(latest);
  await eventually(
    "the end in the checkpoint",
    () => /TASK_FINISHED/.test(readFileSync(host.journal, "utf8")) || undefined,
  );
  // A registration resends the head at once, and only the head.
  plane.disconnect();
  const registration = await plane.registered(2);
  expect(registration.tasks[0]?.latest).toBe("TASK_FINISHED");
  expect(registration.tasks[0]?.statuses.map(({ state }) => state)).toEqual(["TASK_RUNNING", "TASK_FINISHED"]);
  const repeated = await eventually("the repetition", () => plane.updates[1]);
  expect(repeated.status.uuid).toBe(plane.updates[0]?.status.uuid);
  expect(repeated.latest).toBe("TASK_FINISHED");
  expect(plane.states("patient")).toEqual(["TASK_RUNNING"]);
  plane.acknowledges = true;
  plane.acknowledge(repeated);
  plane.acknowledge(repeated); // twice is once
  await plane.state("patient", "TASK_FINISHED");
  plane.disconnect();
  expect((await plane.registered(3)).tasks).toEqual([]);
});

test("[A9] a kill ends the task, whatever its exit says, and a stubborn one after the grace", async () => {
  await started();
  plane.order(
    launch("polite", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done"),
    launch("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.02; done"),
  );
  await Promise.all([written("polite"), written("stubborn")]);
  plane.order(kill("polite"), kill("stubborn", 200));
  await Promise.all([plane.state("polite", "TASK_KILLED"), plane.state("stubborn", "TASK_KILLED")]);
  expect(plane.updatesOf("stubborn").at(-1)?.status.message).toBe("Command terminated with signal 9");
});

test("[A9] the task's own kill policy is its grace, and a second kill can shorten it", async () => {
  await started();
  const policy = { kill_policy: { grace_period: { nanoseconds: 600e9 } } };
  plane.order(launch("slow", "trap '' TERM; echo ready; while :; do sleep 0.02; done", policy));
  await written("slow");
  plane.order(kill("slow"));
  plane.order(kill("slow", 0));
  await plane.state("slow", "TASK_KILLED");
});

test("[A9] a kill right behind its launch leaves nothing running", async () => {
  await started();
  plane.order(launch("short-lived", "sleep 600"), kill("short-lived", 100));
  await plane.state("short-lived", "TASK_KILLED");
});

test("[A9] a kill is done again by an agent that restarted in the grace", async () => {
  await started();
  plane.order(launch("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.02; done"));
  await written("stubborn");
  plane.order(kill("stubborn", 500));
  await eventually("the checkpoint", () => plane.acted.includes(2) || undefined);
  await agent.kill("SIGKILL");
  agent = host.start({ plane: plane.url });
  await plane.state("stubborn", "TASK_KILLED");
});

test("[A25] a kill of a task that was never here is answered", async () => {
  await started();
  plane.order(kill("stranger"));
  await plane.state("stranger", "TASK_LOST");
});

test("[A9] shutting a framework down kills its tasks and no others", async () => {
  await started();
  const other = launch("other", "sleep 600");
  plane.order(
    launch("one", "sleep 600"),
    launch("two", "sleep 600"),
    other.type === "launch" ? { ...other, framework: { ...FRAMEWORK, id: "framework-2" as FrameworkId } } : other,
  );
  await Promise.all(["one", "two", "other"].map((task) => plane.state(task, "TASK_RUNNING")));
  plane.order({ type: "shutdown-framework", frameworkId: FRAMEWORK.id });
  await Promise.all(["one", "two"].map((task) => plane.state(task, "TASK_KILLED")));
  expect(plane.states("other")).toEqual(["TASK_RUNNING"]);
});

test.skipIf(withoutCgroups)("[A8] a child that forked twice into a session of its own ends with its task", async () => {
  await started();
  const daemon = "( setsid sh -c 'echo $$ > daemon; trap \"\" TERM HUP; while :; do sleep 0.05; done' & ) ; ";
  plane.order(
    launch("killed", `${daemon} sleep 600`),
    launch("finished", `${daemon} while [ ! -s daemon ]; do sleep 0.02; done`),
  );
  const processes = await Promise.all(
    ["killed", "finished"].map(async (task) => identify(Number(await written(task, "daemon")))),
  );
  plane.order(kill("killed", 100));
  await Promise.all([plane.state("killed", "TASK_KILLED"), plane.state("finished", "TASK_FINISHED")]);
  for (const child of processes)
    await eventually("the daemon's end", () => child === undefined || !isAlive(child) || undefined);
});

test.skipIf(withoutCgroups)("[A22] a task that takes more memory than it has fails with that reason", async () => {
  await started();
  plane.order(
    launch("greedy", `exec ${process.execPath} -e 'const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))'`),
  );
  const { status } = await plane.state("greedy", "TASK_FAILED");
  expect(status.reason).toBe("REASON_CONTAINER_LIMITATION_MEMORY");
  expect(status.message).toMatch(/64 MB/);
});

test.skipIf(withoutRoot)("[A26] a task runs as its user, with its own environment and no more", async () => {
  await started();
  const environment = {
    variables: [
      { name: "WORD", value: 'it\'s "quoted" $HOME\nnext' },
      { name: "LD_PRELOAD", value: "" },
    ],
  };
  plane.order(
    launch(
      "as-nobody",
      "id -un; id -gn; printf '%s' \"$WORD\"; touch mine; env | grep -c MESOFLARE; ps -o args= -p $PPID",
      {
        command: {
          value:
            "id -un; printf '%s\\n' \"$WORD\"; touch mine; env | cut -d= -f1 | sort | tr '\\n' ' '; grep NoNewPrivs /proc/self/status",
          user: "nobody",
          environment,
          arguments: [],
          uris: [],
          shell: undefined,
        },
      },
    ),
  );
  await plane.state("as-nobody", "TASK_FINISHED");
  const output = host.read("as-nobody", "stdout") ?? "";
  expect(output).toContain('nobody\nit\'s "quoted" $HOME\nnext\n');
  expect(output).toMatch(/HOME LD_PRELOAD MESOS_AGENT_ID MESOS_FRAMEWORK_ID MESOS_SANDBOX MESOS_TASK_ID PATH PWD WORD/);
  expect(output).toMatch(/NoNewPrivs:\t1/);
  expect(existsSync(join(host.sandbox("as-nobody"), "mine"))).toBe(true);
});

test("[A26] without a shell the program gets its arguments as they are", async () => {
  await started();
  const command = {
    value: "printf",
    arguments: ["printf", "%s|", "a b", "$HOME", "'"],
    shell: false,
    uris: [],
    user: undefined,
    environment: undefined,
  };
  plane.order(launch("plain", "", { command }));
  await plane.state("plain", "TASK_FINISHED");
  expect(host.read("plain", "stdout")).toBe("a b|$HOME|'|");
});

test("[A10] what cannot be launched fails with advice, and the agent goes on", async () => {
  await started();
  // A file stands where the framework's directory should be: nobody, not even root, can make a sandbox there.
  mkdirSync(join(host.path, "slaves/agent-S0/frameworks"), { recursive: true });
  writeFileSync(join(host.path, "slaves/agent-S0/frameworks/framework-1"), "");
  plane.order(launch("homeless", "true"));
  const { status } = await plane.state("homeless", "TASK_FAILED");
  expect(status.reason).toBe("REASON_CONTAINER_LAUNCH_FAILED");
  expect(status.message).toMatch(/work directory/);
});

test.skipIf(withoutRoot)(
  "[A4] what the disk cannot keep is not done: a full disk voids the orders, and space mends it",
  async () => {
    mkdirSync(host.path);
    expect(spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", host.path]).status).toBe(0);
    try {
      await started();
      const filler = join(host.path, "filler");
      spawnSync("dd", ["if=/dev/zero", `of=${filler}`, "bs=4k"]);
      const ran = join(host.workDir, "ran");
      plane.order(launch("unkept", `echo ran >> ${ran}; echo ${"x".repeat(8192)} > /dev/null`));
      const registration = await eventually("another registration", () => plane.registrations[1]);
      expect(registration.tasks).toEqual([]);
      expect(plane.acted.filter((sequence) => sequence > 0)).toEqual([]);
      expect(agent.output).toMatch(/cannot be checkpointed: ENOSPC/);
      rmSync(filler);
      const last = await eventually("a registration that holds", () =>
        plane.acted.includes(0) ? plane.registrations.length : undefined,
      );
      plane.order(launch("kept", `echo ran >> ${ran}`));
      await plane.state("kept", "TASK_FINISHED");
      expect([last >= 2, readFileSync(ran, "utf8")]).toEqual([true, "ran\n"]);
    } finally {
      await agent.kill("SIGKILL");
      spawnSync("umount", ["-l", host.path]);
    }
  },
);

test.skipIf(withoutRoot)("[A10] an unknown user and a missing command are launch failures", async () => {
  await started();
  const command = {
    value: "true",
    user: "no-such-user",
    arguments: [],
    uris: [],
    shell: undefined,
    environment: undefined,
  };
  plane.order(
    launch("unknown-user", "", { command }),
    launch("no-command", "", { command: undefined }),
    launch("fine", "true"),
  );
  const { status } = await plane.state("unknown-user", "TASK_FAILED");
  expect(status.reason).toBe("REASON_CONTAINER_LAUNCH_FAILED");
  expect(status.message).toMatch(/no user 'no-such-user'/);
  expect((await plane.state("no-command", "TASK_FAILED")).status.message).toMatch(/no command/);
  await plane.state("fine", "TASK_FINISHED");
});

test("[A21] SIGTERM leaves the tasks running for the next agent; a second agent is kept out meanwhile", async () => {
  await started();
  plane.order(launch("staying", "while [ ! -e go ]; do sleep 0.02; done; exit 5"));
  await plane.state("staying", "TASK_RUNNING");
  const second = host.start({ plane: plane.url });
  expect(await second.exited()).toBe(2);
  expect(second.output).toMatch(/another agent \(pid \d+\) runs on/);
  expect(await agent.kill("SIGTERM")).toBe(0);
  agent = host.start({ plane: plane.url });
  await plane.registered(2);
  writeFileSync(join(host.sandbox("staying"), "go"), "");
  expect((await plane.state("staying", "TASK_FAILED")).status.message).toBe("Command exited with status 5");
});

test("[A21] SIGUSR1 ends all tasks, reports them, and keeps the agent's id", async () => {
  await started();
  plane.order(launch("one", "sleep 600"), launch("two", "sleep 600"));
  await Promise.all(["one", "two"].map((task) => plane.state(task, "TASK_RUNNING")));
  expect(await agent.kill("SIGUSR1")).toBe(0);
  expect([plane.states("one").at(-1), plane.states("two").at(-1)]).toEqual(["TASK_KILLED", "TASK_KILLED"]);
  agent = host.start({ plane: plane.url });
  const registration = await plane.registered(2);
  expect(registration.agentId).toBe("agent-S0");
  expect(registration.tasks).toEqual([]);
});

test("[A21] SIGUSR1 does not wait for a framework that acknowledges nothing; its updates are sent at the next start", async () => {
  plane.acknowledges = false;
  await started();
  plane.order(launch("one", "sleep 600"), launch("two", "sleep 600"));
  for (const task of ["one", "two"]) plane.acknowledge(await plane.state(task, "TASK_RUNNING"));
  const askedAt = performance.now();
  expect(await agent.kill("SIGUSR1")).toBe(0);
  expect(performance.now() - askedAt).toBeLessThan(4_000); // of 8 s that it would take
  expect([plane.states("one").at(-1), plane.states("two").at(-1)]).toEqual(["TASK_KILLED", "TASK_KILLED"]);
  const sent = plane.updates.length;
  agent = host.start({ plane: plane.url });
  expect((await plane.registered(2)).tasks.map(({ latest }) => latest)).toEqual(["TASK_KILLED", "TASK_KILLED"]);
  await eventually("both again", () => plane.updates.length >= sent + 2);
});

test("[A18] files of a sandbox are read through the plane's tunnel, in ranges, and nothing else is", async () => {
  await started();
  plane.order(launch("writer", "printf 0123456789; ln -s /etc/passwd leak; mkfifo pipe; mkdir sub; echo x > sub/file"));
  await plane.state("writer", "TASK_FINISHED");
  const virtual = "/frameworks/framework-1/executors/writer/runs/latest";
  const download = (path: string, range?: string) =>
    plane.request(`/files/download?path=${encodeURIComponent(path)}`, range);
  const whole = await download(`${virtual}/stdout`);
  expect([whole.status, Buffer.from(whole.body, "base64").toString()]).toEqual([200, "0123456789"]);
  const part = await download(`${virtual}/stdout`, "bytes=4-");
  expect([part.status, part.headers["content-range"], Buffer.from(part.body, "base64").toString()]).toEqual([
    206,
    "bytes 4-9/10",
    "456789",
  ]);
  const beyond = await download(`${virtual}/stdout`, "bytes=10-");
  expect([beyond.status, beyond.headers["content-range"]]).toEqual([416, "bytes */10"]);
  for (const path of ["leak", "pipe", "../../../../../../../../host-key", "/etc/passwd", ""])
    expect((await download(path.startsWith("/") ? path : `${virtual}/${path}`)).status).toBeGreaterThanOrEqual(400);
  const browse = await plane.request(`/files/browse.json?path=${encodeURIComponent(virtual)}`);
  const entries = JSON.parse(Buffer.from(browse.body, "base64").toString()) as { path: string; mode: string }[];
  expect(entries.map(({ path, mode }) => `${mode.charAt(0)} ${path.slice(virtual.length + 1)}`)).toEqual([
    "l leak",
    "p pipe",
    "- stderr",
    "- stdout",
    "d sub",
  ]);
  const state = JSON.parse(Buffer.from((await plane.request("/slave(1)/state")).body, "base64").toString()) as Record<
    string,
    unknown
  >;
  expect(state).toMatchObject({
    id: "agent-S0",
    completed_frameworks: [{ id: "framework-1", completed_executors: [{ id: "writer" }] }],
  });
});

test.skipIf(withoutRoot)(
  "[A8] an agent that is not root says what it lacks, and runs and kills what it can",
  async () => {
    agent = host.start({ plane: plane.url, uid: 65_534 });
    await plane.registered();
    expect(agent.output).toMatch(/not root: every task runs as the agent's own user/);
    expect(agent.output).toMatch(/no usable cgroup at all/);
    plane.order(
      launch("plain", "id -u"),
      launch("tree", "sleep 600 & echo $! > child; trap '' TERM; echo ready; while :; do sleep 0.02; done"),
    );
    await plane.state("plain", "TASK_FINISHED");
    expect(host.read("plain", "stdout")).toBe("65534\n");
    const child = identify(Number(await written("tree", "child")));
    await written("tree");
    plane.order(kill("tree", 100));
    await plane.state("tree", "TASK_KILLED");
    expect(child !== undefined && isAlive(child)).toBe(false);
  },
);

test.skipIf(withoutRoot)("[A26] task users can enter their sandbox and not the agent's own files", async () => {
  await started();
  chmodSync(host.workDir, 0o755); // the tests' own temporary directory is private
  symlinkSync("/", join(host.workDir, "root"));
  const command = {
    value: `cat ${host.path}/meta/agent.journal || echo refused; ls ${host.path}/meta || echo refused`,
    user: "nobody",
    arguments: [],
    uris: [],
    shell: undefined,
    environment: undefined,
  };
  plane.order(launch("curious", "", { command }));
  await plane.state("curious", "TASK_FINISHED");
  expect(host.read("curious", "stdout")).toBe("refused\nrefused\n");
});
