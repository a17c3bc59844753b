// What is on disk after any crash, and what is made of it.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { AgentId, ClusterId, ContainerId, Epoch, SessionId, TaskId } from "#protocol/ids.ts";
import type { TaskState, TaskStatus } from "#protocol/task.ts";
import { compareBoot, readOrMakeHostKey, rememberBoot } from "../../agent-node/checkpoint/host.ts";
import { Journal, readJournal } from "../../agent-node/checkpoint/journal.ts";
import { decodeLines, encodeLine } from "../../agent-node/checkpoint/lines.ts";
import { pathsOf } from "../../agent-node/checkpoint/paths.ts";
import { identify, isAlive, parseIdentity } from "../../agent-node/checkpoint/process-identity.ts";
import {
  type AgentState,
  apply,
  type JournalRecord,
  latestState,
  NEW_AGENT,
  snapshot,
  taskKey,
} from "../../agent-node/checkpoint/state.ts";
import { takeLock } from "../../agent-node/lock.ts";
import { FRAMEWORK, launch, operationUuidOf } from "./fake-plane.ts";
import { reserved } from "./made-resources.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "mesoflare-checkpoint-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("[A13] a journal cut at any byte gives the records that were whole, and no other", () => {
  const records = fc.array(fc.jsonValue(), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(records, fc.double({ min: 0, max: 1, noNaN: true }), (written, where) => {
      const lines = written.map((record) => Buffer.from(encodeLine(JSON.stringify(record))));
      const content = Buffer.concat(lines);
      const cut = Math.floor(content.length * where);
      const read = decodeLines(content.subarray(0, cut));
      let [whole, bytes] = [0, 0];
      for (const line of lines) {
        if (bytes + line.length > cut) break;
        whole++;
        bytes += line.length;
      }
      const expected = written.slice(0, whole).map((record): unknown => JSON.parse(JSON.stringify(record)));
      expect(read).toEqual({ type: "read", records: expected, goodBytes: bytes });
    }),
  );
});

test("[A13] a bad line with a good one behind it is damage", () => {
  const good = encodeLine('{"a":1}');
  expect(decodeLines(Buffer.from(`${good}${good.replace("1", "2")}${good}`))).toEqual({ type: "damaged", line: 2 });
  expect(decodeLines(Buffer.from(`${good}${good.replace("1", "2")}`))).toMatchObject({
    type: "read",
    goodBytes: good.length,
  });
});

test("[A13] reading cuts the torn tail off the file", () => {
  const path = join(directory, "journal");
  writeFileSync(path, `${encodeLine("1")}${encodeLine("2")}`);
  truncateSync(path, 15);
  expect(readJournal(path)).toEqual({ type: "read", records: [1], tornBytes: 4 });
  expect(readJournal(path)).toEqual({ type: "read", records: [1], tornBytes: 0 });
  expect(readJournal(join(directory, "none"))).toEqual({ type: "read", records: [], tornBytes: 0 });
});

test("[A12] appends of one turn are durable together, in order, before any of them answers", async () => {
  const path = join(directory, "journal");
  const durable: number[] = [];
  const journal = await Journal.open<number>(path, {
    onDurable: (records) => durable.push(...records),
    snapshot: () => durable,
  });
  const answered: number[] = [];
  await Promise.all(
    [1, 2, 3].map((n) =>
      journal.append([n]).then(() => {
        expect(durable).toContain(n);
        expect(readFileSync(path, "utf8")).toContain(encodeLine(`${n}`));
        answered.push(n);
      }),
    ),
  );
  expect([durable, answered]).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  await journal.close();
});

test("[A12] a journal that grew is rewritten from the snapshot, and loses nothing", async () => {
  const path = join(directory, "journal");
  let last = { n: 0, text: "" };
  const journal = await Journal.open<typeof last>(path, {
    onDurable: (records) => {
      last = records.at(-1) ?? last;
    },
    snapshot: () => [last],
  });
  for (let n = 1; n <= 100; n++) await journal.append([{ n, text: "x".repeat(100_000) }]);
  expect(journal.bytes).toBeLessThan(5 * 1024 * 1024);
  await journal.close();
  const read = readJournal(path);
  expect(read.type === "read" && read.records.at(-1)).toMatchObject({ n: 100 });
});

