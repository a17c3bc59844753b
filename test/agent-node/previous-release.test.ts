// An agent that was upgraded: what release 0.1.0 left on disk is this release's own. `release-0.1.0/` was written by that
// release's code and is never edited.
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import type { ClusterId } from "#protocol/ids.ts";
import { Checkpoint } from "../../agent-node/checkpoint/checkpoint.ts";
import { readOrMakeHostKey } from "../../agent-node/checkpoint/host.ts";
import { pathsOf } from "../../agent-node/checkpoint/paths.ts";
import { latestState } from "../../agent-node/checkpoint/state.ts";
import { eventually } from "./fake-plane.ts";
import { host, onFreshHosts, plane } from "./fresh-host.ts";

const FIXTURE = new URL("release-0.1.0/", import.meta.url).pathname;
const HOST_KEY = readFileSync(join(FIXTURE, "host-key"), "utf8").trim();

onFreshHosts();
beforeEach(() => {
  const { meta, journal, hostKey } = pathsOf(host.path);
  mkdirSync(meta, { recursive: true, mode: 0o700 });
  cpSync(join(FIXTURE, "agent.journal"), journal);
  cpSync(join(FIXTURE, "host-key"), hostKey);
});

test("[A34] a journal and a host key of release 0.1.0 are read as they were meant", async () => {
  const paths = pathsOf(host.path);
  expect(readOrMakeHostKey(paths)).toBe(HOST_KEY);
  const checkpoint = await Checkpoint.open(paths);
  const { state } = checkpoint;
  expect(state).toMatchObject({ epochSeen: 7, sequence: 5, removal: undefined });
  expect(state.registration).toEqual({ agentId: "agent-S0", epoch: 7, session: "session-1", clusterId: undefined });
  expect([...state.tasks].map(([key, task]) => [key, latestState(state, key), task.killGraceMs])).toEqual([
    ["framework-1/lost", "TASK_STAGING", undefined],
    ["framework-1/ended", "TASK_DROPPED", undefined],
    ["framework-1/killed", "TASK_STAGING", 500],
  ]);
  const [stream] = state.streams.values();
  expect(stream?.pending.map(({ state: of }) => of)).toEqual(["TASK_FAILED", "TASK_DROPPED"]);
  // Opening rewrites the journal in this release's form: it says the same.
  await checkpoint.close();
  const again = await Checkpoint.open(paths);
  expect(again.state).toEqual(state);
  await again.close();
});

test("[A34] an upgraded agent keeps id, tasks and updates, and learns its cluster from the next registration", async () => {
  const agent = host.start({ plane: plane.url });
  const first = await plane.registered();
  expect(plane.paths).toEqual([`/agent/socket/${HOST_KEY}`]);
  expect([first.agentId, first.lastSession, first.clusterId]).toEqual(["agent-S0", "session-1", undefined]);
  const hello = plane.received.find(({ type }) => type === "authenticate");
  expect(hello).toMatchObject({ epochSeen: 7 });
  // No supervisor ever claimed them; the one that was killed meanwhile is told as that.
  await Promise.all([plane.state("lost", "TASK_DROPPED"), plane.state("killed", "TASK_KILLED")]);
  await eventually("both updates of the ended task", () => plane.states("ended").length === 2);
  expect(plane.states("ended")).toEqual(["TASK_FAILED", "TASK_DROPPED"]);
  plane.clusterId = "cluster-1" as ClusterId;
  plane.disconnect();
  await plane.registered(2);
  plane.disconnect();
  expect(await plane.registered(3)).toMatchObject({ agentId: "agent-S0", clusterId: "cluster-1" });
  expect(await agent.kill("SIGTERM")).toBe(0);
});
