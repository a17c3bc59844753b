import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { asAgentId, type TaskState, type TaskStatus } from "#scheduler/index.ts";
import {
  afterUpdate,
  ATTEMPTS_MAX,
  isOver,
  launched,
  newBatch,
  notLaunched,
  openTasks,
  taskIdOf,
  waitingIn,
  type Batch,
} from "../../examples/batch/batch.ts";
import { runBatch, type BatchOptions } from "../../examples/batch/run.ts";
import { lock, StateFile } from "../../examples/batch/state-file.ts";
import { allWentWell, summaryOf } from "../../examples/batch/summary.ts";
import { HttpPlane, statusOf } from "../scheduler/http-plane.ts";

const PLANE = "http://plane";
const AGENT = asAgentId("agent-S0");
const RECONCILED = { uuid: undefined, reason: "REASON_RECONCILIATION" } as const;

const hear = (batch: Batch, attempt: number, state: TaskState, more: Partial<TaskStatus> = {}): Batch =>
  afterUpdate(batch, statusOf(taskIdOf(0, attempt), state, more));
const stateOf = (batch: Batch): string | undefined => batch.commands[0]?.progress.state;

describe("what follows from an update", () => {
  const once = launched(newBatch(PLANE, ["true"]), [0], AGENT);

  test("a command ends with the code of the agent's own update, and stays as it is", () => {
    const running = hear(once, 1, "TASK_RUNNING");
    expect(running.commands[0]?.progress).toEqual({ state: "launched", agentId: AGENT, started: true });
    const ended = hear(running, 1, "TASK_FAILED", { message: "Command exited with status 3" });
    expect(ended.commands[0]?.progress).toEqual({ state: "ended", exitCode: 3 });
    expect(isOver(ended)).toBe(true);
    expect(hear(ended, 1, "TASK_GONE", RECONCILED)).toBe(ended);
    expect(hear(ended, 1, "TASK_DROPPED")).toBe(ended);
    const signalled = hear(once, 1, "TASK_FAILED", { message: "Command terminated with signal 9" });
    expect(signalled.commands[0]?.progress).toMatchObject({ exitCode: 137 });
  });

  test("an answer that it has ended has no exit code: the agent's update is waited for", () => {
    expect(hear(once, 1, "TASK_FAILED", RECONCILED)).toBe(once);
  });

  test("a launch that did not arrive is repeated under another id", () => {
    for (const waiting of [hear(once, 1, "TASK_DROPPED"), hear(once, 1, "TASK_GONE", RECONCILED)]) {
      expect(waitingIn(waiting)).toHaveLength(1);
      const twice = launched(waiting, [0], AGENT);
      expect(openTasks(twice)).toEqual([{ taskId: "command-1-2", agentId: AGENT }]);
      expect(hear(twice, 1, "TASK_FINISHED"), "of the launch before").toBe(twice);
    }
  });

  test.each<[TaskState, Partial<TaskStatus>]>([
    ["TASK_GONE", RECONCILED],
    ["TASK_GONE", {}],
    ["TASK_GONE_BY_OPERATOR", RECONCILED],
    ["TASK_UNKNOWN", RECONCILED],
    ["TASK_LOST", {}],
  ])("one that may have run is lost and not repeated: %s %o", (state, more) => {
    const lost = hear(hear(once, 1, "TASK_RUNNING"), 1, state, more);
    expect(lost.commands[0]?.progress).toMatchObject({ state: "ended", why: expect.stringContaining("may have run") });
    expect(waitingIn(lost)).toEqual([]);
  });

  test("that the plane has it does not say that its agent has, and an unreachable agent may come back", () => {
    expect(hear(once, 1, "TASK_STAGING", RECONCILED)).toBe(once);
    expect(hear(once, 1, "TASK_UNREACHABLE", RECONCILED)).toBe(once);
  });

  test("after too many launches that came to nothing it is given up", () => {
    let batch = newBatch(PLANE, ["true"]);
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      expect(stateOf(batch)).toBe("waiting");
      batch = hear(launched(batch, [0], AGENT), attempt, "TASK_DROPPED");
    }
    expect(batch.commands[0]?.progress).toMatchObject({ why: expect.stringContaining("not started in 20 attempts") });
  });

  test("a refused call changes only what still waits for its answer", () => {
    expect(stateOf(notLaunched(once, [0]))).toBe("waiting");
    const ended = hear(once, 1, "TASK_ERROR", { message: "no such user" });
    expect(notLaunched(ended, [0])).toEqual(ended);
  });

  test("updates of tasks that are none of ours change nothing", () => {
    for (const id of ["command-2-1", "command-0-1", "command-1-2", "another"])
      expect(afterUpdate(once, statusOf(id, "TASK_FAILED"))).toBe(once);
  });

  test("the summary has a line for each command", () => {
    const ended = hear(launched(newBatch(PLANE, ["a", "b"]), [0], AGENT), 1, "TASK_FINISHED");
    expect(summaryOf(ended)).toBe("1\texit 0\ta\n2\twaiting\tb\n2 commands: 1 succeeded, 1 did not\n");
    expect(allWentWell(ended)).toBe(false);
  });
});

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mesoflare-batch-"));
  path = join(directory, "state");
});
afterEach(() => rmSync(directory, { recursive: true }));

