// Reservations and volumes of a whole agent: real processes, a real disk, and kill -9 between any two steps.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { equal, fromResources } from "#resources/resources.ts";
import type { Resource } from "#protocol/resource.ts";
import { decodeLines, encodeLine } from "../../agent-node/checkpoint/lines.ts";
import { type AgentProcess, IS_ROOT, skipUnless } from "./agent-process.ts";
import { eventually, launch, operation, operationUuidOf } from "./fake-plane.ts";
import { host, onFreshHosts, plane } from "./fresh-host.ts";
import { fixed, free, ports, reserved, volume } from "./made-resources.ts";

const withoutRoot = skipUnless(IS_ROOT, "root: owners of volumes are not tested");
const RESOURCES = "cpus:4;mem:1000;disk:500;cpus(web):1;ports:[31000-31009]";
const GIVEN = [free("cpus", 4), free("mem", 1000), free("disk", 500), fixed("cpus", 1), ports(31_000, 31_009)];
const CONVERTED = GIVEN.map((one) => (one.name === "disk" ? free("disk", 300) : one));

onFreshHosts();
let agent: AgentProcess;

async function started(resources = RESOURCES): Promise<readonly Resource[]> {
  const before = plane.registrations.length;
  agent = host.start({ plane: plane.url, args: ["--resources", resources] });
  return (await plane.registered(before + 1)).info.resources;
}
const crashed = (): Promise<number | null> => agent.kill("SIGKILL");
const isTotal = (resources: readonly Resource[], expected: readonly Resource[]): void => {
  expect(equal(fromResources(resources), fromResources(expected)), JSON.stringify(resources)).toBe(true);
};

const RESERVE = operation(1, { type: "RESERVE", resources: [reserved("disk", 200)] });
const CREATE = operation(2, { type: "CREATE", volumes: [volume(100)] });
const DESTROY = operation(3, { type: "DESTROY", volumes: [volume(100)] });
const UNRESERVE = operation(4, { type: "UNRESERVE", resources: [reserved("disk", 200)] });
const withVolume = (taskId: string, command: string, of = volume(100)) =>
  launch(taskId, command, { resources: [free("cpus", 0.1), free("mem", 64), of] });
const finished = async (n: number): Promise<void> =>
  expect(await plane.operated(n)).toMatchObject({ state: "OPERATION_FINISHED" });

const volumePath = (): string => join(host.path, "volumes/roles/web/data");
const removedPath = (): string => join(host.path, "volumes/removed");
const removed = (): string[] => (existsSync(removedPath()) ? readdirSync(removedPath()) : []);
const nothingLeft = (): Promise<true> =>
  eventually("the end of the volume", () => (!existsSync(volumePath()) && removed().length === 0) || undefined);

test("[A39] a volume outlives its tasks and kill -9 of the agent; DESTROY ends it", async () => {
  isTotal(await started(), GIVEN);
  plane.order(RESERVE, CREATE);
  plane.order(withVolume("writer", "echo precious > volumes/data/file; mkdir volumes/data/sub; ls -A"));
  await finished(2);
  expect(plane.registrations[0]?.info.capabilities).toEqual(["OPERATIONS"]);
  await plane.state("writer", "TASK_FINISHED");
  expect(readFileSync(join(volumePath(), "file"), "utf8")).toBe("precious\n");
  expect(host.read("writer", "stdout")).toBe("stderr\nstdout\nvolumes\n");

  await crashed();
  isTotal(await started(), [...CONVERTED, reserved("disk", 100), volume(100)]);
  plane.order(withVolume("reader", "cat volumes/data/file; echo more >> volumes/data/file"));
  await plane.state("reader", "TASK_FINISHED");
  expect(host.read("reader", "stdout")).toBe("precious\n");

  plane.order(DESTROY, UNRESERVE);
  await finished(4);
  await nothingLeft();
  await crashed();
  isTotal(await started(), GIVEN);
  // What the sandboxes of its tasks still have is a link to nothing.
  expect(existsSync(join(host.sandbox("reader"), "volumes/data"))).toBe(false);
});

