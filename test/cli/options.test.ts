import { expect, test } from "vitest";
import { makeTaskId, parseRunOptions, parseTimeoutMs, type RunArguments } from "../../cli/run/options.ts";
import { chooseTask, type TaskJson } from "../../cli/mesos-json.ts";
import { formatTable } from "../../cli/table.ts";

const given: RunArguments = { name: "t", cpus: "0.1", mem: "32", env: [] };

test("run's arguments become what the task will be", () => {
  const options = parseRunOptions({ ...given, env: ["A=1", "B=x=y", "C="], timeout: "90s" }, ["echo", "a b"], "me");
  expect(options).toMatchObject({ cpus: 0.1, memMb: 32, user: "me", timeoutMs: 90_000, argv: ["echo", "a b"] });
  expect(options.environment).toEqual([
    { name: "A", value: "1" },
    { name: "B", value: "x=y" },
    { name: "C", value: "" },
  ]);
});

test.each([
  ["no command", {}, []],
  ["cpus that are no number", { cpus: "many" }, ["true"]],
  ["no memory", { mem: "0" }, ["true"]],
  ["a variable without a name", { env: ["=1"] }, ["true"]],
  ["a variable without a value", { env: ["A"] }, ["true"]],
  ["a timeout without sense", { timeout: "soon" }, ["true"]],
])("%s is refused", (_, flags, argv) => {
  expect(() => parseRunOptions({ ...given, ...flags }, argv, "me")).toThrow();
});

test.each([
  ["30", 30_000],
  ["1.5m", 90_000],
  ["2h", 7_200_000],
  ["100ms", 100],
  ["5mins", 300_000],
])("--timeout %s is %i ms", (text, ms) => expect(parseTimeoutMs(text)).toBe(ms));

test("a task id is safe whatever the name is", () => {
  expect(makeTaskId("hello", "0a1b")).toBe("hello-0a1b");
  expect(makeTaskId("../a b\u0000ü", "0a1b")).toBe("..-a-b---0a1b");
  expect(makeTaskId("x".repeat(500), "0a1b")).toHaveLength(65);
});

test("a task is found by id, or by its name: the live one, else the newest", () => {
  const task = (id: string, name: string, state = "TASK_RUNNING") =>
    ({ id, name, state, framework_id: "f" }) as unknown as TaskJson;
  const ended = "TASK_FINISHED";
  const tasks = [
    task("a-1", "a"),
    task("b-1", "b"),
    task("b-2", "b"),
    task("a", "c"),
    task("d-1", "d"),
    task("d-2", "d", ended),
  ];
  expect(chooseTask(tasks, "a-1").id).toBe("a-1");
  expect(chooseTask(tasks, "a").name).toBe("c"); // the id wins over the name
  expect(chooseTask(tasks, "d").id).toBe("d-1");
  expect(chooseTask([task("e-1", "e", ended), task("e-2", "e", ended)], "e").id).toBe("e-2");
  expect(() => chooseTask(tasks, "b")).toThrow("more than one task");
  expect(() => chooseTask(tasks, "z")).toThrow("no task 'z'");
});

test("a table's columns are aligned", () => {
  expect(
    formatTable(
      ["id", "state"],
      [
        ["long-id", "up"],
        ["x", ""],
      ],
    ),
  ).toBe("ID       STATE\nlong-id  up\nx\n");
});