describe("the state file", () => {
  test("what was saved is read back; other commands, another plane and other files are refused and left alone", () => {
    const file = StateFile.open(path, PLANE, ["a"]);
    file.save(launched(file.batch, [0], AGENT));
    expect(StateFile.open(path, PLANE, ["a"]).batch).toEqual(file.batch);
    expect(() => StateFile.open(path, PLANE, ["b"])).toThrow("the commands are not those");
    expect(() => StateFile.open(path, "http://other", ["a"])).toThrow(`begun on ${PLANE}, not on http://other`);
    for (const text of ["", "{", '{"version":2}', "null"]) {
      writeFileSync(path, text);
      expect(() => StateFile.open(path, PLANE, ["a"])).toThrow("is no state of a batch");
      expect(readFileSync(path, "utf8")).toBe(text);
    }
  });

  test("one holder", async () => {
    await lock(path);
    await expect(lock(path)).rejects.toThrow("another process is at work");
  });
});

describe("the framework", () => {
  let plane: HttpPlane;
  let leaving: AbortController;
  let said: string[];
  const running: Promise<void>[] = [];
  beforeEach(async () => {
    plane = new HttpPlane();
    leaving = new AbortController();
    said = [];
    await plane.listen();
  });
  afterEach(async () => {
    leaving.abort();
    await Promise.allSettled(running.splice(0));
    plane.close();
  });

  function start(lines: readonly string[], more: Partial<BatchOptions> = {}) {
    const file = StateFile.open(path, plane.url, lines);
    const run = runBatch(file, {
      connection: { plane: plane.url, bounds: { firstMs: 10, maxMs: 10 } },
      user: "nobody",
      name: "batch",
      cpus: 1,
      memMb: 32,
      cancel: false,
      say: (text) => said.push(text),
      signal: leaving.signal,
      ...more,
    });
    running.push(run);
    run.catch(() => undefined);
    return { file, run };
  }

  /** An offer with room for so many commands. */
  const offer = (id: string, room: number): void =>
    plane.send({
      type: "OFFERS",
      offers: {
        offers: [
          {
            id: { value: id },
            agent_id: { value: AGENT },
            hostname: "a",
            resources: [
              { name: "cpus", type: "SCALAR", scalar: { value: room } },
              { name: "mem", type: "SCALAR", scalar: { value: 4096 } },
            ],
          },
        ],
      },
    });
  const onDisk = (): Batch => JSON.parse(readFileSync(path, "utf8")) as Batch;
  const launchedIds = (): readonly string[] =>
    plane
      .callsOf("ACCEPT")
      .flatMap(({ call }) => call.accept?.operations.flatMap(({ launch }) => launch?.task_infos ?? []) ?? [])
      .map(({ task_id }) => task_id.value);

  test("what is launched is in the file before the plane hears of it, and what is acknowledged before that", async () => {
    const seen: string[] = [];
    plane.answer = ({ type }) => {
      if (type === "ACCEPT" || type === "ACKNOWLEDGE") seen.push(`${type} ${stateOf(onDisk()) ?? ""}`);
      return undefined;
    };
    const { run } = start(["true"]);
    await plane.hears("SUBSCRIBE");
    offer("O1", 1);
    await plane.hears("ACCEPT");
    expect(onDisk().frameworkId).toBe("framework-0000");
    plane.update("command-1-1", "TASK_FINISHED", { message: "Command exited with status 0" });
    await run;
    expect(seen).toEqual(["ACCEPT launched", "ACKNOWLEDGE ended"]);
    expect(plane.callsOf("TEARDOWN")).toHaveLength(1);
    expect(onDisk().removed).toBe(true);
  });

  test("an offer takes as many as have room, and the next one the rest; one without room is declined and told", async () => {
    start(["a", "b", "c"]);
    await plane.hears("SUBSCRIBE");
    offer("O1", 0.5);
    await plane.hears("DECLINE");
    expect(said).toEqual(["a offers 0.5 of 1 cpus; waiting for more"]);
    offer("O2", 2);
    await plane.hears("ACCEPT");
    offer("O3", 2);
    await plane.hears("ACCEPT", 2);
    expect(launchedIds()).toEqual(["command-1-1", "command-2-1", "command-3-1"]);
  });

  test("another life asks for what was launched, and launches only what did not arrive", async () => {
    const before = StateFile.open(path, plane.url, ["a", "b"]);
    before.save({ ...launched(before.batch, [0, 1], AGENT), frameworkId: "framework-0000" });
    start(["a", "b"]);
    await expect
      .poll(() => plane.callsOf("RECONCILE").flatMap(({ call }) => call.reconcile?.tasks ?? []))
      .toEqual(
        expect.arrayContaining([
          { task_id: { value: "command-1-1" }, agent_id: { value: AGENT } },
          { task_id: { value: "command-2-1" }, agent_id: { value: AGENT } },
        ]),
      );
    expect(plane.callsOf("SUBSCRIBE")[0]?.call.framework_id?.value).toBe("framework-0000");
    plane.reconciled("command-1-1", "TASK_RUNNING");
    plane.reconciled("command-2-1", "TASK_GONE");
    offer("O1", 2);
    await plane.hears("ACCEPT");
    expect(launchedIds()).toEqual(["command-2-2"]);
  });

  test("a launch without an answer is asked for in the next subscription, not before, and not repeated", async () => {
    plane.answer = ({ type }) => (type === "ACCEPT" ? "none" : undefined);
    start(["a"]);
    await plane.hears("SUBSCRIBE");
    offer("O1", 1);
    await plane.hears("SUBSCRIBE", 2);
    offer("O2", 1);
    await expect
      .poll(() => plane.callsOf("RECONCILE").flatMap(({ call }) => call.reconcile?.tasks ?? []))
      .toContainEqual({ task_id: { value: "command-1-1" }, agent_id: { value: AGENT } });
    expect(plane.callsOf("ACCEPT")).toHaveLength(1);
  });

  test("a launch that the plane refuses for ever ends the batch with its words, and the command waits", async () => {
    plane.answer = ({ type }) => (type === "ACCEPT" ? { status: 400, text: "no such operation" } : undefined);
    const { run } = start(["a"]);
    await plane.hears("SUBSCRIBE");
    offer("O1", 1);
    await expect(run).rejects.toThrow("no such operation");
    expect(stateOf(onDisk())).toBe("waiting");
  });

  test("a task that is none of ours is killed", async () => {
    start(["a"]);
    await plane.hears("RECONCILE", 2);
    plane.reconciled("command-1-7", "TASK_RUNNING");
    await plane.hears("KILL");
    expect(plane.callsOf("KILL")[0]?.call.kill?.task_id.value).toBe("command-1-7");
  });

  test("killed between the end of its framework and the record of it, the next life only sums up", async () => {
    const before = StateFile.open(path, plane.url, ["a"]);
    const ended = hear(launched(before.batch, [0], AGENT), 1, "TASK_FINISHED");
    before.save({ ...ended, frameworkId: "framework-0000" });
    plane.onSubscribed = () => plane.send({ type: "ERROR", error: { message: "Framework has been removed" } });
    plane.answer = ({ type }) => (type === "TEARDOWN" ? { status: 403 } : undefined);
    await start(["a"]).run;
    expect(onDisk().removed).toBe(true);
  });

  test("a framework that was removed with commands open is told, and the file is left as it is", async () => {
    const before = StateFile.open(path, plane.url, ["a"]);
    before.save({ ...launched(before.batch, [0], AGENT), frameworkId: "framework-0000" });
    plane.onSubscribed = () => plane.send({ type: "ERROR", error: { message: "Framework has been removed" } });
    await expect(start(["a"]).run).rejects.toThrow("may have run in part");
    expect(stateOf(onDisk())).toBe("launched");
  });
});