test("[A39] a new volume of an old name begins empty, in one frame with the end of the old one", async () => {
  await started();
  plane.order(RESERVE, CREATE, withVolume("first", "echo old > volumes/data/file"));
  await plane.state("first", "TASK_FINISHED");
  const again = operation(5, { type: "CREATE", volumes: [volume(100)] });
  plane.order(DESTROY, again, withVolume("second", "ls -A volumes/data"));
  await plane.state("second", "TASK_FINISHED");
  expect(host.read("second", "stdout")).toBe("");
  await finished(5);
  expect(plane.acted.at(-1)).toBe(6);
});

test("[A39] [A43] a task whose volume's directory is gone fails and says so; one whose volume never was is dropped", async () => {
  await started();
  plane.order(RESERVE, CREATE, withVolume("never", "true", volume(100, "another")));
  expect((await plane.state("never", "TASK_DROPPED")).status.message).toMatch(
    /does not have disk:100 .*volume another/,
  );
  rmSync(volumePath(), { recursive: true });
  plane.order(withVolume("t", "true"));
  expect((await plane.state("t", "TASK_FAILED")).status.message).toMatch(/volume for 'volumes\/data' is not at/);
});

test.skipIf(withoutRoot)("[A39] a volume is its task's user's, and is the next one's after", async () => {
  // Other users must enter it, to follow the link.
  chmodSync(host.workDir, 0o755);
  await started();
  plane.order(RESERVE, CREATE);
  const as = (taskId: string, user: string, command: string) => {
    const order = withVolume(taskId, command);
    if (order.type !== "launch") throw new Error("a launch");
    return { ...order, task: { ...order.task, command: { value: command, user, arguments: [], uris: [] } } };
  };
  plane.order(as("first", "nobody", "id -un > volumes/data/first"));
  await plane.state("first", "TASK_FINISHED");
  plane.order(as("second", "daemon", "id -un > volumes/data/second"));
  await plane.state("second", "TASK_FINISHED");
  expect(["first", "second"].map((name) => readFileSync(join(volumePath(), name), "utf8"))).toEqual([
    "nobody\n",
    "daemon\n",
  ]);
});

test("[A37] how an operation ended is told until it is acknowledged, to whichever session and by whichever agent", async () => {
  plane.acknowledgesOperations = false;
  await started();
  plane.order(RESERVE, operation(2, { type: "RESERVE", resources: [reserved("disk", 400)] }));
  await finished(1);
  expect(await plane.operated(2)).toMatchObject({ state: "OPERATION_FAILED" });
  const uuids = plane.operationUpdates.map(({ status }) => status.uuid?.value);
  const toldAgain = async (): Promise<void> => {
    plane.operationUpdates.length = 0;
    await eventually("both once more", () => plane.operationUpdates.length >= 2 || undefined);
    expect(plane.operationUpdates.map(({ status }) => status.uuid?.value)).toEqual(uuids);
    expect(plane.registrations.at(-1)?.operations?.map(({ operationUuid }) => operationUuid)).toEqual(
      [1, 2].map(operationUuidOf),
    );
  };
  plane.disconnect();
  await plane.registered(2);
  await toldAgain();
  await crashed();
  plane.operationUpdates.length = 0;
  isTotal(await started(), [...CONVERTED, reserved("disk", 200)]);
  await eventually("both once more", () => plane.operationUpdates.length >= 2 || undefined);
  for (const update of [...plane.operationUpdates]) plane.acknowledgeOperation(update);
  // Orders and acknowledgements are taken in turn: what answers this one has taken those.
  plane.order(UNRESERVE);
  await finished(4);
  await crashed();
  plane.operationUpdates.length = 0;
  plane.acknowledgesOperations = true;
  await started();
  expect(plane.registrations.at(-1)?.operations?.map(({ operationUuid }) => operationUuid)).toEqual([
    operationUuidOf(4),
  ]);
});

