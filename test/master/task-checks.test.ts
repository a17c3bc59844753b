// The checks of tasks-offers-and-operators §4.2, one by one: the task of each row differs from a good one by what is wrong with it.
import { describe, expect, test } from "vitest";
import type { AgentId, ExecutorId, FrameworkId, TaskId } from "#protocol/ids.ts";
import type { Resource } from "#protocol/resource.ts";
import type { ExecutorInfo, TaskInfo } from "#protocol/task.ts";
import { AGENT_CAPABILITIES } from "#protocol/agent.ts";
import { fromResources, scalar } from "#resources/resources.ts";
import { checkGroup, checkTask, type LaunchContext, TASK_LETTERS_MAX } from "../../src/master/task-checks.ts";

const resource = (name: string, value: number, more: Partial<Resource> = {}): Resource => ({
  name,
  type: "SCALAR",
  scalar: { value },
  ...more,
});
const ports = (begin: number, end = begin): Resource => ({
  name: "ports",
  type: "RANGES",
  ranges: { range: [{ begin, end }] },
});
const command = { value: "true", arguments: [], uris: [] };

const context = (more: Partial<LaunchContext> = {}): LaunchContext => ({
  frameworkId: "f" as FrameworkId,
  agentId: "a" as AgentId,
  agentCapabilities: AGENT_CAPABILITIES,
  role: "web",
  taskInUse: () => undefined,
  liveExecutor: () => undefined,
  remaining: fromResources([resource("cpus", 4), resource("mem", 1024), resource("disk", 100), ports(1, 9)]),
  ...more,
});

const task = (more: Partial<TaskInfo> = {}): TaskInfo => ({
  name: "t",
  task_id: { value: "t" as TaskId },
  agent_id: { value: "a" as AgentId },
  resources: [resource("cpus", 1), resource("mem", 64)],
  command,
  ...more,
});

const executor = (more: Partial<ExecutorInfo> = {}): ExecutorInfo => ({
  type: "CUSTOM",
  executor_id: { value: "e" as ExecutorId },
  resources: [resource("cpus", 0.1), resource("mem", 32), resource("disk", 1)],
  command,
  ...more,
});

const custom = (more: Partial<ExecutorInfo> = {}, of: Partial<TaskInfo> = {}): TaskInfo => {
  const { command: _, ...rest } = task(of);
  return { ...rest, executor: executor(more) };
};
const volume = (id: string): Resource =>
  resource("disk", 1, {
    reservations: [{ type: "DYNAMIC", role: "web" }],
    disk: { persistence: { id }, volume: { mode: "RW", container_path: "data" } },
  });

test("[M64] a good task passes, and what it takes is told", () => {
  const checked = checkTask(task(), context());
  if (checked.type === "invalid") throw new Error(checked.message);
  expect(scalar(checked.resources, "cpus")).toBe(1);
  expect(checked.executorResources.pools.size).toBe(0);
});

test("[M64] an executor that this launch starts is counted, one that is live is not", () => {
  const first = checkTask(custom(), context());
  if (first.type === "invalid") throw new Error(first.message);
  expect(scalar(first.executorResources, "mem")).toBe(32);
  // What the master filled in when it was started is no difference.
  const live = {
    ...executor(),
    framework_id: { value: "f" as FrameworkId },
    resources: executor().resources.map((one) => ({ ...one, allocation_info: { role: "web" } })),
  };
  const second = checkTask(custom(), context({ liveExecutor: () => live }));
  if (second.type === "invalid") throw new Error(second.message);
  expect(second.executorResources.pools.size).toBe(0);
});