const task = (n: number): JournalRecord => {
  const order = launch(`t${n}`, "true");
  if (order.type !== "launch") throw new Error("a launch");
  return {
    type: "orders",
    sequence: n + 1,
    launches: [{ framework: order.framework, task: order.task, containerId: `c${n}` as ContainerId }],
    kills: [],
  };
};
const statusOf = (n: number, state: TaskState, uuid: string): TaskStatus => ({
  task_id: { value: `t${n}` as TaskId },
  state,
  uuid,
  message: undefined,
  agent_id: undefined,
  timestamp: 1,
  executor_id: undefined,
  source: undefined,
  reason: undefined,
  container_status: undefined,
});
const update = (n: number, state: TaskState, uuid: string): JournalRecord => ({
  type: "update",
  frameworkId: FRAMEWORK.id,
  status: statusOf(n, state, uuid),
});

const record: fc.Arbitrary<JournalRecord> = fc.oneof(
  fc.nat(2).map((n): JournalRecord => ({
    type: "registered",
    agentId: "a" as AgentId,
    epoch: n as Epoch,
    session: `s${n}` as SessionId,
    ...(n === 0 ? {} : { clusterId: `cluster-${n}` as ClusterId }),
  })),
  fc.nat(3).map((n): JournalRecord => ({ type: "shutting-down", epoch: n as Epoch, reason: "gone" })),
  fc.nat(3).map((n): JournalRecord => ({ type: "shut-down", epochSeen: n as Epoch })),
  fc.nat(3).map(task),
  fc.nat(3).map((n): JournalRecord => ({
    type: "orders",
    sequence: 9,
    launches: [],
    kills: [{ frameworkId: FRAMEWORK.id, taskId: `t${n}` as TaskId, graceMs: 100 }],
  })),
  fc.tuple(fc.nat(3), fc.nat(2), fc.boolean()).map(([n, amount, changes]): JournalRecord => ({
    type: "operated",
    sequence: 9,
    report: {
      operationUuid: operationUuidOf(n),
      operation: { type: "RESERVE", resources: [] },
      status: { state: "OPERATION_FINISHED", converted_resources: [], uuid: { value: `uuid${amount}` } },
    },
    ...(changes
      ? { converted: [reserved("disk", amount + 1)], removals: [{ path: `path${amount}`, isMount: false }] }
      : {}),
  })),
  fc.tuple(fc.nat(3), fc.nat(2)).map(([n, uuid]): JournalRecord => ({
    type: "operation-acknowledged",
    operationUuid: operationUuidOf(n),
    uuid: `uuid${uuid}`,
  })),
  fc.nat(2).map((n): JournalRecord => ({ type: "volume-removed", path: `path${n}` })),
  fc.tuple(fc.nat(3), fc.nat(5)).map(([n, uuid]): JournalRecord => ({
    type: "orders",
    sequence: 9,
    launches: [],
    kills: [],
    answers: [{ frameworkId: FRAMEWORK.id, status: statusOf(n, "TASK_DROPPED", `answer${uuid}`) }],
  })),
  fc
    .tuple(fc.nat(3), fc.constantFrom<TaskState>("TASK_RUNNING", "TASK_FINISHED"), fc.nat(5))
    .map(([n, state, uuid]) => update(n, state, `u${uuid}`)),
  fc.tuple(fc.nat(3), fc.constantFrom("u", "answer"), fc.nat(5)).map(([n, from, uuid]): JournalRecord => ({
    type: "acknowledged",
    frameworkId: FRAMEWORK.id,
    taskId: `t${n}` as TaskId,
    uuid: `${from}${uuid}`,
  })),
);

test("[A12] the snapshot of any state folds to that state", () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 40 }), (records) => {
      const state = records.reduce<AgentState>(apply, NEW_AGENT);
      const again = snapshot(state).reduce<AgentState>(apply, NEW_AGENT);
      expect(again).toEqual(state);
    }),
  );
});