test("[A38] an agent whose flags no longer give what was converted does not start, and says what it needs", async () => {
  await started();
  plane.order(RESERVE);
  await finished(1);
  await crashed();
  const small = host.start({ plane: plane.url, args: ["--resources", "cpus:4;mem:1000;disk:199"] });
  expect(await small.exited()).toBe(2);
  expect(small.output).toMatch(/--resources does not give .*disk:200 \(role web\)/);
  isTotal(await started("cpus:2;mem:10;disk:1000;ports:[1-2]"), [
    free("cpus", 2),
    free("mem", 10),
    free("disk", 800),
    reserved("disk", 200),
    ports(1, 2),
  ]);
});

test("[A38] volumes outlive the agent's id", async () => {
  await started();
  plane.order(RESERVE, CREATE, withVolume("writer", "echo precious > volumes/data/file"));
  await plane.state("writer", "TASK_FINISHED");
  plane.shutdown();
  expect(await agent.exited()).toBe(5);
  isTotal(await started(), [...CONVERTED, reserved("disk", 100), volume(100)]);
  expect(plane.registrations.at(-1)?.agentId).toBeUndefined();
  expect(readFileSync(join(volumePath(), "file"), "utf8")).toBe("precious\n");
});

describe("[A40] kill -9", () => {
  const FILES = 200;
  const fill = `i=0; while [ $i -lt ${FILES} ]; do mkdir -p volumes/data/d$i; echo x > volumes/data/d$i/f; i=$((i+1)); done`;
  let outside: string;

  async function filled(): Promise<void> {
    await started();
    outside = join(host.workDir, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "kept"), "");
    plane.order(RESERVE, CREATE, withVolume("filler", `${fill}; ln -s ${outside} volumes/data/link`));
    await plane.state("filler", "TASK_FINISHED", 30_000);
  }

  const journal = (): readonly Record<string, unknown>[] => {
    const read = decodeLines(readFileSync(host.journal));
    if (read.type !== "read") throw new Error(read.type);
    return read.records as Record<string, unknown>[];
  };
  const writeJournal = (records: readonly unknown[]): void =>
    writeFileSync(host.journal, records.map((record) => encodeLine(JSON.stringify(record))).join(""));

  /** The directory as it was before, with what the step had done by then. */
  const steps: readonly [string, (aside: string) => void][] = [
    ["before the place is freed", () => undefined],
    ["when it is moved aside", (aside) => renameSync(volumePath(), aside)],
    [
      "when half of it is deleted",
      (aside) => {
        renameSync(volumePath(), aside);
        for (let i = 0; i < FILES / 2; i++) rmSync(join(aside, `d${i}`), { recursive: true });
      },
    ],
  ];

  test.each(steps)("%s: the next agent goes on", async (_, done) => {
    await filled();
    await crashed();
    // Nothing but the order's record, as when it was killed right behind it.
    const place = { path: "volumes/roles/web/data", isMount: false };
    const { sequence: before } = journal().findLast(({ type }) => type === "orders") ?? {};
    const report = {
      operationUuid: operationUuidOf(3),
      frameworkId: "framework-1",
      operationId: "operation-3",
      operation: { type: "DESTROY", volumes: [volume(100)] },
      status: {
        operation_id: { value: "operation-3" },
        state: "OPERATION_FINISHED",
        converted_resources: [reserved("disk", 100)],
        uuid: { value: operationUuidOf(33) },
      },
    };
    const converted = [reserved("disk", 200)];
    writeJournal([
      ...journal(),
      { type: "operated", sequence: Number(before) + 1, report, converted, removals: [place] },
    ]);
    mkdirSync(removedPath(), { recursive: true, mode: 0o700 });
    done(join(removedPath(), "aside"));
    isTotal(await started(), [...CONVERTED, reserved("disk", 200)]);
    await finished(3);
    await nothingLeft();
    expect(existsSync(join(outside, "kept"))).toBe(true);
    expect(journal().filter(({ type }) => type === "volume-removed")).toHaveLength(1);
    plane.order(operation(5, { type: "CREATE", volumes: [volume(100)] }));
    await finished(5);
    expect(readdirSync(volumePath())).toEqual([]);
  });

  test("behind the record that the place is free: what was moved aside is deleted", async () => {
    await filled();
    plane.order(DESTROY);
    await finished(3);
    await crashed();
    mkdirSync(join(removedPath(), "aside/deep"), { recursive: true });
    symlinkSync(outside, join(removedPath(), "aside/deep/link"));
    await started();
    await nothingLeft();
    expect(existsSync(join(outside, "kept"))).toBe(true);
  });

  test("at any moment of a DESTROY: all of the volume is there, or none of it is left", async () => {
    let n = 10;
    await filled();
    for (const delayMs of [0, 3, 10, 30]) {
      const uuid = n++;
      plane.order(operation(uuid, { type: "DESTROY", volumes: [volume(100)] }));
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await crashed();
      const resources = await started();
      const isThere = resources.some(({ disk }) => disk?.persistence?.id === "data");
      if (isThere) {
        expect(readdirSync(volumePath()).length).toBe(FILES + 1);
        continue;
      }
      await finished(uuid);
      await nothingLeft();
      const taskId = `filler-${n}`;
      plane.order(
        operation(n++, { type: "CREATE", volumes: [volume(100)] }),
        withVolume(taskId, `${fill}; ln -s ${outside} volumes/data/link`),
      );
      await plane.state(taskId, "TASK_FINISHED", 30_000);
    }
    expect(existsSync(join(outside, "kept"))).toBe(true);
  });

  test("at any moment of a CREATE: it is there and reported, or it can be made", async () => {
    await started();
    plane.order(RESERVE);
    await finished(1);
    let n = 10;
    for (const delayMs of [0, 2, 5, 15]) {
      const id = `v${n}`;
      const create = { type: "CREATE" as const, volumes: [volume(10, id)] };
      plane.order(operation(n, create));
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await crashed();
      const resources = await started();
      if (resources.some(({ disk }) => disk?.persistence?.id === id)) await finished(n++);
      else {
        expect(plane.operationUpdates.map(({ operationUuid }) => operationUuid)).not.toContain(operationUuidOf(n));
        plane.order(operation(++n, create));
        await finished(n++);
      }
      expect(readdirSync(join(host.path, "volumes/roles/web", id))).toEqual([]);
    }
  });
});