const http = { port: 80, statuses: [] };
test.each<[string, TaskInfo, RegExp, Partial<LaunchContext>?]>([
  ["1: an id with a slash", task({ task_id: { value: "a/b" as TaskId } }), /task_id/],
  ["1: an empty id", task({ task_id: { value: "" as TaskId } }), /may not be empty/],
  ["1: an id of two dots", task({ task_id: { value: ".." as TaskId } }), /may not be an id/],
  ["1: an id of 256 bytes", task({ task_id: { value: "é".repeat(128) as TaskId } }), /255 bytes/],
  ["2: another agent", task({ agent_id: { value: "b" as AgentId } }), /offers are of a/],
  ["3: an id in use", task(), /live task/, { taskInUse: () => "live" }],
  ["3: an id of an unreachable task", task(), /unreachable/, { taskInUse: () => "unreachable" }],
  ["4: no resources", task({ resources: [] }), /needs resources/],
  ["4: nothing of a resource", task({ resources: [resource("cpus", 0)] }), /above 0/],
  ["4: less than nothing", task({ resources: [resource("cpus", -1)] }), /above 0/],
  ["4: 1e308", task({ resources: [resource("cpus", 1e308)] }), /at most/],
  ["5: more than is left", task({ resources: [resource("cpus", 5)] }), /more than what is left/],
  ["5: the executor does not fit beside it", custom({ resources: [resource("cpus", 3.5)] }), /its executor/],
  ["6: neither command nor executor", task({ command: undefined }), /exactly one/],
  ["6: both", task({ executor: executor() }), /exactly one/],
  ["7: another executor of that id", custom(), /differs/, { liveExecutor: () => executor({ name: "other" }) }],
  ["8: another framework's executor", custom({ framework_id: { value: "g" as FrameworkId } }), /not the caller's/],
  ["10: another role", task({ resources: [resource("cpus", 1, { allocation_info: { role: "ads" } })] }), /role 'ads'/],
  [
    "10: revocable and not",
    task({ resources: [resource("cpus", 1), resource("cpus", 1, { revocable: {} })] }),
    /both revocable/,
  ],
  ["10: a volume twice", task({ resources: [volume("v"), { ...volume("v"), scalar: { value: 2 } }] }), /twice/],
  ["10: half a gpu", task({ resources: [resource("gpus", 0.5)] }), /whole/],
  ["11: negative kill grace", task({ kill_policy: { grace_period: { nanoseconds: -1 } } }), /grace_period is negative/],
  ["11: negative shutdown grace", custom({ shutdown_grace_period: { nanoseconds: -1 } }), /shutdown_grace_period/],
  ["11: negative completion time", task({ max_completion_time: { nanoseconds: -1 } }), /max_completion_time/],
  ["12: a check without type", task({ check: { tcp: { port: 80 } } }), /'type' is missing/],
  ["12: a check without its member", task({ check: { type: "TCP", http: { port: 80 } } }), /needs 'tcp'/],
  [
    "12: a health check of two kinds",
    task({ health_check: { type: "TCP", tcp: { port: 80 }, http } }),
    /only the member/,
  ],
  ["12: a health check that cannot be told", task({ health_check: { tcp: { port: 80 } } }), /without 'type'/],
  ["12: a negative delay", task({ health_check: { http, delay_seconds: -1 } }), /delay_seconds is negative/],
  ["12: a path without slash", task({ health_check: { http: { ...http, path: "x" } } }), /begins with/],
  [
    "12: a variable without value",
    task({ command: { ...command, environment: { variables: [{ name: "A" }] } } }),
    /has no value/,
  ],
  [
    "12: a secret that is none",
    task({ command: { ...command, environment: { variables: [{ name: "A", type: "SECRET" }] } } }),
    /no secret/,
  ],
  [
    "12: a volume of two sources",
    task({
      container: {
        type: "MESOS",
        volumes: [
          {
            mode: "RW",
            container_path: "x",
            host_path: "/a",
            source: { type: "HOST_PATH", host_path: { path: "/a" } },
          },
        ],
        network_infos: [],
      },
    } as unknown as Partial<TaskInfo>),
    /exactly one of 'host_path'/,
  ],
  ["13: a limit on disk", task({ limits: { disk: { value: 1 } } }), /only cpus and mem/],
  ["13: a limit below the request", task({ limits: { mem: { value: 63 } } }), /below/],
  [
    "15: the same port twice",
    custom({ resources: [...executor().resources, ports(5)] }, { resources: [resource("cpus", 1), ports(5)] }),
    /the same of it/,
  ],
  ["a default executor", custom({ type: "DEFAULT" }), /task groups only/],
  ["a custom executor without command", custom({ command: undefined }), /needs a 'command'/],
  ["an executor id with a slash", custom({ executor_id: { value: "a/b" as ExecutorId } }), /executor_id/],
  ["an empty command", task({ command: { ...command, value: "" } }), /command.value is missing/],
  ["NUL in a command", task({ command: { ...command, value: "a\u0000" } }), /NUL/],
  ["a description without end", task({ name: "n".repeat(TASK_LETTERS_MAX) }), /letters of JSON/],
  ["an agent without executors", custom(), /command tasks only/, { agentCapabilities: [] }],
  [
    "an agent that fetches nothing",
    task({ command: { ...command, uris: [{ value: "http://x" }] } }),
    /fetch/,
    { agentCapabilities: [] },
  ],
])("[M64] check %s", (_, wrong, message, more) => {
  const checked = checkTask(wrong, context(more));
  expect(checked).toMatchObject({ type: "invalid", message: expect.stringMatching(message) as string });
});

test("[M64] limits may be infinite, and a health check may leave its type out", () => {
  expect(checkTask(task({ limits: { mem: { value: "Infinity" } } }), context()).type).toBe("valid");
  expect(checkTask(task({ health_check: { http } }), context()).type).toBe("valid");
});

describe("[M65] a task group", () => {
  const member = (id: string, more: Partial<TaskInfo> = {}) => task({ task_id: { value: id as TaskId }, ...more });
  const group = { type: "DEFAULT", command: undefined } as const;

  test("passes whole, its executor counted once", () => {
    const checked = checkGroup(executor(group), [member("a"), member("b")], context());
    if (checked.type === "invalid") throw new Error(checked.message);
    expect(checked.resources.map((set) => scalar(set, "cpus"))).toEqual([1, 1]);
    expect(scalar(checked.executorResources, "mem")).toBe(32);
  });

  test("is refused whole when its tasks together do not fit", () => {
    const big = member("b", { resources: [resource("cpus", 3)] });
    expect(checkGroup(executor(group), [member("a"), big], context())).toMatchObject({
      type: "invalid",
      message: expect.stringMatching(/^task b: .*left of the offers/) as string,
    });
    // With 4 CPUs 1 + 2.9 fit, the executor's tenth beside them; not a thousandth more.
    const fits = member("b", { resources: [resource("cpus", 2.9)] });
    expect(checkGroup(executor(group), [member("a"), fits], context()).type).toBe("valid");
    const justNot = member("b", { resources: [resource("cpus", 2.901)] });
    expect(checkGroup(executor(group), [member("a"), justNot], context()).type).toBe("invalid");
  });

  test.each<[string, Partial<ExecutorInfo>, readonly TaskInfo[], RegExp]>([
    ["nothing", {}, [], /needs tasks/],
    ["no type", { type: undefined }, [member("a")], /needs a 'type'|needs a 'command'/],
    ["a default executor with a command", { command }, [member("a")], /has no 'command'/],
    ["too few cpus (14)", { resources: [resource("mem", 32), resource("disk", 1)] }, [member("a")], /0.01 cpus/],
    ["too little mem (14)", { resources: [resource("cpus", 1), resource("disk", 1)] }, [member("a")], /32 MB/],
    ["no disk (14)", { resources: [resource("cpus", 1), resource("mem", 32)] }, [member("a")], /needs disk/],
    ["a task with an executor", {}, [{ ...member("a"), executor: executor() }], /no executor of their own/],
    ["an id twice", {}, [member("a"), member("a")], /twice in the group/],
    ["one bad task", {}, [member("a"), member("b", { resources: [] })], /task b: a task needs resources/],
  ])("is refused for %s", (_, more, tasks, message) => {
    expect(checkGroup(executor({ ...group, ...more }), tasks, context())).toMatchObject({
      type: "invalid",
      message: expect.stringMatching(message) as string,
    });
  });
});