test("[A33] a shut-down leaves a new agent with its fence; a removal that is not done yet keeps everything", () => {
  const registered: JournalRecord = {
    type: "registered",
    agentId: "a" as AgentId,
    epoch: 4 as Epoch,
    session: "s" as SessionId,
    clusterId: "cluster" as ClusterId,
  };
  const before = [registered, task(1), update(1, "TASK_RUNNING", "u1")].reduce<AgentState>(apply, NEW_AGENT);
  const removing = apply(before, { type: "shutting-down", epoch: 6 as Epoch, reason: "marked gone" });
  expect(removing).toEqual({ ...before, removal: { epoch: 6, reason: "marked gone" }, epochSeen: 6 });
  const forgotten = apply(removing, { type: "shut-down", epochSeen: 6 as Epoch });
  expect(forgotten).toEqual({ ...NEW_AGENT, epochSeen: 6 });
  // Neither is a lower epoch taken for the fence, nor does compaction lose it.
  expect(apply(forgotten, { type: "shut-down", epochSeen: 2 as Epoch }).epochSeen).toBe(6);
  for (const state of [removing, forgotten])
    expect(snapshot(state).reduce<AgentState>(apply, NEW_AGENT)).toEqual(state);
});

test("[A34] the cluster of a registration is kept when a plane does not say it, and not for another id", () => {
  const registered = (agentId: string, clusterId?: string): JournalRecord => ({
    type: "registered",
    agentId: agentId as AgentId,
    epoch: 4 as Epoch,
    session: "s" as SessionId,
    clusterId: clusterId as ClusterId | undefined,
  });
  const state = [registered("a", "cluster"), registered("a")].reduce<AgentState>(apply, NEW_AGENT);
  expect(state.registration?.clusterId).toBe("cluster");
  expect(apply(state, registered("b")).registration?.clusterId).toBeUndefined();
});

test("[A11] a task is forgotten with its terminal acknowledgement, and not before", () => {
  const key = taskKey(FRAMEWORK.id, "t1" as TaskId);
  const acknowledged = (uuid: string): JournalRecord => ({
    type: "acknowledged",
    frameworkId: FRAMEWORK.id,
    taskId: "t1" as TaskId,
    uuid,
  });
  let state = [task(1), update(1, "TASK_RUNNING", "u1"), update(1, "TASK_FINISHED", "u2")].reduce<AgentState>(
    apply,
    NEW_AGENT,
  );
  expect(latestState(state, key)).toBe("TASK_FINISHED");
  for (const uuid of ["u2", "u3", ""]) expect(apply(state, acknowledged(uuid))).toBe(state); // not the head
  state = apply(state, acknowledged("u1"));
  expect(state.tasks.has(key)).toBe(true);
  expect(apply(state, acknowledged("u1"))).toBe(state);
  state = apply(state, acknowledged("u2"));
  expect([state.tasks.size, state.streams.size]).toEqual([0, 0]);
});

test("[A20] the lock keeps a living agent's directory, and is taken over from a dead one", () => {
  const path = join(directory, "lock");
  const release = takeLock(path, directory);
  expect(() => takeLock(path, directory)).toThrow(new RegExp(`another agent \\(pid ${process.pid}\\)`));
  release();
  // Our own pid with another start time: the pid was given away anew.
  writeFileSync(path, `${process.pid} 1\n`);
  takeLock(path, directory)();
  writeFileSync(path, "garbage");
  takeLock(path, directory)();
});

test("[A7] a process is known by pid and start time", () => {
  const self = identify(process.pid);
  expect(self !== undefined && isAlive(self)).toBe(true);
  expect(isAlive({ pid: process.pid, startTime: "1" })).toBe(false);
  expect(identify(2 ** 22 + 1)).toBeUndefined();
  expect(parseIdentity("agent\n")).toBeUndefined();
});

test("[A23] the boot is remembered once recovery is done; the host key is made once", () => {
  const paths = { ...pathsOf(directory), bootId: join(directory, "boot-id") };
  expect(compareBoot(paths, "boot-1")).toBe("same-boot"); // the first start
  rememberBoot(paths, "boot-1");
  expect(compareBoot(paths, "boot-1")).toBe("same-boot");
  expect(compareBoot(paths, "boot-2")).toBe("other-boot");
  const key = readOrMakeHostKey(paths);
  expect(readOrMakeHostKey(paths)).toBe(key);
  writeFileSync(paths.hostKey, "no key");
  expect(() => readOrMakeHostKey(paths)).toThrow(/not a host key/);
});