test("[A40] a disk of its own, and an agent that is not root, remove volumes too", async () => {
  const disk = join(host.workDir, "disk");
  mkdirSync(disk);
  const uid = IS_ROOT ? 65_534 : undefined;
  if (uid !== undefined) chownSync(disk, uid, uid);
  const source = { type: "PATH", path: { root: disk } } as const;
  const resources = [free("cpus", 4), free("mem", 1000), { ...free("disk", 100), disk: { source } }];
  agent = host.start({
    plane: plane.url,
    args: ["--resources", JSON.stringify(resources)],
    ...(uid === undefined ? {} : { uid }),
  });
  await plane.registered();
  const onDisk = volume(100, "data", { source });
  plane.order(
    operation(1, { type: "RESERVE", resources: [{ ...reserved("disk", 100), disk: { source } }] }),
    operation(2, { type: "CREATE", volumes: [onDisk] }),
    withVolume(
      "writer",
      "cd volumes/data; mkdir -p a/b; echo x > a/b/c; mkdir a/b/d; touch a/b/d/e; chmod 500 a/b/d; chmod 0 a/b; chmod 500 a .",
      onDisk,
    ),
  );
  await plane.state("writer", "TASK_FINISHED");
  expect(existsSync(join(disk, "volumes/roles/web/data/a"))).toBe(true);
  plane.order(operation(3, { type: "DESTROY", volumes: [onDisk] }));
  await finished(3);
  await eventually("the end of the volume", () => readdirSync(join(disk, "volumes/removed")).length === 0 || undefined);
  expect(existsSync(join(disk, "volumes/roles/web/data"))).toBe(false);
});
